//! The writing end of a pipe.

use std::fs::File;
use std::future::Future;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::task::{Context, Poll};

use loopline_runtime::registration::{Direction, WaitKey};
use rustix::fs::OFlags;

use super::{End, into_fd, take_over};
use crate::adapter::{Adapter, Writing};
use crate::fd::held::Held;
use crate::interest::{Interest, Ready};
use crate::sys::pipes::{write, write_vectored};

/// The writing end of a pipe.
///
/// Every method takes `&self`. When nobody can read any more, writing fails with `BrokenPipe`,
/// and no SIGPIPE comes, also in a host that is not Rust's and does not ignore it.
#[derive(Debug)]
pub struct Sender {
    end: End,
}

impl Sender {
    pub(super) fn from_end(held: Held<File>) -> Self {
        let end = Adapter::one_way(held);
        // A child may have inherited it.
        end.lend();
        Self { end }
    }

    pub(super) fn end(&self) -> &End {
        &self.end
    }

    /// Takes over a file that is the writing end of a pipe, and makes it non-blocking.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if it is no pipe, or cannot be written.
    pub fn from_file(file: File) -> io::Result<Self> {
        let expected = "not open for writing: this is the reading end, make a Receiver of it";
        Ok(Self::from_end(take_over(file, OFlags::WRONLY, expected)?))
    }

    /// As [`Sender::from_file`].
    ///
    /// # Errors
    ///
    /// As [`Sender::from_file`].
    pub fn from_owned_fd(fd: OwnedFd) -> io::Result<Self> {
        Self::from_file(fd.into())
    }

    /// Takes over a file as it is. It must be non-blocking.
    ///
    /// # Errors
    ///
    /// None at present.
    pub fn from_file_unchecked(file: File) -> io::Result<Self> {
        Ok(Self::from_end(Held::as_is(file)))
    }

    /// As [`Sender::from_file_unchecked`].
    ///
    /// # Errors
    ///
    /// None at present.
    pub fn from_owned_fd_unchecked(fd: OwnedFd) -> io::Result<Self> {
        Self::from_file_unchecked(fd.into())
    }

    /// Writes from a buffer, and waits if there is no room. Returns how much was taken.
    ///
    /// # Errors
    ///
    /// `BrokenPipe` if nobody can read any more.
    ///
    /// # Cancel safety
    ///
    /// Strict: a wait that is dropped has written nothing.
    pub fn write(&self, buf: &[u8]) -> impl Future<Output = io::Result<usize>> {
        self.end.op::<Writing, _, _>(|held, _| write(held, buf))
    }

    /// Writes from several buffers; as [`Sender::write`].
    ///
    /// # Errors
    ///
    /// As [`Sender::write`].
    ///
    /// # Cancel safety
    ///
    /// Strict.
    pub fn write_vectored(&self, bufs: &[IoSlice<'_>]) -> impl Future<Output = io::Result<usize>> {
        self.end.op::<Writing, _, _>(|held, _| write_vectored(held, bufs))
    }

    /// Writes the whole buffer.
    ///
    /// # Errors
    ///
    /// As [`Sender::write`]; part of the buffer may have been written.
    ///
    /// # Cancel safety
    ///
    /// Partial: bytes already written stay written, and the caller does not learn how many.
    pub fn write_all(&self, mut buf: &[u8]) -> impl Future<Output = io::Result<()>> {
        let nothing = buf.is_empty().then_some(());
        self.end.repeat::<Writing, _, _>(nothing, move |held, _| {
            match write(held, buf)? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                n => buf = &buf[n..],
            }
            Ok(buf.is_empty().then_some(()))
        })
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

    /// Waits until a write is worth trying, and returns what is ready.
    ///
    /// # Errors
    ///
    /// If the pipe cannot be registered; `InvalidInput` for another interest than writing.
    ///
    /// # Cancel safety
    ///
    /// Strict.
    pub async fn ready(&self, interest: Interest) -> io::Result<Ready> {
        if interest != Interest::WRITABLE {
            let text = "a sender can be ready for writing alone";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        self.writable().await?;
        Ok(Ready::of(self.end.registration(), interest))
    }

    /// Waits until a write is worth trying: there is room, or nobody can read any more.
    ///
    /// # Errors
    ///
    /// If the pipe cannot be registered.
    ///
    /// # Cancel safety
    ///
    /// Strict.
    pub async fn writable(&self) -> io::Result<()> {
        self.end.ready(Direction::Write).await
    }

    /// Polls [`Sender::writable`]. Of those who poll, the last one is woken.
    ///
    /// # Errors
    ///
    /// As [`Sender::writable`].
    pub fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.end.poll_ready(Direction::Write, &mut WaitKey::last_poller(), cx)
    }

    /// Writes what there is room for, without waiting.
    ///
    /// # Errors
    ///
    /// `WouldBlock` if there is none: then [`Sender::writable`] waits.
    pub fn try_write(&self, buf: &[u8]) -> io::Result<usize> {
        self.end.try_io(Direction::Write, |held| write(held, buf))
    }

    /// Writes from several buffers, without waiting; as [`Sender::try_write`].
    ///
    /// # Errors
    ///
    /// `WouldBlock` if there is no room.
    pub fn try_write_vectored(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        self.end.try_io(Direction::Write, |held| write_vectored(held, bufs))
    }

    /// Tries an operation of the caller's on this end, without waiting. It is not called if the pipe is
    /// known to be full.
    ///
    /// # Errors
    ///
    /// What the operation returns; `WouldBlock`: [`Sender::writable`] waits.
    pub fn try_io<R>(&self, op: impl FnOnce() -> io::Result<R>) -> io::Result<R> {
        self.end.try_known(Direction::Write, |_| op())
    }

    /// Ends the registration and gives the descriptor back, blocking: for a child's standard output.
    ///
    /// # Errors
    ///
    /// If it cannot be made blocking.
    pub fn into_blocking_fd(self) -> io::Result<OwnedFd> {
        into_fd(self.end, false)
    }

    /// Ends the registration and gives the descriptor back, non-blocking.
    ///
    /// # Errors
    ///
    /// If it cannot be made non-blocking.
    pub fn into_nonblocking_fd(self) -> io::Result<OwnedFd> {
        into_fd(self.end, true)
    }
}

impl AsFd for Sender {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.end.cell().as_ref().as_fd()
    }
}

impl AsRawFd for Sender {
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}
