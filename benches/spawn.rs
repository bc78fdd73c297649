//! What does a task cost beyond what it does: to spawn, to run once, to join; and while it waits?
//!
//! Measured: allocation, queueing, one poll, the output's way to the handle. Left out: wakes
//! (`wake`), the poller; one turn in 1,024 tasks looks at it for nothing, and that stays in.
//! `parked` counts bytes asked of the allocator for each waiting task beyond its own future.
//!
//! Run: `cargo bench --bench spawn`

mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::future::{pending, poll_fn};
use std::hint::black_box;
use std::rc::Rc;
use std::task::Poll;

use support::{Suite, thread_cpu, yield_once};

/// Counts bytes by size asked for: what the allocator adds is its own affair.
struct Counting;

thread_local! {
    static LIVE: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: all is passed on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE.set(LIVE.get() + layout.size());
        // SAFETY: the caller's contract is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE.set(LIVE.get().wrapping_sub(layout.size()));
        // SAFETY: the caller's contract is the same.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const BATCH: usize = 1_000;

async fn one_by_one(tasks: usize) {
    for n in 0..tasks {
        black_box(loopline::spawn(async move { black_box(n) }).await.expect("it ends"));
    }
}

async fn batches(tasks: usize) {
    let mut joins = Vec::with_capacity(BATCH);
    for _ in 0..tasks / BATCH {
        joins.extend((0..BATCH).map(|n| loopline::spawn(async move { black_box(n) })));
        for join in joins.drain(..) {
            black_box(join.await.expect("it ends"));
        }
    }
}

async fn children(tasks: usize) {
    for _ in 0..tasks / BATCH {
        loopline::scope(async |s| {
            let mut joins = Vec::with_capacity(BATCH);
            joins.extend((0..BATCH).map(|n| s.spawn(async move { black_box(n) })));
            for join in joins {
                black_box(join.await.expect("it ends"));
            }
        })
        .await;
    }
}

/// Children that wait once, each woken by itself: what a wake by way of the scope costs, with `children`
/// taken off.
async fn children_yielding(tasks: usize) {
    for _ in 0..tasks / BATCH {
        loopline::scope(async |s| {
            for _ in 0..BATCH {
                drop(s.spawn(yield_once()));
            }
        })
        .await;
    }
}

async fn detached(tasks: usize) {
    let ran = Rc::new(Cell::new(0));
    for batch in 1..=tasks / BATCH {
        for _ in 0..BATCH {
            let ran = ran.clone();
            drop(loopline::spawn(async move { ran.set(ran.get() + 1) }));
        }
        while ran.get() < batch * BATCH {
            yield_once().await;
        }
    }
}

/// A future of some 150 bytes that waits for ever.
async fn parked() {
    let mut kept = [0_u64; 16];
    poll_fn(|_| {
        black_box(&mut kept);
        Poll::Ready(())
    })
    .await;
    pending::<()>().await;
    black_box(&kept);
}

/// Returns bytes per task: beyond the future, and the future's.
async fn park(tasks: usize, keep: bool) -> (f64, usize) {
    let mut joins = Vec::with_capacity(if keep { tasks } else { 0 });
    let handles = if keep { tasks * size_of_val(&loopline::spawn(async {})) } else { 0 };
    let before = LIVE.get();
    for _ in 0..tasks {
        let join = loopline::spawn(parked());
        if keep {
            joins.push(join);
        }
    }
    yield_once().await;
    let grown = LIVE.get() - before + handles;
    let future = size_of_val(&parked());
    (grown as f64 / tasks as f64 - future as f64, future)
}

fn main() {
    let suite = Suite::new("ns CPU per task");
    macro_rules! case {
        ($name:literal, $work:path) => {
            suite.case($name, 200_000, |tasks| {
                let mut event_loop = suite.event_loop::<()>();
                let driver = async move {
                    $work(BATCH).await;
                    let began = thread_cpu();
                    $work(tasks).await;
                    thread_cpu() - began
                };
                let all = async { loopline::spawn(driver).await.expect("it ends") };
                event_loop.block_on(all).expect("nothing stops the loop")
            });
        };
    }
    case!("spawn and join, one by one", one_by_one);
    case!("spawn 1,000, join all", batches);
    case!("spawn 1,000 detached", detached);
    case!("scope, 1,000 children, join all", children);
    case!("scope, 1,000 children that yield", children_yielding);
    for (name, keep) in [("parked, detached", false), ("parked, handle kept", true)] {
        if suite.wants(name) && !suite.counts_instructions() {
            let (bytes, future) = loopline::block_on(park(100_000, keep));
            println!("{name:<38} {bytes:>9.1} bytes beyond the future's {future}");
        }
    }
}
