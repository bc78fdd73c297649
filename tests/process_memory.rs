//! Waits for signals and children that are given up leave memory as it was.
#![cfg(unix)] // processes

#[path = "support/net.rs"]
mod net;
mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::process::Stdio;
use std::sync::atomic::{AtomicIsize, Ordering};

use loopline::process::Command;
use loopline::signal::{SignalKind, signal};
use loopline::yield_now;
use net::{poll_once, soon};
use support::{block_on, scaled};

/// Bytes in use.
static IN_USE: AtomicIsize = AtomicIsize::new(0);

struct Counting;

// SAFETY: everything is the system allocator's; counting touches an atomic only.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        IN_USE.fetch_add(layout.size() as isize, Ordering::Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        IN_USE.fetch_sub(layout.size() as isize, Ordering::Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// contract 12
#[test]
fn a_million_waits_that_are_given_up_leave_memory_as_it_was() {
    block_on(async {
        let mut usr1 = signal(SignalKind::user_defined1()).unwrap();
        let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        let stdin = child.stdin.take();
        let mut rounds = async |number: usize| {
            for n in 0..number {
                assert!(poll_once(usr1.recv()).await.is_pending());
                assert!(poll_once(child.wait()).await.is_pending());
                if n % 64 == 0 {
                    yield_now().await;
                }
            }
        };
        rounds(1000).await;
        let before = IN_USE.load(Ordering::Relaxed);
        rounds(scaled(1_000_000)).await;
        let more = IN_USE.load(Ordering::Relaxed) - before;
        // The harness's own threads may print.
        assert!(more.abs() < 4096, "{more} bytes more");
        drop(stdin);
        assert!(soon(child.wait()).await.unwrap().success());
    });
}
