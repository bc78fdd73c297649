//! Unix datagrams: whole, in order, none lost; paths and names as addresses.
#![cfg(unix)]

#[path = "support/net.rs"]
mod net;
mod support;
#[path = "support/unix.rs"]
mod unix;

use std::future::poll_fn;
use std::io::ErrorKind;
use std::net::Shutdown;
use std::rc::Rc;
use std::time::Duration;

use loopline::net::UnixDatagram;
use loopline::spawn;
use loopline::time::{sleep, timeout};
use net::{poll_once, soon};
use support::{block_on, closes_clean, event_loop, scaled};
use unix::Folder;

#[test]
fn datagrams_pass_between_paths_with_their_senders_address() {
    let folder = Folder::new("datagrams");
    block_on(async {
        let (a, b) = (folder.path("a"), folder.path("b"));
        let (one, two) = (UnixDatagram::bind(&a).unwrap(), UnixDatagram::bind(&b).unwrap());
        assert_eq!(soon(one.send_to(b"hello", &b)).await.unwrap(), 5);
        let mut buf = [0; 16];
        let (n, from) = soon(two.recv_from(&mut buf)).await.unwrap();
        assert_eq!((n, from.as_pathname()), (5, Some(&*a)));
        soon(two.send_to_addr(b"back", &from)).await.unwrap();
        assert_eq!(soon(one.recv(&mut buf)).await.unwrap(), 4);
        one.connect(&b).unwrap();
        assert_eq!(one.peer_addr().unwrap().as_pathname(), Some(&*b));
        assert_eq!(one.try_send(b"connected").unwrap(), 9);
        assert_eq!(two.try_recv_from(&mut buf).unwrap().0, 9);
        let nobody = UnixDatagram::unbound().unwrap();
        assert_eq!(nobody.try_send_to(b"?", &b).unwrap(), 1);
        let (_, from) = soon(poll_fn(|cx| two.poll_recv_from(cx, &mut buf))).await.unwrap();
        assert!(from.is_unnamed() && nobody.local_addr().unwrap().is_unnamed());
        assert!(nobody.take_error().unwrap().is_none());
    });
}

// contract 2, 50; fault 25
#[test]
fn empty_and_cut_datagrams_are_data_and_readiness_is_kept_between() {
    block_on(async {
        let (a, b) = UnixDatagram::pair().unwrap();
        let mut buf = [0; 4];
        assert!(poll_once(b.recv(&mut buf)).await.is_pending());
        for bytes in [&b""[..], b"longer than that", b"ok"] {
            a.try_send(bytes).unwrap();
        }
        soon(b.readable()).await.unwrap();
        // No turn passes between: nobody tells again that there is more.
        assert_eq!(b.try_recv(&mut buf).unwrap(), 0);
        assert_eq!(b.try_recv(&mut buf).unwrap(), 4);
        assert_eq!(&buf, b"long");
        assert_eq!(b.try_recv(&mut buf).unwrap(), 2);
        assert_eq!(b.try_recv(&mut buf).unwrap_err().kind(), ErrorKind::WouldBlock);
        // Too long for any queue.
        let error = soon(a.send(&vec![0; 64 << 20])).await.unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EMSGSIZE));
    });
}

// fault 26
#[test]
fn a_sender_waits_for_room_and_all_arrives_in_order() {
    let count = u64::try_from(scaled(20_000)).unwrap();
    block_on(async {
        let (a, b) = UnixDatagram::pair().unwrap();
        let sending = spawn(async move {
            for n in 0..count {
                a.send(&n.to_le_bytes()).await.unwrap();
            }
        });
        let mut buf = [0; 16];
        for n in 0..count {
            assert_eq!(soon(b.recv(&mut buf)).await.unwrap(), 8);
            assert_eq!(buf[..8], n.to_le_bytes());
        }
        soon(sending).await.unwrap();
    });
}

// fault 26
#[test]
fn a_sender_that_is_not_connected_waits_for_room_too_and_does_not_spin() {
    let folder = Folder::new("room");
    let mut event_loop = event_loop::<()>();
    let handle = event_loop.handle();
    let work = async {
        let path = folder.path("socket");
        let receiver = UnixDatagram::bind(&path).unwrap();
        // Filled by another: what the receiver takes then makes no event for this one.
        let other = UnixDatagram::unbound().unwrap();
        let mut queued = 0_u32;
        while other.try_send_to(&queued.to_le_bytes(), &path).is_ok() {
            queued += 1;
        }
        let sender = Rc::new(UnixDatagram::unbound().unwrap());
        // Given up, it has sent nothing.
        for _ in 0..10 {
            assert!(poll_once(sender.send_to(b"never", &path)).await.is_pending());
        }
        assert!(timeout(Duration::from_millis(20), sender.send_to(b"never", &path)).await.is_err());
        let late = sender.clone();
        let late = spawn(async move {
            late.send_to(&queued.to_le_bytes(), &path).await.unwrap();
        });
        let before = handle.stats().turns;
        sleep(Duration::from_millis(50)).await;
        let turns = handle.stats().turns - before;
        assert!(!late.is_finished() && turns < 20, "{turns} turns");
        for n in 0..=queued {
            let mut buf = [0; 8];
            assert_eq!(soon(receiver.recv(&mut buf)).await.unwrap(), 4);
            assert_eq!(buf[..4], n.to_le_bytes());
        }
        soon(late).await.unwrap();
        assert!(poll_once(receiver.recv(&mut [0; 8])).await.is_pending());
    };
    event_loop.block_on(work).unwrap();
    closes_clean(event_loop);
}

// fault 26
#[test]
fn a_connected_sender_that_waits_for_room_does_not_spin() {
    let folder = Folder::new("connected-room");
    let mut event_loop = event_loop::<()>();
    let handle = event_loop.handle();
    let work = async {
        let path = folder.path("socket");
        let receiver = UnixDatagram::bind(&path).unwrap();
        let (other, sender) = (UnixDatagram::unbound().unwrap(), UnixDatagram::unbound().unwrap());
        while other.try_send_to(b"other", &path).is_ok() {}
        sender.connect(&path).unwrap();
        let late = spawn(async move { sender.send(b"late").await.unwrap() });
        sleep(Duration::ZERO).await;
        let before = handle.stats().turns;
        sleep(Duration::from_millis(50)).await;
        let turns = handle.stats().turns - before;
        assert!(!late.is_finished() && turns < 20, "{turns} turns");
        let mut buf = [0; 8];
        while soon(receiver.recv(&mut buf)).await.unwrap() != 4 {}
        soon(late).await.unwrap();
    };
    event_loop.block_on(work).unwrap();
    closes_clean(event_loop);
}

// contract 40
#[test]
fn a_wait_that_was_given_up_has_received_and_sent_nothing() {
    block_on(async {
        let (a, b) = UnixDatagram::pair().unwrap();
        let mut queued = 0_u32;
        while a.try_send(&queued.to_le_bytes()).is_ok() {
            queued += 1;
        }
        for _ in 0..50 {
            assert!(poll_once(a.send(b"never")).await.is_pending());
            assert!(poll_once(a.recv(&mut [0; 8])).await.is_pending());
        }
        for n in 0..queued {
            let mut buf = [0; 8];
            assert_eq!(soon(b.recv(&mut buf)).await.unwrap(), 4);
            assert_eq!(buf[..4], n.to_le_bytes());
        }
        assert!(poll_once(b.recv(&mut [0; 8])).await.is_pending());
    });
}

// fault 30
#[test]
fn errors_of_addresses_are_typed() {
    let folder = Folder::new("typed");
    block_on(async {
        let socket = UnixDatagram::unbound().unwrap();
        let long = "x".repeat(108);
        assert_eq!(UnixDatagram::bind(&long).unwrap_err().kind(), ErrorKind::InvalidInput);
        assert_eq!(socket.connect(&long).unwrap_err().kind(), ErrorKind::InvalidInput);
        let error = socket.send_to(b"", &long).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        let path = folder.path("socket");
        assert_eq!(socket.connect(&path).unwrap_err().kind(), ErrorKind::NotFound);
        drop(UnixDatagram::bind(&path).unwrap());
        assert_eq!(socket.connect(&path).unwrap_err().kind(), ErrorKind::ConnectionRefused);
        assert_eq!(UnixDatagram::bind(&path).unwrap_err().kind(), ErrorKind::AddrInUse);
        let error = soon(socket.send(b"x")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotConnected);
    });
}

#[test]
#[cfg(target_os = "linux")]
fn abstract_names_are_addresses() {
    use std::os::linux::net::SocketAddrExt;
    block_on(async {
        let name = format!("loopline-datagram-{}", std::process::id());
        let addr = std::os::unix::net::SocketAddr::from_abstract_name(&name).unwrap();
        let bound = UnixDatagram::bind_addr(&addr).unwrap();
        let sender = UnixDatagram::unbound().unwrap();
        soon(sender.send_to(b"one", format!("\0{name}"))).await.unwrap();
        sender.connect_addr(&addr).unwrap();
        soon(sender.send(b"three")).await.unwrap();
        let mut buf = [0; 8];
        assert_eq!(soon(bound.recv(&mut buf)).await.unwrap(), 3);
        assert_eq!(soon(bound.recv(&mut buf)).await.unwrap(), 5);
    });
}

#[test]
fn a_socket_shut_down_or_whose_peer_is_gone_says_so() {
    block_on(async {
        let (a, b) = UnixDatagram::pair().unwrap();
        b.shutdown(Shutdown::Read).unwrap();
        let error = soon(a.send(b"x")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BrokenPipe);
        let (a, b) = UnixDatagram::pair().unwrap();
        drop(b);
        let error = soon(a.send(b"x")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        let std = a.into_std().unwrap();
        UnixDatagram::from_std(std).unwrap();
    });
}
