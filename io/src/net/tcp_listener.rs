//! `TcpListener`: accepts connections, and goes on when single ones fail or descriptors run out.

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_core::Stream;
use loopline_runtime::registration::{Direction, WaitKey};
use loopline_runtime::time::{Sleep, sleep};

use super::addr::{ToAddrs, first, resolve};
use super::tcp_stream::TcpStream;
use crate::adapter::Adapter;

/// The first pause when descriptors or memory have run out.
const FIRST_PAUSE: Duration = Duration::from_millis(5);
/// The longest one: connections are accepted again at most this long after there is room.
const LONGEST_PAUSE: Duration = Duration::from_millis(100);

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
}

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
        first(resolve(&addr).await?, mio::net::TcpListener::bind).map(Self::from_mio)
    }

    /// Takes over a listener of the standard library, and makes it non-blocking.
    ///
    /// # Errors
    ///
    /// If it cannot be made non-blocking.
    pub fn from_std(listener: std::net::TcpListener) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        let this = Self::from_mio(mio::net::TcpListener::from_std(listener));
        // It may have been duplicated before.
        this.adapter.lend();
        Ok(this)
    }

    fn from_mio(listener: mio::net::TcpListener) -> Self {
        Self { adapter: Adapter::new(listener), nodelay: Cell::new(false) }
    }

    /// Ends the registration and returns the listener, still non-blocking.
    ///
    /// # Errors
    ///
    /// None at present.
    pub fn into_std(self) -> io::Result<std::net::TcpListener> {
        self.adapter.into_inner().map(Into::into)
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
    pub async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let mut accepting = Accepting::new(self);
        poll_fn(|cx| accepting.poll(cx)).await
    }

    /// Makes a stream of connections, to be inserted with a callback or awaited by `next`.
    pub fn into_incoming(self) -> Incoming {
        Incoming { listener: self, pause: Pause::default() }
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

    /// Accepts what is there; single failures are passed over.
    fn poll_once(
        &self,
        key: &mut WaitKey,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<(TcpStream, SocketAddr)>> {
        loop {
            match ready!(self.adapter.poll_io(Direction::Read, key, cx, |l| l.accept())) {
                Ok((stream, peer)) => {
                    let stream = TcpStream::from_mio(stream);
                    if self.nodelay.get() {
                        // A connection that was reset meanwhile says so when it is used.
                        let _ = stream.set_nodelay(true);
                    }
                    return Poll::Ready(Ok((stream, peer)));
                }
                // The budget bounds this loop.
                Err(error) if concerns_one_connection(&error) => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    fn poll_accept(
        &self,
        key: &mut WaitKey,
        pause: &mut Pause,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<(TcpStream, SocketAddr)>> {
        loop {
            ready!(pause.poll(cx));
            match ready!(self.poll_once(key, cx)) {
                // Still believed ready, so the next try needs no new event.
                Err(error) if is_exhaustion(&error) => pause.begin(),
                result => {
                    pause.end();
                    return Poll::Ready(result);
                }
            }
        }
    }
}

/// One call of `accept`.
struct Accepting<'a> {
    listener: &'a TcpListener,
    key: WaitKey,
    pause: Pause,
}

impl<'a> Accepting<'a> {
    fn new(listener: &'a TcpListener) -> Self {
        Self { listener, key: WaitKey::new(), pause: Pause::default() }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<(TcpStream, SocketAddr)>> {
        self.listener.poll_accept(&mut self.key, &mut self.pause, cx)
    }
}

impl Drop for Accepting<'_> {
    fn drop(&mut self) {
        self.listener.adapter.registration().unwait(Direction::Read, &mut self.key);
    }
}

/// A pause between attempts while descriptors or memory are out.
#[derive(Debug, Default)]
struct Pause {
    sleep: Option<Sleep>,
    /// How long the last one was.
    last: Duration,
}

impl Pause {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(sleep) = &mut self.sleep {
            ready!(Future::poll(Pin::new(sleep), cx));
            self.sleep = None;
        }
        Poll::Ready(())
    }

    fn begin(&mut self) {
        self.last = (self.last * 2).clamp(FIRST_PAUSE, LONGEST_PAUSE);
        self.sleep = Some(sleep(self.last));
    }

    fn end(&mut self) {
        self.last = Duration::ZERO;
    }
}

/// Whether an error of `accept` is that of one connection: the next one may be fine.
fn concerns_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{
        ConnectionAborted, ConnectionRefused, ConnectionReset, HostUnreachable, NetworkDown,
        NetworkUnreachable, PermissionDenied,
    };
    match error.kind() {
        ConnectionAborted | ConnectionRefused | ConnectionReset | HostUnreachable | NetworkDown
        | NetworkUnreachable => true,
        // A firewall's refusal of one connection (EPERM), not the listener's (EACCES).
        #[cfg(unix)]
        PermissionDenied => error.raw_os_error() == Some(libc::EPERM),
        #[cfg(not(unix))]
        PermissionDenied => false,
        #[cfg(unix)]
        _ => is_network_error(error.raw_os_error()),
        #[cfg(not(unix))]
        _ => false,
    }
}

/// The pending network errors that accept(2) passes on from the new connection.
#[cfg(unix)]
fn is_network_error(code: Option<i32>) -> bool {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    if code == Some(libc::ENONET) {
        return true;
    }
    matches!(code, Some(libc::EPROTO | libc::ENOPROTOOPT | libc::EHOSTDOWN | libc::EOPNOTSUPP))
}

/// Whether the process or the system is out of something that may come back.
fn is_exhaustion(error: &io::Error) -> bool {
    #[cfg(unix)]
    {
        matches!(
            error.raw_os_error(),
            Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM)
        )
    }
    #[cfg(not(unix))]
    {
        // WSAEMFILE, WSAENOBUFS.
        matches!(error.raw_os_error(), Some(10024 | 10055))
    }
}

/// A stream of accepted connections: a source. It never ends; errors are those of the listener.
#[derive(Debug)]
#[must_use = "a source does nothing unless it is inserted or awaited"]
pub struct Incoming {
    listener: TcpListener,
    pause: Pause,
}

impl Incoming {
    /// Waits for the next connection, as [`TcpListener::accept`]. Never `None`.
    ///
    /// # Cancel safety
    ///
    /// Strict.
    pub async fn next(&mut self) -> Option<io::Result<TcpStream>> {
        poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }

    /// Returns the listener.
    #[must_use]
    pub fn get_ref(&self) -> &TcpListener {
        &self.listener
    }

    /// Gives the listener back.
    #[must_use]
    pub fn into_inner(self) -> TcpListener {
        self.listener
    }
}

impl Stream for Incoming {
    type Item = io::Result<TcpStream>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        let accepted =
            ready!(this.listener.poll_accept(&mut WaitKey::last_poller(), &mut this.pause, cx));
        Poll::Ready(Some(accepted.map(|(stream, _peer)| stream)))
    }
}

impl TryFrom<std::net::TcpListener> for TcpListener {
    type Error = io::Error;

    /// As [`TcpListener::from_std`].
    fn try_from(listener: std::net::TcpListener) -> io::Result<Self> {
        Self::from_std(listener)
    }
}

#[cfg(unix)]
impl std::os::fd::AsFd for TcpListener {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.adapter.lend();
        self.adapter.cell().as_ref().as_fd()
    }
}

#[cfg(unix)]
impl std::os::fd::AsRawFd for TcpListener {
    fn as_raw_fd(&self) -> std::os::fd::RawFd {
        use std::os::fd::AsFd;
        self.as_fd().as_raw_fd()
    }
}
