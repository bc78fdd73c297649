//! The descriptor of a guest: the poller's own.

use std::future::Future;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

use super::{Guest, Until};

/// Readable when a turn would run something: see [`Guest`].
impl<S: 'static> AsFd for Guest<S> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.shared().reactor.poller().as_fd()
    }
}

impl<S: 'static> AsRawFd for Guest<S> {
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}

/// Readable when a turn would run something: see [`Guest`].
impl<S: 'static, F: Future> AsFd for Until<'_, S, F> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.guest().as_fd()
    }
}

impl<S: 'static, F: Future> AsRawFd for Until<'_, S, F> {
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}
