//! A panic goes to the handle if somebody waits, to the caller of the root future; nobody else is hurt.

mod support;

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::future::{Future, pending};
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any, resume_unwind};
use std::rc::Rc;
use std::time::Duration;

use loopline::callback::{self, Next};
use loopline::{EventLoop, JoinError, JoinHandle, RunError, spawn, yield_now};
use support::{block_on, closes_clean, event_loop};

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
