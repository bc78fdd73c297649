//! The budget: how many leaf operations one poll may complete before it must yield.
//!
//! A leaf asks `poll_proceed` first and says `spend` when it made progress. An exhausted budget is
//! Pending plus one wake, so the task runs again in the next round and everything else first.

use std::cell::Cell;
use std::task::{Context, Poll};

thread_local! {
    /// Operations left to the poll that runs on this thread. Outside any it is counted too, for
    /// nothing, and begins anew when it is used up.
    static LEFT: Cell<u32> = const { Cell::new(u32::MAX) };
    /// Whether a turn runs on this thread.
    static IN_TURN: Cell<bool> = const { Cell::new(false) };
}

/// Gives the poll that begins its budget.
#[inline]
pub(crate) fn grant(operations: u32) {
    LEFT.set(operations);
}

/// Keeps the budget of the poll that runs, for the time of a turn of another loop inside it.
pub(crate) struct Kept(u32, bool);

impl Kept {
    pub(crate) fn keep() -> Self {
        Self(LEFT.get(), IN_TURN.replace(true))
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        LEFT.set(self.0);
        IN_TURN.set(self.1);
    }
}

/// Permission to complete one leaf operation; see [`poll_proceed`].
#[derive(Debug)]
#[must_use = "an operation that made progress says so by `spend`"]
pub struct Permit(u32);

impl Permit {
    /// Counts the operation, which has just completed in the same poll.
    #[inline]
    pub fn spend(self) {
        LEFT.set(self.0 - 1);
    }
}

/// Returns Pending, and wakes the task once, if this poll has used up its budget.
///
/// Leaf futures call it before they try, and [`Permit::spend`] when they have made progress. A permit
/// that was not spent costs nothing, so any number of pending leaves can be polled.
#[inline]
pub fn poll_proceed(cx: &mut Context<'_>) -> Poll<Permit> {
    let left = LEFT.get();
    if left == 0 {
        return exhausted(cx);
    }
    Poll::Ready(Permit(left))
}

#[cold]
fn exhausted(cx: &mut Context<'_>) -> Poll<Permit> {
    if !IN_TURN.get() {
        return Poll::Ready(Permit(u32::MAX));
    }
    cx.waker().wake_by_ref();
    Poll::Pending
}
