//! Datagrams to nobody.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;

use loopline::net::UdpSocket;
use loopline::time::timeout;

use crate::bystanders::quiet;
use crate::tools::{HERE, soon};

pub async fn refused_datagrams() -> String {
    let socket = UdpSocket::bind((HERE, 0)).await.expect("a socket");
    let to: SocketAddr = "127.0.0.1:41001".parse().expect("an address");
    socket.connect(to).await.expect("connected");
    let mut told = 0;
    for _ in 0..20 {
        soon(socket.send(b"anybody?")).await.expect("a send");
        let error = soon(socket.recv(&mut [0; 8])).await.expect_err("nobody there");
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        told += 1;
        assert!(
            timeout(Duration::from_millis(5), socket.recv(&mut [0; 8])).await.is_err(),
            "twice"
        );
    }
    quiet(Duration::from_millis(300)).await;
    let peer = UdpSocket::bind(to).await.expect("a socket");
    soon(socket.send(b"now")).await.expect("a send");
    let mut buf = [0; 8];
    let (n, from) = soon(peer.recv_from(&mut buf)).await.expect("a datagram");
    assert_eq!(&buf[..n], b"now");
    soon(peer.send_to(b"yes", from)).await.expect("a send");
    assert_eq!(soon(socket.recv(&mut buf)).await.expect("an answer"), 3);
    format!("{told} refusals told once each, then an answer by the same socket")
}
