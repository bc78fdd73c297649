//! `FdSource`: any descriptor as a source of events, and what callbacks may do to each other.
#![cfg(unix)] // descriptors and their options

#[path = "support/net.rs"]
mod net;
mod support;
#[path = "support/unix.rs"]
mod unix;

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::time::Duration;

use loopline::callback::Next;
use loopline::io::{FdSource, Interest};
use loopline::time::{Timer, timeout};
use net::{soon, with_peer};
use support::{block_on, closes_clean, ends_with_registrations, event_loop};
use unix::sockets;

/// The two ends of a pipe: what reads, and what writes.
fn pipe() -> (OwnedFd, OwnedFd) {
    let mut ends = [0; 2];
    // SAFETY: it writes two numbers.
    assert_eq!(unsafe { libc::pipe(ends.as_mut_ptr()) }, 0);
    // SAFETY: they are open, and nobody else's.
    unsafe { (OwnedFd::from_raw_fd(ends[0]), OwnedFd::from_raw_fd(ends[1])) }
}

fn read(source: &FdSource<UnixStream>, size: usize) -> std::io::Result<Vec<u8>> {
    let mut buf = vec![0; size];
    let n = source.try_io(|mut socket| socket.read(&mut buf))?;
    buf.truncate(n);
    Ok(buf)
}

// contract 2
#[test]
fn a_callback_is_called_again_while_something_is_left_to_read() {
    let (near, mut far) = sockets();
    let mut event_loop = event_loop::<Vec<Vec<u8>>>();
    far.write_all(b"abcdef").unwrap();
    let source = FdSource::new(near, Interest::READABLE);
    let insert = event_loop.handle().insert(source, |event, source, seen: &mut Vec<_>| {
        assert!(event.unwrap().readable);
        seen.push(read(source, 2).unwrap());
        if seen.len() == 3 { Next::Stop } else { Next::Keep }
    });
    drop(insert.unwrap());
    let mut seen = Vec::new();
    event_loop.run(&mut seen).unwrap();
    assert_eq!(seen, [b"ab", b"cd", b"ef"]);
    closes_clean(event_loop);
}

// contract 2
#[test]
fn a_callback_that_does_its_own_reading_is_called_again_too() {
    let (near, mut far) = sockets();
    let reader = near.try_clone().unwrap();
    let mut event_loop = event_loop::<Vec<u8>>();
    far.write_all(b"abc").unwrap();
    let source = FdSource::new(near, Interest::READABLE);
    let insert = event_loop.handle().insert(source, move |_event, _source, seen: &mut Vec<_>| {
        // Not through the source, so nobody tells the loop what is left.
        let mut byte = [0];
        (&reader).read_exact(&mut byte).unwrap();
        seen.push(byte[0]);
        if seen.len() == 3 { Next::Stop } else { Next::Keep }
    });
    drop(insert.unwrap());
    let mut seen = Vec::new();
    event_loop.run(&mut seen).unwrap();
    assert_eq!(seen, b"abc");
    closes_clean(event_loop);
}

// contract 1, 3
#[test]
fn a_full_write_of_a_source_of_both_directions_does_not_lose_what_is_to_be_read() {
    let (near, mut far) = sockets();
    far.write_all(b"question").unwrap();
    block_on(async {
        let mut source = FdSource::new(near, Interest::READABLE | Interest::WRITABLE);
        let event = soon(source.next()).await.unwrap().unwrap();
        assert!(event.readable && event.writable);
        let chunk = [0; 4096];
        while source.try_io(|mut socket| socket.write(&chunk)).is_ok() {}
        let event = soon(source.next()).await.unwrap().unwrap();
        assert!(event.readable && !event.writable, "{event:?}");
        assert_eq!(read(&source, 64).unwrap(), b"question");
    });
}

// contract 6, 20; fault 53
#[test]
fn a_source_whose_other_end_is_gone_tells_it_once_and_stops_being_ready() {
    for interest in [Interest::READABLE, Interest::READABLE | Interest::WRITABLE] {
        let (near, mut far) = sockets();
        far.write_all(b"last").unwrap();
        drop(far);
        let mut event_loop = event_loop::<(u32, u32)>();
        let handle = event_loop.handle();
        let source = FdSource::new(near, interest);
        let insert = handle.insert(source, |event, source, (events, ends)| {
            let event = event.unwrap();
            *events += 1;
            *ends += u32::from(event.read_closed);
            // Reads to the end, as an end asks for; and stays.
            while let Ok(1..) = read(source, 64).map(|bytes| bytes.len()) {}
            Next::Keep
        });
        let control = insert.unwrap().control();
        let timer = Timer::after(Duration::from_millis(20));
        let insert = handle.insert(timer, move |_, _, _| {
            control.cancel();
            Next::Stop
        });
        drop(insert.unwrap());
        let mut seen = (0, 0);
        event_loop.run(&mut seen).unwrap();
        assert_eq!(seen.1, 1, "{interest:?}");
        assert!(seen.0 <= 2, "{interest:?}: {} events of a dead descriptor", seen.0);
        closes_clean(event_loop);
    }
}

// contract 20
#[test]
fn the_end_of_a_pipe_is_told_as_worth_a_read_and_a_write() {
    use loopline::io::Trigger::{Edge, Foreign, Level, OneShot};
    for trigger in [Level, Edge, OneShot, Foreign] {
        let (reader, writer) = pipe();
        block_on(async {
            let mut source = FdSource::with_trigger(reader, Interest::READABLE, trigger);
            assert!(timeout(Duration::from_millis(1), source.next()).await.is_err());
            drop(writer);
            let event = soon(source.next()).await.unwrap().unwrap();
            assert!(event.readable && event.read_closed, "{event:?}");
        });
        let (reader, writer) = pipe();
        drop(reader);
        block_on(async {
            let mut source = FdSource::with_trigger(writer, Interest::WRITABLE, trigger);
            let event = soon(source.next()).await.unwrap().unwrap();
            assert!(event.writable && event.write_closed, "{event:?}");
        });
    }
}

// contract 6, 20; fault 53
#[test]
fn a_half_closed_source_goes_on_telling_that_it_is_writable() {
    let (near, far) = sockets();
    far.shutdown(Shutdown::Write).unwrap();
    block_on(async {
        let mut source = FdSource::new(near, Interest::READABLE | Interest::WRITABLE);
        let event = soon(source.next()).await.unwrap().unwrap();
        assert!(event.read_closed && event.writable && !event.write_closed, "{event:?}");
        let chunk = [0; 4096];
        let mut sent = 0;
        while let Ok(n) = source.try_io(|mut socket| socket.write(&chunk)) {
            sent += n;
        }
        let full = timeout(Duration::from_millis(5), source.next()).await;
        assert!(full.is_err(), "{full:?}");
        far.set_nonblocking(false).unwrap();
        (&far).read_exact(&mut vec![0; sent]).unwrap();
        let event = soon(source.next()).await.unwrap().unwrap();
        assert!(event.writable && !event.read_closed, "{event:?}");
    });
}

// contract 9, 18; fault 7
#[test]
fn what_cannot_be_polled_is_one_clear_error_and_comes_back() {
    for path in ["/dev/null", "/proc/self/exe"] {
        let mut event_loop = event_loop::<Vec<String>>();
        let source = FdSource::new(File::open(path).unwrap(), Interest::READABLE);
        let insert = event_loop.handle().insert(source, |event, _source, errors: &mut Vec<_>| {
            let error = event.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::PermissionDenied);
            errors.push(error.to_string());
            Next::Keep
        });
        let join = insert.unwrap();
        let mut errors = Vec::new();
        event_loop.run(&mut errors).unwrap();
        assert_eq!(errors.len(), 1);
        assert!(errors[0].contains("cannot be polled"), "{errors:?}");
        let source = event_loop.run_until(&mut errors, join).unwrap().unwrap();
        drop(source.into_inner().unwrap());
        closes_clean(event_loop);
    }
}

// contract 15; fault 49
#[test]
fn one_descriptor_in_two_sources_is_a_clear_error_and_the_first_goes_on() {
    let (near, mut far) = sockets();
    let near = Rc::new(near);
    block_on(async {
        let mut first = FdSource::new(near.clone(), Interest::READABLE);
        assert!(timeout(Duration::ZERO, first.next()).await.is_err());
        let mut second = FdSource::new(near.clone(), Interest::READABLE);
        let error = soon(second.next()).await.unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AlreadyExists);
        assert!(error.to_string().contains("registered with this event loop already"), "{error}");
        assert!(soon(second.next()).await.is_none(), "the error is the last event");
        far.write_all(b"x").unwrap();
        assert!(soon(first.next()).await.unwrap().unwrap().readable);
    });
}

// contract 15; fault 49
#[test]
fn a_stream_that_waits_and_was_lent_is_not_registered_twice() {
    block_on(async {
        let (stream, mut peer) = with_peer().await;
        let mut buf = [0; 8];
        assert!(timeout(Duration::ZERO, stream.read(&mut buf)).await.is_err());
        let mut source = FdSource::new(stream.as_fd(), Interest::READABLE);
        let error = soon(source.next()).await.unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AlreadyExists);
        drop(source);
        // The stream waits as before.
        peer.write_all(b"x").unwrap();
        assert_eq!(soon(stream.read(&mut buf)).await.unwrap(), 1);
        // A duplicate is another descriptor, of the same socket.
        let duplicate = stream.as_fd().try_clone_to_owned().unwrap();
        let mut source = FdSource::new(duplicate, Interest::READABLE);
        peer.write_all(b"y").unwrap();
        assert!(soon(source.next()).await.unwrap().unwrap().readable);
    });
}

// fault 90
#[test]
fn a_source_whose_loop_is_gone_says_so_on_the_next_one() {
    let (near, _far) = sockets();
    let mut source = FdSource::new(near, Interest::READABLE);
    let mut first = event_loop::<()>();
    let waited = first.block_on(async { timeout(Duration::ZERO, source.next()).await.is_err() });
    assert!(waited.unwrap());
    ends_with_registrations(first, 1);
    block_on(async {
        let error = soon(source.next()).await.unwrap().unwrap_err();
        assert_eq!(error.to_string(), "the event loop that this source was used on is gone");
        assert!(soon(source.next()).await.is_none());
    });
}

// contract 5, 16; fault 51
#[test]
fn interest_changed_in_a_callback_holds_from_the_next_event_on() {
    let (near, mut far) = sockets();
    far.write_all(b"x").unwrap();
    let mut event_loop = event_loop::<Vec<(bool, bool)>>();
    let source = FdSource::new(near, Interest::WRITABLE);
    let insert = event_loop.handle().insert(source, |event, source, seen: &mut Vec<_>| {
        let event = event.unwrap();
        seen.push((event.readable, event.writable));
        match seen.len() {
            1 => source.set_interest(Interest::READABLE),
            2 => source.set_interest(Interest::READABLE | Interest::WRITABLE),
            3 => source.set_interest(Interest::WRITABLE),
            _ => return Next::Stop,
        }
        Next::Keep
    });
    drop(insert.unwrap());
    let mut seen = Vec::new();
    event_loop.run(&mut seen).unwrap();
    assert_eq!(seen, [(false, true), (true, false), (true, true), (false, true)]);
    closes_clean(event_loop);
}

// contract 16; fault 51
#[test]
fn a_paused_source_loses_no_event() {
    let (near, mut far) = sockets();
    let mut event_loop = event_loop::<Vec<u8>>();
    let handle = event_loop.handle();
    let source = FdSource::new(near, Interest::READABLE);
    let insert = handle.insert(source, |event, source, seen: &mut Vec<u8>| {
        event.unwrap();
        if let Ok(bytes) = read(source, 64) {
            seen.extend(bytes);
        }
        if seen.len() == 2 { Next::Stop } else { Next::Pause }
    });
    let control = insert.unwrap().control();
    let mut seen = Vec::new();
    let mut turns = |seen: &mut Vec<u8>| {
        for _ in 0..3 {
            event_loop.turn(seen, Duration::from_millis(1)).unwrap();
        }
    };
    far.write_all(b"1").unwrap();
    turns(&mut seen);
    far.write_all(b"2").unwrap();
    turns(&mut seen);
    assert_eq!(seen, b"1", "paused by its own callback");
    assert!(control.resume());
    turns(&mut seen);
    assert_eq!(seen, b"12");
    closes_clean(event_loop);
}

// contract 20
#[test]
fn a_reference_is_a_source_too_and_the_owner_keeps_the_descriptor() {
    let (near, mut far) = sockets();
    block_on(async {
        {
            let mut source = FdSource::new(&near, Interest::READABLE);
            assert!(timeout(Duration::ZERO, source.next()).await.is_err());
            far.write_all(b"x").unwrap();
            assert!(soon(source.next()).await.unwrap().unwrap().readable);
            assert_eq!(source.get_ref().as_raw_fd(), near.as_raw_fd());
        }
        assert_eq!((&near).read(&mut [0; 8]).unwrap(), 1);
    });
}

// contract 2, 6
#[test]
fn what_came_with_the_end_is_read_in_pieces_and_then_the_source_ends() {
    let (near, mut far) = sockets();
    far.write_all(b"seven b").unwrap();
    drop(far);
    let mut event_loop = event_loop::<Vec<u8>>();
    let source = FdSource::new(near, Interest::READABLE);
    let insert = event_loop.handle().insert(source, |event, source, seen: &mut Vec<u8>| {
        event.unwrap();
        let mut three = [0; 3];
        if let Ok(n) = source.try_io(|mut socket| socket.read(&mut three)) {
            seen.extend_from_slice(&three[..n]);
        }
        Next::Keep
    });
    drop(insert.unwrap());
    let mut seen = Vec::new();
    event_loop.run(&mut seen).unwrap();
    assert_eq!(seen, b"seven b");
    closes_clean(event_loop);
}

// contract 2, 20
#[test]
fn what_came_with_the_end_is_told_until_it_is_read_whoever_reads_it() {
    let (near, mut far) = sockets();
    let reader = near.try_clone().unwrap();
    far.write_all(b"seven b").unwrap();
    drop(far);
    let mut event_loop = event_loop::<(Vec<u8>, u32, u32)>();
    let source = FdSource::new(near, Interest::READABLE);
    let insert = event_loop.handle().insert(source, move |event, _source, (seen, events, ends)| {
        event.unwrap();
        *events += 1;
        if *events != 2 {
            // A library does its own reading, a piece at a time.
            let mut three = [0; 3];
            let n = (&reader).read(&mut three).unwrap();
            seen.extend_from_slice(&three[..n]);
            *ends += u32::from(n == 0);
        }
        Next::Keep
    });
    drop(insert.unwrap());
    let mut seen = (Vec::new(), 0, 0);
    event_loop.run(&mut seen).unwrap(); // the source ends
    assert_eq!(seen, (b"seven b".to_vec(), 5, 1));
    closes_clean(event_loop);
}

// contract 20
#[test]
fn who_reads_by_itself_sees_the_end_that_came_with_the_last_bytes() {
    use loopline::io::Trigger::{Foreign, Level, OneShot};
    for (trigger, interest) in [
        (OneShot, Interest::READABLE),
        (Level, Interest::READABLE),
        (Level, Interest::READABLE | Interest::WRITABLE),
        (Foreign, Interest::READABLE),
    ] {
        let (near, mut far) = sockets();
        far.write_all(b"last").unwrap();
        far.shutdown(Shutdown::Write).unwrap();
        let mut event_loop = event_loop::<Vec<usize>>();
        let source = FdSource::with_trigger(near, interest, trigger);
        let insert =
            event_loop.handle().insert(source, move |event, source, reads: &mut Vec<usize>| {
                if !event.unwrap().readable {
                    return Next::Keep; // there is room for more as long as the other end reads
                }
                reads.push(source.get_ref().read(&mut [0; 64]).unwrap());
                if trigger == OneShot {
                    source.rearm();
                }
                if reads.last() == Some(&0) { Next::Stop } else { Next::Keep }
            });
        let mut reads = Vec::new();
        let ended = event_loop.run_until(&mut reads, async { soon(insert.unwrap()).await.is_ok() });
        assert!(ended.unwrap());
        assert_eq!(reads, [4, 0], "{trigger:?} {interest:?}");
        drop(far);
        closes_clean(event_loop);
    }
}

// contract 6, 20; fault 53
#[test]
fn bytes_left_after_the_end_are_told_beside_room_to_write_whoever_looks_away_once() {
    let (near, mut far) = sockets();
    far.write_all(b"ab").unwrap();
    far.shutdown(Shutdown::Write).unwrap();
    block_on(async {
        let mut source = FdSource::new(near, Interest::READABLE | Interest::WRITABLE);
        let event = soon(source.next()).await.unwrap().unwrap();
        assert!(event.readable && event.writable && event.read_closed, "{event:?}");
        // Reads nothing, and writes nothing.
        let write = |mut socket: &UnixStream| socket.write(b"");
        assert_eq!(source.try_io_for(Interest::WRITABLE, write).unwrap(), 0);
        for byte in *b"ab" {
            let event = soon(source.next()).await.unwrap().unwrap();
            assert!(event.readable && event.writable && !event.read_closed, "{event:?}");
            let mut one = [0];
            let read = |mut socket: &UnixStream| socket.read(&mut one);
            assert_eq!(source.try_io_for(Interest::READABLE, read).unwrap(), 1);
            assert_eq!(one, [byte]);
            assert_eq!(source.try_io_for(Interest::WRITABLE, write).unwrap(), 0);
        }
        // Once more, as far as it knows; and then no more.
        soon(source.next()).await.unwrap().unwrap();
        let event = soon(source.next()).await.unwrap().unwrap();
        assert!(!event.readable && event.writable, "{event:?}");
    });
}
