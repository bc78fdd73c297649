//! What a wait for readiness returns: through it an operation says whether it would block after all.

use std::fmt;
use std::io;
use std::os::fd::AsFd;

use super::{Async, Ready};

/// What was ready when a wait ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct Told {
    pub(super) ready: Ready,
    /// How many events there had been. One that came later is not forgotten with this.
    pub(super) events: u32,
}

impl Told {
    /// Forgets a part of it, unless there is newer readiness.
    fn clear<T: AsFd>(&mut self, fd: &Async<T>, ready: Ready) {
        let registration = fd.registration();
        if registration.events() == self.events {
            (self.ready & ready).open().for_each(|direction| registration.clear_open(direction));
        }
        self.ready = self.ready - ready;
    }

    /// Takes WouldBlock out of the results: it was not ready in spite of all, its end included.
    fn sort<T: AsFd, R>(
        &mut self,
        fd: &Async<T>,
        result: io::Result<R>,
    ) -> Result<io::Result<R>, TryIoError> {
        match result {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                // The operation was tried just now, so there is no newer readiness.
                self.ready.directions().for_each(|way| fd.registration().clear(way));
                self.ready = Ready::EMPTY;
                Err(TryIoError(()))
            }
            result => Ok(result),
        }
    }
}

/// An operation is worth trying: what [`Async::readable`] and its like return.
///
/// Readiness is remembered until an operation would block. One that goes by [`AsyncReadyGuard::try_io`]
/// says so itself; after another, call [`AsyncReadyGuard::clear_ready`] if it would have blocked.
#[must_use = "it says what is ready: use try_io, or clear_ready and retain_ready"]
pub struct AsyncReadyGuard<'a, T: AsFd> {
    fd: &'a Async<T>,
    told: Told,
}

impl<'a, T: AsFd> AsyncReadyGuard<'a, T> {
    pub(super) fn new(fd: &'a Async<T>, told: Told) -> Self {
        Self { fd, told }
    }

    /// Says that the descriptor is not ready any more: an operation saw `WouldBlock`. Readiness that came
    /// after this guard stays.
    pub fn clear_ready(&mut self) {
        self.clear_ready_matching(Ready::ALL);
    }

    /// As [`AsyncReadyGuard::clear_ready`], for a part of it.
    pub fn clear_ready_matching(&mut self, ready: Ready) {
        self.told.clear(self.fd, ready);
    }

    /// Does nothing: says that the descriptor is ready still.
    pub fn retain_ready(&mut self) {}

    /// Returns what is ready, as far as this guard was not told otherwise.
    #[must_use]
    pub fn ready(&self) -> Ready {
        self.told.ready
    }

    /// Tries an operation, and clears what is ready if it would block.
    ///
    /// # Errors
    ///
    /// [`TryIoError`] if the operation would block. Its other failures are in the inner result.
    pub fn try_io<R>(
        &mut self,
        op: impl FnOnce(&'a Async<T>) -> io::Result<R>,
    ) -> Result<io::Result<R>, TryIoError> {
        let result = op(self.fd);
        self.told.sort(self.fd, result)
    }

    /// Returns what was awaited.
    #[must_use]
    pub fn get_ref(&self) -> &'a Async<T> {
        self.fd
    }

    /// Returns the descriptor.
    #[must_use]
    pub fn get_inner(&self) -> &'a T {
        self.fd.get_ref()
    }
}

/// An operation is worth trying that wants the descriptor to be changed; see [`AsyncReadyGuard`].
#[must_use = "it says what is ready: use try_io, or clear_ready and retain_ready"]
pub struct AsyncReadyMutGuard<'a, T: AsFd> {
    fd: &'a mut Async<T>,
    told: Told,
}

impl<'a, T: AsFd> AsyncReadyMutGuard<'a, T> {
    pub(super) fn new(fd: &'a mut Async<T>, told: Told) -> Self {
        Self { fd, told }
    }

    /// As [`AsyncReadyGuard::clear_ready`].
    pub fn clear_ready(&mut self) {
        self.clear_ready_matching(Ready::ALL);
    }

    /// As [`AsyncReadyGuard::clear_ready_matching`].
    pub fn clear_ready_matching(&mut self, ready: Ready) {
        self.told.clear(self.fd, ready);
    }

    /// Does nothing: says that the descriptor is ready still.
    pub fn retain_ready(&mut self) {}

    /// Returns what is ready, as far as this guard was not told otherwise.
    #[must_use]
    pub fn ready(&self) -> Ready {
        self.told.ready
    }

    /// As [`AsyncReadyGuard::try_io`].
    ///
    /// # Errors
    ///
    /// [`TryIoError`] if the operation would block.
    pub fn try_io<R>(
        &mut self,
        op: impl FnOnce(&mut Async<T>) -> io::Result<R>,
    ) -> Result<io::Result<R>, TryIoError> {
        let result = op(self.fd);
        self.told.sort(self.fd, result)
    }

    /// Returns what was awaited.
    #[must_use]
    pub fn get_ref(&self) -> &Async<T> {
        self.fd
    }

    /// Returns what was awaited, to be changed.
    pub fn get_mut(&mut self) -> &mut Async<T> {
        self.fd
    }

    /// Returns the descriptor.
    #[must_use]
    pub fn get_inner(&self) -> &T {
        self.fd.get_ref()
    }

    /// Returns the descriptor, to be changed.
    pub fn get_inner_mut(&mut self) -> &mut T {
        self.fd.get_mut()
    }
}

/// The operation would block.
#[derive(Debug)]
pub struct TryIoError(());

impl fmt::Display for TryIoError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the operation would block: wait until the descriptor is ready again")
    }
}

impl std::error::Error for TryIoError {}

impl<T: AsFd + fmt::Debug> fmt::Debug for AsyncReadyGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsyncReadyGuard").field("fd", self.fd).field("told", &self.told).finish()
    }
}

impl<T: AsFd + fmt::Debug> fmt::Debug for AsyncReadyMutGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsyncReadyMutGuard").field("fd", self.fd).field("told", &self.told).finish()
    }
}
