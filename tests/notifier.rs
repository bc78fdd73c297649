//! The notifier, filled by somebody else.
#![cfg(target_os = "linux")] // its counter

#[path = "support/net.rs"]
mod net;
mod support;

use std::future::poll_fn;
use std::io::Write;
use std::os::fd::FromRawFd;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::task::{Poll, Waker};
use std::thread;
use std::time::Duration;

use support::{closes_clean, event_loop};

// contract 54
#[test]
fn a_notifier_that_is_full_has_notified_and_goes_on_notifying() {
    let name = "a_notifier_that_is_full_has_notified_and_goes_on_notifying";
    if !net::is_alone(name) {
        return;
    }
    // The only one of this process.
    let mut event_loop = event_loop::<()>();
    let is_counter = |entry: &std::fs::DirEntry| {
        std::fs::read_link(entry.path()).is_ok_and(|to| to.to_string_lossy().contains("eventfd"))
    };
    let mut counters = std::fs::read_dir("/proc/self/fd").unwrap().map(Result::unwrap);
    let counter = counters.find(is_counter).expect("a notifier").file_name();
    assert!(!counters.any(|entry| is_counter(&entry)), "one");
    let number: i32 = counter.to_str().unwrap().parse().unwrap();
    // SAFETY: takes an integer; a duplicate is ours.
    let mut counter = unsafe { std::fs::File::from_raw_fd(libc::dup(number)) };
    for _ in 0..100 {
        // As full as it gets: one more blocks.
        counter.write_all(&(u64::MAX - 1).to_ne_bytes()).unwrap();
        let seen = Arc::new(AtomicUsize::new(0));
        let (given, waker) = mpsc::channel::<Waker>();
        let waking = {
            let seen = seen.clone();
            thread::spawn(move || {
                let waker = waker.recv().unwrap();
                // The first comes while the loop runs or is about to wait, the rest after a while.
                for _ in 0..3 {
                    seen.fetch_add(1, Ordering::Relaxed);
                    waker.wake_by_ref();
                    thread::yield_now();
                }
            })
        };
        let mut given = Some(given);
        let woken = poll_fn(|cx| {
            if let Some(given) = given.take() {
                given.send(cx.waker().clone()).unwrap();
            }
            if seen.load(Ordering::Relaxed) == 3 { Poll::Ready(()) } else { Poll::Pending }
        });
        // A lost wake would leave it waiting for ever.
        event_loop
            .block_on(async {
                assert!(loopline::time::timeout(Duration::from_secs(30), woken).await.is_ok());
            })
            .unwrap();
        waking.join().unwrap();
        // What is left of the count, so that it can be filled again.
        let mut rest = [0; 8];
        let _ = std::io::Read::read(&mut counter, &mut rest);
    }
    closes_clean(event_loop);
}
