//! `UnixDatagram`: datagrams on this machine.

use std::cell::RefCell;
use std::convert::identity;
use std::future::{Future, poll_fn};
use std::io;
use std::net::Shutdown;
use std::os::unix::net::{self, SocketAddr};
use std::path::Path;
use std::task::{Context, Poll, ready};

use loopline_runtime::budget;
use loopline_runtime::registration::{Direction, WaitKey};

use super::accept::Pause;
use super::datagram::datagram;
use super::readiness::{descriptor, readiness};
use super::unix_addr::address;
use crate::adapter::{Adapter, Reading, Writing};

/// A Unix socket for datagrams: in order, and none is lost while it exists. Unix only.
///
/// Every method takes `&self`, so one task can receive while another sends. An empty datagram is data
/// like any other: `Ok(0)` is no end. Paths are as for [`UnixListener`](super::UnixListener).
///
/// A sender waits while the receiver's queue is full. To a peer that this is connected to, the system
/// tells when there is room; to any other it does not, and [`Self::send_to`] tries again after 5 ms at
/// first, 100 ms at most. So connect where much is sent.
///
/// # Truncation
///
/// A datagram longer than the buffer is cut, and its rest lost. The system says so only to who asks:
/// `UnixDatagram::recv_msg`, with the feature `socket`, tells. Without it, take a buffer one byte longer
/// than the longest datagram expected: one that fills it was too long.
///
/// # Examples
///
/// ```
/// # fn main() -> std::io::Result<()> {
/// use loopline_io::net::UnixDatagram;
///
/// # loopline_runtime::EventLoop::<()>::new()?.block_on(async {
/// let (a, b) = UnixDatagram::pair()?;
/// a.send(b"one").await?;
/// a.send(b"two").await?;
/// let mut buf = [0; 16];
/// assert_eq!(b.recv(&mut buf).await?, 3);
/// assert_eq!(&buf[..3], b"one");
/// # Ok(())
/// # })?
/// # }
/// ```
///
/// It stays on its thread:
///
/// ```compile_fail,E0277
/// fn is_send<T: Send>() {}
/// is_send::<loopline_io::net::UnixDatagram>();
/// ```
///
/// ```
/// fn is_any<T>() {}
/// is_any::<loopline_io::net::UnixDatagram>();
/// ```
#[derive(Debug)]
pub struct UnixDatagram {
    adapter: Adapter<net::UnixDatagram>,
    /// Of `poll_send_to`, between its calls.
    pause: RefCell<Pause>,
}

impl UnixDatagram {
    /// Binds a socket to a path, and makes its file. On Linux, one that begins with a zero byte is an
    /// abstract name.
    ///
    /// # Errors
    ///
    /// `AddrInUse` if the file exists; `InvalidInput` if the path is too long for an address (108 bytes
    /// on Linux, its end included).
    pub fn bind(path: impl AsRef<Path>) -> io::Result<Self> {
        Self::bind_addr(&address(path.as_ref())?)
    }

    /// Binds a socket to an address; as [`Self::bind`].
    ///
    /// # Errors
    ///
    /// As [`Self::bind`].
    pub fn bind_addr(addr: &SocketAddr) -> io::Result<Self> {
        Self::made(net::UnixDatagram::bind_addr(addr)?)
    }

    /// Makes a socket without an address: it sends, and receives once it is connected to one that
    /// sends to it.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn unbound() -> io::Result<Self> {
        Self::made(net::UnixDatagram::unbound()?)
    }

    /// Makes two sockets that are connected to each other.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn pair() -> io::Result<(Self, Self)> {
        let (a, b) = net::UnixDatagram::pair()?;
        Ok((Self::made(a)?, Self::made(b)?))
    }

    /// Takes a socket that nobody else holds.
    fn made(socket: net::UnixDatagram) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        Ok(Self::from_source(socket))
    }

    pub(super) fn from_source(socket: net::UnixDatagram) -> Self {
        Self { adapter: Adapter::new(socket), pause: RefCell::default() }
    }

    #[cfg(any(feature = "socket", feature = "tokio-io"))]
    pub(super) fn adapter(&self) -> &Adapter<net::UnixDatagram> {
        &self.adapter
    }

    /// Sets the peer: who [`Self::send`] sends to, and the only one that is received from.
    ///
    /// # Errors
    ///
    /// `NotFound` if nothing is there, `ConnectionRefused` if nobody is bound to it any more.
    pub fn connect(&self, path: impl AsRef<Path>) -> io::Result<()> {
        self.connect_addr(&address(path.as_ref())?)
    }

    /// Sets the peer; as [`Self::connect`].
    ///
    /// # Errors
    ///
    /// As [`Self::connect`].
    pub fn connect_addr(&self, addr: &SocketAddr) -> io::Result<()> {
        self.adapter.cell().get().connect_addr(addr)
    }

    /// Sends a datagram to a path; as [`Self::send`].
    ///
    /// # Errors
    ///
    /// As [`Self::send`] and [`Self::connect`].
    ///
    /// # Cancel safety
    ///
    /// Strict: a wait that is dropped has sent nothing.
    pub async fn send_to(&self, buf: &[u8], target: impl AsRef<Path>) -> io::Result<usize> {
        self.send_to_addr(buf, &address(target.as_ref())?).await
    }

    /// Sends a datagram to an address; as [`Self::send`].
    ///
    /// # Errors
    ///
    /// As [`Self::send`] and [`Self::connect`].
    ///
    /// # Cancel safety
    ///
    /// Strict: a wait that is dropped has sent nothing.
    pub async fn send_to_addr(&self, buf: &[u8], target: &SocketAddr) -> io::Result<usize> {
        let mut pause = Pause::default();
        poll_fn(|cx| self.poll_send_paused(cx, buf, target, &mut pause)).await
    }

    /// As [`Self::send_to`], for code that polls. Only the last task to poll is woken.
    ///
    /// # Errors
    ///
    /// As [`Self::send_to`].
    pub fn poll_send_to(
        &self,
        cx: &mut Context<'_>,
        buf: &[u8],
        target: impl AsRef<Path>,
    ) -> Poll<io::Result<usize>> {
        let target = address(target.as_ref())?;
        let mut pause = self.pause.take();
        let sent = self.poll_send_paused(cx, buf, &target, &mut pause);
        self.pause.replace(pause);
        sent
    }

    fn poll_send_paused(
        &self,
        cx: &mut Context<'_>,
        buf: &[u8],
        target: &SocketAddr,
        pause: &mut Pause,
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(pause.poll(cx));
            let permit = ready!(budget::poll_proceed(cx));
            // Not by readiness: on Linux the poller calls the socket writable whatever the queue of the
            // receiver, and says so again after each attempt that failed.
            match self.adapter.cell().get().send_to_addr(buf, target) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => pause.begin(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                sent => {
                    permit.spend();
                    pause.end();
                    return Poll::Ready(sent);
                }
            }
        }
    }

    /// Sends a datagram to a path, without waiting.
    ///
    /// # Errors
    ///
    /// `WouldBlock` if the receiver's queue is full.
    pub fn try_send_to(&self, buf: &[u8], target: impl AsRef<Path>) -> io::Result<usize> {
        // Whatever is known of the queue of the peer that this is connected to.
        self.adapter.cell().get().send_to_addr(buf, &address(target.as_ref())?)
    }

    /// Ends sending, receiving or both.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.adapter.cell().get().shutdown(how)
    }

    /// Returns this socket's address.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.adapter.cell().get().local_addr()
    }

    /// Returns the peer's address, which [`Self::connect`] has set.
    ///
    /// # Errors
    ///
    /// What the system says, such as that it is not connected.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.adapter.cell().get().peer_addr()
    }
}

datagram!(UnixDatagram, SocketAddr);
readiness!(UnixDatagram);
descriptor!(UnixDatagram, net::UnixDatagram, identity);
