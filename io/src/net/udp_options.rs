//! What a `UdpSocket` knows and can be set to: addresses, broadcast, multicast.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use super::UdpSocket;

impl UdpSocket {
    /// Returns this end's address.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.adapter().cell().get().local_addr()
    }

    /// Returns the peer's address, which [`Self::connect`] has set.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.adapter().cell().get().peer_addr()
    }

    /// Whether it may send to broadcast addresses (SO_BROADCAST).
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn broadcast(&self) -> io::Result<bool> {
        self.adapter().cell().get().broadcast()
    }

    /// Sets whether it may send to broadcast addresses (SO_BROADCAST). Default: no.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn set_broadcast(&self, on: bool) -> io::Result<()> {
        self.adapter().cell().get().set_broadcast(on)
    }

    /// Whether this host's own IPv4 multicast datagrams come back to it.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn multicast_loop_v4(&self) -> io::Result<bool> {
        self.adapter().cell().get().multicast_loop_v4()
    }

    /// Sets whether this host's own IPv4 multicast datagrams come back to it. Default: yes.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn set_multicast_loop_v4(&self, on: bool) -> io::Result<()> {
        self.adapter().cell().get().set_multicast_loop_v4(on)
    }

    /// Returns the time-to-live of IPv4 multicast datagrams.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn multicast_ttl_v4(&self) -> io::Result<u32> {
        self.adapter().cell().get().multicast_ttl_v4()
    }

    /// Sets the time-to-live of IPv4 multicast datagrams. Default: 1, the local network.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn set_multicast_ttl_v4(&self, ttl: u32) -> io::Result<()> {
        self.adapter().cell().get().set_multicast_ttl_v4(ttl)
    }

    /// Whether this host's own IPv6 multicast datagrams come back to it.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn multicast_loop_v6(&self) -> io::Result<bool> {
        self.adapter().cell().get().multicast_loop_v6()
    }

    /// Sets whether this host's own IPv6 multicast datagrams come back to it. Default: yes.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn set_multicast_loop_v6(&self, on: bool) -> io::Result<()> {
        self.adapter().cell().get().set_multicast_loop_v6(on)
    }

    /// Returns the time-to-live of datagrams to single hosts.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn ttl(&self) -> io::Result<u32> {
        self.adapter().cell().get().ttl()
    }

    /// Sets the time-to-live of datagrams to single hosts.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn set_ttl(&self, ttl: u32) -> io::Result<()> {
        self.adapter().cell().get().set_ttl(ttl)
    }

    /// Joins an IPv4 multicast group on the interface with this address; `0.0.0.0` lets the system choose.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn join_multicast_v4(&self, multiaddr: Ipv4Addr, interface: Ipv4Addr) -> io::Result<()> {
        self.adapter().cell().get().join_multicast_v4(&multiaddr, &interface)
    }

    /// Joins an IPv6 multicast group on the interface with this index; 0 lets the system choose.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn join_multicast_v6(&self, multiaddr: &Ipv6Addr, interface: u32) -> io::Result<()> {
        self.adapter().cell().get().join_multicast_v6(multiaddr, interface)
    }

    /// Leaves a group that [`Self::join_multicast_v4`] joined.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn leave_multicast_v4(&self, multiaddr: Ipv4Addr, interface: Ipv4Addr) -> io::Result<()> {
        self.adapter().cell().get().leave_multicast_v4(&multiaddr, &interface)
    }

    /// Leaves a group that [`Self::join_multicast_v6`] joined.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn leave_multicast_v6(&self, multiaddr: &Ipv6Addr, interface: u32) -> io::Result<()> {
        self.adapter().cell().get().leave_multicast_v6(multiaddr, interface)
    }
}
