//! The state and the root future: lent for the time of a run, and given back.

mod support;

use std::future::{pending, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::Poll;
use std::time::Duration;

use loopline::callback::Next;
use loopline::time::sleep;
use loopline::{Handle, StateError, yield_now};
use support::{closes_clean, event_loop};

// contract 28
#[test]
fn the_state_is_lent_inside_a_run_once_at_a_time() {
    let mut event_loop = event_loop::<u32>();
    let handle = event_loop.handle();
    assert_eq!(handle.try_with(|_| ()), Err(StateError::NotRunning));
    let text = catch_unwind(AssertUnwindSafe(|| handle.with(|_| ()))).unwrap_err();
    let text = text.downcast::<String>().unwrap();
    assert!(text.contains("the event loop is not running"), "{text}");
    handle.spawn(async move {
        handle.with(|n| {
            assert_eq!(handle.try_with(|_| ()), Err(StateError::AlreadyLent));
            *n += 1;
            let twice = catch_unwind(AssertUnwindSafe(|| handle.with(|_| ()))).unwrap_err();
            let text = twice.downcast::<String>().unwrap();
            assert!(text.contains("the state is lent already"), "{text}");
            *n += 1;
        });
        assert_eq!(handle.try_with(|n| *n), Ok(2));
    });
    handle
        .insert(futures::stream::iter([()]), move |(), _, n| {
            assert_eq!(handle.try_with(|_| ()), Err(StateError::AlreadyLent));
            *n += 10;
            Next::Keep
        })
        .unwrap();
    let mut n = 0;
    event_loop.run(&mut n).unwrap();
    assert_eq!(n, 12);
    assert_eq!(handle.try_with(|_| ()), Err(StateError::NotRunning));
    closes_clean(event_loop);
    assert_eq!(handle.try_with(|_| ()), Err(StateError::LoopGone));
    let text = catch_unwind(AssertUnwindSafe(|| handle.with(|_| ()))).unwrap_err();
    assert_eq!(*text.downcast::<String>().unwrap(), "the event loop of this handle was dropped");
}

// contract 28
#[test]
fn the_states_of_two_loops_are_lent_at_the_same_time() {
    let mut outer = event_loop::<u32>();
    let outer_handle = outer.handle();
    let result = outer.run_until(&mut 1, async {
        outer_handle.with(|n| {
            let mut inner = event_loop::<u32>();
            let handle = inner.handle();
            let task = handle.spawn(async move {
                assert_eq!(outer_handle.try_with(|_| ()), Err(StateError::AlreadyLent));
                handle.with(|n| *n * 10)
            });
            inner.turn(&mut 2, Duration::ZERO).unwrap();
            assert!(task.is_finished());
            closes_clean(inner);
            *n += 1;
        });
        outer_handle.with(|n| *n)
    });
    assert_eq!(result.unwrap(), 2);
    closes_clean(outer);
}

// contract 41
#[test]
fn the_root_future_borrows_from_its_caller() {
    let mut event_loop = event_loop::<Vec<String>>();
    let handle = event_loop.handle();
    let text = String::from("on the stack");
    let mut lines = Vec::new();
    let mut count = 0;
    let length = event_loop
        .run_until(&mut lines, async {
            for word in text.split(' ') {
                yield_now().await;
                handle.with(|lines| lines.push(word.to_owned()));
                count += 1;
            }
            sleep(Duration::from_micros(50)).await;
            &text[3..6]
        })
        .unwrap();
    assert_eq!((length, count), ("the", 3));
    assert_eq!(lines, ["on", "the", "stack"]);
    closes_clean(event_loop);
}

// contract 38
#[test]
fn the_root_future_is_dropped_while_the_state_is_still_lent() {
    struct Writes(Handle<Vec<&'static str>>);
    impl Drop for Writes {
        fn drop(&mut self) {
            self.0.with(|log| log.push("root dropped"));
        }
    }
    let mut event_loop = event_loop::<Vec<&str>>();
    let handle = event_loop.handle();
    let mut log = Vec::new();
    event_loop
        .run_until(&mut log, async {
            let _writes = Writes(handle);
            yield_now().await;
        })
        .unwrap();
    let writes = Writes(handle);
    let stopped = event_loop.run_until(&mut log, async move {
        let _writes = writes;
        handle.stop();
        pending::<()>().await;
    });
    assert!(stopped.is_err());
    assert_eq!(log, ["root dropped", "root dropped"]);
    closes_clean(event_loop);
}

// contract 35
#[test]
fn wakers_of_one_root_future_do_not_poll_the_next_one() {
    let mut event_loop = event_loop::<()>();
    let waker = event_loop.block_on(poll_fn(|cx| Poll::Ready(cx.waker().clone()))).unwrap();
    let handle = event_loop.handle();
    let mut polls = 0;
    event_loop
        .block_on(poll_fn(|cx| {
            polls += 1;
            if polls == 1 {
                let own = cx.waker().clone();
                let stale = waker.clone();
                handle.spawn(async move {
                    stale.wake();
                    // Only the next turn's is for this one.
                    handle.next_turn(move |()| own.wake());
                });
                return Poll::Pending;
            }
            Poll::Ready(())
        }))
        .unwrap();
    assert_eq!((polls, handle.stats().turns), (2, 3));
    closes_clean(event_loop);
}
