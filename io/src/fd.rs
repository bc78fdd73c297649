//! Readiness of any pollable descriptor, as a source. Unix only.

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
use loopline_runtime::registration::{Direction, WaitKey};

use crate::adapter::Adapter;

/// What to watch a descriptor for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Interest {
    /// Something to read, or the end.
    Readable,
    /// Room to write, or nobody left to read it.
    Writable,
    /// Both.
    Both,
}

impl Interest {
    fn has(self, direction: Direction) -> bool {
        match self {
            Self::Readable => direction == Direction::Read,
            Self::Writable => direction == Direction::Write,
            Self::Both => true,
        }
    }

    fn to_mio(self) -> mio::Interest {
        match self {
            Self::Readable => mio::Interest::READABLE,
            Self::Writable => mio::Interest::WRITABLE,
            Self::Both => mio::Interest::READABLE | mio::Interest::WRITABLE,
        }
    }
}

/// What a descriptor is ready for.
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
}

/// A descriptor as a source of [`Readiness`] events.
///
/// Events come as long as the descriptor is ready, whoever empties it: a callback that uses
/// [`FdSource::try_io`] tells the loop when it would block, one that does not costs a system call per
/// event.
///
/// The end of a direction is told once; after that, read to the end. With [`Interest::Readable`] more
/// events come as long as `try_io` does something, an `Ok(0)` apart. The source ends, and its item with
/// it, when the end of all it watches was told and nothing more is read. So one whose other end is gone
/// does not keep the loop busy.
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
/// let source = FdSource::new(far, Interest::Readable);
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
        let adapter = Adapter::unready(fd);
        // Whoever made it may have duplicated it.
        adapter.lend();
        Self {
            adapter,
            interest,
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
    }

    /// Tries an operation that must not block, and notes if it would have.
    ///
    /// # Errors
    ///
    /// What the operation returns. `WouldBlock` is not a failure: the next event comes when it is
    /// worth trying again.
    pub fn try_io<R: 'static>(&self, op: impl FnOnce(&T) -> io::Result<R>) -> io::Result<R> {
        let result = op(self.get_ref());
        let direction = match self.interest {
            Interest::Readable => Direction::Read,
            Interest::Writable => Direction::Write,
            // Only the poller knows which of the two would block: it is asked before the next event.
            Interest::Both => return result,
        };
        self.untold.set(false);
        let nothing = |done: &R| (done as &dyn Any).downcast_ref::<usize>() == Some(&0);
        self.progress.set(result.as_ref().is_ok_and(|done| !nothing(done)));
        if matches!(&result, Err(error) if error.kind() == io::ErrorKind::WouldBlock) {
            self.adapter.registration().clear_open(direction);
        }
        result
    }

    /// Waits for the next event.
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
        // An end that was told is no news, a descriptor at its end stays readable for ever; but there may
        // be more to read before it, as long as reading goes on.
        let more = self.progress.get();
        let ready = Readiness {
            readable: open(Direction::Read) && (!told_read || more),
            writable: open(Direction::Write) && !told_write,
            read_closed: closed(Direction::Read) && !told_read,
            write_closed: closed(Direction::Write) && !told_write,
        };
        let any = ready.readable || ready.writable || ready.read_closed || ready.write_closed;
        any.then_some(ready)
    }

    /// Whether the end of all that is watched was told.
    fn is_over(&self) -> bool {
        let (told_read, told_write) = self.told.get();
        let watched = |direction, told: bool| self.interest.has(direction) && !told;
        !watched(Direction::Read, told_read) && !watched(Direction::Write, told_write)
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
        for direction in [Direction::Read, Direction::Write] {
            self.adapter.registration().clear_open(direction);
        }
        self.adapter.rearm(self.interest.to_mio())
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
        if let Err(error) = self.refresh() {
            self.over = true;
            return Poll::Ready(Some(Err(error)));
        }
        if let Some(ready) = self.ready() {
            let (read, write) = self.told.get();
            self.told.set((read || ready.read_closed, write || ready.write_closed));
            self.untold.set(true);
            self.progress.set(false);
            permit.spend();
            return Poll::Ready(Some(Ok(ready)));
        }
        if self.is_over() {
            self.over = true;
            return Poll::Ready(None);
        }
        for direction in [Direction::Read, Direction::Write] {
            if self.interest.has(direction) {
                let key = &mut WaitKey::last_poller();
                let registration = self.adapter.registration();
                if let Err(error) = registration.watch(direction) {
                    self.over = true;
                    return Poll::Ready(Some(Err(error)));
                }
                registration.wait(direction, key, cx);
            }
        }
        Poll::Pending
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
