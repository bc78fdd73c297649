//! Datagrams with what the system knows of them, whether they were cut; and looks at what is not taken.

use std::future::Future;
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::os::unix::net;

use rustix::net::{
    RecvAncillaryBuffer, RecvFlags, RecvMsg, ReturnFlags, SocketAddrAny, SocketAddrUnix,
};

use super::{UdpSocket, UnixDatagram, UnixStream};
use crate::adapter::Reading;

/// What `recv_msg` received. Feature `socket`.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Datagram<A> {
    /// How many bytes stand in the buffer.
    pub len: usize,
    /// The sender's address.
    pub from: A,
    /// Whether the datagram was longer than the buffer: the rest is lost.
    pub truncated: bool,
}

impl UdpSocket {
    /// Receives a datagram, its sender's address, and whether it was longer than the buffer. Unix only.
    /// Feature `socket`.
    ///
    /// # Errors
    ///
    /// As [`Self::recv`].
    ///
    /// # Cancel safety
    ///
    /// Strict: a wait that is dropped has received nothing.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// # use loopline_io::net::UdpSocket;
    /// # loopline_runtime::EventLoop::<()>::new()?.block_on(async {
    /// # let server = UdpSocket::bind("127.0.0.1:0").await?;
    /// # let client = UdpSocket::bind("127.0.0.1:0").await?;
    /// client.send_to(b"longer than that", server.local_addr()?).await?;
    /// let datagram = server.recv_msg(&mut [0; 8]).await?;
    /// assert_eq!((datagram.len, datagram.truncated), (8, true));
    /// # Ok(())
    /// # })?
    /// # }
    /// ```
    pub fn recv_msg(
        &self,
        buf: &mut [u8],
    ) -> impl Future<Output = io::Result<Datagram<SocketAddr>>> {
        self.adapter().op::<Reading, _, _>(|socket, _| {
            receive(socket, buf, |from| Ok(SocketAddr::try_from(from.ok_or_else(nameless)?)?))
        })
    }
}

impl UnixDatagram {
    /// Receives a datagram, its sender's address, and whether it was longer than the buffer. Feature
    /// `socket`.
    ///
    /// Descriptors that came with it are closed.
    ///
    /// # Errors
    ///
    /// As [`Self::recv`].
    ///
    /// # Cancel safety
    ///
    /// Strict: a wait that is dropped has received nothing.
    pub fn recv_msg(
        &self,
        buf: &mut [u8],
    ) -> impl Future<Output = io::Result<Datagram<net::SocketAddr>>> {
        self.adapter().op::<Reading, _, _>(|socket, _| receive(socket, buf, unix_address))
    }
}

macro_rules! peek {
    ($($Socket:ident),*) => {$(
        impl $Socket {
            /// Receives without taking: the next one to receive finds the same. Feature `socket`.
            ///
            /// # Errors
            ///
            /// What the system says.
            ///
            /// # Cancel safety
            ///
            /// Strict.
            pub fn peek(&self, buf: &mut [u8]) -> impl Future<Output = io::Result<usize>> {
                self.adapter().op::<Reading, _, _>(|socket, _| {
                    let (n, _) = rustix::net::recv(socket, &mut *buf, RecvFlags::PEEK)?;
                    Ok(n)
                })
            }
        }
    )*};
}

peek!(UnixStream, UnixDatagram);

fn receive<A>(
    socket: impl AsFd,
    buf: &mut [u8],
    address: impl FnOnce(Option<SocketAddrAny>) -> io::Result<A>,
) -> io::Result<Datagram<A>> {
    let mut bufs = [IoSliceMut::new(buf)];
    // Without room for descriptors the system closes them.
    let mut control = RecvAncillaryBuffer::default();
    let RecvMsg { bytes, flags, address: from } =
        rustix::net::recvmsg(socket, &mut bufs, &mut control, RecvFlags::empty())?;
    let truncated = flags.contains(ReturnFlags::TRUNC);
    Ok(Datagram { len: bytes, from: address(from)?, truncated })
}

fn unix_address(from: Option<SocketAddrAny>) -> io::Result<net::SocketAddr> {
    // A sender without an address has the empty one.
    let Some(from) = from else { return net::SocketAddr::from_pathname("") };
    let from = SocketAddrUnix::try_from(from)?;
    #[cfg(any(target_os = "linux", target_os = "android"))]
    if let Some(name) = from.abstract_name() {
        #[cfg(target_os = "android")]
        use std::os::android::net::SocketAddrExt;
        #[cfg(target_os = "linux")]
        use std::os::linux::net::SocketAddrExt;
        return net::SocketAddr::from_abstract_name(name);
    }
    let path = from.path_bytes().unwrap_or_default();
    net::SocketAddr::from_pathname(<std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(
        path,
    ))
}

fn nameless() -> io::Error {
    io::Error::other("the datagram has no sender's address")
}
