//! A scope that lives long keeps nothing of children that ended. A file of its own, because it counts
//! what its thread takes from the allocator and gives back.

#[path = "support/counting.rs"]
mod counting;
mod support;

use std::future::{Future, pending, poll_fn};
use std::task::Poll;

use counting::bytes_held;
use loopline::{scope, yield_now};
use support::{block_on, scaled};

/// Runs a step many times, and returns how many bytes more are held after the rest than after some.
async fn growth_of(times: usize, mut step: impl AsyncFnMut()) -> isize {
    for _ in 0..100 {
        step().await;
    }
    let before = bytes_held();
    for _ in 0..times {
        step().await;
    }
    bytes_held() - before
}

#[test]
fn a_million_short_children_leave_nothing_behind_in_a_scope_that_goes_on() {
    block_on(async {
        scope(async |s| {
            let long = s.spawn(pending::<()>());
            let batch = async || {
                for n in 0..10 {
                    let child = s.spawn(async move {
                        if n % 3 == 0 {
                            yield_now().await;
                        }
                    });
                    if n % 4 == 1 {
                        child.cancel();
                    } else if n % 4 == 2 {
                        assert!(child.control().cancel());
                    }
                }
                while s.len() > 1 {
                    yield_now().await;
                }
            };
            let grown = growth_of(scaled(100_000), batch).await;
            assert_eq!(grown, 0, "bytes held more after a million children");
            long.cancel();
        })
        .await;
    });
}

#[test]
fn a_million_waits_given_up_leave_nothing_behind() {
    block_on(async {
        scope(async |s| {
            let child = s.spawn(pending::<()>());
            let mut child = Some(child);
            let wait = async || {
                let mut closing = std::pin::pin!(s.closing());
                let mut waiting = child.take().unwrap();
                poll_fn(|cx| {
                    assert!(closing.as_mut().poll(cx).is_pending());
                    assert!(std::pin::Pin::new(&mut waiting).poll(cx).is_pending());
                    Poll::Ready(())
                })
                .await;
                child = Some(waiting);
            };
            assert_eq!(growth_of(scaled(1_000_000), wait).await, 0);
            child.unwrap().cancel();
        })
        .await;
    });
}

#[test]
fn a_scope_gives_back_what_a_crowd_took() {
    block_on(async {
        let crowd = async || {
            scope(async |s| {
                let before = bytes_held();
                for _ in 0..100_000 {
                    s.spawn(yield_now());
                }
                while !s.is_empty() {
                    yield_now().await;
                }
                bytes_held() - before
            })
            .await
        };
        // Of the first one the loop keeps its slots.
        crowd().await;
        let kept = crowd().await;
        assert!(kept < 1024, "{kept} bytes held after a crowd of which nobody is left");
    });
}

#[test]
fn scopes_that_ended_or_were_dropped_leave_nothing_behind() {
    block_on(async {
        let ended = async || {
            scope(async |s| {
                for _ in 0..5 {
                    s.spawn(yield_now());
                }
            })
            .await;
        };
        assert_eq!(growth_of(scaled(10_000), ended).await, 0);
        let dropped = async || {
            let mut waiting = std::pin::pin!(scope(async |s| {
                s.spawn(pending::<()>());
                pending::<()>().await;
            }));
            poll_fn(|cx| {
                assert!(waiting.as_mut().poll(cx).is_pending());
                Poll::Ready(())
            })
            .await;
        };
        assert_eq!(growth_of(scaled(10_000), dropped).await, 0);
    });
}
