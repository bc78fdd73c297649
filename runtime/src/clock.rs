//! The clock: the one place that reads time.
//!
//! Times inside the loop are nanoseconds since its epoch, which lies before it was made; `u64::MAX` is never.
//! A paused clock stands still until it is advanced by hand or by the turn, which jumps to the next
//! deadline when nothing can run.

use std::cell::{Cell, RefCell};
use std::task::Waker;
use std::time::{Duration, Instant};

use self::system::SystemClock;

mod system;

/// Nanoseconds since the loop's epoch.
pub(crate) type Nanos = u64;

/// The deadline that never comes.
pub(crate) const NEVER: Nanos = u64::MAX;

/// The latest time a paused clock moves to (292 years), so that it can run on from there.
pub(crate) const LAST_JUMP: Nanos = NEVER / 2;

/// Which clock an event loop starts with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Clock {
    /// The system's monotonic clock. It stops while the machine is suspended;
    /// [`Timer::boot_clock`](crate::time::Timer) is for what must not.
    #[default]
    Monotonic,
    /// A clock that stands still and jumps to the next deadline when nothing else can run.
    ///
    /// For tests; [`crate::time::pause`] and [`crate::time::resume`] switch at run time.
    Paused,
}

/// The loop's clock.
#[derive(Debug)]
pub(crate) struct LoopClock {
    system: SystemClock,
    /// The time as of the last `refresh`.
    now: Cell<Nanos>,
    /// What the clock shows while paused.
    frozen: Cell<Option<Nanos>>,
    /// Virtual minus real time (wrapping), once a pause has ended.
    ahead: Cell<Nanos>,
    /// Live `time::hold` guards: while there are any, a paused clock does not jump by itself.
    holds: Cell<usize>,
    /// How long a paused clock's machine was suspended: what its boot clock is ahead.
    suspended: Cell<Nanos>,
    /// Woken by the next such suspension.
    sleepers: RefCell<Vec<Waker>>,
}

impl LoopClock {
    pub(crate) fn new(kind: Clock) -> Self {
        let system = SystemClock::new();
        let frozen = match kind {
            Clock::Monotonic => None,
            Clock::Paused => Some(system.start),
        };
        Self {
            now: Cell::new(system.start),
            system,
            frozen: Cell::new(frozen),
            ahead: Cell::new(0),
            holds: Cell::new(0),
            suspended: Cell::new(0),
            sleepers: RefCell::default(),
        }
    }

    /// Reads the clock.
    #[inline]
    pub(crate) fn read(&self) -> Nanos {
        match self.frozen.get() {
            None => self.system.elapsed().wrapping_add(self.ahead.get()),
            Some(frozen) => frozen,
        }
    }

    /// Reads the clock and keeps the result as the turn's time; it never goes backwards.
    #[inline]
    pub(crate) fn refresh(&self) -> Nanos {
        let now = self.read().max(self.now.get());
        self.now.set(now);
        now
    }

    /// The time as of the last `refresh`.
    #[inline]
    pub(crate) fn now(&self) -> Nanos {
        self.now.get()
    }

    /// Reads the clock, as users see it.
    #[inline]
    pub(crate) fn read_instant(&self) -> Instant {
        // There and back again would cost more than the reading.
        if self.frozen.get().is_none() && self.ahead.get() == 0 {
            return Instant::now();
        }
        self.instant(self.read())
    }

    /// Converts to the type users see.
    pub(crate) fn instant(&self, at: Nanos) -> Instant {
        self.system.epoch.checked_add(Duration::from_nanos(at)).unwrap_or_else(|| {
            // Only where `Instant` cannot reach 584 years ahead.
            self.system.epoch + Duration::from_secs(60 * 60 * 24 * 365)
        })
    }

    /// Converts from the type users see; what cannot be said saturates.
    pub(crate) fn nanos(&self, at: Instant) -> Nanos {
        nanos(at.saturating_duration_since(self.system.epoch))
    }

    /// When this clock shows `at`, by the system's clock, which `time_until` reads; `None` while it stands
    /// still.
    pub(crate) fn on_system(&self, at: Nanos) -> Option<Nanos> {
        let ahead = self.ahead.get() as i64;
        self.frozen.get().is_none().then(|| at.saturating_add_signed(ahead.wrapping_neg()))
    }

    /// How long it is until then, by the system's clock.
    pub(crate) fn time_until(&self, on_system: Nanos) -> Duration {
        Duration::from_nanos(on_system.saturating_sub(self.system.elapsed()))
    }

    pub(crate) fn is_paused(&self) -> bool {
        self.frozen.get().is_some()
    }

    /// Stops the clock.
    pub(crate) fn pause(&self) {
        self.frozen.set(Some(self.read()));
    }

    /// Lets the clock run on from what it shows.
    pub(crate) fn resume(&self) {
        if let Some(frozen) = self.frozen.take() {
            self.ahead.set(frozen.wrapping_sub(self.system.elapsed()));
        }
    }

    /// Moves a paused clock forward, at most to `LAST_JUMP`.
    pub(crate) fn advance_to(&self, at: Nanos) {
        if let Some(frozen) = self.frozen.get() {
            self.frozen.set(Some(frozen.max(at.min(LAST_JUMP))));
        }
    }

    /// What the boot clock shows while paused; the system's own is its reader's affair.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    pub(crate) fn paused_boot(&self) -> Option<Nanos> {
        self.frozen.get().map(|frozen| frozen.saturating_add(self.suspended.get()))
    }

    /// Has a waker called by the next suspension.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    pub(crate) fn await_suspension(&self, waker: Waker) {
        let mut sleepers = self.sleepers.borrow_mut();
        if !sleepers.iter().any(|sleeper| sleeper.will_wake(&waker)) {
            sleepers.push(waker);
        }
    }

    /// Moves the boot clock alone. Returns whom to wake, with nothing borrowed.
    pub(crate) fn suspend(&self, time: Nanos) -> Vec<Waker> {
        self.suspended.set(self.suspended.get().saturating_add(time));
        self.sleepers.take()
    }

    pub(crate) fn hold(&self) {
        self.holds.set(self.holds.get() + 1);
    }

    pub(crate) fn release(&self) {
        self.holds.set(self.holds.get() - 1);
    }

    /// Whether somebody said that the outside world is going to do something.
    pub(crate) fn is_held(&self) -> bool {
        self.holds.get() != 0
    }

    /// Whether a paused clock may jump by itself.
    pub(crate) fn may_jump(&self) -> bool {
        self.is_paused() && self.holds.get() == 0
    }
}

/// Reads the system's clock, for answers about a loop that is gone.
pub(crate) fn system_now() -> Instant {
    Instant::now()
}

/// Whole nanoseconds, saturating at never.
#[inline]
pub(crate) fn nanos(duration: Duration) -> Nanos {
    duration
        .as_secs()
        .saturating_mul(1_000_000_000)
        .saturating_add(u64::from(duration.subsec_nanos()))
}
