//! Registration by mio's type: it wants exclusive access, and keeps state that operations update.

use std::cell::{Ref, RefCell};
use std::io::{self, IoSlice, Write};

use mio::event::Source;
use mio::{Interest, Registry, Token};

/// What can be registered.
pub(crate) trait Pollable: Source {}
impl<T: Source> Pollable for T {}

/// Holds a source that can be used and registered through a shared reference.
#[derive(Debug)]
pub(crate) struct Cell<T>(RefCell<T>);

impl<T: Pollable> Cell<T> {
    pub(crate) fn new(source: T) -> Self {
        Self(RefCell::new(source))
    }

    /// Borrows the source; no user code runs meanwhile.
    #[inline]
    pub(crate) fn get(&self) -> Ref<'_, T> {
        self.0.borrow()
    }

    pub(crate) fn into_inner(self) -> T {
        self.0.into_inner()
    }

    /// None: mio itself refuses a source that is registered already.
    pub(crate) fn number(&self) -> Option<i32> {
        None
    }

    pub(crate) fn register(
        &self,
        r: &Registry,
        token: Token,
        interest: Interest,
    ) -> io::Result<()> {
        self.0.borrow_mut().register(r, token, interest)
    }

    pub(crate) fn reregister(
        &self,
        r: &Registry,
        token: Token,
        interest: Interest,
    ) -> io::Result<()> {
        self.0.borrow_mut().reregister(r, token, interest)
    }

    pub(crate) fn deregister(&self, r: &Registry) -> io::Result<()> {
        self.0.borrow_mut().deregister(r)
    }
}

/// Sends from a buffer.
pub(crate) fn send<T>(mut socket: &T, buf: &[u8]) -> io::Result<usize>
where
    for<'a> &'a T: Write,
{
    socket.write(buf)
}

/// Sends from several buffers.
pub(crate) fn send_vectored<T>(mut socket: &T, bufs: &[IoSlice<'_>]) -> io::Result<usize>
where
    for<'a> &'a T: Write,
{
    socket.write_vectored(bufs)
}
