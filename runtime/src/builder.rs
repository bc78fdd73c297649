//! The settings of a new event loop.

use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::time::Duration;

use crate::budget;
use crate::chance::Chance;
use crate::clock::{Clock, LoopClock, nanos};
use crate::config::{Config, PanicPolicy};
use crate::event_loop::EventLoop;
use crate::inbox::LoopNumber;
use crate::reactor::Reactor;
use crate::run_queue::RunQueue;
use crate::shared::{Parts, Shared, Ways};
use crate::state::StateCell;
use crate::turn::{PLAIN, TIMED, WATCHED};
use crate::wake::Home;
use crate::watchdog::Watchdog;

/// Makes an [`EventLoop`] with settings; each has a default that suits servers and desktops.
///
/// # Examples
///
/// ```
/// use loopline_runtime::{EventLoop, PanicPolicy};
///
/// let event_loop = EventLoop::<()>::builder()
///     .label("acceptor")
///     .operations_per_poll(64)
///     .panic_policy(PanicPolicy::Stop)
///     .build()?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[must_use = "a builder makes nothing until `build`"]
pub struct Builder<S: 'static> {
    config: Config,
    events: usize,
    clock: Clock,
    seed: Option<u64>,
    timer_slack: Option<Duration>,
    watchdog: Option<Watchdog>,
    ways: &'static Ways,
    _state: PhantomData<fn(S)>,
}

impl<S: 'static> EventLoop<S> {
    /// Makes an event loop with default settings.
    ///
    /// # Errors
    ///
    /// If the system has no descriptors left for a poller, or as many loops exist as can (65,536; 64
    /// on 32-bit platforms).
    pub fn new() -> io::Result<Self> {
        Self::builder().build()
    }

    /// Starts an event loop with settings of one's own.
    pub fn builder() -> Builder<S> {
        Builder::new()
    }
}

impl<S: 'static> Builder<S> {
    fn new() -> Self {
        Self {
            config: Config {
                operations: 128,
                check_every: 64,
                turn_items: 1024,
                turn_time: 50_000,
                lane_time: 100_000,
                slow_items: None,
                panic: PanicPolicy::Continue,
                detect_deadlock: true,
                label: None,
                blocking_threads: 64,
                blocking_idle: Duration::from_secs(10),
            },
            events: 1024,
            clock: Clock::Monotonic,
            seed: None,
            timer_slack: None,
            watchdog: None,
            ways: &PLAIN,
            _state: PhantomData,
        }
    }

    /// Names the loop in messages. Default: none.
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.config.label = Some(label.into());
        self
    }

    /// Sets how many leaf operations (reads, accepts, events of one source, ..) a poll may complete
    /// before it must yield. Default: 128. At least 1.
    pub fn operations_per_poll(mut self, operations: u32) -> Self {
        self.config.operations = operations.clamp(1, budget::MOST);
        self
    }

    /// Sets after how many items the clock is read, to see whether the turn is over. Where they are slow it is
    /// read after fewer. Default: 64. At least 1.
    pub fn items_per_check(mut self, items: usize) -> Self {
        self.config.check_every = items.max(1);
        self
    }

    /// Sets how many items a turn runs before it looks at the poller again. Default: 1,024. At least 1.
    pub fn items_per_turn(mut self, items: usize) -> Self {
        self.config.turn_items = items.max(1);
        self
    }

    /// Sets how long a turn runs items before it looks at the poller again; seen every
    /// [`Builder::items_per_check`] items. Default: 50 us.
    pub fn time_per_turn(mut self, time: Duration) -> Self {
        self.config.turn_time = nanos(time);
        self
    }

    /// Sets how long a lane of weight one may run before the next one's turn comes, where there are lanes:
    /// see [`Handle::add_lane`](crate::Handle::add_lane). Default: 100 us.
    pub fn lane_time(mut self, time: Duration) -> Self {
        self.config.lane_time = nanos(time).max(1);
        self
    }

    /// Prints each item that holds the loop for longer than `limit` in one poll: its label, the place where
    /// it was made, and for how long. Default: off; on, the clock is read once for each poll (25 ns).
    pub fn report_slow_items(mut self, limit: Duration) -> Self {
        self.config.slow_items = Some(nanos(limit));
        self.ways = &TIMED;
        self
    }

    /// Starts a thread that reports each item which blocks the loop for as long as this, *while it still
    /// does*: a callback, the poll of a task or of the future that the loop runs for, or a destructor. It
    /// prints the item's label, the place where it was made and for how long, or calls what
    /// [`Watchdog::report`] was given. Default: none.
    ///
    /// Each time is reported once, and again as it doubles; [`Stats::blocked`](crate::Stats::blocked) counts
    /// them. Time is the system's, whatever the loop's clock is, and does not count while the process is
    /// stopped. It costs a poll four instructions; the thread sleeps while the loop does, and holds up no
    /// exit. On Linux it prints to what standard error was when the loop was made: it has a table of
    /// descriptors of its own, so that those of the program are not dearer to use.
    ///
    /// # Examples
    ///
    /// ```
    /// use loopline_runtime::EventLoop;
    /// use std::time::Duration;
    ///
    /// let event_loop = EventLoop::<()>::builder().watchdog(Duration::from_millis(100)).build()?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn watchdog(mut self, watchdog: impl Into<Watchdog>) -> Self {
        self.watchdog = Some(watchdog.into());
        if self.config.slow_items.is_none() {
            self.ways = &WATCHED;
        }
        self
    }

    /// Sets how many events one wait can bring; more come at the next turn. Default: 1,024. At least 1.
    pub fn event_capacity(mut self, events: usize) -> Self {
        self.events = events.max(1);
        self
    }

    /// Sets how late the kernel may wake this thread for a timer, to save power. Default: what the
    /// thread has, usually 50 us; at 1 ns a 50 us sleep takes 53 us instead of 100.
    ///
    /// It holds for the whole thread that builds the loop, and stays when the loop is gone.
    #[cfg(all(any(target_os = "linux", target_os = "android"), not(loopline_portable_park)))]
    pub fn timer_slack(mut self, slack: Duration) -> Self {
        self.timer_slack = Some(slack);
        self
    }

    /// Sets the clock the loop starts with. Default: [`Clock::Monotonic`].
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Permutes by this seed all order that is not promised. Default: `LOOPLINE_SEED` from the
    /// environment, else nothing is permuted.
    ///
    /// Promised, and so never permuted: wakes made inside a turn, messages of one sender, equal
    /// deadlines. A seeded turn ends by its number of items alone, not by time.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Sets what is done with a panic that nobody awaits. Default: print it and go on.
    pub fn panic_policy(mut self, policy: PanicPolicy) -> Self {
        self.config.panic = policy;
        self
    }

    /// Sets whether [`EventLoop::run`] and [`EventLoop::run_until`] return
    /// [`RunError::Deadlock`](crate::RunError::Deadlock) when nothing can wake them any more. Default: yes.
    ///
    /// Off, they wait for ever instead: for programs that wake the loop in ways it cannot see, such as a
    /// signal handler that holds a copy of a waker made before.
    pub fn detect_deadlock(mut self, detect: bool) -> Self {
        self.config.detect_deadlock = detect;
        self
    }

    /// Sets how many threads [`spawn_blocking`](crate::spawn_blocking) may have at a time. Default: 64.
    /// At least 1.
    ///
    /// Further jobs wait until one is free. A loop that spawns none has no thread.
    pub fn blocking_threads(mut self, threads: usize) -> Self {
        self.config.blocking_threads = threads.max(1);
        self
    }

    /// Sets after how long without a job a thread of [`spawn_blocking`](crate::spawn_blocking) ends.
    /// Default: 10 s, by the system's clock also while that of the loop is paused.
    pub fn blocking_idle(mut self, time: Duration) -> Self {
        self.config.blocking_idle = time;
        self
    }

    /// Makes the event loop. It belongs to this thread.
    ///
    /// # Errors
    ///
    /// If the system has no descriptors left for a poller, or as many loops exist as can (65,536; 64
    /// on 32-bit platforms), or the thread of [`Builder::watchdog`] cannot be started.
    ///
    /// # Panics
    ///
    /// If `LOOPLINE_SEED` is set to something that is not a number.
    pub fn build(self) -> io::Result<EventLoop<S>> {
        let chance = Chance::new(self.seed);
        let number = LoopNumber::take().ok_or_else(|| {
            io::Error::other("too many event loops exist: drop some before making another")
        })?;
        let reactor = Reactor::new(self.events).map_err(no_poller)?;
        let notifier = reactor.notifier().map_err(no_poller)?;
        #[cfg(all(any(target_os = "linux", target_os = "android"), not(loopline_portable_park)))]
        if let Some(slack) = self.timer_slack {
            crate::reactor::poller::set_timer_slack(slack)?;
        }
        let stamp = reactor.stamp();
        number.inbox().open(Box::new(move || {
            if stamp.is_foreign() {
                // The notifier is the parent's too, and so would wake it.
                return;
            }
            // A full counter means that it was notified already, and mio handles that; no other
            // failure is possible on an eventfd or a kqueue that is open.
            let _ = notifier.wake();
        }));
        let label = self.config.label.as_deref();
        let start = |watchdog: Watchdog| watchdog.start(number.inbox(), label);
        let watch = self.watchdog.map(start).transpose().map_err(no_watchdog)?;
        Ok(EventLoop::from_shared(Shared::new(Parts {
            id: number.id(),
            home: Home { queue: RunQueue::new(number.get(), number.generation()), number },
            reactor,
            clock: LoopClock::new(self.clock),
            chance,
            state: StateCell::new::<S>(),
            watch,
            ways: self.ways,
            config: self.config,
        })))
    }
}

/// Says what could not be made, keeping the system's error and kind.
fn no_poller(error: io::Error) -> io::Error {
    let text = format!(
        "the event loop needs two descriptors, a poller and a notifier, and could not get them \
         ({error}): close some, or raise the limit (ulimit -n)"
    );
    io::Error::new(error.kind(), text)
}

/// Says what could not be started, keeping the system's error and kind.
fn no_watchdog(error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("no thread for the event loop's watchdog: {error}"))
}

impl<S: 'static> fmt::Debug for Builder<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("config", &self.config)
            .field("events", &self.events)
            .field("clock", &self.clock)
            .field("seed", &self.seed)
            .field("timer_slack", &self.timer_slack)
            .field("watchdog", &self.watchdog)
            .finish()
    }
}
