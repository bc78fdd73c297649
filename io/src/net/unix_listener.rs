//! `UnixListener`: accepts connections on this machine.

use std::cell::RefCell;
use std::future::Future;
use std::io;
use std::os::unix::net::SocketAddr;
use std::path::Path;
use std::task::{Context, Poll};

use loopline_runtime::registration::WaitKey;

use super::accept::{Accepting, Pause, poll_accept};
use super::incoming::Incoming;
use super::incoming::sealed::{Accept, Waited};
use super::readiness::descriptor;
use super::unix_addr::address;
use super::unix_stream::UnixStream;
use crate::adapter::Adapter;

/// Listens for connections of Unix sockets. Unix only.
///
/// Its file stays when it is dropped: remove it, and before binding again, or use an abstract name,
/// which goes with its last socket (Linux). A file that is removed while this listens takes nothing
/// from it but new connections.
///
/// # Examples
///
/// ```no_run
/// # async fn example() -> std::io::Result<()> {
/// use loopline_io::net::UnixListener;
///
/// let listener = UnixListener::bind("/run/example.sock")?;
/// let (stream, _addr) = listener.accept().await?;
/// println!("from {:?}", stream.peer_addr()?);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct UnixListener {
    adapter: Adapter<mio::net::UnixListener>,
    /// Of `poll_accept`, between its calls.
    pause: RefCell<Pause>,
}

impl UnixListener {
    /// Listens on a path, and makes its file. On Linux, one that begins with a zero byte is an abstract
    /// name.
    ///
    /// # Errors
    ///
    /// `AddrInUse` if the file exists, also where nobody listens any more; `InvalidInput` if the path is
    /// too long for an address (108 bytes on Linux, its end included).
    pub fn bind(path: impl AsRef<Path>) -> io::Result<Self> {
        Self::bind_addr(&address(path.as_ref())?)
    }

    /// Listens on an address; as [`Self::bind`].
    ///
    /// # Errors
    ///
    /// As [`Self::bind`].
    pub fn bind_addr(addr: &SocketAddr) -> io::Result<Self> {
        mio::net::UnixListener::bind_addr(addr).map(Self::from_source)
    }

    pub(super) fn from_source(listener: mio::net::UnixListener) -> Self {
        Self { adapter: Adapter::new(listener), pause: RefCell::default() }
    }

    #[cfg(feature = "socket")]
    pub(super) fn adapter(&self) -> &Adapter<mio::net::UnixListener> {
        &self.adapter
    }

    /// Accepts a connection, and waits for one if there is none; as
    /// [`TcpListener::accept`](super::TcpListener::accept), a shortage of descriptors or memory included.
    ///
    /// # Errors
    ///
    /// Those of the listener itself.
    ///
    /// # Cancel safety
    ///
    /// Strict: a wait that is dropped has accepted nothing.
    #[inline]
    pub fn accept(&self) -> impl Future<Output = io::Result<(UnixStream, SocketAddr)>> {
        Accepting::new(&self.adapter, |listener| {
            listener.accept().map(|(stream, peer)| (UnixStream::from_source(stream), peer))
        })
    }

    /// As [`Self::accept`], for code that polls. Only the last task to poll is woken.
    ///
    /// # Errors
    ///
    /// As [`Self::accept`].
    pub fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<(UnixStream, SocketAddr)>> {
        let mut pause = self.pause.take();
        let key = &mut WaitKey::last_poller();
        let accepted = poll_accept(&self.adapter, |l| l.accept(), key, &mut pause, cx);
        self.pause.replace(pause);
        accepted.map_ok(|(stream, peer)| (UnixStream::from_source(stream), peer))
    }

    /// Makes a stream of connections, to be inserted with a callback or awaited by `next`.
    pub fn into_incoming(self) -> Incoming<Self> {
        Incoming::new(self)
    }

    /// Returns the address it listens on.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.adapter.cell().get().local_addr()
    }

    /// Returns and clears the socket's pending error.
    ///
    /// # Errors
    ///
    /// If it cannot be read.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.adapter.cell().get().take_error()
    }
}

impl Accept for UnixListener {
    type Stream = UnixStream;

    fn poll_incoming(
        &self,
        waited: &mut Waited,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<UnixStream>> {
        let key = &mut WaitKey::last_poller();
        let accepted = poll_accept(&self.adapter, |l| l.accept(), key, &mut waited.0, cx);
        accepted.map_ok(|(stream, _peer)| UnixStream::from_source(stream))
    }
}

descriptor!(UnixListener, std::os::unix::net::UnixListener, mio::net::UnixListener::from_std);
