//! A limit on another future: `timeout` and `timeout_at`.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use pin_project_lite::pin_project;

use crate::clock::{Nanos, nanos};
use crate::sleep::Alarm;

/// When the limit is.
#[derive(Clone, Copy, Debug)]
enum Limit {
    /// So long after the future was first pending.
    After(Nanos),
    At(Instant),
}

pin_project! {
    /// Awaits a future until a deadline; made by [`timeout`] and [`timeout_at`].
    ///
    /// # Cancel safety
    ///
    /// That of the future inside.
    #[must_use = "a timeout does nothing unless it is awaited"]
    pub struct Timeout<F> {
        #[pin]
        future: F,
        limit: Limit,
        // Made when the future is first pending: one that is ready at once pays for no clock.
        alarm: Option<Alarm>,
    }
}

/// Awaits `future` for `duration` at most, then drops it and gives [`Elapsed`].
///
/// The time counts from the first poll at which the future is pending; the future is always tried
/// first, so a result that is there wins over a deadline that has passed.
///
/// # Errors
///
/// [`Elapsed`], which converts into an [`std::io::Error`] of kind `TimedOut`.
///
/// # Panics
///
/// When polled, if no event loop runs on this thread.
///
/// # Cancel safety
///
/// That of the future inside.
///
/// # Examples
///
/// ```
/// # loopline_runtime::block_on(async {
/// use loopline_runtime::time::{sleep, timeout};
/// use std::time::Duration;
///
/// let slow = timeout(Duration::from_millis(1), sleep(Duration::from_secs(3600))).await;
/// assert!(slow.is_err());
/// assert_eq!(timeout(Duration::from_secs(1), async { 5 }).await, Ok(5));
/// # });
/// ```
pub fn timeout<F: IntoFuture>(duration: Duration, future: F) -> Timeout<F::IntoFuture> {
    let limit = Limit::After(nanos(duration));
    Timeout { future: future.into_future(), limit, alarm: None }
}

/// Awaits `future` until `deadline` at most; as [`timeout`].
///
/// # Errors
///
/// [`Elapsed`], which converts into an [`std::io::Error`] of kind `TimedOut`.
///
/// # Panics
///
/// When polled, if no event loop runs on this thread.
///
/// # Cancel safety
///
/// That of the future inside.
pub fn timeout_at<F: IntoFuture>(deadline: Instant, future: F) -> Timeout<F::IntoFuture> {
    Timeout { future: future.into_future(), limit: Limit::At(deadline), alarm: None }
}

impl<F> Timeout<F> {
    /// Returns the future inside.
    pub fn get_ref(&self) -> &F {
        &self.future
    }

    /// Returns the future inside, to be changed.
    pub fn get_mut(&mut self) -> &mut F {
        &mut self.future
    }

    /// Gives up the limit.
    pub fn into_inner(self) -> F {
        self.future
    }
}

impl<F: Future> Future for Timeout<F> {
    type Output = Result<F::Output, Elapsed>;

    #[track_caller]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if let Poll::Ready(output) = this.future.poll(cx) {
            return Poll::Ready(Ok(output));
        }
        let limit = *this.limit;
        let alarm = this.alarm.get_or_insert_with(|| {
            Alarm::new(|shared| match limit {
                Limit::After(wait) => shared.clock.read().saturating_add(wait),
                Limit::At(deadline) => shared.clock.nanos(deadline),
            })
        });
        // No budget here: a future that used it up must still meet its limit.
        alarm.poll(cx).map(|()| Err(Elapsed(())))
    }
}

impl<F: fmt::Debug> fmt::Debug for Timeout<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Timeout").field("future", &self.future).field("limit", &self.limit).finish()
    }
}

/// The deadline of a [`Timeout`] passed before its future was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Elapsed(());

impl fmt::Display for Elapsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the deadline has passed")
    }
}

impl std::error::Error for Elapsed {}

impl From<Elapsed> for std::io::Error {
    fn from(elapsed: Elapsed) -> Self {
        Self::new(std::io::ErrorKind::TimedOut, elapsed)
    }
}
