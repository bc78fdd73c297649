//! Any pollable descriptor: its readiness as a source, or awaited. Unix only.

use std::any::Any;
use std::cell::Cell;
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::os::fd::AsFd;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use loopline_runtime::budget;
use loopline_runtime::registration::Direction;

use crate::adapter::Adapter;
use crate::adapter::watch::Keys;

#[cfg(feature = "fd")]
pub use self::any::{Async, AsyncRegisterError};
pub use self::foreign::ForeignLoop;
#[cfg(feature = "fd")]
pub use self::guard::{AsyncReadyGuard, AsyncReadyMutGuard, TryIoError};
pub use self::trigger::Trigger;
pub use crate::interest::{Interest, Ready};

#[cfg(feature = "fd")]
mod any;
mod foreign;
#[cfg(feature = "fd")]
mod futures_io;
#[cfg(feature = "fd")]
mod guard;
#[cfg(feature = "fd")]
pub(crate) mod held;
mod trigger;

/// An event of a [`FdSource`]: what its descriptor is ready for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Readiness {
    /// A read is worth trying.
    pub readable: bool,
    /// A write is worth trying.
    pub writable: bool,
    /// The other end sends no more, or the descriptor failed. Told once: read to the end now.
    pub read_closed: bool,
    /// Nothing can be written any more. Told once.
    pub write_closed: bool,
    /// Priority data is there.
    pub priority: bool,
    /// An error is there to be asked for.
    pub error: bool,
}

/// A descriptor as a source of [`Readiness`] events.
///
/// Events come as long as the descriptor is ready, whoever empties it: a callback that uses
/// [`FdSource::try_io`] tells the loop when it would block, one that does not costs a system call per
/// event.
///
/// The end of a direction is told once; after that, read to the end. More events come as long as `try_io`
/// does something, an `Ok(0)` apart. The source ends, and its item with it, when the end of all it watches
/// was told and nothing more is read. So one whose other end is gone does not keep the loop busy.
///
/// [`FdSource::with_trigger`] makes one whose events come otherwise.
///
/// The descriptor joins the poller when it is first polled; that it cannot be polled at all (a
/// regular file, `/dev/null`), or is registered with the loop already, is the first event, an error,
/// and then the source ends. O_NONBLOCK is left as it is: what `try_io` calls must not block.
///
/// # Examples
///
/// ```
/// use std::io::{Read, Write};
/// use std::os::unix::net::UnixStream;
/// use loopline_io::fd::{FdSource, Interest};
/// use loopline_runtime::{EventLoop, callback::Next};
///
/// let (mut near, far) = UnixStream::pair()?;
/// far.set_nonblocking(true)?;
/// let mut event_loop = EventLoop::<Vec<u8>>::new()?;
/// let source = FdSource::new(far, Interest::READABLE);
/// event_loop.handle().insert(source, |event, source, seen| {
///     assert!(event.unwrap().readable);
///     let mut buf = [0; 8];
///     match source.try_io(|mut far| far.read(&mut buf)) {
///         Ok(n) => seen.extend_from_slice(&buf[..n]),
///         Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return Next::Keep,
///         Err(error) => panic!("{error}"),
///     }
///     if seen.len() == 5 { Next::Stop } else { Next::Keep }
/// })?;
/// near.write_all(b"hello")?;
/// let mut seen = Vec::new();
/// event_loop.run(&mut seen)?;
/// assert_eq!(seen, b"hello");
/// # Ok::<(), std::io::Error>(())
/// ```
#[must_use = "a source does nothing unless it is inserted or awaited"]
pub struct FdSource<T: AsFd> {
    adapter: Adapter<T>,
    interest: Interest,
    trigger: Trigger,
    /// Of a one-shot source: its event was told, and `rearm` was not called since.
    spent: Cell<bool>,
    /// Set by an event, cleared by `try_io`: nobody told the loop whether the descriptor is empty.
    untold: Cell<bool>,
    /// Ends that were told.
    told: Cell<(bool, bool)>,
    /// Set by an operation that did something (not one that read 0 bytes), cleared by an event.
    progress: Cell<bool>,
    /// Set when the registration failed or everything has ended: there are no more events.
    over: bool,
}

impl<T: AsFd> FdSource<T> {
    /// Takes a descriptor; or a reference to one, which then stays with the caller.
    pub fn new(fd: T, interest: Interest) -> Self {
        Self::with_trigger(fd, interest, Trigger::Level)
    }

    /// As [`FdSource::new`], with events that come as the trigger says.
    pub fn with_trigger(fd: T, interest: Interest, trigger: Trigger) -> Self {
        let adapter = Adapter::unready(fd);
        // Whoever made it may have duplicated it.
        adapter.lend();
        Self {
            adapter,
            interest,
            trigger,
            spent: Cell::new(false),
            untold: Cell::new(true),
            told: Cell::new((false, false)),
            progress: Cell::new(false),
            over: false,
        }
    }

    /// Returns the descriptor.
    pub fn get_ref(&self) -> &T {
        self.adapter.cell().as_ref()
    }

    /// Returns the descriptor, to be changed; not for another one.
    pub fn get_mut(&mut self) -> &mut T {
        self.adapter.source_mut()
    }

    /// Ends the registration and gives the descriptor back.
    ///
    /// # Errors
    ///
    /// None at present.
    pub fn into_inner(self) -> io::Result<T> {
        self.adapter.into_inner()
    }

    /// Changes what is watched for.
    pub fn set_interest(&mut self, interest: Interest) {
        self.interest = interest;
        self.untold.set(true);
        self.told.set((false, false));
        self.spent.set(false);
    }

    /// Lets the next event come, of a source with [`Trigger::OneShot`]; of any other, has the system say
    /// again what is ready.
    pub fn rearm(&self) {
        self.spent.set(false);
        self.untold.set(true);
    }

    /// Tries an operation that must not block, and notes if it would have.
    ///
    /// With an interest in more than one direction, [`FdSource::try_io_for`] saves a system call: here
    /// nobody knows which of them would block.
    ///
    /// # Errors
    ///
    /// What the operation returns. `WouldBlock` is not a failure: the next event comes when it is
    /// worth trying again.
    pub fn try_io<R: 'static>(&self, op: impl FnOnce(&T) -> io::Result<R>) -> io::Result<R> {
        self.try_io_for(self.interest, op)
    }

    /// Tries an operation in one of the directions that are watched; as [`FdSource::try_io`].
    ///
    /// # Errors
    ///
    /// What the operation returns.
    pub fn try_io_for<R: 'static>(
        &self,
        interest: Interest,
        op: impl FnOnce(&T) -> io::Result<R>,
    ) -> io::Result<R> {
        let result = op(self.get_ref());
        let nothing = |done: &R| (done as &dyn Any).downcast_ref::<usize>() == Some(&0);
        // A write tells nothing of how much is left to read, and is called for anyway while there is room.
        if interest.is_readable() || !self.interest.is_readable() {
            self.progress.set(result.as_ref().is_ok_and(|done| !nothing(done)));
        }
        let mut directions = interest.directions();
        let (Some(direction), None) = (directions.next(), directions.next()) else {
            // Only the poller knows which would block: it is asked before the next event.
            return result;
        };
        if self.trigger != Trigger::Foreign {
            self.untold.set(false);
        }
        if matches!(&result, Err(error) if error.kind() == io::ErrorKind::WouldBlock) {
            self.adapter.registration().clear_open(direction);
        }
        result
    }

    /// Waits for the next event.
    ///
    /// # Errors
    ///
    /// If the descriptor cannot be registered with the poller, or is awaited in another loop than its own.
    ///
    /// # Cancel safety
    ///
    /// Strict.
    pub async fn next(&mut self) -> Option<io::Result<Readiness>> {
        poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }

    /// What is ready and was not told.
    fn ready(&self) -> Option<Readiness> {
        let registration = self.adapter.registration();
        let (told_read, told_write) = self.told.get();
        let open =
            |direction| self.interest.has(direction) && registration.is_open_ready(direction);
        let closed = |direction| self.interest.has(direction) && registration.is_closed(direction);
        // Some ends are told to those alone who wait for priority data.
        let read_closed = closed(Direction::Read) || closed(Direction::Priority);
        // An end that was told is no news, a descriptor at its end stays readable for ever; but there may
        // be more to read before it, as long as reading goes on.
        let more = self.progress.get();
        let ready = Readiness {
            readable: open(Direction::Read) && (!told_read || more),
            writable: open(Direction::Write) && !told_write,
            read_closed: read_closed && !told_read,
            write_closed: closed(Direction::Write) && !told_write,
            priority: open(Direction::Priority) && !told_read,
            error: open(Direction::Error),
        };
        ready.any().then_some(ready)
    }

    /// Whether the end of all that is watched was told.
    fn is_over(&self) -> bool {
        let (told_read, told_write) = self.told.get();
        let watched = |direction, told: bool| self.interest.has(direction) && !told;
        let reads = [Direction::Read, Direction::Priority].map(|way| watched(way, told_read));
        !reads.contains(&true)
            && !watched(Direction::Write, told_write)
            && self.interest != Interest::ERROR
    }

    /// Registers, or has the poller say again what is ready, if nobody told the loop.
    fn refresh(&self) -> io::Result<()> {
        let registered = self.adapter.registration().is_registered();
        if registered && !self.untold.replace(false) {
            return Ok(());
        }
        self.untold.set(false);
        if self.is_over() {
            return Ok(());
        }
        self.adapter.ask(self.interest)
    }

    /// Notes that an event is told.
    fn tell(&self, event: Readiness) {
        let (read, write) = self.told.get();
        self.told.set((read || event.read_closed, write || event.write_closed));
        self.progress.set(false);
        match self.trigger {
            // Errors alone have no end that could be told: asked again, they would be told for ever.
            Trigger::Level if self.interest == Interest::ERROR => {
                self.adapter.registration().clear_open(Direction::Error);
            }
            Trigger::Edge => {
                for direction in self.interest.directions() {
                    self.adapter.registration().clear_open(direction);
                }
            }
            Trigger::OneShot => self.spent.set(true),
            Trigger::Level | Trigger::Foreign => self.untold.set(true),
        }
    }

    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Readiness>>> {
        if !self.spent.get() {
            self.refresh()?;
            if let Some(ready) = self.ready() {
                self.tell(ready);
                return Poll::Ready(Some(Ok(ready)));
            }
        }
        if self.is_over() {
            self.over = true;
            return Poll::Ready(None);
        }
        if !self.spent.get() {
            self.adapter.wait_any(self.interest, &mut Keys::last_poller(), cx)?;
        }
        Poll::Pending
    }
}

impl Readiness {
    fn any(self) -> bool {
        let ends = self.read_closed || self.write_closed;
        self.readable || self.writable || ends || self.priority || self.error
    }
}

impl<T: AsFd> Unpin for FdSource<T> {}

impl<T: AsFd> Stream for FdSource<T> {
    type Item = io::Result<Readiness>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let permit = ready!(budget::poll_proceed(cx));
        if self.over {
            return Poll::Ready(None);
        }
        let event = ready!(self.poll_event(cx));
        match &event {
            Some(Ok(_)) => permit.spend(),
            Some(Err(_)) => self.over = true,
            None => {}
        }
        Poll::Ready(event)
    }
}

impl<T: AsFd + fmt::Debug> fmt::Debug for FdSource<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FdSource")
            .field("fd", self.get_ref())
            .field("interest", &self.interest)
            .finish_non_exhaustive()
    }
}
