//! The reading end of a pipe.

use std::fs::File;
use std::future::Future;
use std::io::{self, IoSliceMut, Read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::task::{Context, Poll};

use loopline_runtime::registration::{Direction, WaitKey};
use rustix::fs::OFlags;

use super::{End, into_fd, take_over};
use crate::adapter::{Adapter, Reading};
use crate::fd::held::Held;
use crate::interest::{Interest, Ready};
use crate::sys::loop_runs_here;

/// The reading end of a pipe.
///
/// Every method takes `&self`. Reading waits for the first sender, and gives `Ok(0)` when nobody can write
/// any more; of a FIFO another sender may come after that.
#[derive(Debug)]
pub struct Receiver {
    end: End,
}

impl Receiver {
    /// Takes an end that nothing is believed of: of a FIFO that had no sender yet the system says the end,
    /// if it is read, but tells of nothing, if it is waited for.
    pub(super) fn from_end(held: Held<File>) -> io::Result<Self> {
        let end = Adapter::one_way(held);
        // A child may have inherited it.
        end.lend();
        end.registration().clear(Direction::Read);
        if loop_runs_here() {
            end.join(Direction::Read)?;
        }
        Ok(Self { end })
    }

    pub(super) fn end(&self) -> &End {
        &self.end
    }

    /// Takes over a file that is the reading end of a pipe, and makes it non-blocking.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if it is no pipe, or cannot be read.
    pub fn from_file(file: File) -> io::Result<Self> {
        let expected = "not open for reading: this is the writing end, make a Sender of it";
        Self::from_end(take_over(file, OFlags::RDONLY, expected)?)
    }

    /// As [`Receiver::from_file`].
    ///
    /// # Errors
    ///
    /// As [`Receiver::from_file`].
    pub fn from_owned_fd(fd: OwnedFd) -> io::Result<Self> {
        Self::from_file(fd.into())
    }

    /// Takes over a file as it is. It must be non-blocking.
    ///
    /// # Errors
    ///
    /// If it cannot be polled, or is registered with the running loop already.
    pub fn from_file_unchecked(file: File) -> io::Result<Self> {
        Self::from_end(Held::as_is(file))
    }

    /// As [`Receiver::from_file_unchecked`].
    ///
    /// # Errors
    ///
    /// If it cannot be polled, or is registered with the running loop already.
    pub fn from_owned_fd_unchecked(fd: OwnedFd) -> io::Result<Self> {
        Self::from_file_unchecked(fd.into())
    }

    /// Reads into a buffer, and waits if nothing is there. `Ok(0)`: nobody can write any more.
    ///
    /// # Errors
    ///
    /// What the system says.
    ///
    /// # Cancel safety
    ///
    /// Strict: a wait that is dropped has read nothing.
    pub fn read(&self, buf: &mut [u8]) -> impl Future<Output = io::Result<usize>> {
        self.end.op::<Reading, _, _>(|held, _| held.fd().read(buf))
    }

    /// Reads into several buffers; as [`Receiver::read`].
    ///
    /// # Errors
    ///
    /// What the system says.
    ///
    /// # Cancel safety
    ///
    /// Strict.
    pub fn read_vectored(
        &self,
        bufs: &mut [IoSliceMut<'_>],
    ) -> impl Future<Output = io::Result<usize>> {
        self.end.op::<Reading, _, _>(|held, _| held.fd().read_vectored(bufs))
    }

    /// Fills the buffer. Returns its length.
    ///
    /// # Errors
    ///
    /// `UnexpectedEof` if the pipe ends first; what was read stands in the buffer.
    ///
    /// # Cancel safety
    ///
    /// None: what was read so far is lost with the future, unless the caller keeps the buffer.
    pub fn read_exact(&self, buf: &mut [u8]) -> impl Future<Output = io::Result<usize>> {
        let mut filled = 0;
        let nothing = buf.is_empty().then_some(0);
        self.end.repeat::<Reading, _, _>(nothing, move |held, _| {
            match held.fd().read(&mut buf[filled..])? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                n => filled += n,
            }
            Ok((filled == buf.len()).then_some(filled))
        })
    }

    /// Waits until a read is worth trying, and returns what is ready.
    ///
    /// # Errors
    ///
    /// If the pipe cannot be registered; `InvalidInput` for another interest than reading.
    ///
    /// # Cancel safety
    ///
    /// Strict.
    pub async fn ready(&self, interest: Interest) -> io::Result<Ready> {
        if interest != Interest::READABLE {
            let text = "a receiver can be ready for reading alone";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        self.readable().await?;
        Ok(Ready::of(self.end.registration(), interest))
    }

    /// Waits until a read is worth trying: something is there, or nobody can write any more.
    ///
    /// # Errors
    ///
    /// If the pipe cannot be registered.
    ///
    /// # Cancel safety
    ///
    /// Strict.
    pub async fn readable(&self) -> io::Result<()> {
        self.end.ready(Direction::Read).await
    }

    /// Polls [`Receiver::readable`]. Of those who poll, the last one is woken.
    ///
    /// # Errors
    ///
    /// As [`Receiver::readable`].
    pub fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.end.poll_ready(Direction::Read, &mut WaitKey::last_poller(), cx)
    }

    /// Reads what is there, without waiting.
    ///
    /// # Errors
    ///
    /// `WouldBlock` if nothing is there: then [`Receiver::readable`] waits.
    pub fn try_read(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.end.try_io(Direction::Read, |held| held.fd().read(buf))
    }

    /// Reads into several buffers, without waiting; as [`Receiver::try_read`].
    ///
    /// # Errors
    ///
    /// `WouldBlock` if nothing is there.
    pub fn try_read_vectored(&self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        self.end.try_io(Direction::Read, |held| held.fd().read_vectored(bufs))
    }

    /// Reads what is there, without waiting, into the room that a buffer has. Feature `tokio-io`.
    ///
    /// # Errors
    ///
    /// `WouldBlock` if nothing is there: then [`Receiver::readable`] waits.
    #[cfg(feature = "tokio-io")]
    pub fn try_read_buf<B: bytes::BufMut>(&self, buf: &mut B) -> io::Result<usize> {
        let read = |slice: &mut [u8]| self.end.cell().get().fd().read(slice);
        self.end.try_io(Direction::Read, |_| crate::scratch::fill(buf, read))
    }

    /// Tries an operation of the caller's on this end, without waiting. It is not called if the pipe is
    /// known to be empty.
    ///
    /// # Errors
    ///
    /// What the operation returns; `WouldBlock`: [`Receiver::readable`] waits.
    pub fn try_io<R>(&self, op: impl FnOnce() -> io::Result<R>) -> io::Result<R> {
        self.end.try_known(Direction::Read, |_| op())
    }

    /// Ends the registration and gives the descriptor back, blocking: for a child's standard input.
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

impl AsFd for Receiver {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.end.cell().as_ref().as_fd()
    }
}

impl AsRawFd for Receiver {
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}
