//! The budget: how many leaf operations one poll may complete before it must yield.
//!
//! A leaf asks `poll_proceed` first and says `spend` when it made progress. An exhausted budget is
//! Pending plus one wake, so the task runs again in the next round and everything else first.

use std::cell::Cell;
use std::future::{Future, IntoFuture, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;

/// The most that a poll may be given.
pub(crate) const MOST: u32 = i32::MAX as u32;

thread_local! {
    /// Operations left to the poll that runs on this thread; below zero if leaves inside leaves spent
    /// more. Outside any poll it is counted too, for nothing, and begins anew when it is used up.
    static LEFT: Cell<i32> = const { Cell::new(i32::MAX) };
    /// Whether a budget that is used up ends a poll: inside a turn, but not inside `unconstrained`.
    static LIMITED: Cell<bool> = const { Cell::new(false) };
    /// Told of each poll in a turn that has used up its budget.
    static USED_UP: Cell<fn()> = const { Cell::new(|| ()) };
}

/// What is left to a poll whose loop was told that it has used up its budget, or less.
const TOLD: i32 = i32::MIN / 2;

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

/// Keeps the budget of the poll that runs, for the time of a turn of another loop inside it, or of one
/// without a budget.
pub(crate) struct Kept(i32, bool, fn());

impl Kept {
    pub(crate) fn keep(used_up: fn()) -> Self {
        Self(LEFT.get(), LIMITED.replace(true), USED_UP.replace(used_up))
    }

    fn lift() -> Self {
        Self(LEFT.replace(i32::MAX), LIMITED.replace(false), USED_UP.get())
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        LEFT.set(self.0);
        LIMITED.set(self.1);
        USED_UP.set(self.2);
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
    if !LIMITED.get() {
        LEFT.set(i32::MAX);
        return Poll::Ready(Permit(()));
    }
    if LEFT.get() > TOLD {
        LEFT.set(TOLD);
        USED_UP.get()();
    }
    cx.waker().wake_by_ref();
    Poll::Pending
}

/// Whether the poll that runs may complete another leaf operation. Always so outside a turn, and inside
/// [`unconstrained`].
#[inline]
#[must_use]
pub fn has_budget_remaining() -> bool {
    LEFT.get() > 0 || !LIMITED.get()
}

/// Counts as one leaf operation: goes on at once, or in the next round if the budget is used up.
///
/// For a loop that computes, or awaits only what never waits. It yields once in 128 calls, however long
/// these take; see [`need_yield`](crate::need_yield) for one that looks at the clock.
///
/// # Cancel safety
///
/// Strict.
///
/// # Examples
///
/// ```
/// # loopline_runtime::block_on(async {
/// let mut sum = 0_u64;
/// for n in 0..1000 {
///     sum += n;
///     loopline_runtime::budget::consume_budget().await;
/// }
/// assert_eq!(sum, 499_500);
/// # });
/// ```
pub async fn consume_budget() {
    poll_fn(|cx| {
        ready!(poll_proceed(cx)).spend();
        Poll::Ready(())
    })
    .await;
}

/// Awaits a future without a budget: leaf operations in it never yield by themselves.
///
/// What it does between two waits holds up everything else on the loop. It is for futures that must not
/// be interrupted by others, or whose own scheduling takes an unexpected Pending badly. The budget of
/// the poll around it is as before when it returns.
///
/// # Cancel safety
///
/// That of the future inside.
///
/// # Examples
///
/// ```
/// # loopline_runtime::block_on(async {
/// use loopline_runtime::budget::{consume_budget, has_budget_remaining, unconstrained};
///
/// unconstrained(async {
///     for _ in 0..1000 {
///         consume_budget().await; // would yield to the other tasks now and then
///         assert!(has_budget_remaining());
///     }
/// })
/// .await;
/// # });
/// ```
pub fn unconstrained<F: IntoFuture>(future: F) -> Unconstrained<F::IntoFuture> {
    Unconstrained { future: future.into_future() }
}

pin_project! {
    /// Awaits a future without a budget; made by [`unconstrained`].
    ///
    /// # Cancel safety
    ///
    /// That of the future inside.
    #[derive(Debug)]
    #[must_use = "a future does nothing unless it is awaited"]
    pub struct Unconstrained<F> {
        #[pin]
        future: F,
    }
}

impl<F: Future> Future for Unconstrained<F> {
    type Output = F::Output;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let _kept = Kept::lift();
        self.project().future.poll(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::task::Waker;

    #[test]
    fn a_leaf_inside_a_leaf_does_not_overdraw_the_budget() {
        let _turn = Kept::keep(|| ());
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
