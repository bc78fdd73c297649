//! The wait for permits, which is the wait of all locks.

use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use super::{AcquireError, Semaphore, TryAcquireError, Want};
use crate::waiters::Key;
use crate::wake::copy;
use crate::{budget, waits};

/// Who waits at a semaphore, as the report of a deadlock says it.
pub(in crate::sync) trait Purpose {
    const WHAT: &'static str;
}

impl Purpose for Semaphore {
    const WHAT: &'static str = "a permit (Semaphore)";
}

/// Waits for permits; its owner makes them into a permit of its kind.
pub(in crate::sync) struct Acquire<'a, P> {
    semaphore: &'a Semaphore,
    n: usize,
    /// Its place in line, once it waits.
    key: Option<Key>,
    /// A type, so that it takes no room in the futures.
    purpose: PhantomData<fn() -> P>,
}

impl<'a, P> Acquire<'a, P> {
    #[inline]
    pub(in crate::sync) fn new(semaphore: &'a Semaphore, n: usize) -> Self {
        Self { semaphore, n, key: None, purpose: PhantomData }
    }

    /// Gets in line.
    #[cold]
    fn begin(&mut self, cx: &Context<'_>) -> Result<(), TryAcquireError> {
        let waker = copy(cx.waker());
        // Once more: a foreign waker's clone may have given permits back, or closed the semaphore.
        let taken = self.semaphore.try_acquire_many_usize(self.n);
        if !matches!(taken, Err(TryAcquireError::NoPermits)) {
            // Its drop may panic: the permits are held meanwhile.
            drop(waker);
            return taken.map(super::SemaphorePermit::forget);
        }
        // What there is goes to the first in line, also if it is not enough.
        let given = self.semaphore.permits.take();
        let want = Want { all: self.n, missing: self.n - given };
        self.key = Some(self.semaphore.waiters.borrow_mut().push(want, waker));
        Err(TryAcquireError::NoPermits)
    }

    /// Looks whether it was reached.
    #[cold]
    fn go_on(&mut self, cx: &Context<'_>) -> Result<(), TryAcquireError> {
        if self.key.as_ref().is_some_and(|key| self.is_waiting(key, cx)) {
            return Err(TryAcquireError::NoPermits);
        }
        let Some(key) = self.key.take() else { return Err(TryAcquireError::NoPermits) };
        let (want, _none) = self.semaphore.waiters.borrow_mut().take(key);
        if want.missing == 0 {
            return Ok(());
        }
        self.semaphore.release(want.all - want.missing);
        Err(TryAcquireError::Closed)
    }

    fn is_waiting(&self, key: &Key, cx: &Context<'_>) -> bool {
        let waiters = self.semaphore.waiters.borrow();
        if waiters.wakes(key, cx.waker()) {
            return waiters.is_waiting(key);
        }
        drop(waiters);
        let waker = copy(cx.waker());
        let mut waiters = self.semaphore.waiters.borrow_mut();
        // A foreign waker's clone may have given permits back: then the wake went to the old one.
        let waiting = waiters.is_waiting(key);
        let old = waiters.set_waker(key, waker);
        drop(waiters);
        drop(old);
        waiting
    }
}

impl<P: Purpose> Future for Acquire<'_, P> {
    type Output = Result<(), AcquireError>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let permit = ready!(budget::poll_proceed(cx));
        let this = &mut *self;
        let taken = match &this.key {
            None => match this.semaphore.try_take(this.n) {
                Err(TryAcquireError::NoPermits) => this.begin(cx),
                taken => taken,
            },
            Some(_) => this.go_on(cx),
        };
        let result = match taken {
            Ok(()) => Ok(()),
            Err(TryAcquireError::Closed) => Err(AcquireError(())),
            Err(TryAcquireError::NoPermits) => {
                waits::note(P::WHAT);
                return Poll::Pending;
            }
        };
        permit.spend();
        Poll::Ready(result)
    }
}

impl<P> Drop for Acquire<'_, P> {
    #[inline]
    fn drop(&mut self) {
        if let Some(key) = self.key.take() {
            leave(self.semaphore, key);
        }
    }
}

/// Passes what a wait was given to the next in line.
#[cold]
fn leave(semaphore: &Semaphore, key: Key) {
    let (want, waker) = semaphore.waiters.borrow_mut().take(key);
    semaphore.release(want.all - want.missing);
    // Last, for a foreign waker's drop may panic.
    drop(waker);
}
