//! TCP, UDP and Unix sockets.
//!
//! All methods are on `&self`: one stream can be read by one task and written by another, without
//! splitting it. Any number of tasks may wait on each direction; the `poll_` forms wake the last.
//!
//! A socket belongs to the event loop on which it first had to wait, and is woken only while that loop
//! runs. To move it to another one, take it out with `into_std` and in again with `from_std`.

pub use addr::{Addrs, ToAddrs};
pub use incoming::{Incoming, Listener};
pub use limit::{Limit, Limited, Place, Shed};
pub use lookup::lookup_host;
pub use tcp_listener::TcpListener;
pub use tcp_stream::TcpStream;
pub use udp::UdpSocket;
#[cfg(feature = "socket")]
pub use {options::Keepalive, tcp_socket::TcpSocket, udp_builder::UdpBuilder};
#[cfg(all(unix, feature = "socket"))]
pub use {received::Datagram, unix_fds::ReceivedFds, unix_socket::UnixSocket};
#[cfg(unix)]
pub use {unix_datagram::UnixDatagram, unix_listener::UnixListener, unix_stream::UnixStream};

#[cfg(all(any(target_os = "linux", target_os = "android"), feature = "socket"))]
pub use unix_fds::UCred;

pub mod tcp;
#[cfg(unix)]
pub mod unix;

mod accept;
mod addr;
#[cfg(feature = "tokio-io")]
mod bufs;
mod connect;
mod datagram;
mod futures_io;
mod halves;
mod incoming;
mod limit;
mod lookup;
#[cfg(feature = "socket")]
mod options;
mod readiness;
#[cfg(all(unix, feature = "socket"))]
mod received;
mod stream;
mod tcp_listener;
mod tcp_options;
#[cfg(feature = "socket")]
mod tcp_socket;
mod tcp_stream;
mod udp;
#[cfg(feature = "socket")]
mod udp_builder;
mod udp_options;
#[cfg(unix)]
mod unix_addr;
#[cfg(unix)]
mod unix_datagram;
#[cfg(all(unix, feature = "socket"))]
mod unix_fds;
#[cfg(unix)]
mod unix_listener;
#[cfg(all(unix, feature = "socket"))]
mod unix_socket;
#[cfg(unix)]
mod unix_stream;
