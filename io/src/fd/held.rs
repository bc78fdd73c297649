//! A descriptor made non-blocking for as long as it is held.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::process;

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};

/// A descriptor, and who lets it block again.
///
/// O_NONBLOCK belongs to the open file description, which other processes may share: a shell finds its
/// terminal as it was.
#[derive(Debug)]
pub(crate) struct Held<T: AsFd> {
    /// Taken by `into_inner` alone.
    fd: Option<T>,
    /// By its number, the process that made it non-blocking, if it was not. A child that was forked since
    /// shares the description, and leaves it to that one.
    restore: Option<u32>,
}

impl<T: AsFd> Held<T> {
    /// Takes a descriptor as it is.
    pub(crate) fn as_is(fd: T) -> Self {
        Self { fd: Some(fd), restore: None }
    }

    /// Makes a descriptor non-blocking, until this is dropped.
    pub(crate) fn nonblocking(fd: T) -> Result<Self, (T, io::Error)> {
        match set_nonblocking(fd.as_fd(), true) {
            Ok(changed) => Ok(Self { fd: Some(fd), restore: changed.then(process::id) }),
            Err(error) => Err((fd, error)),
        }
    }

    pub(crate) fn fd(&self) -> &T {
        self.fd.as_ref().expect("taken only by into_inner, which consumes this")
    }

    pub(crate) fn fd_mut(&mut self) -> &mut T {
        self.fd.as_mut().expect("taken only by into_inner, which consumes this")
    }

    /// Leaves it non-blocking for good.
    pub(crate) fn keep(&mut self) {
        self.restore = None;
    }

    /// Gives the descriptor back as it was.
    pub(crate) fn into_inner(mut self) -> T {
        self.restore();
        self.fd.take().expect("taken only here")
    }

    fn restore(&mut self) {
        if self.restore.take() == Some(process::id()) {
            // A failure: it was closed behind our back, and has no flags.
            let _ = set_nonblocking(self.fd().as_fd(), false);
        }
    }
}

impl<T: AsFd> AsFd for Held<T> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd().as_fd()
    }
}

impl<T: AsFd> Drop for Held<T> {
    fn drop(&mut self) {
        self.restore();
    }
}

/// Sets O_NONBLOCK, or ends it. Returns whether that changed it.
pub(crate) fn set_nonblocking(fd: BorrowedFd<'_>, on: bool) -> io::Result<bool> {
    let was = fcntl_getfl(fd)?;
    let mut wanted = was;
    wanted.set(OFlags::NONBLOCK, on);
    if wanted != was {
        fcntl_setfl(fd, wanted)?;
    }
    Ok(wanted != was)
}
