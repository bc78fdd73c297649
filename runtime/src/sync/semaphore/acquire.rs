//! The wait for permits, which is the wait of all locks.

use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

use super::{AcquireError, Semaphore, TryAcquireError, Want};
use crate::budget;
use crate::waiters::Key;
use crate::waits;
use crate::wake::copy;

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
    place: Place,
    /// A type, so that it takes no room in the futures.
    purpose: PhantomData<fn() -> P>,
}

/// Where a wait stands.
enum Place {
    /// Not in line, or done.
    New,
    InLine(Key),
    /// It has its permits, and waits for a budget.
    Given,
}

impl<'a, P> Acquire<'a, P> {
    #[inline]
    pub(in crate::sync) fn new(semaphore: &'a Semaphore, n: usize) -> Self {
        Self { semaphore, n, place: Place::New, purpose: PhantomData }
    }

    /// Gets in line.
    #[cold]
    fn begin(&mut self, cx: &Context<'_>) -> Result<(), TryAcquireError> {
        let waker = copy(cx.waker());
        // Once more: a foreign waker's clone may have given permits back, or closed the semaphore.
        let taken = self.semaphore.try_permits(self.n);
        if !matches!(taken, Err(TryAcquireError::NoPermits)) {
            // Its drop may panic: the permits are held meanwhile.
            drop(waker);
            return taken.map(super::SemaphorePermit::forget);
        }
        // What there is goes to the first in line, also if it is not enough.
        let given = self.semaphore.permits.take();
        let want = Want { all: self.n, missing: self.n - given };
        self.place = Place::InLine(self.semaphore.waiters.borrow_mut().push(want, waker));
        Err(TryAcquireError::NoPermits)
    }

    /// Looks whether it was reached.
    #[cold]
    fn go_on(&mut self, cx: &Context<'_>) -> Result<(), TryAcquireError> {
        if self.is_waiting(cx) {
            return Err(TryAcquireError::NoPermits);
        }
        let Some((want, _none)) = self.take_node() else { return Ok(()) };
        if want.missing == 0 {
            return Ok(());
        }
        self.semaphore.release(want.all - want.missing);
        Err(TryAcquireError::Closed)
    }

    fn take_node(&mut self) -> Option<(Want, Option<Waker>)> {
        match std::mem::replace(&mut self.place, Place::New) {
            Place::InLine(key) => Some(self.semaphore.waiters.borrow_mut().take(key)),
            Place::New | Place::Given => None,
        }
    }

    /// Passes what it was given to the next in line.
    #[cold]
    fn leave(&mut self) {
        if matches!(self.place, Place::Given) {
            self.place = Place::New;
            self.semaphore.release(self.n);
        } else if let Some((want, waker)) = self.take_node() {
            self.semaphore.release(want.all - want.missing);
            // Last, for a foreign waker's drop may panic.
            drop(waker);
        }
    }

    fn is_waiting(&self, cx: &Context<'_>) -> bool {
        let Place::InLine(key) = &self.place else { return false };
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
        let this = &mut *self;
        let taken = match &this.place {
            Place::New => match this.semaphore.try_take(this.n) {
                Err(TryAcquireError::NoPermits) => this.begin(cx),
                taken => taken,
            },
            Place::InLine(_) => this.go_on(cx),
            Place::Given => Ok(()),
        };
        match taken {
            Ok(()) => {
                // Only now: who has used up its budget gets in line and is served like the others. The
                // permits are held meanwhile, also if a foreign waker panics.
                this.place = Place::Given;
                ready!(budget::poll_proceed(cx)).spend();
                this.place = Place::New;
                Poll::Ready(Ok(()))
            }
            Err(TryAcquireError::Closed) => Poll::Ready(Err(AcquireError(()))),
            Err(TryAcquireError::NoPermits) => {
                waits::note(P::WHAT);
                Poll::Pending
            }
        }
    }
}

impl<P> Drop for Acquire<'_, P> {
    #[inline]
    fn drop(&mut self) {
        if !matches!(self.place, Place::New) {
            self.leave();
        }
    }
}
