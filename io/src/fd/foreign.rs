//! `ForeignLoop`: the event loop of a library as one source.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::mem;
use std::os::fd::AsFd;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_core::Stream;
use loopline_runtime::callback::{BeforePark, before_park};
use loopline_runtime::time::{Timer, now};

use super::{FdSource, Interest, Trigger};

/// The event loop of a library, as a source: an event means that the library should run now.
///
/// Most such loops come down to a descriptor that is readable when there is something to do, and a time
/// after which there is: libuv's backend, a connection to an X server, anything with a pair of
/// "events" and "timeout". Before each wait the function given to [`ForeignLoop::new`] is asked for that
/// time. It may also do what has to be done before a wait, such as flushing a buffer.
///
/// The callback runs the library without letting it wait. A library that always has something to do runs
/// once a turn, and keeps neither timers nor other sources from theirs.
///
/// The descriptor's first error is an event; then, or when its other end is gone and that was told, the
/// source ends. A library with several descriptors can put them into one of epoll or kqueue.
///
/// A library that wants a read to be announced before the wait, as libwayland does where several threads read a
/// connection, is a [`ForeignReader`](super::ForeignReader).
///
/// # Examples
///
/// A library that fills a buffer from a descriptor whenever it likes, so that the descriptor alone does not
/// tell whether something is there:
///
/// ```
/// use std::{cell::RefCell, io::{Read, Write}, os::unix::net::UnixStream, rc::Rc, time::Duration};
/// use loopline_io::fd::ForeignLoop;
/// use loopline_runtime::{EventLoop, callback::Next};
///
/// let (near, mut far) = UnixStream::pair()?;
/// near.set_nonblocking(true)?;
/// let buffer = Rc::new(RefCell::new(b"buffered ".to_vec()));
/// let filled = buffer.clone();
/// let library = ForeignLoop::new(near, move |_| match filled.borrow().is_empty() {
///     true => None, // until the descriptor says so
///     false => Some(Duration::ZERO), // now
/// });
/// let mut event_loop = EventLoop::<String>::new()?;
/// event_loop.handle().insert(library, move |event, library, seen| {
///     event.unwrap();
///     let _ = library.get_ref().read_to_end(&mut buffer.borrow_mut()); // until it would block
///     seen.push_str(&String::from_utf8_lossy(&buffer.borrow()));
///     buffer.borrow_mut().clear();
///     if seen.ends_with('.') { Next::Stop } else { Next::Keep }
/// })?;
/// far.write_all(b"and not.")?;
/// let mut seen = String::new();
/// event_loop.run(&mut seen)?;
/// assert_eq!(seen, "buffered and not.");
/// # Ok::<(), std::io::Error>(())
/// ```
#[must_use = "a source does nothing unless it is inserted or awaited"]
pub struct ForeignLoop<T: AsFd, F> {
    fd: FdSource<T>,
    before: BeforePark,
    /// Asked before each wait.
    timeout: F,
    /// Whether it has said what it wants of the waits so far.
    asked: bool,
    /// While it wants to run after some time.
    timer: Option<Timer>,
}

impl<T: AsFd, F: FnMut(&T) -> Option<Duration>> ForeignLoop<T, F> {
    /// Takes what holds the descriptor, and what says how long a wait that begins now may last: `None`, until
    /// the descriptor is readable; zero, not at all.
    pub fn new(fd: T, timeout: F) -> Self {
        let fd = FdSource::with_trigger(fd, Interest::READABLE, Trigger::Foreign);
        Self { fd, before: before_park(), timeout, asked: false, timer: None }
    }

    /// Waits until the library should run.
    ///
    /// # Cancel safety
    ///
    /// Strict: what is due is told by the next wait.
    pub async fn next(&mut self) -> Option<io::Result<()>> {
        poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }

    /// Asks how long the wait may last that is about to begin. Ready: not at all.
    fn poll_timeout(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match (self.timeout)(self.fd.get_ref()) {
            None => self.timer = None,
            Some(Duration::ZERO) => {
                self.timer = None;
                // It runs in this phase; what it wants then is asked before the next wait, so not in this one.
                cx.waker().wake_by_ref();
                return Poll::Ready(());
            }
            Some(timeout) => match &mut self.timer {
                // The wait that it was asked for is over: a guest's was the host's, which has just ended.
                Some(timer) if timer.deadline().is_some_and(|due| due <= now()) => {
                    self.timer = None;
                    cx.waker().wake_by_ref();
                    return Poll::Ready(());
                }
                Some(timer) => timer.set_after(timeout),
                none => *none = Some(Timer::after(timeout)),
            },
        }
        Poll::Pending
    }
}

impl<T: AsFd, F> ForeignLoop<T, F> {
    /// Returns what holds the descriptor.
    pub fn get_ref(&self) -> &T {
        self.fd.get_ref()
    }

    /// Returns what holds the descriptor, to be changed; the descriptor has to stay the same one.
    pub fn get_mut(&mut self) -> &mut T {
        self.fd.get_mut()
    }

    /// Ends the registration and gives back what holds the descriptor.
    ///
    /// # Errors
    ///
    /// None at present.
    pub fn into_inner(self) -> io::Result<T> {
        self.fd.into_inner()
    }
}

/// Nothing in it is pinned: the function is only called.
impl<T: AsFd, F> Unpin for ForeignLoop<T, F> {}

impl<T: AsFd, F: FnMut(&T) -> Option<Duration>> Stream for ForeignLoop<T, F> {
    type Item = io::Result<()>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<()>>> {
        let this = &mut *self;
        if let Poll::Ready(event) = Pin::new(&mut this.fd).poll_next(cx) {
            return Poll::Ready(event.map(|event| event.map(drop)));
        }
        if !mem::replace(&mut this.asked, true) {
            // Who begins in the phase itself, or failed in it, is not asked before the wait that follows.
            cx.waker().wake_by_ref();
        }
        // Ready in the phase before a wait, and pending again at once.
        while let Poll::Ready(Some(())) = Pin::new(&mut this.before).poll_next(cx) {
            this.asked = false;
            let now = this.poll_timeout(cx).is_ready();
            this.asked = true;
            if now {
                return Poll::Ready(Some(Ok(())));
            }
        }
        let timer = this.timer.as_mut().map(|timer| Pin::new(timer).poll_next(cx));
        if timer.is_some_and(|tick| tick.is_ready()) {
            this.timer = None;
            return Poll::Ready(Some(Ok(())));
        }
        Poll::Pending
    }
}

impl<T: AsFd + fmt::Debug, F> fmt::Debug for ForeignLoop<T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ForeignLoop")
            .field("fd", self.get_ref())
            .field("timer", &self.timer)
            .finish_non_exhaustive()
    }
}
