//! The bell alone, without the ordinary alarm that a timer has as well.

use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use super::*;
use crate::EventLoop;

fn here() -> BootWatch {
    BootWatch::new(with_current(|shared| shared.expect("inside a turn").id))
}

// contract 42, 46
#[test]
fn the_kernels_alarm_wakes_the_loop_at_the_deadline_and_not_before() {
    let mut event_loop = EventLoop::<()>::new().unwrap();
    let polls = event_loop.block_on(async {
        let mut watch = here();
        let mut polls = 0;
        for wait in [3_000_000, 1_000_000, 2_000_000] {
            let deadline = watch.now() + wait;
            watch.set(deadline, deadline);
            poll_fn(|cx| {
                polls += 1;
                if watch.is_due() {
                    return Poll::Ready(());
                }
                watch.wait(cx);
                Poll::Pending
            })
            .await;
            assert!(boot_now() >= deadline);
        }
        polls
    });
    // Each waits once, and is woken once: the same descriptor rings three times.
    assert_eq!(polls.unwrap(), 6);
    assert_eq!(event_loop.handle().stats().registrations, 0);
}

// contract 46
#[test]
fn a_deadline_moved_while_it_is_waited_for_rings_at_the_new_one_only() {
    let mut event_loop = EventLoop::<()>::new().unwrap();
    let waited = event_loop.block_on(async {
        let mut watch = here();
        let start = watch.now();
        watch.set(start + 3_600_000_000_000, start + 3_600_000_000_000);
        let mut waits = 0;
        poll_fn(|cx| {
            if waits == 1 {
                watch.set(start + 2_000_000, start + 2_000_000);
            }
            if watch.is_due() {
                return Poll::Ready(());
            }
            watch.wait(cx);
            waits += 1;
            if waits == 1 {
                cx.waker().wake_by_ref();
            }
            Poll::Pending
        })
        .await;
        Duration::from_nanos(watch.now() - start)
    });
    let waited = waited.unwrap();
    assert!(waited >= Duration::from_millis(2) && waited < Duration::from_secs(60), "{waited:?}");
}
