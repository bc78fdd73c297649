//! `Until`: turns of a guest that poll a future of the host's as well.

use std::fmt;
use std::future::Future;
use std::io;
use std::panic::Location;
use std::pin::Pin;
use std::task::{Poll, ready};

use super::{Guest, Prepared};
use crate::event_loop::{RootSlot, Turn};

/// Turns that also poll a future, until it is done; made by [`Guest::until`].
///
/// The future is polled in the same order as the items, and may borrow from the caller's frame. Its output
/// is returned by the turn in which it is done. Dropping this drops the future, inside the loop but
/// without the state; [`Until::drop_with`] lends it.
///
/// # Examples
///
/// ```
/// use loopline_runtime::{EventLoop, spawn};
///
/// let mut guest = EventLoop::<()>::new()?.into_guest();
/// let (words, mut until) = (["a", "b"], None);
/// let mut turns = guest.until(async { spawn(async { 2 }).await.unwrap() + words.len() });
/// while until.is_none() {
///     // Here a host waits: `turns` has a descriptor as the guest does.
///     (_, until) = turns.turn(&mut ())?;
/// }
/// assert_eq!(until, Some(4));
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Until<'a, S: 'static, F: Future> {
    guest: &'a Guest<S>,
    /// Both are gone once the future is done.
    slot: Option<RootSlot<'a>>,
    future: Option<Pin<Box<F>>>,
    /// Kept if the turn in which the future ended failed otherwise.
    output: Option<F::Output>,
}

impl<'a, S: 'static, F: Future> Until<'a, S, F> {
    #[track_caller]
    pub(super) fn new(guest: &'a mut Guest<S>, future: F) -> Self {
        let guest: &'a Guest<S> = guest;
        let slot = RootSlot::take(guest.shared(), Location::caller());
        guest.shared().settle();
        Self { guest, slot: Some(slot), future: Some(Box::pin(future)), output: None }
    }

    /// Runs one turn, and does not wait: [`Guest::turn`]. The future's output comes with the turn in which
    /// it is done.
    ///
    /// # Errors
    ///
    /// As [`Guest::turn`].
    ///
    /// # Panics
    ///
    /// A panic of the future is the caller's.
    pub fn turn(&mut self, state: &mut S) -> io::Result<(Turn, Option<F::Output>)> {
        let (output, future) = (&mut self.output, &mut self.future);
        let turned = self.guest.turn_with(state, &mut |cx| {
            if let Some(pinned) = future {
                *output = Some(ready!(pinned.as_mut().poll(cx)));
                *future = None;
            }
            // Else: woken once more in the turn that it ended in.
            Poll::Ready(())
        });
        if self.future.is_none() && self.slot.take().is_some() {
            // The future is gone already.
            self.guest.shared().rest();
        }
        turned.map(|turn| (turn, self.output.take()))
    }

    /// Tells what to do before the wait that follows: [`Guest::prepare`].
    #[must_use]
    pub fn prepare(&self) -> Prepared {
        self.guest.prepare()
    }

    /// Drops the future inside the loop, with the state at hand: what its destructors lend by
    /// [`Handle::with`](crate::Handle::with).
    pub fn drop_with(mut self, state: &mut S) {
        self.slot = None;
        let shared = self.guest.shared();
        if let Some(future) = self.future.take() {
            shared.state.park(state, || shared.enter(|| drop(future)));
        }
    }

    /// Waits as a host does that knows nothing but the descriptor.
    pub(crate) fn await_readable(&self) -> io::Result<()> {
        let reactor = &self.guest.shared().reactor;
        // In a forked child nothing would ever come.
        reactor.stamp().check()?;
        reactor.poller().await_readable()
    }

    #[allow(dead_code)] // where there is no descriptor
    pub(super) fn guest(&self) -> &Guest<S> {
        self.guest
    }
}

impl<S: 'static, F: Future> Drop for Until<'_, S, F> {
    fn drop(&mut self) {
        self.slot = None;
        if let Some(future) = self.future.take() {
            self.guest.shared().enter(|| drop(future));
        }
    }
}

impl<S: 'static, F: Future> fmt::Debug for Until<'_, S, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Until")
            .field("guest", self.guest)
            .field("done", &self.future.is_none())
            .finish_non_exhaustive()
    }
}
