//! Channels in use take no memory, and waits that are given up leave none behind.
//! A file of its own, because it counts every allocation of its thread.

#[path = "support/polled.rs"]
mod polled;
mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::pin::pin;
use std::task::{Context, Waker};

use loopline::sync::{mpsc, oneshot};
use loopline::{spawn, yield_now};
use support::{block_on, scaled};

/// The system's allocator, with a count of what each thread takes and holds.
struct Counting;

thread_local! {
    static TAKEN: Cell<u64> = const { Cell::new(0) };
    static HELD: Cell<isize> = const { Cell::new(0) };
}

fn count(times: u64, bytes: isize) {
    // A thread that is ending counts no more.
    let _ = TAKEN.try_with(|taken| taken.set(taken.get() + times));
    let _ = HELD.try_with(|held| held.set(held.get() + bytes));
}

// SAFETY: passes every call on unchanged; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(1, layout.size() as isize);
        // SAFETY: the caller's promises are the system allocator's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        count(0, -(layout.size() as isize));
        // SAFETY: as in `alloc`.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(1, size as isize - layout.size() as isize);
        // SAFETY: as in `alloc`.
        unsafe { System.realloc(block, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Polls a future once and drops it.
fn give_up(future: impl Future) {
    assert!(pin!(future).poll(&mut Context::from_waker(Waker::noop())).is_pending());
}

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
    let before = (TAKEN.get(), HELD.get());
    (0..rounds).for_each(&mut fill);
    // The boxes are the only ones.
    assert_eq!((TAKEN.get() - before.0, HELD.get()), (rounds as u64, before.1));
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
                before = TAKEN.get();
            }
            for _ in 0..10 {
                receiver.recv().await.unwrap();
                burst.send(round).unwrap();
            }
            while bursts.try_recv().is_ok() {}
            yield_now().await;
        }
        let taken = TAKEN.get() - before;
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
        let before = HELD.get();
        (0..100_000_u64).try_for_each(|n| sender.send(n)).unwrap();
        assert!(HELD.get() - before >= 800_000);
        while receiver.try_recv().is_ok() {}
        give_up(receiver.recv());
        assert_eq!(HELD.get(), before);
    });
}

#[test]
fn a_channel_takes_memory_for_no_more_messages_than_it_holds() {
    let (sender, mut receiver) = mpsc::channel::<[u8; 1000]>(5);
    let before = HELD.get();
    for _ in 0..3 {
        while sender.try_send([0; 1000]).is_ok() {}
        assert_eq!(HELD.get() - before, 5000);
        while receiver.try_recv().is_ok() {}
    }
}
