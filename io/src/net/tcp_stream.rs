//! `TcpStream`: one connection, used through `&self`.

use std::future::Future;
use std::io::{self, IoSlice, IoSliceMut};
use std::net::{Shutdown, SocketAddr};
use std::task::{Context, Poll};

use loopline_runtime::registration::{Direction, WaitKey};

use super::addr::{ToAddrs, resolve};
use super::connect;
use super::readiness::{descriptor, readiness};
use super::stream::{read_now, read_vectored_now, stream};
use crate::adapter::{Adapter, Reading, Writing};
use crate::mischief;
use crate::sys::{send, send_vectored};

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
        Self::connected(mio::net::TcpStream::connect(addr)?).await
    }

    /// Waits until a socket that connects is connected.
    pub(super) async fn connected(stream: mio::net::TcpStream) -> io::Result<Self> {
        // Interrupted by a signal or not, the connection goes on by itself once the call was made.
        let adapter = Adapter::unready(stream).with_urgent();
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

    /// As [`Self::peek`], for code that polls. Only the last task to poll is woken.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn poll_peek(&self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let key = &mut WaitKey::last_poller();
        self.adapter.poll_io(Direction::Read, key, cx, |socket| socket.peek(buf))
    }
}

stream!(TcpStream, mio::net::TcpStream);
readiness!(TcpStream);
descriptor!(TcpStream, std::net::TcpStream, mio::net::TcpStream::from_std);

/// Whether a socket is still connecting, by what asking for its peer says.
pub(super) fn is_not_connected(error: &io::Error) -> bool {
    #[cfg(unix)]
    if error.raw_os_error() == Some(libc::EINPROGRESS) {
        return true;
    }
    error.kind() == io::ErrorKind::NotConnected
}
