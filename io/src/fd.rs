//! Any pollable descriptor: its readiness as a source, or awaited. Unix only.

use std::any::Any;
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::os::fd::AsFd;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use loopline_runtime::budget;
use loopline_runtime::registration::{Direction, Directions};

use self::marks::Marks;
use crate::adapter::Adapter;
use crate::sys::calls::unread;

#[cfg(feature = "fd")]
pub use self::any::{Async, AsyncRegisterError};
pub use self::foreign::ForeignLoop;
pub use self::foreign_reader::ForeignReader;
#[cfg(feature = "fd")]
pub use self::guard::{AsyncReadyGuard, AsyncReadyMutGuard, TryIoError};
pub use self::readiness::Readiness;
pub use self::trigger::Trigger;
pub use crate::interest::{Interest, Ready};

#[cfg(feature = "fd")]
mod any;
mod foreign;
mod foreign_reader;
#[cfg(feature = "fd")]
mod futures_io;
#[cfg(feature = "fd")]
mod guard;
#[cfg(feature = "fd")]
pub(crate) mod held;
mod marks;
mod readiness;
mod trigger;

/// A descriptor as a source of [`Readiness`] events.
///
/// Events come as long as the descriptor is ready, whoever empties it: a callback that uses
/// [`FdSource::try_io`] tells the loop when it would block, one that does not costs a system call per
/// event.
///
/// The end of a direction is told once. After that more events come as long as bytes are left to read (or,
/// where the system does not tell that, `try_io` does something, an `Ok(0)` apart), and one more in which a
/// read gives none. The source ends, and its item with it, when the end of all it watches was told and nothing
/// is left; by [`Trigger::Edge`] as soon as the end was told, as who is told must go on to it. So one whose
/// other end is gone does not keep the loop busy. (A fifo's reader ends with its last writer; to hear of the
/// next one, open it to write too.)
///
/// An error of a socket is no end: a datagram that was refused, messages that were dropped. It is told as
/// `readable` and `writable`, and the next operation fetches it.
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
    marks: Marks,
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
        Self { adapter, interest, trigger, marks: Marks::new() }
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

    /// Changes what is watched for; and what is ready is told anew, as by [`FdSource::rearm`]. An end that was
    /// told is no news where nothing changes: a composed source may say what it wants in each poll.
    pub fn set_interest(&mut self, interest: Interest) {
        if interest == self.interest {
            if matches!(self.trigger, Trigger::Edge | Trigger::OneShot) {
                self.rearm();
            }
            return;
        }
        // Of what was not watched, what is known is old.
        let added = interest.set().without(self.interest.set());
        self.adapter.registration().clear_open(added);
        self.interest = interest;
        self.marks.set(Marks::TOLD_READ | Marks::TOLD_WRITE, false);
        self.marks.set(Marks::ASK, true);
        self.renew();
    }

    /// Lets the next event come, of a source with [`Trigger::OneShot`] whose event was told; of one with
    /// another trigger, has the system say again what is ready.
    pub fn rearm(&self) {
        if self.trigger != Trigger::OneShot {
            self.marks.set(Marks::ASK, true);
        }
        self.renew();
    }

    /// Lets the next event come, if it waits for that: what is known by then was told. A direction that has ended
    /// stays ready for ever, and nobody is asked about it any more.
    fn renew(&self) {
        if self.marks.any(Marks::SPENT) {
            self.marks.set(Marks::SPENT, false);
            self.marks.set(Marks::ASK, true);
            let registration = self.adapter.registration();
            registration.clear_open(self.interest.set().without(registration.closed()));
        }
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
    #[inline]
    pub fn try_io<R: 'static>(&self, op: impl FnOnce(&T) -> io::Result<R>) -> io::Result<R> {
        self.try_io_for(self.interest, op)
    }

    /// Tries an operation in one of the directions that are watched; as [`FdSource::try_io`].
    ///
    /// # Errors
    ///
    /// What the operation returns.
    #[inline]
    pub fn try_io_for<R: 'static>(
        &self,
        interest: Interest,
        op: impl FnOnce(&T) -> io::Result<R>,
    ) -> io::Result<R> {
        let result = op(self.get_ref());
        let nothing = |done: &R| (done as &dyn Any).downcast_ref::<usize>() == Some(&0);
        // A write tells nothing of how much is left to read, and is called for anyway while there is room.
        if interest.is_readable() {
            self.marks.note_read(result.as_ref().is_ok_and(|done| !nothing(done)));
        }
        if interest.directions().nth(1).is_some() {
            // Only the poller knows which would block: it is asked before the next event.
            return result;
        }
        if self.trigger == Trigger::Level {
            self.marks.hear_of(interest.set());
        }
        if matches!(&result, Err(error) if error.kind() == io::ErrorKind::WouldBlock) {
            self.adapter.registration().clear_open(interest.set());
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
        let (told_read, told_write) = self.told();
        let open = Readiness::of(registration.open() & self.interest.set());
        let closed = registration.closed() & self.interest.set();
        // Some ends are told to those alone who wait for priority data.
        let read_closed =
            !told_read && (closed.has(Direction::Read) || closed.has(Direction::Priority));
        let write_closed = !told_write && closed.has(Direction::Write);
        // An end that was told is no news, a descriptor at its end stays readable for ever; but there may
        // be more to read before it, as long as reading goes on.
        let more = self.marks.any(Marks::PROGRESS);
        let ready = Readiness {
            // A pipe's end is told as that alone, a socket's as something to read too.
            readable: open.readable && (!told_read || more)
                || read_closed && self.interest.is_readable(),
            writable: open.writable && !told_write || write_closed,
            read_closed,
            write_closed,
            priority: open.priority && !told_read,
            error: open.error,
        };
        ready.any().then_some(ready)
    }

    fn told(&self) -> (bool, bool) {
        (self.marks.any(Marks::TOLD_READ), self.marks.any(Marks::TOLD_WRITE))
    }

    /// Whether the end of all that is watched was told.
    fn is_over(&self) -> bool {
        let (told_read, told_write) = self.told();
        let watched = |direction, told: bool| self.interest.has(direction) && !told;
        let reads = [Direction::Read, Direction::Priority].map(|way| watched(way, told_read));
        !reads.contains(&true)
            && !watched(Direction::Write, told_write)
            && self.interest != Interest::ERROR
    }

    /// What is left to read of a descriptor whose end was told: that is no news to the poller.
    fn left(&self, asked: bool) -> Option<Readiness> {
        let wanted = self.marks.any(Marks::TOLD_READ) && self.interest.is_readable();
        // By edge nothing is told twice, unless it was asked for.
        if !wanted || self.trigger == Trigger::Edge && !asked {
            return None;
        }
        let left = self.marks.any(Marks::UNSEEN) || unread(self.get_ref()) != 0;
        left.then(|| Readiness::of(Direction::Read.into()))
    }

    /// Registers, or has the poller say again what is ready, if nobody told the loop. Returns whether it had
    /// to be asked.
    fn refresh(&self) -> io::Result<bool> {
        let Some(stale) = self.marks.take_asking() else { return Ok(false) };
        if !self.is_over() {
            self.adapter.ask(self.interest, stale)?;
        }
        Ok(true)
    }

    /// Notes that an event is told.
    fn tell(&self, event: Readiness) {
        if event.read_closed {
            self.marks.set(Marks::TOLD_READ, true);
            // By edge nothing is told twice.
            let again = self.trigger != Trigger::Edge;
            self.marks.set(Marks::UNSEEN, again && unread(self.get_ref()) != 0);
        }
        if event.write_closed {
            self.marks.set(Marks::TOLD_WRITE, true);
        }
        self.tell_ready(event.directions());
    }

    /// Notes that these are told, and no end.
    #[inline(always)] // once an event
    fn tell_ready(&self, told: Directions) {
        self.marks.set(Marks::PROGRESS, false);
        match self.trigger {
            // Errors alone have no end that could be told: asked again, they would be told for ever.
            Trigger::Level if self.interest == Interest::ERROR => {
                self.adapter.registration().clear_open(Direction::Error);
            }
            Trigger::Edge => self.adapter.registration().clear_open(self.interest.set()),
            Trigger::OneShot => self.marks.set(Marks::SPENT, true),
            Trigger::Level | Trigger::Foreign => self.marks.leave_untold(told),
        }
    }

    #[inline]
    fn poll_wait(&self, cx: &Context<'_>) -> Poll<Option<io::Result<Readiness>>> {
        match self.adapter.registration().wait_last(self.interest.set(), cx) {
            Ok(()) => Poll::Pending,
            Err(error) => {
                self.marks.set(Marks::OVER, true);
                Poll::Ready(Some(Err(error)))
            }
        }
    }

    /// As `poll_next`, with everything that may be the matter.
    #[cold]
    fn poll_rare(&self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Readiness>>> {
        if self.marks.any(Marks::OVER) {
            return Poll::Ready(None);
        }
        if self.marks.any(Marks::SPENT) {
            // What is left to read is told when it is asked for. Who leaves nothing and does not ask has seen it all.
            let over = self.is_over() && (self.left(true).is_none() || unread(self.get_ref()) == 0);
            return if over { Poll::Ready(None) } else { Poll::Pending };
        }
        let asked = self.refresh()?;
        let left = |ready: &Readiness| ready.readable || self.left(asked).is_some();
        // Beside what is ready, as room to write does not go away.
        let ready = self.ready().map(|ready| Readiness { readable: left(&ready), ..ready });
        if let Some(ready) = ready.or_else(|| self.left(asked)) {
            if self.marks.any(Marks::UNSEEN) {
                // With nothing left this is the event in which a read sees the end.
                self.marks.set(Marks::UNSEEN, unread(self.get_ref()) != 0);
            }
            self.tell(ready);
            return Poll::Ready(Some(Ok(ready)));
        }
        if self.is_over() {
            return Poll::Ready(None);
        }
        self.poll_wait(cx)
    }
}

impl<T: AsFd> Unpin for FdSource<T> {}

impl<T: AsFd> Stream for FdSource<T> {
    type Item = io::Result<Readiness>;

    #[inline(always)] // into the callback's poll, whose loop it is
    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let permit = ready!(budget::poll_proceed(cx));
        let registration = self.adapter.registration();
        let watched = self.interest.set();
        if self.marks.is_plain() && (registration.closed() & watched).is_empty() {
            // As nearly always: there is nothing to tell but readiness.
            let open = registration.open() & watched;
            if open.is_empty() {
                return self.poll_wait(cx);
            }
            permit.spend();
            let event = Readiness::of(open);
            self.tell_ready(open);
            return Poll::Ready(Some(Ok(event)));
        }
        let event = ready!(self.poll_rare(cx));
        match &event {
            Some(Ok(_)) => permit.spend(),
            Some(Err(_)) | None => self.marks.set(Marks::OVER, true),
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
