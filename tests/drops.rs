//! A future may do anything as it is dropped: cancel, wake, spawn, ask for the state.

mod support;

use std::cell::{Cell, RefCell};
use std::future::{pending, poll_fn};
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Duration;

use loopline::callback::Next;
use loopline::{Control, EventLoop, Handle, JoinHandle, StateError, yield_now};
use support::{closes_clean, ends_with_items, event_loop, scaled};

/// Turns without waiting until nothing is left to run.
fn settle(event_loop: &mut EventLoop<()>) {
    while event_loop.turn(&mut (), Duration::ZERO).unwrap().left {}
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
        let length = scaled(1_000_000);
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
    // A quarter of a byte for each; unoptimised, the calls of one of them take 70 KiB.
    std::thread::Builder::new().stack_size(256 * 1024).spawn(chain).unwrap().join().unwrap();
}

// contract 37; fault 68
#[test]
fn a_long_chain_of_tasks_that_hold_each_others_handles_ends_on_a_small_stack() {
    let many = scaled(1_000_000);
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
