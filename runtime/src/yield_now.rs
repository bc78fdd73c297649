//! Yielding: `yield_now`, and `need_yield`, which says when it is time to.

use std::future::{Future, poll_fn};
use std::task::Poll;

use crate::budget;
use crate::current::with_current;
use crate::turn::should_yield;

/// Lets everything else that is queued run first: the task goes to the end of the queue.
///
/// # Cancel safety
///
/// Strict.
///
/// # Examples
///
/// ```
/// # loopline_runtime::block_on(async {
/// for _chunk in 0..3 {
///     // .. some work ..
///     loopline_runtime::yield_now().await;
/// }
/// # });
/// ```
#[inline]
pub fn yield_now() -> impl Future<Output = ()> {
    let mut yielded = false;
    poll_fn(move |cx| {
        if yielded {
            return Poll::Ready(());
        }
        yielded = true;
        cx.waker().wake_by_ref();
        Poll::Pending
    })
}

/// Whether it is time to [`yield_now`]: the budget of this poll is used up, the turn has had its share
/// of time, or a timer is due.
///
/// For work that takes long without awaiting anything. One call costs a look at the clock, so ask once
/// per some microseconds of work. What yields upon it runs again when the loop has looked at timers and
/// the system.
///
/// Under a clock that is paused, or an order that is seeded, time does not count and this is true only
/// when the budget is used up: such a run does not depend on how fast it was. Never true where no event
/// loop runs.
///
/// # Examples
///
/// ```
/// # loopline_runtime::block_on(async {
/// let mut sum = 0_u64;
/// for n in 0..10_000 {
///     sum += n; // .. or something that takes a while
///     if n % 1000 == 0 && loopline_runtime::need_yield() {
///         loopline_runtime::yield_now().await;
///     }
/// }
/// assert_eq!(sum, 49_995_000);
/// # });
/// ```
#[must_use]
pub fn need_yield() -> bool {
    !budget::has_budget_remaining() || with_current(|shared| shared.is_some_and(should_yield))
}
