//! UDP sockets: datagrams stay whole, errors pass, readiness is never lost.
#![cfg(unix)] // descriptors and their options

#[path = "support/net.rs"]
mod net;
mod support;

use std::io::ErrorKind;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use futures::future::join_all;
use loopline::io::Interest;
use loopline::net::UdpSocket;
use loopline::spawn;
use loopline::time::{sleep, timeout};
use net::{ANY, closed_port, poll_once, soon};
use support::{block_on, closes_clean, event_loop, scaled};

/// Two sockets, each connected to the other.
async fn pair() -> (UdpSocket, UdpSocket) {
    let (a, b) = (UdpSocket::bind(ANY).await.unwrap(), UdpSocket::bind(ANY).await.unwrap());
    a.connect(b.local_addr().unwrap()).await.unwrap();
    b.connect(a.local_addr().unwrap()).await.unwrap();
    (a, b)
}

#[test]
fn datagrams_arrive_whole_and_with_their_senders_address() {
    block_on(async {
        let a = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let b = UdpSocket::bind(("127.0.0.1", 0)).await.unwrap();
        let (at, bt) = (a.local_addr().unwrap(), b.local_addr().unwrap());
        assert_eq!(soon(a.send_to(b"one", bt)).await.unwrap(), 3);
        assert_eq!(soon(a.send_to(b"three", bt.to_string())).await.unwrap(), 5);
        let mut buf = [0; 64];
        assert_eq!(soon(b.recv_from(&mut buf)).await.unwrap(), (3, at));
        assert_eq!(soon(b.recv_from(&mut buf)).await.unwrap(), (5, at));
        assert_eq!(&buf[..5], b"three");
        let error = a.send_to(b"x", "no address").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    });
}

// contract 50; fault 25
#[test]
fn an_empty_datagram_is_data_and_no_end() {
    block_on(async {
        let (a, b) = pair().await;
        let mut buf = [0; 8];
        assert!(poll_once(b.recv(&mut buf)).await.is_pending());
        assert_eq!(soon(a.send(b"")).await.unwrap(), 0);
        assert_eq!(soon(a.send(b"more")).await.unwrap(), 4);
        assert_eq!(soon(b.recv(&mut buf)).await.unwrap(), 0);
        assert_eq!(soon(b.recv(&mut buf)).await.unwrap(), 4);
        assert!(poll_once(b.recv(&mut buf)).await.is_pending());
    });
}

// contract 2
#[test]
fn a_short_datagram_says_nothing_of_those_behind_it() {
    block_on(async {
        let (a, b) = pair().await;
        let mut buf = [0; 64];
        assert!(poll_once(b.recv(&mut buf)).await.is_pending());
        for n in 0..20 {
            a.send(&[n]).await.unwrap();
        }
        soon(b.readable()).await.unwrap();
        // No turn passes between: nobody tells again that there is more.
        for n in 0..20 {
            assert_eq!(b.try_recv(&mut buf).unwrap(), 1);
            assert_eq!(buf[0], n);
        }
        assert_eq!(b.try_recv(&mut buf).unwrap_err().kind(), ErrorKind::WouldBlock);
    });
}

// contract 50; fault 25
#[test]
fn a_datagram_longer_than_the_buffer_is_cut_and_the_next_is_whole() {
    block_on(async {
        let (a, b) = pair().await;
        soon(a.send(b"longer than that")).await.unwrap();
        soon(a.send(b"next")).await.unwrap();
        let mut buf = [0; 7];
        // A buffer of one more than expected tells.
        assert_eq!(soon(b.recv(&mut buf)).await.unwrap(), 7);
        assert_eq!(&buf, b"longer ");
        assert_eq!(soon(b.recv(&mut buf)).await.unwrap(), 4);
    });
}

// contract 50; fault 25
#[test]
fn the_longest_datagram_passes_and_a_longer_one_is_an_error_and_not_the_sockets_end() {
    block_on(async {
        let (a, b) = pair().await;
        let bytes: Vec<u8> = (0..65_508).map(|n| (n % 251) as u8).collect();
        let error = soon(a.send(&bytes)).await.unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EMSGSIZE));
        assert_eq!(soon(a.send(&bytes[..65_507])).await.unwrap(), 65_507);
        let mut buf = vec![0; 70_000];
        assert_eq!(soon(b.recv(&mut buf)).await.unwrap(), 65_507);
        assert_eq!(buf[..65_507], bytes[..65_507]);
    });
}

// contract 50; fault 24
#[test]
fn a_refusal_by_the_peers_host_is_told_once_and_the_socket_goes_on() {
    block_on(async {
        // Nothing is bound there yet, then something is.
        let addr = closed_port();
        let socket = UdpSocket::bind(ANY).await.unwrap();
        socket.connect(addr).await.unwrap();
        let mut buf = [0; 8];
        assert!(poll_once(socket.recv(&mut buf)).await.is_pending());
        assert_eq!(soon(socket.send(b"anybody?")).await.unwrap(), 8);
        let error = soon(socket.recv(&mut buf)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        // Once: now it waits, quietly.
        assert!(timeout(Duration::from_millis(5), socket.recv(&mut buf)).await.is_err());
        let peer = UdpSocket::bind(addr).await.unwrap();
        soon(socket.send(b"and now?")).await.unwrap();
        let (n, from) = soon(peer.recv_from(&mut buf)).await.unwrap();
        soon(peer.send_to(&buf[..n], from)).await.unwrap();
        assert_eq!(soon(socket.recv(&mut buf)).await.unwrap(), 8);
    });
}

// fault 24
#[test]
fn a_refused_socket_that_is_waited_on_does_not_spin() {
    let mut event_loop = event_loop::<()>();
    let handle = event_loop.handle();
    event_loop
        .block_on(async {
            let socket = UdpSocket::bind(ANY).await.unwrap();
            socket.connect(closed_port()).await.unwrap();
            soon(socket.send(b"anybody?")).await.unwrap();
            assert!(soon(socket.recv(&mut [0; 8])).await.is_err());
            let before = handle.stats().turns;
            assert!(timeout(Duration::from_millis(30), socket.recv(&mut [0; 8])).await.is_err());
            let turns = handle.stats().turns - before;
            assert!(turns < 10, "{turns} turns while nothing happened");
        })
        .unwrap();
    closes_clean(event_loop);
}

// contract 1; fault 22
#[test]
fn a_receiver_that_is_woken_for_a_datagram_that_another_took_goes_on_waiting() {
    block_on(async {
        let (a, b) = pair().await;
        let b = Rc::new(b);
        let receivers: Vec<_> = (0..5)
            .map(|_| {
                let b = b.clone();
                spawn(async move {
                    let mut byte = [0];
                    assert_eq!(b.recv(&mut byte).await.unwrap(), 1);
                    byte[0]
                })
            })
            .collect();
        sleep(Duration::ZERO).await;
        for n in 0..5 {
            // One for five that wait: it wakes all, and four find nothing.
            a.send(&[n]).await.unwrap();
            sleep(Duration::ZERO).await;
        }
        let mut got: Vec<u8> =
            soon(join_all(receivers)).await.into_iter().map(Result::unwrap).collect();
        got.sort_unstable();
        assert_eq!(got, [0, 1, 2, 3, 4]);
    });
}

// contract 40
#[test]
fn a_receive_that_was_given_up_has_taken_no_datagram() {
    block_on(async {
        let (a, b) = pair().await;
        let mut buf = [0; 8];
        for _ in 0..50 {
            assert!(poll_once(b.recv(&mut buf)).await.is_pending());
            assert!(poll_once(b.peek(&mut buf)).await.is_pending());
            assert!(poll_once(b.recv_from(&mut buf)).await.is_pending());
            assert!(poll_once(b.ready(Interest::READABLE)).await.is_pending());
        }
        a.send(b"whole").await.unwrap();
        assert!(timeout(Duration::ZERO, sleep(Duration::from_secs(9))).await.is_err());
        assert_eq!(soon(b.recv(&mut buf)).await.unwrap(), 5);
    });
}

#[test]
fn a_peek_leaves_the_datagram_for_who_receives() {
    block_on(async {
        let (a, b) = pair().await;
        let from = a.local_addr().unwrap();
        a.send(b"same").await.unwrap();
        let mut buf = [0; 8];
        assert_eq!(soon(b.peek(&mut buf)).await.unwrap(), 4);
        assert_eq!(soon(b.peek_from(&mut buf)).await.unwrap(), (4, from));
        assert_eq!(b.try_peek(&mut buf).unwrap(), 4);
        assert_eq!(b.try_peek_from(&mut buf).unwrap(), (4, from));
        let peeked = std::future::poll_fn(|cx| b.poll_peek_from(cx, &mut buf)).await.unwrap();
        assert_eq!(peeked, (4, from));
        assert_eq!(soon(b.recv_from(&mut buf)).await.unwrap(), (4, from));
        assert!(poll_once(b.peek(&mut buf)).await.is_pending());
    });
}

#[test]
fn a_connected_socket_hears_its_peer_only() {
    block_on(async {
        let (a, b) = pair().await;
        let stranger = UdpSocket::bind(ANY).await.unwrap();
        assert_eq!(a.peer_addr().unwrap(), b.local_addr().unwrap());
        stranger.send_to(b"psst", a.local_addr().unwrap()).await.unwrap();
        b.send(b"hello").await.unwrap();
        let mut buf = [0; 8];
        assert_eq!(soon(a.recv(&mut buf)).await.unwrap(), 5);
        assert_eq!(a.try_recv(&mut buf).unwrap_err().kind(), ErrorKind::WouldBlock);
    });
}

#[test]
fn the_forms_for_code_that_polls_wait_and_are_woken() {
    use std::future::poll_fn;
    block_on(async {
        let (a, b) = pair().await;
        let mut buf = [0; 8];
        // Worth a try until one was made.
        assert!(poll_once(poll_fn(|cx| b.poll_recv_ready(cx))).await.is_ready());
        assert_eq!(b.try_recv(&mut buf).unwrap_err().kind(), ErrorKind::WouldBlock);
        assert!(poll_once(poll_fn(|cx| b.poll_recv_ready(cx))).await.is_pending());
        let sender = a.local_addr().unwrap();
        let to = b.local_addr().unwrap();
        let sending = spawn(async move {
            poll_fn(|cx| a.poll_send_ready(cx)).await.unwrap();
            poll_fn(|cx| a.poll_send(cx, b"one")).await.unwrap();
            a.try_send(b"two").unwrap();
            // A connected socket of Linux takes another address for this once.
            poll_fn(|cx| a.poll_send_to(cx, b"four", to)).await.unwrap();
            a.try_send_to(b"!", to).unwrap();
        });
        soon(poll_fn(|cx| b.poll_recv_ready(cx))).await.unwrap();
        assert_eq!(soon(poll_fn(|cx| b.poll_recv(cx, &mut buf))).await.unwrap(), 3);
        let got = soon(poll_fn(|cx| b.poll_recv_from(cx, &mut buf))).await.unwrap();
        assert_eq!(got, (3, sender));
        assert_eq!(b.try_recv_from(&mut buf).unwrap(), (4, sender));
        let ready = soon(b.ready(Interest::READABLE | Interest::WRITABLE)).await.unwrap();
        assert!(ready.is_readable() && ready.is_writable() && !ready.is_read_closed());
        let op = || b.try_io(Interest::READABLE, || Err::<(), _>(ErrorKind::WouldBlock.into()));
        assert_eq!(op().unwrap_err().kind(), ErrorKind::WouldBlock);
        // Remembered: the next is not even tried.
        let again = b.try_io(Interest::READABLE, || -> std::io::Result<()> { panic!("tried") });
        assert_eq!(again.unwrap_err().kind(), ErrorKind::WouldBlock);
        soon(sending).await.unwrap();
    });
}

// contract 4; fault 26
#[test]
fn a_flood_loses_no_wake_and_starves_nobody() {
    let count = scaled(20_000);
    block_on(async {
        let (a, b) = pair().await;
        let (a, b) = (Rc::new(a), Rc::new(b));
        let echo = spawn(async move {
            let mut buf = [0; 64];
            while let Ok(n) = b.recv(&mut buf).await {
                if n == 0 || b.send(&buf[..n]).await.is_err() {
                    break;
                }
            }
        });
        // At most 32 under way, so that no queue overflows: none may be lost on the loopback then.
        let mut buf = [0; 64];
        for round in 0..count / 32 {
            for n in 0..32 {
                soon(a.send(&(round * 32 + n).to_le_bytes())).await.unwrap();
            }
            for n in 0..32 {
                assert_eq!(soon(a.recv(&mut buf)).await.unwrap(), 8);
                assert_eq!(buf[..8], (round * 32 + n).to_le_bytes());
            }
        }
        a.send(b"").await.unwrap();
        soon(echo).await.unwrap();
    });
}

#[test]
fn options_are_kept() {
    block_on(async {
        let socket = UdpSocket::bind(ANY).await.unwrap();
        socket.set_broadcast(true).unwrap();
        socket.set_ttl(33).unwrap();
        socket.set_multicast_ttl_v4(5).unwrap();
        socket.set_multicast_loop_v4(false).unwrap();
        assert!(socket.broadcast().unwrap() && !socket.multicast_loop_v4().unwrap());
        assert_eq!((socket.ttl().unwrap(), socket.multicast_ttl_v4().unwrap()), (33, 5));
        assert!(socket.take_error().unwrap().is_none());
        let socket = UdpSocket::from_std(socket.into_std().unwrap()).unwrap();
        assert_eq!(socket.ttl().unwrap(), 33);
    });
}

#[test]
fn multicast_groups_are_joined_heard_and_left() {
    const GROUP: Ipv4Addr = Ipv4Addr::new(239, 255, 77, 77);
    block_on(async {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await.unwrap();
        let port = socket.local_addr().unwrap().port();
        socket.join_multicast_v4(GROUP, Ipv4Addr::LOCALHOST).unwrap();
        let again = socket.join_multicast_v4(GROUP, Ipv4Addr::LOCALHOST).unwrap_err();
        assert_eq!(again.kind(), ErrorKind::AddrInUse);
        // Routed by the interface of the sender's address, where the system has multicast there.
        let sender = UdpSocket::bind(ANY).await.unwrap();
        if sender.send_to(b"all", SocketAddr::from((GROUP, port))).await.is_ok() {
            let heard = timeout(Duration::from_millis(200), socket.recv(&mut [0; 8])).await;
            if let Ok(n) = heard {
                assert_eq!(n.unwrap(), 3);
            }
        }
        socket.leave_multicast_v4(GROUP, Ipv4Addr::LOCALHOST).unwrap();
        let error = socket.leave_multicast_v4(GROUP, Ipv4Addr::LOCALHOST).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AddrNotAvailable);
        // Where there is no IPv6, there is nothing to join.
        if let Ok(socket) = UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)).await {
            let group = Ipv6Addr::new(0xff01, 0, 0, 0, 0, 0, 0, 0x77);
            socket.set_multicast_loop_v6(true).unwrap();
            assert!(socket.multicast_loop_v6().unwrap());
            if socket.join_multicast_v6(&group, 1).is_ok() {
                socket.leave_multicast_v6(&group, 1).unwrap();
            }
        }
    });
}
