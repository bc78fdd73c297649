//! When a descriptor that is ready is told again: `Trigger` of `Async` and of `FdSource`.
#![cfg(unix)] // descriptors

#[path = "support/net.rs"]
mod net;
mod support;
#[path = "support/unix.rs"]
mod unix;

use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use loopline::Handle;
use loopline::callback::Next;
use loopline::io::{Async, FdSource, Interest, Trigger};
use loopline::time::{sleep, timeout};
use net::{poll_once, soon};
use support::{block_on, closes_clean, event_loop};
use unix::sockets;

const SHORT: Duration = Duration::from_millis(5);

/// Reads as a library does that has the descriptor to itself: past the source.
fn drain(mut socket: &UnixStream) -> usize {
    let mut buf = [0; 64];
    match socket.read(&mut buf) {
        Ok(n) => n,
        Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn an_edge_ends_one_wait_though_something_is_left() {
    let (near, mut far) = sockets();
    block_on(async {
        let near = Async::with_trigger(near, Interest::READABLE, Trigger::Edge).unwrap();
        far.write_all(b"ab").unwrap();
        assert!(soon(near.readable()).await.unwrap().ready().is_readable());
        assert!(timeout(SHORT, near.readable()).await.is_err());
        far.write_all(b"c").unwrap();
        assert!(soon(near.readable()).await.unwrap().ready().is_readable());
        // An operation finds what is left without another edge.
        let mut buf = [0; 2];
        assert_eq!(soon(near.read_with(|mut near| near.read(&mut buf))).await.unwrap(), 2);
        assert_eq!(soon(near.read_with(|mut near| near.read(&mut buf))).await.unwrap(), 1);
        let mut wait = Box::pin(near.read_with(|mut near| near.read(&mut [0])));
        assert!(poll_once(&mut wait).await.is_pending());
        far.write_all(b"d").unwrap();
        assert_eq!(soon(wait).await.unwrap(), 1);
    });
}

#[test]
fn one_shot_asks_again_with_each_wait() {
    let (near, mut far) = sockets();
    block_on(async {
        let near = Async::with_trigger(near, Interest::READABLE, Trigger::OneShot).unwrap();
        far.write_all(b"a").unwrap();
        for _ in 0..3 {
            // Nothing is remembered, and nothing lost.
            assert!(soon(near.readable()).await.unwrap().ready().is_readable());
        }
        assert_eq!(drain(near.get_ref()), 1);
        assert!(timeout(SHORT, near.readable()).await.is_err());
        far.write_all(b"b").unwrap();
        assert!(soon(near.readable()).await.unwrap().ready().is_readable());
    });
}

#[test]
fn a_descriptor_that_others_empty_is_asked_about_each_time() {
    let (near, mut far) = sockets();
    block_on(async {
        let near = Async::with_trigger(near, Interest::READABLE, Trigger::Foreign).unwrap();
        for round in 1..4 {
            far.write_all(&[0; 3][..round]).unwrap();
            assert!(soon(near.readable()).await.unwrap().ready().is_readable());
            // Not emptied: told again.
            assert!(soon(near.readable()).await.unwrap().ready().is_readable());
            // By somebody who does not tell us.
            assert_eq!(drain(near.get_ref()), round);
            assert!(timeout(SHORT, near.readable()).await.is_err());
            // As it is for one who waits all the time.
            let mut wait = Box::pin(near.readable());
            assert!(poll_once(&mut wait).await.is_pending());
            assert!(poll_once(&mut wait).await.is_pending());
            far.write_all(b"x").unwrap();
            assert!(soon(wait).await.unwrap().ready().is_readable());
            assert_eq!(drain(near.get_ref()), 1);
        }
    });
}

#[test]
fn an_operation_on_a_descriptor_that_others_empty_is_tried_each_time() {
    let (near, mut far) = sockets();
    let read = |mut near: &UnixStream| near.read(&mut [0; 8]);
    block_on(async {
        for trigger in [Trigger::Foreign, Trigger::OneShot, Trigger::Edge, Trigger::Level] {
            let near = Async::with_trigger(&near, Interest::READABLE, trigger).unwrap();
            let would_block = || near.try_io(Interest::READABLE, |near| read(near)).unwrap_err();
            assert_eq!(would_block().kind(), ErrorKind::WouldBlock);
            far.write_all(b"abc").unwrap();
            // The system was not asked since: only where that is remembered nothing is known of it.
            let tried = near.try_io(Interest::READABLE, |near| read(near));
            assert_eq!(tried.is_ok(), trigger != Trigger::Level, "{trigger:?}: {tried:?}");
        }
    });
}

#[test]
fn a_foreign_source_is_told_as_long_as_it_is_ready_and_no_longer() {
    let (near, mut far) = sockets();
    far.write_all(b"abc").unwrap();
    block_on(async {
        let mut source = FdSource::with_trigger(near, Interest::READABLE, Trigger::Foreign);
        for _ in 0..3 {
            assert!(soon(source.next()).await.unwrap().unwrap().readable);
            // In part through the source, which does not make it believe that it knows.
            let mut byte = [0];
            assert_eq!(source.try_io(|mut socket| socket.read(&mut byte)).unwrap(), 1);
        }
        assert!(timeout(SHORT, source.next()).await.is_err());
        far.write_all(b"d").unwrap();
        assert!(soon(source.next()).await.unwrap().unwrap().readable);
        assert_eq!(drain(source.get_ref()), 1);
        assert!(timeout(SHORT, source.next()).await.is_err());
    });
}

#[test]
fn an_edge_source_is_called_once_for_each_edge() {
    let (near, mut far) = sockets();
    far.write_all(b"abc").unwrap();
    let mut event_loop = event_loop::<u32>();
    let handle = event_loop.handle();
    let source = FdSource::with_trigger(near, Interest::READABLE, Trigger::Edge);
    let insert = handle.insert(source, |event, _source, calls: &mut u32| {
        assert!(event.unwrap().readable);
        *calls += 1;
        if *calls == 2 { Next::Stop } else { Next::Keep }
    });
    drop(insert.unwrap());
    let mut calls = 0;
    for _ in 0..3 {
        event_loop.turn(&mut calls, Duration::from_millis(1)).unwrap();
    }
    assert_eq!(calls, 1);
    far.write_all(b"d").unwrap();
    event_loop.run(&mut calls).unwrap();
    assert_eq!(calls, 2);
    closes_clean(event_loop);
}

// contract 16; fault 51
#[test]
fn a_one_shot_source_is_silent_until_it_is_asked_for_and_loses_nothing() {
    let (near, mut far) = sockets();
    block_on(async {
        let mut source = FdSource::with_trigger(near, Interest::READABLE, Trigger::OneShot);
        far.write_all(b"a").unwrap();
        assert!(soon(source.next()).await.unwrap().unwrap().readable);
        // More comes while it is off.
        far.write_all(b"b").unwrap();
        assert!(timeout(SHORT, source.next()).await.is_err());
        source.rearm();
        assert!(soon(source.next()).await.unwrap().unwrap().readable);
        assert_eq!(drain(source.get_ref()), 2);
        source.rearm();
        assert!(timeout(SHORT, source.next()).await.is_err());
        far.write_all(b"c").unwrap();
        assert!(soon(source.next()).await.unwrap().unwrap().readable);
        assert!(timeout(SHORT, source.next()).await.is_err());
    });
}

// fault 51
#[test]
fn a_one_shot_source_does_not_end_while_bytes_are_left_to_read() {
    let (near, mut far) = sockets();
    block_on(async {
        let mut source = FdSource::with_trigger(near, Interest::READABLE, Trigger::OneShot);
        far.write_all(b"ab").unwrap();
        drop(far);
        let event = soon(source.next()).await.unwrap().unwrap();
        assert!(event.readable && event.read_closed);
        assert!(timeout(SHORT, source.next()).await.is_err(), "it is off, not over");
        source.rearm();
        assert!(soon(source.next()).await.unwrap().unwrap().readable);
        assert_eq!(drain(source.get_ref()), 2);
        assert!(soon(source.next()).await.is_none());
    });
}

// fault 51
#[test]
fn an_end_that_came_before_it_was_asked_again_is_told_with_what_is_left_to_read() {
    for trigger in [Trigger::Level, Trigger::Edge, Trigger::OneShot, Trigger::Foreign] {
        let (near, mut far) = sockets();
        block_on(async {
            let mut source = FdSource::with_trigger(near, Interest::READABLE, trigger);
            assert!(timeout(SHORT, source.next()).await.is_err()); // it has joined the poller
            far.write_all(b"ab").unwrap();
            drop(far);
            sleep(Duration::ZERO).await; // the poller has told the loop
            source.rearm();
            let event = soon(source.next()).await.unwrap().unwrap();
            assert!(event.readable && event.read_closed, "{trigger:?}");
            assert_eq!(drain(source.get_ref()), 2);
            if let Trigger::Level | Trigger::Foreign = trigger {
                // Once more: nobody has told it that the end was seen.
                assert!(soon(source.next()).await.unwrap().unwrap().readable);
            }
            assert!(soon(source.next()).await.is_none());
        });
    }
}

// fault 51
#[test]
fn interest_that_changes_with_an_event_pending_loses_no_edge() {
    for trigger in [Trigger::Level, Trigger::Edge, Trigger::OneShot, Trigger::Foreign] {
        let (near, mut far) = sockets();
        block_on(async {
            let mut source = FdSource::with_trigger(near, Interest::READABLE, trigger);
            assert!(timeout(Duration::ZERO, source.next()).await.is_err());
            far.write_all(b"a").unwrap();
            // The event is on its way while the source looks elsewhere.
            source.set_interest(Interest::WRITABLE);
            let event = soon(source.next()).await.unwrap().unwrap();
            assert!(event.writable && !event.readable, "{trigger:?}: {event:?}");
            source.set_interest(Interest::READABLE);
            let event = soon(source.next()).await.unwrap().unwrap();
            assert!(event.readable && !event.writable, "{trigger:?}: {event:?}");
        });
    }
}

// contract 6
#[test]
fn with_both_interests_the_end_is_read_to_the_last_byte() {
    for bytes in [&b"abcdef"[..], b""] {
        let (near, mut far) = sockets();
        far.write_all(bytes).unwrap();
        far.shutdown(Shutdown::Write).unwrap();
        let mut event_loop = event_loop::<(Vec<u8>, u32)>();
        let handle = event_loop.handle();
        let source = FdSource::new(near, Interest::READABLE | Interest::WRITABLE);
        let insert = handle.insert(source, |event, source, (seen, ends): &mut (Vec<u8>, u32)| {
            let event = event.unwrap();
            *ends += u32::from(event.read_closed);
            if !event.readable {
                return Next::Keep;
            }
            // One byte an event.
            let mut byte = [0];
            let read =
                source.try_io_for(Interest::READABLE, |mut socket| socket.read(&mut byte)).unwrap();
            seen.extend_from_slice(&byte[..read]);
            if read == 0 { Next::Stop } else { Next::Keep }
        });
        let join = insert.unwrap();
        let mut seen = (Vec::new(), 0);
        drop(event_loop.run_until(&mut seen, soon(join)).unwrap().unwrap());
        assert_eq!((&seen.0[..], seen.1), (bytes, 1));
        closes_clean(event_loop);
    }
}

// contract 20; fault 53
#[test]
fn whatever_the_trigger_a_source_whose_other_end_is_gone_ends() {
    for trigger in [Trigger::Level, Trigger::Edge, Trigger::OneShot, Trigger::Foreign] {
        let (near, far) = sockets();
        drop(far);
        block_on(async {
            let mut source = FdSource::with_trigger(near, Interest::READABLE, trigger);
            let event = soon(source.next()).await.unwrap().unwrap();
            assert!(event.read_closed, "{trigger:?}");
            assert_eq!(source.try_io(|mut socket| socket.read(&mut [0])).unwrap(), 0);
            assert!(soon(source.next()).await.is_none(), "{trigger:?}");
            let turns = || Handle::<()>::try_current().unwrap().stats().turns;
            let before = turns();
            sleep(SHORT).await;
            assert!(turns() - before < 10, "{trigger:?}");
        });
    }
}

// contract 20; fault 53
#[test]
fn by_edge_an_end_is_told_once_and_ends_the_source_whatever_is_left() {
    let (near, mut far) = sockets();
    far.write_all(b"abc").unwrap();
    drop(far);
    block_on(async {
        let mut source = FdSource::with_trigger(near, Interest::READABLE, Trigger::Edge);
        let event = soon(source.next()).await.unwrap().unwrap();
        assert!(event.readable && event.read_closed);
        assert_eq!(source.try_io(|mut socket| socket.read(&mut [0])).unwrap(), 1);
        assert!(soon(source.next()).await.is_none(), "who is told must go on to the end");
    });
}
