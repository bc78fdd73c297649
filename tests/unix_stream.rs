//! Unix streams and listeners: what TCP's do, and paths, names and resets of their own.
#![cfg(unix)]

#[path = "support/net.rs"]
mod net;
mod support;
#[path = "support/unix.rs"]
mod unix;

use std::io::{ErrorKind, IoSlice, IoSliceMut, Read, Write};
use std::net::Shutdown;
use std::os::unix::net as std_unix;
use std::rc::Rc;
use std::time::Duration;

use futures::future::join_all;
use futures::{AsyncReadExt, AsyncWriteExt};
use loopline::callback::Next;
use loopline::net::{UnixListener, UnixStream};
use loopline::spawn;
use loopline::time::{sleep, timeout};
use net::{is_alone, poll_once, small_buffers, soon};
use support::{block_on, closes_clean, event_loop, scaled};
use unix::Folder;

/// A stream, and its far end as the standard library's, which blocks.
fn with_peer() -> (UnixStream, std_unix::UnixStream) {
    let (near, far) = std_unix::UnixStream::pair().unwrap();
    (UnixStream::from_std(near).unwrap(), far)
}

/// Writes until the socket would block; returns how much it took.
fn fill(stream: &UnixStream) -> usize {
    let mut taken = 0;
    loop {
        match stream.try_write(&[7; 4096]) {
            Ok(n) => taken += n,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return taken,
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn a_client_and_a_server_talk_over_a_path() {
    let folder = Folder::new("talk");
    block_on(async {
        let path = folder.path("socket");
        let listener = UnixListener::bind(&path).unwrap();
        assert_eq!(listener.local_addr().unwrap().as_pathname(), Some(&*path));
        assert!(poll_once(listener.accept()).await.is_pending());
        let client = soon(UnixStream::connect(&path)).await.unwrap();
        let (server, peer) = soon(listener.accept()).await.unwrap();
        assert!(peer.is_unnamed() && client.local_addr().unwrap().is_unnamed());
        assert_eq!(client.peer_addr().unwrap().as_pathname(), Some(&*path));
        soon(client.write_all(b"hello")).await.unwrap();
        let mut buf = [0; 5];
        assert_eq!(soon(server.read_exact(&mut buf)).await.unwrap(), 5);
        assert_eq!(&buf, b"hello");
        assert!(server.take_error().unwrap().is_none() && listener.take_error().unwrap().is_none());
    });
}

// contract 2, 4; fault 31
#[test]
fn four_mebibytes_arrive_in_both_directions_through_small_buffers() {
    let size = scaled(4 << 20);
    let pattern = |place: usize| (place.wrapping_mul(2_654_435_761) >> 13) as u8;
    block_on(async {
        let (a, b) = UnixStream::pair().unwrap();
        small_buffers(&a);
        small_buffers(&b);
        let mut tasks = Vec::new();
        for stream in [Rc::new(a), Rc::new(b)] {
            let writer = stream.clone();
            tasks.push(spawn(async move {
                let bytes: Vec<u8> = (0..size).map(pattern).collect();
                for (n, chunk) in bytes.chunks(5000).enumerate() {
                    if n % 2 == 0 {
                        writer.write_all(chunk).await.unwrap();
                        continue;
                    }
                    let (mut done, half) = (0, chunk.len() / 2);
                    while done < chunk.len() {
                        let cut = half.max(done);
                        let parts = [IoSlice::new(&chunk[done..cut]), IoSlice::new(&chunk[cut..])];
                        done += writer.write_vectored(&parts).await.unwrap();
                    }
                }
                writer.shutdown().await.unwrap();
            }));
            tasks.push(spawn(async move {
                let (mut one, mut two, mut place) = ([0; 700], [0; 1300], 0);
                loop {
                    let mut parts = [IoSliceMut::new(&mut one), IoSliceMut::new(&mut two)];
                    let n = stream.read_vectored(&mut parts).await.unwrap();
                    if n == 0 {
                        break;
                    }
                    let got = one.iter().chain(&two).take(n).enumerate();
                    for (i, byte) in got {
                        assert_eq!(*byte, pattern(place + i), "byte {}", place + i);
                    }
                    place += n;
                }
                assert_eq!(place, size);
            }));
        }
        for done in soon(join_all(tasks)).await {
            done.unwrap();
        }
    });
}

// contract 2, 6; fault 17
#[test]
fn after_the_peers_half_close_the_rest_is_read_and_writing_goes_on() {
    let mut event_loop = event_loop::<()>();
    let handle = event_loop.handle();
    event_loop
        .block_on(async {
            let (stream, mut peer) = with_peer();
            assert!(poll_once(stream.read(&mut [0; 8])).await.is_pending());
            peer.write_all(b"last words").unwrap();
            peer.shutdown(Shutdown::Write).unwrap();
            let mut buf = [0; 64];
            assert_eq!(soon(stream.read(&mut buf)).await.unwrap(), 10);
            assert_eq!(soon(stream.read(&mut buf)).await.unwrap(), 0);
            assert_eq!(soon(stream.read(&mut buf)).await.unwrap(), 0, "the end stays");
            // Half-closed and waited on for writing, it does not keep the loop busy.
            let taken = fill(&stream);
            let before = handle.stats().turns;
            assert!(timeout(Duration::from_millis(20), stream.write(b"x")).await.is_err());
            assert!(handle.stats().turns - before < 10);
            peer.read_exact(&mut vec![0; taken]).unwrap();
            soon(stream.write_all(b"answer")).await.unwrap();
            stream.shutdown().await.unwrap();
            let mut answer = Vec::new();
            peer.read_to_end(&mut answer).unwrap();
            assert_eq!(answer, b"answer");
        })
        .unwrap();
    closes_clean(event_loop);
}

// contract 6; fault 15
#[test]
fn a_peer_that_closes_with_bytes_unread_is_a_reset_to_both_directions() {
    block_on(async {
        let (stream, mut peer) = with_peer();
        let stream = Rc::new(stream);
        fill(&stream);
        let writer = stream.clone();
        let writer = spawn(async move { writer.write_all(b"more").await });
        let reader = stream.clone();
        let reader = spawn(async move {
            let mut outcomes = Vec::new();
            for _ in 0..4 {
                let outcome = reader.read(&mut [0; 64]).await;
                outcomes.push(outcome.map_err(|error| error.kind()));
            }
            outcomes
        });
        sleep(Duration::ZERO).await;
        peer.write_all(b"last").unwrap();
        drop(peer);
        let outcomes = soon(reader).await.unwrap();
        let written = soon(writer).await.unwrap().map_err(|error| error.kind());
        assert_eq!(outcomes[0], Ok(4), "what was sent before is read");
        let resets = outcomes.iter().filter(|o| **o == Err(ErrorKind::ConnectionReset)).count();
        let writer_got_it = written == Err(ErrorKind::ConnectionReset);
        assert!(writer_got_it || written == Err(ErrorKind::BrokenPipe), "{written:?}");
        assert_eq!(resets + usize::from(writer_got_it), 1, "{outcomes:?}, {written:?}");
        assert_eq!(outcomes[2..], [Ok(0), Ok(0)]);
    });
}

// contract 48; fault 16
#[test]
fn a_client_that_left_before_it_was_accepted_is_its_own_affair() {
    let folder = Folder::new("left");
    block_on(async {
        let path = folder.path("socket");
        let listener = UnixListener::bind(&path).unwrap();
        drop(std_unix::UnixStream::connect(&path).unwrap());
        let mut alive = std_unix::UnixStream::connect(&path).unwrap();
        alive.write_all(b"here").unwrap();
        let (gone, _) = soon(listener.accept()).await.unwrap();
        assert_eq!(soon(gone.read(&mut [0; 8])).await.unwrap(), 0);
        let (stream, _) = soon(listener.accept()).await.unwrap();
        assert_eq!(soon(stream.read(&mut [0; 8])).await.unwrap(), 4);
    });
}

// contract 1; fault 23
#[test]
fn of_two_listeners_on_one_queue_the_loser_of_a_race_goes_on_waiting() {
    let folder = Folder::new("race");
    block_on(async {
        let path = folder.path("socket");
        let first = std_unix::UnixListener::bind(&path).unwrap();
        // As another process would have it.
        let second = first.try_clone().unwrap();
        let accepting: Vec<_> = [first, second]
            .map(|listener| {
                let listener = UnixListener::from_std(listener).unwrap();
                spawn(async move { listener.accept().await.unwrap() })
            })
            .into();
        sleep(Duration::ZERO).await;
        let _one = std_unix::UnixStream::connect(&path).unwrap();
        // Both are woken for it.
        sleep(Duration::from_millis(5)).await;
        assert_eq!(accepting.iter().filter(|accepted| accepted.is_finished()).count(), 1);
        let _two = std_unix::UnixStream::connect(&path).unwrap();
        for accepted in soon(join_all(accepting)).await {
            accepted.unwrap();
        }
    });
}

// contract 40; fault 18
#[test]
fn waits_that_were_given_up_have_read_written_and_accepted_nothing() {
    let folder = Folder::new("given-up");
    block_on(async {
        let (stream, mut peer) = with_peer();
        let taken = fill(&stream);
        let listener = UnixListener::bind(folder.path("socket")).unwrap();
        for _ in 0..50 {
            assert!(poll_once(stream.read(&mut [0; 8])).await.is_pending());
            assert!(poll_once(stream.write(b"never")).await.is_pending());
            assert!(poll_once(listener.accept()).await.is_pending());
        }
        peer.write_all(b"whole").unwrap();
        assert_eq!(soon(stream.read(&mut [0; 8])).await.unwrap(), 5);
        peer.read_exact(&mut vec![0; taken]).unwrap();
        assert_eq!(soon(stream.write(b"after")).await.unwrap(), 5);
        drop(stream);
        let mut rest = Vec::new();
        peer.read_to_end(&mut rest).unwrap();
        assert_eq!(rest, b"after");
        let _client = std_unix::UnixStream::connect(folder.path("socket")).unwrap();
        soon(listener.accept()).await.unwrap();
    });
}

// fault 30
#[test]
fn a_path_that_is_too_long_or_broken_is_a_typed_error_that_names_it() {
    block_on(async {
        for path in ["x".repeat(108), "x".repeat(5000), "zero\0inside".to_owned()] {
            for error in [
                UnixListener::bind(&path).map(drop).unwrap_err(),
                UnixStream::connect(&path).await.map(drop).unwrap_err(),
            ] {
                assert_eq!(error.kind(), ErrorKind::InvalidInput);
                assert!(error.to_string().contains("is not the address of a Unix socket"));
            }
        }
        let error = UnixStream::connect("/nowhere/at/all").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
    });
}

// fault 30
#[test]
fn a_stale_path_is_refused_and_taken_and_free_again_once_removed() {
    let folder = Folder::new("stale");
    block_on(async {
        let path = folder.path("socket");
        drop(UnixListener::bind(&path).unwrap());
        let error = UnixStream::connect(&path).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        assert_eq!(UnixListener::bind(&path).unwrap_err().kind(), ErrorKind::AddrInUse);
        std::fs::remove_file(&path).unwrap();
        let listener = UnixListener::bind(&path).unwrap();
        let _client = soon(UnixStream::connect(&path)).await.unwrap();
        soon(listener.accept()).await.unwrap();
    });
}

// fault 30
#[test]
fn a_path_unlinked_while_listening_ends_nothing_that_is_there() {
    let folder = Folder::new("unlinked");
    block_on(async {
        let path = folder.path("socket");
        let listener = UnixListener::bind(&path).unwrap();
        let queued = soon(UnixStream::connect(&path)).await.unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(UnixStream::connect(&path).await.unwrap_err().kind(), ErrorKind::NotFound);
        let (accepted, _) = soon(listener.accept()).await.unwrap();
        soon(queued.write_all(b"still here")).await.unwrap();
        assert_eq!(soon(accepted.read(&mut [0; 64])).await.unwrap(), 10);
        // Somebody else may have the path now; the old one waits on.
        let _second = UnixListener::bind(&path).unwrap();
        assert!(poll_once(listener.accept()).await.is_pending());
    });
}

#[test]
#[cfg(target_os = "linux")]
fn an_abstract_name_leaves_no_file_and_is_free_with_its_listener() {
    use std::os::linux::net::SocketAddrExt;
    block_on(async {
        let name = format!("loopline-test-{}", std::process::id());
        let addr = std_unix::SocketAddr::from_abstract_name(&name).unwrap();
        let listener = UnixListener::bind_addr(&addr).unwrap();
        let client = soon(UnixStream::connect_addr(&addr)).await.unwrap();
        let (server, _) = soon(listener.accept()).await.unwrap();
        soon(client.write_all(b"x")).await.unwrap();
        assert_eq!(soon(server.read(&mut [0; 8])).await.unwrap(), 1);
        // The same name as a path that begins with a zero byte.
        let again = UnixStream::connect(format!("\0{name}")).await.unwrap();
        assert_eq!(again.peer_addr().unwrap().as_abstract_name(), Some(name.as_bytes()));
        drop(listener);
        let error = UnixStream::connect_addr(&addr).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        UnixListener::bind(format!("\0{name}")).unwrap();
    });
}

#[test]
fn a_connect_to_a_full_queue_waits_until_there_is_room() {
    let folder = Folder::new("full");
    block_on(async {
        let path = folder.path("socket");
        let listener = std_unix::UnixListener::bind(&path).unwrap();
        // SAFETY: takes two integers; makes the queue of a live listener short.
        unsafe { libc::listen(std::os::fd::AsRawFd::as_raw_fd(&listener), 1) };
        let listener = UnixListener::from_std(listener).unwrap();
        let mut queued = Vec::new();
        while let Ok(stream) = timeout(Duration::from_millis(1), UnixStream::connect(&path)).await {
            queued.push(stream.unwrap());
            assert!(queued.len() < 64, "the backlog does not fill");
        }
        let late = spawn(async move { UnixStream::connect(&path).await.unwrap() });
        sleep(Duration::ZERO).await;
        assert!(!late.is_finished());
        let mut accepted = Vec::new();
        for _ in 0..=queued.len() {
            accepted.push(soon(listener.accept()).await.unwrap());
        }
        soon(late).await.unwrap();
    });
}

// contract 17
#[test]
fn a_listener_is_a_source_of_connections() {
    let folder = Folder::new("source");
    let mut event_loop = event_loop::<Vec<UnixStream>>();
    let listener = UnixListener::bind(folder.path("socket")).unwrap();
    let insert = event_loop.handle().insert(
        listener.into_incoming(),
        |stream, incoming, streams: &mut Vec<_>| {
            assert!(incoming.get_ref().local_addr().is_ok());
            streams.push(stream.unwrap());
            if streams.len() == 3 { Next::Stop } else { Next::Keep }
        },
    );
    let connect = |_| std_unix::UnixStream::connect(folder.path("socket")).unwrap();
    let _clients: Vec<_> = (0..3).map(connect).collect();
    let mut streams = Vec::new();
    event_loop.run(&mut streams).unwrap();
    assert_eq!(streams.len(), 3);
    drop((insert, streams));
    closes_clean(event_loop);
}

#[test]
fn code_written_for_futures_io_takes_it_by_value_and_by_reference() {
    block_on(async {
        let (a, b) = UnixStream::pair().unwrap();
        let send = async {
            let mut a = a;
            AsyncWriteExt::write_all(&mut a, b"by value").await.unwrap();
            AsyncWriteExt::close(&mut a).await.unwrap();
        };
        let mut text = String::new();
        let receive = async { (&b).read_to_string(&mut text).await.unwrap() };
        soon(futures::future::join(send, receive)).await;
        assert_eq!(text, "by value");
    });
}

// fault 29
#[test]
#[cfg(target_os = "linux")]
fn an_urgent_byte_neither_spins_nor_stops_a_stream() {
    let mut event_loop = event_loop::<()>();
    let handle = event_loop.handle();
    event_loop
        .block_on(async {
            let (stream, mut peer) = with_peer();
            assert!(poll_once(stream.read(&mut [0; 8])).await.is_pending());
            if unix::send_urgent(&peer, b"!").is_err() {
                return; // before Linux 5.15
            }
            let before = handle.stats().turns;
            let read = timeout(Duration::from_millis(20), stream.read(&mut [0; 8])).await;
            assert!(read.is_err(), "not among the ordinary bytes: {read:?}");
            assert!(handle.stats().turns - before < 10);
            peer.write_all(b"plain").unwrap();
            let mut buf = [0; 5];
            soon(stream.read_exact(&mut buf)).await.unwrap();
            assert_eq!(&buf, b"plain");
        })
        .unwrap();
    closes_clean(event_loop);
}

#[test]
#[cfg(target_os = "linux")]
fn a_read_that_ends_at_an_urgent_byte_leaves_what_is_behind_it_to_the_next() {
    block_on(async {
        let (stream, mut peer) = with_peer();
        let mut buf = [0; 16];
        assert!(poll_once(stream.read(&mut buf)).await.is_pending());
        peer.write_all(b"before").unwrap();
        if unix::send_urgent(&peer, b"!").is_err() {
            return; // before Linux 5.15
        }
        peer.write_all(b"behind it").unwrap();
        assert_eq!(soon(stream.read(&mut buf)).await.unwrap(), 6);
        assert_eq!(soon(stream.read(&mut buf)).await.unwrap(), 9);
    });
}

// contract 49; fault 12
#[test]
fn a_write_to_a_peer_that_is_gone_is_an_error_and_not_a_signal() {
    if !is_alone("a_write_to_a_peer_that_is_gone_is_an_error_and_not_a_signal") {
        return;
    }
    // SAFETY: puts the default back, as in a host that is not Rust's.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
    block_on(async {
        let (stream, peer) = with_peer();
        drop(peer);
        let error = soon(stream.write(b"x")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BrokenPipe);
        let error = soon(stream.write_vectored(&[IoSlice::new(b"x")])).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BrokenPipe);
        stream.shutdown().await.unwrap();
    });
}
