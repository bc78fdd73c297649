//! What a builder sets and what a loop counts: plain numbers, no logic.

use std::cell::Cell;
use std::time::Duration;

use crate::clock::Nanos;

/// What the loop does with a panic that nobody waits for.
///
/// That is a panic in a task whose [`JoinHandle`](crate::JoinHandle) was dropped, in a callback whose
/// handle was dropped, and in a destructor. A panic of an awaited task goes to its handle instead.
/// Each policy prints the item's label, its place and the payload first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum PanicPolicy {
    /// Prints, and goes on with the other items.
    #[default]
    Continue,
    /// Prints, and stops the run as [`Handle::stop`](crate::Handle::stop) does.
    Stop,
    /// Prints, and unwinds out of the run or the turn, once that turn is done: what calloop does, and what a
    /// test wants, in which a callback asserts something. One of between two turns unwinds out of the next, as
    /// does one of a turn that the future panicked in for which the loop runs. One that comes as the loop is
    /// dropped is only printed, and so is a second one of the same turn.
    Unwind,
    /// Prints, and aborts the process.
    Abort,
}

/// The settings of one loop.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// Leaf operations a poll may complete.
    pub(crate) operations: u32,
    /// Items between two looks at the clock.
    pub(crate) check_every: usize,
    /// Items a turn may run.
    pub(crate) turn_items: usize,
    /// Time after which a turn with work left looks at the poller.
    pub(crate) turn_time: Nanos,
    /// What a lane of weight one may use before the next one runs.
    pub(crate) lane_time: Nanos,
    /// Polls that take longer are reported.
    pub(crate) slow_items: Option<Nanos>,
    pub(crate) panic: PanicPolicy,
    /// Whether `run` and `run_until` report a deadlock.
    pub(crate) detect_deadlock: bool,
    pub(crate) label: Option<String>,
    /// The most threads for blocking jobs.
    pub(crate) blocking_threads: usize,
    /// After this time without a job such a thread ends.
    pub(crate) blocking_idle: Duration,
}

/// What a loop counts, cheaply.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) turns: Cell<u64>,
    pub(crate) items_run: Cell<u64>,
    pub(crate) parked: Cell<Nanos>,
    pub(crate) longest_item: Cell<Nanos>,
    pub(crate) lag: Cell<Nanos>,
    pub(crate) slow_items: Cell<u64>,
    /// How long items ran in the turn before this one, and when they were done.
    pub(crate) last_stretch: Cell<Nanos>,
    pub(crate) last_done: Cell<Nanos>,
}

/// A snapshot of an event loop's counters; taken by [`Handle::stats`](crate::Handle::stats).
///
/// # Examples
///
/// ```
/// use loopline_runtime::EventLoop;
///
/// let mut event_loop = EventLoop::<()>::new()?;
/// let handle = event_loop.handle();
/// handle.spawn(async {});
/// assert_eq!(handle.stats().items, 1);
/// event_loop.run(&mut ())?;
/// let stats = handle.stats();
/// assert_eq!((stats.items, stats.items_run), (0, 1));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Turns begun.
    pub turns: u64,
    /// Polls of items and of the root future.
    pub items_run: u64,
    /// Time spent waiting in the poller.
    pub time_parked: Duration,
    /// The longest time between two looks at the clock while items ran: an upper bound on the longest
    /// single poll, and exact for one that ran alone.
    pub longest_item: Duration,
    /// The longest time the loop ran items without looking at the poller.
    pub lag: Duration,
    /// Polls that were reported because they took too long:
    /// [`Builder::report_slow_items`](crate::Builder::report_slow_items).
    pub slow_items: u64,
    /// How many times something blocked the loop for so long that the watchdog reported it:
    /// [`Builder::watchdog`](crate::Builder::watchdog).
    pub blocked: u64,
    /// Items alive now: tasks and callbacks.
    pub items: usize,
    /// Timers set now, those included that fired and were not polled yet.
    pub timers: usize,
    /// Sources registered with the poller now.
    pub registrations: usize,
}

/// Adds to a counter.
#[inline]
pub(crate) fn add(counter: &Cell<u64>, n: u64) {
    counter.set(counter.get().wrapping_add(n));
}

/// Raises a high-water mark.
#[inline]
pub(crate) fn raise(mark: &Cell<u64>, n: u64) {
    if n > mark.get() {
        mark.set(n);
    }
}
