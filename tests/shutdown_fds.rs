//! Loops made and dropped many times leave no descriptor. One test, because a process has one table.
#![cfg(target_os = "linux")]

mod support;

use std::future::pending;
use std::time::Duration;

use support::{closes_clean, ends_with_items, event_loop, scaled};

/// A poller and a notifier; where mio's own poll waits, a second one of the poller to register with.
const EACH: usize = if cfg!(loopline_portable_park) { 3 } else { 2 };

fn open_fds() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

// contract 38, 56; fault 89
#[test]
fn loops_made_and_dropped_many_times_leave_no_descriptor() {
    closes_clean(event_loop::<()>());
    let before = open_fds();
    for n in 0..scaled(10_000) {
        let mut event_loop = event_loop::<()>();
        let handle = event_loop.handle();
        let task = handle.spawn(async { 5 });
        assert_eq!(event_loop.block_on(task).unwrap().unwrap(), 5);
        let remote = handle.remote();
        if n % 2 == 0 {
            // With something on it, and a remote that outlives it.
            handle.spawn(pending::<()>());
            event_loop.turn(&mut (), Duration::ZERO).unwrap();
            ends_with_items(event_loop, 1);
            assert!(remote.spawn(|_| async {}).is_err());
        } else {
            drop(remote);
            closes_clean(event_loop);
        }
    }
    assert_eq!(open_fds(), before);
    // Several at once, each with its own.
    let loops: Vec<_> = (0..50).map(|_| event_loop::<()>()).collect();
    assert_eq!(open_fds(), before + EACH * loops.len());
    loops.into_iter().rev().for_each(closes_clean);
    assert_eq!(open_fds(), before);
}
