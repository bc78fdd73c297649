//! A panic in a drop, of a future, an output or a payload, is contained like any other.

mod support;

use std::any::Any;
use std::cell::Cell;
use std::future::{Future, pending};
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any};
use std::rc::Rc;
use std::time::Duration;

use loopline::callback::{Next, channel};
use loopline::{JoinHandle, PanicPolicy, spawn};
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
    // So with an output that was on its way to another thread.
    let join = handle.remote().spawn(|_| async { Loud }).unwrap();
    event_loop.turn(&mut (), Duration::ZERO).unwrap();
    assert!(join.is_finished());
    drop(join);
    assert!(event_loop.turn(&mut (), Duration::ZERO).unwrap().stopped);
    closes_clean(event_loop);
}

// contract 18; contract 39
#[test]
fn a_source_that_was_refused_does_not_leak_though_the_drop_of_its_callback_panics() {
    let event_loop = event_loop::<()>();
    let handle = event_loop.handle();
    closes_clean(event_loop);
    let drops = Rc::new(Cell::new(0));
    let (sender, source) = channel::<()>();
    let bomb = Bomb(drops.clone());
    let callback = move |(), _: &mut _, (): &mut ()| {
        let _ = &bomb;
        Next::Keep
    };
    let inserted = catch_unwind(AssertUnwindSafe(|| handle.insert(source, callback)));
    assert_eq!((inserted.is_err(), drops.get()), (true, 1));
    assert!(sender.send(()).is_err(), "the source is still there, and nobody has it");
}
