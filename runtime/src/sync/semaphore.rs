//! `Semaphore`: a number of permits, handed out first in, first out.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::marker::PhantomData;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::rc::Rc;

use crate::waiters::{WaitList, wake};

mod acquire;
mod permit;

pub(super) use self::acquire::{Acquire, Purpose};
pub use self::permit::{AcquireError, OwnedSemaphorePermit, SemaphorePermit, TryAcquireError};

/// A number of permits; who wants more than there are waits in line.
///
/// Who asks for many at the head of the line collects them as they come, and those behind wait: nobody
/// starves.
///
/// # Examples
///
/// At most two requests at a time:
///
/// ```
/// # loopline_runtime::block_on(async {
/// use loopline_runtime::sync::Semaphore;
/// use std::{rc::Rc, time::Duration};
///
/// let limit = Rc::new(Semaphore::new(2));
/// let requests: Vec<_> = (0..4)
///     .map(|_| {
///         let limit = limit.clone();
///         loopline_runtime::spawn(async move {
///             let _permit = limit.acquire().await.expect("never closed");
///             assert!(limit.available_permits() < 2);
///             loopline_runtime::time::sleep(Duration::from_millis(1)).await;
///         })
///     })
///     .collect();
/// for request in requests {
///     request.await.unwrap();
/// }
/// assert_eq!(limit.available_permits(), 2);
/// # });
/// ```
///
/// It stays on its thread:
///
/// ```compile_fail,E0277
/// let semaphore = loopline_runtime::sync::Semaphore::new(1);
/// std::thread::spawn(move || semaphore.available_permits());
/// ```
///
/// ```
/// # loopline_runtime::block_on(async {
/// let semaphore = loopline_runtime::sync::Semaphore::new(1);
/// loopline_runtime::spawn(async move { semaphore.available_permits() });
/// # });
/// ```
pub struct Semaphore {
    permits: Cell<usize>,
    closed: Cell<bool>,
    /// Who waits. A wait that was reached has all its permits, unless the semaphore was closed.
    waiters: RefCell<WaitList<Want>>,
    /// !Send: it is of the tasks of one thread.
    _thread: PhantomData<*const ()>,
}

// Nothing in it can be seen half changed.
impl UnwindSafe for Semaphore {}
impl RefUnwindSafe for Semaphore {}

/// What one wait asked for.
#[derive(Debug)]
struct Want {
    all: usize,
    missing: usize,
}

impl Semaphore {
    /// The most permits there can be.
    pub const MAX_PERMITS: usize = usize::MAX >> 3;

    /// Makes a semaphore with that many permits.
    ///
    /// # Panics
    ///
    /// If there are more than [`Semaphore::MAX_PERMITS`].
    #[must_use]
    #[track_caller]
    pub const fn new(permits: usize) -> Self {
        assert!(permits <= Self::MAX_PERMITS, "a semaphore has MAX_PERMITS at most");
        Self {
            permits: Cell::new(permits),
            closed: Cell::new(false),
            waiters: RefCell::new(WaitList::new()),
            _thread: PhantomData,
        }
    }

    /// Returns how many permits nobody has or waits for.
    #[must_use]
    pub fn available_permits(&self) -> usize {
        self.permits.get()
    }

    /// Adds permits; who waits gets them first.
    ///
    /// # Panics
    ///
    /// If there would be more than [`Semaphore::MAX_PERMITS`].
    #[track_caller]
    pub fn add_permits(&self, n: usize) {
        let permits = self.permits.get().checked_add(n);
        let permits = permits.filter(|permits| *permits <= Self::MAX_PERMITS);
        assert!(permits.is_some(), "a semaphore has MAX_PERMITS at most");
        self.release(n);
    }

    /// Takes up to `n` available permits away for good. Returns how many.
    pub fn forget_permits(&self, n: usize) -> usize {
        let taken = n.min(self.permits.get());
        self.permits.set(self.permits.get() - taken);
        taken
    }

    /// Waits for a permit; dropping it gives it back.
    ///
    /// # Errors
    ///
    /// If the semaphore is closed.
    ///
    /// # Cancel safety
    ///
    /// Strict: only the place in line is lost.
    pub async fn acquire(&self) -> Result<SemaphorePermit<'_>, AcquireError> {
        Acquire::<Self>::new(self, 1).await?;
        Ok(SemaphorePermit { semaphore: self, permits: 1 })
    }

    /// Waits for `n` permits together.
    ///
    /// # Errors
    ///
    /// If the semaphore is closed.
    ///
    /// # Cancel safety
    ///
    /// Strict: only the place in line is lost.
    pub async fn acquire_many(&self, n: u32) -> Result<SemaphorePermit<'_>, AcquireError> {
        Acquire::<Self>::new(self, n as usize).await?;
        Ok(SemaphorePermit { semaphore: self, permits: n as usize })
    }

    /// Takes a permit if there is one.
    ///
    /// # Errors
    ///
    /// If there is none, or the semaphore is closed.
    pub fn try_acquire(&self) -> Result<SemaphorePermit<'_>, TryAcquireError> {
        self.try_acquire_many(1)
    }

    /// Takes `n` permits if there are so many.
    ///
    /// # Errors
    ///
    /// If there are not, or the semaphore is closed.
    pub fn try_acquire_many(&self, n: u32) -> Result<SemaphorePermit<'_>, TryAcquireError> {
        self.try_permits(n as usize)
    }

    fn try_permits(&self, n: usize) -> Result<SemaphorePermit<'_>, TryAcquireError> {
        self.try_take(n)?;
        Ok(SemaphorePermit { semaphore: self, permits: n })
    }

    /// As [`Semaphore::acquire`], with a permit that borrows nothing.
    ///
    /// # Errors
    ///
    /// If the semaphore is closed.
    ///
    /// # Cancel safety
    ///
    /// Strict: only the place in line is lost.
    pub async fn acquire_owned(self: Rc<Self>) -> Result<OwnedSemaphorePermit, AcquireError> {
        Acquire::<Self>::new(&self, 1).await?;
        Ok(OwnedSemaphorePermit { semaphore: self, permits: 1 })
    }

    /// As [`Semaphore::acquire_many`], with permits that borrow nothing.
    ///
    /// # Errors
    ///
    /// If the semaphore is closed.
    ///
    /// # Cancel safety
    ///
    /// Strict: only the place in line is lost.
    pub async fn acquire_many_owned(
        self: Rc<Self>,
        n: u32,
    ) -> Result<OwnedSemaphorePermit, AcquireError> {
        Acquire::<Self>::new(&self, n as usize).await?;
        Ok(OwnedSemaphorePermit { semaphore: self, permits: n as usize })
    }

    /// As [`Semaphore::try_acquire`], with a permit that borrows nothing.
    ///
    /// # Errors
    ///
    /// If there is none, or the semaphore is closed.
    pub fn try_acquire_owned(self: Rc<Self>) -> Result<OwnedSemaphorePermit, TryAcquireError> {
        self.try_acquire_many_owned(1)
    }

    /// As [`Semaphore::try_acquire_many`], with permits that borrow nothing.
    ///
    /// # Errors
    ///
    /// If there are not so many, or the semaphore is closed.
    pub fn try_acquire_many_owned(
        self: Rc<Self>,
        n: u32,
    ) -> Result<OwnedSemaphorePermit, TryAcquireError> {
        self.try_take(n as usize)?;
        Ok(OwnedSemaphorePermit { semaphore: self, permits: n as usize })
    }

    /// Refuses permits from now on, to those who wait too. Permits that are out stay.
    pub fn close(&self) {
        self.closed.set(true);
        loop {
            let reached = self.waiters.borrow_mut().reach().map(|(_, waker)| waker);
            let Some(waker) = reached else { return };
            wake(waker);
        }
    }

    /// Whether the semaphore is closed.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.closed.get()
    }

    /// Gives back permits that were taken.
    #[inline]
    pub(super) fn release(&self, n: usize) {
        // Saturates only if many were added while as many were out; a drop must not panic for it.
        self.permits.set(self.permits.get().saturating_add(n));
        if !self.waiters.borrow().is_empty() {
            self.hand_out();
        }
    }

    #[inline]
    pub(super) fn try_take(&self, n: usize) -> Result<(), TryAcquireError> {
        if self.closed.get() {
            return Err(TryAcquireError::Closed);
        }
        // While anybody waits there is none: the first in line has it.
        let rest = self.permits.get().checked_sub(n).ok_or(TryAcquireError::NoPermits)?;
        self.permits.set(rest);
        Ok(())
    }

    /// Gives what there is to those who wait, in order.
    #[cold]
    fn hand_out(&self) {
        loop {
            let mut waiters = self.waiters.borrow_mut();
            let Some(want) = waiters.first().filter(|_| !self.closed.get()) else { return };
            let given = want.missing.min(self.permits.get());
            want.missing -= given;
            self.permits.set(self.permits.get() - given);
            if want.missing != 0 {
                return;
            }
            let reached = waiters.reach().map(|(_, waker)| waker);
            drop(waiters);
            reached.into_iter().for_each(wake);
        }
    }
}

impl fmt::Debug for Semaphore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Semaphore")
            .field("permits", &self.permits)
            .field("waiting", &self.waiters.borrow().len())
            .field("closed", &self.closed)
            .finish()
    }
}
