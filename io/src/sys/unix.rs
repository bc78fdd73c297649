//! Registration by descriptor: needs no exclusive access, so a source is shared as it is.

use std::io;
use std::ops::Deref;
use std::os::fd::{AsFd, AsRawFd};

use mio::event::Source;
use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};

/// What can be registered.
pub(crate) trait Pollable: AsFd {}
impl<T: AsFd> Pollable for T {}

/// Holds a source that can be used and registered through a shared reference.
#[derive(Debug)]
pub(crate) struct Cell<T>(T);

impl<T: Pollable> Cell<T> {
    pub(crate) fn new(source: T) -> Self {
        Self(source)
    }

    #[inline]
    pub(crate) fn get(&self) -> impl Deref<Target = T> + '_ {
        &self.0
    }

    pub(crate) fn into_inner(self) -> T {
        self.0
    }

    /// What the loop tells sources apart by.
    pub(crate) fn number(&self) -> Option<i32> {
        Some(self.0.as_fd().as_raw_fd())
    }

    pub(crate) fn register(
        &self,
        r: &Registry,
        token: Token,
        interest: Interest,
    ) -> io::Result<()> {
        SourceFd(&self.0.as_fd().as_raw_fd()).register(r, token, interest)
    }

    pub(crate) fn reregister(
        &self,
        r: &Registry,
        token: Token,
        interest: Interest,
    ) -> io::Result<()> {
        SourceFd(&self.0.as_fd().as_raw_fd()).reregister(r, token, interest)
    }

    pub(crate) fn deregister(&self, r: &Registry) -> io::Result<()> {
        SourceFd(&self.0.as_fd().as_raw_fd()).deregister(r)
    }
}

impl<T: Pollable> Cell<T> {
    /// Borrows the source for as long as the cell.
    pub(crate) fn as_ref(&self) -> &T {
        &self.0
    }

    /// Borrows the source to change it.
    pub(crate) fn as_mut(&mut self) -> &mut T {
        &mut self.0
    }
}

/// Whether a turn of an event loop runs on this thread.
#[cfg(feature = "fd")]
pub(crate) fn loop_runs_here() -> bool {
    use loopline_runtime::{CurrentError, Handle};

    !matches!(Handle::<()>::try_current(), Err(CurrentError::NoLoop))
}
