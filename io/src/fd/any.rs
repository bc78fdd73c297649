//! `Async`: any pollable descriptor, awaited.

use std::cell::Cell;
use std::fmt;
use std::future::Future;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use loopline_runtime::budget;
use loopline_runtime::registration::Registration;

use super::guard::Told;
use super::held::Held;
use super::{Interest, Ready, Trigger};
use crate::adapter::Adapter;
use crate::adapter::watch::Keys;
use crate::sys::loop_runs_here;

mod ops;
mod readiness;

/// Any descriptor that can be polled, awaited: what a library of C opened, a device, inotify.
///
/// [`Async::readable`] and its like await that an operation is worth trying and return a guard, through
/// which the operation says if it would block after all. [`Async::read_with`] and
/// [`Async::write_with`] do both. If `T` reads and writes, so does this, by the traits of `futures-io`.
/// Any number of tasks may wait for one direction.
///
/// Reads and writes are those of `T`. To a pipe that nobody reads they raise SIGPIPE, which every program
/// ignores whose `main` is Rust's; a host that does not is ended by it.
/// [`pipe::Sender`](crate::pipe::Sender) has writes of its own, which raise none.
///
/// Made inside a running event loop it is registered there at once, otherwise where it is first awaited,
/// and only there it can be awaited from then on. A regular file or `/dev/null` is an error that says
/// so, as is a descriptor that is registered with that loop already.
///
/// `T` owns the descriptor: it is closed as `T` closes it. A reference, an `Rc`, or a `BorrowedFd` does
/// as well. It must stay the same descriptor. If it is closed in spite of that, waits end only where the
/// system says so; nobody else who then gets its number is harmed.
///
/// # Examples
///
/// ```
/// use std::io::{Read, Write};
/// use std::os::unix::net::UnixStream;
/// use loopline_io::fd::Async;
///
/// # loopline_runtime::block_on(async {
/// let (near, mut far) = UnixStream::pair()?;
/// let near = Async::new(near)?;
/// far.write_all(b"hello")?;
/// let mut buf = [0; 8];
/// let n = near.read_with(|mut near| near.read(&mut buf)).await?;
/// assert_eq!(&buf[..n], b"hello");
/// # std::io::Result::Ok(()) }).unwrap();
/// ```
///
/// It stays on its thread:
///
/// ```compile_fail
/// fn is_send<T: Send>() {}
/// is_send::<loopline_io::fd::Async<std::fs::File>>();
/// ```
///
/// ```
/// fn is_send<T: Send>() {}
/// is_send::<std::fs::File>();
/// ```
pub struct Async<T: AsFd> {
    adapter: Adapter<Held<T>>,
    /// What may be awaited; `None`: anything, which is then asked for.
    interest: Option<Interest>,
    trigger: Trigger,
    /// With a trigger that asks for each event: whether the last one was told.
    told: Cell<bool>,
}

impl<T: AsFd> Async<T> {
    /// Takes a descriptor and makes it non-blocking; as this is released it blocks again, if it did.
    ///
    /// What is not awaited is not asked of the system, writing for instance.
    ///
    /// # Errors
    ///
    /// If it cannot be polled or is registered with the running loop already.
    pub fn new(fd: T) -> io::Result<Self> {
        Ok(Self::try_new(fd)?)
    }

    /// As [`Async::new`]; a failure gives the descriptor back.
    ///
    /// # Errors
    ///
    /// As [`Async::new`].
    pub fn try_new(fd: T) -> Result<Self, AsyncRegisterError<T>> {
        let held = Held::nonblocking(fd).map_err(AsyncRegisterError::new)?;
        Self::make(held, None, Trigger::Level)
    }

    /// Takes a descriptor that does not block; its O_NONBLOCK is left alone.
    ///
    /// # Errors
    ///
    /// As [`Async::new`].
    pub fn new_nonblocking(fd: T) -> io::Result<Self> {
        Ok(Self::make(Held::as_is(fd), None, Trigger::Level)?)
    }

    /// Takes a descriptor that may be awaited for nothing but this; its O_NONBLOCK is left alone.
    ///
    /// # Errors
    ///
    /// As [`Async::new`].
    pub fn with_interest(fd: T, interest: Interest) -> io::Result<Self> {
        Ok(Self::try_with_interest(fd, interest)?)
    }

    /// As [`Async::with_interest`]; a failure gives the descriptor back.
    ///
    /// # Errors
    ///
    /// As [`Async::new`].
    pub fn try_with_interest(fd: T, interest: Interest) -> Result<Self, AsyncRegisterError<T>> {
        Self::make(Held::as_is(fd), Some(interest), Trigger::Level)
    }

    /// As [`Async::with_interest`], with readiness that is told as the trigger says: with
    /// [`Trigger::Edge`] each event ends one wait; with [`Trigger::OneShot`] and
    /// [`Trigger::Foreign`] each wait that follows a told event asks the system.
    ///
    /// # Errors
    ///
    /// As [`Async::new`].
    pub fn with_trigger(fd: T, interest: Interest, trigger: Trigger) -> io::Result<Self> {
        Ok(Self::make(Held::as_is(fd), Some(interest), trigger)?)
    }

    fn make(
        held: Held<T>,
        interest: Option<Interest>,
        trigger: Trigger,
    ) -> Result<Self, AsyncRegisterError<T>> {
        // Unready: a descriptor that blocks must not be tried before the system says so.
        let adapter = Adapter::unready(held);
        // Whoever made it may have duplicated it.
        adapter.lend();
        let this = Self { adapter, interest, trigger, told: Cell::new(true) };
        if !loop_runs_here() {
            return Ok(this);
        }
        match this.begin(interest.unwrap_or(Interest::READABLE)) {
            Ok(()) => Ok(this),
            Err(error) => Err(AsyncRegisterError::new((this.into_inner(), error))),
        }
    }

    /// Returns the descriptor.
    #[must_use]
    pub fn get_ref(&self) -> &T {
        self.adapter.cell().as_ref().fd()
    }

    /// Returns the descriptor, to be changed; not for another one.
    #[must_use]
    pub fn get_mut(&mut self) -> &mut T {
        self.adapter.source_mut().fd_mut()
    }

    /// Ends the registration and gives the descriptor back, blocking if it was.
    #[must_use]
    pub fn into_inner(self) -> T {
        match self.adapter.into_inner() {
            Ok(held) => held.into_inner(),
            Err(error) => unreachable!("the end of a registration does not fail: {error}"),
        }
    }

    pub(super) fn registration(&self) -> &Registration {
        self.adapter.registration()
    }

    /// Whether what is ready is remembered, so that it is waited for before an operation is tried.
    fn remembers(&self) -> bool {
        self.trigger == Trigger::Level
    }

    /// Sees to it that the poller tells of this.
    fn begin(&self, interest: Interest) -> io::Result<()> {
        if self.interest.is_some_and(|asked| !asked.holds(interest)) {
            return Err(not_asked());
        }
        if self.trigger == Trigger::Level || self.trigger == Trigger::Edge {
            if interest.directions().all(|way| self.registration().is_watched(way)) {
                return Ok(());
            }
            return match self.interest {
                Some(asked) => self.adapter.ask(asked, asked.set()),
                None => self.begin_more(interest),
            };
        }
        let asked = self.interest.unwrap_or(interest);
        let unknown = Ready::of(self.registration(), asked).is_empty();
        let asks = self.told.get() || self.trigger == Trigger::Foreign && unknown;
        if asks {
            self.adapter.ask(asked, asked.set())?;
            self.told.set(false);
        }
        Ok(())
    }

    /// Asks for what was not asked for before, and leaves the rest.
    fn begin_more(&self, interest: Interest) -> io::Result<()> {
        interest.directions().try_for_each(|way| match self.registration().is_watched(way) {
            true => Ok(()),
            false => self.adapter.join(way),
        })
    }

    /// Waits until any of this is ready.
    pub(super) fn poll_told(
        &self,
        interest: Interest,
        keys: &mut Keys,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<Told>> {
        let permit = ready!(budget::poll_proceed(cx));
        self.registration().check_loop(cx)?;
        self.begin(interest)?;
        let ready = Ready::of(self.registration(), interest);
        if ready.is_empty() {
            self.adapter.wait_any(interest, keys, cx)?;
            return Poll::Pending;
        }
        permit.spend();
        if matches!(self.trigger, Trigger::Edge | Trigger::OneShot) {
            ready.open().for_each(|direction| self.registration().clear_open(direction));
        }
        self.told.set(true);
        Poll::Ready(Ok(Told { ready, events: self.registration().events() }))
    }

    /// Notes that an operation saw WouldBlock in spite of this readiness.
    pub(super) fn clear(&self, interest: Interest) {
        interest.directions().for_each(|direction| self.registration().clear(direction));
    }
}

/// A wait for any of an interest.
struct Waiting<'a, T: AsFd> {
    fd: &'a Async<T>,
    interest: Interest,
    keys: Keys,
}

impl<'a, T: AsFd> Waiting<'a, T> {
    fn new(fd: &'a Async<T>, interest: Interest) -> Self {
        Self { fd, interest, keys: Keys::new() }
    }
}

impl<T: AsFd> Future for Waiting<'_, T> {
    type Output = io::Result<Told>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        this.fd.poll_told(this.interest, &mut this.keys, cx)
    }
}

impl<T: AsFd> Drop for Waiting<'_, T> {
    fn drop(&mut self) {
        self.fd.adapter.unwait_any(self.interest, &mut self.keys);
    }
}

/// Nothing in it is pinned.
impl<T: AsFd> Unpin for Async<T> {}

impl<T: AsFd> AsFd for Async<T> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.get_ref().as_fd()
    }
}

impl<T: AsFd> AsRawFd for Async<T> {
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}

impl<T: AsFd + fmt::Debug> fmt::Debug for Async<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Async")
            .field("fd", self.get_ref())
            .field("trigger", &self.trigger)
            .finish_non_exhaustive()
    }
}

/// A descriptor that could not be registered, and why.
pub struct AsyncRegisterError<T> {
    fd: T,
    cause: io::Error,
}

impl<T> AsyncRegisterError<T> {
    fn new((fd, cause): (T, io::Error)) -> Self {
        Self { fd, cause }
    }

    /// Returns both.
    #[must_use]
    pub fn into_parts(self) -> (T, io::Error) {
        (self.fd, self.cause)
    }
}

impl<T> fmt::Display for AsyncRegisterError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.cause.fmt(f)
    }
}

impl<T> fmt::Debug for AsyncRegisterError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AsyncRegisterError").field(&self.cause).finish()
    }
}

impl<T> std::error::Error for AsyncRegisterError<T> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.cause)
    }
}

impl<T> From<AsyncRegisterError<T>> for io::Error {
    fn from(error: AsyncRegisterError<T>) -> Self {
        error.cause
    }
}

#[cold]
fn not_asked() -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidInput,
        "the descriptor is not watched for this: name it in the interest it is made with",
    )
}
