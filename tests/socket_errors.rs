//! Errors of sockets that are no ends: they are fetched, and the socket goes on.
#![cfg(target_os = "linux")] // elsewhere an error may take its time, or come with an end

#[path = "support/net.rs"]
mod net;
mod support;

use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
#[cfg(feature = "fd")]
use std::time::Duration;

#[cfg(feature = "fd")]
use loopline::io::Async;
use loopline::io::{FdSource, Interest, Trigger};
#[cfg(feature = "fd")]
use loopline::time::timeout;
use net::soon;
use support::block_on;

/// A datagram socket that has been told that nobody is at the other end, and that end's address.
fn refused() -> (UdpSocket, SocketAddr) {
    let gone = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(gone).unwrap();
    socket.set_nonblocking(true).unwrap();
    socket.send(b"anybody?").unwrap();
    (socket, gone)
}

// contract 50; fault 24
#[test]
fn a_datagram_that_was_refused_is_an_error_to_be_read_and_no_end() {
    for trigger in [Trigger::Level, Trigger::Edge, Trigger::OneShot, Trigger::Foreign] {
        for interest in [Interest::READABLE, Interest::READABLE | Interest::ERROR] {
            let (socket, gone) = refused();
            let read = |socket: &UdpSocket| socket.recv(&mut [0; 8]);
            block_on(async {
                let mut source = FdSource::with_trigger(socket, interest, trigger);
                let event = soon(source.next()).await.unwrap().unwrap();
                assert!(event.readable && !event.read_closed, "{trigger:?}: {event:?}");
                assert_eq!(event.error, interest.is_error());
                let error = source.try_io_for(Interest::READABLE, read).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
                // Somebody comes, and answers.
                let far = UdpSocket::bind(gone).unwrap();
                far.send_to(b"I", source.get_ref().local_addr().unwrap()).unwrap();
                source.rearm();
                assert!(soon(source.next()).await.unwrap().unwrap().readable, "{trigger:?}");
                assert_eq!(source.try_io_for(Interest::READABLE, read).unwrap(), 1);
            });
        }
    }
}

// contract 20, 50
#[cfg(feature = "fd")]
#[test]
fn an_error_that_was_fetched_ends_no_more_waits() {
    let (socket, _gone) = refused();
    block_on(async {
        let socket = Async::new(socket).unwrap();
        let mut guard = soon(socket.readable()).await.unwrap();
        let error = socket.get_ref().recv(&mut [0]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        guard.clear_ready();
        assert!(timeout(Duration::from_millis(5), socket.readable()).await.is_err());
    });
}
