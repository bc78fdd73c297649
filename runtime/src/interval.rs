//! `Interval`: a period for tasks. And what periods do about what they missed.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use futures_core::Stream;

use crate::budget;
use crate::clock::{Nanos, nanos};
use crate::sleep::Alarm;

/// What a period does when it was looked at more than 5 ms after its deadline, or when the next one had passed
/// already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum MissedTickBehavior {
    /// Fires for each deadline that passed, one after the other, until it has caught up.
    #[default]
    Burst,
    /// Fires, and goes on one period from then.
    Delay,
    /// Fires, and goes on at the next multiple of the period that has not passed.
    Skip,
}

impl MissedTickBehavior {
    /// Returns the deadline after `deadline`, which fired at `now` and might have been late by `slack`.
    pub(crate) fn next(self, deadline: Nanos, now: Nanos, period: Nanos, slack: Nanos) -> Nanos {
        let regular = deadline.saturating_add(period);
        let in_time = IN_TIME.min(period.saturating_sub(1));
        if now <= deadline.saturating_add(in_time.saturating_add(slack)) {
            return regular;
        }
        match self {
            Self::Burst => regular,
            Self::Delay => now.saturating_add(period),
            Self::Skip => now.saturating_add(period - (now - deadline) % period),
        }
    }
}

/// Up to this late, a period counts as kept: or the lateness of each wait would add up under `Delay`. Unless the
/// next one is due as well, which only `Burst` may fire at once.
const IN_TIME: Nanos = 5_000_000;

/// Fires at once and then once a period; made by [`interval`] and [`interval_at`].
#[derive(Debug)]
pub struct Interval {
    alarm: Alarm,
    period: Nanos,
    missed: MissedTickBehavior,
}

/// Makes a period whose first tick is due at once: awaiting it does not wait.
///
/// # Panics
///
/// If `period` is zero, or if no event loop runs on this thread.
///
/// # Examples
///
/// ```
/// # loopline_runtime::block_on(async {
/// use std::time::Duration;
///
/// let mut interval = loopline_runtime::time::interval(Duration::from_millis(1));
/// for _ in 0..3 {
///     interval.tick().await; // at 0, 1 and 2 ms
/// }
/// # });
/// ```
#[track_caller]
pub fn interval(period: Duration) -> Interval {
    Interval::new(Alarm::new(|shared| shared.clock.read()), period)
}

/// Makes a period whose first tick is due at `start`.
///
/// # Panics
///
/// If `period` is zero, or if no event loop runs on this thread.
#[track_caller]
pub fn interval_at(start: Instant, period: Duration) -> Interval {
    Interval::new(Alarm::new(|shared| shared.clock.nanos(start)), period)
}

impl Interval {
    #[track_caller]
    fn new(alarm: Alarm, period: Duration) -> Self {
        assert!(!period.is_zero(), "the period of an interval must not be zero");
        Self { alarm, period: nanos(period), missed: MissedTickBehavior::default() }
    }

    /// Waits for the next deadline and returns it.
    ///
    /// # Cancel safety
    ///
    /// Strict: a wait that is dropped has consumed no tick.
    pub async fn tick(&mut self) -> Instant {
        poll_fn(|cx| self.poll_tick(cx)).await
    }

    /// The `poll_` form of [`Interval::tick`]; the last one to poll is woken.
    pub fn poll_tick(&mut self, cx: &mut Context<'_>) -> Poll<Instant> {
        let permit = ready!(budget::poll_proceed(cx));
        // The next deadline is a period away, so this cannot go on for long.
        ready!(self.alarm.poll_at_once(cx));
        permit.spend();
        let fired = self.alarm.instant();
        let now = self.alarm.read_clock();
        self.alarm.reset(self.missed.next(self.alarm.deadline(), now, self.period, 0));
        Poll::Ready(fired)
    }

    /// Starts the period anew: the next tick is one period from now.
    pub fn reset(&mut self) {
        self.alarm.reset(self.alarm.read_clock().saturating_add(self.period));
    }

    /// Makes the next tick due at once.
    pub fn reset_immediately(&mut self) {
        self.alarm.reset(self.alarm.read_clock());
    }

    /// Makes the next tick due `after` from now.
    pub fn reset_after(&mut self, after: Duration) {
        self.alarm.reset(self.alarm.read_clock().saturating_add(nanos(after)));
    }

    /// Makes the next tick due at `deadline`.
    pub fn reset_at(&mut self, deadline: Instant) {
        self.alarm.reset_to(deadline);
    }

    /// Returns the period.
    #[must_use]
    pub fn period(&self) -> Duration {
        Duration::from_nanos(self.period)
    }

    /// Returns what is done about ticks that were missed.
    #[must_use]
    pub fn missed_tick_behavior(&self) -> MissedTickBehavior {
        self.missed
    }

    /// Sets what is done about ticks that were missed. Default: [`MissedTickBehavior::Burst`].
    pub fn set_missed_tick_behavior(&mut self, behavior: MissedTickBehavior) {
        self.missed = behavior;
    }
}

impl Stream for Interval {
    type Item = Instant;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Instant>> {
        self.poll_tick(cx).map(Some)
    }
}
