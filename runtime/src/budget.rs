//! The budget: how many leaf operations one poll may complete before it must yield.
//!
//! A leaf asks `poll_proceed` first and says `spend` when it made progress. An exhausted budget is
//! Pending plus one wake, so the task runs again in the next round and everything else first.

use std::cell::Cell;
use std::task::{Context, Poll};

thread_local! {
    /// Operations left to the poll that runs on this thread; plenty outside any.
    static LEFT: Cell<u32> = const { Cell::new(u32::MAX) };
}

/// Calls `f` with a fresh budget, and restores the outer one.
pub(crate) struct Allowance(u32);

impl Allowance {
    #[inline]
    pub(crate) fn grant(operations: u32) -> Self {
        Self(LEFT.replace(operations))
    }
}

impl Drop for Allowance {
    #[inline]
    fn drop(&mut self) {
        LEFT.set(self.0);
    }
}

/// Returns Pending, and wakes the task once, if this poll has used up its budget.
///
/// Leaf futures call it before they try, and [`spend`] after they made progress.
#[inline]
pub fn poll_proceed(cx: &mut Context<'_>) -> Poll<()> {
    if LEFT.get() == 0 {
        cx.waker().wake_by_ref();
        return Poll::Pending;
    }
    Poll::Ready(())
}

/// Counts one completed operation.
#[inline]
pub fn spend() {
    LEFT.set(LEFT.get().saturating_sub(1));
}
