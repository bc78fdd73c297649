//! Locks that nobody else wants.

use std::future::Future;

use super::{rounds, yield_once};
use crate::peer::Peer;
use crate::program::Asked;

/// The locks of one library.
pub trait Locks: 'static {
    type Mutex: 'static;
    type Semaphore: 'static;

    fn mutex() -> Self::Mutex;
    /// Locks, adds one, unlocks.
    fn add(mutex: &Self::Mutex) -> impl Future<Output = ()>;
    fn semaphore() -> Self::Semaphore;
    /// Takes one permit of several and gives it back.
    fn pass(semaphore: &Self::Semaphore) -> impl Future<Output = ()>;
}

/// The locks of [`Locks`], for libraries whose names are alike.
#[macro_export]
macro_rules! locks {
    ($library:ident, $mutex:path, $semaphore:path) => {
        impl $crate::work::locks::Locks for $library {
            type Mutex = $mutex;
            type Semaphore = $semaphore;

            fn mutex() -> Self::Mutex {
                <$mutex>::new(0)
            }

            #[inline]
            async fn add(mutex: &Self::Mutex) {
                *mutex.lock().await += 1;
            }

            fn semaphore() -> Self::Semaphore {
                <$semaphore>::new(4)
            }

            #[inline]
            async fn pass(semaphore: &Self::Semaphore) {
                let _ = semaphore.acquire().await;
            }
        }
    };
}

/// `mutex`, `semaphore`: taken and given back, by one task.
pub fn run<P: Peer, L: Locks>(asked: &Asked) -> bool {
    match asked.case.as_str() {
        "mutex" => rounds::<P, _>(asked.plan, |_, operations| async move {
            let mutex = L::mutex();
            for n in 0..operations {
                L::add(&mutex).await;
                if n % 64 == 63 {
                    yield_once().await;
                }
            }
        }),
        "semaphore" => rounds::<P, _>(asked.plan, |_, operations| async move {
            let semaphore = L::semaphore();
            for n in 0..operations {
                L::pass(&semaphore).await;
                if n % 64 == 63 {
                    yield_once().await;
                }
            }
        }),
        _ => return false,
    }
    true
}
