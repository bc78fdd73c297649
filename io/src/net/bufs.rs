//! Receiving into the buffers of the crate `bytes`, under tokio's names. Feature `tokio-io`.

use std::future::Future;
use std::io;
use std::net::SocketAddr;

use bytes::BufMut;
use loopline_runtime::registration::Direction;

use super::stream::read_now;
use super::{TcpStream, UdpSocket};
use crate::adapter::Reading;
use crate::scratch::fill;

macro_rules! streams {
    ($($Stream:ident),+) => {$(
        impl $Stream {
            /// Reads what is there, without waiting, into the room that a buffer has. Feature `tokio-io`.
            ///
            /// # Errors
            ///
            /// `WouldBlock` if nothing is there: then [`Self::readable`] waits.
            pub fn try_read_buf<B: BufMut>(&self, buf: &mut B) -> io::Result<usize> {
                let registration = self.adapter().registration();
                self.adapter().try_io(Direction::Read, |socket| {
                    fill(buf, |slice| read_now(socket, registration, slice))
                })
            }
        }
    )+};
}

macro_rules! datagrams {
    ($($Socket:ident: $Addr:ty),+) => {$(
        impl $Socket {
            /// As [`Self::recv`], into the room that a buffer has. Feature `tokio-io`.
            ///
            /// # Errors
            ///
            /// As [`Self::recv`].
            ///
            /// # Cancel safety
            ///
            /// Strict: a wait that is dropped has received nothing.
            pub fn recv_buf<B: BufMut>(
                &self,
                buf: &mut B,
            ) -> impl Future<Output = io::Result<usize>> {
                self.adapter().op::<Reading, _, _>(|socket, _| fill(buf, |slice| socket.recv(slice)))
            }

            /// As [`Self::recv_from`], into the room that a buffer has. Feature `tokio-io`.
            ///
            /// # Errors
            ///
            /// As [`Self::recv`].
            ///
            /// # Cancel safety
            ///
            /// Strict: a wait that is dropped has received nothing.
            pub fn recv_buf_from<B: BufMut>(
                &self,
                buf: &mut B,
            ) -> impl Future<Output = io::Result<(usize, $Addr)>> {
                self.adapter()
                    .op::<Reading, _, _>(|socket, _| fill(buf, |slice| socket.recv_from(slice)))
            }

            /// As [`Self::recv_buf`], without waiting.
            ///
            /// # Errors
            ///
            /// `WouldBlock` if no datagram is there.
            pub fn try_recv_buf<B: BufMut>(&self, buf: &mut B) -> io::Result<usize> {
                self.adapter()
                    .try_io(Direction::Read, |socket| fill(buf, |slice| socket.recv(slice)))
            }

            /// As [`Self::recv_buf_from`], without waiting.
            ///
            /// # Errors
            ///
            /// `WouldBlock` if no datagram is there.
            pub fn try_recv_buf_from<B: BufMut>(&self, buf: &mut B) -> io::Result<(usize, $Addr)> {
                self.adapter()
                    .try_io(Direction::Read, |socket| fill(buf, |slice| socket.recv_from(slice)))
            }
        }
    )+};
}

streams!(TcpStream);
datagrams!(UdpSocket: SocketAddr);

#[cfg(unix)]
mod unix_sockets {
    use std::os::unix::net::SocketAddr;

    use super::*;
    use crate::net::{UnixDatagram, UnixStream};

    streams!(UnixStream);
    datagrams!(UnixDatagram: SocketAddr);
}
