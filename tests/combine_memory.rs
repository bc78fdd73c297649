//! `select!`, `join!` and `JoinSet` take no memory of their own once they are warm, and keep none of waits
//! that were dropped. A file of its own, because it counts the allocations of its thread.

#[path = "support/counting.rs"]
mod counting;
mod support;

use std::future::{Future, pending, ready};
use std::pin::pin;
use std::task::{Context, Waker};

use counting::{allocations, bytes_held};
use loopline::callback::channel;
use loopline::{JoinSet, join, select, try_join, yield_now};
use support::{block_on, scaled};

/// Runs a step again and again, and returns what the runs after the first ones allocated.
async fn allocations_of(times: usize, mut step: impl AsyncFnMut()) -> u64 {
    for _ in 0..300 {
        step().await;
    }
    let before = allocations();
    for _ in 0..times {
        step().await;
    }
    allocations() - before
}

#[test]
fn the_counter_counts() {
    let step = async || drop(std::hint::black_box(Box::new(1)));
    assert_eq!(block_on(allocations_of(1000, step)), 1000);
}

#[test]
fn select_and_join_allocate_nothing() {
    let (sender, mut messages) = channel();
    let step = async || {
        sender.send(1).unwrap();
        select! {
            Some(n) = messages.next() => assert_eq!(n, 1),
            () = pending() => unreachable!(),
        }
        assert_eq!(join!(ready(1), async { yield_now().await }), (1, ()));
        let yielding = async {
            yield_now().await;
            Ok::<_, ()>(2)
        };
        assert_eq!(try_join!(ready(Ok(1)), yielding), Ok((1, 2)));
    };
    assert_eq!(block_on(allocations_of(1000, step)), 0);
}

#[test]
fn a_set_allocates_nothing_for_a_task_but_the_task() {
    block_on(async {
        let mut set: JoinSet<u32> = (0..100).map(ready).collect();
        let step = async || {
            set.join_next().await.unwrap().unwrap();
            set.spawn(ready(5));
        };
        assert_eq!(allocations_of(scaled(10_000), step).await, scaled(10_000) as u64);
    });
}

// contract 40
#[test]
fn a_million_dropped_waits_leave_memory_flat() {
    block_on(async {
        let mut set: JoinSet<u32> = [pending()].into_iter().collect();
        let (_sender, mut messages) = channel::<()>();
        let mut cx = Context::from_waker(Waker::noop());
        let mut wait = |set: &mut JoinSet<u32>, messages: &mut loopline::callback::Channel<()>| {
            let mut selecting = pin!(async {
                select! {
                    _ = set.join_next() => unreachable!(),
                    _ = async { join!(messages.next(), pending::<()>()) } => unreachable!(),
                }
            });
            assert!(selecting.as_mut().poll(&mut cx).is_pending());
        };
        (0..100).for_each(|_| wait(&mut set, &mut messages));
        let many = scaled(1_000_000);
        let before = (allocations(), bytes_held());
        (0..many).for_each(|_| wait(&mut set, &mut messages));
        assert_eq!((allocations(), bytes_held()), before);
    });
}

#[test]
fn a_set_that_was_large_gives_its_memory_back() {
    block_on(async {
        let mut set = JoinSet::new();
        // More than the loop has slots for at first, which it keeps.
        let many = scaled(10_000).max(2000);
        let before = bytes_held();
        for _ in 0..5 {
            set.extend((0..many).map(ready));
            while set.join_next().await.is_some() {}
        }
        // The loop keeps its own slots; the set holds nothing that grew.
        set.extend((0..100).map(ready));
        while set.join_next().await.is_some() {}
        let with_set = bytes_held();
        drop(set);
        assert!(with_set - bytes_held() < 8192, "{} bytes", with_set - bytes_held());
        assert!(before < with_set);
    });
}
