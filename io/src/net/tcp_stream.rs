//! `TcpStream`: one connection, used through `&self`.

use std::future::Future;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::net::{Shutdown, SocketAddr};

use loopline_runtime::registration::{Direction, Registration};

use super::addr::{ToAddrs, resolve};
use super::connect;
use crate::adapter::{Adapter, Reading, Writing};

/// A TCP connection.
///
/// Every method takes `&self`, so one task can read while another writes, through an
/// [`Rc`](std::rc::Rc) or a plain reference. The extension traits of other crates are implemented for
/// `&TcpStream` too; where one is in scope, pass `&TcpStream`, not `&mut`.
///
/// # Examples
///
/// ```no_run
/// # async fn example() -> std::io::Result<()> {
/// use loopline_io::net::TcpStream;
///
/// let stream = TcpStream::connect("127.0.0.1:7000").await?;
/// stream.write_all(b"hello\n").await?;
/// let mut line = [0; 6];
/// stream.read_exact(&mut line).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct TcpStream {
    adapter: Adapter<mio::net::TcpStream>,
}

impl TcpStream {
    /// Connects to an address; of several, to the first that answers.
    ///
    /// A host name is looked up on a thread. Several addresses are tried in order, IPv6 and IPv4 in
    /// turns; one that has not answered after 250 ms is joined by the next, as one that fails is at once
    /// (RFC 8305). The first connection wins, and the others are closed.
    ///
    /// There is no limit in time but the system's: put it into a
    /// [`timeout`](loopline_runtime::time::timeout).
    ///
    /// # Errors
    ///
    /// What the system says of the addresses: the last refusal of a peer, or if none was reached, why.
    /// What [`lookup_host`](super::lookup_host()) says of a host name.
    ///
    /// # Cancel safety
    ///
    /// Strict: connections under way are closed.
    pub async fn connect(addr: impl ToAddrs) -> io::Result<Self> {
        connect::connect(resolve(&addr).await?).await
    }

    pub(super) async fn connect_one(addr: SocketAddr) -> io::Result<Self> {
        // Interrupted by a signal or not, the connection goes on by itself once the call was made.
        let adapter = Adapter::unready(mio::net::TcpStream::connect(addr)?);
        let connected = adapter.op::<Writing, _, _>(|socket, _| {
            // Writable is a hint; only these two calls know.
            if let Some(error) = socket.take_error()? {
                return Err(error);
            }
            match socket.peer_addr() {
                Ok(_) => Ok(()),
                Err(error) if is_not_connected(&error) => Err(io::ErrorKind::WouldBlock.into()),
                Err(error) => Err(error),
            }
        });
        connected.await?;
        adapter.registration().assume_ready();
        Ok(Self { adapter })
    }

    /// Takes over a stream of the standard library, and makes it non-blocking.
    ///
    /// # Errors
    ///
    /// If it cannot be made non-blocking.
    pub fn from_std(stream: std::net::TcpStream) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        let this = Self::from_mio(mio::net::TcpStream::from_std(stream));
        // It may have been duplicated before.
        this.adapter.lend();
        Ok(this)
    }

    pub(crate) fn from_mio(stream: mio::net::TcpStream) -> Self {
        Self { adapter: Adapter::new(stream) }
    }

    pub(crate) fn adapter(&self) -> &Adapter<mio::net::TcpStream> {
        &self.adapter
    }

    /// Ends the registration and returns the stream, still non-blocking.
    ///
    /// # Errors
    ///
    /// None at present.
    pub fn into_std(self) -> io::Result<std::net::TcpStream> {
        self.adapter.into_inner().map(Into::into)
    }

    /// Reads into a buffer, and waits if nothing is there, also with an empty buffer. `Ok(0)`: the peer
    /// sends no more.
    ///
    /// # Errors
    ///
    /// What the system says.
    ///
    /// # Cancel safety
    ///
    /// Strict: a wait that is dropped has read nothing.
    pub fn read(&self, buf: &mut [u8]) -> impl Future<Output = io::Result<usize>> {
        self.adapter.op::<Reading, _, _>(|socket, registration| read_now(socket, registration, buf))
    }

    /// Reads into several buffers; as [`TcpStream::read`].
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

    /// Reads without taking: the next read finds the same bytes.
    ///
    /// # Errors
    ///
    /// What the system says.
    ///
    /// # Cancel safety
    ///
    /// Strict.
    pub fn peek(&self, buf: &mut [u8]) -> impl Future<Output = io::Result<usize>> {
        self.adapter.op::<Reading, _, _>(|socket, _| socket.peek(buf))
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
        self.adapter.op::<Writing, _, _>(|mut socket, _| socket.write(buf))
    }

    /// Writes from several buffers; as [`TcpStream::write`].
    ///
    /// # Errors
    ///
    /// What the system says.
    ///
    /// # Cancel safety
    ///
    /// Strict.
    pub fn write_vectored(&self, bufs: &[IoSlice<'_>]) -> impl Future<Output = io::Result<usize>> {
        self.adapter.op::<Writing, _, _>(|mut socket, _| socket.write_vectored(bufs))
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
        self.adapter.repeat::<Writing, _, _>(nothing, move |mut socket, _| {
            match socket.write(buf)? {
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
}

/// Reads, and notes a short read: the socket was emptied, so the next read would block.
#[inline]
pub(super) fn read_now(
    mut socket: &mio::net::TcpStream,
    registration: &Registration,
    buf: &mut [u8],
) -> io::Result<usize> {
    let n = socket.read(buf)?;
    note_read(registration, n, buf.len());
    Ok(n)
}

/// As `read_now`, into several buffers.
pub(super) fn read_vectored_now(
    mut socket: &mio::net::TcpStream,
    registration: &Registration,
    bufs: &mut [IoSliceMut<'_>],
) -> io::Result<usize> {
    let n = socket.read_vectored(bufs)?;
    note_read(registration, n, bufs.iter().map(|buf| buf.len()).sum());
    Ok(n)
}

/// A short read saves the system call that would only say WouldBlock. Not where mio has to see
/// it (Windows, poll(2)). The closed bits stay: end-of-file brings no second event.
#[inline]
fn note_read(registration: &Registration, n: usize, wanted: usize) {
    // Not zero: that is the end. Less one, both are one comparison.
    if SHORT_READ_EMPTIES && n.wrapping_sub(1) < wanted.wrapping_sub(1) {
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

fn is_not_connected(error: &io::Error) -> bool {
    #[cfg(unix)]
    if error.raw_os_error() == Some(libc::EINPROGRESS) {
        return true;
    }
    error.kind() == io::ErrorKind::NotConnected
}

#[cfg(unix)]
impl std::os::fd::AsFd for TcpStream {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.adapter.lend();
        self.adapter.cell().as_ref().as_fd()
    }
}

#[cfg(unix)]
impl std::os::fd::AsRawFd for TcpStream {
    fn as_raw_fd(&self) -> std::os::fd::RawFd {
        use std::os::fd::AsFd;
        self.as_fd().as_raw_fd()
    }
}

impl TryFrom<std::net::TcpStream> for TcpStream {
    type Error = io::Error;

    /// As [`TcpStream::from_std`].
    fn try_from(stream: std::net::TcpStream) -> io::Result<Self> {
        Self::from_std(stream)
    }
}
