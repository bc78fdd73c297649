//! Timers that are cancelled give their memory back at once. A file of its own, because it counts the
//! bytes of its thread.

mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Waker};
use std::time::Duration;

use loopline::Handle;
use loopline::time::{Sleep, sleep};
use support::{block_on, scaled};

/// The system's allocator, with a count of the bytes that this thread has.
struct Counting;

thread_local! {
    static BYTES: Cell<isize> = const { Cell::new(0) };
}

fn count(bytes: isize) {
    // A thread that is ending counts no more.
    let _ = BYTES.try_with(|all| all.set(all.get() + bytes));
}

// SAFETY: passes every call on unchanged; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller's promises are the system allocator's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: as in `alloc`.
        unsafe { System.dealloc(block, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn timers() -> usize {
    Handle::<()>::try_current().expect("a loop that runs").stats().timers
}

/// A sleep that has begun.
fn begun(length: Duration) -> std::pin::Pin<Box<Sleep>> {
    let mut sleep = Box::pin(sleep(length));
    assert!(sleep.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    sleep
}

// contract 45; fault 76
#[test]
fn cancelled_timers_leave_nothing_behind() {
    block_on(async {
        let mut cx = Context::from_waker(Waker::noop());
        let mut before = 0;
        for round in 0..scaled(1_000_000) {
            if round == scaled(1_000_000) / 10 {
                before = BYTES.get();
            }
            let wait = Duration::from_secs(1 + round as u64 % 100_000);
            assert!(pin!(sleep(wait)).poll(&mut cx).is_pending());
        }
        assert_eq!(BYTES.get(), before);
        assert_eq!(timers(), 0);
    });
}

// contract 45; fault 76
#[test]
fn a_window_of_timers_cancelled_oldest_first_takes_no_more_memory_than_the_window() {
    block_on(async {
        let window = 1000;
        let mut waiting = std::collections::VecDeque::with_capacity(window + 1);
        let mut before = 0;
        for round in 0..scaled(500_000).max(5 * window) {
            waiting.push_back(begun(Duration::from_secs(30)));
            if waiting.len() > window {
                waiting.pop_front();
            }
            if round == 2 * window {
                before = BYTES.get();
            }
            assert!(timers() <= window + 1);
        }
        // What is kept of emptied buckets may grow to all that may be kept.
        assert!(BYTES.get() - before <= 4096, "{} bytes", BYTES.get() - before);
        drop(waiting);
        assert_eq!(timers(), 0);
    });
}
