//! `UnixSocket`: a Unix socket before it connects, listens or receives, for options that come first.

use std::io;
use std::path::Path;

use socket2::{Domain, SockAddr, Socket, Type};

use super::unix_addr::address;
use super::{UnixDatagram, UnixListener, UnixStream};

/// A Unix socket before it connects, listens or receives: options and addresses that must be set first.
/// Unix only. Feature `socket`.
///
/// [`UnixStream::connect`], [`UnixListener::bind`] and [`UnixDatagram::bind`] do for most. Paths are as
/// theirs.
#[derive(Debug)]
pub struct UnixSocket {
    socket: Socket,
    kind: Type,
}

impl UnixSocket {
    /// Makes a socket for streams.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn new_stream() -> io::Result<Self> {
        Self::new(Type::STREAM)
    }

    /// Makes a socket for datagrams.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn new_datagram() -> io::Result<Self> {
        Self::new(Type::DGRAM)
    }

    fn new(kind: Type) -> io::Result<Self> {
        let socket = Socket::new(Domain::UNIX, kind, None)?;
        socket.set_nonblocking(true)?;
        Ok(Self { socket, kind })
    }

    pub(super) fn with_socket<R>(&self, f: impl FnOnce(&Socket) -> R) -> R {
        f(&self.socket)
    }

    /// Binds it to a path, and makes its file.
    ///
    /// # Errors
    ///
    /// As [`UnixListener::bind`].
    pub fn bind(&self, path: impl AsRef<Path>) -> io::Result<()> {
        self.socket.bind(&native(path.as_ref())?)
    }

    /// Listens, with a queue for so many connections that wait to be accepted.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for a socket for datagrams. What the system says.
    pub fn listen(self, backlog: u32) -> io::Result<UnixListener> {
        self.must_be(Type::STREAM, "listen")?;
        self.socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
        let listener = std::os::unix::net::UnixListener::from(self.socket);
        Ok(UnixListener::from_source(mio::net::UnixListener::from_std(listener)))
    }

    /// Connects to a path.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for a socket for datagrams; `WouldBlock` if the listener's queue is full. As
    /// [`UnixStream::connect`].
    ///
    /// # Cancel safety
    ///
    /// Strict: a connection under way is closed.
    pub async fn connect(self, path: impl AsRef<Path>) -> io::Result<UnixStream> {
        self.must_be(Type::STREAM, "connect")?;
        match self.socket.connect(&native(path.as_ref())?) {
            Err(error) if !super::tcp_socket::goes_on(&error) => return Err(error),
            _ => {}
        }
        let stream = std::os::unix::net::UnixStream::from(self.socket);
        UnixStream::connected(mio::net::UnixStream::from_std(stream)).await
    }

    /// Makes it a socket for datagrams, bound or not.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for a socket for streams.
    pub fn datagram(self) -> io::Result<UnixDatagram> {
        self.must_be(Type::DGRAM, "datagram")?;
        Ok(UnixDatagram::from_source(self.socket.into()))
    }

    fn must_be(&self, kind: Type, what: &str) -> io::Result<()> {
        if self.kind == kind {
            return Ok(());
        }
        let other = if kind == Type::STREAM { "new_stream" } else { "new_datagram" };
        let text = format!("`{what}` is for a socket of `UnixSocket::{other}`");
        Err(io::Error::new(io::ErrorKind::InvalidInput, text))
    }
}

/// The address as socket2 has it; what is wrong with the path is said as everywhere.
fn native(path: &Path) -> io::Result<SockAddr> {
    address(path)?;
    SockAddr::unix(path)
}
