//! `UdpSocket`: datagrams over IP.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::task::{Context, Poll};

use loopline_runtime::registration::{Direction, WaitKey};

use super::addr::{ToAddrs, first, one, resolve};
use super::datagram::datagram;
use super::readiness::{descriptor, readiness};
use crate::adapter::{Adapter, Reading, Writing};

/// A UDP socket.
///
/// Every method takes `&self`, so one task can receive while another sends. An empty datagram is data
/// like any other: `Ok(0)` is no end.
///
/// # Truncation
///
/// A datagram longer than the buffer is cut, and its rest lost. On Unix the system says so only to who
/// asks: `UdpSocket::recv_msg`, with the feature `socket`, tells. Without it, take a buffer one byte
/// longer than the longest datagram expected: one that fills it was too long. 65,535 bytes hold any. On
/// Windows, receiving a datagram that was cut is an error.
///
/// # Examples
///
/// ```
/// # fn main() -> std::io::Result<()> {
/// use loopline_io::net::UdpSocket;
///
/// # loopline_runtime::EventLoop::<()>::new()?.block_on(async {
/// let server = UdpSocket::bind("127.0.0.1:0").await?;
/// let client = UdpSocket::bind("127.0.0.1:0").await?;
/// client.connect(server.local_addr()?).await?;
/// client.send(b"ping").await?;
///
/// let mut buf = [0; 1500];
/// let (n, peer) = server.recv_from(&mut buf).await?;
/// server.send_to(&buf[..n], peer).await?;
/// assert_eq!(client.recv(&mut buf).await?, 4);
/// # Ok(())
/// # })?
/// # }
/// ```
///
/// It stays on its thread:
///
/// ```compile_fail,E0277
/// fn is_send<T: Send>() {}
/// is_send::<loopline_io::net::UdpSocket>();
/// ```
///
/// ```
/// fn is_any<T>() {}
/// is_any::<loopline_io::net::UdpSocket>();
/// ```
#[derive(Debug)]
pub struct UdpSocket {
    adapter: Adapter<mio::net::UdpSocket>,
}

impl UdpSocket {
    /// Binds a socket to an address; port 0 lets the system choose one.
    ///
    /// # Errors
    ///
    /// What the system says of the last address tried, or [`lookup_host`](super::lookup_host()) of a
    /// host name.
    ///
    /// # Cancel safety
    ///
    /// Strict: it waits only for the lookup of a host name.
    pub async fn bind(addr: impl ToAddrs) -> io::Result<Self> {
        first(resolve(&addr).await?, mio::net::UdpSocket::bind).map(Self::from_source)
    }

    pub(super) fn from_source(socket: mio::net::UdpSocket) -> Self {
        Self { adapter: Adapter::new(socket) }
    }

    pub(super) fn adapter(&self) -> &Adapter<mio::net::UdpSocket> {
        &self.adapter
    }

    /// Sets the peer: who [`Self::send`] sends to, and the only one that is received from. Of several
    /// addresses, the first that the system takes.
    ///
    /// Nothing is sent: whether anybody is there shows later, as an error of sending or receiving.
    ///
    /// # Errors
    ///
    /// What the system says of the last address tried, or [`lookup_host`](super::lookup_host()) of a
    /// host name.
    ///
    /// # Cancel safety
    ///
    /// Strict: it waits only for the lookup of a host name.
    pub async fn connect(&self, addr: impl ToAddrs) -> io::Result<()> {
        first(resolve(&addr).await?, |addr| self.adapter.cell().get().connect(addr))
    }

    /// Sends a datagram to an address, the first if it is several; as [`Self::send`].
    ///
    /// A host name is looked up each time: look it up once, by [`lookup_host`](super::lookup_host()), where
    /// many are sent.
    ///
    /// # Errors
    ///
    /// As [`Self::send`]; what [`lookup_host`](super::lookup_host()) says of a host name.
    ///
    /// # Cancel safety
    ///
    /// Strict: a wait that is dropped has sent nothing.
    pub async fn send_to(&self, buf: &[u8], target: impl ToAddrs) -> io::Result<usize> {
        let target = one(&target).await?;
        self.adapter.op::<Writing, _, _>(|socket, _| socket.send_to(buf, target)).await
    }

    /// Sends a datagram to an address, without waiting.
    ///
    /// # Errors
    ///
    /// `WouldBlock` if the queue is full: then [`Self::writable`] waits.
    pub fn try_send_to(&self, buf: &[u8], target: SocketAddr) -> io::Result<usize> {
        self.adapter.try_io(Direction::Write, |socket| socket.send_to(buf, target))
    }

    /// As [`Self::send_to`], for code that polls. Only the last task to poll is woken.
    ///
    /// # Errors
    ///
    /// As [`Self::send`].
    pub fn poll_send_to(
        &self,
        cx: &mut Context<'_>,
        buf: &[u8],
        target: SocketAddr,
    ) -> Poll<io::Result<usize>> {
        let key = &mut WaitKey::last_poller();
        self.adapter.poll_io(Direction::Write, key, cx, |socket| socket.send_to(buf, target))
    }

    /// Receives without taking: the next one to receive finds the same datagram.
    ///
    /// # Errors
    ///
    /// As [`Self::recv`].
    ///
    /// # Cancel safety
    ///
    /// Strict.
    pub fn peek(&self, buf: &mut [u8]) -> impl Future<Output = io::Result<usize>> {
        self.adapter.op::<Reading, _, _>(|socket, _| socket.peek(buf))
    }

    /// Receives without taking, and with the sender's address; as [`Self::peek`].
    ///
    /// # Errors
    ///
    /// As [`Self::recv`].
    ///
    /// # Cancel safety
    ///
    /// Strict.
    pub fn peek_from(
        &self,
        buf: &mut [u8],
    ) -> impl Future<Output = io::Result<(usize, SocketAddr)>> {
        self.adapter.op::<Reading, _, _>(|socket, _| socket.peek_from(buf))
    }

    /// As [`Self::peek`], for code that polls. Only the last task to poll is woken.
    ///
    /// # Errors
    ///
    /// As [`Self::recv`].
    pub fn poll_peek(&self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let key = &mut WaitKey::last_poller();
        self.adapter.poll_io(Direction::Read, key, cx, |socket| socket.peek(buf))
    }

    /// Waits for a datagram, and returns who sent it without taking it. Unix only.
    ///
    /// # Errors
    ///
    /// As [`Self::recv`].
    ///
    /// # Cancel safety
    ///
    /// Strict.
    #[cfg(unix)]
    pub fn peek_sender(&self) -> impl Future<Output = io::Result<SocketAddr>> {
        self.adapter.op::<Reading, _, _>(|socket, _| sender(socket))
    }

    /// As [`Self::peek_sender`], without waiting.
    ///
    /// # Errors
    ///
    /// `WouldBlock` if no datagram is there.
    #[cfg(unix)]
    pub fn try_peek_sender(&self) -> io::Result<SocketAddr> {
        self.adapter.try_io(Direction::Read, sender)
    }

    /// As [`Self::peek_sender`], for code that polls. Only the last task to poll is woken.
    ///
    /// # Errors
    ///
    /// As [`Self::recv`].
    #[cfg(unix)]
    pub fn poll_peek_sender(&self, cx: &mut Context<'_>) -> Poll<io::Result<SocketAddr>> {
        self.adapter.poll_io(Direction::Read, &mut WaitKey::last_poller(), cx, sender)
    }

    /// Receives what is there without taking it and without waiting.
    ///
    /// # Errors
    ///
    /// `WouldBlock` if none is there: then [`Self::readable`] waits.
    pub fn try_peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.adapter.try_io(Direction::Read, |socket| socket.peek(buf))
    }

    /// Receives what is there and its sender's address, without taking it and without waiting.
    ///
    /// # Errors
    ///
    /// `WouldBlock` if none is there: then [`Self::readable`] waits.
    pub fn try_peek_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.adapter.try_io(Direction::Read, |socket| socket.peek_from(buf))
    }

    /// As [`Self::peek_from`], for code that polls. Only the last task to poll is woken.
    ///
    /// # Errors
    ///
    /// As [`Self::recv`].
    pub fn poll_peek_from(
        &self,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<(usize, SocketAddr)>> {
        let key = &mut WaitKey::last_poller();
        self.adapter.poll_io(Direction::Read, key, cx, |socket| socket.peek_from(buf))
    }
}

/// Of no byte of a datagram, who sent it.
#[cfg(unix)]
fn sender(socket: &mio::net::UdpSocket) -> io::Result<SocketAddr> {
    socket.peek_from(&mut []).map(|(_, sender)| sender)
}

datagram!(UdpSocket, SocketAddr);
readiness!(UdpSocket);
descriptor!(UdpSocket, std::net::UdpSocket, mio::net::UdpSocket::from_std);
