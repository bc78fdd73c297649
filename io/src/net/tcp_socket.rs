//! `TcpSocket`: a socket that is not connected yet and does not listen, for options that come first.

use std::io;
use std::net::SocketAddr;

use socket2::{Domain, Protocol, Socket, Type};

use super::{TcpListener, TcpStream};

/// A TCP socket before it connects or listens: options that must be set first. Feature `socket`.
///
/// [`TcpStream::connect`] and [`TcpListener::bind`] do for most.
///
/// # Examples
///
/// ```
/// # fn main() -> std::io::Result<()> {
/// use loopline_io::net::TcpSocket;
///
/// # loopline_runtime::EventLoop::<()>::new()?.block_on(async {
/// let socket = TcpSocket::new_v4()?;
/// socket.set_reuseaddr(true)?;
/// socket.set_recv_buffer_size(64 * 1024)?;
/// socket.bind("127.0.0.1:0".parse().unwrap())?;
/// let listener = socket.listen(1024)?;
///
/// let stream = TcpSocket::new_v4()?.connect(listener.local_addr()?).await?;
/// # Ok(())
/// # })?
/// # }
/// ```
#[derive(Debug)]
pub struct TcpSocket {
    socket: Socket,
}

impl TcpSocket {
    /// Makes a socket for IPv4.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn new_v4() -> io::Result<Self> {
        Self::new(Domain::IPV4)
    }

    /// Makes a socket for IPv6.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn new_v6() -> io::Result<Self> {
        Self::new(Domain::IPV6)
    }

    fn new(domain: Domain) -> io::Result<Self> {
        let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
        socket.set_nonblocking(true)?;
        Ok(Self { socket })
    }

    /// Takes a socket of the standard library that is *not* connected yet, made elsewhere, and makes it
    /// non-blocking.
    ///
    /// # Errors
    ///
    /// If it cannot be made non-blocking.
    pub fn from_std_stream(stream: std::net::TcpStream) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        Ok(Self { socket: stream.into() })
    }

    pub(super) fn with_socket<R>(&self, f: impl FnOnce(&Socket) -> R) -> R {
        f(&self.socket)
    }

    /// Binds it to an address; port 0 lets the system choose one.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn bind(&self, addr: SocketAddr) -> io::Result<()> {
        self.socket.bind(&addr.into())
    }

    /// Connects to an address. There is no limit in time but the system's.
    ///
    /// # Errors
    ///
    /// What the system says.
    ///
    /// # Cancel safety
    ///
    /// Strict: a connection under way is closed.
    pub async fn connect(self, addr: SocketAddr) -> io::Result<TcpStream> {
        match self.socket.connect(&addr.into()) {
            Err(error) if !goes_on(&error) => return Err(error),
            _ => {}
        }
        TcpStream::connected(mio::net::TcpStream::from_std(self.socket.into())).await
    }

    /// Listens, with a queue for so many connections that wait to be accepted.
    ///
    /// # Errors
    ///
    /// What the system says, such as that the address is in use.
    pub fn listen(self, backlog: u32) -> io::Result<TcpListener> {
        self.socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
        Ok(TcpListener::from_source(mio::net::TcpListener::from_std(self.socket.into())))
    }

    /// Returns the address it is bound to.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        let addr = self.socket.local_addr()?;
        addr.as_socket().ok_or_else(|| io::Error::other("the socket has no IP address"))
    }

    /// Returns and clears the socket's pending error.
    ///
    /// # Errors
    ///
    /// If it cannot be read.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.socket.take_error()
    }
}

/// Whether an error of connect(2) says that the connection is under way.
pub(super) fn goes_on(error: &io::Error) -> bool {
    #[cfg(unix)]
    {
        // Interrupted by a signal, it goes on by itself.
        matches!(error.raw_os_error(), Some(libc::EINPROGRESS | libc::EINTR))
    }
    #[cfg(not(unix))]
    {
        error.kind() == io::ErrorKind::WouldBlock
    }
}

#[cfg(unix)]
impl std::os::fd::AsFd for TcpSocket {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

#[cfg(unix)]
impl std::os::fd::AsRawFd for TcpSocket {
    fn as_raw_fd(&self) -> std::os::fd::RawFd {
        self.socket.as_raw_fd()
    }
}
