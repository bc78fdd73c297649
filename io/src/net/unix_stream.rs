//! `UnixStream`: one connection on this machine, used through `&self`.

use std::future::Future;
use std::io::{self, IoSlice, IoSliceMut};
use std::net::Shutdown;
use std::os::unix::net::SocketAddr;
use std::path::Path;
use std::task::{Context, Poll};

use loopline_runtime::registration::{Direction, WaitKey};

use super::accept::Pause;
use super::readiness::{descriptor, readiness};
use super::stream::{read_now, read_vectored_now, stream};
use super::tcp_stream::is_not_connected;
use super::unix_addr::address;
use crate::adapter::{Adapter, Reading, Writing};
use crate::mischief;
use crate::sys::{send, send_vectored};

/// A connection of a Unix socket. Unix only.
///
/// Every method takes `&self`, as those of [`TcpStream`](super::TcpStream).
///
/// # Examples
///
/// ```
/// # fn main() -> std::io::Result<()> {
/// use loopline_io::net::UnixStream;
///
/// # loopline_runtime::EventLoop::<()>::new()?.block_on(async {
/// let (a, b) = UnixStream::pair()?;
/// a.write_all(b"hello").await?;
/// a.shutdown().await?;
/// let mut word = [0; 5];
/// b.read_exact(&mut word).await?;
/// assert_eq!((&word, b.read(&mut [0]).await?), (b"hello", 0));
/// # Ok(())
/// # })?
/// # }
/// ```
///
/// It stays on its thread:
///
/// ```compile_fail,E0277
/// fn is_send<T: Send>() {}
/// is_send::<loopline_io::net::UnixStream>();
/// ```
///
/// ```
/// fn is_any<T>() {}
/// is_any::<loopline_io::net::UnixStream>();
/// ```
#[derive(Debug)]
pub struct UnixStream {
    adapter: Adapter<mio::net::UnixStream>,
}

impl UnixStream {
    /// Connects to a path. On Linux, one that begins with a zero byte is an abstract name.
    ///
    /// A listener whose queue is full is tried again after 5 ms at first, 100 ms at most: nothing tells
    /// when there is room.
    ///
    /// # Errors
    ///
    /// `NotFound` if nothing is there, `ConnectionRefused` if nobody listens there any more,
    /// `InvalidInput` if the path is too long for an address (108 bytes on Linux, its end included).
    ///
    /// # Cancel safety
    ///
    /// Strict: a connection under way is closed.
    pub async fn connect(path: impl AsRef<Path>) -> io::Result<Self> {
        Self::connect_addr(&address(path.as_ref())?).await
    }

    /// Connects to an address; as [`Self::connect`].
    ///
    /// # Errors
    ///
    /// As [`Self::connect`].
    ///
    /// # Cancel safety
    ///
    /// Strict: a connection under way is closed.
    pub async fn connect_addr(addr: &SocketAddr) -> io::Result<Self> {
        let mut pause = Pause::default();
        loop {
            match mio::net::UnixStream::connect_addr(addr) {
                Ok(stream) => return Self::connected(stream).await,
                // The queue is full. Another try has to be another socket's.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => pause.begin(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
            std::future::poll_fn(|cx| pause.poll(cx)).await;
        }
    }

    /// Waits until a socket that connects is connected, as it is at once on Linux.
    pub(super) async fn connected(stream: mio::net::UnixStream) -> io::Result<Self> {
        let this = Self::from_source(stream);
        let connected = this.adapter.op::<Writing, _, _>(|socket, _| {
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
        this.adapter.registration().assume_ready();
        Ok(this)
    }

    /// Makes two streams that are connected to each other.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn pair() -> io::Result<(Self, Self)> {
        let (a, b) = mio::net::UnixStream::pair()?;
        Ok((Self::from_source(a), Self::from_source(b)))
    }

    /// Returns this end's address.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.adapter.cell().get().local_addr()
    }

    /// Returns the peer's address; unnamed, if it connected without binding one.
    ///
    /// # Errors
    ///
    /// What the system says, such as that it is not connected any more.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.adapter.cell().get().peer_addr()
    }
}

stream!(UnixStream, mio::net::UnixStream);
readiness!(UnixStream);
descriptor!(UnixStream, std::os::unix::net::UnixStream, mio::net::UnixStream::from_std);
