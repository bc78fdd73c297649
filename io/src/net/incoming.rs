//! `Incoming`: a listener as a source of its connections.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;

use self::sealed::Waited;
use super::TcpListener;

/// What listens and accepts: [`TcpListener`] and, on Unix, `UnixListener`.
pub trait Listener: sealed::Accept {}

impl<L: sealed::Accept> Listener for L {}

pub(super) mod sealed {
    use std::io;
    use std::task::{Context, Poll};

    use super::super::accept::Pause;

    /// Accepts for [`Incoming`](super::Incoming).
    pub trait Accept: Unpin {
        /// What it accepts.
        type Stream;

        /// Accepts what is there. Of several tasks that poll, the last is woken.
        #[doc(hidden)]
        fn poll_incoming(
            &self,
            waited: &mut Waited,
            cx: &mut Context<'_>,
        ) -> Poll<io::Result<Self::Stream>>;
    }

    /// A pause during a shortage; opaque.
    #[derive(Debug, Default)]
    pub struct Waited(pub(in super::super) Pause);
}

/// A stream of accepted connections: a source. It never ends; errors are those of the listener.
///
/// A shortage of descriptors or memory is waited out, as by [`TcpListener::accept`].
///
/// # Examples
///
/// ```
/// use loopline_io::net::{TcpListener, TcpStream};
/// use loopline_runtime::{EventLoop, callback::Next};
///
/// let mut event_loop = EventLoop::<u32>::new()?;
/// let listener = event_loop.run_until(&mut 0, TcpListener::bind("127.0.0.1:0"))??;
/// let address = listener.local_addr()?;
/// let handle = event_loop.handle();
/// handle.insert(listener.into_incoming(), |connection, _incoming, clients| {
///     match connection {
///         Ok(_stream) => *clients += 1,
///         Err(error) => eprintln!("cannot accept: {error}"),
///     }
///     Next::Stop // a server says `Keep`
/// })?;
/// handle.spawn(TcpStream::connect(address));
/// let mut clients = 0;
/// event_loop.run(&mut clients)?;
/// assert_eq!(clients, 1);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
#[must_use = "a source does nothing unless it is inserted or awaited"]
pub struct Incoming<L: Listener = TcpListener> {
    listener: L,
    waited: Waited,
}

impl<L: Listener> Incoming<L> {
    pub(super) fn new(listener: L) -> Self {
        Self { listener, waited: Waited::default() }
    }

    /// Waits for the next connection. Never `None`.
    ///
    /// # Errors
    ///
    /// As [`TcpListener::accept`]; the listener stays usable.
    ///
    /// # Cancel safety
    ///
    /// Strict.
    pub async fn next(&mut self) -> Option<io::Result<L::Stream>> {
        poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }

    /// Returns the listener.
    #[must_use]
    pub fn get_ref(&self) -> &L {
        &self.listener
    }

    /// Gives the listener back.
    #[must_use]
    pub fn into_inner(self) -> L {
        self.listener
    }
}

impl<L: Listener> Stream for Incoming<L> {
    type Item = io::Result<L::Stream>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        this.listener.poll_incoming(&mut this.waited, cx).map(Some)
    }
}
