//! A million waits that are begun and dropped leave nothing behind, and allocate nothing either.
//! A file of its own, because it counts every allocation of its thread.

#[path = "support/counting.rs"]
mod counting;
mod support;

use std::future::Future;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Waker};

use counting::allocations;
use loopline::sync::{Barrier, Mutex, Notify, OnceCell, RwLock, Semaphore};
use support::{block_on, scaled};

/// Begins and drops waits, two at a time, and returns what the later ones allocated.
fn allocations_of<F: Future>(mut begin: impl FnMut() -> F) -> u64 {
    let mut cx = Context::from_waker(Waker::noop());
    let mut before = 0;
    for n in 0..scaled(500_000) {
        if n == scaled(500_000) / 10 {
            before = allocations();
        }
        let (mut first, mut second) = (pin!(begin()), pin!(begin()));
        assert!(first.as_mut().poll(&mut cx).is_pending());
        assert!(second.as_mut().poll(&mut cx).is_pending());
        assert!(first.as_mut().poll(&mut cx).is_pending());
    }
    allocations() - before
}

// contract 40
#[test]
fn waits_for_locks_that_are_cancelled_leave_nothing() {
    block_on(async {
        let semaphore = Rc::new(Semaphore::new(1));
        assert_eq!(allocations_of(|| semaphore.acquire_many(2)), 0);
        assert_eq!(semaphore.available_permits(), 1);
        let permit = semaphore.acquire().await.unwrap();
        assert_eq!(allocations_of(|| semaphore.clone().acquire_owned()), 0);
        drop(permit);
        assert!(format!("{semaphore:?}").contains("waiting: 0"));

        let mutex = Rc::new(Mutex::new(()));
        let guard = mutex.lock().await;
        assert_eq!(allocations_of(|| mutex.lock()), 0);
        drop(guard);
        assert!(mutex.try_lock().is_ok());

        let lock = RwLock::new(());
        let guard = lock.read().await;
        assert_eq!(allocations_of(|| lock.write()), 0);
        drop(guard);
        let guard = lock.try_write().unwrap();
        assert_eq!(allocations_of(|| lock.read()), 0);
        drop(guard);
        assert!(lock.try_write().is_ok());
    });
}

// contract 40
#[test]
fn waits_for_others_that_are_cancelled_leave_nothing() {
    block_on(async {
        let notify = Rc::new(Notify::new());
        assert_eq!(allocations_of(|| notify.notified()), 0);
        assert_eq!(allocations_of(|| notify.clone().notified_owned()), 0);
        assert!(format!("{notify:?}").contains("waiting: 0"));

        let barrier = Barrier::new(3);
        assert_eq!(allocations_of(|| barrier.wait()), 0);
        assert!(format!("{barrier:?}").contains("waiting: 0"));

        let cell = OnceCell::<u8>::new();
        assert_eq!(
            allocations_of(|| async {
                let make = async || std::future::pending().await;
                cell.get_or_init(make).await;
            }),
            0
        );
        cell.set(1).unwrap();
    });
}
