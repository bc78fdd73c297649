//! The pipe to a child.

use std::cell::RefCell;
use std::fmt;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::pin::Pin;
use std::process::Stdio;
use std::rc::Rc;
use std::task::{Context, Poll};

use futures_io::AsyncWrite;
use loopline_runtime::registration::{Direction, WaitKey};

use super::stdout::set_nonblocking;
use crate::adapter::{Adapter, Writing};
use crate::sys::pipes::{write, write_vectored};

/// The pipe to a child's standard input. The child reads the end when this is dropped or closed.
///
/// Every method takes `&self`. Bytes that were written and not read yet are still read by the child.
pub struct ChildStdin {
    /// `None` once it was closed. Shared with the writes under way.
    pipe: RefCell<Option<Rc<Adapter<OwnedFd>>>>,
}

impl ChildStdin {
    /// Takes a pipe that nobody else has.
    pub(super) fn own(pipe: std::process::ChildStdin) -> io::Result<Self> {
        let fd = OwnedFd::from(pipe);
        set_nonblocking(&fd, true)?;
        Ok(Self { pipe: RefCell::new(Some(Rc::new(Adapter::new(fd)))) })
    }

    /// Takes over a pipe of the standard library, and makes it non-blocking.
    ///
    /// # Errors
    ///
    /// If it cannot be made so.
    pub fn from_std(pipe: std::process::ChildStdin) -> io::Result<Self> {
        let this = Self::own(pipe)?;
        this.lend();
        Ok(this)
    }

    /// Notes that the descriptor may have been duplicated.
    pub(super) fn lend(&self) {
        if let Ok(pipe) = self.pipe() {
            pipe.lend();
        }
    }

    fn pipe(&self) -> io::Result<Rc<Adapter<OwnedFd>>> {
        self.pipe.borrow().clone().ok_or_else(closed)
    }

    /// Closes the pipe: the child reads the end. Writes under way end first.
    pub fn close(&self) {
        let pipe = self.pipe.borrow_mut().take();
        drop(pipe);
    }

    /// Ends the registration and returns the descriptor, blocking again.
    ///
    /// # Errors
    ///
    /// If the pipe was closed, or cannot be made blocking.
    pub fn into_owned_fd(self) -> io::Result<OwnedFd> {
        let pipe = self.pipe.take().ok_or_else(closed)?;
        let pipe = Rc::into_inner(pipe).expect("writes borrow this, and have ended");
        let fd = pipe.into_inner()?;
        set_nonblocking(&fd, false)?;
        Ok(fd)
    }

    /// Writes from a buffer, and waits if there is no room. Returns how much was taken.
    ///
    /// # Errors
    ///
    /// `BrokenPipe` if nobody reads, or it was closed; or what the system says.
    ///
    /// # Cancel safety
    ///
    /// Strict: a wait that is dropped has written nothing.
    pub async fn write(&self, buf: &[u8]) -> io::Result<usize> {
        self.pipe()?.op::<Writing, _, _>(|fd, _| write(fd, buf)).await
    }

    /// Writes from several buffers; as [`ChildStdin::write`].
    ///
    /// # Errors
    ///
    /// As [`ChildStdin::write`].
    ///
    /// # Cancel safety
    ///
    /// Strict.
    pub async fn write_vectored(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        self.pipe()?.op::<Writing, _, _>(|fd, _| write_vectored(fd, bufs)).await
    }

    /// Writes the whole buffer.
    ///
    /// # Errors
    ///
    /// As [`ChildStdin::write`]; part of the buffer may have been written.
    ///
    /// # Cancel safety
    ///
    /// Partial: bytes already written stay written, and the caller does not learn how many.
    pub async fn write_all(&self, mut buf: &[u8]) -> io::Result<()> {
        let nothing = buf.is_empty().then_some(());
        let pipe = self.pipe()?;
        let written = pipe.repeat::<Writing, _, _>(nothing, move |fd, _| match write(fd, buf)? {
            n if n == buf.len() => Ok(Some(())),
            0 => Err(io::ErrorKind::WriteZero.into()),
            n => {
                buf = &buf[n..];
                Ok(None)
            }
        });
        written.await
    }

    /// Does nothing: a pipe has no buffer of ours. For code that is written for any writer.
    ///
    /// # Errors
    ///
    /// None.
    ///
    /// # Cancel safety
    ///
    /// Strict.
    pub async fn flush(&self) -> io::Result<()> {
        Ok(())
    }

    /// Closes the pipe; as [`ChildStdin::close`].
    ///
    /// # Errors
    ///
    /// None.
    ///
    /// # Cancel safety
    ///
    /// Strict: it never waits.
    pub async fn shutdown(&self) -> io::Result<()> {
        self.close();
        Ok(())
    }

    /// Waits until a write is worth trying: there is room, or nobody reads any more.
    ///
    /// # Errors
    ///
    /// If the pipe was closed, or cannot be registered.
    ///
    /// # Cancel safety
    ///
    /// Strict.
    pub async fn writable(&self) -> io::Result<()> {
        self.pipe()?.ready(Direction::Write).await
    }

    /// Writes what there is room for, without waiting.
    ///
    /// # Errors
    ///
    /// `WouldBlock` if there is none: then [`ChildStdin::writable`] waits.
    pub fn try_write(&self, buf: &[u8]) -> io::Result<usize> {
        self.pipe()?.try_io(Direction::Write, |fd| write(fd, buf))
    }
}

#[cold]
fn closed() -> io::Error {
    io::Error::new(
        io::ErrorKind::BrokenPipe,
        "the pipe to the child was closed: by `close`, or by waiting for the child's end",
    )
}

impl AsyncWrite for &ChildStdin {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let key = &mut WaitKey::last_poller();
        self.pipe()?.poll_io(Direction::Write, key, cx, |fd| write(fd, buf))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let key = &mut WaitKey::last_poller();
        self.pipe()?.poll_io(Direction::Write, key, cx, |fd| write_vectored(fd, bufs))
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.close();
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for ChildStdin {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut &*self).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut &*self).poll_write_vectored(cx, bufs)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut &*self).poll_flush(cx)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut &*self).poll_close(cx)
    }
}

impl AsRawFd for ChildStdin {
    /// Returns the descriptor's number; -1 once it was closed.
    fn as_raw_fd(&self) -> RawFd {
        self.lend();
        self.pipe.borrow().as_ref().map_or(-1, |pipe| pipe.cell().as_ref().as_fd().as_raw_fd())
    }
}

impl TryFrom<ChildStdin> for Stdio {
    type Error = io::Error;

    /// Makes the pipe the output of another command.
    fn try_from(pipe: ChildStdin) -> io::Result<Self> {
        pipe.into_owned_fd().map(Self::from)
    }
}

impl fmt::Debug for ChildStdin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChildStdin").field("closed", &self.pipe.borrow().is_none()).finish()
    }
}
