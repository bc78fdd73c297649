//! Descriptors that are closed, duplicated, taken back or used again: no event goes astray.
#![cfg(unix)] // descriptors and their options

#[path = "support/net.rs"]
mod net;
mod support;
#[path = "support/unix.rs"]
mod unix;

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use loopline::Control;
use loopline::callback::Next;
use loopline::io::{FdSource, Interest};
use loopline::net::TcpListener;
use loopline::time::timeout;
use net::{is_alone, soon};
use support::{block_on, closes_clean, event_loop};
use unix::sockets;

// contract 14
#[test]
fn a_descriptor_that_was_taken_back_is_registered_nowhere() {
    let (near, mut far) = sockets();
    let mut event_loop = event_loop::<()>();
    let handle = event_loop.handle();
    let near = event_loop
        .block_on(async {
            let mut source = FdSource::new(near, Interest::READABLE);
            assert!(timeout(Duration::ZERO, source.next()).await.is_err());
            assert_eq!(handle.stats().registrations, 1);
            source.into_inner().unwrap()
        })
        .unwrap();
    assert_eq!(handle.stats().registrations, 0);
    far.write_all(b"x").unwrap();
    let wait = Duration::from_millis(20);
    let began = Instant::now();
    event_loop.turn(&mut (), wait).unwrap();
    assert!(began.elapsed() >= wait, "the loop still heard of it");
    // And can be registered again.
    event_loop
        .block_on(async {
            let mut source = FdSource::new(near, Interest::READABLE);
            assert!(soon(source.next()).await.unwrap().unwrap().readable);
        })
        .unwrap();
    closes_clean(event_loop);
}

// contract 12; fault 48
#[test]
fn a_dropped_source_with_a_living_duplicate_brings_no_stale_event() {
    let (near, mut far) = sockets();
    let duplicate = near.try_clone().unwrap();
    let mut event_loop = event_loop::<()>();
    event_loop
        .block_on(async {
            let mut source = FdSource::new(near, Interest::READABLE);
            assert!(timeout(Duration::ZERO, source.next()).await.is_err());
        })
        .unwrap();
    far.write_all(b"x").unwrap();
    let wait = Duration::from_millis(20);
    let began = Instant::now();
    event_loop.turn(&mut (), wait).unwrap();
    assert!(began.elapsed() >= wait, "a stale event ended the wait");
    drop(duplicate);
    closes_clean(event_loop);
}

// contract 13; fault 47
#[test]
fn a_source_on_a_reused_number_gets_no_event_of_the_batch_it_was_made_in() {
    #[derive(Default)]
    struct State {
        old: Vec<Control>,
        new: Vec<UnixStream>,
        log: Vec<&'static str>,
    }
    let mut event_loop = event_loop::<State>();
    let handle = event_loop.handle();
    let mut state = State::default();
    let mut ends = Vec::new();
    // Two sources ready in one batch; whichever runs first replaces the other on its number.
    for _ in 0..2 {
        let (near, mut far) = sockets();
        far.write_all(b"x").unwrap();
        ends.push(far);
        let other = ends.len() % 2;
        let source = FdSource::new(near, Interest::READABLE);
        let join = handle.insert(source, move |event, _source, state: &mut State| {
            event.unwrap();
            state.log.push("old");
            state.old[other].cancel();
            let (near, far) = sockets();
            state.new.push(far);
            let source = FdSource::new(near, Interest::READABLE);
            let join = handle.insert(source, |event, _source, state: &mut State| {
                event.unwrap();
                state.log.push("new");
                Next::Stop
            });
            join.map(drop).unwrap();
            Next::Stop
        });
        state.old.push(join.unwrap().control());
    }
    event_loop.turn(&mut state, Duration::ZERO).unwrap();
    for _ in 0..3 {
        event_loop.turn(&mut state, Duration::from_millis(2)).unwrap();
    }
    assert_eq!(state.log, ["old"]);
    state.new[0].write_all(b"y").unwrap();
    event_loop.run(&mut state).unwrap();
    assert_eq!(state.log, ["old", "new"]);
    closes_clean(event_loop);
}

// contract 13; fault 48
#[test]
fn an_event_of_a_closed_stream_never_reaches_who_took_its_place_in_the_table() {
    // Alone, because it has to know which number the next descriptor gets.
    if !is_alone("an_event_of_a_closed_stream_never_reaches_who_took_its_place_in_the_table") {
        return;
    }
    block_on(async {
        let listener = std::net::TcpListener::bind(net::ANY).unwrap();
        let mut old_peer = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let listener = TcpListener::from_std(listener).unwrap();
        let number = File::open("/dev/null").unwrap().as_raw_fd();
        let (old, _) = soon(listener.accept()).await.unwrap();
        // Behind the stream's back, as other code of the process or a forked child may do.
        // SAFETY: duplicates a live descriptor; the duplicate is closed with the process.
        assert!(unsafe { libc::dup(number) } >= 0);
        assert!(timeout(Duration::ZERO, old.read(&mut [0; 8])).await.is_err());
        drop(old);
        // The kernel still reports the duplicate, by the token of the one that is gone.
        let (near, mut far) = sockets();
        let mut new = FdSource::new(near, Interest::READABLE);
        assert!(timeout(Duration::ZERO, new.next()).await.is_err());
        old_peer.write_all(b"old").unwrap();
        let wrong = timeout(Duration::from_millis(20), new.next()).await;
        assert!(wrong.is_err(), "an event of another descriptor: {wrong:?}");
        far.write_all(b"new").unwrap();
        assert!(soon(new.next()).await.unwrap().unwrap().readable);
    });
}

// contract 12, 15, 16; fault 79
#[test]
fn a_callback_that_replaces_its_source_on_the_same_descriptor_loses_no_event() {
    let (near, mut far) = sockets();
    let near = std::rc::Rc::new(near);
    let mut event_loop = event_loop::<Vec<u8>>();
    let source = FdSource::new(near.clone(), Interest::READABLE);
    let insert = event_loop.handle().insert(source, move |event, source, seen: &mut Vec<u8>| {
        event.unwrap();
        let mut byte = [0];
        if let Ok(1) = source.try_io(|near| (&**near).read(&mut byte)) {
            seen.push(byte[0]);
        }
        // The new one is registered when the old one is not any more, in the next poll.
        *source = FdSource::new(near.clone(), Interest::READABLE);
        if seen.len() == 6 { Next::Stop } else { Next::Keep }
    });
    far.write_all(b"one").unwrap();
    let mut seen = Vec::new();
    for _ in 0..4 {
        event_loop.turn(&mut seen, Duration::from_millis(1)).unwrap();
    }
    assert_eq!(seen, b"one");
    far.write_all(b"two").unwrap();
    event_loop.run(&mut seen).unwrap();
    assert_eq!(seen, b"onetwo");
    drop(insert.unwrap());
    closes_clean(event_loop);
}
