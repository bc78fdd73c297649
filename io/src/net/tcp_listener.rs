//! `TcpListener`: accepts connections, and goes on when single ones fail or descriptors run out.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::panic::RefUnwindSafe;
use std::task::{Context, Poll};

use loopline_runtime::registration::WaitKey;

use super::accept::{Accepting, Pause, poll_accept};
use super::addr::{ToAddrs, first, resolve};
use super::incoming::Incoming;
use super::incoming::sealed::{Accept, Waited};
use super::readiness::descriptor;
use super::tcp_stream::TcpStream;
use crate::adapter::Adapter;

/// Listens for TCP connections.
///
/// # Examples
///
/// ```no_run
/// # async fn example() -> std::io::Result<()> {
/// use loopline_io::net::TcpListener;
///
/// let listener = TcpListener::bind("127.0.0.1:0").await?;
/// println!("listening on {}", listener.local_addr()?);
/// let (stream, peer) = listener.accept().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct TcpListener {
    adapter: Adapter<mio::net::TcpListener>,
    /// Set where accepted sockets do not inherit the option.
    nodelay: Cell<bool>,
    /// Of `poll_accept`, between its calls.
    pause: RefCell<Pause>,
}

/// Its own part is one flag.
impl RefUnwindSafe for TcpListener {}

impl TcpListener {
    /// Listens on an address; port 0 lets the system choose one.
    ///
    /// The address can be taken over at once from a server that has ended (SO_REUSEADDR on Unix).
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
        first(resolve(&addr).await?, mio::net::TcpListener::bind).map(Self::from_source)
    }

    pub(super) fn from_source(listener: mio::net::TcpListener) -> Self {
        Self {
            adapter: Adapter::new(listener),
            nodelay: Cell::new(false),
            pause: RefCell::default(),
        }
    }

    #[cfg(feature = "socket")]
    pub(super) fn adapter(&self) -> &Adapter<mio::net::TcpListener> {
        &self.adapter
    }

    /// Accepts a connection, and waits for one if there is none.
    ///
    /// Connections that failed before they were accepted are passed over. When the process or the
    /// system is out of descriptors or memory, this waits (5 ms at first, 100 ms at most) and tries
    /// again: the backlog is not lost, and the loop does not spin.
    ///
    /// # Errors
    ///
    /// Those of the listener itself, such as after it was shut down.
    ///
    /// # Cancel safety
    ///
    /// Strict: a wait that is dropped has accepted nothing.
    #[inline]
    pub fn accept(&self) -> impl Future<Output = io::Result<(TcpStream, SocketAddr)>> {
        Accepting::new(&self.adapter, |listener| {
            listener.accept().map(|(stream, peer)| (self.accepted(stream), peer))
        })
    }

    /// As [`Self::accept`], for code that polls. Only the last task to poll is woken.
    ///
    /// # Errors
    ///
    /// As [`Self::accept`].
    pub fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<(TcpStream, SocketAddr)>> {
        let mut pause = self.pause.take();
        let key = &mut WaitKey::last_poller();
        let accepted = poll_accept(&self.adapter, |l| l.accept(), key, &mut pause, cx);
        self.pause.replace(pause);
        accepted.map_ok(|(stream, peer)| (self.accepted(stream), peer))
    }

    /// Makes a stream of connections, to be inserted with a callback or awaited by `next`.
    pub fn into_incoming(self) -> Incoming {
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

    /// Sets whether accepted connections send small packets at once (TCP_NODELAY). Default: no.
    ///
    /// On Linux they inherit it from the listener, without a system call each.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
        #[cfg(any(target_os = "linux", target_os = "android"))]
        {
            use std::os::fd::AsFd;
            // The option belongs to the socket; a duplicate as a std stream is a safe way to set it.
            let duplicate = self.adapter.cell().get().as_fd().try_clone_to_owned()?;
            std::net::TcpStream::from(duplicate).set_nodelay(nodelay)
        }
        #[cfg(not(any(target_os = "linux", target_os = "android")))]
        {
            self.nodelay.set(nodelay);
            Ok(())
        }
    }

    /// Returns the time-to-live of accepted connections' packets.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn ttl(&self) -> io::Result<u32> {
        self.adapter.cell().get().ttl()
    }

    /// Sets the time-to-live of accepted connections' packets.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn set_ttl(&self, ttl: u32) -> io::Result<()> {
        self.adapter.cell().get().set_ttl(ttl)
    }

    /// Makes ours of what was accepted.
    #[inline]
    fn accepted(&self, stream: mio::net::TcpStream) -> TcpStream {
        let stream = TcpStream::from_source(stream);
        if self.nodelay.get() {
            // A connection that was reset meanwhile says so when it is used.
            let _ = stream.set_nodelay(true);
        }
        stream
    }
}

impl Accept for TcpListener {
    type Stream = TcpStream;

    fn poll_incoming(
        &self,
        waited: &mut Waited,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<TcpStream>> {
        let key = &mut WaitKey::last_poller();
        let accepted = poll_accept(&self.adapter, |l| l.accept(), key, &mut waited.0, cx);
        accepted.map_ok(|(stream, _peer)| self.accepted(stream))
    }
}

descriptor!(TcpListener, std::net::TcpListener, mio::net::TcpListener::from_std);
