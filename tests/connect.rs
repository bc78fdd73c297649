//! Connecting to several addresses: who is tried when, who wins, and what is left of the others.
#![cfg(unix)] // descriptors and their options

#[path = "support/net.rs"]
mod net;
mod support;

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;

use loopline::net::{TcpListener, TcpStream};
use loopline::time::{now, timeout};
use net::{ANY, closed_port, full_backlog};
use support::{block_on_paused, closes_clean, paused};

/// How long an address may be silent until the next is tried beside it.
const DELAY: Duration = Duration::from_millis(250);

/// Connects by the paused clock; returns how long that took.
async fn connected(addrs: &[SocketAddr]) -> (std::io::Result<TcpStream>, Duration) {
    let started = now();
    let result = TcpStream::connect(addrs).await;
    (result, now() - started)
}

#[test]
fn an_address_that_is_silent_is_joined_by_the_next_after_250_ms() {
    let (silent, _queued) = full_backlog();
    let silent = silent.local_addr().unwrap();
    block_on_paused(async {
        let open = TcpListener::bind(ANY).await.unwrap();
        let open = open.local_addr().unwrap();
        for count in 0..4 {
            let mut addrs = vec![silent; count];
            addrs.push(open);
            let (stream, took) = connected(&addrs).await;
            assert_eq!(stream.unwrap().peer_addr().unwrap(), open);
            assert_eq!(took, DELAY * count as u32);
        }
    });
}

#[test]
fn an_address_that_refuses_is_followed_by_the_next_at_once() {
    block_on_paused(async {
        let open = TcpListener::bind(ANY).await.unwrap();
        let open = open.local_addr().unwrap();
        let (stream, took) = connected(&[closed_port(), closed_port(), open, closed_port()]).await;
        assert_eq!(stream.unwrap().peer_addr().unwrap(), open);
        assert_eq!(took, Duration::ZERO);
    });
}

#[test]
fn an_attempt_that_fails_beside_a_silent_one_makes_way_for_the_next() {
    let (silent, _queued) = full_backlog();
    let silent = silent.local_addr().unwrap();
    block_on_paused(async {
        let open = TcpListener::bind(ANY).await.unwrap();
        let open = open.local_addr().unwrap();
        // The second begins after the delay, and fails then; the third follows it at once.
        let (stream, took) = connected(&[silent, closed_port(), open]).await;
        assert_eq!((stream.unwrap().peer_addr().unwrap(), took), (open, DELAY));
    });
}

#[test]
fn the_others_are_closed_when_one_has_won() {
    if !net::is_alone("the_others_are_closed_when_one_has_won") {
        return;
    }
    let (silent, queued) = full_backlog();
    let silent = silent.local_addr().unwrap();
    let mut event_loop = paused::<()>();
    let handle = event_loop.handle();
    event_loop
        .block_on(async {
            let open = TcpListener::bind(ANY).await.unwrap();
            let fds = || std::fs::read_dir("/dev/fd").unwrap().count();
            let before = fds();
            let addrs = [silent, silent, open.local_addr().unwrap()];
            let stream = TcpStream::connect(&addrs[..]).await.unwrap();
            assert_eq!(fds(), before + 1, "the winner");
            assert_eq!(handle.stats().timers, 0);
            drop(stream);
            assert_eq!(handle.stats().registrations, 0);
        })
        .unwrap();
    drop(queued);
    closes_clean(event_loop);
}

// fault 21
#[test]
fn where_all_refuse_the_refusal_is_the_error() {
    block_on_paused(async {
        let (error, took) = connected(&[closed_port(), closed_port()]).await;
        assert_eq!(error.unwrap_err().kind(), ErrorKind::ConnectionRefused);
        assert_eq!(took, Duration::ZERO);
    });
}

// fault 21
#[test]
fn a_peer_that_refuses_is_told_rather_than_an_address_that_cannot_be_reached() {
    // A link-local address without its link is no address to connect to.
    let nowhere: SocketAddr = "[fe80::1]:9".parse().unwrap();
    block_on_paused(async {
        let refused = closed_port();
        let alone = TcpStream::connect(nowhere).await.unwrap_err();
        assert_ne!(alone.kind(), ErrorKind::ConnectionRefused, "{alone}");
        let (error, took) = connected(&[nowhere, refused]).await;
        assert_eq!(error.unwrap_err().kind(), ErrorKind::ConnectionRefused);
        assert_eq!(took, Duration::ZERO);
    });
}

// fault 20
#[test]
fn a_black_hole_is_left_by_a_timeout_and_leaves_nothing() {
    let (silent, _queued) = full_backlog();
    let silent = silent.local_addr().unwrap();
    let mut event_loop = paused::<()>();
    let handle = event_loop.handle();
    event_loop
        .block_on(async {
            let started = now();
            let limit = Duration::from_secs(3);
            let addrs = [silent; 5];
            assert!(timeout(limit, TcpStream::connect(&addrs[..])).await.is_err());
            assert_eq!(now() - started, limit);
            let stats = handle.stats();
            assert_eq!((stats.registrations, stats.timers), (0, 0));
        })
        .unwrap();
    closes_clean(event_loop);
}

#[test]
fn a_dead_address_of_one_family_costs_no_more_than_the_delay() {
    let Ok(v6) = std::net::TcpListener::bind("[::1]:0") else {
        return eprintln!("skipped: no IPv6 here");
    };
    let (silent, _queued) = full_backlog();
    let silent = silent.local_addr().unwrap();
    block_on_paused(async {
        // All of the first family are silent: the other one's turn comes second, not fourth.
        let v6 = v6.local_addr().unwrap();
        let (stream, took) = connected(&[silent, silent, silent, v6]).await;
        assert_eq!((stream.unwrap().peer_addr().unwrap(), took), (v6, DELAY));
    });
}
