//! `EventLoop`: made, run and dropped here. Start reading at `run_until`, then `turn`.

use std::cell::Cell;
use std::fmt;
use std::future::Future;
use std::io;
use std::marker::PhantomData;
use std::panic::Location;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Poll, ready};
use std::time::{Duration, Instant};

use crate::current::{delist, enlist, loop_runs_here};
use crate::deadlock::{Deadlock, explain};
use crate::fork::Forked;
use crate::handle::Handle;
use crate::run_queue::ROOT;
use crate::shared::{Root, Shared};
use crate::straggler::Straggler;
use crate::turn::{Limit, is_over, turn};

/// Why an event loop's run ended without a result.
#[derive(Debug)]
#[non_exhaustive]
pub enum RunError {
    /// The system's poller failed.
    Io(io::Error),
    /// An event loop is in a turn on this thread already: to run one inside it would stall it.
    Nested,
    /// [`Handle::stop`] ended the run before the future was done.
    Stopped,
    /// Nothing can wake the loop any more: says who waits for what.
    Deadlock(Deadlock),
    /// This process was forked from the one that made the loop: make a new one here.
    Forked,
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => write!(f, "the event loop could not wait for events: {error}"),
            Self::Nested => f.write_str(
                "an event loop runs on this thread already: await or spawn the future instead of \
                 blocking on it",
            ),
            Self::Stopped => f.write_str("the event loop was stopped before the future was done"),
            Self::Deadlock(deadlock) => deadlock.fmt(f),
            Self::Forked => Forked.fmt(f),
        }
    }
}

impl std::error::Error for RunError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io(error) => Some(error),
            Self::Nested | Self::Stopped | Self::Deadlock(_) | Self::Forked => None,
        }
    }
}

impl From<RunError> for io::Error {
    fn from(error: RunError) -> Self {
        match error {
            RunError::Io(error) => error,
            other => Self::other(other),
        }
    }
}

/// What one turn did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Turn {
    /// How many items were polled, also those around the wait.
    pub ran: usize,
    /// Whether something is queued that another turn would run without waiting. What a descriptor has to tell is
    /// not known before one looks.
    pub left: bool,
    /// When the next timer is due, or a little earlier.
    pub deadline: Option<Instant>,
    /// Whether the loop was asked to stop. Asked once, reported once.
    pub stopped: bool,
}

/// One event loop on one thread, with a state of type `S` that it lends to callbacks and tasks.
///
/// # Shutdown
///
/// Dropping the loop ends everything on it, in this order: it takes no more items ([`Handle::spawn`]
/// gives a cancelled handle, [`Handle::insert`] an error); messages of [`Remote`](crate::Remote)s that
/// were not taken are dropped; items are cancelled newest first, each future dropped while timers,
/// poller and this thread's other loops still work; then the poller is closed. Wakers and handles that
/// outlive the loop do nothing.
///
/// # Examples
///
/// ```
/// use loopline_runtime::{EventLoop, callback::Next, time::Timer};
/// use std::time::Duration;
///
/// let mut event_loop = EventLoop::<Vec<u32>>::new()?;
/// let mut n = 0;
/// event_loop.handle().insert(Timer::every(Duration::from_millis(1)), move |_tick, _timer, seen| {
///     n += 1;
///     seen.push(n);
///     if n == 3 { Next::Stop } else { Next::Keep }
/// })?;
/// let mut seen = Vec::new();
/// event_loop.run(&mut seen)?; // until no item is left
/// assert_eq!(seen, [1, 2, 3]);
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// A loop stays on the thread that made it; make one on each thread instead:
///
/// ```compile_fail,E0277
/// let mut event_loop = loopline_runtime::EventLoop::<()>::new().unwrap();
/// std::thread::spawn(move || event_loop.run(&mut ()));
/// ```
///
/// ```
/// std::thread::spawn(|| {
///     let mut event_loop = loopline_runtime::EventLoop::<()>::new().unwrap();
///     event_loop.run(&mut ())
/// });
/// ```
pub struct EventLoop<S: 'static> {
    shared: Rc<Shared>,
    /// Invariant in S, and not Send.
    _state: PhantomData<*mut S>,
}

impl<S: 'static> EventLoop<S> {
    pub(crate) fn from_shared(shared: Rc<Shared>) -> Self {
        enlist(&shared);
        Self { shared, _state: PhantomData }
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
    }

    /// Whether [`EventLoop::run`] would return at once: no item is left that it waits for. For loops of one's own
    /// around [`EventLoop::turn`].
    #[must_use]
    pub fn is_finished(&self) -> bool {
        // One that was asked to stop has a turn before it.
        !self.shared.stop.get() && is_over(&self.shared)
    }

    /// Returns the loop's handle.
    #[must_use]
    pub fn handle(&self) -> Handle<S> {
        Handle::new(self.shared.id)
    }

    /// Runs turns until [`Handle::stop`], or until no item is left: items marked
    /// [`background`](crate::ItemBuilder::background) do not count, a live [`Remote`](crate::Remote) does.
    ///
    /// # Errors
    ///
    /// If an event loop runs on this thread already, if the poller fails, or if items are left that
    /// nothing can wake any more.
    #[track_caller]
    pub fn run(&mut self, state: &mut S) -> Result<(), RunError> {
        let place = Location::caller();
        self.enter(state, |shared| {
            let root: &mut Root<'_> = &mut |_| Poll::Pending;
            loop {
                if !shared.stop.get() && is_over(shared) {
                    return Ok(());
                }
                turn(shared, root, Limit::None).map_err(failed)?;
                if shared.stop.take() {
                    return Ok(());
                }
                if shared.stuck.take() {
                    if let Some(deadlock) = explain(shared, None, place) {
                        return Err(RunError::Deadlock(deadlock));
                    }
                }
            }
        })
    }

    /// Runs turns until the future is done, and returns its output.
    ///
    /// The future may borrow from the caller's frame; it is polled in the same order as the items, and
    /// dropped before the state is given back. Items that are left wait for the next run.
    ///
    /// # Errors
    ///
    /// If an event loop runs on this thread already, if the loop is stopped, if the poller fails, or if
    /// nothing can wake the loop any more and the future is not done.
    ///
    /// # Panics
    ///
    /// A panic of the future is the caller's.
    #[track_caller]
    pub fn run_until<F: Future>(
        &mut self,
        state: &mut S,
        future: F,
    ) -> Result<F::Output, RunError> {
        let place = Location::caller();
        self.enter(state, |shared| {
            let mut future = pin!(future);
            let (output, mut done) = (Cell::new(None), false);
            let root: &mut Root<'_> = &mut |cx| {
                if !done {
                    output.set(Some(ready!(future.as_mut().poll(cx))));
                    done = true;
                }
                // Else: woken once more in the turn that it ended in.
                Poll::Ready(())
            };
            let _root = RootSlot::take(shared, place);
            loop {
                let turned = turn(shared, root, Limit::None);
                if let Some(output) = output.take() {
                    // A stop in this turn was for this run.
                    shared.stop.set(false);
                    return Ok(output);
                }
                turned.map_err(failed)?;
                if shared.stop.take() {
                    return Err(RunError::Stopped);
                }
                if shared.stuck.take() {
                    if let Some(deadlock) = explain(shared, Some(root), place) {
                        return Err(RunError::Deadlock(deadlock));
                    }
                }
            }
        })
    }

    /// Runs one turn: waits `timeout` at most for something to happen (`None`: as long as it takes;
    /// zero: not at all), then runs what is due.
    ///
    /// A source inserted since the last turn joins the loop in this one, which therefore does not wait:
    /// what it watches is looked at, and its timers and hooks count, from the next turn on. Only what is there
    /// already, a message or a deadline that has passed, is told in this one.
    ///
    /// Allowed inside a turn of another loop, which waits meanwhile.
    ///
    /// # Errors
    ///
    /// If the poller fails, or in a process that was forked since the loop was made.
    pub fn turn(
        &mut self,
        state: &mut S,
        timeout: impl Into<Option<Duration>>,
    ) -> io::Result<Turn> {
        let before = self.shared.counters.items_run.get();
        let limit = match timeout.into() {
            None => Limit::None,
            Some(Duration::ZERO) => Limit::Look,
            Some(timeout) => Limit::Time(timeout),
        };
        let shared = &*self.shared;
        shared
            .state
            .park(state, || shared.enter(|| turn(shared, &mut |_| Poll::Pending, limit)))?;
        let deadline = shared.timers.borrow_mut().next_deadline();
        Ok(Turn {
            ran: (shared.counters.items_run.get() - before) as usize,
            left: shared.has_work(),
            deadline: deadline.map(|at| shared.clock.instant(at)),
            stopped: shared.stop.take(),
        })
    }

    /// Brings the work of the loop to an end and drops it: [`Handle::shutdown`] in a run of its own. Returns
    /// the items that had not ended after `grace` and were cancelled, oldest first.
    ///
    /// # Errors
    ///
    /// If an event loop runs on this thread already, if the loop is stopped meanwhile, or if the poller
    /// fails; what was left has been cancelled all the same.
    #[track_caller]
    pub fn shutdown(mut self, state: &mut S, grace: Duration) -> Result<Vec<Straggler>, RunError> {
        if !self.shared.has_panic() {
            self.shared.stop.set(false);
        }
        let handle = self.handle();
        self.run_until(state, handle.shutdown(grace))
    }

    /// Calls `f` in a turn, with the state parked, unless a loop is in a turn on this thread.
    fn enter<R>(
        &mut self,
        state: &mut S,
        f: impl FnOnce(&Shared) -> Result<R, RunError>,
    ) -> Result<R, RunError> {
        let shared = &*self.shared;
        shared.reactor.stamp().check().map_err(|Forked| RunError::Forked)?;
        if loop_runs_here() {
            return Err(RunError::Nested);
        }
        let _watches = Watches::begin(shared);
        shared.state.park(state, || shared.enter(|| f(shared)))
    }
}

/// Has a run end in a deadlock, as long as this lives: in turns alone somebody else says when to wait.
struct Watches<'a>(&'a Cell<bool>);

impl<'a> Watches<'a> {
    fn begin(shared: &'a Shared) -> Self {
        shared.watches_deadlock.set(shared.config.detect_deadlock);
        Self(&shared.watches_deadlock)
    }
}

impl Drop for Watches<'_> {
    fn drop(&mut self) {
        self.0.set(false);
    }
}

impl EventLoop<()> {
    /// Runs turns until the future is done, and returns its output: [`EventLoop::run_until`] for a
    /// loop without state.
    ///
    /// # Errors
    ///
    /// As [`EventLoop::run_until`].
    ///
    /// # Panics
    ///
    /// A panic of the future is the caller's.
    #[track_caller]
    pub fn block_on<F: Future>(&mut self, future: F) -> Result<F::Output, RunError> {
        self.run_until(&mut (), future)
    }
}

impl<S: 'static> Drop for EventLoop<S> {
    fn drop(&mut self) {
        let shared = &*self.shared;
        shared.hosting.set(None);
        shared.enter(|| shared.shut_down());
        delist(shared.id);
    }
}

impl<S: 'static> fmt::Debug for EventLoop<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventLoop")
            .field("id", &self.shared.id)
            .field("label", &self.shared.config.label)
            .field("items", &self.shared.live.get())
            .finish_non_exhaustive()
    }
}

/// What a failed turn is to the caller of a run.
#[cold]
pub(crate) fn failed(error: io::Error) -> RunError {
    match error.get_ref() {
        Some(inner) if inner.is::<Forked>() => RunError::Forked,
        _ => RunError::Io(error),
    }
}

/// The root future's slot for the time of one `run_until`, or its like: wakers made for it are stale afterwards.
pub(crate) struct RootSlot<'a>(&'a Shared);

impl<'a> RootSlot<'a> {
    pub(crate) fn take(shared: &'a Shared, place: &'static Location<'static>) -> Self {
        if let Some(watch) = &shared.watch {
            watch.names_root(place);
        }
        let queue = &shared.home.queue;
        queue.revive(ROOT);
        queue.wake_any(ROOT);
        Self(shared)
    }
}

impl Drop for RootSlot<'_> {
    fn drop(&mut self) {
        self.0.home.queue.free_root();
        // The future is dropped after this, and before the loop leaves its turn.
        if let Some(watch) = &self.0.watch {
            watch.destroys_root();
        }
    }
}
