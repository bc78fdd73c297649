//! Channels in use take no memory, and waits that are given up leave none behind.
//! A file of its own, because it counts every allocation of its thread.

#[path = "support/counting.rs"]
mod counting;
#[path = "support/polled.rs"]
mod polled;
mod support;

use std::task::{Context, Waker};

use counting::{allocations, bytes_held, give_up};
use loopline::sync::{mpsc, oneshot};
use loopline::{spawn, yield_now};
use support::{block_on, scaled};

// contract 40
#[test]
fn a_million_waits_that_were_given_up_leave_nothing() {
    let (sender, mut receiver) = mpsc::channel(2);
    let (empty, mut waiting) = mpsc::unbounded_channel::<()>();
    let (mut answer, mut answered) = oneshot::channel::<()>();
    (0..2).try_for_each(|n| sender.try_send(n)).unwrap();
    let mut round = |n| {
        give_up(sender.send(n));
        give_up(sender.reserve());
        give_up(sender.reserve_many(2));
        give_up(sender.closed());
        give_up(empty.closed());
        give_up(waiting.recv());
        give_up(waiting.recv_many(&mut Vec::new(), 4));
        give_up(answer.closed());
        give_up(&mut answered);
        // One in line is reached, and given up then.
        let mut reached = Box::pin(sender.send(n));
        assert!(reached.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        assert!(receiver.try_recv().is_ok());
        assert_eq!(sender.capacity(), 0);
        drop(reached);
        n
    };
    let mut fill = |n| {
        let n = round(n);
        sender.try_send(n).unwrap();
    };
    (0..100).for_each(&mut fill);
    let rounds = scaled(100_000);
    let before = (allocations(), bytes_held());
    (0..rounds).for_each(&mut fill);
    // The boxes are the only ones.
    assert_eq!((allocations() - before.0, bytes_held()), (rounds as u64, before.1));
}

#[test]
fn messages_that_come_and_go_allocate_nothing() {
    let taken = block_on(async {
        let (sender, mut receiver) = mpsc::channel(4);
        let (burst, mut bursts) = mpsc::unbounded_channel();
        let work = spawn(async move {
            let mut n = 0_u32;
            while sender.send(n).await.is_ok() {
                n += 1;
            }
        });
        let mut before = 0;
        for round in 0..1100 {
            if round == 100 {
                before = allocations();
            }
            for _ in 0..10 {
                receiver.recv().await.unwrap();
                burst.send(round).unwrap();
            }
            while bursts.try_recv().is_ok() {}
            yield_now().await;
        }
        let taken = allocations() - before;
        drop(receiver);
        work.await.unwrap();
        taken
    });
    // A seeded loop permutes orders, which takes memory.
    assert!(taken == 0 || std::env::var_os("LOOPLINE_SEED").is_some(), "{taken} allocations");
}

#[test]
fn a_burst_gives_its_memory_back() {
    block_on(async {
        let (sender, mut receiver) = mpsc::unbounded_channel();
        let before = bytes_held();
        (0..100_000_u64).try_for_each(|n| sender.send(n)).unwrap();
        assert!(bytes_held() - before >= 800_000);
        while receiver.try_recv().is_ok() {}
        give_up(receiver.recv());
        assert_eq!(bytes_held(), before);
    });
}

#[test]
fn a_channel_takes_memory_for_no_more_messages_than_it_holds() {
    let (sender, mut receiver) = mpsc::channel::<[u8; 1000]>(5);
    let before = bytes_held();
    for _ in 0..3 {
        while sender.try_send([0; 1000]).is_ok() {}
        assert_eq!(bytes_held() - before, 5000);
        while receiver.try_recv().is_ok() {}
    }
}
