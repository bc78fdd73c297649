//! What a `TcpStream` knows and can be set to: addresses and options.

use std::io;
use std::net::SocketAddr;

use super::TcpStream;

impl TcpStream {
    /// Returns this end's address.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.adapter().cell().get().local_addr()
    }

    /// Returns the peer's address.
    ///
    /// # Errors
    ///
    /// What the system says, such as that it is not connected any more.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.adapter().cell().get().peer_addr()
    }

    /// Whether small packets are sent at once (TCP_NODELAY).
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn nodelay(&self) -> io::Result<bool> {
        self.adapter().cell().get().nodelay()
    }

    /// Sets whether small packets are sent at once (TCP_NODELAY).
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
        self.adapter().cell().get().set_nodelay(nodelay)
    }

    /// Returns the time-to-live of packets.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn ttl(&self) -> io::Result<u32> {
        self.adapter().cell().get().ttl()
    }

    /// Sets the time-to-live of packets.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn set_ttl(&self, ttl: u32) -> io::Result<()> {
        self.adapter().cell().get().set_ttl(ttl)
    }
}
