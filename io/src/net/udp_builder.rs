//! `UdpBuilder`: a UDP socket before it is bound, for options that come first.

use std::io;
use std::net::SocketAddr;

use socket2::{Domain, Protocol, Socket, Type};

use super::UdpSocket;

/// A UDP socket before it is bound: options that must be set first. Feature `socket`.
///
/// [`UdpSocket::bind`] does for most.
///
/// # Examples
///
/// ```
/// use loopline_io::net::UdpBuilder;
///
/// let builder = UdpBuilder::new_v4()?;
/// builder.set_reuseaddr(true)?;
/// builder.set_recv_buffer_size(1 << 20)?;
/// let socket = builder.bind("127.0.0.1:0".parse().unwrap())?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct UdpBuilder {
    socket: Socket,
}

impl UdpBuilder {
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
        let socket = Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))?;
        socket.set_nonblocking(true)?;
        Ok(Self { socket })
    }

    pub(super) fn with_socket<R>(&self, f: impl FnOnce(&Socket) -> R) -> R {
        f(&self.socket)
    }

    /// Binds it to an address; port 0 lets the system choose one.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn bind(self, addr: SocketAddr) -> io::Result<UdpSocket> {
        self.socket.bind(&addr.into())?;
        Ok(UdpSocket::from_source(mio::net::UdpSocket::from_std(self.socket.into())))
    }
}
