//! How TCP connections end: half-closed, reset, refused, taken over, or with their loop.
#![cfg(unix)] // descriptors and their options

#[path = "support/net.rs"]
mod net;
mod support;

use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::rc::Rc;
use std::time::{Duration, Instant};

use loopline::net::{TcpListener, TcpStream};
use loopline::spawn;
use loopline::time::{sleep, timeout};
use net::{ANY, closed_port, fill, full_backlog, pair, poll_once, reset, soon, with_peer};
use support::{block_on, closes_clean, ends_with_registrations, event_loop};

// contract 6; fault 17
#[test]
fn after_the_peers_half_close_the_rest_is_read_and_writing_goes_on() {
    block_on(async {
        let (stream, mut peer) = with_peer().await;
        assert!(poll_once(stream.read(&mut [0; 8])).await.is_pending());
        peer.write_all(b"last words").unwrap();
        peer.shutdown(Shutdown::Write).unwrap();
        let mut buf = [0; 64];
        assert_eq!(soon(stream.read(&mut buf)).await.unwrap(), 10);
        assert_eq!(soon(stream.read(&mut buf)).await.unwrap(), 0);
        assert_eq!(soon(stream.read(&mut buf)).await.unwrap(), 0, "the end stays");
        for _ in 0..10 {
            soon(stream.write_all(b"answer")).await.unwrap();
        }
        stream.shutdown().await.unwrap();
        let mut answers = Vec::new();
        peer.read_to_end(&mut answers).unwrap();
        assert_eq!(answers, b"answer".repeat(10));
    });
}

// contract 6
#[test]
fn a_full_socket_stays_full_when_the_peer_only_half_closes() {
    block_on(async {
        let (stream, peer) = with_peer().await;
        fill(&stream).await;
        peer.shutdown(Shutdown::Write).unwrap();
        assert_eq!(soon(stream.read(&mut [0; 8])).await.unwrap(), 0);
        let write = timeout(Duration::from_millis(10), stream.write(b"x")).await;
        assert!(write.is_err(), "a half-close made room: {write:?}");
    });
}

// contract 2, 6
#[test]
fn the_end_that_came_with_the_last_bytes_is_seen_after_a_short_read() {
    block_on(async {
        for _ in 0..100 {
            let (stream, mut peer) = with_peer().await;
            let mut buf = [0; 64];
            assert!(poll_once(stream.read(&mut buf)).await.is_pending());
            peer.write_all(b"bye").unwrap();
            drop(peer);
            // Data and end are in one event, or the end was there before the poller was asked.
            assert_eq!(soon(stream.read(&mut buf)).await.unwrap(), 3);
            assert_eq!(soon(stream.read(&mut buf)).await.unwrap(), 0);
        }
    });
}

// contract 2, 6
#[test]
fn the_end_that_came_after_a_short_read_is_seen() {
    block_on(async {
        let (stream, mut peer) = with_peer().await;
        let mut buf = [0; 64];
        peer.write_all(b"bye").unwrap();
        // Not registered yet, as no read has blocked.
        assert_eq!(soon(stream.read(&mut buf)).await.unwrap(), 3);
        drop(peer);
        assert_eq!(soon(stream.read(&mut buf)).await.unwrap(), 0);
    });
}

// contract 6; fault 15
#[test]
fn a_reset_gives_the_buffered_bytes_then_one_error_and_wakes_both_directions() {
    block_on(async {
        let (stream, mut peer) = with_peer().await;
        let stream = Rc::new(stream);
        fill(&stream).await;
        let reader = stream.clone();
        let reader = spawn(async move {
            let mut buf = [0; 64];
            let mut outcomes = Vec::new();
            for _ in 0..5 {
                outcomes.push(reader.read(&mut buf).await.map_err(|error| error.kind()));
            }
            outcomes
        });
        let writer = stream.clone();
        let writer = spawn(async move { writer.write_all(&[0; 1 << 20]).await });
        sleep(Duration::ZERO).await;
        peer.write_all(b"last").unwrap();
        reset(peer);
        let written = soon(writer).await.unwrap();
        let outcomes = soon(reader).await.unwrap();
        let failed = outcomes.iter().filter(|outcome| outcome.is_err()).count();
        // Whichever direction looks first gets the socket's one error; then reads find the end.
        let writer_got_it = written.unwrap_err().kind() == ErrorKind::ConnectionReset;
        assert_eq!(failed + usize::from(writer_got_it), 1, "{outcomes:?}");
        assert_eq!(outcomes[0], Ok(4));
        assert_eq!(outcomes[2..], [Ok(0), Ok(0), Ok(0)]);
    });
}

// fault 15
#[test]
fn a_reset_is_one_error_to_a_reader_and_then_the_end() {
    block_on(async {
        let (stream, peer) = with_peer().await;
        let mut buf = [0; 8];
        assert!(poll_once(stream.read(&mut buf)).await.is_pending());
        reset(peer);
        let error = soon(stream.read(&mut buf)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        assert_eq!(soon(stream.read(&mut buf)).await.unwrap(), 0);
        assert!(soon(stream.write(b"x")).await.is_err());
    });
}

// contract 8; fault 21
#[test]
fn a_refused_connection_says_so() {
    block_on(async {
        let error = soon(TcpStream::connect(closed_port())).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    });
}

// contract 8
#[test]
fn of_several_addresses_the_first_that_answers_is_connected_to() {
    block_on(async {
        let listener = TcpListener::bind(ANY).await.unwrap();
        let open = listener.local_addr().unwrap();
        let addrs = [closed_port(), open, closed_port()];
        let stream = soon(TcpStream::connect(&addrs[..])).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap(), open);
        let error = soon(TcpStream::connect(&addrs[..1])).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        let error = TcpStream::connect(&addrs[..0]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    });
}

// contract 7, 8, 40; fault 20
#[test]
fn a_connect_into_a_full_backlog_waits_until_it_is_cancelled_and_leaves_nothing() {
    let (listener, _queued) = full_backlog();
    let addr = listener.local_addr().unwrap();
    let mut event_loop = event_loop::<()>();
    let handle = event_loop.handle();
    event_loop
        .block_on(async {
            // A socket that is not connected yet reports itself hung up, but only if asked too early.
            let connect = timeout(Duration::from_millis(30), TcpStream::connect(addr)).await;
            assert!(connect.is_err(), "connected into a full queue: {connect:?}");
            assert_eq!(handle.stats().registrations, 0);
            sleep(Duration::from_millis(1)).await;
        })
        .unwrap();
    closes_clean(event_loop);
}

// contract 14
#[test]
fn a_stream_given_back_to_std_is_free_for_another_loop() {
    let mut first = event_loop::<()>();
    let (stream, mut peer) = first.block_on(with_peer()).unwrap();
    let stream = first
        .block_on(async {
            assert!(poll_once(stream.read(&mut [0; 8])).await.is_pending());
            stream.into_std().unwrap()
        })
        .unwrap();
    assert_eq!(first.handle().stats().registrations, 0);
    let mut second = event_loop::<()>();
    let read = async {
        let stream = TcpStream::from_std(stream).unwrap();
        peer.write_all(b"hello").unwrap();
        let mut buf = [0; 8];
        assert_eq!(soon(stream.read(&mut buf)).await.unwrap(), 5);
        assert!(poll_once(stream.read(&mut buf)).await.is_pending());
        peer.write_all(b"again").unwrap();
        soon(stream.read(&mut buf)).await.unwrap()
    };
    assert_eq!(second.block_on(read).unwrap(), 5);
    // The first loop hears nothing of it.
    let turn = first.turn(&mut (), Duration::ZERO).unwrap();
    assert_eq!(turn.ran, 0);
    closes_clean(second);
    closes_clean(first);
}

// contract 12; fault 48
#[test]
fn a_stream_that_was_duplicated_leaves_no_stale_registration_behind() {
    let listener = std::net::TcpListener::bind(ANY).unwrap();
    let mut peer = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (accepted, _) = listener.accept().unwrap();
    let duplicate = accepted.try_clone().unwrap();
    let mut event_loop = event_loop::<()>();
    event_loop
        .block_on(async {
            let stream = TcpStream::from_std(accepted).unwrap();
            assert!(poll_once(stream.read(&mut [0; 8])).await.is_pending());
        })
        .unwrap();
    peer.write_all(b"for the duplicate").unwrap();
    let wait = Duration::from_millis(30);
    let before = Instant::now();
    event_loop.turn(&mut (), wait).unwrap();
    assert!(before.elapsed() >= wait, "an event of a dropped stream ended the wait");
    drop(duplicate);
    closes_clean(event_loop);
}

// contract 12; fault 48
#[test]
fn a_stream_whose_descriptor_was_lent_is_deregistered_before_it_closes() {
    use std::os::fd::AsFd;
    let mut event_loop = event_loop::<()>();
    let (stream, mut peer) = event_loop.block_on(with_peer()).unwrap();
    let duplicate = stream.as_fd().try_clone_to_owned().unwrap();
    event_loop
        .block_on(async {
            assert!(poll_once(stream.read(&mut [0; 8])).await.is_pending());
            drop(stream);
        })
        .unwrap();
    peer.write_all(b"for the duplicate").unwrap();
    let wait = Duration::from_millis(30);
    let before = Instant::now();
    event_loop.turn(&mut (), wait).unwrap();
    assert!(before.elapsed() >= wait, "an event of a dropped stream ended the wait");
    drop(duplicate);
    closes_clean(event_loop);
}

// contract 13
#[test]
fn a_new_stream_on_a_used_number_gets_no_event_of_the_old_one() {
    block_on(async {
        let (old, mut old_peer) = with_peer().await;
        assert!(poll_once(old.read(&mut [0; 8])).await.is_pending());
        old_peer.write_all(b"old").unwrap();
        drop(old);
        // Takes the number that has just become free.
        let (new, mut new_peer) = with_peer().await;
        assert!(timeout(Duration::from_millis(5), new.read(&mut [0; 8])).await.is_err());
        new_peer.write_all(b"young").unwrap();
        assert_eq!(soon(new.read(&mut [0; 8])).await.unwrap(), 5);
    });
}

// fault 90
#[test]
fn a_stream_whose_loop_is_gone_says_so_on_the_next_one() {
    let mut first = event_loop::<()>();
    let (stream, _peer) = first.block_on(pair()).unwrap();
    first
        .block_on(async { assert!(poll_once(stream.read(&mut [0; 8])).await.is_pending()) })
        .unwrap();
    ends_with_registrations(first, 1);
    block_on(async {
        let error = soon(stream.read(&mut [0; 8])).await.unwrap_err();
        assert_eq!(error.to_string(), "the event loop that this source was used on is gone");
        // What needs no waiting still works.
        assert_eq!(soon(stream.write(b"x")).await.unwrap(), 1);
    });
}

// contract 40
#[test]
fn a_read_that_was_given_up_has_read_nothing() {
    block_on(async {
        let (stream, mut peer) = with_peer().await;
        let mut buf = [0; 8];
        assert!(timeout(Duration::from_millis(5), stream.read(&mut buf)).await.is_err());
        for _ in 0..50 {
            // Polled a few times and dropped, whatever the moment.
            assert!(poll_once(stream.read(&mut buf)).await.is_pending());
            assert!(poll_once(stream.peek(&mut buf)).await.is_pending());
            assert!(timeout(Duration::ZERO, stream.readable()).await.is_err());
        }
        peer.write_all(b"whole").unwrap();
        assert_eq!(soon(stream.read(&mut buf)).await.unwrap(), 5);
        assert_eq!(&buf[..5], b"whole");
    });
}

// contract 40; fault 18
#[test]
fn a_write_that_was_given_up_has_written_nothing() {
    block_on(async {
        let (stream, mut peer) = with_peer().await;
        let mut sent = fill(&stream).await;
        for _ in 0..50 {
            assert!(poll_once(stream.write(b"never")).await.is_pending());
        }
        assert!(timeout(Duration::from_millis(5), stream.write(b"never")).await.is_err());
        peer.read_exact(&mut vec![0; sent]).unwrap();
        sent = soon(stream.write(b"after")).await.unwrap();
        drop(stream);
        let mut rest = Vec::new();
        peer.read_to_end(&mut rest).unwrap();
        assert_eq!((sent, &rest[..]), (5, &b"after"[..]));
    });
}
