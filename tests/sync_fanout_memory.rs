//! Waits that are given up leave nothing, and those that are served allocate nothing once warmed up.
//! A file of its own, because it counts every allocation of its thread.

#[path = "support/counting.rs"]
mod counting;
mod support;

use counting::{allocations, bytes_held, give_up};
use loopline::spawn;
use loopline::sync::{broadcast, watch};
use loopline::task::{CancellationToken, yield_now};
use support::{block_on, scaled};

/// Asserts that `f`, once warmed up, allocates nothing.
#[track_caller]
fn allocates_nothing(times: usize, mut f: impl FnMut()) {
    f();
    let before = (allocations(), bytes_held());
    (0..times).for_each(|_| f());
    assert_eq!((allocations(), bytes_held()), before, "allocations and bytes held");
}

#[test]
fn a_million_waits_given_up_leave_memory_flat() {
    let (sender, mut receiver) = broadcast::channel::<u8>(2);
    allocates_nothing(scaled(1_000_000), || {
        give_up(receiver.recv());
        give_up(sender.closed());
    });
    let (sender, mut receiver) = watch::channel(0);
    allocates_nothing(scaled(1_000_000), || {
        give_up(receiver.changed());
        give_up(receiver.wait_for(|value| *value == 1));
        give_up(sender.closed());
    });
    let token = CancellationToken::new();
    allocates_nothing(scaled(1_000_000), || {
        give_up(token.cancelled());
        give_up(token.run_until_cancelled(std::future::pending::<()>()));
    });
}

#[test]
fn sending_and_receiving_use_the_same_memory_again() {
    let (sender, mut receiver) = broadcast::channel(8);
    let mut slow = sender.subscribe();
    for value in 0..32 {
        sender.send(value).unwrap();
    }
    allocates_nothing(scaled(100_000), || {
        assert_eq!(sender.send(1), Ok(2));
        while receiver.try_recv() != Err(broadcast::error::TryRecvError::Empty) {}
        drop(slow.try_recv());
    });
    let (sender, mut receiver) = watch::channel(0);
    allocates_nothing(scaled(100_000), || {
        sender.send(1).unwrap();
        sender.send_modify(|value| *value += 1);
        assert_eq!(*receiver.borrow_and_update(), 2);
    });
}

#[test]
fn tasks_that_wait_and_are_served_allocate_nothing() {
    block_on(async {
        let (sender, receiver) = broadcast::channel(4);
        let (sets, state) = watch::channel(0);
        let mut tasks = Vec::new();
        for _ in 0..10 {
            let (mut receiver, mut state) = (receiver.resubscribe(), state.clone());
            tasks.push(spawn(async move { while receiver.recv().await.is_ok() {} }));
            tasks.push(spawn(async move { while state.changed().await.is_ok() {} }));
        }
        drop((receiver, state));
        let round = async |rounds| {
            for value in 0..rounds {
                sender.send(value).unwrap();
                sets.send(value).unwrap();
                yield_now().await;
            }
        };
        round(1000).await;
        let rounds = scaled(10_000);
        let before = allocations();
        round(rounds).await;
        // A loop that permutes orders takes memory to do so.
        assert!(allocations() == before || std::env::var_os("LOOPLINE_SEED").is_some());
        drop((sender, sets));
        for task in tasks {
            task.await.unwrap();
        }
    });
}

#[test]
fn a_million_children_of_a_token_leave_nothing_behind() {
    let root = CancellationToken::new();
    let before = bytes_held();
    for _ in 0..scaled(1_000_000) {
        let child = root.child_token();
        give_up(child.child_token().cancelled_owned());
    }
    assert_eq!(bytes_held(), before);
    // Each a child of the one before, which is then dropped.
    let mut child = root.child_token();
    let before = bytes_held();
    for _ in 0..scaled(1_000_000) {
        child = child.child_token();
    }
    assert_eq!(bytes_held(), before);
    root.cancel();
    assert!(child.is_cancelled());
}
