//! What is a deadlock and what is not, case by case, and what its report says.

mod support;

use std::cell::{Cell, RefCell};
use std::future::{Future, pending, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use loopline::callback::{self, Next};
use loopline::net::{TcpListener, TcpStream};
use loopline::sync::Semaphore;
use loopline::task::JoinHandle;
use loopline::time::Timer;
use loopline::{Deadlock, RunError, closing, scope, time, yield_now};
use support::{TestLoop, block_on, closes_clean, ends_with_items, event_loop, paused};

/// Runs the future to what must be a deadlock, and gives the loop back.
#[track_caller]
fn stuck<F: Future>(event_loop: &mut TestLoop<()>, future: F) -> Deadlock {
    match event_loop.block_on(future).map(drop) {
        Err(RunError::Deadlock(deadlock)) => deadlock,
        other => panic!("no deadlock but {other:?}"),
    }
}

/// Who waits for what, by label.
fn waits(deadlock: &Deadlock) -> Vec<(&str, Vec<&str>)> {
    let waits = deadlock.waits().iter();
    waits.map(|w| (w.label.as_deref().unwrap_or("-"), w.waits_for.clone())).collect()
}

/// Asserts that a run of this future sleeps: it is ended, late, by a waker that this run cannot know of.
#[track_caller]
fn sleeps<F: Future<Output = ()>>(event_loop: &mut TestLoop<()>, make: impl FnOnce() -> F) {
    let earlier: Waker =
        event_loop.block_on(poll_fn(|cx| Poll::Ready(cx.waker().clone()))).unwrap();
    let (begun, told) = std::sync::mpsc::channel::<()>();
    let over = Arc::new(AtomicBool::new(false));
    let end = over.clone();
    let thread = std::thread::spawn(move || {
        told.recv().unwrap();
        // Late, so that the loop has gone to sleep; were it not, the test would only prove less.
        std::thread::sleep(Duration::from_millis(20));
        end.store(true, Ordering::SeqCst);
        earlier.wake();
    });
    let ended = event_loop.block_on(async {
        let mut future = pin!(make());
        let mut begun = Some(begun);
        poll_fn(|cx| {
            assert!(future.as_mut().poll(cx).is_pending());
            begun.take().into_iter().for_each(|begun| begun.send(()).unwrap());
            if over.load(Ordering::SeqCst) { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    });
    thread.join().unwrap();
    ended.unwrap();
}

const JOIN: &str = "the end of another item (JoinHandle)";
const PERMIT: &str = "a permit (Semaphore)";

#[test]
fn tasks_that_await_each_other() {
    let mut event_loop = event_loop::<()>();
    let handle = event_loop.handle();
    let slot: Rc<Cell<Option<JoinHandle<()>>>> = Rc::default();
    let other = slot.clone();
    let first = handle.item().label("first").spawn(async move {
        yield_now().await;
        other.take().unwrap().await.unwrap();
    });
    let control = first.control();
    let second = handle.item().label("second").spawn(async move {
        assert!(first.await.unwrap_err().is_cancelled());
    });
    slot.set(Some(second));
    let ended = event_loop.run(&mut ());
    let Err(RunError::Deadlock(deadlock)) = ended else { panic!("{ended:?}") };
    assert_eq!(waits(&deadlock), [("first", vec![JOIN]), ("second", vec![JOIN])]);
    let text = deadlock.to_string();
    assert_eq!(text.lines().count(), 3, "{text}");
    assert!(text.contains("`first`, made at tests/deadlock_cases.rs:"), "{text}");
    assert!(control.cancel());
    assert!(event_loop.run(&mut ()).is_ok());
    closes_clean(event_loop);
}

#[test]
fn children_of_scopes_are_named_with_what_each_waits_for() {
    let mut event_loop = event_loop::<()>();
    let permits = Semaphore::new(0);
    let deadlock = stuck(&mut event_loop, async {
        scope(async |s| {
            let first = s.item().label("waits").spawn(async { drop(permits.acquire().await) });
            s.item().label("joins").spawn(first);
            s.item().label("foreign").spawn(pending::<()>());
            let paused = s.item().label("paused").spawn(async { drop(permits.acquire().await) });
            paused.control().pause();
            s.item().label("outer").spawn(scope(async |inner| {
                inner.item().label("inner").spawn(inner.closing());
            }));
        })
        .await;
    });
    assert_eq!(
        waits(&deadlock),
        [
            ("-", vec!["its children to end (scope)"]),
            ("waits", vec![PERMIT]),
            ("joins", vec!["the end of a child (scope::Child)"]),
            ("foreign", vec![]),
            ("paused", vec!["its pause to end (Control::resume)"]),
            ("outer", vec!["its children to end (scope)"]),
            ("inner", vec!["being asked to end (closing)"]),
        ]
    );
    closes_clean(event_loop);
}

#[test]
fn hundreds_of_children_are_asked_at_once() {
    let mut event_loop = event_loop::<()>();
    let permits = Semaphore::new(0);
    let deadlock = stuck(&mut event_loop, async {
        scope(async |s| {
            for _ in 0..300 {
                s.spawn(async { drop(permits.acquire().await) });
            }
        })
        .await;
    });
    assert_eq!(deadlock.waits().len(), 301);
    assert!(deadlock.waits()[1..].iter().all(|wait| wait.waits_for == [PERMIT]));
    closes_clean(event_loop);
}

#[test]
fn a_child_whose_scope_is_forgotten_says_so() {
    let mut event_loop = event_loop::<()>();
    let deadlock = stuck(&mut event_loop, async {
        let mut left = scope(async |s| drop(s.spawn(pending::<()>())));
        poll_fn(|cx| Poll::Ready(Pin::new(&mut left).poll(cx).is_pending())).await;
        std::mem::forget(left);
        closing().await;
    });
    let expected = [
        ("-", vec!["being asked to end (closing)"]),
        ("-", vec!["its scope to be polled (Scope)"]),
    ];
    assert_eq!(waits(&deadlock), expected);
    ends_with_items(event_loop, 1);
}

#[test]
fn a_paused_clock_hides_no_deadlock_but_a_held_one_waits() {
    let mut event_loop = paused::<()>();
    let permits = Semaphore::new(0);
    let wait = async || drop(permits.acquire().await);
    assert_eq!(waits(&stuck(&mut event_loop, wait())), [("-", vec![PERMIT])]);
    let held = event_loop.block_on(async { time::hold() }).unwrap();
    sleeps(&mut event_loop, wait);
    drop(held);
    stuck(&mut event_loop, wait());
    closes_clean(event_loop);
}

#[test]
fn a_timer_that_is_never_due_hides_no_deadlock() {
    const NEVER: &str = "a timer that is never due";
    let mut event_loop = event_loop::<()>();
    let timer = Timer::after(Duration::MAX);
    let timer = event_loop.handle().insert(timer, |_, _, ()| Next::Keep).unwrap();
    let deadlock = stuck(&mut event_loop, async { time::sleep(Duration::MAX).await });
    assert_eq!(waits(&deadlock), [("-", vec![NEVER]), ("-", vec![NEVER])]);
    drop(timer.cancel());
    // One that is, and whose item is paused for good.
    let due = Timer::after(Duration::from_millis(1));
    let due = event_loop.handle().insert(due, |_, _, ()| Next::Keep).unwrap();
    event_loop.block_on(yield_now()).unwrap();
    due.control().pause();
    let deadlock = stuck(&mut event_loop, pending::<()>());
    assert_eq!(waits(&deadlock)[1].1, ["its pause to end (Control::resume)"]);
    drop(due.cancel());
    closes_clean(event_loop);
}

#[test]
fn items_in_the_background_do_not_keep_a_run_and_so_are_not_stuck() {
    let mut event_loop = event_loop::<()>();
    let task = event_loop.handle().item().background().spawn(pending::<()>());
    event_loop.run(&mut ()).unwrap();
    // A future that waits is, and then they are named too.
    assert_eq!(stuck(&mut event_loop, pending::<()>()).waits().len(), 2);
    drop(task.cancel());
    closes_clean(event_loop);
}

#[test]
fn a_callback_whose_source_ends_is_no_deadlock() {
    let mut event_loop = event_loop::<()>();
    let (sender, receiver) = callback::channel::<u8>();
    let source = event_loop.handle().insert(receiver, |_, _, ()| Next::Keep).unwrap();
    let thread = std::thread::spawn(move || sender.send(1).is_ok());
    event_loop.run(&mut ()).unwrap();
    assert!(thread.join().unwrap() && source.is_finished());
    closes_clean(event_loop);
}

#[test]
fn a_wait_for_an_item_of_a_loop_that_nobody_turns() {
    let mut outer = event_loop::<()>();
    let mut inner = event_loop::<()>();
    let task = inner.handle().spawn(async { 7 });
    let mut task = Box::pin(task);
    assert_eq!(waits(&stuck(&mut outer, task.as_mut())), [("-", vec![JOIN])]);
    // Turned inside the outer one it is none, and a turn that waits is never asked.
    let output = outer.block_on(async {
        assert!(inner.turn(&mut (), Duration::from_millis(1)).unwrap().ran == 1);
        assert!(inner.turn(&mut (), Duration::from_millis(1)).unwrap().ran == 0);
        task.await
    });
    assert_eq!(output.unwrap().unwrap(), 7);
    closes_clean(outer);
    closes_clean(inner);
}

#[test]
fn a_listener_and_a_stream_that_are_waited_for_keep_the_loop() {
    block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let thread = std::thread::spawn(move || {
            let mut stream = std::net::TcpStream::connect(address).unwrap();
            std::io::Write::write_all(&mut stream, b"x").unwrap();
        });
        let (stream, _): (TcpStream, _) = listener.accept().await.unwrap();
        assert_eq!(stream.read(&mut [0; 4]).await.unwrap(), 1);
        thread.join().unwrap();
    });
    // One that nobody waits for does not.
    let mut event_loop = event_loop::<()>();
    stuck(&mut event_loop, async {
        let _listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        pending::<()>().await;
    });
    closes_clean(event_loop);
}

#[test]
fn a_stream_before_parks_keeps_the_loop_waiting() {
    let mut event_loop = event_loop::<()>();
    sleeps(&mut event_loop, || async {
        let mut parks = callback::before_park();
        while parks.next().await.is_some() {}
    });
    closes_clean(event_loop);
}

#[cfg(all(unix, feature = "signal"))]
#[test]
fn a_wait_for_ctrl_c_keeps_the_loop() {
    let mut event_loop = event_loop::<()>();
    sleeps(&mut event_loop, || async { loopline::signal::ctrl_c().await.unwrap() });
    closes_clean(event_loop);
}

#[test]
fn an_end_that_another_thread_brings_is_waited_for() {
    let mut event_loop = event_loop::<()>();
    let handle = event_loop.handle();
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let (give, take) = std::sync::mpsc::channel();
    let thread = std::thread::spawn(move || {
        let mut theirs = support::event_loop::<()>();
        let remote = theirs.handle().remote();
        let join = remote.spawn(move |_| async move { wait.recv().unwrap() }).unwrap();
        give.send(join).unwrap();
        drop(remote);
        theirs.run(&mut ()).unwrap();
        closes_clean(theirs);
    });
    let join = take.recv().unwrap();
    event_loop
        .block_on(async move {
            // The other loop begins only when this one is about to sleep.
            handle.next_turn(move |()| go.send(()).unwrap());
            join.await.unwrap();
        })
        .unwrap();
    thread.join().unwrap();
    closes_clean(event_loop);
}

#[test]
fn a_waker_that_was_given_away_counts_also_after_it_was_dropped() {
    let mut event_loop = event_loop::<()>();
    sleeps(&mut event_loop, || {
        poll_fn(|cx| {
            drop(cx.waker().clone());
            Poll::Pending
        })
    });
    // What other libraries keep counts too: they might hand it to anybody.
    sleeps(&mut event_loop, || async {
        let mut all: FuturesUnordered<_> = [pending::<()>()].into_iter().collect();
        all.next().await;
    });
    closes_clean(event_loop);
}

#[test]
fn an_item_that_ends_when_it_is_asked_is_no_deadlock() {
    let mut event_loop = event_loop::<()>();
    let mut polls = 0;
    let task = event_loop.handle().spawn(poll_fn(move |_| {
        polls += 1;
        if polls == 2 { Poll::Ready(polls) } else { Poll::Pending }
    }));
    event_loop.run(&mut ()).unwrap();
    assert!(task.is_finished());
    closes_clean(event_loop);
}

#[test]
fn a_child_woken_by_an_item_that_is_asked_is_polled() {
    let mut event_loop = event_loop::<()>();
    let handle = event_loop.handle();
    let permits = Rc::new(Semaphore::new(0));
    let (gives, mut polls) = (permits.clone(), 0);
    // Older than the child, so asked before it, and after the scope.
    let task = handle.spawn(poll_fn(move |_| {
        polls += 1;
        if polls == 2 {
            gives.add_permits(1);
        }
        Poll::<()>::Pending
    }));
    event_loop
        .block_on(scope(async |s| {
            s.spawn(async { drop(permits.acquire().await) });
        }))
        .unwrap();
    drop(task.cancel());
    closes_clean(event_loop);
}

#[test]
fn items_that_wake_each_other_only_when_asked_do_not_keep_the_loop_busy() {
    let mut event_loop = event_loop::<()>();
    let permits = Rc::new(Semaphore::new(0));
    let (gives, taken) = (permits.clone(), Rc::new(RefCell::new(0)));
    let counted = taken.clone();
    let task = event_loop.handle().spawn(async move {
        loop {
            permits.acquire().await.unwrap().forget();
            *counted.borrow_mut() += 1;
        }
    });
    let deadlock = stuck(
        &mut event_loop,
        poll_fn(move |_| {
            gives.add_permits(1);
            Poll::<()>::Pending
        }),
    );
    assert!(!deadlock.waits().is_empty() && *taken.borrow() < 100);
    drop(task.cancel());
    closes_clean(event_loop);
}

/// Runs one test of this file in a process of its own.
fn child_of(test: &str) -> std::process::Command {
    let mut child = std::process::Command::new(std::env::current_exe().unwrap());
    child.args([test, "--exact", "--test-threads=1", "--nocapture"]);
    child.env("LOOPLINE_TEST_CHILD", test);
    child
}

#[test]
fn main_is_never_a_guest() {
    #[loopline::main]
    async fn main_of_a_program() {
        pending().await
    }
    let me = "main_is_never_a_guest";
    if std::env::var("LOOPLINE_TEST_CHILD").is_ok_and(|name| name == me) {
        std::thread::spawn(|| {
            std::thread::sleep(Duration::from_secs(20));
            std::process::exit(9);
        });
        main_of_a_program();
    }
    // What tests ask for: and a guest would wait for ever, where this is a deadlock.
    let output = child_of(me).env("LOOPLINE_TEST_GUEST", "1").output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("error: deadlock: nothing can wake"), "{text}");
}

#[test]
fn main_prints_it_and_exits_with_one() {
    #[loopline::main]
    async fn main_of_a_program() -> std::io::Result<()> {
        let handle = loopline::Handle::<()>::try_current()?;
        handle.item().label("worker").spawn(async { drop(Semaphore::new(0).acquire().await) });
        scope(async |s| drop(s.spawn(s.closing()))).await;
        Ok(())
    }
    let me = "main_prints_it_and_exits_with_one";
    if std::env::var("LOOPLINE_TEST_CHILD").is_ok_and(|name| name == me) {
        let code = main_of_a_program();
        std::process::exit(if code.is_err() { 7 } else { 0 });
    }
    let output = child_of(me).output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert_eq!(text.matches("made at tests/deadlock_cases.rs").count(), 3, "{text}");
    for expected in ["deadlock: nothing can wake", "`worker`", PERMIT] {
        assert!(text.contains(expected), "{expected} is not in: {text}");
    }
}

#[test]
fn a_ping_that_another_thread_may_make_is_waited_for() {
    let mut event_loop = event_loop::<u32>();
    let (ping, pings) = callback::ping();
    let insert = event_loop.handle().insert(pings, |(), _, fired: &mut u32| {
        *fired += 1;
        Next::Keep
    });
    drop(insert.unwrap());
    let thread = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(5)); // so that it is waited for, which is most to the point
        ping.ping();
    });
    let mut fired = 0;
    event_loop.run(&mut fired).unwrap();
    assert_eq!(fired, 1);
    thread.join().unwrap();
    closes_clean(event_loop);
}

// contract 22
#[test]
fn turns_after_a_run_that_unwound_wait_as_long_as_it_takes() {
    let mut event_loop = event_loop::<()>();
    let waker: Waker = event_loop.block_on(poll_fn(|cx| Poll::Ready(cx.waker().clone()))).unwrap();
    let unwinds = || drop(event_loop.block_on(async { panic!("of the future") }));
    catch_unwind(AssertUnwindSafe(unwinds)).unwrap_err();
    let over = Arc::new(AtomicBool::new(false));
    let end = over.clone();
    let thread = std::thread::spawn(move || {
        // Late, as in `sleeps`.
        std::thread::sleep(Duration::from_millis(20));
        end.store(true, Ordering::SeqCst);
        waker.wake();
    });
    event_loop.turn(&mut (), None).unwrap();
    assert!(over.load(Ordering::SeqCst), "nobody had woken it yet");
    thread.join().unwrap();
    closes_clean(event_loop);
}

#[test]
fn a_timer_that_is_given_up_in_each_poll_is_not_waited_for() {
    let mut event_loop = event_loop::<()>();
    let gives_up = poll_fn(|_| {
        let mut sleep = pin!(time::sleep(Duration::from_secs(1)));
        assert!(sleep.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        Poll::<()>::Pending
    });
    let deadlock = stuck(&mut event_loop, gives_up);
    assert_eq!(waits(&deadlock), [("-", vec![])]);
    closes_clean(event_loop);
}
