//! The budget: how many leaf operations one poll may complete before it must yield.
//!
//! A leaf asks `poll_proceed` first and says `spend` when it made progress. An exhausted budget is
//! Pending plus one wake, so the task runs again in the next round and everything else first.

use std::cell::Cell;
use std::task::{Context, Poll};

/// The most that a poll may be given.
pub(crate) const MOST: u32 = i32::MAX as u32;

thread_local! {
    /// Operations left to the poll that runs on this thread; below zero if leaves inside leaves spent
    /// more. Outside any poll it is counted too, for nothing, and begins anew when it is used up.
    static LEFT: Cell<i32> = const { Cell::new(i32::MAX) };
    /// Whether a turn runs on this thread.
    static IN_TURN: Cell<bool> = const { Cell::new(false) };
}

/// Gives the poll that begins its budget.
#[inline]
pub(crate) fn grant(operations: u32) {
    debug_assert!((1..=MOST).contains(&operations));
    LEFT.set(operations as i32);
}

/// Calls `f`, a poll inside the one that runs, with a budget of its own.
pub(crate) fn with_own<R>(operations: u32, f: impl FnOnce() -> R) -> R {
    struct Back(i32);
    impl Drop for Back {
        fn drop(&mut self) {
            LEFT.set(self.0);
        }
    }
    let _back = Back(LEFT.get());
    grant(operations);
    f()
}

/// Keeps the budget of the poll that runs, for the time of a turn of another loop inside it.
pub(crate) struct Kept(i32, bool);

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
pub struct Permit(());

impl Permit {
    /// Counts the operation, which has just completed in the same poll.
    #[inline]
    pub fn spend(self) {
        LEFT.set(LEFT.get().wrapping_sub(1));
    }
}

/// Returns Pending, and wakes the task once, if this poll has used up its budget.
///
/// Leaf futures call it before they try, and [`Permit::spend`] when they have made progress. A permit
/// that was not spent costs nothing, so any number of pending leaves can be polled.
#[inline]
pub fn poll_proceed(cx: &mut Context<'_>) -> Poll<Permit> {
    if LEFT.get() <= 0 {
        return exhausted(cx);
    }
    Poll::Ready(Permit(()))
}

#[cold]
fn exhausted(cx: &mut Context<'_>) -> Poll<Permit> {
    if !IN_TURN.get() {
        LEFT.set(i32::MAX);
        return Poll::Ready(Permit(()));
    }
    cx.waker().wake_by_ref();
    Poll::Pending
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::task::Waker;

    #[test]
    fn a_leaf_inside_a_leaf_does_not_overdraw_the_budget() {
        let _turn = Kept::keep();
        let cx = &mut Context::from_waker(Waker::noop());
        grant(1);
        let (Poll::Ready(outer), Poll::Ready(inner)) = (poll_proceed(cx), poll_proceed(cx)) else {
            panic!("one operation was granted");
        };
        inner.spend();
        outer.spend();
        assert!(poll_proceed(cx).is_pending());
    }
}
