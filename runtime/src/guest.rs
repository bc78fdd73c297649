//! `Guest`: a loop whose waiting is done by somebody else. `hosting` is how it ends the host's wait.

use std::fmt;
use std::future::Future;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

pub use self::until::Until;
use crate::clock::{NEVER, Nanos};
use crate::event_loop::{EventLoop, RunError, Turn};
use crate::handle::Handle;
use crate::item::drop_payload;
use crate::shared::{Root, Shared};
use crate::straggler::Straggler;
use crate::turn::{Limit, absorb, end_hosted, turn};

#[cfg(any(
    target_os = "linux",
    target_os = "android",
    target_os = "freebsd",
    target_os = "netbsd",
    target_os = "openbsd",
    target_os = "dragonfly",
    target_vendor = "apple",
))]
mod descriptor;
mod until;

/// An event loop inside another one, its host: GLib, a toolkit, a game, a bare `poll(2)`. Made by
/// [`EventLoop::into_guest`].
///
/// The host waits, and calls [`Guest::turn`] when there is something to do; a turn never waits. There are
/// three ways to know when that is, and a host uses one of them:
///
/// - **The descriptor**, on Linux: [`AsFd`](std::os::fd::AsFd) gives one that is readable whenever a turn
///   would run something: work that was left, woken or inserted, from this thread or another, an event of a
///   source, a timer that is due. After a turn that left nothing it is not readable. Once in a while it is
///   readable for nothing, and a turn is empty. The host waits for it to be readable, by level or by edge,
///   for as long as it likes, and never reads from it. On the BSDs and Apple's systems it tells all of
///   that but timers: wait no longer than until [`Turn::deadline`].
/// - **Asking before each wait**, where the host has a hook for that: [`Guest::prepare`].
/// - **A call**, on every platform: [`Guest::on_wake`], with [`Turn::left`] and [`Turn::deadline`]. It does
///   not tell of sources, so this is for loops that have none, and for Windows.
///
/// A turn runs what is ready and then returns, after about 50 us or 1,024 items at the latest (see
/// [`Builder`](crate::Builder)), so a busy guest leaves the host its share.
///
/// # Inside a turn
///
/// A callback of the guest may run the host's loop, a modal dialog for instance. Until it returns the guest
/// stands still, as any loop does that is blocked, and [`Guest::turn`] is an error of the kind
/// [`ResourceBusy`](io::ErrorKind::ResourceBusy). That call also takes in what made the descriptor readable,
/// so that a host which calls it again and again does not spin; [`Guest::absorb`] does only that.
///
/// # End
///
/// Take the descriptor out of the host before the guest is dropped. Dropping it is dropping the
/// [`EventLoop`]. In a forked child each turn is an error, and so is waiting for the descriptor, which is the
/// parent's.
///
/// # Examples
///
/// A host that knows `poll(2)` and nothing else stands in `examples/guest_poll.rs`. One that can only be
/// called, and sleeps meanwhile:
///
/// ```
/// use loopline_runtime::{EventLoop, time::sleep};
/// use std::sync::mpsc;
/// use std::time::{Duration, Instant};
///
/// let guest = EventLoop::<u32>::new()?.into_guest();
/// let handle = guest.handle();
/// handle.spawn(async move {
///     sleep(Duration::from_millis(1)).await;
///     handle.with(|count| *count += 1);
/// });
/// let (call, calls) = mpsc::channel();
/// guest.on_wake(move || call.send(()).unwrap_or(()));
/// let mut count = 0;
/// while count == 0 {
///     let turn = guest.turn(&mut count)?;
///     let wait = turn.deadline.map(|at| at.saturating_duration_since(Instant::now()));
///     if !turn.left && count == 0 {
///         let _ = calls.recv_timeout(wait.unwrap_or(Duration::MAX));
///     }
/// }
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Guest<S: 'static> {
    event_loop: EventLoop<S>,
}

/// What a host is to do before its next wait; returned by [`Guest::prepare`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Prepared {
    /// Whether there is something to run: do not wait.
    pub ready: bool,
    /// Wait no longer than until then. Of a paused clock: by that clock.
    pub deadline: Option<Instant>,
}

impl<S: 'static> EventLoop<S> {
    /// Hands the waiting to somebody else: see [`Guest`].
    #[must_use]
    pub fn into_guest(self) -> Guest<S> {
        self.shared().set_hosted(true);
        Guest { event_loop: self }
    }
}

impl<S: 'static> Guest<S> {
    /// Returns the loop's handle.
    #[must_use]
    pub fn handle(&self) -> Handle<S> {
        self.event_loop.handle()
    }

    /// Runs one turn, and does not wait.
    ///
    /// [`Turn::left`] says whether the next turn has something to run already; then the descriptor is
    /// readable.
    ///
    /// # Errors
    ///
    /// If the poller fails; if no alarm can be set for the next deadline, for want of a descriptor, and then the
    /// descriptor stays readable, so that further turns run what is due; inside a turn
    /// of this loop ([`ResourceBusy`](io::ErrorKind::ResourceBusy)); in a process that was forked since the loop
    /// was made.
    pub fn turn(&self, state: &mut S) -> io::Result<Turn> {
        self.turn_with(state, &mut |_| Poll::Pending)
    }

    fn turn_with(&self, state: &mut S, root: &mut Root<'_>) -> io::Result<Turn> {
        let shared = self.shared();
        shared.reactor.stamp().check()?;
        if shared.in_turn.get() {
            absorb(shared)?;
            return Err(io::Error::new(io::ErrorKind::ResourceBusy, InTurn));
        }
        let (before, around_waits) =
            (shared.counters.items_run.get(), shared.phases.around_waits.get());
        let ran = || shared.counters.items_run.get() - before;
        // Unless the turn comes to its end, and says better.
        shared.host.before_park.set(true);
        let stopped = shared.state.park(state, || {
            shared.enter(|| {
                let turned = turn(shared, root, Limit::Host);
                end_hosted(shared);
                turned?;
                let rest = ran() - (shared.phases.around_waits.get() - around_waits);
                shared.host.before_park.set(rest != 0);
                Ok::<bool, io::Error>(shared.stop.take())
            })
        })?;
        if let Some(error) = shared.host.error.take() {
            shared.stop.set(stopped);
            return Err(error);
        }
        // As the turn's end found them.
        let (left, deadline) = (shared.host.left.get(), self.instant(shared.host.told.get()));
        Ok(Turn { ran: ran() as usize, left, deadline, stopped })
    }

    /// Takes in what made the descriptor readable, inside a turn, and runs nothing: what came runs when the
    /// turn goes on. Outside a turn it does nothing.
    ///
    /// For a modal loop in a callback of the guest, so that the descriptor does not keep it busy, where the
    /// state to call [`Guest::turn`] with is out of reach.
    ///
    /// # Errors
    ///
    /// If the poller fails, or in a process that was forked since the loop was made.
    pub fn absorb(&self) -> io::Result<()> {
        let shared = self.shared();
        shared.reactor.stamp().check()?;
        if shared.in_turn.get() { absorb(shared) } else { Ok(()) }
    }

    /// Begins turns that also poll a future, which may borrow from the caller's frame; as
    /// [`EventLoop::run_until`] does.
    #[track_caller]
    pub fn until<F: Future>(&mut self, future: F) -> Until<'_, S, F> {
        Until::new(self, future)
    }

    /// Tells what to do before the wait that follows. A host that calls this once has to before each of its
    /// waits from then on: in return turns make no system calls to make the descriptor readable for work
    /// that they left, or for timers. Inside a turn there is nothing that the host could do.
    #[must_use]
    pub fn prepare(&self) -> Prepared {
        let shared = self.shared();
        shared.host.asks.set(true);
        if shared.in_turn.get() {
            return Prepared { ready: false, deadline: None };
        }
        let deadline = shared.tells_deadline();
        Prepared { ready: self.is_ready_at(deadline), deadline: self.instant(deadline) }
    }

    /// Whether a turn would run something, without a look at sources. Inside a turn none would.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.is_ready_at(self.shared().next_deadline())
    }

    fn is_ready_at(&self, deadline: Nanos) -> bool {
        let shared = self.shared();
        let is_due = || deadline != NEVER && deadline <= shared.clock.read();
        !shared.in_turn.get() && (shared.would_run(deadline) || is_due())
    }

    /// Returns when the next timer is due, or a little earlier; by the clock of the loop, where that is paused.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.instant(self.shared().tells_deadline())
    }

    fn instant(&self, at: Nanos) -> Option<Instant> {
        (at != NEVER).then(|| self.shared().clock.instant(at))
    }

    /// Sets what is called, from any thread, when a turn is due for any other reason than a source: once
    /// for each turn, also for what the turn itself left, and at once if one is due now. An earlier
    /// deadline, set between two turns, is such a reason too.
    ///
    /// It must not block and should do no more than post a message to the host: it is called by whoever
    /// wakes, perhaps while they hold locks. It takes the place of one that was set before. After the guest's
    /// end it may be called once more, by a wake that is under way. A panic in it, or as it is dropped, is
    /// printed and ignored.
    pub fn on_wake(&self, tell: impl Fn() + Send + Sync + 'static) {
        let tell = Tell(Some(tell));
        let tell = move || tell.call();
        let inbox = self.shared().home.number.inbox();
        inbox.set_host(Some(Arc::new(tell)));
        // Notified already, perhaps for nothing any more: until a turn has been, no wake does so again.
        if self.is_ready() || inbox.is_notified() {
            inbox.tell_host();
        }
    }

    /// Whether [`EventLoop::run`] would return now: no item is left that it waits for.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.event_loop.is_finished()
    }

    /// Takes the waiting back.
    #[must_use]
    pub fn into_event_loop(self) -> EventLoop<S> {
        self.shared().set_hosted(false);
        self.event_loop
    }

    /// Brings the work of the loop to an end and drops it, without the host: [`EventLoop::shutdown`]. To go on
    /// waiting by the host meanwhile, await [`Handle::shutdown`] in a task.
    ///
    /// # Errors
    ///
    /// As [`EventLoop::shutdown`].
    #[track_caller]
    pub fn shutdown(self, state: &mut S, grace: Duration) -> Result<Vec<Straggler>, RunError> {
        self.into_event_loop().shutdown(state, grace)
    }

    fn shared(&self) -> &Shared {
        self.event_loop.shared()
    }
}

/// What a host is called by. Whoever wakes may be the last to hold it, and a wake does not panic.
struct Tell<F>(Option<F>);

impl<F: Fn()> Tell<F> {
    fn call(&self) {
        if let Err(payload) =
            catch_unwind(AssertUnwindSafe(|| self.0.iter().for_each(|tell| tell())))
        {
            drop_payload(payload);
        }
    }
}

impl<F> Drop for Tell<F> {
    fn drop(&mut self) {
        let tell = self.0.take();
        if let Err(payload) = catch_unwind(AssertUnwindSafe(|| drop(tell))) {
            drop_payload(payload);
        }
    }
}

impl<S: 'static> fmt::Debug for Guest<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guest").field("event_loop", &self.event_loop).finish_non_exhaustive()
    }
}

/// A turn was called for inside another one of the same loop.
#[derive(Debug)]
struct InTurn;

impl fmt::Display for InTurn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "this event loop is in a turn already, whose callback called for this one: what came is taken \
             in, and runs when that callback has returned",
        )
    }
}

impl std::error::Error for InTurn {}
