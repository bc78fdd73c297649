//! Waits that all end together: a value for everyone, a cancellation.

use std::cell::RefCell;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use super::{Key, WaitList, wake};
use crate::budget;
use crate::waits;
use crate::wake::{copy, is_ours};

/// Who waits for one thing, in the order in which they came.
#[derive(Debug)]
pub(crate) struct Crowd {
    waits: RefCell<WaitList<()>>,
}

impl Crowd {
    pub(crate) const fn new() -> Self {
        Self { waits: RefCell::new(WaitList::new()) }
    }

    /// How many wait.
    pub(crate) fn len(&self) -> usize {
        self.waits.borrow().len()
    }

    /// Wakes all who wait, first in, first out.
    pub(crate) fn wake_all(&self) {
        // Who comes meanwhile, by a foreign waker's code, stands behind them all.
        for _ in 0..self.len() {
            let reached = self.waits.borrow_mut().reach().map(|(_, waker)| waker);
            let Some(waker) = reached else { return };
            wake(waker);
        }
    }

    /// Polls a leaf that is ready as soon as `check` finds something. `check` runs no user code.
    #[inline]
    pub(crate) fn poll_until<R>(
        &self,
        key: &mut Option<Key>,
        cx: &mut Context<'_>,
        what: &'static str,
        mut check: impl FnMut() -> Option<R>,
    ) -> Poll<R> {
        let permit = ready!(budget::poll_proceed(cx));
        let mut found = check();
        if found.is_none() && self.wait(key, cx) {
            found = check();
        }
        let Some(found) = found else {
            waits::note(what);
            return Poll::Pending;
        };
        self.leave(key);
        permit.spend();
        Poll::Ready(found)
    }

    /// Waits until `check` finds something. `check` runs no user code.
    pub(crate) fn until<R, F: FnMut() -> Option<R>>(
        &self,
        what: &'static str,
        check: F,
    ) -> Until<'_, F> {
        Until { crowd: self, key: None, what, check }
    }

    /// Keeps a place for the waker, a new one if it was reached. Returns whether foreign code ran before
    /// the place was taken, so that what is waited for may have come already.
    fn wait(&self, key: &mut Option<Key>, cx: &Context<'_>) -> bool {
        if let Some(key) = &*key {
            let waits = self.waits.borrow();
            if waits.is_waiting(key) && waits.wakes(key, cx.waker()) {
                return false;
            }
        }
        let waker = copy(cx.waker());
        let mut waits = self.waits.borrow_mut();
        let mut old = None;
        *key = Some(match key.take() {
            Some(key) if waits.is_waiting(&key) => {
                old = waits.set_waker(&key, waker);
                key
            }
            reached => {
                // A wait that was reached has no waker left.
                reached.map(|key| waits.take(key));
                waits.push((), waker)
            }
        });
        drop(waits);
        drop(old);
        !is_ours(cx.waker())
    }

    /// Gives a place up.
    #[inline]
    pub(crate) fn leave(&self, key: &mut Option<Key>) {
        let Some(key) = key.take() else { return };
        let (_, waker) = self.waits.borrow_mut().take(key);
        drop(waker);
    }
}

/// A leaf; see [`Crowd::until`].
#[derive(Debug)]
pub(crate) struct Until<'a, F> {
    crowd: &'a Crowd,
    key: Option<Key>,
    what: &'static str,
    check: F,
}

/// Nothing here is pinned.
impl<F> Unpin for Until<'_, F> {}

impl<R, F: FnMut() -> Option<R>> Future for Until<'_, F> {
    type Output = R;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<R> {
        let this = &mut *self;
        this.crowd.poll_until(&mut this.key, cx, this.what, &mut this.check)
    }
}

impl<F> Drop for Until<'_, F> {
    fn drop(&mut self) {
        self.crowd.leave(&mut self.key);
    }
}
