//! `yield_now`: the other items first.

use std::future::poll_fn;
use std::task::Poll;

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
pub async fn yield_now() {
    let mut yielded = false;
    poll_fn(|cx| {
        if yielded {
            return Poll::Ready(());
        }
        yielded = true;
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
