//! Cancelling: who may do it, when it acts, and how often the future is dropped.

mod support;

use std::cell::{Cell, RefCell};
use std::future::{pending, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::mpsc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use loopline::callback::{self, Next};
use loopline::{Cancelled, Control, EventLoop, Handle, JoinHandle, StateError, spawn, yield_now};
use support::{
    TestLoop, block_on, block_on_paused, closes_clean, ends_with_items, event_loop, scaled,
};

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

// contract 37; fault 66
#[test]
fn a_future_may_cancel_others_and_itself_as_it_is_dropped() {
    struct CancelsAll(Rc<RefCell<Vec<Control>>>, Rc<Cell<usize>>);
    impl Drop for CancelsAll {
        fn drop(&mut self) {
            self.1.set(self.1.get() + 1);
            let all = self.0.borrow().clone();
            for control in all {
                control.cancel();
            }
        }
    }
    let mut event_loop = event_loop::<()>();
    let (controls, drops) = (Rc::new(RefCell::new(Vec::new())), Rc::new(Cell::new(0)));
    for _ in 0..10 {
        let guard = CancelsAll(controls.clone(), drops.clone());
        let task = event_loop.handle().spawn(async move {
            let _guard = guard;
            pending::<()>().await;
        });
        controls.borrow_mut().push(task.control());
    }
    settle(&mut event_loop);
    let first = controls.borrow()[3];
    assert!(first.cancel());
    assert_eq!(drops.get(), 10);
    closes_clean(event_loop);
}

/// Wakes whoever it knows when it is dropped, and cancels the next of its chain.
struct Link {
    waker: Rc<RefCell<Option<Waker>>>,
    next: Option<Control>,
}

impl Drop for Link {
    fn drop(&mut self) {
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
        if let Some(next) = self.next {
            next.cancel();
        }
    }
}

// contract 37; fault 61
#[test]
fn wakes_inside_drops_three_deep_are_not_lost() {
    let mut event_loop = event_loop::<()>();
    let handle = event_loop.handle();
    let wakes = Rc::new(Cell::new(0));
    let mut next = None;
    for _ in 0..3 {
        let waker = Rc::new(RefCell::new(None));
        let (stored, count) = (waker.clone(), wakes.clone());
        let mut polled = false;
        handle.spawn(poll_fn(move |cx| {
            if polled {
                count.set(count.get() + 1);
                return Poll::Ready(());
            }
            polled = true;
            stored.replace(Some(cx.waker().clone()));
            Poll::Pending
        }));
        let link = Link { waker, next };
        let task = handle.spawn(async move {
            let _link = link;
            pending::<()>().await;
        });
        next = Some(task.control());
    }
    settle(&mut event_loop);
    assert_eq!((wakes.get(), handle.stats().items), (0, 6));
    // Inside a turn, and with the first link dropped by an item that ends.
    handle.spawn(async move { next.unwrap().cancel() });
    settle(&mut event_loop);
    assert_eq!((wakes.get(), handle.stats().items), (3, 0));
    closes_clean(event_loop);
}

// contract 37; fault 61
#[test]
fn a_future_that_spawns_wakes_and_cancels_in_drop_does_so_while_it_is_replaced() {
    struct Busy(Handle<()>, Control, Waker, Rc<Cell<bool>>);
    impl Drop for Busy {
        fn drop(&mut self) {
            self.2.wake_by_ref();
            assert!(self.1.cancel());
            let ran = self.3.clone();
            // Its slot is free already: the new one may get it, and must not be mixed up with it.
            self.0.spawn(async move { ran.set(true) });
        }
    }
    let mut event_loop = event_loop::<()>();
    let handle = event_loop.handle();
    let ran = Rc::new(Cell::new(false));
    let other = handle.spawn(pending::<()>());
    let (control, flag) = (other.control(), ran.clone());
    let task = handle.spawn(async move {
        let waker = poll_fn(|cx| Poll::Ready(cx.waker().clone())).await;
        let _busy = Busy(handle, control, waker, flag);
        pending::<()>().await;
    });
    settle(&mut event_loop);
    drop(task.cancel());
    settle(&mut event_loop);
    assert!(ran.get() && other.is_finished());
    closes_clean(event_loop);
}

// contract 37; fault 68
#[test]
fn a_long_chain_of_tasks_that_cancel_the_next_in_drop_ends_on_a_small_stack() {
    struct Cancels(Option<JoinHandle<()>>, Rc<Cell<usize>>);
    impl Drop for Cancels {
        fn drop(&mut self) {
            self.1.set(self.1.get() + 1);
            if let Some(next) = self.0.take() {
                drop(next.cancel());
            }
        }
    }
    let chain = || {
        let length = scaled(100_000);
        let mut event_loop = event_loop::<()>();
        let handle = event_loop.handle();
        let dropped = Rc::new(Cell::new(0));
        let mut next = None;
        for _ in 0..length {
            let guard = Cancels(next.take(), dropped.clone());
            next = Some(handle.spawn(async move {
                let _guard = guard;
                pending::<()>().await;
            }));
        }
        event_loop.block_on(yield_now()).unwrap();
        drop(next.take().map(|head| head.cancel()));
        assert_eq!(dropped.get(), length, "every future was dropped before cancel returned");
        closes_clean(event_loop);
    };
    std::thread::Builder::new().stack_size(1024 * 1024).spawn(chain).unwrap().join().unwrap();
}

// contract 37; fault 68
#[test]
fn a_long_chain_of_tasks_that_hold_each_others_handles_ends_on_a_small_stack() {
    let many = scaled(100_000);
    let thread = std::thread::Builder::new().stack_size(64 * 1024).spawn(move || {
        let event_loop = event_loop::<()>();
        let handle = event_loop.handle();
        let mut next: Option<JoinHandle<()>> = None;
        for _ in 0..many {
            let owned = next.take();
            next = Some(handle.spawn(async move {
                if let Some(owned) = owned {
                    let _ = owned.await;
                }
                pending::<()>().await;
            }));
        }
        let head = next.unwrap();
        assert_eq!(handle.stats().items, many);
        drop(head.cancel());
        assert_eq!(handle.stats().items, many - 1);
        ends_with_items(event_loop, many - 1);
        assert_eq!(handle.stats().items, 0);
    });
    thread.unwrap().join().unwrap();
}

// contract 35
#[test]
fn a_paused_task_is_not_polled_and_loses_no_wake() {
    let mut event_loop = event_loop::<()>();
    let polls = Rc::new(Cell::new(0));
    let waker = Rc::new(RefCell::new(None::<Waker>));
    let (count, stored) = (polls.clone(), waker.clone());
    let task = event_loop.handle().spawn(poll_fn(move |cx| {
        count.set(count.get() + 1);
        stored.replace(Some(cx.waker().clone()));
        if count.get() == 3 { Poll::Ready(()) } else { Poll::Pending }
    }));
    let control = task.control();
    // Before its first poll.
    assert!(control.pause() && control.pause());
    settle(&mut event_loop);
    assert_eq!(polls.get(), 0);
    assert!(control.resume() && control.resume());
    settle(&mut event_loop);
    assert_eq!(polls.get(), 1);
    // Woken in the pause, twice: one poll after it.
    control.pause();
    waker.borrow().as_ref().unwrap().wake_by_ref();
    waker.borrow().as_ref().unwrap().wake_by_ref();
    settle(&mut event_loop);
    assert_eq!(polls.get(), 1);
    control.resume();
    settle(&mut event_loop);
    assert_eq!(polls.get(), 2);
    // Not woken in the pause: no poll after it.
    control.pause();
    control.resume();
    settle(&mut event_loop);
    assert_eq!(polls.get(), 2);
    // Woken, then paused while it is queued, then cancelled.
    waker.borrow().as_ref().unwrap().wake_by_ref();
    control.pause();
    assert!(task.cancel().is_finished());
    settle(&mut event_loop);
    assert_eq!(polls.get(), 2);
    closes_clean(event_loop);
}

// contract 34
#[test]
fn a_task_resumed_while_it_is_queued_keeps_its_place() {
    let log = Log::default();
    let mut event_loop = event_loop::<()>();
    let handle = event_loop.handle();
    let tasks: Vec<_> = ["a", "b", "c"]
        .map(|name| {
            let log = log.clone();
            handle.spawn(async move { say(&log, name) })
        })
        .into();
    tasks[1].control().pause();
    tasks[1].control().resume();
    tasks[0].control().pause();
    settle(&mut event_loop);
    assert_eq!(*log.borrow(), ["b", "c"]);
    tasks[0].control().resume();
    settle(&mut event_loop);
    assert_eq!(*log.borrow(), ["b", "c", "a"]);
    closes_clean(event_loop);
}

// contract 16
#[test]
fn a_callback_is_paused_resumed_and_cancelled_from_a_task() {
    let mut event_loop = event_loop::<Vec<u32>>();
    let handle = event_loop.handle();
    let (sender, receiver) = callback::channel();
    let item = handle
        .insert(receiver, |n, _channel, seen: &mut Vec<u32>| {
            seen.push(n);
            Next::Keep
        })
        .unwrap();
    let control = item.control();
    let mut seen = Vec::new();
    event_loop
        .run_until(&mut seen, async move {
            sender.send(1).unwrap();
            handle.next_turn(|_| ()).await.unwrap();
            yield_now().await;
            control.pause();
            sender.send(2).unwrap();
            sender.send(3).unwrap();
            for _ in 0..5 {
                handle.next_turn(|_| ()).await.unwrap();
            }
            handle.with(|seen| assert_eq!(*seen, [1]));
            control.resume();
            yield_now().await;
            handle.with(|seen| assert_eq!(*seen, [1, 2, 3]));
            sender.send(4).unwrap();
            assert!(control.cancel());
            // The source went with the item.
            assert_eq!(sender.send(5).unwrap_err().0, 5);
        })
        .unwrap();
    assert_eq!(seen, [1, 2, 3]);
    let ended = event_loop.run_until(&mut seen, item).unwrap();
    assert!(ended.unwrap_err().is_cancelled());
    closes_clean(event_loop);
}

// contract 16
#[test]
fn a_callback_that_cancels_itself_gets_no_further_event() {
    let mut event_loop = event_loop::<Vec<u32>>();
    let handle = event_loop.handle();
    let (sender, receiver) = callback::channel();
    (1..=5).for_each(|n| sender.send(n).unwrap());
    let item = handle
        .insert(receiver, move |n, _channel, seen: &mut Vec<u32>| {
            seen.push(n);
            if n == 3 {
                assert!(handle.current().unwrap().cancel());
            }
            Next::Keep
        })
        .unwrap();
    let mut seen = Vec::new();
    event_loop.run(&mut seen).unwrap();
    assert_eq!(seen, [1, 2, 3]);
    assert!(event_loop.run_until(&mut seen, item).unwrap().unwrap_err().is_cancelled());
    assert!(sender.send(6).is_err());
    closes_clean(event_loop);
}

// contract 16
#[test]
fn a_callback_that_pauses_itself_keeps_the_events_for_later() {
    for by_control in [false, true] {
        let mut event_loop = event_loop::<Vec<u32>>();
        let handle = event_loop.handle();
        let (sender, receiver) = callback::channel();
        (1..=4).for_each(|n| sender.send(n).unwrap());
        drop(sender);
        let item = handle
            .insert(receiver, move |n, _channel, seen: &mut Vec<u32>| {
                seen.push(n);
                match (n, by_control) {
                    (2, false) => Next::Pause,
                    (2, true) => {
                        assert!(handle.current().unwrap().pause());
                        Next::Keep
                    }
                    _ => Next::Keep,
                }
            })
            .unwrap();
        let mut seen = Vec::new();
        for _ in 0..5 {
            event_loop.turn(&mut seen, Duration::ZERO).unwrap();
        }
        assert_eq!(seen, [1, 2]);
        item.control().resume();
        event_loop.run(&mut seen).unwrap();
        assert_eq!(seen, [1, 2, 3, 4]);
        assert!(item.is_finished());
        closes_clean(event_loop);
    }
}

// contract 16; fault 78
#[test]
fn an_item_cancelled_by_another_of_its_batch_does_not_run() {
    let mut event_loop = event_loop::<Vec<usize>>();
    let handle = event_loop.handle();
    let controls: Rc<RefCell<Vec<Control>>> = Rc::default();
    let mut pings = Vec::new();
    for n in 0..100 {
        let (ping, source) = callback::ping();
        let controls_of_all = controls.clone();
        let item = handle
            .insert(source, move |(), _source, seen: &mut Vec<usize>| {
                seen.push(n);
                if n == 10 {
                    // Itself, one that ran, and ten that are pending.
                    for control in &controls_of_all.borrow()[9..=20] {
                        control.cancel();
                    }
                }
                Next::Keep
            })
            .unwrap();
        controls.borrow_mut().push(item.control());
        pings.push(ping);
    }
    let mut seen = Vec::new();
    while event_loop.turn(&mut seen, Duration::ZERO).unwrap().left {}
    // Inside a turn: of wakes from outside the order is not promised.
    handle.spawn(async move { pings.iter().for_each(callback::Ping::ping) });
    event_loop.run(&mut seen).unwrap();
    let expected: Vec<usize> = (0..=10).chain(21..100).collect();
    assert_eq!(seen, expected);
    closes_clean(event_loop);
}

/// Tells what `try_with` says when it is dropped.
struct Asks(Handle<u32>, Rc<RefCell<Vec<Result<u32, StateError>>>>);

impl Drop for Asks {
    fn drop(&mut self) {
        self.1.borrow_mut().push(self.0.try_with(|n| *n));
    }
}

// contract 37, 16
#[test]
fn a_future_asks_for_the_state_as_it_is_dropped_and_is_told_whether_it_can_be_lent() {
    let mut event_loop = event_loop::<u32>();
    let handle = event_loop.handle();
    let answers = Rc::new(RefCell::new(Vec::new()));
    let asking = || {
        let asks = Asks(handle, answers.clone());
        handle.spawn(async move {
            let _asks = asks;
            pending::<()>().await;
        })
    };
    let (by_task, by_callback, inside_with, left) = (asking(), asking(), asking(), asking());
    let by_callback = by_callback.control();
    handle
        .insert(futures::stream::iter([()]), move |(), _, _| {
            assert!(by_callback.cancel());
            Next::Stop
        })
        .unwrap();
    event_loop
        .run_until(&mut 7, async move {
            yield_now().await;
            drop(by_task.cancel());
            handle.with(move |_| drop(inside_with.cancel()));
            handle.next_turn(|_| ()).await.unwrap();
        })
        .unwrap();
    ends_with_items(event_loop, 1);
    assert!(left.is_finished());
    let (lent, down) = (Err(StateError::AlreadyLent), Err(StateError::NotRunning));
    let mut answers = answers.take();
    // The callback's moment, its first turn, is not that of the root future.
    answers[..3].sort_unstable_by_key(Result::is_err);
    assert_eq!(answers, [Ok(7), lent, lent, down]);
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
