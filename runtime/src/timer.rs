//! `Timer`: a timer as a source, for callbacks.

use std::future::poll_fn;
use std::num::NonZero;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use futures_core::Stream;

use crate::boot::BootWatch;
use crate::budget;
use crate::clock::{NEVER, Nanos, nanos, system_now};
use crate::current::with_loop;
use crate::interval::MissedTickBehavior;
use crate::sleep::Alarm;

pub use self::tick::Tick;

mod tick;

/// A timer as a source: fires once, or once a period.
///
/// It may be made anywhere, also before the loop runs: a duration counts from when it is first polled,
/// which for [`Handle::insert`](crate::Handle::insert) is the next turn. One that is overdue by then fires at
/// once: of several in the order in which they were inserted, whatever their deadlines. A callback changes it
/// by the methods below on the `&mut Timer` it gets; others change it by
/// [`controlled`](crate::callback::controlled).
///
/// It goes by the loop's clock, which stops while the machine is suspended; one made with
/// [`Timer::boot_clock`] does not.
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
    period: Option<NonZero<Nanos>>,
    /// Apart, as few have any of it: so a timer is moved into its task in two thirds of the time.
    more: Option<Box<More>>,
}

/// What most timers do without.
#[derive(Debug, Default)]
struct More {
    missed: MissedTickBehavior,
    /// How late it may be, to fire together with others.
    slack: Nanos,
    /// When it is due by the loop's clock; the alarm may be later, by the slack.
    deadline: Nanos,
    /// Makes what watches the boot clock, of a timer that goes by that.
    boot_clock: Option<fn(u64) -> BootWatch>,
    /// Made with the alarm.
    boot: Option<BootWatch>,
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
        Self::new(Due::After(nanos(period)), Some(in_nanos(period)))
    }

    /// Fires at `start`, and then once a period.
    ///
    /// # Panics
    ///
    /// If `period` is zero.
    #[track_caller]
    pub fn every_from(start: Instant, period: Duration) -> Self {
        Self::new(Due::At(start), Some(in_nanos(period)))
    }

    fn new(due: Due, period: Option<NonZero<Nanos>>) -> Self {
        Self { alarm: None, due: Some(due), period, more: None }
    }

    fn more(&mut self) -> &mut More {
        let deadline = self.deadline_nanos();
        self.more.get_or_insert_with(|| Box::new(More { deadline, ..More::default() }))
    }

    /// Sets what is done about periods that were missed. Default: [`MissedTickBehavior::Burst`].
    pub fn missed_tick_behavior(mut self, behavior: MissedTickBehavior) -> Self {
        self.more().missed = behavior;
        self
    }

    /// Lets the timer fire up to `slack` late, at an instant that it shares with others of the loop that
    /// have slack too: one wake-up of the machine serves them all. Default: none.
    ///
    /// A period goes on from its regular instants, so that slack does not add up; and lateness within it
    /// is not a missed period. [`Builder::timer_slack`](crate::Builder::timer_slack) is the kernel's part
    /// of this, for a whole thread.
    pub fn slack(mut self, slack: Duration) -> Self {
        self.more().slack = nanos(slack);
        self
    }

    /// Makes the timer go by the boot clock, which goes on while the machine is suspended: one that came
    /// due meanwhile fires when the machine wakes up. It does not wake the machine. Linux and Android.
    ///
    /// Durations, periods and the time left until a deadline count by that clock from when the timer is
    /// set; [`Tick::late`] tells the time suspended as well. Each such timer holds a descriptor (a timerfd)
    /// from its first wait on. Where the system gives none, the timer fires as one of the loop's clock
    /// does, late by the time suspended.
    ///
    /// Under a paused clock [`crate::time::suspend`] is the machine's suspension.
    ///
    /// # Examples
    ///
    /// ```
    /// use loopline_runtime::{Clock, EventLoop, time};
    /// use std::time::Duration;
    ///
    /// let mut event_loop = EventLoop::<()>::builder().clock(Clock::Paused).build()?;
    /// event_loop.block_on(async {
    ///     let night = Duration::from_secs(8 * 3600);
    ///     let mut lease = time::Timer::after(night).boot_clock();
    ///     let (start, _hold) = (time::now(), time::hold()); // nothing jumps
    ///     assert!(time::timeout(Duration::ZERO, lease.next()).await.is_err());
    ///     time::suspend(night);
    ///     lease.next().await;
    ///     assert_eq!(time::now(), start);
    /// })?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[cfg(any(target_os = "linux", target_os = "android"))]
    pub fn boot_clock(mut self) -> Self {
        self.more().boot_clock = Some(BootWatch::new);
        self
    }

    /// Makes the timer fire `duration` from now (at its next poll), also one that has fired.
    pub fn set_after(&mut self, duration: Duration) {
        self.due = Some(Due::After(nanos(duration)));
    }

    /// Makes the timer fire at `deadline`, also one that has fired. If that has passed, in the next turn.
    pub fn set_at(&mut self, deadline: Instant) {
        self.due = Some(Due::At(deadline));
    }

    /// Returns when it is due next. `None` if it is never due, or has a duration that does not count yet, as
    /// it was not polled since that was set.
    ///
    /// Of a timer of the boot clock that is by the loop's clock, as if no suspension came before.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        match self.due? {
            Due::After(_) => None,
            Due::At(deadline) => Some(deadline),
            Due::Armed if self.deadline_nanos() == NEVER => None,
            Due::Armed => with_loop(self.alarm.as_ref()?.loop_id(), |shared| {
                shared.map(|shared| shared.clock.instant(self.deadline_nanos()))
            }),
        }
    }

    /// When it is due by the loop's clock.
    fn deadline_nanos(&self) -> Nanos {
        match &self.more {
            Some(more) => more.deadline,
            None => self.alarm.as_ref().map_or(NEVER, Alarm::deadline),
        }
    }

    /// Returns the period, if it has one.
    #[must_use]
    pub fn period(&self) -> Option<Duration> {
        self.period.map(|period| Duration::from_nanos(period.get()))
    }

    /// Sets the period that counts from the next time it fires; `None`: it fires once more.
    ///
    /// # Panics
    ///
    /// If the period is zero.
    #[track_caller]
    pub fn set_period(&mut self, period: Option<Duration>) {
        self.period = period.map(in_nanos);
    }

    /// Waits until it fires; `None` once it will not any more.
    ///
    /// # Cancel safety
    ///
    /// Strict.
    pub async fn next(&mut self) -> Option<Tick> {
        poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }

    /// Arms the alarm, and what watches the boot clock, for what is due.
    #[track_caller]
    fn arm(&mut self, due: Due) {
        self.due = Some(Due::Armed);
        let is_first = self.alarm.is_none();
        let alarm = self.alarm.get_or_insert_with(|| Alarm::new(|_| NEVER));
        let loop_id = alarm.loop_id();
        let unmade = self.more.as_deref_mut().filter(|more| more.boot.is_none());
        let made = unmade.and_then(|more| Some(more.boot.insert(more.boot_clock?(loop_id))));
        match due {
            Due::Armed if made.is_some() => self.set(self.deadline_nanos()),
            Due::Armed => {}
            Due::After(wait) => self.set(self.read_clock().saturating_add(wait)),
            Due::At(deadline) => {
                let (at, now) = with_loop(loop_id, |shared| {
                    let clock = shared.map(|shared| &shared.clock);
                    clock.map_or((NEVER, 0), |clock| (clock.nanos(deadline), clock.now()))
                });
                self.set(at);
                if !is_first && at < now {
                    self.put_off(at, now);
                }
            }
        }
    }

    /// Has what is overdue ring in the next turn: a callback that sets its timer to the past again and again
    /// would be called again and again at once.
    #[cold]
    fn put_off(&mut self, at: Nanos, now: Nanos) {
        self.more().deadline = at;
        if let Some(alarm) = &mut self.alarm {
            alarm.reset(now);
        }
    }

    /// Sets the deadline by the loop's clock, and by the boot clock to what is as far from now.
    fn set(&mut self, at: Nanos) {
        let Some(alarm) = &mut self.alarm else { return };
        let mut ring_at = at;
        if let Some(more) = &mut self.more {
            if let Some(boot) = &mut more.boot {
                let now = alarm.read_clock();
                let late = now.saturating_sub(at);
                let wait = if at == NEVER { NEVER } else { at.saturating_sub(now) };
                let deadline = boot.now().saturating_add(wait).saturating_sub(late);
                boot.set(deadline, together(deadline, more.slack));
            }
            more.deadline = at;
            ring_at = together(at, more.slack);
        }
        alarm.reset(ring_at);
    }

    fn read_clock(&self) -> Nanos {
        self.alarm.as_ref().map_or(NEVER, Alarm::read_clock)
    }

    fn boot(&mut self) -> Option<&mut BootWatch> {
        self.more.as_mut()?.boot.as_mut()
    }

    /// Ready once it is due. What was set just now is left to the alarm, which has it wait for the next turn.
    fn poll_due(&mut self, cx: &mut Context<'_>, was_armed: bool) -> Poll<()> {
        if was_armed && self.boot().is_some_and(|boot| boot.is_due()) {
            return Poll::Ready(());
        }
        let alarm = self.alarm.as_mut().expect("armed before it is polled");
        if alarm.poll(cx).is_ready() {
            return Poll::Ready(());
        }
        if let Some(left) = self.boot().and_then(|boot| boot.wait(cx)) {
            self.ring_within(left);
        }
        Poll::Pending
    }

    /// Has the alarm ring that long from now, if that is earlier.
    fn ring_within(&mut self, left: Nanos) {
        let Some(alarm) = &mut self.alarm else { return };
        let at = alarm.read_clock().saturating_add(left);
        if at < alarm.deadline() {
            alarm.reset(at);
        }
    }

    /// Goes on after having fired. Returns the time, and how late it is.
    fn advance(&mut self) -> (Nanos, Nanos) {
        let now = self.read_clock();
        let (fired, at) = match self.boot() {
            Some(boot) => boot.reckon(),
            None => (self.deadline_nanos(), now),
        };
        match self.period {
            None => {
                self.due = None;
                if self.more.as_mut().is_some_and(|more| more.boot.take().is_some()) {
                    // It may be far off still.
                    self.alarm.iter_mut().for_each(Alarm::disarm);
                }
            }
            Some(period) => self.go_on(now, fired, at, period.get()),
        }
        (now, at.saturating_sub(fired))
    }

    /// Sets what comes after a deadline of its clock that fired at a time of that clock, which is `now` by the
    /// loop's.
    fn go_on(&mut self, now: Nanos, fired: Nanos, at: Nanos, period: Nanos) {
        let Some(more) = &mut self.more else {
            return self.set(MissedTickBehavior::default().next(fired, at, period, 0));
        };
        let next = more.missed.next(fired, at, period, more.slack);
        let Some(boot) = &mut more.boot else { return self.set(next) };
        boot.set(next, together(next, more.slack));
        let (wait, late) = (next.saturating_sub(at), at.saturating_sub(next));
        more.deadline = now.saturating_add(wait).saturating_sub(late);
        if let Some(alarm) = &mut self.alarm {
            alarm.reset(together(more.deadline, more.slack));
        }
    }
}

/// Returns a period in nanoseconds.
#[track_caller]
fn in_nanos(period: Duration) -> NonZero<Nanos> {
    match NonZero::new(nanos(period)) {
        Some(period) => period,
        None => panic!("the period of a timer must not be zero"),
    }
}

/// Returns an instant at most `slack` after this one that others with slack have too: the one that can be
/// divided by the highest power of two.
fn together(at: Nanos, slack: Nanos) -> Nanos {
    if slack == 0 || at == 0 {
        return at;
    }
    let latest = at.saturating_add(slack);
    let shared = ((at - 1) ^ latest).ilog2();
    latest >> shared << shared
}

impl Stream for Timer {
    type Item = Tick;

    #[track_caller]
    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Tick>> {
        let this = &mut *self;
        let Some(due) = this.due else { return Poll::Ready(None) };
        let permit = ready!(budget::poll_proceed(cx));
        this.arm(due);
        ready!(this.poll_due(cx, matches!(due, Due::Armed)));
        permit.spend();
        let loop_id = this.alarm.as_ref().map(Alarm::loop_id);
        let (now, late) = this.advance();
        let now = with_loop(loop_id.unwrap_or_default(), |shared| {
            shared.map_or_else(system_now, |shared| shared.clock.instant(now))
        });
        let deadline = now.checked_sub(Duration::from_nanos(late)).unwrap_or(now);
        Poll::Ready(Some(Tick { deadline, now }))
    }
}
