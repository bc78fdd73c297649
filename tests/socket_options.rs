//! Options of sockets and the builders that set them first. Feature `socket`.
#![cfg(unix)]

#[path = "support/net.rs"]
mod net;
mod support;
#[path = "support/unix.rs"]
mod unix;

use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::time::Duration;

use loopline::net::{
    Keepalive, TcpSocket, TcpStream, UdpBuilder, UdpSocket, UnixDatagram, UnixSocket, UnixStream,
};
use loopline::time::timeout;
use net::{ANY, closed_port, full_backlog, pair, poll_once, soon, with_peer};
use support::{block_on, closes_clean, event_loop};
use unix::{Folder, send_urgent};

fn any() -> SocketAddr {
    ANY.into()
}

#[test]
fn a_socket_is_bound_listens_and_connects_with_its_options() {
    block_on(async {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_reuseaddr(true).unwrap();
        socket.set_recv_buffer_size(64 * 1024).unwrap();
        socket.bind(any()).unwrap();
        assert!(socket.reuseaddr().unwrap() && !socket.nodelay().unwrap());
        let addr = socket.local_addr().unwrap();
        let listener = socket.listen(16).unwrap();
        assert_eq!(listener.local_addr().unwrap(), addr);
        assert!(listener.recv_buffer_size().unwrap() >= 64 * 1024);

        let socket = TcpSocket::new_v4().unwrap();
        socket.set_nodelay(true).unwrap();
        socket.set_keepalive(true).unwrap();
        socket.bind(any()).unwrap();
        let from = socket.local_addr().unwrap();
        assert!(socket.take_error().unwrap().is_none());
        let stream = soon(socket.connect(addr)).await.unwrap();
        let (accepted, peer) = soon(listener.accept()).await.unwrap();
        assert_eq!((peer, stream.local_addr().unwrap()), (from, from));
        assert!(stream.nodelay().unwrap() && stream.keepalive().unwrap());
        soon(accepted.write_all(b"through")).await.unwrap();
        assert_eq!(soon(stream.read(&mut [0; 16])).await.unwrap(), 7);
    });
}

// contract 8; fault 20, 21
#[test]
fn a_socket_that_cannot_connect_says_so_and_one_that_waits_is_cancelled() {
    let (listener, _queued) = full_backlog();
    let addr = listener.local_addr().unwrap();
    block_on(async {
        let connect = TcpSocket::new_v4().unwrap().connect(closed_port());
        assert_eq!(soon(connect).await.unwrap_err().kind(), ErrorKind::ConnectionRefused);
        let connect = TcpSocket::new_v4().unwrap().connect(addr);
        assert!(timeout(Duration::from_millis(20), connect).await.is_err());
        let taken = std::net::TcpListener::bind(ANY).unwrap();
        let error = TcpSocket::new_v4().unwrap().bind(taken.local_addr().unwrap()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AddrInUse);
    });
}

// contract 52
#[test]
fn listeners_that_share_a_port_each_get_connections_and_drained_ones_lose_none() {
    block_on(async {
        let listen = |addr| {
            let socket = TcpSocket::new_v4().unwrap();
            socket.set_reuseport(true).unwrap();
            socket.bind(addr).unwrap();
            socket.listen(1024).unwrap()
        };
        let first = listen(any());
        let addr = first.local_addr().unwrap();
        let second = listen(addr);
        let mut clients: Vec<_> =
            (0..64).map(|_| std::net::TcpStream::connect(addr).unwrap()).collect();
        // Going out of service: what is in the queue is accepted first, then the listener closes.
        let mut accepted = Vec::new();
        while let std::task::Poll::Ready(stream) = poll_once(first.accept()).await {
            accepted.push(stream.unwrap().0);
        }
        let by_first = accepted.len();
        drop(first);
        while accepted.len() < clients.len() {
            accepted.push(soon(second.accept()).await.unwrap().0);
        }
        assert!(by_first > 0 && by_first < 64, "{by_first} of 64 went to the first");
        for stream in accepted {
            soon(stream.write_all(b"!")).await.unwrap();
        }
        for client in &mut clients {
            client.read_exact(&mut [0]).unwrap();
        }
        // All that comes now is the other's.
        let _client = std::net::TcpStream::connect(addr).unwrap();
        soon(second.accept()).await.unwrap();
    });
}

#[test]
fn options_of_streams_are_kept() {
    block_on(async {
        let (a, b) = pair().await;
        assert_eq!(a.linger().unwrap(), None);
        a.set_linger(Some(Duration::from_secs(1))).unwrap();
        assert_eq!(a.linger().unwrap(), Some(Duration::from_secs(1)));
        a.set_linger(None).unwrap();
        let keepalive = Keepalive::new().time(Duration::from_secs(30));
        #[cfg(any(target_os = "linux", target_os = "macos", target_os = "freebsd"))]
        let keepalive = keepalive.interval(Duration::from_secs(5)).retries(3);
        assert!(!a.keepalive().unwrap());
        a.set_tcp_keepalive(&keepalive).unwrap();
        assert!(a.keepalive().unwrap());
        a.set_tos_v4(0x10).unwrap();
        assert_eq!(a.tos_v4().unwrap(), 0x10);
        b.set_send_buffer_size(32 * 1024).unwrap();
        assert!(b.send_buffer_size().unwrap() >= 32 * 1024);
        #[cfg(target_os = "linux")]
        for on in [true, false] {
            a.set_quickack(on).unwrap();
            assert_eq!(a.quickack().unwrap(), on);
        }
        assert!(!a.oobinline().unwrap());
    });
}

// fault 15
#[test]
fn a_stream_closed_with_zero_linger_is_a_reset_to_its_peer() {
    block_on(async {
        let (stream, mut peer) = with_peer().await;
        stream.set_zero_linger().unwrap();
        drop(stream);
        assert_eq!(peer.read(&mut [0; 8]).unwrap_err().kind(), ErrorKind::ConnectionReset);
    });
}

// fault 29
#[test]
fn an_urgent_byte_neither_spins_nor_stops_a_stream_and_stands_in_line_if_asked_to() {
    let mut event_loop = event_loop::<()>();
    let handle = event_loop.handle();
    event_loop
        .block_on(async {
            let (stream, mut peer) = with_peer().await;
            assert!(poll_once(stream.read(&mut [0; 8])).await.is_pending());
            send_urgent(&peer, b"!").unwrap();
            let before = handle.stats().turns;
            let read = timeout(Duration::from_millis(20), stream.read(&mut [0; 8])).await;
            assert!(read.is_err(), "not among the ordinary bytes: {read:?}");
            assert!(handle.stats().turns - before < 10);
            peer.write_all(b"plain").unwrap();
            let mut buf = [0; 8];
            soon(stream.read_exact(&mut buf[..5])).await.unwrap();
            assert_eq!(&buf[..5], b"plain");
            stream.set_oobinline(true).unwrap();
            peer.write_all(b"in").unwrap();
            send_urgent(&peer, b"!").unwrap();
            soon(stream.read_exact(&mut buf[..3])).await.unwrap();
            assert_eq!(&buf[..3], b"in!");
        })
        .unwrap();
    closes_clean(event_loop);
}

#[test]
fn udp_sockets_share_a_port_and_keep_their_options() {
    block_on(async {
        let build = |addr| -> UdpSocket {
            let builder = UdpBuilder::new_v4().unwrap();
            builder.set_reuseport(true).unwrap();
            builder.set_recv_buffer_size(128 * 1024).unwrap();
            builder.set_tos_v4(0x20).unwrap();
            builder.bind(addr).unwrap()
        };
        let first = build(any());
        let addr = first.local_addr().unwrap();
        let second = build(addr);
        assert_eq!(second.tos_v4().unwrap(), 0x20);
        assert!(second.recv_buffer_size().unwrap() >= 128 * 1024);
        second.set_tos_v4(0).unwrap();
        let mut got = [0; 2];
        for n in 0..64_u8 {
            let sender = UdpSocket::bind(ANY).await.unwrap();
            sender.send_to(&[n], addr).await.unwrap();
        }
        for (n, socket) in [first, second].iter().enumerate() {
            while socket.try_recv(&mut [0; 8]).is_ok() {
                got[n] += 1;
            }
        }
        assert!(got[0] > 0 && got[1] > 0 && got[0] + got[1] == 64, "{got:?}");
    });
}

#[test]
#[cfg(target_os = "linux")]
fn a_socket_bound_to_an_interface_says_which() {
    block_on(async {
        let socket = TcpSocket::new_v4().unwrap();
        assert_eq!(socket.device().unwrap(), None);
        // Only some may: then it holds.
        if socket.bind_device(Some(b"lo")).is_ok() {
            assert_eq!(socket.device().unwrap().as_deref(), Some(&b"lo"[..]));
            let listener = loopline::net::TcpListener::bind(ANY).await.unwrap();
            soon(socket.connect(listener.local_addr().unwrap())).await.unwrap();
        }
        let error = TcpSocket::new_v4().unwrap().bind_device(Some(b"no-such-thing")).unwrap_err();
        assert!(error.raw_os_error().is_some());
    });
}

#[test]
fn ipv6_sockets_may_leave_ipv4_alone() {
    block_on(async {
        // Where there is no IPv6, there is none to ask.
        let Ok(socket) = TcpSocket::new_v6() else { return };
        socket.set_only_v6(true).unwrap();
        assert!(socket.only_v6().unwrap());
        socket.set_tclass_v6(0x20).unwrap();
        assert_eq!(socket.tclass_v6().unwrap(), 0x20);
        if socket.bind("[::1]:0".parse().unwrap()).is_ok() {
            let listener = socket.listen(8).unwrap();
            let addr = listener.local_addr().unwrap();
            let _stream = soon(TcpStream::connect(addr)).await.unwrap();
            soon(listener.accept()).await.unwrap();
        }
        assert!(UdpBuilder::new_v6().is_ok());
    });
}

#[test]
fn unix_sockets_are_built_of_their_kind() {
    let folder = Folder::new("built");
    block_on(async {
        let (path, own) = (folder.path("socket"), folder.path("own"));
        let socket = UnixSocket::new_stream().unwrap();
        socket.set_send_buffer_size(32 * 1024).unwrap();
        socket.bind(&path).unwrap();
        let listener = socket.listen(8).unwrap();
        let socket = UnixSocket::new_stream().unwrap();
        socket.bind(&own).unwrap();
        let stream: UnixStream = soon(socket.connect(&path)).await.unwrap();
        let (accepted, peer) = soon(listener.accept()).await.unwrap();
        assert_eq!(peer.as_pathname(), Some(&*own));
        stream.set_recv_buffer_size(32 * 1024).unwrap();
        soon(accepted.write_all(b"x")).await.unwrap();
        assert_eq!(soon(stream.read(&mut [0; 8])).await.unwrap(), 1);
        let datagram: UnixDatagram = UnixSocket::new_datagram().unwrap().datagram().unwrap();
        assert!(datagram.local_addr().unwrap().is_unnamed());
        let error = UnixSocket::new_datagram().unwrap().listen(1).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        let error = UnixSocket::new_stream().unwrap().datagram().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        // fault 30: as everywhere.
        let error = UnixSocket::new_stream().unwrap().bind("x".repeat(108)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    });
}

// contract 50; fault 25
#[test]
fn whether_a_datagram_was_cut_is_told() {
    let folder = Folder::new("cut");
    block_on(async {
        let (a, b) = (UdpSocket::bind(ANY).await.unwrap(), UdpSocket::bind(ANY).await.unwrap());
        let to = b.local_addr().unwrap();
        for bytes in [&b""[..], b"fits", b"does not fit"] {
            soon(a.send_to(bytes, to)).await.unwrap();
        }
        for (len, truncated) in [(0, false), (4, false), (4, true)] {
            let datagram = soon(b.recv_msg(&mut [0; 4])).await.unwrap();
            assert_eq!((datagram.len, datagram.truncated), (len, truncated));
            assert_eq!(datagram.from, a.local_addr().unwrap());
        }
        let path = folder.path("sender");
        let to = UnixDatagram::bind(folder.path("to")).unwrap();
        let from = UnixDatagram::bind(&path).unwrap();
        from.connect(folder.path("to")).unwrap();
        soon(from.send(b"does not fit")).await.unwrap();
        let datagram = soon(to.recv_msg(&mut [0; 4])).await.unwrap();
        assert!(datagram.truncated && datagram.from.as_pathname() == Some(&*path));
        let unnamed = UnixDatagram::unbound().unwrap();
        unnamed.try_send_to(b"fits", folder.path("to")).unwrap();
        let datagram = soon(to.recv_msg(&mut [0; 4])).await.unwrap();
        assert!(!datagram.truncated && datagram.from.is_unnamed());
        assert!(poll_once(to.recv_msg(&mut [0; 4])).await.is_pending());
    });
}

// contract 40
#[test]
fn a_peek_at_a_unix_socket_leaves_what_is_there() {
    block_on(async {
        let mut buf = [0; 8];
        let (a, b) = UnixStream::pair().unwrap();
        for _ in 0..10 {
            assert!(poll_once(b.peek(&mut buf)).await.is_pending());
        }
        soon(a.write_all(b"same")).await.unwrap();
        for _ in 0..3 {
            assert_eq!(soon(b.peek(&mut buf)).await.unwrap(), 4);
        }
        assert_eq!(soon(b.read(&mut buf)).await.unwrap(), 4);
        assert!(poll_once(b.peek(&mut buf)).await.is_pending());
        let (a, b) = UnixDatagram::pair().unwrap();
        soon(a.send(b"same")).await.unwrap();
        assert_eq!(soon(b.peek(&mut buf[..2])).await.unwrap(), 2);
        assert_eq!(soon(b.recv(&mut buf)).await.unwrap(), 4);
        assert!(poll_once(b.peek(&mut buf)).await.is_pending());
    });
}
