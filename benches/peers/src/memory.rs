//! `memory PEER [TASKS] [--handles]`: bytes asked of the allocator for each parked task beyond its future.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use peers::peer::{Calloop, Loopline, Monoio, Smol, TokioLocalRuntime, TokioLocalSet};
use peers::task::parked_memory;

struct Counting;

static LIVE: AtomicUsize = AtomicUsize::new(0);

// SAFETY: all is passed on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's contract is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's contract is the same.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn live() -> usize {
    LIVE.load(Ordering::Relaxed)
}

fn main() {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let handles = arguments.iter().any(|argument| argument == "--handles");
    arguments.retain(|argument| argument != "--handles");
    let tasks = arguments.get(1).map_or(100_000, |tasks| tasks.parse().expect("a number"));
    match arguments.first().map(String::as_str) {
        Some("loopline") => parked_memory::<Loopline>(tasks, handles, live),
        Some("tokio") => parked_memory::<TokioLocalRuntime>(tasks, handles, live),
        Some("tokio-localset") => parked_memory::<TokioLocalSet>(tasks, handles, live),
        Some("monoio") => parked_memory::<Monoio>(tasks, handles, live),
        Some("smol") => parked_memory::<Smol>(tasks, handles, live),
        Some("calloop") => parked_memory::<Calloop>(tasks, handles, live),
        _ => eprintln!("usage: memory PEER [TASKS] [--handles]"),
    }
}
