//! How a `ForeignReader` begins, and how it ends.
#![cfg(all(unix, feature = "net"))]

mod support;

use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::time::Duration;

use futures::FutureExt;
use loopline::callback::{Next, before_park};
use loopline::io::{ForeignLoop, ForeignReader};
use loopline::time::{sleep, timeout};
use support::{closes_clean, event_loop, paused};

fn read_one(mut near: &UnixStream) -> io::Result<()> {
    near.read(&mut [0; 1]).map(drop)
}

// contract 23
#[test]
fn what_is_first_awaited_just_before_a_wait_does_not_let_it_sleep_over_what_is_there() {
    let (near, mut far) = UnixStream::pair().unwrap();
    far.write_all(b"here already").unwrap();
    let mut event_loop = paused::<()>();
    let reader = ForeignReader::new(near, |_, _| Ok(Some(())), |near, ()| read_one(near));
    let library = ForeignLoop::new(far, |_| Some(Duration::ZERO));
    let hour = Duration::from_secs(3600);
    event_loop
        .run_until(&mut (), async {
            let (mut reader, mut library) = (reader, library);
            before_park().next().await;
            timeout(hour, reader.next()).await.unwrap().unwrap().unwrap();
            sleep(hour).await;
            before_park().next().await;
            timeout(hour, library.next()).await.unwrap().unwrap().unwrap();
        })
        .unwrap();
    closes_clean(event_loop);
}

// contract 23, 39
#[test]
fn a_panic_in_prepare_that_its_task_survives_does_not_let_the_wait_sleep_over_what_is_there() {
    let (near, mut far) = UnixStream::pair().unwrap();
    far.write_all(b"here already").unwrap();
    let mut event_loop = paused::<()>();
    let mut prepared = 0;
    let prepare = move |_: &_, _: &mut _| {
        prepared += 1;
        if prepared == 1 {
            resume_unwind(Box::new("the test's own"))
        }
        Ok(Some(()))
    };
    let mut reader = ForeignReader::new(near, prepare, |near, ()| read_one(near));
    event_loop
        .run_until(&mut (), async {
            let panics = AssertUnwindSafe(reader.next()).catch_unwind().await;
            assert!(panics.is_err());
            let hour = Duration::from_secs(3600);
            timeout(hour, reader.next()).await.unwrap().unwrap().unwrap();
        })
        .unwrap();
    drop(reader);
    closes_clean(event_loop);
}

/// Reads two bytes at a time; that there are none is an error, as it is to libraries.
fn read_two(mut near: &UnixStream) -> io::Result<()> {
    match near.read(&mut [0; 2])? {
        0 => Err(ErrorKind::UnexpectedEof.into()),
        _ => Ok(()),
    }
}

/// The event in which the peer goes away; 0: it is gone before the first.
fn last_of(bytes: usize, goes_at: usize, dispatches: usize) -> Option<Result<(), ErrorKind>> {
    let (near, mut far) = UnixStream::pair().unwrap();
    near.set_nonblocking(true).unwrap();
    far.write_all(&vec![7; bytes]).unwrap();
    let mut far = Some(far).filter(|_| goes_at != 0);
    let mut event_loop = event_loop::<Vec<Result<(), ErrorKind>>>();
    let mut asked = 0;
    let prepare = move |_: &_, _: &mut _| {
        asked += 1;
        Ok((asked % (dispatches + 1) == 0).then_some(()))
    };
    let reader = ForeignReader::new(near, prepare, |near, ()| read_two(near));
    let insert = event_loop.handle().insert(reader, move |event, _, seen: &mut Vec<_>| {
        seen.push(event.map_err(|error| error.kind()));
        drop(far.take_if(|_| seen.len() >= goes_at));
        Next::Keep
    });
    drop(insert.unwrap());
    let mut seen = Vec::new();
    event_loop.run(&mut seen).unwrap();
    closes_clean(event_loop);
    seen.pop()
}

// contract 2, 20
#[test]
fn the_end_is_left_for_a_read_to_see_whenever_it_comes() {
    for bytes in 0..6_usize {
        for goes_at in 0..=bytes.div_ceil(2) {
            for dispatches in 0..3 {
                let last = last_of(bytes, goes_at, dispatches);
                let case = (bytes, goes_at, dispatches);
                assert_eq!(last, Some(Err(ErrorKind::UnexpectedEof)), "{case:?}");
            }
        }
    }
}
