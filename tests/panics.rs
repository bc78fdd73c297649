//! Panics: to the handle if somebody waits, else to the policy; nobody else is hurt.

mod support;

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::future::{Future, pending};
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any, resume_unwind};
use std::process::{Command, Stdio};
use std::rc::Rc;
use std::time::Duration;

use loopline::callback::{self, Next};
use loopline::{EventLoop, JoinError, JoinHandle, PanicPolicy, RunError, spawn, yield_now};
use support::{block_on, built, closes_clean, ends_with_items, event_loop};

/// Panics when it is dropped, and counts how often that was.
struct Bomb(Rc<Cell<u32>>);

impl Drop for Bomb {
    fn drop(&mut self) {
        self.0.set(self.0.get() + 1);
        if !std::thread::panicking() {
            panic!("bomb");
        }
    }
}

/// A panic's payload that panics when it is dropped.
struct BadPayload;

impl Drop for BadPayload {
    fn drop(&mut self) {
        panic!("the payload panics too");
    }
}

/// Panics with a value whose type is not known to be diverging.
fn explode<T>(payload: impl Any + Send) -> T {
    panic_any(payload)
}

/// Turns without waiting until nothing is left to run.
fn settle<S: 'static>(event_loop: &mut EventLoop<S>, state: &mut S) {
    while event_loop.turn(state, Duration::ZERO).unwrap().left {}
}

// contract 39; fault 84
#[test]
fn a_panic_goes_to_the_handle_that_waits() {
    block_on(async {
        let task: JoinHandle<()> = spawn(async {
            yield_now().await;
            panic!("on purpose")
        });
        let id = task.id();
        let error = task.await.unwrap_err();
        assert!(error.is_panic() && !error.is_cancelled());
        assert_eq!(error.id(), id);
        assert_eq!(error.to_string(), format!("item {id} panicked: on purpose"));
        assert_eq!(*error.into_panic().downcast::<&str>().unwrap(), "on purpose");
    });
}

// contract 39; fault 84
#[test]
fn a_panic_goes_to_the_handle_that_comes_later() {
    let mut event_loop = event_loop::<()>();
    let task: JoinHandle<()> = event_loop.handle().spawn(async { explode(String::from("text")) });
    event_loop.run(&mut ()).unwrap();
    assert!(task.is_finished());
    let handle = event_loop.handle();
    closes_clean(event_loop);
    // Also after the loop is gone.
    let error = block_on(task).unwrap_err();
    assert!(error.to_string().ends_with("panicked: text"), "{error}");
    assert_eq!(handle.stats().items, 0);
    assert_eq!(*error.into_panic().downcast::<String>().unwrap(), "text");
}

// contract 39; fault 84
#[test]
fn a_panic_nobody_waits_for_ends_that_task_alone() {
    let mut event_loop = event_loop::<()>();
    let handle = event_loop.handle();
    let ran = Rc::new(Cell::new(0));
    for n in 0..100 {
        let ran = ran.clone();
        drop(handle.item().label(format!("number {n}")).spawn(async move {
            assert!(n % 10 != 0, "one of ten");
            ran.set(ran.get() + 1);
        }));
    }
    event_loop.run(&mut ()).unwrap();
    assert_eq!(ran.get(), 90);
    closes_clean(event_loop);
}

// contract 39
#[test]
fn a_join_error_tells_cancelled_from_panicked() {
    let mut event_loop = event_loop::<()>();
    let cancelled = event_loop.handle().spawn(pending::<()>()).cancel();
    let error: JoinError = event_loop.block_on(cancelled).unwrap().unwrap_err();
    let text = error.to_string();
    assert_eq!(format!("{error:?}"), format!("JoinError({text})"));
    let error = error.try_into_panic().unwrap_err();
    let misused = catch_unwind(AssertUnwindSafe(|| error.into_panic())).unwrap_err();
    let misused = misused.downcast::<String>().unwrap();
    assert_eq!(*misused, format!("into_panic on an item that did not panic: {text}"));

    let panicked: JoinHandle<()> = event_loop.handle().spawn(async { explode(17_u8) });
    let error = event_loop.block_on(panicked).unwrap().unwrap_err();
    assert_eq!(error.to_string(), format!("item {} panicked", error.id()));
    // As a source of an io::Error, for `?` in main.
    let error = std::io::Error::from(error);
    assert!(error.to_string().ends_with("panicked"));
    closes_clean(event_loop);
}

// contract 39
#[test]
fn a_panic_can_be_resumed_by_who_awaits_it() {
    let mut event_loop = event_loop::<()>();
    let task: JoinHandle<()> = event_loop.handle().spawn(async { explode(17_u8) });
    let resumed = catch_unwind(AssertUnwindSafe(|| {
        event_loop.block_on(async { resume_unwind(task.await.unwrap_err().into_panic()) })
    }));
    let payload = resumed.map(|_: Result<(), RunError>| ()).unwrap_err();
    assert_eq!(*payload.downcast::<u8>().unwrap(), 17);
    closes_clean(event_loop);
}

// contract 39, 35; fault 84
#[test]
fn the_future_of_a_task_that_panicked_is_dropped_once_and_first() {
    struct Counts(Rc<Cell<u32>>);
    impl Drop for Counts {
        fn drop(&mut self) {
            self.0.set(self.0.get() + 1);
        }
    }
    // A future written by hand: what it owns is not dropped by the unwinding itself.
    struct Owns(#[expect(dead_code)] Counts);
    impl Future for Owns {
        type Output = ();
        fn poll(
            self: std::pin::Pin<&mut Self>,
            _cx: &mut std::task::Context<'_>,
        ) -> std::task::Poll<()> {
            panic!("on purpose")
        }
    }
    block_on(async {
        let drops = Rc::new(Cell::new(0));
        assert!(spawn(Owns(Counts(drops.clone()))).await.unwrap_err().is_panic());
        assert_eq!(drops.get(), 1);
    });
}

// contract 39; fault 85
#[test]
fn a_panic_in_the_drop_of_a_finished_future_goes_to_its_handle() {
    struct ReadyThenBomb(#[expect(dead_code)] Bomb);
    impl Future for ReadyThenBomb {
        type Output = u32;
        fn poll(
            self: std::pin::Pin<&mut Self>,
            _cx: &mut std::task::Context<'_>,
        ) -> std::task::Poll<u32> {
            std::task::Poll::Ready(5)
        }
    }
    block_on(async {
        let drops = Rc::new(Cell::new(0));
        let error = spawn(ReadyThenBomb(Bomb(drops.clone()))).await.unwrap_err();
        assert!(error.to_string().ends_with("panicked: bomb"), "{error}");
        assert_eq!(drops.get(), 1);
    });
}

// contract 39; fault 85
#[test]
fn a_panic_in_the_drop_of_a_future_that_panicked_is_contained() {
    struct PanicsTwice(#[expect(dead_code)] Bomb);
    impl Future for PanicsTwice {
        type Output = ();
        fn poll(
            self: std::pin::Pin<&mut Self>,
            _cx: &mut std::task::Context<'_>,
        ) -> std::task::Poll<()> {
            panic!("first")
        }
    }
    block_on(async {
        let drops = Rc::new(Cell::new(0));
        let error = spawn(PanicsTwice(Bomb(drops.clone()))).await.unwrap_err();
        assert!(error.to_string().ends_with("panicked: first"), "{error}");
        assert_eq!(drops.get(), 1);
    });
}

// contract 39; fault 85
#[test]
fn a_panic_in_the_drop_of_a_cancelled_future_goes_to_who_awaits_it() {
    let mut event_loop = event_loop::<()>();
    let handle = event_loop.handle();
    let drops = Rc::new(Cell::new(0));
    let bomb = || {
        let bomb = Bomb(drops.clone());
        async move {
            let _bomb = bomb;
            pending::<()>().await;
        }
    };
    // Outside a turn, in a turn, by itself.
    let cancelled = handle.spawn(bomb()).cancel();
    assert!(cancelled.is_finished());
    assert!(event_loop.block_on(cancelled).unwrap().unwrap_err().is_panic());
    let task = handle.spawn(bomb());
    let survivor = handle.spawn(async move {
        let cancelled = task.cancel();
        assert!(cancelled.await.unwrap_err().is_panic());
        "alive"
    });
    assert_eq!(event_loop.block_on(survivor).unwrap().unwrap(), "alive");
    let inner = bomb();
    let itself = handle.spawn(async move {
        assert!(handle.current().unwrap().cancel());
        inner.await;
    });
    assert!(event_loop.block_on(itself).unwrap().unwrap_err().is_panic());
    assert_eq!(drops.get(), 3);
    closes_clean(event_loop);
}

// contract 39; fault 85
#[test]
fn a_panic_in_the_drop_of_an_output_nobody_takes_is_contained() {
    let mut event_loop = event_loop::<()>();
    let drops = Rc::new(Cell::new(0));
    let bomb = Bomb(drops.clone());
    drop(event_loop.handle().spawn(async move { bomb }));
    let other = event_loop.handle().spawn(async { 5 });
    event_loop.run(&mut ()).unwrap();
    assert_eq!(drops.get(), 1);
    assert_eq!(event_loop.block_on(other).unwrap().unwrap(), 5);
    closes_clean(event_loop);
}

// contract 39; fault 85
#[test]
fn a_payload_that_panics_in_its_drop_is_guarded() {
    let mut event_loop = event_loop::<()>();
    let handle = event_loop.handle();
    drop(handle.spawn(async { explode::<()>(BadPayload) }));
    let late: JoinHandle<()> = handle.spawn(async { explode(BadPayload) });
    let other = handle.spawn(async { 5 });
    event_loop.run(&mut ()).unwrap();
    // Not awaited in the end.
    drop(late);
    assert_eq!(event_loop.block_on(other).unwrap().unwrap(), 5);
    closes_clean(event_loop);
}

// contract 39, 38; fault 85
#[test]
fn panics_in_drops_at_shutdown_leave_no_other_future_undropped() {
    let event_loop = event_loop::<()>();
    let drops = Rc::new(Cell::new(0));
    for _ in 0..10 {
        let bomb = Bomb(drops.clone());
        event_loop.handle().spawn(async move {
            let _bomb = bomb;
            pending::<()>().await;
        });
    }
    let witness = Rc::new(());
    for _ in 0..2 {
        let (inside, bomb) = (witness.clone(), Bomb(drops.clone()));
        event_loop.handle().next_turn(move |()| drop((inside, bomb)));
    }
    ends_with_items(event_loop, 12);
    assert_eq!(drops.get(), 12);
    assert_eq!(Rc::strong_count(&witness), 1);
}

// contract 39; fault 80
#[test]
fn a_callback_that_panics_is_removed_and_the_rest_of_its_batch_runs() {
    let mut event_loop = event_loop::<Vec<usize>>();
    let handle = event_loop.handle();
    let mut items = Vec::new();
    let mut pings = Vec::new();
    let dropped = Rc::new(Cell::new(0));
    for n in 0..100 {
        let (ping, source) = callback::ping();
        let source = Watched { source, dropped: dropped.clone() };
        let callback = move |(), _source: &mut Watched, seen: &mut Vec<usize>| {
            seen.push(n);
            assert!(n % 50 != 7, "in the callback");
            Next::Keep
        };
        items.push(handle.insert(source, callback).unwrap());
        pings.push(ping);
    }
    let mut seen = Vec::new();
    settle(&mut event_loop, &mut seen);
    // Inside a turn: of wakes from outside the order is not promised.
    let all = pings.clone();
    handle.spawn(async move { all.iter().for_each(callback::Ping::ping) });
    settle(&mut event_loop, &mut seen);
    assert_eq!(seen, (0..100).collect::<Vec<_>>());
    // Item removed, source dropped, state back in its place.
    assert_eq!((handle.stats().items, dropped.get()), (98, 2));
    assert_eq!(event_loop.run_until(&mut seen, async { handle.with(|s| s.len()) }).unwrap(), 100);
    pings.iter().for_each(callback::Ping::ping);
    settle(&mut event_loop, &mut seen);
    assert_eq!(seen.len(), 198);
    let observed = items.swap_remove(7);
    let error = event_loop.run_until(&mut seen, observed).unwrap().map(|_| ()).unwrap_err();
    assert!(error.to_string().ends_with("panicked: in the callback"), "{error}");
    pings.clear();
    event_loop.run(&mut seen).unwrap();
    closes_clean(event_loop);
}

/// A source that counts how often it was dropped.
struct Watched {
    source: callback::PingSource,
    dropped: Rc<Cell<u32>>,
}

impl futures::Stream for Watched {
    type Item = ();

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<()>> {
        std::pin::Pin::new(&mut self.source).poll_next(cx)
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.dropped.set(self.dropped.get() + 1);
    }
}

// contract 39; fault 80
#[test]
fn a_source_that_panics_takes_its_item_with_it_and_no_other() {
    let mut event_loop = event_loop::<u32>();
    let handle = event_loop.handle();
    let bad = futures::stream::poll_fn(|_| -> std::task::Poll<Option<()>> { panic!("source") });
    let bad = handle.insert(bad, |(), _, _| Next::Keep).unwrap();
    let good = futures::stream::iter(1..=3);
    handle
        .insert(good, |n, _, sum| {
            *sum += n;
            Next::Keep
        })
        .unwrap();
    let mut sum = 0;
    event_loop.run(&mut sum).unwrap();
    assert_eq!(sum, 6);
    assert!(event_loop.run_until(&mut sum, bad).unwrap().map(|_| ()).unwrap_err().is_panic());
    closes_clean(event_loop);
}

// contract 39
#[test]
fn a_panic_of_the_root_future_is_the_callers_and_the_loop_goes_on_afterwards() {
    let mut event_loop = event_loop::<String>();
    let handle = event_loop.handle();
    let log: Rc<RefCell<Vec<&str>>> = Rc::default();
    let inner = log.clone();
    handle.spawn(async move {
        inner.borrow_mut().push("before");
        yield_now().await;
        inner.borrow_mut().push("after");
    });
    let mut state = String::from("state");
    let borrowed = String::from("on the caller's stack");
    let unwound = catch_unwind(AssertUnwindSafe(|| {
        event_loop.run_until(&mut state, async {
            yield_now().await;
            handle.with(|_| panic!("{}", borrowed.clone()))
        })
    }));
    let payload = unwound.map(|_: Result<(), _>| ()).unwrap_err();
    assert_eq!(*payload.downcast::<String>().unwrap(), borrowed);
    assert_eq!(state, "state");
    assert!(handle.try_with(|_| ()).is_err(), "nothing is lent outside a run");
    assert!(catch_unwind(|| drop(spawn(async {}))).is_err(), "no loop is current");
    // The same loop, with tasks that were there.
    let text = event_loop
        .run_until(&mut state, async {
            yield_now().await;
            handle.with(|state| state.clone())
        })
        .unwrap();
    assert_eq!(text, "state");
    event_loop.run(&mut state).unwrap();
    assert_eq!(*log.borrow(), ["before", "after"]);
    closes_clean(event_loop);
}

// contract 39
#[test]
fn a_panic_inside_with_puts_the_state_back() {
    let mut event_loop = event_loop::<u32>();
    let handle = event_loop.handle();
    handle.spawn(async move {
        let caught = catch_unwind(AssertUnwindSafe(|| {
            handle.with(|n| {
                *n += 1;
                panic!("on purpose");
            });
        }));
        assert!(caught.is_err());
        handle.with(|n| *n += 10);
    });
    let mut n = 0;
    event_loop.run(&mut n).unwrap();
    assert_eq!(n, 11);
    closes_clean(event_loop);
}

// contract 39
#[test]
fn the_stop_policy_ends_the_run_after_the_turn_of_the_panic() {
    let mut event_loop = built::<()>(|b| b.panic_policy(PanicPolicy::Stop));
    let handle = event_loop.handle();
    let waits = handle.spawn(pending::<()>());
    handle.spawn(async { panic!("on purpose") });
    let behind = handle.spawn(async {});
    event_loop.run(&mut ()).unwrap();
    assert!(behind.is_finished(), "the turn went on");
    // The root future's run says so.
    handle.spawn(async { panic!("on purpose") });
    assert!(matches!(event_loop.block_on(pending::<()>()), Err(RunError::Stopped)));
    // A panic that is awaited stops nothing.
    let awaited = handle.spawn(async { panic!("on purpose") });
    let result: Result<(), JoinError> = event_loop.block_on(awaited).unwrap();
    assert!(result.unwrap_err().is_panic());
    // Dropping the handle of one that has panicked does, though that is outside a turn.
    let late = handle.spawn(async { panic!("on purpose") });
    event_loop.turn(&mut (), Duration::ZERO).unwrap();
    drop(late);
    assert!(event_loop.turn(&mut (), None).unwrap().stopped);
    drop(waits.cancel());
    closes_clean(event_loop);
}

/// Runs one test of this file in a process of its own, where a variable makes it do the deed.
fn in_child(test: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([test, "--exact", "--nocapture", "--test-threads=1"]);
    command.env("LOOPLINE_TEST_CHILD", test).env("RUST_BACKTRACE", "0");
    command.stdin(Stdio::null());
    command
}

fn is_child(test: &str) -> bool {
    std::env::var("LOOPLINE_TEST_CHILD").is_ok_and(|name| name == test)
}

// contract 39
#[test]
fn the_abort_policy_prints_and_aborts() {
    let me = "the_abort_policy_prints_and_aborts";
    if is_child(me) {
        let mut event_loop = built::<()>(|b| b.panic_policy(PanicPolicy::Abort).label("front"));
        let handle = event_loop.handle();
        let awaited = handle.spawn(async { panic!("awaited") });
        let result: Result<(), JoinError> = event_loop.block_on(awaited).unwrap();
        assert!(result.is_err());
        eprintln!("still here");
        handle.item().label("culprit").spawn(async { panic!("unobserved") });
        event_loop.run(&mut ()).unwrap();
        eprintln!("not reached");
        std::process::exit(0);
    }
    let output = in_child(me).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    #[cfg(unix)]
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&output.status), Some(libc::SIGABRT));
    assert!(text.contains("still here") && !text.contains("not reached"), "{text}");
    assert!(text.contains("front: item") && text.contains("`culprit` made at"), "{text}");
    assert!(text.contains(&format!("made at {}:", file!())), "{text}");
    assert!(text.contains("panicked, and nobody awaits it: unobserved"), "{text}");
}

// contract 39
#[test]
fn the_default_policy_is_loud_and_goes_on() {
    let me = "the_default_policy_is_loud_and_goes_on";
    if is_child(me) {
        let mut event_loop = event_loop::<()>();
        let handle = event_loop.handle();
        handle.item().label("dropped at once").spawn(async { panic!("first") });
        let late = handle.item().label("dropped later").spawn(async { panic!("second") });
        let gone = handle.item().label("dropped last").spawn(async { panic!("third") });
        handle
            .item()
            .label("callback")
            .insert(futures::stream::iter([1]), |_, _, ()| panic!("fourth"))
            .unwrap();
        let awaited = handle.item().label("awaited").spawn(async { panic!("fifth") });
        event_loop.run(&mut ()).unwrap();
        let result: Result<(), JoinError> = event_loop.block_on(awaited).unwrap();
        drop(result);
        drop(late);
        closes_clean(event_loop);
        drop(gone);
        std::process::exit(0);
    }
    let output = in_child(me).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
    let reports: Vec<&str> = text.lines().filter(|line| line.starts_with("loopline: ")).collect();
    let said = [
        ("dropped at once", "first"),
        ("callback", "fourth"),
        ("dropped later", "second"),
        ("dropped last", "third"),
    ];
    assert_eq!(reports.len(), said.len(), "{text}");
    for (report, (label, payload)) in reports.iter().zip(said) {
        assert!(report.contains(&format!("`{label}` made at {}", file!())), "{report}");
        assert!(
            report.ends_with(&format!("panicked, and nobody awaits it: {payload}")),
            "{report}"
        );
    }
}

// contract 39; fault 12
#[test]
fn an_unobserved_panic_ends_no_loop_whose_standard_error_is_a_closed_pipe() {
    let me = "an_unobserved_panic_ends_no_loop_whose_standard_error_is_a_closed_pipe";
    if is_child(me) {
        // Until the parent has closed its end.
        std::io::Read::read(&mut std::io::stdin(), &mut [0]).unwrap();
        let mut event_loop = event_loop::<()>();
        drop(event_loop.handle().spawn(async { panic!("unheard") }));
        let other = event_loop.handle().spawn(async { 5 });
        let went_on = matches!(event_loop.block_on(other), Ok(Ok(5)));
        closes_clean(event_loop);
        std::process::exit(if went_on { 0 } else { 3 });
    }
    let mut command = in_child(me);
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    drop(child.stderr.take());
    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());
}

// contract 39
#[test]
fn a_panic_of_a_remote_item_goes_to_its_join_or_to_the_policy() {
    let mut event_loop = built::<()>(|b| b.panic_policy(PanicPolicy::Stop));
    let remote = event_loop.handle().remote();
    // Awaited: no policy.
    let join = remote.spawn(|_| async { explode::<()>("in the future") }).unwrap();
    let error = event_loop.block_on(join).unwrap().unwrap_err();
    assert!(error.to_string().ends_with("panicked: in the future"), "{error}");
    // The closure itself.
    let join = remote
        .spawn(|_| {
            explode::<()>("in the closure");
            async {}
        })
        .unwrap();
    let error = event_loop.block_on(join).unwrap().unwrap_err();
    assert!(error.to_string().ends_with("panicked: in the closure"), "{error}");
    // Dropped before.
    drop(remote.spawn(|_| async { explode::<()>("unobserved") }).unwrap());
    assert!(event_loop.turn(&mut (), Duration::ZERO).unwrap().stopped);
    // Dropped after, on whatever thread.
    let join = remote.spawn(|_| async { explode::<()>("unobserved") }).unwrap();
    while !join.is_finished() {
        assert!(!event_loop.turn(&mut (), None).unwrap().stopped);
    }
    std::thread::spawn(move || drop(join)).join().unwrap();
    assert!(event_loop.turn(&mut (), Duration::ZERO).unwrap().stopped);
    drop(remote);
    closes_clean(event_loop);
}

// contract 39, 35; fault 85
#[test]
fn a_remote_closure_that_panics_in_its_drop_as_it_is_cancelled_is_contained() {
    struct SendBomb;
    impl Drop for SendBomb {
        fn drop(&mut self) {
            panic!("bomb");
        }
    }
    let mut event_loop = event_loop::<()>();
    let remote = event_loop.handle().remote();
    let bomb = SendBomb;
    let join = remote
        .spawn(move |_| async move {
            let _bomb = bomb;
        })
        .unwrap();
    join.cancel();
    let other = remote.spawn(|_| async { 5 }).unwrap();
    assert_eq!(event_loop.block_on(other).unwrap().unwrap(), 5);
    assert!(event_loop.block_on(join).unwrap().unwrap_err().is_cancelled());
    // And one that the loop never takes.
    let bomb = SendBomb;
    let never = remote.spawn(move |_| async move { drop(bomb) }).unwrap();
    closes_clean(event_loop);
    assert!(never.is_finished());
    assert!(block_on(never).unwrap_err().is_cancelled());
}

// contract 39; fault 85
#[test]
fn an_output_that_panics_as_its_handle_is_dropped_goes_to_the_policy() {
    struct Loud;
    impl Drop for Loud {
        fn drop(&mut self) {
            panic!("loud");
        }
    }
    let mut event_loop = built::<()>(|b| b.panic_policy(PanicPolicy::Stop));
    let handle = event_loop.handle();
    let done = handle.spawn(async { Loud });
    event_loop.turn(&mut (), Duration::ZERO).unwrap();
    assert!(done.is_finished());
    drop(done);
    // The policy's stop is remembered; nothing unwound into the drop above.
    assert!(event_loop.turn(&mut (), Duration::ZERO).unwrap().stopped);
    closes_clean(event_loop);
}
