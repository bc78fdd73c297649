//! Who is being polled: numbers that the loop's thread writes and a watchdog's may read.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// The id of an item, and which poll it is. Relaxed: ids are never used again, so one is right or it is none
/// that is asked for; the count is only compared.
#[derive(Debug)]
pub(crate) struct Running {
    id: AtomicU64,
    /// Counts down the polls of a batch, from one look at the clock to the next.
    left: AtomicUsize,
}

impl Running {
    pub(crate) const fn new() -> Self {
        Self { id: AtomicU64::new(0), left: AtomicUsize::new(0) }
    }

    #[inline]
    pub(crate) fn get(&self) -> u64 {
        self.id.load(Ordering::Relaxed)
    }

    #[inline]
    pub(crate) fn set(&self, id: u64) {
        self.id.store(id, Ordering::Relaxed);
    }

    /// How many polls of the batch are left, the one under way included.
    #[inline]
    pub(crate) fn left(&self) -> usize {
        self.left.load(Ordering::Relaxed)
    }

    #[inline]
    pub(crate) fn set_left(&self, left: usize) {
        self.left.store(left, Ordering::Relaxed);
    }
}
