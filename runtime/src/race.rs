//! `race`: the first of several futures of one type.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Poll, ready};

use crate::budget;
use crate::macros::{any_branch, round};

/// Awaits whichever of the futures is done first, and drops the others.
///
/// It is fair: each poll begins with another of them, by the seed of the loop if it has one. For a few
/// futures of different types use [`select!`](crate::select); for many, of which all outputs are wanted,
/// a [`JoinSet`](crate::JoinSet). Without any future it waits for ever.
///
/// # Cancel safety
///
/// That of the futures: all of them are dropped with it.
///
/// # Examples
///
/// ```
/// # loopline_runtime::block_on(async {
/// use loopline_runtime::{race, time::sleep};
/// use std::time::Duration;
///
/// let mirrors = [30, 1, 20];
/// let fastest = race(mirrors.map(|ms| async move {
///     sleep(Duration::from_millis(ms)).await; // .. or ask a mirror
///     ms
/// }))
/// .await;
/// assert_eq!(fastest, 1);
/// # });
/// ```
pub async fn race<F: Future>(futures: impl IntoIterator<Item = F>) -> F::Output {
    let mut futures: Vec<Pin<Box<F>>> = futures.into_iter().map(Box::pin).collect();
    let count = u32::try_from(futures.len()).expect("so many futures do not fit into memory");
    poll_fn(move |cx| {
        // As `select!`: with the budget used up none of them is asked.
        let _permit = ready!(budget::poll_proceed(cx));
        let first = if count > 1 { any_branch(count) } else { 0 };
        for next in 0..count {
            let at = round(first, next, count) as usize;
            if let Poll::Ready(output) = futures[at].as_mut().poll(cx) {
                return Poll::Ready(output);
            }
        }
        Poll::Pending
    })
    .await
}
