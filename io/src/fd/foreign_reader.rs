//! `ForeignReader`: a connection of a library whose reads are announced before the wait, as one source.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::mem;
use std::os::fd::AsFd;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use loopline_runtime::callback::{AfterPark, BeforePark, after_park, before_park};

use super::{FdSource, Interest, Readiness, Trigger};

/// A connection of a library that several may read, as a source: an event means that there may be something to
/// dispatch.
///
/// libwayland's connections are such: threads that read the same one (that of a graphics library, say) announce it before
/// they wait, and afterwards read, or take that back, as the others wait for it. Where nobody else reads, a
/// [`ForeignLoop`](super::ForeignLoop) does as well.
///
/// Before each wait the first function given to [`ForeignReader::new`] flushes what was queued to be sent, and
/// announces the read; after the wait the second one reads, if there is something. The callback dispatches what was
/// read, and does not let the library wait: it would wait for this reader.
///
/// An error, of either function or of the descriptor, is an event, and then the source ends. So it does when
/// the other end is gone, a read has seen that, and nothing is left to dispatch.
///
/// A connection has one reader on a loop, for all of its queues there: it announces when none of them has anything
/// to dispatch, and its callback dispatches them all. Of two, by a duplicate of the descriptor, the first to read
/// would wait for the other's announcement, for ever. So would two threads that share two connections, unless
/// both poll their readers first in the same order.
///
/// If the item is paused between the two, by a callback of [`before_park`], the others wait until it is
/// resumed. Inside a host the wait in between is the turn's own look, not the host's. Within combinators what
/// [`before_park`] says of them holds.
///
/// # Examples
///
/// ```
/// # use std::collections::VecDeque;
/// # use std::io::{self, Read, Write};
/// # use std::os::unix::net::UnixStream;
/// # use std::{cell::RefCell, rc::Rc};
/// use loopline_io::fd::ForeignReader;
/// use loopline_runtime::{EventLoop, callback::Next};
///
/// # /// Somebody else's.
/// # struct Connection { socket: UnixStream, queue: RefCell<VecDeque<u8>> }
/// # impl Connection {
/// #     fn flush(&self) -> io::Result<()> { Ok(()) }
/// #     /// None: there is something to dispatch first.
/// #     fn prepare_read(self: &Rc<Self>) -> Option<ReadGuard> {
/// #         self.queue.borrow().is_empty().then(|| ReadGuard(self.clone()))
/// #     }
/// #     fn dispatch_pending(&self, seen: &mut Vec<u8>) { seen.extend(self.queue.borrow_mut().drain(..)) }
/// # }
/// # /// Dropped, it takes the announcement back.
/// # struct ReadGuard(Rc<Connection>);
/// # impl ReadGuard {
/// #     fn read(self) -> io::Result<usize> {
/// #         let mut buf = [0; 64];
/// #         let n = (&self.0.socket).read(&mut buf)?;
/// #         self.0.queue.borrow_mut().extend(&buf[..n]);
/// #         Ok(n)
/// #     }
/// # }
/// # let (socket, mut server) = UnixStream::pair()?;
/// # let fd = socket.try_clone()?;
/// # let connection = Rc::new(Connection { socket, queue: RefCell::default() });
/// # let other = connection.clone();
/// let prepare = move |_: &_, _: &mut _| {
///     connection.flush()?;
///     Ok(connection.prepare_read()) // a guard that takes it back when it is dropped; or None: dispatch first
/// };
/// let reader = ForeignReader::new(fd, prepare, |_, guard| guard.read().map(drop));
/// # let connection = other;
///
/// let mut event_loop = EventLoop::<Vec<u8>>::new()?;
/// event_loop.handle().insert(reader, move |event, _reader, state| {
///     if event.is_err() {
///         return Next::Stop;
///     }
///     connection.dispatch_pending(state);
///     Next::Keep
/// })?;
/// # server.write_all(b"hello")?;
/// # drop(server);
/// # let mut seen = Vec::new();
/// # event_loop.run(&mut seen)?;
/// # assert_eq!(seen, b"hello");
/// # Ok::<(), std::io::Error>(())
/// ```
#[must_use = "a source does nothing unless it is inserted or awaited"]
pub struct ForeignReader<T: AsFd, G, P, R> {
    /// Before the descriptor, which it may need when it is dropped.
    announced: Option<G>,
    fd: FdSource<T>,
    before: BeforePark,
    after: AfterPark,
    prepare: P,
    read: R,
    /// Whether `prepare` has said what it wants of the waits so far.
    asked: bool,
    /// Whether the descriptor told something since the last read, the end perhaps: that is told once.
    unread: bool,
    over: bool,
}

impl<T, G, P, R> ForeignReader<T, G, P, R>
where
    T: AsFd,
    P: FnMut(&T, &mut Interest) -> io::Result<Option<G>>,
    R: FnMut(&T, G) -> io::Result<()>,
{
    /// Takes what holds the descriptor, and two functions.
    ///
    /// `prepare` is called before each wait: it flushes, and announces the read. What it returns takes the
    /// announcement back when it is dropped; `None`: nothing was announced, as there is something to dispatch.
    /// Where there is no room to flush all, it adds `WRITABLE` to the interest, which is for that wait alone, and is
    /// called again when there is.
    ///
    /// `read` is called after the wait, if the descriptor is readable then. `WouldBlock`, as another one was quicker,
    /// is no error.
    pub fn new(fd: T, prepare: P, read: R) -> Self {
        let fd = FdSource::with_trigger(fd, Interest::READABLE, Trigger::Foreign);
        let (before, after) = (before_park(), after_park());
        let (asked, unread, over) = (false, false, false);
        Self { announced: None, fd, before, after, prepare, read, asked, unread, over }
    }

    /// Waits until there may be something to dispatch.
    ///
    /// # Errors
    ///
    /// Those of the functions and of the descriptor; after one there are no more events.
    ///
    /// # Cancel safety
    ///
    /// Strict. A read that is announced stays so: between two waits of this the others wait too; and who lets the
    /// library wait on this thread, a round trip in a branch of `select!` say, for ever. So a task that awaits
    /// this does nothing else that takes time.
    pub async fn next(&mut self) -> Option<io::Result<()>> {
        poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }

    /// The end of the wait: reads, or takes the announcement back. `Pending`: nothing is there.
    fn poll_read(&mut self, guard: G, cx: &mut Context<'_>) -> Poll<Option<io::Result<()>>> {
        let event = ready!(Pin::new(&mut self.fd).poll_next(cx));
        if let Some(Err(error)) = event {
            return Poll::Ready(Some(Err(error)));
        }
        let told = event.is_some_and(|event| event.is_ok_and(is_to_read));
        if !mem::take(&mut self.unread) && !told {
            // There is room to write, for what `prepare` is about to flush; or the end was seen, which that tells,
            // behind what another one may have read for us.
            return Poll::Pending;
        }
        match (self.read)(self.fd.get_ref(), guard) {
            // Another one was quicker; what it has read for us is told by `prepare`.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Poll::Pending,
            read => Poll::Ready(Some(read)),
        }
    }

    /// The beginning of a wait: announces a read, or says that there is something to dispatch.
    fn poll_prepare(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<()>>> {
        let mut interest = Interest::READABLE;
        let announced = match (self.prepare)(self.fd.get_ref(), &mut interest) {
            Ok(announced) => announced,
            Err(error) => return Poll::Ready(Some(Err(error))),
        };
        self.fd.set_interest(interest | Interest::READABLE);
        let ended = match Pin::new(&mut self.fd).poll_next(cx) {
            // Known from before, and told: nothing would end this wait. After it the system is asked anew.
            Poll::Ready(Some(Ok(event))) => {
                self.unread |= is_to_read(event);
                cx.waker().wake_by_ref();
                false
            }
            Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(Err(error))),
            // Nor would anything where the end is known, and no read has seen it.
            Poll::Ready(None) if self.unread => {
                cx.waker().wake_by_ref();
                false
            }
            Poll::Ready(None) => true,
            Poll::Pending => false,
        };
        match announced {
            Some(_) if ended => return Poll::Ready(None),
            Some(guard) => {
                self.announced = Some(guard);
                return Poll::Pending;
            }
            None => {}
        }
        // What is dispatched now may want to be flushed, and to be read: before a wait, so not in this one.
        cx.waker().wake_by_ref();
        Poll::Ready(Some(Ok(())))
    }

    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<()>>> {
        loop {
            if self.announced.is_some() {
                ready!(Pin::new(&mut self.after).poll_next(cx));
            }
            if let Some(guard) = self.announced.take() {
                let read = self.poll_read(guard, cx);
                if read.is_ready() {
                    return read;
                }
            }
            if !mem::replace(&mut self.asked, true) {
                // Who begins in the phase itself, or failed in it, is not asked before the wait that follows.
                cx.waker().wake_by_ref();
            }
            ready!(Pin::new(&mut self.before).poll_next(cx));
            self.asked = false;
            let prepared = self.poll_prepare(cx);
            self.asked = true;
            if prepared.is_ready() {
                return prepared;
            }
        }
    }
}

/// Whether a read is told of, if only to see the end.
fn is_to_read(event: Readiness) -> bool {
    event.readable || event.read_closed
}

impl<T: AsFd, G, P, R> ForeignReader<T, G, P, R> {
    /// Returns what holds the descriptor.
    pub fn get_ref(&self) -> &T {
        self.fd.get_ref()
    }

    /// Returns what holds the descriptor, to be changed; the descriptor has to stay the same one.
    pub fn get_mut(&mut self) -> &mut T {
        self.fd.get_mut()
    }

    /// Takes an announcement back, ends the registration and gives back what holds the descriptor.
    ///
    /// # Errors
    ///
    /// None at present.
    pub fn into_inner(self) -> io::Result<T> {
        drop(self.announced);
        self.fd.into_inner()
    }
}

/// Nothing in it is pinned: the functions are only called, and the guard is only passed on.
impl<T: AsFd, G, P, R> Unpin for ForeignReader<T, G, P, R> {}

impl<T, G, P, R> Stream for ForeignReader<T, G, P, R>
where
    T: AsFd,
    P: FnMut(&T, &mut Interest) -> io::Result<Option<G>>,
    R: FnMut(&T, G) -> io::Result<()>,
{
    type Item = io::Result<()>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<()>>> {
        if self.over {
            return Poll::Ready(None);
        }
        let event = ready!(self.poll_event(cx));
        self.over = !matches!(event, Some(Ok(())));
        Poll::Ready(event)
    }
}

impl<T: AsFd + fmt::Debug, G, P, R> fmt::Debug for ForeignReader<T, G, P, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ForeignReader")
            .field("fd", self.get_ref())
            .field("announced", &self.announced.is_some())
            .finish_non_exhaustive()
    }
}
