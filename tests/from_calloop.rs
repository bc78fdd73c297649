//! Situations that calloop's tests and its book made known, on this loop.
#![cfg(all(unix, feature = "net"))] // descriptors

mod support;

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use loopline::callback::{self, Controlled, Next};
use loopline::io::{FdSource, Interest};
use loopline::time::Timer;
use support::{closes_clean, event_loop, paused};

// contract 16, 17
#[test]
fn a_callback_that_ends_its_item_and_inserts_another_ends_no_more_than_itself() {
    for next in [Next::Keep, Next::Pause, Next::Stop] {
        let mut event_loop = event_loop::<u32>();
        let handle = event_loop.handle();
        let first = handle.insert(Timer::after(Duration::ZERO), move |_, _, seen| {
            *seen += 1;
            assert!(handle.current().unwrap().cancel());
            // It may get the place that becomes free.
            let second = handle.insert(Timer::after(Duration::ZERO), |_, _, seen| {
                *seen += 10;
                Next::Keep
            });
            drop(second.unwrap());
            next
        });
        let mut seen = 0;
        event_loop.run(&mut seen).unwrap();
        assert_eq!(seen, 11, "{next:?}");
        drop(first);
        closes_clean(event_loop);
    }
}

type Source = FdSource<UnixStream>;

/// Notes that it was called, and reads all there is.
fn drain(event: std::io::Result<loopline::io::Readiness>, source: &Source, told: &mut u32) {
    let event = event.unwrap();
    *told += 1;
    if event.readable {
        let read = source.try_io(|mut near| near.read_to_end(&mut Vec::new()));
        assert_eq!(read.unwrap_err().kind(), ErrorKind::WouldBlock);
    }
}

fn on_event(
    event: std::io::Result<loopline::io::Readiness>,
    source: &mut Controlled<Source>,
    told: &mut u32,
) -> Next {
    source.with(|source| drain(event, source, told));
    Next::Keep
}

/// A descriptor to be read from, and its other end.
fn source() -> (Source, UnixStream) {
    let (near, far) = UnixStream::pair().unwrap();
    near.set_nonblocking(true).unwrap();
    (FdSource::new(near, Interest::READABLE), far)
}

// contract 14, 17
#[test]
fn a_source_taken_out_from_outside_is_told_of_nothing_and_can_be_inserted_again() {
    let (source, mut far) = source();
    let mut event_loop = event_loop::<u32>();
    let handle = event_loop.handle();
    let (source, control) = callback::controlled(source);
    let first = handle.insert(source, on_event).unwrap();
    let mut told = 0;
    event_loop.turn(&mut told, Duration::ZERO).unwrap();

    // Taken out with an event that waits for it.
    far.write_all(b"hello").unwrap();
    let source = control.take().expect("it is inserted");
    assert!(control.take().is_none() && control.with(|_| ()).is_none());
    event_loop.run(&mut told).unwrap();
    assert!(first.is_finished());
    assert_eq!(told, 0);

    // One turn to join, and the next tells what was there.
    let (source, control) = callback::controlled(source);
    let second = handle.insert(source, on_event);
    for _ in 0..2 {
        event_loop.turn(&mut told, Duration::ZERO).unwrap();
    }
    assert_eq!(told, 1);
    let source = control.take().expect("it is inserted");
    event_loop.run(&mut told).unwrap();
    drop((second, first, source.into_inner()));
    closes_clean(event_loop);
}

// contract 16
#[test]
fn a_callback_that_takes_its_own_source_out_is_not_called_again() {
    let mut event_loop = event_loop::<Vec<u32>>();
    let (sender, messages) = callback::channel();
    let (messages, control) = callback::controlled(messages);
    let insert = event_loop.handle().insert(messages, move |n, _, seen: &mut Vec<u32>| {
        seen.push(n);
        let mut rest = control.take().expect("it is not polled now");
        seen.extend(rest.try_next().map(|n| n * 10));
        Next::Keep
    });
    (1..=3).for_each(|n| sender.send(n).unwrap());
    let mut seen = Vec::new();
    event_loop.run(&mut seen).unwrap();
    assert_eq!(seen, [1, 20]);
    assert!(sender.send(4).is_err(), "it was dropped there");
    drop(insert);
    closes_clean(event_loop);
}

// contract 5, 16
#[test]
fn interest_changed_from_outside_between_turns_is_what_is_told() {
    let (source, mut far) = source();
    let mut event_loop = event_loop::<u32>();
    let (source, control) = callback::controlled(source);
    let insert = event_loop.handle().insert(source, on_event);
    let mut told = 0;
    let mut turns = |count: usize, event_loop: &mut loopline::EventLoop<u32>| {
        for _ in 0..count {
            event_loop.turn(&mut told, Duration::ZERO).unwrap();
        }
        std::mem::take(&mut told)
    };
    assert_eq!(turns(3, &mut event_loop), 0);
    far.write_all(b"abc").unwrap();
    assert_eq!(turns(1, &mut event_loop), 1);
    assert_eq!(turns(3, &mut event_loop), 0);
    control.with(|source| source.set_interest(Interest::WRITABLE)).unwrap();
    assert_ne!(turns(3, &mut event_loop), 0);
    control.with(|source| source.set_interest(Interest::READABLE)).unwrap();
    assert_eq!(turns(3, &mut event_loop), 0);
    far.write_all(b"def").unwrap();
    assert_eq!(turns(1, &mut event_loop), 1);
    drop(insert.unwrap().cancel());
    closes_clean(event_loop);
}

// contract 20, 23
#[test]
fn a_ping_of_a_sender_that_goes_is_told_and_the_last_one_ends_the_source() {
    let mut event_loop = event_loop::<u32>();
    let (first, pings) = callback::ping();
    let (second, third) = (first.clone(), first.clone());
    let insert = event_loop.handle().insert(pings, |(), _, told| {
        *told += 1;
        Next::Keep
    });
    let insert = insert.unwrap();
    let mut told = 0;
    for ping in [first, second] {
        ping.ping();
        drop(ping);
        event_loop.turn(&mut told, Duration::ZERO).unwrap();
    }
    assert_eq!((told, insert.is_finished()), (2, false));
    third.ping();
    drop(third);
    event_loop.turn(&mut told, Duration::ZERO).unwrap();
    assert_eq!((told, insert.is_finished()), (3, true));
    closes_clean(event_loop);
}

// contract 17
#[test]
fn a_turn_after_that_in_which_it_joined_waits_for_a_source() {
    let mut event_loop = paused::<u32>();
    let timer = Timer::after(Duration::from_millis(100));
    let insert = event_loop.handle().insert(timer, |tick, _, fired| {
        assert_eq!(tick.late(), Duration::ZERO);
        *fired += 1;
        Next::Keep
    });
    let mut fired = 0;
    // It joins, so nothing is waited for, whatever is said.
    let joined = event_loop.turn(&mut fired, Duration::from_millis(150)).unwrap();
    assert_eq!((joined.ran, fired), (1, 0));
    assert!(joined.deadline.is_some());
    event_loop.turn(&mut fired, Duration::from_millis(150)).unwrap();
    assert_eq!(fired, 1);
    drop(insert);
    closes_clean(event_loop);
}

#[test]
fn a_turn_waits_its_time_although_an_item_was_cancelled_before_it() {
    const LIMIT: Duration = Duration::from_millis(20);
    let mut event_loop = event_loop::<()>();
    let far = Timer::after(Duration::from_secs(3600));
    let far = event_loop.handle().insert(far, |_, _, ()| Next::Keep).unwrap().control();
    event_loop.turn(&mut (), Duration::ZERO).unwrap();
    assert!(far.cancel());
    let began = Instant::now();
    event_loop.turn(&mut (), LIMIT).unwrap();
    assert!(began.elapsed() >= LIMIT, "it ended after {:?}", began.elapsed());
    closes_clean(event_loop);
}

// contract 16
#[test]
fn the_item_of_a_source_that_was_taken_out_ends_well_and_one_whose_change_panics_stays() {
    let mut event_loop = event_loop::<u32>();
    let handle = event_loop.handle();
    let (sender, messages) = callback::channel();
    let (messages, control) = callback::controlled(messages);
    let item = handle.insert(messages, |n, _source, sum: &mut u32| {
        *sum += n;
        Next::Keep
    });
    let mut sum = 0;
    event_loop.turn(&mut sum, Duration::ZERO).unwrap();
    let change = AssertUnwindSafe(|| control.with(|_| panic!("the test's own panic")));
    assert!(catch_unwind(change).is_err());
    sender.send(5).unwrap();
    event_loop.turn(&mut sum, Duration::ZERO).unwrap();
    assert_eq!(sum, 5);
    assert!(control.take().is_some() && control.take().is_none());
    let source = event_loop.run_until(&mut sum, item.unwrap()).unwrap().expect("no panic");
    let used = catch_unwind(AssertUnwindSafe(|| source.with(|_| ()))).unwrap_err();
    assert_eq!(*used.downcast::<String>().unwrap(), "the source was taken out by its control");
    closes_clean(event_loop);
}

// contract 14, 20
#[test]
fn a_source_whose_callback_has_ended_is_open_for_as_long_as_its_handle_holds_it() {
    let (source, mut far) = source();
    let mut event_loop = event_loop::<u32>();
    let handle = event_loop.handle();
    let insert = handle.insert(source, |_event, _source, told| {
        *told += 1;
        Next::Stop
    });
    let held = insert.unwrap();
    let mut told = 0;
    far.write_all(b"a").unwrap();
    event_loop.run(&mut told).unwrap();
    assert!(held.is_finished() && handle.stats().registrations == 1);
    far.write_all(b"b").unwrap();
    event_loop.turn(&mut told, Duration::ZERO).unwrap();
    assert_eq!(told, 1);
    drop(held);
    assert_eq!(handle.stats().registrations, 0);
    assert_eq!(far.write_all(b"c").unwrap_err().kind(), ErrorKind::BrokenPipe);
    closes_clean(event_loop);
}
