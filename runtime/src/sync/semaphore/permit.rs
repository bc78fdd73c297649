//! The permits of a `Semaphore`, borrowed and owned, and why there is none.

use std::fmt;
use std::rc::Rc;

use super::Semaphore;

/// Permits of a [`Semaphore`]; given back when it is dropped.
#[must_use = "the permits go back when this is dropped"]
#[derive(Debug)]
pub struct SemaphorePermit<'a> {
    pub(in crate::sync) semaphore: &'a Semaphore,
    pub(in crate::sync) permits: usize,
}

/// Permits of a [`Semaphore`] that borrow nothing; given back when it is dropped.
#[must_use = "the permits go back when this is dropped"]
#[derive(Debug)]
pub struct OwnedSemaphorePermit {
    pub(super) semaphore: Rc<Semaphore>,
    pub(super) permits: usize,
}

impl OwnedSemaphorePermit {
    /// Returns the semaphore of the permits.
    #[must_use]
    pub fn semaphore(&self) -> &Rc<Semaphore> {
        &self.semaphore
    }

    /// Splits `n` permits off, or returns `None` if there are fewer.
    #[must_use]
    pub fn split(&mut self, n: usize) -> Option<Self> {
        self.permits = self.permits.checked_sub(n)?;
        Some(Self { semaphore: self.semaphore.clone(), permits: n })
    }

    /// Takes over the permits of another.
    ///
    /// # Panics
    ///
    /// If they are of another semaphore.
    #[track_caller]
    pub fn merge(&mut self, mut other: Self) {
        assert!(Rc::ptr_eq(&self.semaphore, &other.semaphore), "permits of another semaphore");
        self.permits += std::mem::take(&mut other.permits);
    }
}

impl<'a> SemaphorePermit<'a> {
    /// Returns the semaphore of the permits.
    #[must_use]
    pub fn semaphore(&self) -> &'a Semaphore {
        self.semaphore
    }

    /// Splits `n` permits off, or returns `None` if there are fewer.
    #[must_use]
    pub fn split(&mut self, n: usize) -> Option<Self> {
        self.permits = self.permits.checked_sub(n)?;
        Some(SemaphorePermit { semaphore: self.semaphore, permits: n })
    }

    /// Takes over the permits of another.
    ///
    /// # Panics
    ///
    /// If they are of another semaphore.
    #[track_caller]
    pub fn merge(&mut self, mut other: Self) {
        assert!(std::ptr::eq(self.semaphore, other.semaphore), "permits of another semaphore");
        self.permits += std::mem::take(&mut other.permits);
    }
}

macro_rules! permit {
    ($($permit:ty),*) => {$(
        impl $permit {
            /// Takes the permits away from the semaphore for good.
            pub fn forget(mut self) {
                self.permits = 0;
            }

            /// Returns how many permits this holds.
            #[must_use]
            pub fn num_permits(&self) -> usize {
                self.permits
            }
        }

        impl Drop for $permit {
            #[inline]
            fn drop(&mut self) {
                self.semaphore.release(self.permits);
            }
        }
    )*};
}

permit!(SemaphorePermit<'_>, OwnedSemaphorePermit);

/// The semaphore was closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AcquireError(pub(super) ());

impl fmt::Display for AcquireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the semaphore is closed")
    }
}

impl std::error::Error for AcquireError {}

/// Why there was no permit to be had at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TryAcquireError {
    /// The semaphore was closed.
    Closed,
    /// Others have them, or wait for them.
    NoPermits,
}

impl fmt::Display for TryAcquireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Closed => "the semaphore is closed",
            Self::NoPermits => "the semaphore has not so many permits now",
        })
    }
}

impl std::error::Error for TryAcquireError {}
