//! Options of sockets, beyond what the standard library sets: each is written once, as a row of a table,
//! and stands as methods on every type that has it. Feature `socket`.

use std::io;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};

use super::tcp_socket::TcpSocket;
use super::udp_builder::UdpBuilder;
#[cfg(unix)]
use super::unix_socket::UnixSocket;
use super::{TcpListener, TcpStream, UdpSocket};
#[cfg(unix)]
use super::{UnixDatagram, UnixListener, UnixStream};

/// When a silent TCP connection is asked whether its peer is still there. What is not set stays as the
/// system has it. Feature `socket`.
///
/// # Examples
///
/// ```
/// use loopline_io::net::Keepalive;
/// use std::time::Duration;
///
/// let keepalive = Keepalive::new().time(Duration::from_secs(30));
/// ```
#[derive(Clone, Debug)]
pub struct Keepalive {
    params: TcpKeepalive,
}

impl Keepalive {
    /// Makes one that sets nothing but that the peer is asked.
    #[must_use]
    pub fn new() -> Self {
        Self { params: TcpKeepalive::new() }
    }

    /// Sets for how long nothing has come when the peer is first asked. Whole seconds.
    #[must_use]
    pub fn time(self, time: Duration) -> Self {
        Self { params: self.params.with_time(time) }
    }

    /// Sets how long the answer is waited for before the peer is asked again. Whole seconds.
    #[cfg(any(
        target_os = "linux",
        target_os = "android",
        target_os = "macos",
        target_os = "ios",
        target_os = "freebsd",
        target_os = "netbsd",
        windows,
    ))]
    #[must_use]
    pub fn interval(self, interval: Duration) -> Self {
        Self { params: self.params.with_interval(interval) }
    }

    /// Sets how often the peer is asked in vain before the connection has failed.
    #[cfg(any(
        target_os = "linux",
        target_os = "android",
        target_os = "macos",
        target_os = "ios",
        target_os = "freebsd",
        target_os = "netbsd",
        windows,
    ))]
    #[must_use]
    pub fn retries(self, retries: u32) -> Self {
        Self { params: self.params.with_retries(retries) }
    }
}

impl Default for Keepalive {
    fn default() -> Self {
        Self::new()
    }
}

/// Calls a function with the socket behind a type of ours, which it stays.
macro_rules! existing {
    ($($Type:ident),*) => {$(
        impl $Type {
            fn with_socket<R>(&self, f: impl FnOnce(&socket2::Socket) -> R) -> R {
                f(&SockRef::from(&*self.adapter().cell().get()))
            }
        }
    )*};
}

/// The methods of a table: the name, then the name that sets, the type, and both as socket2 has them.
macro_rules! table {
    (
        $Type:ident:
        $(
            $(#[cfg($cfg:meta)])?
            $what:literal
            $get:ident, $set:ident: $Value:ty = $get2:ident, $set2:ident;
        )*
    ) => {
        impl $Type {
            $(
                $(#[cfg($cfg)])?
                #[doc = concat!("Returns ", $what)]
                ///
                /// # Errors
                ///
                /// What the system says.
                pub fn $get(&self) -> io::Result<$Value> {
                    self.with_socket(|socket| socket.$get2())
                }

                $(#[cfg($cfg)])?
                #[doc = concat!("Sets ", $what)]
                ///
                /// # Errors
                ///
                /// What the system says.
                pub fn $set(&self, value: $Value) -> io::Result<()> {
                    self.with_socket(|socket| socket.$set2(value))
                }
            )*
        }
    };
}

/// What decides which addresses can be bound.
macro_rules! binding {
    ($($Type:ident),*) => {$(
        table! { $Type:
            "whether an address is taken over that has just been in use (SO_REUSEADDR)."
            reuseaddr, set_reuseaddr: bool = reuse_address, set_reuse_address;
            #[cfg(all(unix, not(any(target_os = "solaris", target_os = "illumos"))))]
            "whether several sockets share one address (SO_REUSEPORT).\n\nOn Linux each gets its part \
             of what comes, by a hash of the peer's address: unequal parts. What waits in a \
             listener's queue is reset when it closes: accept until `WouldBlock` first."
            reuseport, set_reuseport: bool = reuse_port, set_reuse_port;
            "whether an IPv6 socket leaves IPv4 alone (IPV6_V6ONLY)."
            only_v6, set_only_v6: bool = only_v6, set_only_v6;
        }
    )*};
}

/// What routers and interfaces are told.
macro_rules! routing {
    ($($Type:ident),*) => {$(
        table! { $Type:
            #[cfg(not(any(
                target_os = "fuchsia", target_os = "solaris", target_os = "illumos", target_os = "haiku"
            )))]
            "the type of service of IPv4 packets (IP_TOS)."
            tos_v4, set_tos_v4: u32 = tos_v4, set_tos_v4;
            #[cfg(any(
                target_os = "linux", target_os = "android", target_os = "macos", target_os = "freebsd",
                target_os = "netbsd", target_os = "openbsd", target_os = "dragonfly"
            ))]
            "the traffic class of IPv6 packets (IPV6_TCLASS)."
            tclass_v6, set_tclass_v6: u32 = tclass_v6, set_tclass_v6;
        }

        #[cfg(any(target_os = "linux", target_os = "android"))]
        impl $Type {
            /// Returns the name of the interface this is bound to, if it is bound to one
            /// (SO_BINDTODEVICE). Linux only.
            ///
            /// # Errors
            ///
            /// What the system says.
            pub fn device(&self) -> io::Result<Option<Vec<u8>>> {
                self.with_socket(|socket| socket.device())
            }

            /// Binds to an interface by name, or to none any more (SO_BINDTODEVICE). Linux only.
            ///
            /// # Errors
            ///
            /// What the system says, such as that there is no such interface.
            pub fn bind_device(&self, interface: Option<&[u8]>) -> io::Result<()> {
                self.with_socket(|socket| socket.bind_device(interface))
            }
        }
    )*};
}

/// What a connection does on its own, in time.
macro_rules! connection {
    ($($Type:ident),*) => {$(
        table! { $Type:
            "whether a silent peer is asked if it is still there (SO_KEEPALIVE)."
            keepalive, set_keepalive: bool = keepalive, set_keepalive;
            "for how long the system blocks in closing until all is sent; `None`: not at all \
             (SO_LINGER).\n\nAnything but `None` and zero stops the whole loop in the close."
            linger, set_linger: Option<Duration> = linger, set_linger;
        }

        impl $Type {
            /// Has the connection reset when it is closed: what is not sent is dropped, and the peer reads an
            /// error in place of the end (SO_LINGER of 0).
            ///
            /// # Errors
            ///
            /// What the system says.
            pub fn set_zero_linger(&self) -> io::Result<()> {
                self.set_linger(Some(Duration::ZERO))
            }

            /// Sets when a silent peer is asked if it is still there, and that it is.
            ///
            /// # Errors
            ///
            /// What the system says.
            pub fn set_tcp_keepalive(&self, keepalive: &Keepalive) -> io::Result<()> {
                self.with_socket(|socket| socket.set_tcp_keepalive(&keepalive.params))
            }
        }
    )*};
}

/// The sizes of the kernel's buffers.
macro_rules! buffers {
    ($($Type:ident),*) => {$(
        impl $Type {
            /// Returns the size of the kernel's buffer for what is sent (SO_SNDBUF).
            ///
            /// # Errors
            ///
            /// What the system says.
            pub fn send_buffer_size(&self) -> io::Result<u32> {
                self.with_socket(|socket| socket.send_buffer_size()).map(narrow)
            }

            /// Sets the size of the kernel's buffer for what is sent (SO_SNDBUF). Linux takes twice as much,
            /// and keeps to its own limits without a word.
            ///
            /// # Errors
            ///
            /// What the system says.
            pub fn set_send_buffer_size(&self, size: u32) -> io::Result<()> {
                self.with_socket(|socket| socket.set_send_buffer_size(size as usize))
            }

            /// Returns the size of the kernel's buffer for what is received (SO_RCVBUF).
            ///
            /// # Errors
            ///
            /// What the system says.
            pub fn recv_buffer_size(&self) -> io::Result<u32> {
                self.with_socket(|socket| socket.recv_buffer_size()).map(narrow)
            }

            /// Sets the size of the kernel's buffer for what is received (SO_RCVBUF). Linux takes twice as
            /// much, and keeps to its own limits without a word.
            ///
            /// # Errors
            ///
            /// What the system says.
            pub fn set_recv_buffer_size(&self, size: u32) -> io::Result<()> {
                self.with_socket(|socket| socket.set_recv_buffer_size(size as usize))
            }
        }
    )*};
}

existing!(TcpStream, TcpListener, UdpSocket);
#[cfg(unix)]
existing!(UnixStream, UnixListener, UnixDatagram);

binding!(TcpSocket, UdpBuilder);
routing!(TcpSocket, UdpBuilder, TcpStream, UdpSocket);
connection!(TcpSocket, TcpStream);
buffers!(TcpSocket, UdpBuilder, TcpStream, TcpListener, UdpSocket);
#[cfg(unix)]
buffers!(UnixSocket, UnixStream, UnixListener, UnixDatagram);

table! { TcpSocket:
    "whether small packets are sent at once (TCP_NODELAY)."
    nodelay, set_nodelay: bool = tcp_nodelay, set_tcp_nodelay;
}

table! { TcpStream:
    "whether urgent bytes stand among the others (SO_OOBINLINE); else ordinary reads pass them over."
    oobinline, set_oobinline: bool = out_of_band_inline, set_out_of_band_inline;
    #[cfg(any(target_os = "linux", target_os = "android"))]
    "whether what comes is acknowledged at once (TCP_QUICKACK). Linux only.\n\nThe system goes back to its \
     own judgement by itself: set it again after a read."
    quickack, set_quickack: bool = tcp_quickack, set_tcp_quickack;
}

/// The system's sizes are ints.
fn narrow(size: usize) -> u32 {
    u32::try_from(size).unwrap_or(u32::MAX)
}
