//! Signals, as futures and as sources. Unix only; behind the feature `signal`.
//!
//! [`signal()`] waits for one kind, [`signals`] for several, [`ctrl_c`] for the next Ctrl-C. Any number of
//! loops, on any threads, may wait for the same signal: each waiter is told.
//!
//! # What the process sees
//!
//! The first waiter of a signal installs a handler, the last one that drops (or that calls `give_back`)
//! puts back what was there, unless somebody else has installed something since. A handler that was
//! there before is still called. While somebody waits, the signal's default action does not take place:
//! a program that awaits SIGTERM ends by itself, or not at all.
//!
//! A handler that is installed over this one must call it, as this one does with what it finds; else
//! signals do not come here any more.
//!
//! No mask is touched, neither of this thread nor of others, so children and new threads inherit
//! nothing.
//!
//! # Signals coalesce
//!
//! That a signal came is told, not how often: two that come close together may be one event. Look at the
//! state that the signal is about, and count nothing. A signal that comes after its waiter was made is
//! not missed, whenever the waiter is polled.

use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use loopline_runtime::budget;
use loopline_runtime::registration::{Direction, WaitKey};

use crate::adapter::Adapter;
use crate::sys::calls::handler;

pub use self::kind::SignalKind;
use self::subscription::Subscription;

mod kind;
pub(crate) mod subscription;

/// The names under which tokio has them.
pub mod unix {
    pub use super::{Signal, SignalKind, signal};
}

/// Waits for one kind of signal, from now on.
///
/// # Errors
///
/// `InvalidInput` for signals that cannot be awaited: SIGKILL, SIGSTOP, those of faults (SIGSEGV, SIGFPE,
/// SIGILL, SIGBUS), and numbers that are none. Else if the handler cannot be installed, descriptors have
/// run out, or 256 waiters exist in this process.
///
/// # Examples
///
/// ```no_run
/// # async fn example() -> std::io::Result<()> {
/// use loopline_io::signal::{SignalKind, signal};
///
/// let mut hangup = signal(SignalKind::hangup())?;
/// while hangup.recv().await.is_some() {
///     println!("reading the configuration again");
/// }
/// # Ok(())
/// # }
/// ```
pub fn signal(kind: SignalKind) -> io::Result<Signal> {
    Ok(Signal { events: Events::new(vec![kind])? })
}

/// Waits for several kinds of signals, from now on.
///
/// # Errors
///
/// As [`signal()`], for any of them; then none is waited for.
///
/// # Examples
///
/// As a source:
///
/// ```
/// use loopline_io::signal::{SignalKind, signals};
/// use loopline_runtime::{EventLoop, callback::Next};
///
/// let mut event_loop = EventLoop::<Vec<SignalKind>>::new()?;
/// let end = signals([SignalKind::terminate(), SignalKind::interrupt()])?;
/// event_loop.handle().insert(end, |kind, end, seen| {
///     seen.push(kind);
///     // From now on Ctrl-C ends the process, as it did before.
///     end.give_back();
///     Next::Keep
/// })?;
/// # // SAFETY: takes an integer.
/// # unsafe { libc::raise(libc::SIGTERM) };
/// let mut seen = Vec::new();
/// event_loop.run(&mut seen)?;
/// assert_eq!(seen, [SignalKind::terminate()]);
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn signals(kinds: impl IntoIterator<Item = SignalKind>) -> io::Result<Signals> {
    Ok(Signals { events: Events::new(kinds.into_iter().collect())? })
}

/// Waits for Ctrl-C (SIGINT).
///
/// A Ctrl-C after this call is noticed even if the future is polled later, and each waiting future
/// notices it. When the last future (or [`Signal`] of SIGINT) is dropped, Ctrl-C does what it did before,
/// which by default is to end the process: to keep it from that, hold one.
///
/// # Errors
///
/// When awaited: if the handler cannot be installed, or descriptors have run out.
///
/// # Cancel safety
///
/// Strict, but for the Ctrl-Cs between dropping one future and making the next.
///
/// # Examples
///
/// ```no_run
/// # async fn example() -> std::io::Result<()> {
/// loopline_io::signal::ctrl_c().await?;
/// println!("shutting down");
/// # Ok(())
/// # }
/// ```
pub fn ctrl_c() -> CtrlC {
    CtrlC { events: Events::new(vec![SignalKind::interrupt()]) }
}

/// Signals of one kind; made by [`signal()`]. A source.
#[derive(Debug)]
#[must_use = "this does nothing unless it is inserted or awaited, and dropping it ends the waiting"]
pub struct Signal {
    events: Events,
}

impl Signal {
    /// Waits for the next signal; several that came meanwhile are one.
    ///
    /// `None` after [`Signal::give_back`]; or if the loop that it was first awaited on is gone, or its
    /// poller refuses it.
    ///
    /// # Cancel safety
    ///
    /// Strict.
    pub async fn recv(&mut self) -> Option<()> {
        poll_fn(|cx| self.poll_recv(cx)).await
    }

    /// Polls for the next signal; as [`Signal::recv`]. The task that polled last is woken.
    pub fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<()>> {
        self.events.poll_next(cx).map(|event| event?.ok().map(drop))
    }

    /// Ends the waiting: the signal does what it did before, unless others wait for it. What came until
    /// now is still told, then there are no more.
    pub fn give_back(&mut self) {
        self.events.give_back();
    }
}

impl Stream for Signal {
    type Item = ();

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<()>> {
        self.poll_recv(cx)
    }
}

/// Signals of several kinds; made by [`signals`]. A source.
#[derive(Debug)]
#[must_use = "this does nothing unless it is inserted or awaited, and dropping it ends the waiting"]
pub struct Signals {
    events: Events,
}

impl Signals {
    /// Waits for the next signal; several of one kind that came meanwhile are one. Of kinds that came
    /// meanwhile, none is told twice before the others were told once.
    ///
    /// `None` after [`Signals::give_back`]; or if the loop that it was first awaited on is gone, or its
    /// poller refuses it.
    ///
    /// # Cancel safety
    ///
    /// Strict.
    pub async fn recv(&mut self) -> Option<SignalKind> {
        poll_fn(|cx| self.poll_recv(cx)).await
    }

    /// Polls for the next signal; as [`Signals::recv`]. The task that polled last is woken.
    pub fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<SignalKind>> {
        self.events.poll_next(cx).map(|event| event?.ok())
    }

    /// Ends the waiting: the signals do what they did before, unless others wait for them. What came
    /// until now is still told, then there are no more.
    pub fn give_back(&mut self) {
        self.events.give_back();
    }
}

impl Stream for Signals {
    type Item = SignalKind;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<SignalKind>> {
        self.poll_recv(cx)
    }
}

/// Waits for Ctrl-C; made by [`ctrl_c`].
///
/// # Cancel safety
///
/// Strict: a Ctrl-C that was not told is told by the next poll of `&mut` this.
#[derive(Debug)]
#[must_use = "this does nothing unless it is awaited"]
pub struct CtrlC {
    events: io::Result<Events>,
}

impl CtrlC {
    /// Ends the waiting: Ctrl-C does what it did before, unless others wait for it. One that came until
    /// now is still told; else awaiting this is an error.
    pub fn give_back(&mut self) {
        if let Ok(events) = &mut self.events {
            events.give_back();
        }
    }
}

impl Future for CtrlC {
    type Output = io::Result<()>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let failed = match &mut self.get_mut().events {
            Ok(events) => match ready!(events.poll_next(cx)) {
                Some(event) => return Poll::Ready(event.map(drop)),
                None => io::Error::other("Ctrl-C was given back"),
            },
            Err(error) => io::Error::new(error.kind(), error.to_string()),
        };
        Poll::Ready(Err(failed))
    }
}

/// What all of them are made of.
struct Events {
    adapter: Adapter<Subscription>,
    awaited: Vec<Awaited>,
    /// Whose turn it is to be looked at first.
    turn: usize,
    given_back: bool,
}

/// One kind of signal, and what was told of it.
#[derive(Clone, Copy, Debug)]
struct Awaited {
    kind: SignalKind,
    /// The count that was told.
    told: u32,
    /// The last count to tell, once it was given back.
    last: Option<u32>,
}

impl Awaited {
    /// Whether there is news, which is told by this.
    fn tell(&mut self) -> bool {
        let now = self.last.unwrap_or_else(|| handler::count(self.kind.as_raw_value()));
        std::mem::replace(&mut self.told, now) != now
    }
}

impl Events {
    fn new(mut kinds: Vec<SignalKind>) -> io::Result<Self> {
        kinds.sort_unstable_by_key(SignalKind::as_raw_value);
        kinds.dedup();
        let numbers: Vec<_> = kinds.iter().map(SignalKind::as_raw_value).collect();
        subscription::check(&numbers)?;
        // The counts from before the handler is there: what comes from then on is news.
        let awaited = kinds.into_iter().map(|kind| {
            let told = handler::count(kind.as_raw_value());
            Awaited { kind, told, last: None }
        });
        let awaited = awaited.collect();
        let adapter = Adapter::new(Subscription::new(numbers)?);
        // Its pair stays open when it drops, so that does not end the registration.
        adapter.lend();
        Ok(Self { adapter, awaited, turn: 0, given_back: false })
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<SignalKind>>> {
        let Self { adapter, awaited, turn, .. } = self;
        if self.given_back {
            let permit = ready!(budget::poll_proceed(cx));
            permit.spend();
            return Poll::Ready(tell(awaited, turn).map(Ok));
        }
        let key = &mut WaitKey::last_poller();
        let event = ready!(adapter.poll_io(Direction::Read, key, cx, |subscription| {
            if let Some(kind) = tell(awaited, turn) {
                return Ok(kind);
            }
            // In this order: a signal after the second look leaves a byte.
            subscription.drain();
            tell(awaited, turn).ok_or_else(|| io::ErrorKind::WouldBlock.into())
        }));
        Poll::Ready(Some(event))
    }

    fn give_back(&mut self) {
        self.adapter.cell().as_ref().give_back();
        if !std::mem::replace(&mut self.given_back, true) {
            for awaited in &mut self.awaited {
                awaited.last = Some(handler::count(awaited.kind.as_raw_value()));
            }
        }
    }
}

/// Tells the next news, if there is any.
fn tell(awaited: &mut [Awaited], turn: &mut usize) -> Option<SignalKind> {
    let kinds = awaited.len();
    let next = (0..kinds).map(|n| (*turn + n) % kinds).find(|n| awaited[*n].tell())?;
    *turn = (next + 1) % kinds;
    Some(awaited[next].kind)
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Events")
            .field("awaited", &self.awaited)
            .field("given_back", &self.given_back)
            .finish_non_exhaustive()
    }
}
