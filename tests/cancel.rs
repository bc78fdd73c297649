//! A cancelled task is dropped at once, and nothing is lost with a future that is given up.

mod support;

use std::cell::{Cell, RefCell};
use std::future::{pending, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::mpsc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use loopline::callback::{self};
use loopline::{Cancelled, Control, EventLoop, JoinHandle, spawn, yield_now};
use support::{TestLoop, block_on, block_on_paused, closes_clean, event_loop};

type Log = Rc<RefCell<Vec<String>>>;

fn say(log: &Log, text: impl Into<String>) {
    log.borrow_mut().push(text.into());
}

/// Writes when it is dropped.
struct Noisy(Log, &'static str);

impl Drop for Noisy {
    fn drop(&mut self) {
        say(&self.0, format!("{} dropped", self.1));
    }
}

/// Turns without waiting until nothing is left to run.
fn settle(event_loop: &mut EventLoop<()>) {
    while event_loop.turn(&mut (), Duration::ZERO).unwrap().left {}
}

/// A task that logs its steps, and its handle where it can find it itself.
fn fixture(
    event_loop: &EventLoop<()>,
    log: &Log,
    body: impl AsyncFnOnce(Rc<RefCell<Option<JoinHandle<()>>>>) + 'static,
) -> Rc<RefCell<Option<JoinHandle<()>>>> {
    let own: Rc<RefCell<Option<JoinHandle<()>>>> = Rc::default();
    let (inner, log) = (own.clone(), log.clone());
    let task = event_loop.handle().spawn(async move {
        let _noisy = Noisy(log.clone(), "future");
        say(&log, "begun");
        body(inner).await;
        say(&log, "ended");
    });
    own.replace(Some(task));
    own
}

/// The whole of what one cancellation did.
fn outcome(
    mut event_loop: TestLoop<()>,
    log: &Log,
    task: impl Future<Output = Result<(), loopline::JoinError>>,
) -> (Vec<String>, bool) {
    let result = event_loop.block_on(task).unwrap();
    closes_clean(event_loop);
    (log.take(), result.is_err_and(|error| error.is_cancelled()))
}

// contract 35; fault 66
#[test]
fn a_task_at_rest_is_cancelled_at_once() {
    let (mut event_loop, log) = (event_loop(), Log::default());
    let own = fixture(&event_loop, &log, async |_| pending().await);
    settle(&mut event_loop);
    let cancelled = own.take().unwrap().cancel();
    assert_eq!(*log.borrow(), ["begun", "future dropped"]);
    assert!(cancelled.is_finished());
    assert_eq!(event_loop.handle().stats().items, 0);
    assert_eq!(
        outcome(event_loop, &log, cancelled),
        (vec!["begun".into(), "future dropped".into()], true)
    );
}

// contract 35; fault 66
#[test]
fn a_task_cancelled_before_its_first_poll_never_runs() {
    let (event_loop, log) = (event_loop(), Log::default());
    let noisy = Noisy(log.clone(), "future");
    let inner = log.clone();
    let cancelled = event_loop
        .handle()
        .spawn(async move {
            let _noisy = noisy;
            say(&inner, "begun");
        })
        .cancel();
    assert_eq!(*log.borrow(), ["future dropped"]);
    assert!(outcome(event_loop, &log, cancelled).1);
}

// contract 35; fault 66
#[test]
fn a_task_that_cancels_itself_ends_as_its_poll_returns() {
    let (event_loop, log) = (event_loop(), Log::default());
    let inner = log.clone();
    let handle = event_loop.handle();
    let own = fixture(&event_loop, &log, async move |_| {
        assert!(handle.current().unwrap().cancel());
        say(&inner, "goes on to its next await");
        pending().await
    });
    let task = own.take().unwrap();
    let (log, cancelled) = outcome(event_loop, &log, task);
    assert_eq!(log, ["begun", "goes on to its next await", "future dropped"]);
    assert!(cancelled);
}

// contract 35; fault 66
#[test]
fn a_task_cancels_itself_by_its_own_handle_and_may_await_that() {
    let (mut event_loop, log) = (event_loop(), Log::default());
    let own = fixture(&event_loop, &log, async |own| {
        let cancelled = own.take().unwrap().cancel();
        assert!(!cancelled.is_finished());
        let _ = cancelled.await;
        unreachable!("it ends at the await");
    });
    settle(&mut event_loop);
    assert!(own.borrow().is_none());
    assert_eq!(*log.borrow(), ["begun", "future dropped"]);
    closes_clean(event_loop);
}

// contract 35; fault 66
#[test]
fn a_task_that_cancels_itself_and_then_returns_keeps_its_output() {
    let (event_loop, log) = (event_loop(), Log::default());
    let handle = event_loop.handle();
    let own = fixture(&event_loop, &log, async move |_| {
        assert!(handle.current().unwrap().cancel());
    });
    let task = own.take().unwrap();
    let (log, cancelled) = outcome(event_loop, &log, task);
    assert_eq!(log, ["begun", "ended", "future dropped"]);
    assert!(!cancelled);
}

// contract 35; fault 66
#[test]
fn a_task_that_cancels_itself_and_then_panics_has_panicked() {
    let mut event_loop = event_loop::<()>();
    let handle = event_loop.handle();
    let task = handle.spawn(async move {
        assert!(handle.current().unwrap().cancel());
        panic!("on purpose");
    });
    let error: loopline::JoinError = event_loop.block_on(task).unwrap().unwrap_err();
    assert!(error.is_panic());
    closes_clean(event_loop);
}

// contract 35; fault 66
#[test]
fn a_task_cancelled_by_one_that_it_calls_ends_as_its_poll_returns() {
    let (event_loop, log) = (event_loop(), Log::default());
    let control = Rc::new(Cell::new(None::<Control>));
    let (inner, lines) = (control.clone(), log.clone());
    let own = fixture(&event_loop, &log, async move |_| {
        // Called from inside the poll, by code that knows it only as another item.
        assert!(inner.get().unwrap().cancel());
        assert!(inner.get().unwrap().cancel());
        say(&lines, "still here");
        pending().await
    });
    let task = own.take().unwrap();
    control.set(Some(task.control()));
    let (log, cancelled) = outcome(event_loop, &log, task);
    assert_eq!(log, ["begun", "still here", "future dropped"]);
    assert!(cancelled);
}

// contract 35; fault 66
#[test]
fn cancelling_twice_is_cancelling_once() {
    let (mut event_loop, log) = (event_loop(), Log::default());
    let own = fixture(&event_loop, &log, async |_| pending().await);
    settle(&mut event_loop);
    let task = own.take().unwrap();
    let control = task.control();
    assert!(control.cancel());
    assert!(!control.cancel());
    let cancelled = task.cancel();
    let (log, cancelled) = outcome(event_loop, &log, cancelled);
    assert_eq!(log, ["begun", "future dropped"]);
    assert!(cancelled);
}

// contract 35; fault 66
#[test]
fn cancelling_a_task_that_has_ended_keeps_its_output() {
    let (mut event_loop, log) = (event_loop(), Log::default());
    let own = fixture(&event_loop, &log, async |_| {});
    settle(&mut event_loop);
    let task = own.take().unwrap();
    assert!(!task.control().cancel());
    let (log, cancelled) = outcome(event_loop, &log, task.cancel());
    assert_eq!(log, ["begun", "ended", "future dropped"]);
    assert!(!cancelled);
}

// contract 35; fault 66
#[test]
fn a_task_that_is_queued_when_it_is_cancelled_does_not_run_again() {
    let (mut event_loop, log) = (event_loop(), Log::default());
    let own = fixture(&event_loop, &log, async |_| {
        poll_fn(|cx| {
            cx.waker().wake_by_ref();
            Poll::<()>::Pending
        })
        .await;
    });
    event_loop.turn(&mut (), Duration::ZERO).unwrap();
    // Queued by its own wake, in the queue of the turn that ended for its count.
    drop(own.take().unwrap().cancel());
    assert_eq!(*log.borrow(), ["begun", "future dropped"]);
    assert_eq!(event_loop.turn(&mut (), Duration::ZERO).unwrap().ran, 0);
    closes_clean(event_loop);
}

// contract 35; fault 66
#[test]
fn a_task_cancelled_from_another_thread_is_dropped_on_its_own() {
    struct Home(mpsc::Sender<std::thread::ThreadId>);
    impl Drop for Home {
        fn drop(&mut self) {
            self.0.send(std::thread::current().id()).unwrap();
        }
    }
    let mut event_loop = event_loop::<()>();
    let remote = event_loop.handle().remote();
    let (dropped_on, on) = mpsc::channel();
    let (begun, begins) = mpsc::channel();
    let thread = std::thread::spawn(move || {
        let join = remote
            .spawn(move |_handle| async move {
                let _home = (Home(dropped_on), Rc::new(()));
                begun.send(()).unwrap();
                pending::<()>().await;
            })
            .unwrap();
        begins.recv().unwrap();
        join.cancel();
        join.cancel();
        assert!(
            matches!(join.wait(), Err(loopline::WaitError::Join(error)) if error.is_cancelled())
        );
    });
    event_loop.run(&mut ()).unwrap();
    thread.join().unwrap();
    assert_eq!(on.iter().collect::<Vec<_>>(), [std::thread::current().id()]);
    closes_clean(event_loop);
}

// contract 35; fault 66
#[test]
fn a_remote_task_cancelled_before_it_was_taken_never_runs() {
    let mut event_loop = event_loop::<()>();
    let remote = event_loop.handle().remote();
    let join = remote.spawn(|_| async { unreachable!("cancelled before it began") }).unwrap();
    join.cancel();
    drop(remote);
    event_loop.run(&mut ()).unwrap();
    assert!(join.is_finished());
    let result: Result<(), _> = block_on(join);
    assert!(result.unwrap_err().is_cancelled());
    closes_clean(event_loop);
}

// contract 35
#[test]
fn the_future_is_dropped_before_the_handle_of_a_cancelled_task_is_told() {
    let log = Log::default();
    block_on({
        let log = log.clone();
        async move {
            let noisy = Noisy(log.clone(), "future");
            let task = spawn(async move {
                let _noisy = noisy;
                pending::<()>().await;
            });
            let control = task.control();
            let inner = log.clone();
            let waiting = spawn(async move {
                assert!(task.await.unwrap_err().is_cancelled());
                say(&inner, "handle told");
            });
            yield_now().await;
            control.cancel();
            say(&log, "cancel returned");
            waiting.await.unwrap();
        }
    });
    assert_eq!(*log.borrow(), ["future dropped", "cancel returned", "handle told"]);
}

// contract 35
#[test]
fn a_dropped_cancelled_is_no_wait_and_a_kept_one_tells() {
    let mut event_loop = event_loop::<()>();
    let handle = event_loop.handle();
    drop(handle.spawn(pending::<()>()).cancel());
    let told: Cancelled<()> = handle.spawn(pending::<()>()).cancel();
    let error = event_loop.block_on(told).unwrap().unwrap_err();
    assert!(error.is_cancelled() && !error.is_panic());
    assert_eq!(error.to_string(), format!("item {} was cancelled", error.id()));
    closes_clean(event_loop);
}

// contract 40
#[test]
fn a_dropped_wait_for_a_message_takes_none() {
    block_on_paused(async {
        let (sender, mut receiver) = callback::channel();
        for n in 0..10 {
            assert!(
                loopline::time::timeout(Duration::from_secs(1), receiver.next()).await.is_err()
            );
            sender.send(n).unwrap();
            // Polled once more and dropped while there is one.
            let mut wait = Box::pin(receiver.next());
            let taken = wait.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            drop(wait);
            assert_eq!(taken, Poll::Ready(Some(n)));
        }
        sender.send(10).unwrap();
        drop(Box::pin(receiver.next()));
        assert_eq!(receiver.next().await, Some(10));
    });
}

// contract 40
#[test]
fn a_dropped_yield_leaves_nothing_behind() {
    let mut event_loop = event_loop::<()>();
    event_loop
        .block_on(async {
            let mut once = Box::pin(yield_now());
            assert!(poll_fn(|cx| Poll::Ready(once.as_mut().poll(cx))).await.is_pending());
            drop(once);
            let mut task = spawn(async { 1 });
            assert!(poll_fn(|cx| Poll::Ready(Pin::new(&mut task).poll(cx))).await.is_pending());
            drop(task);
        })
        .unwrap();
    // The root future ended in the round in which the detached task was to run.
    event_loop.run(&mut ()).unwrap();
    closes_clean(event_loop);
}

// contract 13
#[test]
fn a_control_of_an_item_that_has_ended_does_not_reach_the_one_that_is_polled_in_its_place() {
    let mut event_loop = event_loop::<()>();
    let handle = event_loop.handle();
    let first = handle.spawn(async {});
    let stale = first.control();
    event_loop.run(&mut ()).unwrap();
    let second = handle.spawn(async move {
        assert!(!stale.cancel() && !stale.pause());
        yield_now().await;
        5
    });
    assert_eq!(event_loop.block_on(second).unwrap().unwrap(), 5);
    drop(first);
    closes_clean(event_loop);
}
