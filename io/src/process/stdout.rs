//! The pipes from a child.

use std::io::{self, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::pin::Pin;
use std::process::Stdio;
use std::task::{Context, Poll};

use futures_io::AsyncRead;
use loopline_runtime::registration::{Direction, WaitKey};
use rustix::buffer::spare_capacity;

use crate::adapter::{Adapter, Reading};

/// The room that is made for a read to the end, where there is little.
const CHUNK: usize = 8 * 1024;

pub(super) fn set_nonblocking(fd: &OwnedFd, nonblocking: bool) -> io::Result<()> {
    Ok(rustix::io::ioctl_fionbio(fd, nonblocking)?)
}

fn read_now(fd: &OwnedFd, buf: &mut [u8]) -> io::Result<usize> {
    Ok(rustix::io::read(fd, buf)?)
}

fn read_vectored_now(fd: &OwnedFd, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
    Ok(rustix::io::readv(fd, bufs)?)
}

/// Reads behind what the vector has.
fn read_more(fd: &OwnedFd, buf: &mut Vec<u8>) -> io::Result<usize> {
    if buf.capacity() - buf.len() < CHUNK / 4 {
        buf.reserve(CHUNK);
    }
    Ok(rustix::io::read(fd, spare_capacity(buf))?)
}

macro_rules! reading_end {
    ($(#[$about:meta])* $name:ident) => {
        $(#[$about])*
        ///
        /// Every method takes `&self`. It ends when the last process that holds the other end has closed
        /// it: a child's child may hold it longer than the child.
        #[derive(Debug)]
        pub struct $name {
            pipe: Adapter<OwnedFd>,
        }

        impl $name {
            /// Takes a pipe that nobody else has.
            pub(super) fn own(pipe: std::process::$name) -> io::Result<Self> {
                let fd = OwnedFd::from(pipe);
                set_nonblocking(&fd, true)?;
                Ok(Self { pipe: Adapter::new(fd) })
            }

            /// Takes over a pipe of the standard library, and makes it non-blocking.
            ///
            /// # Errors
            ///
            /// If it cannot be made so.
            pub fn from_std(pipe: std::process::$name) -> io::Result<Self> {
                let this = Self::own(pipe)?;
                this.lend();
                Ok(this)
            }

            /// Notes that the descriptor may have been duplicated.
            pub(super) fn lend(&self) {
                self.pipe.lend();
            }

            /// Ends the registration and returns the descriptor, blocking again.
            ///
            /// # Errors
            ///
            /// If it cannot be made blocking.
            pub fn into_owned_fd(self) -> io::Result<OwnedFd> {
                let fd = self.pipe.into_inner()?;
                set_nonblocking(&fd, false)?;
                Ok(fd)
            }

            /// Reads into a buffer, and waits if nothing is there. `Ok(0)`: the end.
            ///
            /// # Errors
            ///
            /// What the system says.
            ///
            /// # Cancel safety
            ///
            /// Strict: a wait that is dropped has read nothing.
            pub async fn read(&self, buf: &mut [u8]) -> io::Result<usize> {
                self.pipe.op::<Reading, _, _>(|fd, _| read_now(fd, buf)).await
            }

            /// Reads into several buffers; as `read`.
            ///
            /// # Errors
            ///
            /// What the system says.
            ///
            /// # Cancel safety
            ///
            /// Strict.
            pub async fn read_vectored(&self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
                self.pipe.op::<Reading, _, _>(|fd, _| read_vectored_now(fd, bufs)).await
            }

            /// Fills the buffer. Returns its length.
            ///
            /// # Errors
            ///
            /// `UnexpectedEof` if the end comes first; what was read stands in the buffer.
            ///
            /// # Cancel safety
            ///
            /// None: what was read so far is lost with the future, unless the caller keeps the buffer.
            pub async fn read_exact(&self, buf: &mut [u8]) -> io::Result<usize> {
                let mut filled = 0;
                let nothing = buf.is_empty().then_some(0);
                let read = self.pipe.repeat::<Reading, _, _>(nothing, move |fd, _| {
                    match read_now(fd, &mut buf[filled..])? {
                        0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                        n => filled += n,
                    }
                    Ok((filled == buf.len()).then_some(filled))
                });
                read.await
            }

            /// Reads until the end, behind what the buffer has. Returns how much was read.
            ///
            /// # Errors
            ///
            /// What the system says; what was read before is in the buffer.
            ///
            /// # Cancel safety
            ///
            /// Strict: what was read is in the buffer, and reading can be taken up again.
            pub async fn read_to_end(&self, buf: &mut Vec<u8>) -> io::Result<usize> {
                let before = buf.len();
                let read = self.pipe.repeat::<Reading, _, _>(None, move |fd, _| {
                    let ended = read_more(fd, buf)? == 0;
                    Ok(ended.then(|| buf.len() - before))
                });
                read.await
            }

            /// Reads text until the end, behind what the buffer has. Returns how many bytes were read.
            ///
            /// # Errors
            ///
            /// `InvalidData` if it is not UTF-8, what the system says; the buffer is then as it was.
            ///
            /// # Cancel safety
            ///
            /// None: what was read is lost.
            pub async fn read_to_string(&self, buf: &mut String) -> io::Result<usize> {
                let mut bytes = Vec::new();
                self.read_to_end(&mut bytes).await?;
                let text = String::from_utf8(bytes);
                let text = text.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
                buf.push_str(&text);
                Ok(text.len())
            }

            /// Waits until a read is worth trying: something is there, or the end.
            ///
            /// # Errors
            ///
            /// If the pipe cannot be registered.
            ///
            /// # Cancel safety
            ///
            /// Strict.
            pub async fn readable(&self) -> io::Result<()> {
                self.pipe.ready(Direction::Read).await
            }

            /// Reads what is there, without waiting.
            ///
            /// # Errors
            ///
            /// `WouldBlock` if nothing is there: then `readable` waits.
            pub fn try_read(&self, buf: &mut [u8]) -> io::Result<usize> {
                self.pipe.try_io(Direction::Read, |fd| read_now(fd, buf))
            }
        }

        impl AsyncRead for &$name {
            fn poll_read(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buf: &mut [u8],
            ) -> Poll<io::Result<usize>> {
                let key = &mut WaitKey::last_poller();
                self.pipe.poll_io(Direction::Read, key, cx, |fd| read_now(fd, buf))
            }

            fn poll_read_vectored(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                bufs: &mut [IoSliceMut<'_>],
            ) -> Poll<io::Result<usize>> {
                let key = &mut WaitKey::last_poller();
                self.pipe.poll_io(Direction::Read, key, cx, |fd| read_vectored_now(fd, bufs))
            }
        }

        impl AsyncRead for $name {
            fn poll_read(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buf: &mut [u8],
            ) -> Poll<io::Result<usize>> {
                Pin::new(&mut &*self).poll_read(cx, buf)
            }

            fn poll_read_vectored(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                bufs: &mut [IoSliceMut<'_>],
            ) -> Poll<io::Result<usize>> {
                Pin::new(&mut &*self).poll_read_vectored(cx, bufs)
            }
        }

        impl AsFd for $name {
            fn as_fd(&self) -> BorrowedFd<'_> {
                self.pipe.lend();
                self.pipe.cell().as_ref().as_fd()
            }
        }

        impl AsRawFd for $name {
            fn as_raw_fd(&self) -> RawFd {
                self.as_fd().as_raw_fd()
            }
        }

        impl TryFrom<$name> for Stdio {
            type Error = io::Error;

            /// Makes the pipe the input of another command.
            fn try_from(pipe: $name) -> io::Result<Self> {
                pipe.into_owned_fd().map(Self::from)
            }
        }
    };
}

reading_end! {
    /// The pipe from a child's standard output.
    ChildStdout
}

reading_end! {
    /// The pipe from a child's standard error.
    ChildStderr
}
