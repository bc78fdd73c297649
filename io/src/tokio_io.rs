//! tokio's `AsyncRead` and `AsyncWrite`, by value and for references.
//!
//! They are the futures-io ones in other words: one waiter a direction, the last to poll.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::net::TcpStream;
use crate::scratch;

/// Reads into a buffer of tokio's, of which a part may be uninitialized.
fn poll_read<R: futures_io::AsyncRead>(
    stream: Pin<&mut R>,
    cx: &mut Context<'_>,
    buf: &mut ReadBuf<'_>,
) -> Poll<io::Result<()>> {
    if buf.initialized().len() == buf.capacity() {
        let n = ready!(futures_io::AsyncRead::poll_read(stream, cx, buf.initialize_unfilled()))?;
        buf.advance(n);
        return Poll::Ready(Ok(()));
    }
    scratch::poll_read(stream, cx, buf.remaining(), |read| buf.put_slice(read))
}

/// Gives a type tokio's traits by those of futures-io, which `&T` must have.
macro_rules! tokio_io {
    ($($stream:ty),+) => {$(
        tokio_io!(impl $stream: |stream| Pin::new(&mut &*stream));
        tokio_io!(impl &$stream: |stream| stream);
    )+};
    (impl $for:ty: |$stream:ident| $inner:expr) => {
        impl AsyncRead for $for {
            fn poll_read(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buf: &mut ReadBuf<'_>,
            ) -> Poll<io::Result<()>> {
                let $stream = self;
                poll_read($inner, cx, buf)
            }
        }

        impl AsyncWrite for $for {
            fn poll_write(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buf: &[u8],
            ) -> Poll<io::Result<usize>> {
                let $stream = self;
                futures_io::AsyncWrite::poll_write($inner, cx, buf)
            }

            fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                let $stream = self;
                futures_io::AsyncWrite::poll_flush($inner, cx)
            }

            fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                let $stream = self;
                scratch::poll_close($inner, cx)
            }

            fn poll_write_vectored(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                bufs: &[IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                let $stream = self;
                futures_io::AsyncWrite::poll_write_vectored($inner, cx, bufs)
            }

            fn is_write_vectored(&self) -> bool {
                true
            }
        }
    };
}

tokio_io!(TcpStream);
