//! Periods: `Interval` for tasks, `Timer` for callbacks; both are streams over one alarm.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use futures_core::Stream;

use crate::budget;
use crate::clock::{NEVER, Nanos, nanos, system_now};
use crate::current::with_loop;
use crate::sleep::Alarm;

/// What a period does when it was looked at more than 5 ms after its deadline.
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
    /// Returns the deadline after `deadline`, which fired at `now`.
    fn next(self, deadline: Nanos, now: Nanos, period: Nanos) -> Nanos {
        let regular = deadline.saturating_add(period);
        if now <= deadline.saturating_add(IN_TIME) {
            return regular;
        }
        match self {
            Self::Burst => regular,
            Self::Delay => now.saturating_add(period),
            Self::Skip => now.saturating_add(period - (now - deadline) % period),
        }
    }
}

/// Up to this late, a period counts as kept: or the lateness of each wait would add up under `Delay`.
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
        self.alarm.reset(self.missed.next(self.alarm.deadline(), now, self.period));
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
        let at = with_loop(self.alarm.loop_id(), |shared| {
            shared.map_or(NEVER, |shared| shared.clock.nanos(deadline))
        });
        self.alarm.reset(at);
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

/// A timer as a source: fires once, or once a period.
///
/// It may be made anywhere, also before the loop runs: a duration counts from when it is first polled,
/// which for [`Handle::insert`](crate::Handle::insert) is the next turn. A callback changes it by the
/// methods below on the `&mut Timer` it gets.
///
/// # Examples
///
/// ```
/// use loopline_runtime::{EventLoop, callback::Next, time::Timer};
/// use std::time::Duration;
///
/// let mut event_loop = EventLoop::<u32>::new()?;
/// event_loop.handle().insert(Timer::after(Duration::from_millis(1)), |tick, timer, fired| {
///     assert!(tick.late() < Duration::from_secs(60));
///     *fired += 1;
///     if *fired == 1 {
///         timer.set_after(Duration::from_millis(2)); // once more
///     }
///     Next::Keep // a timer that is not set again ends by itself
/// })?;
/// let mut fired = 0;
/// event_loop.run(&mut fired)?;
/// assert_eq!(fired, 2);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
#[must_use = "a timer does nothing unless it is inserted or awaited"]
pub struct Timer {
    /// Made at the first poll.
    alarm: Option<Alarm>,
    /// What to wait for next; `None` once a single shot has fired.
    due: Option<Due>,
    period: Option<Nanos>,
    missed: MissedTickBehavior,
}

/// When a timer is due.
#[derive(Clone, Copy, Debug)]
enum Due {
    After(Nanos),
    At(Instant),
    /// The alarm holds it.
    Armed,
}

impl Timer {
    /// Fires once, `duration` from its first poll.
    pub fn after(duration: Duration) -> Self {
        Self::new(Due::After(nanos(duration)), None)
    }

    /// Fires once, at `deadline`.
    pub fn at(deadline: Instant) -> Self {
        Self::new(Due::At(deadline), None)
    }

    /// Fires one period from its first poll, and then once a period.
    ///
    /// # Panics
    ///
    /// If `period` is zero; see [`crate::callback::idle`] for something to do whenever there is time.
    #[track_caller]
    pub fn every(period: Duration) -> Self {
        assert!(!period.is_zero(), "the period of a timer must not be zero");
        Self::new(Due::After(nanos(period)), Some(nanos(period)))
    }

    /// Fires at `start`, and then once a period.
    ///
    /// # Panics
    ///
    /// If `period` is zero.
    #[track_caller]
    pub fn every_from(start: Instant, period: Duration) -> Self {
        assert!(!period.is_zero(), "the period of a timer must not be zero");
        Self::new(Due::At(start), Some(nanos(period)))
    }

    fn new(due: Due, period: Option<Nanos>) -> Self {
        Self { alarm: None, due: Some(due), period, missed: MissedTickBehavior::default() }
    }

    /// Sets what is done about periods that were missed. Default: [`MissedTickBehavior::Burst`].
    pub fn missed_tick_behavior(mut self, behavior: MissedTickBehavior) -> Self {
        self.missed = behavior;
        self
    }

    /// Makes the timer fire `duration` from now (at its next poll), also one that has fired.
    pub fn set_after(&mut self, duration: Duration) {
        self.due = Some(Due::After(nanos(duration)));
    }

    /// Makes the timer fire at `deadline`, also one that has fired.
    pub fn set_at(&mut self, deadline: Instant) {
        self.due = Some(Due::At(deadline));
    }

    /// Sets the period that counts from the next time it fires; `None`: it fires once more.
    ///
    /// # Panics
    ///
    /// If the period is zero.
    #[track_caller]
    pub fn set_period(&mut self, period: Option<Duration>) {
        assert!(
            period.is_none_or(|period| !period.is_zero()),
            "the period of a timer must not be zero"
        );
        self.period = period.map(nanos);
    }

    /// Waits until it fires; `None` once it will not any more.
    ///
    /// # Cancel safety
    ///
    /// Strict.
    pub async fn next(&mut self) -> Option<Tick> {
        poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }

    /// Arms the alarm for what is due.
    #[track_caller]
    fn arm(&mut self, due: Due) -> &mut Alarm {
        self.due = Some(Due::Armed);
        let alarm = self.alarm.get_or_insert_with(|| Alarm::new(|shared| shared.clock.read()));
        let at = match due {
            Due::Armed => return alarm,
            Due::After(wait) => alarm.read_clock().saturating_add(wait),
            Due::At(deadline) => with_loop(alarm.loop_id(), |shared| {
                shared.map_or(NEVER, |shared| shared.clock.nanos(deadline))
            }),
        };
        alarm.reset(at);
        alarm
    }
}

impl Stream for Timer {
    type Item = Tick;

    #[track_caller]
    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Tick>> {
        let this = &mut *self;
        let Some(due) = this.due else { return Poll::Ready(None) };
        let permit = ready!(budget::poll_proceed(cx));
        let alarm = this.arm(due);
        ready!(alarm.poll(cx));
        permit.spend();
        let now = alarm.read_clock();
        let tick = with_loop(alarm.loop_id(), |shared| {
            let instant = |at| shared.map_or_else(system_now, |s| s.clock.instant(at));
            Tick { deadline: instant(alarm.deadline()), now: instant(now) }
        });
        let fired = alarm.deadline();
        match this.period {
            None => this.due = None,
            Some(period) => {
                let next = this.missed.next(fired, now, period);
                if let Some(alarm) = &mut this.alarm {
                    alarm.reset(next);
                }
            }
        }
        Poll::Ready(Some(tick))
    }
}

/// One firing of a [`Timer`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tick {
    /// When it was due.
    pub deadline: Instant,
    /// When it was delivered.
    pub now: Instant,
}

impl Tick {
    /// Returns how late it is delivered.
    #[must_use]
    pub fn late(&self) -> Duration {
        self.now.saturating_duration_since(self.deadline)
    }
}
