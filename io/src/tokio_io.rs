//! tokio's `AsyncRead`, `AsyncWrite` and `AsyncSeek`, by value and for references.
//!
//! They are the futures-io ones in other words: one waiter a direction, the last to poll.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::here::Here;
use crate::net::{Limited, TcpStream, tcp};
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

/// Gives types tokio's `AsyncRead` by that of futures-io.
macro_rules! reads {
    ($($type:ty),+) => {$( reads!(impl [] $type where); )+};
    (impl [$($generics:tt)*] $type:ty where $($bounds:tt)*) => {
        impl<$($generics)*> AsyncRead for $type
        where
            $($bounds)*
        {
            fn poll_read(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buf: &mut ReadBuf<'_>,
            ) -> Poll<io::Result<()>> {
                poll_read(self, cx, buf)
            }
        }
    };
}

/// Gives types tokio's `AsyncWrite` by that of futures-io.
macro_rules! writes {
    ($($type:ty),+) => {$( writes!(impl [] $type where); )+};
    (impl [$($generics:tt)*] $type:ty where $($bounds:tt)*) => {
        impl<$($generics)*> AsyncWrite for $type
        where
            $($bounds)*
        {
            fn poll_write(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buf: &[u8],
            ) -> Poll<io::Result<usize>> {
                futures_io::AsyncWrite::poll_write(self, cx, buf)
            }

            fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                futures_io::AsyncWrite::poll_flush(self, cx)
            }

            fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                scratch::poll_close(self, cx)
            }

            fn poll_write_vectored(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                bufs: &[IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                futures_io::AsyncWrite::poll_write_vectored(self, cx, bufs)
            }

            fn is_write_vectored(&self) -> bool {
                true
            }
        }
    };
}

reads!(TcpStream, &TcpStream, tcp::OwnedReadHalf, &tcp::OwnedReadHalf);
writes!(TcpStream, &TcpStream, tcp::OwnedWriteHalf, &tcp::OwnedWriteHalf);

reads!(impl [T] Limited<T> where for<'a> &'a T: futures_io::AsyncRead);
reads!(impl [T] &Limited<T> where for<'a> &'a T: futures_io::AsyncRead);
writes!(impl [T] Limited<T> where for<'a> &'a T: futures_io::AsyncWrite);
writes!(impl [T] &Limited<T> where for<'a> &'a T: futures_io::AsyncWrite);

reads!(impl [T] Here<T> where T: futures_io::AsyncRead + Unpin);
writes!(impl [T] Here<T> where T: futures_io::AsyncWrite + Unpin);

#[cfg(unix)]
mod unix_sockets {
    use super::*;
    use crate::net::{UnixStream, unix};

    reads!(UnixStream, &UnixStream, unix::OwnedReadHalf, &unix::OwnedReadHalf);
    writes!(UnixStream, &UnixStream, unix::OwnedWriteHalf, &unix::OwnedWriteHalf);
}

#[cfg(all(unix, feature = "fd"))]
mod descriptors {
    use std::io::{Read, Write};
    use std::os::fd::AsFd;

    use super::*;
    use crate::fd::Async;
    use crate::pipe::{Receiver, Sender};
    use crate::stdio::{Stderr, Stdin, Stdout};

    reads!(Receiver, &Receiver, Stdin, &Stdin);
    writes!(Sender, &Sender, Stdout, &Stdout, Stderr, &Stderr);
    reads!(impl [T: AsFd + Read] Async<T> where);
    reads!(impl [T: AsFd] &Async<T> where for<'a> &'a T: Read);
    writes!(impl [T: AsFd + Write] Async<T> where);
    writes!(impl [T: AsFd] &Async<T> where for<'a> &'a T: Write);
}

#[cfg(all(unix, feature = "process"))]
mod children {
    use super::*;
    use crate::process::{ChildStderr, ChildStdin, ChildStdout};

    reads!(ChildStdout, &ChildStdout, ChildStderr, &ChildStderr);
    writes!(ChildStdin, &ChildStdin);
}

#[cfg(feature = "fs")]
mod files {
    use std::io::SeekFrom;

    use tokio::io::AsyncSeek;

    use super::*;
    use crate::fs::File;

    reads!(File);
    writes!(File);

    impl AsyncSeek for File {
        fn start_seek(self: Pin<&mut Self>, to: SeekFrom) -> io::Result<()> {
            self.get_mut().start_seek(to)
        }

        fn poll_complete(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<u64>> {
            self.get_mut().poll_seek_complete(cx)
        }
    }
}
