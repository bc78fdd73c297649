//! TCP listeners: every connection is taken, single failures and shortages pass.
#![cfg(unix)] // descriptors and their options

#[path = "support/net.rs"]
mod net;
mod support;

use std::cell::Cell;
use std::io::{ErrorKind, Write};
use std::rc::Rc;
use std::time::Duration;

use futures::future::join_all;
use loopline::callback::Next;
use loopline::net::{TcpListener, TcpStream};
use loopline::time::{sleep, timeout};
use loopline::{spawn, yield_now};
use net::{ANY, full_backlog, is_alone, poll_once, reset, soon};
use support::{block_on, closes_clean, event_loop, scaled};

// contract 30; fault 32
#[test]
fn a_burst_of_a_thousand_connections_is_taken_and_others_run_between() {
    let count = scaled(1000);
    block_on(async {
        let listener = TcpListener::bind(ANY).await.unwrap();
        let addr = listener.local_addr().unwrap();
        let others = Rc::new(Cell::new(0));
        let ran = others.clone();
        let bystander = spawn(async move {
            loop {
                ran.set(ran.get() + 1);
                yield_now().await;
            }
        });
        let accepted = spawn(async move {
            let (mut most, mut before, mut stretch) = (0, 0, 0);
            for _ in 0..count {
                let (stream, _) = listener.accept().await.unwrap();
                stretch = if others.replace(others.get()) == before { stretch + 1 } else { 1 };
                before = others.get();
                most = most.max(stretch);
                stream.write_all(b"!").await.unwrap();
            }
            most
        });
        // A hundred at a time: what the kernel queues has a limit of its own.
        for _ in 0..count.div_ceil(100) {
            let clients = (0..100.min(count)).map(|_| async {
                let stream = TcpStream::connect(addr).await.unwrap();
                stream.read_exact(&mut [0]).await.unwrap();
            });
            soon(join_all(clients)).await;
        }
        let most = soon(accepted).await.unwrap();
        assert!(most <= 128, "{most} connections at one stretch");
        drop(bystander.cancel());
    });
}

// contract 17
#[test]
fn a_listener_is_a_source_of_connections() {
    let mut event_loop = event_loop::<Vec<TcpStream>>();
    let listener = std::net::TcpListener::bind(ANY).unwrap();
    let addr = listener.local_addr().unwrap();
    let incoming = TcpListener::from_std(listener).unwrap().into_incoming();
    assert_eq!(incoming.get_ref().local_addr().unwrap(), addr);
    let insert = event_loop.handle().insert(incoming, |stream, _, streams: &mut Vec<_>| {
        streams.push(stream.unwrap());
        if streams.len() == 10 { Next::Stop } else { Next::Keep }
    });
    let clients: Vec<_> = (0..10).map(|_| std::net::TcpStream::connect(addr).unwrap()).collect();
    let mut streams = Vec::new();
    event_loop.run(&mut streams).unwrap();
    let peers: Vec<_> = streams.iter().map(|stream| stream.peer_addr().unwrap()).collect();
    let wanted: Vec<_> = clients.iter().map(|client| client.local_addr().unwrap()).collect();
    assert_eq!(peers, wanted, "in the order in which they connected");
    // Stopped, it gives the listener back, which goes on as before.
    let incoming = event_loop.run_until(&mut streams, insert.unwrap()).unwrap().unwrap();
    let _one_more = std::net::TcpStream::connect(addr).unwrap();
    let listener = incoming.into_inner();
    let accepted = event_loop.run_until(&mut streams, async { soon(listener.accept()).await });
    assert!(accepted.unwrap().is_ok());
    drop((listener, streams));
    closes_clean(event_loop);
}

#[test]
fn a_dropped_listener_refuses() {
    block_on(async {
        let listener = TcpListener::bind(ANY).await.unwrap();
        let addr = listener.local_addr().unwrap();
        assert!(poll_once(listener.accept()).await.is_pending());
        drop(listener);
        let error = soon(TcpStream::connect(addr)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        // The address is free at once.
        TcpListener::bind(addr).await.unwrap();
    });
}

// contract 40
#[test]
fn an_accept_that_was_given_up_has_taken_no_connection() {
    block_on(async {
        let listener = TcpListener::bind(ANY).await.unwrap();
        for _ in 0..50 {
            assert!(poll_once(listener.accept()).await.is_pending());
        }
        assert!(timeout(Duration::from_millis(5), listener.accept()).await.is_err());
        let peer = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (_, addr) = soon(listener.accept()).await.unwrap();
        assert_eq!(addr, peer.local_addr().unwrap());
    });
}

// contract 4
#[test]
fn two_tasks_that_accept_are_both_served() {
    block_on(async {
        let listener = Rc::new(TcpListener::bind(ANY).await.unwrap());
        let addr = listener.local_addr().unwrap();
        let accepting: Vec<_> = (0..2)
            .map(|_| {
                let listener = listener.clone();
                spawn(async move { listener.accept().await.unwrap() })
            })
            .collect();
        sleep(Duration::ZERO).await;
        let _clients = [
            std::net::TcpStream::connect(addr).unwrap(),
            std::net::TcpStream::connect(addr).unwrap(),
        ];
        for accepted in soon(join_all(accepting)).await {
            accepted.unwrap();
        }
    });
}

// contract 48; fault 16
#[test]
fn a_connection_reset_before_it_was_accepted_is_its_own_affair() {
    block_on(async {
        let listener = TcpListener::bind(ANY).await.unwrap();
        let addr = listener.local_addr().unwrap();
        reset(std::net::TcpStream::connect(addr).unwrap());
        let mut alive = std::net::TcpStream::connect(addr).unwrap();
        alive.write_all(b"here").unwrap();
        let mut got = 0;
        while got == 0 {
            let (stream, _) = soon(listener.accept()).await.unwrap();
            // An error or the end, of the one that was reset.
            got = soon(stream.read(&mut [0; 8])).await.unwrap_or(0);
        }
        assert_eq!(got, 4);
    });
}

#[test]
fn accepted_streams_inherit_nodelay() {
    block_on(async {
        let listener = TcpListener::bind(ANY).await.unwrap();
        let addr = listener.local_addr().unwrap();
        for nodelay in [true, false] {
            listener.set_nodelay(nodelay).unwrap();
            let _client = std::net::TcpStream::connect(addr).unwrap();
            let (stream, _) = soon(listener.accept()).await.unwrap();
            assert_eq!(stream.nodelay().unwrap(), nodelay);
        }
    });
}

// contract 14
#[test]
fn a_listener_given_back_to_std_goes_on_there() {
    block_on(async {
        let listener = TcpListener::bind(ANY).await.unwrap();
        listener.set_ttl(33).unwrap();
        assert!(poll_once(listener.accept()).await.is_pending());
        let listener = listener.into_std().unwrap();
        assert_eq!(listener.ttl().unwrap(), 33);
        let _client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let listener = TcpListener::from_std(listener).unwrap();
        assert_eq!(listener.ttl().unwrap(), 33);
        soon(listener.accept()).await.unwrap();
    });
}

/// Uses up all descriptors but one; those returned hold them.
fn use_up_descriptors() -> Vec<std::fs::File> {
    let limit = libc::rlimit { rlim_cur: 64, rlim_max: 64 };
    // SAFETY: the limits are read from a live struct.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) }, 0);
    let files = std::iter::repeat_with(|| std::fs::File::open("/dev/null"));
    let mut files: Vec<_> = files.map_while(Result::ok).collect();
    files.pop();
    files
}

// contract 48; fault 1
#[test]
fn a_listener_without_descriptors_waits_by_timer_and_needs_no_new_event() {
    if !is_alone("a_listener_without_descriptors_waits_by_timer_and_needs_no_new_event") {
        return;
    }
    block_on(async {
        let listener = TcpListener::bind(ANY).await.unwrap();
        let addr = listener.local_addr().unwrap();
        let _clients: Vec<_> =
            (0..3).map(|_| std::net::TcpStream::connect(addr).unwrap()).collect();
        let _files = use_up_descriptors();
        let first = soon(listener.accept()).await.unwrap();
        let turns = || loopline::Handle::<()>::try_current().unwrap().stats().turns;
        let before = turns();
        let none_left = timeout(Duration::from_millis(150), listener.accept()).await;
        assert!(none_left.is_err(), "accepted beyond the limit: {none_left:?}");
        let spent = turns() - before;
        assert!(spent < 30, "{spent} turns in 150 ms: that is spinning");
        let waiting = spawn(async move { listener.accept().await.map(|_| listener) });
        sleep(Duration::from_millis(1)).await;
        drop(first);
        // No client has come since; the backlog is still believed to be there.
        let listener = soon(waiting).await.unwrap().unwrap();
        soon(listener.accept()).await.unwrap();
    });
}

// contract 40; fault 20
#[test]
fn a_cancelled_connect_closes_its_descriptor() {
    if !is_alone("a_cancelled_connect_closes_its_descriptor") {
        return;
    }
    let (listener, _queued) = full_backlog();
    let addr = listener.local_addr().unwrap();
    block_on(async {
        let before = net::descriptors();
        let connect = timeout(Duration::from_millis(20), TcpStream::connect(addr)).await;
        assert!(connect.is_err());
        assert_eq!(net::descriptors(), before);
    });
}
