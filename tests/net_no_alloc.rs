//! Datagrams, Unix streams and limits, warmed up: they allocate nothing, and a million waits that are
//! begun and dropped leave nothing behind. A file of its own, because it counts every allocation.
#![cfg(unix)]

#[path = "support/counting.rs"]
mod counting;
#[path = "support/net.rs"]
mod net;
mod support;
#[path = "support/unix.rs"]
mod unix;

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Waker};

use counting::allocations;
use loopline::io::Interest;
use loopline::net::{TcpListener, UdpSocket, UnixDatagram, UnixListener, UnixStream};
use loopline::spawn;
use net::{ANY, poll_once, soon};
use support::{block_on, scaled};
use unix::Folder;

/// Begins and drops waits, two at a time, and returns what the later ones allocated.
fn allocations_of<F: Future>(mut begin: impl FnMut() -> F) -> u64 {
    let mut cx = Context::from_waker(Waker::noop());
    let mut before = 0;
    for n in 0..scaled(100_000) {
        if n == scaled(100_000) / 10 {
            before = allocations();
        }
        let (mut first, mut second) = (pin!(begin()), pin!(begin()));
        assert!(first.as_mut().poll(&mut cx).is_pending());
        assert!(second.as_mut().poll(&mut cx).is_pending());
    }
    allocations() - before
}

// contract 40
#[test]
fn waits_that_are_cancelled_leave_nothing() {
    let folder = Folder::new("no-alloc");
    block_on(async {
        let udp = UdpSocket::bind(ANY).await.unwrap();
        // Budget goes by polls of a task; these are made inside one.
        let unlimited = loopline::task::unconstrained(async {
            let recv = allocations_of(|| async { udp.recv(&mut [0; 8]).await });
            let from = allocations_of(|| async { udp.recv_from(&mut [0; 8]).await });
            let ready = allocations_of(|| udp.ready(Interest::READABLE));
            assert_eq!((recv, from, ready), (0, 0, 0));

            let (stream, _peer) = UnixStream::pair().unwrap();
            while stream.try_write(&[7; 4096]).is_ok() {}
            let read = allocations_of(|| async { stream.read(&mut [0; 8]).await });
            let write = allocations_of(|| stream.write(b"never"));
            assert_eq!((read, write), (0, 0));

            let (a, _b) = UnixDatagram::pair().unwrap();
            while a.try_send(&[7; 1000]).is_ok() {}
            assert_eq!(allocations_of(|| a.send(&[7; 1000])), 0);

            let listener = UnixListener::bind(folder.path("socket")).unwrap();
            assert_eq!(allocations_of(|| listener.accept()), 0);
        });
        unlimited.await;
    });
}

// contract 40; fault 52
#[cfg(feature = "fd")]
#[test]
fn waits_for_a_descriptor_that_are_cancelled_leave_nothing() {
    let (near, _far) = std::os::unix::net::UnixStream::pair().unwrap();
    block_on(loopline::task::unconstrained(async {
        let near = loopline::io::Async::new(near).unwrap();
        let guard = allocations_of(|| near.readable());
        let either = allocations_of(|| near.ready(Interest::READABLE | Interest::ERROR));
        let op = allocations_of(|| {
            near.read_with(|mut near| std::io::Read::read(&mut near, &mut [0; 8]))
        });
        assert_eq!((guard, either, op), (0, 0, 0));
    }));
}

// contract 40
#[test]
fn waits_for_a_place_that_are_cancelled_leave_nothing() {
    block_on(loopline::task::unconstrained(async {
        let listener = TcpListener::bind(ANY).await.unwrap();
        let _client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let mut incoming = listener.into_incoming().limit(1);
        let _live = soon(incoming.next()).await.unwrap().unwrap();
        let mut cx = Context::from_waker(Waker::noop());
        let mut before = 0;
        for n in 0..scaled(100_000) {
            if n == scaled(100_000) / 10 {
                before = allocations();
            }
            assert!(pin!(incoming.next()).poll(&mut cx).is_pending());
        }
        assert_eq!(allocations() - before, 0);
    }));
}

#[test]
fn datagrams_and_streams_that_come_and_go_allocate_nothing() {
    block_on(async {
        let (a, b) = (UdpSocket::bind(ANY).await.unwrap(), UdpSocket::bind(ANY).await.unwrap());
        let to = b.local_addr().unwrap();
        let (near, far) = UnixStream::pair().unwrap();
        let (one, two) = UnixDatagram::pair().unwrap();
        let mut before = 0;
        let echo = spawn(async move {
            let mut buf = [0; 64];
            loop {
                let (n, from) = b.recv_from(&mut buf).await.unwrap();
                b.send_to(&buf[..n], from).await.unwrap();
                far.read_exact(&mut buf[..4]).await.unwrap();
                far.write_all(&buf[..4]).await.unwrap();
                let n = two.recv(&mut buf).await.unwrap();
                two.send(&buf[..n]).await.unwrap();
            }
        });
        let mut buf = [0; 64];
        for n in 0..2000 {
            if n == 200 {
                before = allocations();
            }
            a.send_to(b"ping", to).await.unwrap();
            assert_eq!(a.recv(&mut buf).await.unwrap(), 4);
            near.write_all(b"ping").await.unwrap();
            assert_eq!(near.read_exact(&mut buf[..4]).await.unwrap(), 4);
            one.send(b"ping").await.unwrap();
            assert_eq!(one.recv(&mut buf).await.unwrap(), 4);
        }
        // A seeded loop permutes orders, which takes memory.
        let is_seeded = std::env::var_os("LOOPLINE_SEED").is_some();
        assert!(is_seeded || allocations() == before, "{}", allocations() - before);
        assert!(poll_once(a.recv(&mut buf)).await.is_pending());
        drop(echo.cancel());
    });
}
