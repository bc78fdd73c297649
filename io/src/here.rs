//! `Here`: a stream for libraries that demand `Send` of it, though it never leaves its thread.

use std::fmt;
use std::io::{self, IoSlice, IoSliceMut};
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_io::{AsyncRead, AsyncWrite};
use send_wrapper::SendWrapper;

/// A stream whose type is [`Send`] and [`Sync`], for libraries that demand it. It still works on this
/// thread only. Feature `hyper` or `tokio-io`.
///
/// It has the traits of `futures-io` that the stream has, and with them those of the features.
///
/// On another thread, reading and writing are errors.
///
/// # Panics
///
/// When it is dropped on another thread: what is in it must not be.
///
/// # Examples
///
/// ```
/// # loopline_runtime::block_on(async {
/// use loopline_io::here::Here;
/// use loopline_io::net::{TcpListener, TcpStream};
///
/// fn demands_send(stream: impl Send + 'static) { drop(stream) }
///
/// let listener = TcpListener::bind("127.0.0.1:0").await?;
/// let stream = TcpStream::connect(listener.local_addr()?).await?;
/// demands_send(Here::new(stream));
/// # Ok::<(), std::io::Error>(())
/// # }).unwrap();
/// ```
pub struct Here<T>(SendWrapper<T>);

impl<T> Here<T> {
    /// Makes one that belongs to this thread.
    pub fn new(stream: T) -> Self {
        Self(SendWrapper::new(stream))
    }

    /// Takes the stream out.
    ///
    /// # Panics
    ///
    /// On another thread.
    pub fn into_inner(self) -> T {
        self.0.take()
    }

    /// Returns the stream.
    ///
    /// # Panics
    ///
    /// On another thread.
    pub fn get_ref(&self) -> &T {
        &self.0
    }

    fn check(self: Pin<&mut Self>) -> io::Result<Pin<&mut T>>
    where
        T: Unpin,
    {
        if self.0.valid() {
            Ok(Pin::new(&mut self.get_mut().0))
        } else {
            let text = "this stream belongs to another thread: it is `Send` in name only";
            Err(io::Error::other(text))
        }
    }
}

impl<T> fmt::Debug for Here<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Here").finish_non_exhaustive()
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Here<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        self.check()?.poll_read(cx, buf)
    }

    fn poll_read_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
    ) -> Poll<io::Result<usize>> {
        self.check()?.poll_read_vectored(cx, bufs)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Here<T> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.check()?.poll_write(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.check()?.poll_write_vectored(cx, bufs)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check()?.poll_flush(cx)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check()?.poll_close(cx)
    }
}
