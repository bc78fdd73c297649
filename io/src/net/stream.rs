//! What connected byte streams share, written once: `TcpStream` and `UnixStream` differ in how they are
//! made and in what they know.
//!
//! Macros, because the methods are inherent: they stand in each type's own documentation, and need no
//! trait in scope.

use std::io::{self, IoSliceMut, Read};

use loopline_runtime::registration::{Direction, Registration};

use crate::mischief;
#[cfg(any(target_os = "linux", target_os = "android"))]
use crate::sys::receive;

/// A connected byte stream of mio's.
pub(super) trait Receives: crate::sys::Pollable + Sized {
    /// Reads. Tells also whether the read may have ended before what is there does.
    fn receive(&self, buf: &mut [u8]) -> io::Result<(usize, bool)>;

    /// As `receive`, into several buffers.
    fn receive_vectored(&self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<(usize, bool)>;
}

impl Receives for mio::net::TcpStream {
    #[inline]
    fn receive(&self, buf: &mut [u8]) -> io::Result<(usize, bool)> {
        { self }.read(buf).map(|n| (n, false))
    }

    fn receive_vectored(&self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<(usize, bool)> {
        { self }.read_vectored(bufs).map(|n| (n, false))
    }
}

/// A read ends where descriptors stand, or another's credentials, whatever is behind them. Linux tells of it.
#[cfg(any(target_os = "linux", target_os = "android"))]
impl Receives for mio::net::UnixStream {
    #[inline]
    fn receive(&self, buf: &mut [u8]) -> io::Result<(usize, bool)> {
        receive(self, &mut [IoSliceMut::new(buf)])
    }

    fn receive_vectored(&self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<(usize, bool)> {
        receive(self, bufs)
    }
}

/// As on Linux, but nothing tells of it.
#[cfg(all(unix, not(any(target_os = "linux", target_os = "android"))))]
impl Receives for mio::net::UnixStream {
    fn receive(&self, buf: &mut [u8]) -> io::Result<(usize, bool)> {
        { self }.read(buf).map(|n| (n, true))
    }

    fn receive_vectored(&self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<(usize, bool)> {
        { self }.read_vectored(bufs).map(|n| (n, true))
    }
}

/// The methods of a stream type that has a field `adapter` of a socket that reads and writes through
/// a shared reference.
macro_rules! stream {
    ($Stream:ident, $Socket:ty) => {
        impl $Stream {
            pub(crate) fn from_source(stream: $Socket) -> Self {
                Self { adapter: Adapter::new(stream).with_urgent() }
            }

            pub(crate) fn adapter(&self) -> &Adapter<$Socket> {
                &self.adapter
            }

            /// Reads into a buffer, and waits if nothing is there, also with an empty buffer. `Ok(0)`:
            /// the peer sends no more.
            ///
            /// # Errors
            ///
            /// What the system says.
            ///
            /// # Cancel safety
            ///
            /// Strict: a wait that is dropped has read nothing.
            pub fn read(&self, buf: &mut [u8]) -> impl Future<Output = io::Result<usize>> {
                self.adapter
                    .op::<Reading, _, _>(|socket, registration| read_now(socket, registration, buf))
            }

            /// Reads into several buffers; as [`Self::read`].
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
                self.adapter.op::<Reading, _, _>(|socket, registration| {
                    read_vectored_now(socket, registration, bufs)
                })
            }

            /// Fills the buffer. Returns its length.
            ///
            /// # Errors
            ///
            /// `UnexpectedEof` if the peer ends first; what was read stands in the buffer.
            ///
            /// # Cancel safety
            ///
            /// None: what was read so far is lost with the future, unless the caller keeps the buffer.
            pub fn read_exact(&self, buf: &mut [u8]) -> impl Future<Output = io::Result<usize>> {
                let mut filled = 0;
                let nothing = buf.is_empty().then_some(0);
                self.adapter.repeat::<Reading, _, _>(nothing, move |socket, registration| {
                    match read_now(socket, registration, &mut buf[filled..])? {
                        0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                        n => filled += n,
                    }
                    Ok((filled == buf.len()).then_some(filled))
                })
            }

            /// Writes from a buffer, and waits if there is no room. Returns how much was taken.
            ///
            /// # Errors
            ///
            /// What the system says.
            ///
            /// # Cancel safety
            ///
            /// Strict: a wait that is dropped has written nothing.
            pub fn write(&self, buf: &[u8]) -> impl Future<Output = io::Result<usize>> {
                self.adapter.op::<Writing, _, _>(|socket, _| send(socket, mischief::part(buf)))
            }

            /// Writes from several buffers; as [`Self::write`].
            ///
            /// # Errors
            ///
            /// What the system says.
            ///
            /// # Cancel safety
            ///
            /// Strict.
            pub fn write_vectored(
                &self,
                bufs: &[IoSlice<'_>],
            ) -> impl Future<Output = io::Result<usize>> {
                self.adapter.op::<Writing, _, _>(|socket, _| send_vectored(socket, bufs))
            }

            /// Writes the whole buffer.
            ///
            /// # Errors
            ///
            /// What the system says; part of the buffer may have been written.
            ///
            /// # Cancel safety
            ///
            /// Partial: bytes already written stay written, and the caller does not learn how many.
            pub fn write_all(&self, mut buf: &[u8]) -> impl Future<Output = io::Result<()>> {
                let nothing = buf.is_empty().then_some(());
                self.adapter.repeat::<Writing, _, _>(nothing, move |socket, _| {
                    match send(socket, mischief::part(buf))? {
                        // First: nearly every write.
                        n if n == buf.len() => Ok(Some(())),
                        0 => Err(io::ErrorKind::WriteZero.into()),
                        n => {
                            buf = &buf[n..];
                            Ok(None)
                        }
                    }
                })
            }

            /// Does nothing: a socket has no buffer of ours. For code that is written for any writer.
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

            /// Ends the sending half: the peer reads the rest and then the end. Reading goes on.
            ///
            /// # Errors
            ///
            /// What the system says. That the connection is gone already is none.
            ///
            /// # Cancel safety
            ///
            /// Strict: it never waits.
            pub async fn shutdown(&self) -> io::Result<()> {
                match self.shutdown_half(Shutdown::Write) {
                    // The peer has reset the connection: nothing is left to end.
                    Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(()),
                    result => result,
                }
            }

            /// Ends one half or both, at once.
            ///
            /// # Errors
            ///
            /// What the system says.
            pub fn shutdown_half(&self, how: Shutdown) -> io::Result<()> {
                self.adapter.cell().get().shutdown(how)
            }

            /// As [`Self::readable`], for code that polls. Only the last task to poll is woken.
            ///
            /// # Errors
            ///
            /// If the socket cannot be registered.
            pub fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                self.adapter.poll_ready(Direction::Read, &mut WaitKey::last_poller(), cx)
            }

            /// As [`Self::writable`], for code that polls. Only the last task to poll is woken.
            ///
            /// # Errors
            ///
            /// If the socket cannot be registered.
            pub fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                self.adapter.poll_ready(Direction::Write, &mut WaitKey::last_poller(), cx)
            }

            /// Reads what is there, without waiting.
            ///
            /// # Errors
            ///
            /// `WouldBlock` if nothing is there: then [`Self::readable`] waits.
            pub fn try_read(&self, buf: &mut [u8]) -> io::Result<usize> {
                let registration = self.adapter.registration();
                self.adapter.try_io(Direction::Read, |socket| read_now(socket, registration, buf))
            }

            /// Reads into several buffers, without waiting; as [`Self::try_read`].
            ///
            /// # Errors
            ///
            /// `WouldBlock` if nothing is there.
            pub fn try_read_vectored(&self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
                let registration = self.adapter.registration();
                self.adapter
                    .try_io(Direction::Read, |socket| read_vectored_now(socket, registration, bufs))
            }

            /// Writes what there is room for, without waiting.
            ///
            /// # Errors
            ///
            /// `WouldBlock` if there is none: then [`Self::writable`] waits.
            pub fn try_write(&self, buf: &[u8]) -> io::Result<usize> {
                self.adapter.try_io(Direction::Write, |socket| send(socket, mischief::part(buf)))
            }

            /// Writes from several buffers, without waiting; as [`Self::try_write`].
            ///
            /// # Errors
            ///
            /// `WouldBlock` if there is no room.
            pub fn try_write_vectored(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
                self.adapter.try_io(Direction::Write, |socket| send_vectored(socket, bufs))
            }
        }
    };
}

pub(super) use stream;

/// Reads, and notes a short read that emptied the socket: the next read would block.
#[inline]
pub(super) fn read_now(
    socket: &impl Receives,
    registration: &Registration,
    buf: &mut [u8],
) -> io::Result<usize> {
    let buf = mischief::part_mut(buf);
    let (n, is_cut) = socket.receive(buf)?;
    note_read(registration, n, buf.len(), is_cut);
    Ok(n)
}

/// As `read_now`, into several buffers.
pub(super) fn read_vectored_now(
    socket: &impl Receives,
    registration: &Registration,
    bufs: &mut [IoSliceMut<'_>],
) -> io::Result<usize> {
    let (n, is_cut) = socket.receive_vectored(bufs)?;
    note_read(registration, n, bufs.iter().map(|buf| buf.len()).sum(), is_cut);
    Ok(n)
}

/// A short read saves the system call that would only say WouldBlock. Not where mio has to see
/// it (Windows, poll(2)). The closed bits stay: end-of-file brings no second event.
#[inline]
fn note_read(registration: &Registration, n: usize, wanted: usize, is_cut: bool) {
    // Not zero: that is the end. Less one, both are one comparison.
    if n.wrapping_sub(1) < wanted.wrapping_sub(1)
        && SHORT_READ_EMPTIES
        && !is_cut
        // A read ends where urgent data stands, whatever is behind that.
        && !registration.open().has(Direction::Priority)
    {
        registration.clear_open(Direction::Read);
    }
}

/// Whether the poller brings a new event after a short read: epoll and kqueue.
const SHORT_READ_EMPTIES: bool = cfg!(any(
    target_os = "linux",
    target_os = "android",
    target_os = "macos",
    target_os = "ios",
    target_os = "freebsd",
    target_os = "netbsd",
    target_os = "openbsd",
    target_os = "dragonfly",
));
