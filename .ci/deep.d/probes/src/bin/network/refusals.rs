//! Peers, networks and ports that are not there: each an error of its own kind.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use loopline::net::{TcpSocket, TcpStream, UdpSocket};

use crate::bystanders::{descriptors, quiet};
use crate::tools::{HERE, listener, sh, soon, works};

pub async fn refusals() -> String {
    let kind = |address: &'static str| async move {
        let address: SocketAddr = address.parse().expect("an address");
        let before = descriptors();
        let error = soon(TcpStream::connect(address)).await.expect_err("nobody there");
        assert_eq!(descriptors(), before);
        error.kind()
    };
    assert_eq!(kind("127.0.0.1:9").await, ErrorKind::ConnectionRefused);
    assert_eq!(kind("10.1.2.3:9").await, ErrorKind::NetworkUnreachable);
    sh("ip route add unreachable 10.1.0.0/16; ip route add prohibit 10.2.0.0/16");
    assert_eq!(kind("10.1.2.3:9").await, ErrorKind::HostUnreachable);
    assert_eq!(kind("10.2.2.3:9").await, ErrorKind::PermissionDenied);
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await.expect("a socket");
    let error = soon(socket.send_to(b"x", "10.9.2.3:9")).await.expect_err("no route");
    assert_eq!(error.kind(), ErrorKind::NetworkUnreachable);
    quiet(Duration::from_millis(300)).await;
    // And a peer that is there is reached by the same socket.
    let peer = UdpSocket::bind((HERE, 0)).await.expect("a socket");
    soon(socket.send_to(b"x", peer.local_addr().expect("an address"))).await.expect("a send");
    assert_eq!(soon(peer.recv(&mut [0; 8])).await.expect("a datagram"), 1);
    "refused, no network, no host, not permitted: each its own kind".into()
}

pub async fn few_ports() -> String {
    let (listener, address) = listener().await;
    sh("sysctl -q -w net.ipv4.ip_local_port_range='40000 40009'");
    let mut pairs = Vec::new();
    let error = loop {
        match soon(TcpStream::connect(address)).await {
            Ok(near) => pairs.push((near, soon(listener.accept()).await.expect("a connection").0)),
            Err(error) => break error,
        }
        assert!(pairs.len() <= 10, "more than there are ports");
    };
    assert_eq!(error.kind(), ErrorKind::AddrNotAvailable, "{error}");
    assert_eq!(pairs.len(), 10);
    quiet(Duration::from_millis(300)).await;
    works(&pairs[9].0, &pairs[9].1).await;
    // One ends by its peer's end first, and its port is free again.
    let (near, far) = pairs.pop().expect("ten");
    drop(far);
    assert_eq!(soon(near.read(&mut [0; 8])).await.expect("the end"), 0);
    drop(near);
    let near = soon(TcpStream::connect(address)).await.expect("a port");
    works(&near, &soon(listener.accept()).await.expect("a connection").0).await;
    drop((near, pairs, listener));
    own_peer().await;
    quiet(Duration::from_millis(300)).await;
    "the eleventh of ten ports is an error of its kind; one is its own peer".into()
}

/// A socket that connects to its own address is its own peer.
async fn own_peer() {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind("127.0.0.1:41000".parse().expect("an address")).expect("bound");
    let own = socket.local_addr().expect("an address");
    let selves = soon(socket.connect(own)).await.expect("connected to itself");
    assert_eq!((selves.local_addr().ok(), selves.peer_addr().ok()), (Some(own), Some(own)));
    works(&selves, &selves).await;
}
