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

use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_core::Stream;

use self::events::Events;
pub use self::kind::SignalKind;

mod events;
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

    /// Waits for these too, from now on.
    ///
    /// # Errors
    ///
    /// As [`signals`], or if they were given back; then nothing has changed.
    ///
    /// # Examples
    ///
    /// A signal more, by the source's control:
    ///
    /// ```
    /// use loopline_io::signal::{SignalKind, signals};
    /// use loopline_runtime::{EventLoop, callback::{self, Next}};
    ///
    /// let mut event_loop = EventLoop::<Vec<SignalKind>>::new()?;
    /// let (signals, control) = callback::controlled(signals([SignalKind::user_defined1()])?);
    /// event_loop.handle().insert(signals, |kind, _signals, seen| { seen.push(kind); Next::Stop })?;
    /// control.with(|signals| signals.add_signals([SignalKind::user_defined2()])).unwrap()?;
    /// # // SAFETY: takes an integer.
    /// # unsafe { libc::raise(libc::SIGUSR2) };
    /// let mut seen = Vec::new();
    /// event_loop.run(&mut seen)?;
    /// assert_eq!(seen, [SignalKind::user_defined2()]);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn add_signals(&mut self, kinds: impl IntoIterator<Item = SignalKind>) -> io::Result<()> {
        self.events.add(kinds.into_iter().collect())
    }

    /// Waits for these no more: they do what they did before, unless others wait for them. What came of them
    /// and was not told is told no more. With none left this waits until some are added.
    pub fn remove_signals(&mut self, kinds: impl IntoIterator<Item = SignalKind>) {
        let kinds: Vec<_> = kinds.into_iter().collect();
        self.events.retain(|kind| !kinds.contains(&kind));
    }

    /// Waits for exactly these from now on: adds those that are new, and removes the others.
    ///
    /// # Errors
    ///
    /// As [`Signals::add_signals`].
    pub fn set_signals(&mut self, kinds: impl IntoIterator<Item = SignalKind>) -> io::Result<()> {
        let kinds: Vec<_> = kinds.into_iter().collect();
        self.events.add(kinds.clone())?;
        self.events.retain(|kind| kinds.contains(&kind));
        Ok(())
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
