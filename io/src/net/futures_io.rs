//! The traits of `futures-io` for `TcpStream`, `UnixStream`, what holds one, and references to them.
//!
//! They keep one waiter a direction, the last to poll; the methods of the streams keep any number.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::Shutdown;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_io::{AsyncRead, AsyncWrite};
use loopline_runtime::registration::{Direction, WaitKey};

use super::stream::{read_now, read_vectored_now};
use crate::sys::{send, send_vectored};

macro_rules! futures_io {
    ($Stream:ty) => {
        impl AsyncRead for &$Stream {
            fn poll_read(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buf: &mut [u8],
            ) -> Poll<io::Result<usize>> {
                self.adapter().poll_io(Direction::Read, &mut WaitKey::last_poller(), cx, |socket| {
                    read_now(socket, self.adapter().registration(), buf)
                })
            }

            fn poll_read_vectored(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                bufs: &mut [IoSliceMut<'_>],
            ) -> Poll<io::Result<usize>> {
                self.adapter().poll_io(Direction::Read, &mut WaitKey::last_poller(), cx, |socket| {
                    read_vectored_now(socket, self.adapter().registration(), bufs)
                })
            }
        }

        impl AsyncWrite for &$Stream {
            fn poll_write(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buf: &[u8],
            ) -> Poll<io::Result<usize>> {
                self.adapter().poll_io(
                    Direction::Write,
                    &mut WaitKey::last_poller(),
                    cx,
                    |socket| send(socket, buf),
                )
            }

            fn poll_write_vectored(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                bufs: &[IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                self.adapter().poll_io(
                    Direction::Write,
                    &mut WaitKey::last_poller(),
                    cx,
                    |socket| send_vectored(socket, bufs),
                )
            }

            fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                Poll::Ready(Ok(()))
            }

            fn poll_close(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                Poll::Ready(self.shutdown_half(Shutdown::Write))
            }
        }

        impl AsyncRead for $Stream {
            fn poll_read(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buf: &mut [u8],
            ) -> Poll<io::Result<usize>> {
                Pin::new(&mut &*self).poll_read(cx, buf)
            }

            fn poll_read_vectored(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                bufs: &mut [IoSliceMut<'_>],
            ) -> Poll<io::Result<usize>> {
                Pin::new(&mut &*self).poll_read_vectored(cx, bufs)
            }
        }

        impl AsyncWrite for $Stream {
            fn poll_write(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buf: &[u8],
            ) -> Poll<io::Result<usize>> {
                Pin::new(&mut &*self).poll_write(cx, buf)
            }

            fn poll_write_vectored(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                bufs: &[IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                Pin::new(&mut &*self).poll_write_vectored(cx, bufs)
            }

            fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                Pin::new(&mut &*self).poll_flush(cx)
            }

            fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                Pin::new(&mut &*self).poll_close(cx)
            }
        }
    };
}

/// What holds a stream reads as a reference to that does.
macro_rules! reads {
    ([$($T:ident)?] $Type:ty, $self:ident => $inner:expr) => {
        impl$(<$T>)? ::futures_io::AsyncRead for $Type
        $(where for<'a> &'a $T: ::futures_io::AsyncRead)?
        {
            fn poll_read(
                $self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buf: &mut [u8],
            ) -> Poll<io::Result<usize>> {
                ::futures_io::AsyncRead::poll_read(Pin::new(&mut $inner), cx, buf)
            }

            fn poll_read_vectored(
                $self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                bufs: &mut [IoSliceMut<'_>],
            ) -> Poll<io::Result<usize>> {
                ::futures_io::AsyncRead::poll_read_vectored(Pin::new(&mut $inner), cx, bufs)
            }
        }
    };
}

/// What holds a stream writes as a reference to that does.
macro_rules! writes {
    ([$($T:ident)?] $Type:ty, $self:ident => $inner:expr) => {
        impl$(<$T>)? ::futures_io::AsyncWrite for $Type
        $(where for<'a> &'a $T: ::futures_io::AsyncWrite)?
        {
            fn poll_write(
                $self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buf: &[u8],
            ) -> Poll<io::Result<usize>> {
                ::futures_io::AsyncWrite::poll_write(Pin::new(&mut $inner), cx, buf)
            }

            fn poll_write_vectored(
                $self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                bufs: &[IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                ::futures_io::AsyncWrite::poll_write_vectored(Pin::new(&mut $inner), cx, bufs)
            }

            fn poll_flush($self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                ::futures_io::AsyncWrite::poll_flush(Pin::new(&mut $inner), cx)
            }

            fn poll_close($self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                ::futures_io::AsyncWrite::poll_close(Pin::new(&mut $inner), cx)
            }
        }
    };
}

pub(super) use {reads, writes};

// A limit counts, and nothing else.
reads!([T] super::Limited<T>, self => &**self);
reads!([T] &super::Limited<T>, self => &***self);
writes!([T] super::Limited<T>, self => &**self);
writes!([T] &super::Limited<T>, self => &***self);

futures_io!(super::TcpStream);
#[cfg(unix)]
futures_io!(super::UnixStream);
