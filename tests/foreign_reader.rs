//! `ForeignReader`: a connection that several threads read, each of which announces that before it waits. The same
//! by hand stands in `compose_display`.
#![cfg(all(unix, feature = "net"))]

#[path = "support/display.rs"]
mod display;
mod support;

use std::cell::Cell;
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use display::{Display, Guard, compositor, dispatch, of, readers};
use loopline::callback::{Next, Stream, before_park};
use loopline::io::{ForeignReader, Interest};
use loopline::time::{Timer, now, sleep};
use support::{closes_clean, event_loop, paused, scaled};

/// A source that tells when that queue of the display may have something.
fn source(
    display: &Arc<Display>,
    queue: usize,
) -> impl Stream<Item = io::Result<()>> + Unpin + 'static {
    let fd = display.socket.try_clone().unwrap();
    let display = display.clone();
    let prepare = move |_: &_, _: &mut _| Ok(Guard::announce(&display, queue));
    ForeignReader::new(fd, prepare, |_, guard: Guard| {
        guard.read();
        Ok(())
    })
}

/// Reads a queue on a loop of its own thread, until `last` or the end; beside it the loop is busy or not.
fn reader(display: &Arc<Display>, number: usize, last: Option<u8>, busy: bool) -> Vec<u8> {
    let mut event_loop = event_loop::<Vec<u8>>();
    let handle = event_loop.handle();
    let dispatched = display.clone();
    let insert = handle.insert(source(display, number), move |event, _, seen| {
        event.unwrap();
        dispatch(&dispatched, number, seen);
        if last.is_some_and(|last| seen.contains(&last)) { Next::Stop } else { Next::Keep }
    });
    drop(insert.unwrap());
    let others = handle.item().background().spawn(async move {
        let each = Duration::from_micros(if busy { 300 } else { 3_600_000_000 });
        loop {
            // Ends waits that nothing came for: each has to be taken back.
            sleep(each).await;
        }
    });
    let mut seen = Vec::new();
    event_loop.run(&mut seen).unwrap();
    others.cancel();
    closes_clean(event_loop);
    seen
}

// contract 16, 20, 29
#[test]
fn two_readers_on_two_threads_each_get_their_events_in_order() {
    for busy in [false, true] {
        let events: Vec<u8> = (0..scaled(20_000)).map(|n| (n * 7 % 251) as u8).collect();
        let (near, far) = UnixStream::pair().unwrap();
        let display = Display::new(near);
        let seen: Vec<Vec<u8>> = std::thread::scope(|scope| {
            let display = &display;
            let readers =
                [0, 1].map(|number| scope.spawn(move || reader(display, number, None, busy)));
            compositor(far, &events);
            readers.into_iter().map(|reader| reader.join().unwrap()).collect()
        });
        assert!(seen[0] == of(&events, 0) && seen[1] == of(&events, 1), "busy: {busy}");
        assert_eq!(readers(&display), 0, "an announcement is left");
    }
}

// contract 16
#[test]
fn a_reader_that_stops_takes_its_announcement_back_and_blocks_nobody() {
    // 255 is odd and the last of the second reader, early; the first goes on alone.
    let early: Vec<u8> = (0..100).collect();
    let late: Vec<u8> = (0..scaled(5_000)).map(|n| (n % 100 * 2) as u8).collect();
    let events = [early, vec![255], late].concat();
    let (near, far) = UnixStream::pair().unwrap();
    let display = Display::new(near);
    let (first, second) = std::thread::scope(|scope| {
        let first = scope.spawn(|| reader(&display, 0, None, true));
        let second = scope.spawn(|| reader(&display, 1, Some(255), true));
        compositor(far, &events);
        (first.join().unwrap(), second.join().unwrap())
    });
    assert!(first == of(&events, 0) && second == of(&events, 1));
    assert_eq!(readers(&display), 0, "an announcement is left");
}

// contract 16, 21
#[test]
fn whatever_ends_the_wait_the_announcement_is_answered_and_so_it_is_where_the_item_ends_within() {
    let (near, mut far) = UnixStream::pair().unwrap();
    let display = Display::new(near);
    let mut event_loop = event_loop::<Vec<u8>>();
    let handle = event_loop.handle();
    let dispatched = display.clone();
    let insert = handle.insert(source(&display, 0), move |event, _, seen| {
        event.unwrap();
        dispatch(&dispatched, 0, seen);
        Next::Keep
    });
    let item = insert.unwrap().control();
    let mut seen = Vec::new();
    for limit in [0, 0, 1, 0] {
        event_loop.turn(&mut seen, Duration::from_millis(limit)).unwrap();
        assert_eq!(readers(&display), 0);
    }
    handle.stop();
    event_loop.run(&mut seen).unwrap();
    assert_eq!(readers(&display), 0);
    far.write_all(&[2, 4]).unwrap();
    event_loop.turn(&mut seen, Duration::from_secs(10)).unwrap();
    assert_eq!((readers(&display), seen.as_slice()), (0, &[2, 4][..]));
    // Between the announcement and the wait.
    let announced = display.clone();
    let within = Rc::new(Cell::new(0));
    let count = within.clone();
    let cancels = handle.insert(before_park(), move |(), _, _| {
        count.set(readers(&announced));
        item.cancel();
        assert_eq!(readers(&announced), 0, "at once");
        Next::Stop
    });
    drop(cancels.unwrap());
    event_loop.turn(&mut seen, Duration::ZERO).unwrap();
    event_loop.turn(&mut seen, Duration::ZERO).unwrap();
    assert_eq!(within.get(), 1, "it was announced");
    closes_clean(event_loop);
}

// contract 2, 3
#[test]
fn what_another_one_read_is_told_and_what_is_left_in_the_socket_ends_the_next_wait() {
    let (near, mut far) = UnixStream::pair().unwrap();
    let display = Display::new(near);
    let mut event_loop = paused::<Vec<u8>>();
    let dispatched = display.clone();
    let insert = event_loop.handle().insert(source(&display, 0), move |event, _, seen| {
        event.unwrap();
        dispatch(&dispatched, 0, seen);
        Next::Keep
    });
    let late = event_loop.handle().insert(Timer::after(Duration::from_secs(3600)), |_, _, seen| {
        seen.push(0);
        Next::Stop
    });
    let mut seen = Vec::new();
    for _ in 0..3 {
        event_loop.turn(&mut seen, Duration::ZERO).unwrap();
    }
    // As a round trip in a callback does. Nothing is announced in the wait that learns of the 4.
    for (quicker, written) in [(2, 4), (6, 8)] {
        display.state.lock().unwrap().quicker = Some(quicker);
        far.write_all(&[written]).unwrap();
        event_loop.turn(&mut seen, Duration::ZERO).unwrap();
        assert_eq!(seen.pop(), Some(quicker));
        while seen.is_empty() {
            event_loop.turn(&mut seen, None).unwrap();
        }
        assert_eq!((seen.pop(), seen.len()), (Some(written), 0));
    }
    assert!(insert.unwrap().control().cancel() && late.unwrap().control().cancel());
    closes_clean(event_loop);
}

// contract 16
#[test]
fn what_is_queued_to_be_sent_where_there_was_something_to_dispatch_is_flushed_before_the_wait() {
    let (near, far) = UnixStream::pair().unwrap();
    let mut event_loop = paused::<u32>();
    let (unsent, flushed) = (Rc::new(Cell::new(false)), Rc::new(Cell::new(None)));
    let (queued, sent, mut to_dispatch) = (unsent.clone(), flushed.clone(), true);
    let prepare = move |_: &_, _: &mut _| {
        if unsent.replace(false) {
            sent.set(Some(now()));
        }
        Ok((!std::mem::take(&mut to_dispatch)).then_some(()))
    };
    let reader = ForeignReader::new(near, prepare, |_, ()| Ok(()));
    let insert = event_loop.handle().insert(reader, move |event, _, events| {
        *events += u32::from(event.is_ok());
        queued.set(true);
        Next::Keep
    });
    let start = event_loop.run_until(&mut 0, async { now() }).unwrap();
    let mut events = 0;
    let hour = async { sleep(Duration::from_secs(3600)).await };
    event_loop.run_until(&mut events, hour).unwrap();
    assert_eq!((events, flushed.get()), (1, Some(start)));
    assert!(insert.unwrap().control().cancel());
    drop(far);
    closes_clean(event_loop);
}

// contract 16
#[test]
fn what_there_is_no_room_for_is_flushed_when_there_is_and_meanwhile_reading_goes_on() {
    let (near, mut far) = UnixStream::pair().unwrap();
    near.set_nonblocking(true).unwrap();
    far.set_nonblocking(true).unwrap();
    let mut event_loop = paused::<usize>();
    const ALL: usize = 4 << 20;
    let left = Rc::new(Cell::new(ALL));
    let flushed = left.clone();
    let prepare = move |mut near: &UnixStream, interest: &mut Interest| {
        while flushed.get() != 0 {
            match near.write(&vec![7; flushed.get().min(64 * 1024)]) {
                Ok(n) => flushed.set(flushed.get() - n),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    *interest |= Interest::WRITABLE;
                    break;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(Some(()))
    };
    let reader = ForeignReader::new(near, prepare, |mut near, ()| near.read(&mut [0; 8]).map(drop));
    let insert = event_loop.handle().insert(reader, move |event, _, events| {
        event.unwrap();
        *events += 1;
        Next::Keep
    });
    let (mut events, hour) = (0, async || sleep(Duration::from_secs(3600)).await);
    let stats = |event_loop: &support::TestLoop<usize>| event_loop.handle().stats().turns;
    event_loop.run_until(&mut events, hour()).unwrap();
    assert!((1..ALL).contains(&left.get()), "it is full");
    assert!(stats(&event_loop) < 10, "and nobody is woken by that");
    for n in 1..=3 {
        far.write_all(b"event").unwrap();
        event_loop.run_until(&mut events, hour()).unwrap();
        assert_eq!(events, n);
    }
    let mut read = 0;
    while read < ALL {
        read += match far.read(&mut vec![0; 1 << 20]) {
            Ok(n) => n,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock);
                event_loop.run_until(&mut events, hour()).unwrap();
                continue;
            }
        };
    }
    assert_eq!((left.get(), events), (0, 3));
    assert!(stats(&event_loop) < 1_000, "{}", stats(&event_loop));
    assert!(insert.unwrap().control().cancel());
    closes_clean(event_loop);
}

// contract 16
#[test]
fn a_connection_in_which_nothing_happens_wakes_nobody() {
    let (near, far) = UnixStream::pair().unwrap();
    let display = Display::new(near);
    let mut event_loop = paused::<Vec<u8>>();
    let insert = event_loop.handle().insert(source(&display, 0), |_, _, _| Next::Keep);
    let item = insert.unwrap().control();
    let before = event_loop.handle().stats();
    let hour = async { sleep(Duration::from_secs(3600)).await };
    event_loop.run_until(&mut Vec::new(), hour).unwrap();
    let turns = event_loop.handle().stats().turns - before.turns;
    assert!(turns <= 4, "{turns} turns");
    drop(far);
    item.cancel();
    closes_clean(event_loop);
}

/// Runs a source whose functions fail as said; returns what came.
fn events_of(
    mut prepare: impl FnMut() -> io::Result<Option<()>> + 'static,
    read: impl FnMut(&UnixStream, ()) -> io::Result<()> + 'static,
) -> Vec<Result<(), ErrorKind>> {
    let (near, mut far) = UnixStream::pair().unwrap();
    near.set_nonblocking(true).unwrap();
    let mut event_loop = event_loop::<Vec<Result<(), ErrorKind>>>();
    let source = ForeignReader::new(near, move |_, _| prepare(), read);
    let insert = event_loop.handle().insert(source, |event, _, seen| {
        seen.push(event.map_err(|error| error.kind()));
        Next::Keep
    });
    drop(insert.unwrap());
    far.write_all(b"xyz").unwrap();
    drop(far);
    let mut seen = Vec::new();
    event_loop.run(&mut seen).unwrap();
    closes_clean(event_loop);
    seen
}

fn read_one(mut near: &UnixStream) -> io::Result<()> {
    near.read(&mut [0; 1]).map(drop)
}

#[test]
fn an_error_is_an_event_and_the_last_one_and_so_is_the_end_of_the_other_side() {
    let broken = || io::Error::from(ErrorKind::BrokenPipe);
    let failed = Err(ErrorKind::BrokenPipe);
    assert_eq!(events_of(move || Err(broken()), |_, ()| Ok(())), [failed]);
    assert_eq!(events_of(|| Ok(Some(())), move |_, ()| Err(broken())), [failed]);
    let seen = events_of(|| Ok(Some(())), |near, ()| read_one(near));
    // A byte at a time.
    assert!(seen.len() >= 3 && seen.iter().all(Result::is_ok), "{seen:?}");
    // What is left to dispatch, by what another one has read, comes before the end, which a read sees.
    let (left, mut unread) = (Rc::new(Cell::new(0)), 3);
    let (asked, reads) = (left.clone(), left);
    let dispatches = move || {
        let left = asked.get();
        asked.set(if left == 0 { 0 } else { left - 1 });
        Ok((left == 0).then_some(()))
    };
    let read = move |near: &UnixStream, ()| {
        unread -= 1;
        reads.set(if unread == 0 { 5 } else { 0 });
        read_one(near)
    };
    assert_eq!(events_of(dispatches, read), [Ok(()); 3 + 5 + 1]);
    // Who was slower finds nothing, which is no error.
    let mut tries = 0;
    let slower = move |near: &UnixStream, ()| {
        tries += 1;
        if tries == 1 { Err(ErrorKind::WouldBlock.into()) } else { read_one(near) }
    };
    assert!(events_of(|| Ok(Some(())), slower).iter().all(Result::is_ok));
}

#[test]
fn a_task_waits_for_it_too_and_gets_the_connection_back() {
    let (near, far) = UnixStream::pair().unwrap();
    let display = Display::new(near);
    let mut event_loop = event_loop::<()>();
    let fd = display.socket.try_clone().unwrap();
    let announcing = display.clone();
    let prepare = move |_: &_, _: &mut _| Ok(Guard::announce(&announcing, 0));
    let mut reader = ForeignReader::new(fd, prepare, |_, guard: Guard| {
        guard.read();
        Ok(())
    });
    let seen = event_loop.run_until(&mut (), async {
        (&far).write_all(&[2, 4, 6]).unwrap();
        let mut seen = Vec::new();
        while seen.len() < 3 {
            reader.next().await.unwrap().unwrap();
            dispatch(&display, 0, &mut seen);
        }
        seen
    });
    assert_eq!(seen.unwrap(), [2, 4, 6]);
    assert!(format!("{reader:?}").contains("announced: false"));
    drop(reader.into_inner().unwrap());
    assert_eq!(readers(&display), 0);
    closes_clean(event_loop);
}
