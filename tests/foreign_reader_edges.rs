//! How a `ForeignReader` begins, and how it ends; and that a connection has one on a loop.
#![cfg(all(unix, feature = "net"))]

#[path = "support/display.rs"]
mod display;
mod support;

use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::sync::Arc;
use std::time::Duration;

use display::{Display, Guard, compositor, dispatch, of, readers};
use futures::FutureExt;
use loopline::callback::{Next, before_park};
use loopline::io::{ForeignLoop, ForeignReader, Interest};
use loopline::time::{sleep, timeout};
use support::{closes_clean, event_loop, paused, scaled};

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

/// A connection that is read by its one descriptor, whatever the queue.
struct Connection(Arc<Display>);

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.socket.as_fd()
    }
}

// contract 15
#[test]
fn a_second_reader_of_a_connection_on_one_loop_is_told_so_and_neither_waits_for_the_other() {
    let (near, mut far) = UnixStream::pair().unwrap();
    let display = Display::new(near);
    let mut event_loop = event_loop::<Vec<Result<u8, ErrorKind>>>();
    for queue in [0, 1] {
        let (announcing, dispatched) = (display.clone(), display.clone());
        let prepare = move |_: &_, _: &mut _| Ok(Guard::announce(&announcing, queue));
        let read = |_: &_, guard: Guard| {
            guard.read();
            Ok(())
        };
        let reader = ForeignReader::new(Connection(display.clone()), prepare, read);
        let insert = event_loop.handle().insert(reader, move |event, _, seen: &mut Vec<_>| {
            seen.extend(event.err().map(|error| Err(error.kind())));
            seen.extend(std::iter::from_fn(|| dispatched.next(queue)).map(Ok));
            Next::Keep
        });
        drop(insert.unwrap());
    }
    far.write_all(&[2, 4]).unwrap();
    drop(far);
    let mut seen = Vec::new();
    event_loop.run(&mut seen).unwrap();
    let (told, errors): (Vec<_>, Vec<_>) = seen.into_iter().partition(Result::is_ok);
    assert_eq!(errors, [Err(ErrorKind::AlreadyExists)]);
    assert_eq!((told.as_slice(), readers(&display)), (&[Ok(2), Ok(4)][..], 0));
    closes_clean(event_loop);
}

// contract 16
#[test]
fn two_queues_of_a_connection_on_one_loop_have_one_reader() {
    let (near, far) = UnixStream::pair().unwrap();
    let display = Display::new(near);
    let events: Vec<u8> = (0..scaled(2_000)).map(|n| (n * 7 % 251) as u8).collect();
    let mut event_loop = event_loop::<[Vec<u8>; 2]>();
    let (announcing, dispatched) = (display.clone(), display.clone());
    let prepare = move |_: &_, _: &mut _| {
        // The second one is but a look at its queue, and taken back: while the first stands nobody reads.
        Ok(Guard::announce(&announcing, 0).filter(|_| Guard::announce(&announcing, 1).is_some()))
    };
    let read = |_: &_, guard: Guard| {
        guard.read();
        Ok(())
    };
    let reader = ForeignReader::new(Connection(display.clone()), prepare, read);
    let insert = event_loop.handle().insert(reader, move |event, _, seen: &mut [Vec<u8>; 2]| {
        event.unwrap();
        seen.iter_mut().enumerate().for_each(|(queue, seen)| dispatch(&dispatched, queue, seen));
        Next::Keep
    });
    drop(insert.unwrap());
    let mut seen = [Vec::new(), Vec::new()];
    std::thread::scope(|scope| {
        scope.spawn(|| compositor(far, &events));
        event_loop.run(&mut seen).unwrap();
    });
    assert!(seen[0] == of(&events, 0) && seen[1] == of(&events, 1));
    assert_eq!(readers(&display), 0, "an announcement is left");
    closes_clean(event_loop);
}

#[test]
fn an_end_that_is_told_beside_room_to_write_is_left_for_a_read_to_see_too() {
    let (near, far) = UnixStream::pair().unwrap();
    near.set_nonblocking(true).unwrap();
    far.shutdown(std::net::Shutdown::Write).unwrap();
    let mut event_loop = paused::<()>();
    // There is something to be sent, always.
    let prepare = |_: &_, interest: &mut Interest| {
        *interest |= Interest::WRITABLE;
        Ok(Some(()))
    };
    let ended = |_: &_, ()| Err(ErrorKind::UnexpectedEof.into());
    let mut reader = ForeignReader::new(near, prepare, ended);
    let hour = Duration::from_secs(3600);
    let event = event_loop.run_until(&mut (), async { timeout(hour, reader.next()).await });
    let event = event.unwrap().expect("it does not sleep over the end");
    assert_eq!(event.unwrap().unwrap_err().kind(), ErrorKind::UnexpectedEof);
    drop((reader, far));
    closes_clean(event_loop);
}
