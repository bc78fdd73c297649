//! The adapter: a source and its registration, and the try / WouldBlock / wait loop every socket shares.
//!
//! Operations are tried first and waited for second, so a source joins the poller only when it would
//! block for the first time: connections that never do cost no `epoll_ctl`.

use std::cell::Cell as Flag;
use std::io;
use std::marker::PhantomData;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::task::{Context, Poll, ready};

use loopline_runtime::budget::{self, Permit};
use loopline_runtime::registration::{Direction, Registration, WaitKey};
use mio::Interest;

use self::op::{Op, Readied, Repeat};
use crate::sys::{Cell, Pollable};

mod op;
#[cfg(unix)]
pub(crate) mod watch;

/// A direction that is known when the code is compiled: an operation's future need not store it.
pub(crate) trait Way {
    const DIRECTION: Direction;
}

/// See [`Way`].
pub(crate) struct Reading;
/// See [`Way`].
pub(crate) struct Writing;

impl Way for Reading {
    const DIRECTION: Direction = Direction::Read;
}

impl Way for Writing {
    const DIRECTION: Direction = Direction::Write;
}

/// What a source has to tell of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ways {
    Both,
    /// The end of a pipe is not asked for the other direction.
    #[cfg_attr(not(all(unix, feature = "fd")), expect(dead_code, reason = "pipes alone have one"))]
    One,
    /// Both, and urgent data among what is read.
    BothUrgent,
}

/// A source on a loop.
#[derive(Debug)]
pub(crate) struct Adapter<T: Pollable> {
    source: Option<Cell<T>>,
    registration: Registration,
    /// What the poller was asked for; `None` before the first wait.
    interest: Flag<Option<Interest>>,
    /// Whether somebody else may hold the descriptor: then closing it does not end the registration.
    lent: Flag<bool>,
    ways: Ways,
}

/// No code of a user's runs inside it, so no panic leaves it half changed.
impl<T: Pollable> UnwindSafe for Adapter<T> {}
impl<T: Pollable> RefUnwindSafe for Adapter<T> {}

impl<T: Pollable> Adapter<T> {
    /// Takes a source that is tried at once.
    pub(crate) fn new(source: T) -> Self {
        Self::with(source, Registration::new())
    }

    /// Takes a source that is not ready before the poller says so, such as one that connects.
    #[cfg(any(unix, windows))]
    pub(crate) fn unready(source: T) -> Self {
        Self::with(source, Registration::unready())
    }

    fn with(source: T, registration: Registration) -> Self {
        Self {
            source: Some(Cell::new(source)),
            registration,
            interest: Flag::new(None),
            lent: Flag::new(false),
            ways: Ways::Both,
        }
    }

    /// Takes one end of a pipe.
    #[cfg(all(unix, feature = "fd"))]
    pub(crate) fn one_way(source: T) -> Self {
        let mut this = Self::new(source);
        this.ways = Ways::One;
        this
    }

    /// Has the poller tell of urgent data too, where it can.
    pub(crate) fn with_urgent(mut self) -> Self {
        self.ways = Ways::BothUrgent;
        self
    }

    /// Borrows the source to change it; its descriptor stays the same.
    #[cfg(unix)]
    pub(crate) fn source_mut(&mut self) -> &mut T {
        self.source.as_mut().expect("taken only by into_inner, which consumes the adapter").as_mut()
    }

    pub(crate) fn cell(&self) -> &Cell<T> {
        self.source.as_ref().expect("taken only by into_inner, which consumes the adapter")
    }

    /// Notes that the descriptor was lent: it may be duplicated, and live longer than this.
    pub(crate) fn lend(&self) {
        self.lent.set(true);
    }

    pub(crate) fn registration(&self) -> &Registration {
        &self.registration
    }

    /// Tries an operation without waiting. WouldBlock is remembered.
    pub(crate) fn try_io<R>(
        &self,
        direction: Direction,
        op: impl FnOnce(&T) -> io::Result<R>,
    ) -> io::Result<R> {
        // Where the poller was not asked yet, only the operation itself can tell.
        if self.registration.is_watched(direction) && !self.registration.is_ready(direction) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let result = op(&self.cell().get());
        if matches!(&result, Err(error) if error.kind() == io::ErrorKind::WouldBlock) {
            self.registration.clear(direction);
        }
        result
    }

    /// As `try_io`; and if it would block, asks the poller to tell when it no longer does, so that the next
    /// try knows without calling.
    #[cfg(all(unix, feature = "fd"))]
    pub(crate) fn try_known<R>(
        &self,
        direction: Direction,
        op: impl FnOnce(&T) -> io::Result<R>,
    ) -> io::Result<R> {
        let result = self.try_io(direction, op);
        let would_block = matches!(&result, Err(e) if e.kind() == io::ErrorKind::WouldBlock);
        if would_block && !self.registration.is_watched(direction) && crate::sys::loop_runs_here() {
            self.join(direction)?;
        }
        result
    }

    /// Tries an operation, and waits each time it would block.
    #[inline(always)] // into the task, where the operation's parts are in registers
    pub(crate) fn poll_io<R>(
        &self,
        direction: Direction,
        key: &mut WaitKey,
        cx: &mut Context<'_>,
        mut op: impl FnMut(&T) -> io::Result<R>,
    ) -> Poll<io::Result<R>> {
        if self.registration.is_ready(direction) {
            let permit = ready!(budget::poll_proceed(cx));
            return match op(&self.cell().get()) {
                Ok(done) => {
                    permit.spend();
                    Poll::Ready(Ok(done))
                }
                Err(error) => self.poll_failed((permit, error), direction, key, cx, &mut op),
            };
        }
        self.poll_wait(direction, key, cx)
    }

    /// The rest of `poll_io` after an operation that failed: tries again where that is no failure.
    ///
    /// Apart, so that there is no loop around what nearly every operation is.
    #[cold]
    fn poll_failed<R>(
        &self,
        (mut permit, mut error): (Permit, io::Error),
        direction: Direction,
        key: &mut WaitKey,
        cx: &mut Context<'_>,
        op: &mut dyn FnMut(&T) -> io::Result<R>,
    ) -> Poll<io::Result<R>> {
        loop {
            match error.kind() {
                io::ErrorKind::WouldBlock => self.registration.clear(direction),
                io::ErrorKind::Interrupted => {}
                _ => {
                    permit.spend();
                    return Poll::Ready(Err(error));
                }
            }
            if !self.registration.is_ready(direction) {
                return self.poll_wait(direction, key, cx);
            }
            permit = ready!(budget::poll_proceed(cx));
            match op(&self.cell().get()) {
                Ok(done) => {
                    permit.spend();
                    return Poll::Ready(Ok(done));
                }
                Err(next) => error = next,
            }
        }
    }

    /// Waits until an operation is worth trying, without one.
    pub(crate) fn poll_ready(
        &self,
        direction: Direction,
        key: &mut WaitKey,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        let permit = ready!(budget::poll_proceed(cx));
        if self.registration.is_ready(direction) {
            permit.spend();
            return Poll::Ready(Ok(()));
        }
        self.poll_wait(direction, key, cx)
    }

    #[inline]
    fn poll_wait<R>(
        &self,
        direction: Direction,
        key: &mut WaitKey,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<R>> {
        match self.wait(direction, key, cx) {
            Ok(()) => Poll::Pending,
            Err(error) => Poll::Ready(Err(error)),
        }
    }

    /// Joins the poller if need be, and waits.
    #[inline]
    pub(crate) fn wait(
        &self,
        direction: Direction,
        key: &mut WaitKey,
        cx: &mut Context<'_>,
    ) -> io::Result<()> {
        if self.registration.wait_alone(direction, key, cx) {
            return Ok(());
        }
        self.wait_anew(direction, key, cx)
    }

    /// `wait`, where it is the first in its direction, or not the only one, or another loop's.
    #[cold]
    fn wait_anew(
        &self,
        direction: Direction,
        key: &mut WaitKey,
        cx: &mut Context<'_>,
    ) -> io::Result<()> {
        self.registration.check_loop(cx)?;
        if !self.registration.is_watched(direction) {
            self.join(direction)?;
        }
        self.registration.wait(direction, key, cx);
        Ok(())
    }

    /// Registers, or asks for more. What is there already comes as an event: nothing is lost between
    /// the operation that would have blocked and this.
    #[cold]
    pub(crate) fn join(&self, direction: Direction) -> io::Result<()> {
        let source = self.cell();
        let wanted = wanted(direction, self.ways);
        match self.interest.get() {
            None => self.register(wanted)?,
            Some(has) => {
                let all = has | wanted;
                self.registration.change(&mut |r, token| source.reregister(r, token, all))?;
                self.interest.set(Some(all));
            }
        }
        if wanted.is_readable() {
            self.registration.watch(Direction::Read)?;
        }
        self.registration.watch(direction)
    }

    /// Asks the poller to say again what is ready now, for a source that is emptied by others.
    #[cfg(unix)]
    pub(crate) fn rearm(&self, interest: Interest) -> io::Result<()> {
        let source = self.cell();
        if self.registration.is_registered() {
            self.registration.change(&mut |r, token| source.reregister(r, token, interest))?;
            self.interest.set(Some(interest));
            Ok(())
        } else {
            self.register(interest)
        }
    }

    fn register(&self, interest: Interest) -> io::Result<()> {
        let source = self.cell();
        self.registration
            .register(source.number(), &mut |r, token| source.register(r, token, interest))
            .map_err(explain)?;
        self.interest.set(Some(interest));
        Ok(())
    }

    /// Makes a future of an operation.
    #[inline]
    pub(crate) fn op<W: Way, R, F>(&self, op: F) -> Op<'_, T, W, F>
    where
        F: FnMut(&T, &Registration) -> io::Result<R>,
    {
        Op { adapter: self, key: WaitKey::new(), op, way: PhantomData }
    }

    /// Makes a future of an operation that is repeated until it gives `Some`; or of none, if there is
    /// nothing to do.
    #[inline]
    pub(crate) fn repeat<W: Way, R, F>(&self, done: Option<R>, op: F) -> Repeat<'_, T, W, R, F>
    where
        F: FnMut(&T, &Registration) -> io::Result<Option<R>>,
    {
        Repeat { op: self.op(op), done }
    }

    /// Waits until an operation is worth trying.
    ///
    /// Dropped, it leaves no waiter behind.
    pub(crate) fn ready(&self, direction: Direction) -> Readied<'_, T> {
        Readied { adapter: self, direction, key: WaitKey::new() }
    }

    /// Ends the registration and returns the source.
    pub(crate) fn into_inner(mut self) -> io::Result<T> {
        let source = self.source.take().expect("taken only here");
        // A failure leaves nothing to undo: the source is out of the table, its events are dropped.
        let ended = self.registration.end(Some(&mut |r| source.deregister(r)));
        let _ = ended;
        Ok(source.into_inner())
    }
}

impl<T: Pollable> Drop for Adapter<T> {
    fn drop(&mut self) {
        let Some(source) = &self.source else { return };
        // A socket that was never lent ends its registration by closing, on epoll and kqueue; elsewhere,
        // and where a duplicate may live on, the poller is told.
        if self.lent.get() || cfg!(windows) {
            // A failure: the descriptor was closed behind our back. Its events are dropped by token.
            let _ = self.registration.end(Some(&mut |r| source.deregister(r)));
        }
    }
}

/// Says what to do about a descriptor that the poller refuses.
#[cold]
fn explain(error: io::Error) -> io::Error {
    let text = match error.kind() {
        io::ErrorKind::PermissionDenied => {
            "this descriptor cannot be polled (a regular file, a directory or /dev/null): it is \
             always ready, so read and write it directly, or on a thread"
        }
        io::ErrorKind::AlreadyExists => {
            "this descriptor is registered with this event loop already: use one source for it, or \
             register a duplicate"
        }
        _ => return error,
    };
    io::Error::new(error.kind(), text)
}

/// What to ask the poller for. Reading nearly always, so that a peer that goes away is noticed.
const fn wanted(direction: Direction, ways: Ways) -> Interest {
    let reading = match ways {
        #[cfg(any(target_os = "linux", target_os = "android"))]
        Ways::BothUrgent => Interest::READABLE.add(Interest::PRIORITY),
        _ => Interest::READABLE,
    };
    match direction {
        Direction::Write if matches!(ways, Ways::One) => Interest::WRITABLE,
        Direction::Write => reading.add(Interest::WRITABLE),
        #[cfg(any(target_os = "linux", target_os = "android"))]
        Direction::Priority => Interest::READABLE.add(Interest::PRIORITY),
        _ => reading,
    }
}
