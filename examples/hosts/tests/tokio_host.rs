//! tokio as the host of a loop: `AsyncFd` on the guest's descriptor.

#[path = "../../../tests/support/mod.rs"]
mod support;
#[path = "../../../tests/support/work.rs"]
mod work;

use std::os::fd::{AsFd, BorrowedFd};
use std::thread;
use std::time::Duration;

use loopline::Guest;
use support::{TestLoop, closes_clean, event_loop, scaled};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use work::workload;

/// The guest's descriptor, watched for one direction alone.
fn watch<S>(guest: &Guest<S>) -> AsyncFd<BorrowedFd<'_>> {
    // SAFETY: a borrowed descriptor stays the same and open.
    unsafe { AsyncFd::register_with_interest(guest.as_fd(), Interest::READABLE) }.unwrap()
}

// contract 23, 57
#[test]
fn tokio_drives_a_guest_by_its_descriptor() {
    let host = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let event_loop = event_loop::<usize>();
    let (expected, outside) = workload(event_loop.handle(), scaled(20_000));
    let guest = event_loop.lend();
    let outside = thread::spawn(outside);
    let mut count = 0;
    host.block_on(async {
        let descriptor = watch(&guest);
        while !guest.is_finished() {
            // Cleared first: what comes during the turn is a new edge.
            descriptor.readable().await.unwrap().clear_ready();
            guest.turn(&mut count).unwrap();
        }
    });
    outside.join().unwrap();
    assert_eq!(count, expected);
    closes_clean(TestLoop::take_back(guest));
}

#[test]
fn an_idle_guest_does_not_wake_tokio() {
    let host = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let guest = event_loop::<()>().lend();
    host.block_on(async {
        let descriptor = watch(&guest);
        let quiet = tokio::time::timeout(Duration::from_millis(100), descriptor.readable()).await;
        assert!(quiet.is_err());
    });
    closes_clean(TestLoop::take_back(guest));
}
