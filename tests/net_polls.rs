//! What code that polls by hand has of sockets, and operations of one's own on them.
#![cfg(unix)]

#[path = "support/net.rs"]
mod net;
mod support;

use std::future::poll_fn;
use std::io::{ErrorKind, Read};
use std::os::fd::AsFd;

use loopline::io::Interest;
use loopline::net::{TcpListener, TcpStream, UdpSocket, UnixDatagram, UnixListener, UnixStream};
use loopline::spawn;
use net::{ANY, pair, poll_once, soon};
use support::block_on;

/// A folder of one test's own.
struct Folder(std::path::PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("loopline-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn listeners_can_be_polled_for_connections() {
    block_on(async {
        let listener = TcpListener::bind(ANY).await.unwrap();
        let address = listener.local_addr().unwrap();
        assert!(poll_once(poll_fn(|cx| listener.poll_accept(cx))).await.is_pending());
        let client = spawn(TcpStream::connect(address));
        let (_stream, peer) = soon(poll_fn(|cx| listener.poll_accept(cx))).await.unwrap();
        assert_eq!(peer, client.await.unwrap().unwrap().local_addr().unwrap());

        let folder = Folder::new("poll-accept");
        let path = folder.0.join("socket");
        let listener = UnixListener::bind(&path).unwrap();
        let client = spawn(UnixStream::connect(path.clone()));
        let (_stream, _peer) = soon(poll_fn(|cx| listener.poll_accept(cx))).await.unwrap();
        client.await.unwrap().unwrap();
    });
}

#[test]
fn peeks_can_be_polled() {
    block_on(async {
        let (near, far) = pair().await;
        let mut buf = [0; 9];
        assert!(poll_once(poll_fn(|cx| near.poll_peek(cx, &mut buf))).await.is_pending());
        far.write_all(b"twice").await.unwrap();
        for _ in 0..2 {
            assert_eq!(soon(poll_fn(|cx| near.poll_peek(cx, &mut buf))).await.unwrap(), 5);
        }
        assert_eq!(near.read(&mut buf).await.unwrap(), 5);
    });
}

#[test]
fn the_sender_of_a_datagram_is_told_without_taking_it() {
    block_on(async {
        let receiver = UdpSocket::bind(ANY).await.unwrap();
        let sender = UdpSocket::bind(ANY).await.unwrap();
        let from = sender.local_addr().unwrap();
        assert!(poll_once(receiver.peek_sender()).await.is_pending());
        assert_eq!(receiver.try_peek_sender().unwrap_err().kind(), ErrorKind::WouldBlock);
        // an empty datagram has a sender too
        for datagram in [&b""[..], b"full"] {
            sender.send_to(datagram, receiver.local_addr().unwrap()).await.unwrap();
            assert_eq!(soon(receiver.peek_sender()).await.unwrap(), from);
            assert_eq!(receiver.try_peek_sender().unwrap(), from);
            assert_eq!(soon(poll_fn(|cx| receiver.poll_peek_sender(cx))).await.unwrap(), from);
            let mut buf = [0; 9];
            let peeked = soon(poll_fn(|cx| receiver.poll_peek(cx, &mut buf))).await.unwrap();
            assert_eq!(peeked, datagram.len());
            assert_eq!(receiver.recv(&mut buf).await.unwrap(), datagram.len());
        }
    });
}

#[test]
fn a_polled_unix_datagram_waits_for_room_in_the_queue_of_its_receiver() {
    block_on(async {
        let folder = Folder::new("poll-send-to");
        let path = folder.0.join("socket");
        let receiver = UnixDatagram::bind(&path).unwrap();
        let sender = UnixDatagram::unbound().unwrap();
        let mut sent = 0;
        while sender.try_send_to(b"datagram", &path).is_ok() {
            sent += 1;
        }
        assert!(
            poll_once(poll_fn(|cx| sender.poll_send_to(cx, b"one more", &path))).await.is_pending()
        );
        let reads = spawn(async move {
            let mut buf = [0; 9];
            for _ in 0..=sent {
                receiver.recv(&mut buf).await.unwrap();
            }
        });
        let n = soon(poll_fn(|cx| sender.poll_send_to(cx, b"one more", &path))).await.unwrap();
        assert_eq!(n, 8);
        soon(reads).await.unwrap();
    });
}

#[test]
fn an_operation_of_ones_own_is_awaited_on_a_socket() {
    block_on(async {
        let (near, far) = pair().await;
        let mut copy = std::net::TcpStream::from(near.as_fd().try_clone_to_owned().unwrap());
        let mut calls = 0;
        let own = near.async_io(Interest::READABLE, || {
            calls += 1;
            let mut byte = [0];
            copy.read_exact(&mut byte).map(|()| byte[0])
        });
        let (got, ()) = soon(futures::future::join(own, async {
            loopline::yield_now().await;
            far.write_all(b"x").await.unwrap();
        }))
        .await;
        assert_eq!((got.unwrap(), calls), (b'x', 2));
        drop(far);
        let end = near.async_io(Interest::READABLE, || near.try_read(&mut [0; 1]));
        assert_eq!(soon(end).await.unwrap(), 0);
    });
}
