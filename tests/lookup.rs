//! Host names: looked up on a thread where a name is given, and never where an address is.

mod support;

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use loopline::net::{TcpListener, TcpStream, ToAddrs, UdpSocket, lookup_host};
use loopline::time::{now, sleep, timeout};
use support::{block_on, block_on_paused, closes_clean, event_loop};

// contract 51
#[test]
fn a_name_is_looked_up_to_connect_to_and_to_listen_on() {
    block_on(async {
        let listener = TcpListener::bind("localhost:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        assert!(addr.ip().is_loopback());
        let stream = TcpStream::connect(("localhost", addr.port())).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap(), addr);
        let stream = TcpStream::connect(format!("localhost:{}", addr.port())).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap(), addr);
        let found: Vec<SocketAddr> = lookup_host("localhost:7").await.unwrap().collect();
        assert!(!found.is_empty());
        assert!(found.iter().all(|addr| addr.ip().is_loopback() && addr.port() == 7), "{found:?}");
    });
}

// contract 51
#[test]
fn datagrams_are_bound_connected_and_sent_by_name_too() {
    block_on(async {
        let receiver = UdpSocket::bind("localhost:0").await.unwrap();
        let addr = receiver.local_addr().unwrap();
        assert!(addr.ip().is_loopback());
        let sender = UdpSocket::bind(SocketAddr::new(addr.ip(), 0)).await.unwrap();
        // of the addresses of the name, the one that this socket can reach
        let same = lookup_host(("localhost", addr.port())).await.unwrap().next() == Some(addr);
        if same {
            sender.send_to(b"sent", ("localhost", addr.port())).await.unwrap();
            assert_eq!(receiver.recv(&mut [0; 9]).await.unwrap(), 4);
        }
        sender.connect(format!("localhost:{}", addr.port())).await.unwrap();
        assert_eq!(sender.peer_addr().unwrap(), addr);
        let error = sender.send_to(b"", "localhost").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    });
}

/// What a future gives at its first poll: no thread can have been asked.
fn at_once<T>(future: impl Future<Output = T>) -> T {
    let waker = std::task::Waker::noop();
    match std::pin::pin!(future).poll(&mut std::task::Context::from_waker(waker)) {
        std::task::Poll::Ready(output) => output,
        std::task::Poll::Pending => panic!("it was looked up"),
    }
}

// contract 51
#[test]
fn an_address_is_never_looked_up() {
    block_on(async {
        for text in ["127.0.0.1:80", "[::1]:80"] {
            let found: Vec<SocketAddr> = at_once(lookup_host(text)).unwrap().collect();
            assert_eq!(found, [text.parse().unwrap()]);
        }
        for ip in ["127.0.0.1", "::1"] {
            assert_eq!(at_once(lookup_host((ip, 80))).unwrap().count(), 1);
        }
        assert_eq!(at_once(lookup_host((IpAddr::from([127, 0, 0, 1]), 80))).unwrap().count(), 1);
        assert_eq!(at_once(lookup_host(&[][..])).unwrap().count(), 0);
        at_once(TcpListener::bind("127.0.0.1:0")).unwrap();
    });
}

#[test]
fn text_that_is_neither_an_address_nor_a_name_with_a_port_is_a_clear_error() {
    block_on(async {
        for text in ["localhost", ":80", "localhost:http", "::1:80", "127.0.0.1:99999", ""] {
            let error = TcpStream::connect(text).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{text}");
            assert!(error.to_string().contains("is not an IP address and port"), "{error}");
        }
        assert!("localhost:80".to_addrs().unwrap_err().to_string().contains("lookup_host"));
    });
}

// fault 14
#[test]
fn a_name_that_does_not_exist_is_an_error_while_the_loop_ticks() {
    let mut event_loop = event_loop::<()>();
    let handle = event_loop.handle();
    let ticks = handle.spawn(async {
        loop {
            sleep(Duration::from_millis(1)).await;
        }
    });
    event_loop
        .block_on(async {
            // Whatever the resolver here is like: its error, or ours for one that says nothing.
            let connect = TcpStream::connect(("no-such-host.invalid", 80));
            match timeout(Duration::from_secs(5), connect).await {
                Ok(result) => drop(result.unwrap_err()),
                Err(elapsed) => assert_eq!(
                    std::io::Error::from(elapsed).kind(),
                    ErrorKind::TimedOut,
                    "the loop went on"
                ),
            }
        })
        .unwrap();
    drop(event_loop.block_on(ticks.cancel()).unwrap());
    closes_clean(event_loop);
}

// contract 47
#[test]
fn a_paused_clock_waits_for_a_lookup() {
    block_on_paused(async {
        let started = now();
        let found = timeout(Duration::from_millis(1), lookup_host("localhost:1")).await;
        assert!(found.unwrap().unwrap().count() > 0);
        assert_eq!(now(), started);
    });
}

#[test]
fn lookups_that_are_dropped_leave_nothing() {
    block_on(async {
        for n in 0..support::scaled(1000) {
            let mut lookup = Box::pin(lookup_host(("localhost", 1)));
            if n % 2 == 0 {
                // Begun, and perhaps answered already.
                drop(futures::poll!(&mut lookup));
            }
        }
        assert!(lookup_host("localhost:1").await.is_ok(), "those in line were passed over");
    });
}
