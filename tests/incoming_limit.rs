//! Limits on incoming connections: how many are alive at once, and none while the loop is late.
#![cfg(unix)]

#[path = "support/net.rs"]
mod net;
mod support;
#[path = "support/unix.rs"]
mod unix;

use std::cell::RefCell;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use futures::Stream;
use loopline::callback::Next;
use loopline::net::{Limited, TcpListener, TcpStream, UnixListener, UnixStream};
use loopline::time::{lag, sleep};
use loopline::{spawn, yield_now};
use net::{ANY, descriptors, is_alone, poll_once, soon};
use support::{block_on, block_on_paused, closes_clean, event_loop, scaled};
use unix::Folder;

async fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind(ANY).await.unwrap();
    let addr = listener.local_addr().unwrap();
    (listener, addr)
}

fn clients(addr: SocketAddr, count: usize) -> Vec<std::net::TcpStream> {
    (0..count).map(|_| std::net::TcpStream::connect(addr).unwrap()).collect()
}

/// Keeps the loop from its poller, as a callback should not.
fn be_late(by: Duration) {
    std::thread::sleep(by);
    assert!(lag() >= by);
}

#[test]
fn so_many_connections_are_alive_and_the_next_waits_in_the_queue_until_one_ends() {
    block_on(async {
        let (listener, addr) = listener().await;
        let mut incoming = listener.into_incoming().limit(2);
        let mut clients = clients(addr, 3);
        let first = soon(incoming.next()).await.unwrap().unwrap();
        let second = soon(incoming.next()).await.unwrap().unwrap();
        assert_eq!(incoming.live(), 2);
        for _ in 0..50 {
            assert!(poll_once(incoming.next()).await.is_pending());
        }
        // It is used as the stream that it is.
        soon(second.write_all(b"served")).await.unwrap();
        clients[1].read_exact(&mut [0; 6]).unwrap();
        assert_eq!(second.peer_addr().unwrap(), clients[1].local_addr().unwrap());
        let waiting = spawn(async move {
            let third = incoming.next().await.unwrap().unwrap();
            (third, incoming)
        });
        sleep(Duration::ZERO).await;
        assert!(!waiting.is_finished());
        drop(first);
        let (third, incoming) = soon(waiting).await.unwrap();
        assert_eq!(third.peer_addr().unwrap(), clients[2].local_addr().unwrap());
        assert_eq!(incoming.live(), 2);
        drop((second, third));
        assert_eq!(incoming.live(), 0);
    });
}

#[test]
fn a_place_may_outlive_its_stream_or_go_before_it() {
    block_on(async {
        let (listener, addr) = listener().await;
        let mut incoming = listener.into_incoming().limit(1);
        let _clients = clients(addr, 3);
        let (stream, place) = soon(incoming.next()).await.unwrap().unwrap().into_parts();
        drop(stream);
        assert!(poll_once(incoming.next()).await.is_pending());
        drop(place);
        let (_stream, place) = soon(incoming.next()).await.unwrap().unwrap().into_parts();
        drop(place);
        let _third = soon(incoming.next()).await.unwrap().unwrap();
        assert_eq!(incoming.live(), 1);
    });
}

#[test]
fn a_limit_may_be_changed_while_one_waits_for_a_place() {
    let mut event_loop = event_loop::<Vec<Limited<TcpStream>>>();
    let handle = event_loop.handle();
    let std = std::net::TcpListener::bind(ANY).unwrap();
    let addr = std.local_addr().unwrap();
    let incoming = TcpListener::from_std(std).unwrap().into_incoming().limit(1);
    let _clients = clients(addr, 5);
    let insert = handle.insert(incoming, |stream, incoming, streams: &mut Vec<_>| {
        streams.push(stream.unwrap());
        // The callback has the source: as it likes what it sees, it takes more.
        if streams.len() == 1 {
            incoming.set_limit(4);
        }
        assert_eq!(incoming.live(), streams.len());
        if streams.len() == 4 { Next::Stop } else { Next::Keep }
    });
    let mut streams = Vec::new();
    event_loop.run(&mut streams).unwrap();
    let incoming =
        event_loop.run_until(&mut streams, async { insert.unwrap().await.unwrap() }).unwrap();
    assert_eq!((streams.len(), incoming.live()), (4, 4));
    drop((streams, incoming));
    closes_clean(event_loop);
}

#[test]
fn a_limit_that_is_raised_wakes_who_waits_for_a_place() {
    block_on(async {
        let (listener, addr) = listener().await;
        let incoming = Rc::new(RefCell::new(listener.into_incoming().limit(0)));
        let _clients = clients(addr, 1);
        let polled = incoming.clone();
        let waiting = spawn(std::future::poll_fn(move |cx| {
            std::pin::Pin::new(&mut *polled.borrow_mut()).poll_next(cx)
        }));
        sleep(Duration::ZERO).await;
        assert!(!waiting.is_finished());
        incoming.borrow_mut().set_limit(1);
        let _live = soon(waiting).await.unwrap().unwrap().unwrap();
    });
}

#[test]
fn never_more_than_the_limit_live_and_all_are_served_in_the_end() {
    const MOST: usize = 7;
    let count = scaled(500);
    block_on(async {
        let (listener, addr) = listener().await;
        let mut incoming = listener.into_incoming().limit(MOST);
        let connecting = spawn(async move {
            let mut clients = Vec::new();
            for n in 0..count {
                let stream = TcpStream::connect(addr).await.unwrap();
                clients.push(spawn(async move {
                    stream.write_all(&n.to_le_bytes()).await.unwrap();
                    stream.read_exact(&mut [0]).await.unwrap();
                }));
                if n % 50 == 49 {
                    sleep(Duration::from_millis(1)).await; // the kernel's queue has its own limit
                }
            }
            for client in clients {
                client.await.unwrap();
            }
        });
        let mut seen = vec![false; count];
        let (done, mut finished) = loopline::sync::mpsc::unbounded_channel();
        for n in 0..count {
            let stream = soon(incoming.next()).await.unwrap().unwrap();
            assert!(incoming.live() <= MOST, "{} alive", incoming.live());
            let done = done.clone();
            spawn(async move {
                let mut number = [0; 8];
                stream.read_exact(&mut number).await.unwrap();
                for _ in 0..n % 5 {
                    yield_now().await;
                }
                stream.write_all(b"!").await.unwrap();
                done.send(usize::from_le_bytes(number)).unwrap();
            });
        }
        for _ in 0..count {
            let n = soon(finished.recv()).await.unwrap();
            assert!(!std::mem::replace(&mut seen[n], true), "{n} twice");
        }
        soon(connecting).await.unwrap();
        while incoming.live() != 0 {
            sleep(Duration::from_millis(1)).await;
        }
    });
}

// contract 40
#[test]
fn a_wait_for_a_place_that_was_given_up_loses_neither_place_nor_connection() {
    block_on(async {
        let (listener, addr) = listener().await;
        let mut incoming = listener.into_incoming().limit(1);
        let _clients = clients(addr, 20);
        let mut live = Some(soon(incoming.next()).await.unwrap().unwrap());
        assert_eq!(incoming.live(), 1);
        for n in 1..20 {
            for _ in 0..n % 4 {
                assert!(poll_once(incoming.next()).await.is_pending());
            }
            drop(live.take());
            if n % 2 == 0 {
                // Given up between the place's being free and its being taken.
                drop(Box::pin(incoming.next()));
            }
            live = Some(soon(incoming.next()).await.unwrap().unwrap());
            assert_eq!(incoming.live(), 1);
        }
        drop(live);
        assert_eq!(incoming.live(), 0);
    });
}

#[test]
fn what_is_limited_reads_and_writes_by_the_traits_too() {
    use futures::{AsyncReadExt, AsyncWriteExt};
    let folder = Folder::new("limited");
    block_on(async {
        let path = folder.path("socket");
        let mut incoming = UnixListener::bind(&path).unwrap().into_incoming().limit(1);
        let client = soon(UnixStream::connect(&path)).await.unwrap();
        let mut server: Limited<UnixStream> = soon(incoming.next()).await.unwrap().unwrap();
        let talk = async {
            AsyncWriteExt::write_all(&mut server, b"by value").await.unwrap();
            AsyncWriteExt::write_all(&mut &server, b", by reference").await.unwrap();
            AsyncWriteExt::close(&mut server).await.unwrap();
        };
        soon(talk).await;
        let mut text = String::new();
        soon((&client).read_to_string(&mut text)).await.unwrap();
        assert_eq!(text, "by value, by reference");
    });
}

#[test]
fn connections_that_come_while_the_loop_is_late_are_closed_and_counted() {
    block_on(async {
        let (listener, addr) = listener().await;
        let mut incoming = listener.into_incoming().shed_above(Duration::from_millis(100));
        assert!(poll_once(incoming.next()).await.is_pending());
        let mut late = clients(addr, 3);
        be_late(Duration::from_millis(150));
        sleep(Duration::ZERO).await; // through the poller
        // All three are in the queue: taken and closed, in the turn behind the late one.
        assert!(poll_once(incoming.next()).await.is_pending());
        assert_eq!(incoming.shed(), 3);
        for client in &mut late {
            assert_eq!(client.read(&mut [0; 8]).unwrap_or(0), 0);
        }
        // Once it is in time again, connections are taken again.
        let served = loop {
            let client = clients(addr, 1);
            sleep(Duration::from_millis(1)).await;
            if let std::task::Poll::Ready(stream) = poll_once(incoming.next()).await {
                break (client, stream.unwrap().unwrap());
            }
        };
        assert_eq!(served.1.peer_addr().unwrap(), served.0[0].local_addr().unwrap());
    });
}

#[test]
fn the_turn_after_a_late_one_is_late_too_until_the_loop_has_waited() {
    block_on(async {
        be_late(Duration::from_millis(50));
        yield_now().await;
        let behind = spawn(async { lag() });
        sleep(Duration::ZERO).await;
        assert!(soon(behind).await.unwrap() >= Duration::from_millis(50));
        // What comes after a wait as long has waited for nobody; this process may, once in a while.
        let in_time = async || {
            be_late(Duration::from_millis(5));
            sleep(Duration::from_millis(10)).await;
            lag() < Duration::from_millis(5)
        };
        let mut tries = 0;
        while !in_time().await {
            tries += 1;
            assert!(tries < 200, "a late turn is held against all that come after it");
        }
    });
}

#[test]
fn nothing_is_shed_in_time_or_under_a_paused_clock() {
    block_on_paused(async {
        let (listener, addr) = listener().await;
        let mut incoming = listener.into_incoming().shed_above(Duration::ZERO);
        let _client = clients(addr, 1);
        std::thread::sleep(Duration::from_millis(2));
        assert_eq!(lag(), Duration::ZERO);
        soon(incoming.next()).await.unwrap().unwrap();
        assert_eq!(incoming.shed(), 0);
    });
    block_on(async {
        let (listener, addr) = listener().await;
        let shed = listener.into_incoming().shed_above(Duration::from_secs(3600));
        let mut incoming = shed.limit(1);
        let _clients = clients(addr, 2);
        let _live = soon(incoming.next()).await.unwrap().unwrap();
        assert!(poll_once(incoming.next()).await.is_pending());
        assert_eq!(incoming.get_ref().shed(), 0);
        let shed = incoming.into_inner();
        shed.into_inner().get_ref().local_addr().unwrap();
    });
}

#[test]
#[cfg(feature = "socket")]
fn connections_may_be_shed_by_reset() {
    block_on(async {
        let (listener, addr) = listener().await;
        let mut incoming =
            listener.into_incoming().shed_above(Duration::from_millis(50)).by_reset();
        assert!(poll_once(incoming.next()).await.is_pending());
        let mut client = clients(addr, 1);
        be_late(Duration::from_millis(80));
        sleep(Duration::ZERO).await; // through the poller
        assert!(poll_once(incoming.next()).await.is_pending());
        assert_eq!(incoming.shed(), 1);
        let error = client[0].read(&mut [0; 8]).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    });
}

#[test]
fn a_shed_connection_leaves_no_descriptor() {
    if !is_alone("a_shed_connection_leaves_no_descriptor") {
        return;
    }
    let mut event_loop = event_loop::<Rc<RefCell<u64>>>();
    let std = std::net::TcpListener::bind(ANY).unwrap();
    let addr = std.local_addr().unwrap();
    let incoming = TcpListener::from_std(std).unwrap().into_incoming();
    let before = descriptors();
    let clients = clients(addr, 20);
    for mut client in &clients {
        client.write_all(b"unread").unwrap();
    }
    let shed = Rc::new(RefCell::new(0));
    let mut incoming = incoming.shed_above(Duration::from_millis(10));
    event_loop
        .run_until(&mut shed.clone(), async {
            be_late(Duration::from_millis(20));
            assert!(poll_once(incoming.next()).await.is_pending());
            *shed.borrow_mut() = incoming.shed();
        })
        .unwrap();
    assert_eq!(*shed.borrow(), 20);
    assert_eq!(descriptors(), before + 20, "the clients' own");
    drop(incoming);
    closes_clean(event_loop);
}
