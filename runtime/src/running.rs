//! Who is being polled: a number that the loop's thread writes and a watchdog's may read.

use std::sync::atomic::{AtomicU64, Ordering};

/// The id of an item. Relaxed: ids are never used again, so one is right or it is none that is asked for.
#[derive(Debug)]
pub(crate) struct Running(AtomicU64);

impl Running {
    pub(crate) const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    #[inline]
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    #[inline]
    pub(crate) fn set(&self, id: u64) {
        self.0.store(id, Ordering::Relaxed);
    }
}
