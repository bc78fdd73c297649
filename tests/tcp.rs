//! TCP streams: bytes arrive, whoever waits is woken, nothing is lost between.
#![cfg(unix)] // descriptors and their options

#[path = "support/net.rs"]
mod net;
mod support;

use std::io::{ErrorKind, IoSlice, IoSliceMut, Read, Write};
use std::rc::Rc;
use std::time::Duration;

use futures::future::join_all;
use loopline::net::TcpStream;
use loopline::spawn;
use loopline::time::{sleep, timeout};
use net::{fill, pair, poll_once, soon, with_peer};
use support::{block_on, scaled};

/// A byte that depends on its place, so that a gap, a repetition and a swap all show.
fn pattern(place: usize) -> u8 {
    (place.wrapping_mul(2_654_435_761) >> 13) as u8
}

async fn send_pattern(stream: &TcpStream, size: usize) {
    let bytes: Vec<u8> = (0..size).map(pattern).collect();
    for chunk in bytes.chunks(1000) {
        stream.write_all(chunk).await.unwrap();
    }
    stream.shutdown().await.unwrap();
}

async fn receive_pattern(stream: &TcpStream, size: usize) {
    let mut buf = [0; 1500];
    let mut place = 0;
    while let n @ 1.. = stream.read(&mut buf).await.unwrap() {
        let wrong = (0..n).find(|i| buf[*i] != pattern(place + i));
        assert_eq!(wrong, None, "byte {place} + {wrong:?} differs");
        place += n;
    }
    assert_eq!(place, size);
}

// contract 2, 4
#[test]
fn sixteen_mebibytes_arrive_in_both_directions_at_once_through_small_buffers() {
    let size = scaled(16 << 20);
    block_on(async {
        let (a, b) = pair().await;
        let (a, b) = (Rc::new(a), Rc::new(b));
        let mut tasks = Vec::new();
        for stream in [a, b] {
            let writer = stream.clone();
            tasks.push(spawn(async move { send_pattern(&writer, size).await }));
            tasks.push(spawn(async move { receive_pattern(&stream, size).await }));
        }
        for done in soon(join_all(tasks)).await {
            done.unwrap();
        }
    });
}

// contract 4
#[test]
fn ten_tasks_that_read_one_stream_are_all_woken() {
    block_on(async {
        let (stream, peer) = pair().await;
        let stream = Rc::new(stream);
        let readers: Vec<_> = (0..10)
            .map(|_| {
                let stream = stream.clone();
                spawn(async move {
                    let mut byte = [0];
                    stream.read_exact(&mut byte).await.unwrap();
                    byte[0]
                })
            })
            .collect();
        // All wait before the first byte comes; each byte wakes all that are left.
        sleep(Duration::ZERO).await;
        for byte in 0..10 {
            peer.write_all(&[byte]).await.unwrap();
            sleep(Duration::ZERO).await;
        }
        let mut got: Vec<u8> =
            soon(join_all(readers)).await.into_iter().map(Result::unwrap).collect();
        got.sort_unstable();
        assert_eq!(got, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    });
}

// contract 4; fault 52
#[test]
fn a_waiting_reader_and_a_waiting_writer_of_one_stream_each_get_their_own_event() {
    block_on(async {
        let (stream, peer) = pair().await;
        let stream = Rc::new(stream);
        let taken = fill(&stream).await;
        let reader = stream.clone();
        let reader = spawn(async move { reader.read(&mut [0; 8]).await.unwrap() });
        let writer = stream.clone();
        let writer = spawn(async move { writer.write(b"more").await.unwrap() });
        sleep(Duration::ZERO).await;
        peer.write_all(b"up").await.unwrap();
        assert_eq!(soon(reader).await.unwrap(), 2);
        assert!(!writer.is_finished(), "there is no room yet");
        let mut sink = vec![0; taken];
        soon(peer.read_exact(&mut sink)).await.unwrap();
        assert_eq!(soon(writer).await.unwrap(), 4);
    });
}

// contract 4; fault 52
#[test]
fn a_reader_that_is_dropped_leaves_the_others_waiting() {
    block_on(async {
        let (stream, peer) = pair().await;
        let stream = Rc::new(stream);
        let read = |stream: Rc<TcpStream>| async move {
            let mut byte = [0];
            stream.read_exact(&mut byte).await.unwrap();
            byte[0]
        };
        let readers: Vec<_> = (0..3).map(|_| spawn(read(stream.clone()))).collect();
        sleep(Duration::ZERO).await;
        let mut left = Vec::new();
        for (n, reader) in readers.into_iter().enumerate() {
            // The first stands inline, the others in a list.
            if n == 0 { drop(reader.cancel()) } else { left.push(reader) }
        }
        peer.write_all(b"ab").await.unwrap();
        let mut got: Vec<u8> = soon(join_all(left)).await.into_iter().map(Result::unwrap).collect();
        got.sort_unstable();
        assert_eq!(got, b"ab");
    });
}

// contract 1
#[test]
fn a_task_that_is_woken_for_nothing_goes_on_waiting() {
    block_on(async {
        let (stream, mut peer) = with_peer().await;
        let mut buf = [0; 8];
        {
            let mut read = std::pin::pin!(stream.read(&mut buf));
            for _ in 0..100 {
                assert!(poll_once(read.as_mut()).await.is_pending());
                // Through the poller, which has nothing to say.
                sleep(Duration::ZERO).await;
            }
            peer.write_all(b"now").unwrap();
            assert_eq!(soon(read).await.unwrap(), 3);
        }
        assert_eq!(&buf[..3], b"now");
    });
}

// contract 3
#[test]
fn a_write_that_would_block_does_not_forget_that_there_is_something_to_read() {
    block_on(async {
        let (stream, mut peer) = with_peer().await;
        assert!(poll_once(stream.read(&mut [0; 8])).await.is_pending());
        peer.write_all(b"word").unwrap();
        soon(stream.readable()).await.unwrap();
        // No turn passes from here on, so nobody tells again what is there.
        while stream.try_write(&[0; 64 * 1024]).is_ok() {}
        let mut buf = [0; 8];
        assert_eq!(stream.try_read(&mut buf).unwrap(), 4);
    });
}

// contract 5
#[test]
fn asking_for_more_repeats_an_event_and_that_is_harmless() {
    block_on(async {
        let (stream, mut peer) = with_peer().await;
        let mut buf = [0; 8];
        assert!(poll_once(stream.read(&mut buf)).await.is_pending());
        peer.write_all(b"once").unwrap();
        soon(stream.readable()).await.unwrap();
        // The writer's first wait changes the registration; the kernel reports the data again.
        fill(&stream).await;
        assert_eq!(soon(stream.read(&mut buf)).await.unwrap(), 4);
        let again = timeout(Duration::from_millis(20), stream.read(&mut buf)).await;
        assert!(again.is_err(), "read {again:?} twice");
        peer.write_all(b"!").unwrap();
        assert_eq!(soon(stream.read(&mut buf)).await.unwrap(), 1);
    });
}

// contract 2
#[test]
fn what_a_full_buffer_left_behind_is_read_without_a_new_event() {
    block_on(async {
        let (stream, mut peer) = with_peer().await;
        let mut buf = [0; 4];
        let waiting = poll_once(stream.read(&mut buf)).await;
        assert!(waiting.is_pending());
        peer.write_all(b"abcdefgh").unwrap();
        assert_eq!(soon(stream.read_exact(&mut buf)).await.unwrap(), 4);
        assert_eq!(soon(stream.read_exact(&mut buf)).await.unwrap(), 4);
        assert_eq!(&buf, b"efgh");
    });
}

#[test]
fn a_peek_takes_nothing() {
    block_on(async {
        let (stream, mut peer) = with_peer().await;
        peer.write_all(b"hello").unwrap();
        let mut buf = [0; 8];
        assert_eq!(soon(stream.peek(&mut buf)).await.unwrap(), 5);
        assert_eq!(soon(stream.peek(&mut buf)).await.unwrap(), 5);
        assert_eq!(soon(stream.read(&mut buf)).await.unwrap(), 5);
        assert_eq!(&buf[..5], b"hello");
    });
}

#[cfg(target_os = "linux")] // elsewhere the poller does not tell of urgent data
#[test]
fn a_read_that_ends_at_urgent_data_leaves_what_is_behind_it_to_the_next() {
    block_on(async {
        let (stream, mut peer) = with_peer().await;
        let mut buf = [0; 16];
        assert!(poll_once(stream.read(&mut buf)).await.is_pending());
        peer.write_all(b"before").unwrap();
        let urgent = b"!";
        // SAFETY: sends one live byte.
        let sent = unsafe {
            libc::send(
                std::os::fd::AsRawFd::as_raw_fd(&peer),
                urgent.as_ptr().cast(),
                urgent.len(),
                libc::MSG_OOB,
            )
        };
        assert_eq!(sent, 1);
        peer.write_all(b"behind it").unwrap();
        assert_eq!(soon(stream.read(&mut buf)).await.unwrap(), 6);
        assert_eq!(soon(stream.read(&mut buf)).await.unwrap(), 9);
    });
}

#[test]
fn vectored_reads_and_writes_go_through_several_buffers() {
    block_on(async {
        let (a, b) = pair().await;
        let parts = [IoSlice::new(b"one "), IoSlice::new(b""), IoSlice::new(b"two")];
        assert_eq!(a.write_vectored(&parts).await.unwrap(), 7);
        let (mut first, mut second) = ([0; 2], [0; 8]);
        let mut bufs = [IoSliceMut::new(&mut first), IoSliceMut::new(&mut second)];
        assert_eq!(soon(b.read_vectored(&mut bufs)).await.unwrap(), 7);
        assert_eq!((&first, &second[..5]), (b"on", &b"e two"[..]));
        assert_eq!(b.try_write_vectored(&parts).unwrap(), 7);
        soon(a.readable()).await.unwrap();
        let mut bufs = [IoSliceMut::new(&mut first), IoSliceMut::new(&mut second)];
        // The readiness is a belief until the first WouldBlock.
        let n = loop {
            match a.try_read_vectored(&mut bufs) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    soon(a.readable()).await.unwrap();
                }
                other => break other.unwrap(),
            }
        };
        assert_eq!(n, 7);
    });
}

#[test]
fn try_read_finds_what_came_while_nothing_was_awaited() {
    block_on(async {
        let (stream, mut peer) = with_peer().await;
        let mut buf = [0; 8];
        let nothing = stream.try_read(&mut buf).unwrap_err();
        assert_eq!(nothing.kind(), ErrorKind::WouldBlock);
        peer.write_all(b"hello").unwrap();
        for _ in 0..1000 {
            match stream.try_read(&mut buf) {
                Ok(n) => return assert_eq!(&buf[..n], b"hello"),
                Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
            }
            sleep(Duration::from_millis(1)).await;
        }
        panic!("the bytes never came");
    });
}

#[test]
fn try_write_finds_the_room_that_came_while_nothing_was_awaited() {
    block_on(async {
        let (stream, mut peer) = with_peer().await;
        let chunk = [0; 64 * 1024];
        let mut taken = 0;
        while let Ok(n) = stream.try_write(&chunk) {
            taken += n;
        }
        peer.read_exact(&mut vec![0; taken]).unwrap();
        for _ in 0..1000 {
            if stream.try_write(&chunk).is_ok() {
                return;
            }
            sleep(Duration::from_millis(1)).await;
        }
        panic!("room was never seen");
    });
}

#[test]
fn readable_waits_after_a_read_that_would_block() {
    block_on(async {
        let (stream, mut peer) = with_peer().await;
        let mut buf = [0; 8];
        assert!(stream.try_read(&mut buf).is_err());
        assert!(timeout(Duration::from_millis(10), stream.readable()).await.is_err());
        peer.write_all(b"x").unwrap();
        soon(stream.readable()).await.unwrap();
        assert_eq!(stream.try_read(&mut buf).unwrap(), 1);
    });
}

#[test]
fn an_empty_buffer_reads_nothing_and_ends_nothing() {
    block_on(async {
        let (stream, mut peer) = with_peer().await;
        peer.write_all(b"x").unwrap();
        assert_eq!(soon(stream.read(&mut [])).await.unwrap(), 0);
        assert_eq!(soon(stream.read(&mut [0; 4])).await.unwrap(), 1);
        assert_eq!(soon(stream.write(&[])).await.unwrap(), 0);
        stream.flush().await.unwrap();
    });
}

#[test]
fn options_and_addresses_are_those_of_the_socket() {
    block_on(async {
        let (stream, peer) = with_peer().await;
        assert_eq!(stream.local_addr().unwrap(), peer.peer_addr().unwrap());
        assert_eq!(stream.peer_addr().unwrap(), peer.local_addr().unwrap());
        stream.set_nodelay(true).unwrap();
        assert!(stream.nodelay().unwrap());
        stream.set_ttl(42).unwrap();
        assert_eq!(stream.ttl().unwrap(), 42);
        assert!(stream.take_error().unwrap().is_none());
    });
}
