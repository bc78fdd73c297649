//! `FdSource`: what its operations tell it, and what they do not.
#![cfg(unix)] // descriptors

#[path = "support/net.rs"]
mod net;
mod support;
#[path = "support/unix.rs"]
mod unix;

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use loopline::callback::{Next, Stream};
use loopline::io::{FdSource, Interest, Readiness, Trigger};
use loopline::time::{sleep, timeout};
use net::soon;
use support::{block_on, closes_clean, paused};
use unix::sockets;

const TRIGGERS: [Trigger; 4] = [Trigger::Level, Trigger::Edge, Trigger::OneShot, Trigger::Foreign];

/// Reads until it would block.
fn drain(mut socket: &UnixStream) -> usize {
    let mut buf = [0; 4096];
    let mut sum = 0;
    while let Ok(n @ 1..) = socket.read(&mut buf) {
        sum += n;
    }
    sum
}

/// Writes until it would block.
fn fill(mut socket: &UnixStream) {
    while socket.write(&[0; 4096]).is_ok() {}
}

// contract 5; fault 51
#[test]
fn interest_that_changes_before_an_operation_of_the_same_callback_counts() {
    for trigger in TRIGGERS {
        let (near, mut far) = sockets();
        far.write_all(b"question").unwrap();
        block_on(async {
            let mut source = FdSource::with_trigger(near, Interest::READABLE, trigger);
            assert!(soon(source.next()).await.unwrap().unwrap().readable, "{trigger:?}");
            source.set_interest(Interest::READABLE | Interest::WRITABLE);
            let read = source.try_io_for(Interest::READABLE, |near| Ok(drain(near))).unwrap();
            assert_eq!(read, 8);
            let blocked = |mut near: &UnixStream| near.read(&mut [0]);
            let error = source.try_io_for(Interest::READABLE, blocked).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::WouldBlock);
            assert!(soon(source.next()).await.unwrap().unwrap().writable, "{trigger:?}");
        });
    }
}

// fault 51
#[test]
fn an_operation_after_rearm_does_not_take_it_back() {
    for trigger in TRIGGERS {
        let (near, mut far) = sockets();
        far.write_all(b"abc").unwrap();
        block_on(async {
            let mut source = FdSource::with_trigger(near, Interest::READABLE, trigger);
            for _ in 0..3 {
                assert!(soon(source.next()).await.unwrap().unwrap().readable, "{trigger:?}");
                source.rearm();
                assert_eq!(source.try_io(|mut near| near.read(&mut [0])).unwrap(), 1);
            }
            // What is remembered until an operation would block may be told once more.
            let more = timeout(Duration::from_millis(5), source.next()).await.is_ok();
            assert!(!more || trigger == Trigger::Level, "{trigger:?}");
        });
    }
}

/// Says in each poll what it wants of its descriptor, as one does who looks at a buffer first.
struct Wanting(FdSource<UnixStream>, fn(&mut FdSource<UnixStream>), u32);

impl Stream for Wanting {
    type Item = std::io::Result<Readiness>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Self(source, want, polls) = &mut *self;
        *polls += 1;
        assert!(*polls < 100, "it goes round and round");
        want(source);
        Pin::new(source).poll_next(cx)
    }
}

// contract 20; fault 51
#[test]
fn a_source_that_is_asked_for_events_in_each_poll_tells_them_and_ends() {
    let wants: [fn(&mut FdSource<UnixStream>); 2] =
        [|source| source.set_interest(Interest::READABLE), |source| source.rearm()];
    for (want, trigger) in wants.into_iter().flat_map(|want| TRIGGERS.map(|each| (want, each))) {
        let (near, mut far) = sockets();
        let mut event_loop = paused::<usize>();
        let source = Wanting(FdSource::with_trigger(near, Interest::READABLE, trigger), want, 0);
        let insert = event_loop.handle().insert(source, |event, source, read: &mut usize| {
            event.unwrap();
            *read += drain(source.0.get_ref());
            source.0.rearm();
            Next::Keep
        });
        let join = insert.unwrap();
        let mut read = 0;
        let ends = event_loop.run_until(&mut read, async {
            for _ in 0..3 {
                far.write_all(b"abc").unwrap();
                sleep(Duration::from_millis(5)).await;
            }
            drop(far);
            soon(join).await
        });
        drop(ends.unwrap().unwrap());
        assert_eq!(read, 9, "{trigger:?}");
        closes_clean(event_loop);
    }
}

/// Runs a callback on a source of both directions whose writer is full. Returns how often it was called.
fn calls_of(callback: impl Fn(&FdSource<UnixStream>) + 'static) -> u32 {
    let (near, mut far) = sockets();
    fill(&near);
    far.write_all(b"abc").unwrap();
    let mut event_loop = paused::<u32>();
    let source = FdSource::new(near, Interest::READABLE | Interest::WRITABLE);
    let insert = event_loop.handle().insert(source, move |event, source, calls: &mut u32| {
        event.unwrap();
        *calls += 1;
        callback(source);
        if *calls < 100 { Next::Keep } else { Next::Stop }
    });
    let join = insert.unwrap();
    let mut calls = 0;
    let ends = event_loop.run_until(&mut calls, async {
        sleep(Duration::from_millis(5)).await;
        // There is room again, which the callback fills; and then there is silence.
        drain(&far);
        sleep(Duration::from_millis(5)).await;
        drop(join.cancel());
    });
    ends.unwrap();
    closes_clean(event_loop);
    calls
}

// contract 3
#[test]
fn an_operation_in_one_direction_says_nothing_of_the_other() {
    let write = |mut near: &UnixStream| near.write(b"x");
    let calls = calls_of(move |source| {
        drain(source.get_ref());
        while source.try_io_for(Interest::WRITABLE, write).is_ok() {}
    });
    assert!((2..10).contains(&calls), "read past it: {calls} calls");
    let read = |mut near: &UnixStream| near.read(&mut [0]);
    let calls = calls_of(move |source| {
        fill(source.get_ref());
        while source.try_io_for(Interest::READABLE, read).is_ok() {}
    });
    assert!((2..10).contains(&calls), "wrote past it: {calls} calls");
}

// contract 20; fault 53
#[test]
fn a_one_shot_source_that_is_read_in_parts_tells_of_the_end_behind_the_last() {
    for parts in [1, 2, 3, 4, 64] {
        let (near, mut far) = sockets();
        far.write_all(b"four").unwrap();
        drop(far);
        let mut event_loop = paused::<Vec<usize>>();
        let source = FdSource::with_trigger(near, Interest::READABLE, Trigger::OneShot);
        let insert =
            event_loop.handle().insert(source, move |event, source, reads: &mut Vec<usize>| {
                event.unwrap();
                reads.push(source.try_io(|mut near| near.read(&mut vec![0; parts])).unwrap());
                source.rearm();
                if reads.last() == Some(&0) { Next::Stop } else { Next::Keep }
            });
        let mut reads = Vec::new();
        let ended = event_loop.run_until(&mut reads, async { soon(insert.unwrap()).await });
        drop(ended.unwrap().unwrap());
        assert_eq!(reads.iter().sum::<usize>(), 4, "{parts} at a time");
        assert_eq!(reads.last(), Some(&0), "{parts} at a time: {reads:?}");
        closes_clean(event_loop);
    }
}
