//! Guests whose streams wait for the moments around a wait: each turn has them, and one more follows where
//! something was written after them.
#![cfg(all(target_os = "linux", not(loopline_portable_park)))] // where the descriptor tells of timers too

mod support;

use std::cell::Cell;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::StreamExt as _;
use loopline::callback::{self, AfterPark, Next, Stream};
use loopline::io::{FdSource, ForeignLoop, Interest, Trigger};
use loopline::time::sleep;
use loopline::{Control, Handle, scope};
use support::guests::{host_until_quiet, wait_readable};
use support::{TestLoop, closes_clean, event_loop, paused};

#[test]
fn streams_around_the_wait_run_in_each_turn_and_once_more_after_items_ran() {
    let guest = event_loop::<Vec<&str>>().lend();
    let handle = guest.handle();
    let before = handle.insert(callback::before_park(), |(), _, log: &mut Vec<&str>| {
        log.push("flush");
        Next::Keep
    });
    let after = handle.insert(callback::after_park(), |(), _, log: &mut Vec<&str>| {
        log.push("woke");
        Next::Keep
    });
    let mut log = Vec::new();
    host_until_quiet(&guest, &mut log);
    log.clear();
    handle.defer(|log| log.push("write"));
    host_until_quiet(&guest, &mut log);
    // What was written is flushed before the host waits, and then all is quiet.
    assert_eq!(log, ["flush", "woke", "write", "flush", "woke"]);
    drop((before.unwrap().cancel(), after.unwrap().cancel()));
    host_until_quiet(&guest, &mut log);
    closes_clean(TestLoop::take_back(guest));
}

/// Keeps a stream that flushes before each wait.
fn flushes(handle: Handle<Vec<&'static str>>) -> Control {
    let item = handle.insert(callback::before_park(), |(), _, log: &mut Vec<&str>| {
        log.push("flush");
        Next::Keep
    });
    item.unwrap().control()
}

#[test]
fn what_was_written_before_the_loop_was_a_guest_is_flushed_before_the_host_waits() {
    let mut event_loop = event_loop::<Vec<&str>>();
    let (handle, mut log) = (event_loop.handle(), Vec::new());
    let flushes = flushes(handle);
    event_loop.turn(&mut log, Duration::ZERO).unwrap();
    handle.defer(|log| log.push("write"));
    event_loop.turn(&mut log, Duration::ZERO).unwrap();
    let guest = event_loop.lend();
    host_until_quiet(&guest, &mut log);
    assert_eq!(log.last(), Some(&"flush"), "{log:?}");
    flushes.cancel();
    host_until_quiet(&guest, &mut log);
    closes_clean(TestLoop::take_back(guest));
}

/// A connection that is read right after a wait.
struct Reads {
    readable: FdSource<UnixStream>,
    after: AfterPark,
}

impl Stream for Reads {
    type Item = ();

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<()>> {
        let this = &mut *self;
        let mut waited = false;
        while Pin::new(&mut this.after).poll_next(cx).is_ready() {
            waited = true;
        }
        let readable = Pin::new(&mut this.readable).poll_next(cx).is_ready();
        if waited && readable { Poll::Ready(Some(())) } else { Poll::Pending }
    }
}

#[test]
fn what_was_written_right_after_a_wait_is_flushed_before_the_host_waits() {
    let guest = event_loop::<Vec<&str>>().lend();
    let (handle, mut log) = (guest.handle(), Vec::new());
    let flushes = flushes(handle);
    let (near, mut far) = UnixStream::pair().unwrap();
    near.set_nonblocking(true).unwrap();
    let readable = FdSource::with_trigger(near, Interest::READABLE, Trigger::Foreign);
    let source = Reads { readable, after: callback::after_park() };
    let reads = handle.insert(source, |(), source, log: &mut Vec<&str>| {
        if source.readable.get_mut().read(&mut [0; 8]).is_ok() {
            log.push("write");
        }
        Next::Keep
    });
    let reads = reads.unwrap().control();
    host_until_quiet(&guest, &mut log);
    for _ in 0..3 {
        log.clear();
        far.write_all(b"x").unwrap();
        let turns = host_until_quiet(&guest, &mut log);
        assert!(log.contains(&"write"), "{log:?}");
        assert_eq!(log.last(), Some(&"flush"), "{log:?}");
        assert!(turns <= 4, "{turns} turns");
    }
    reads.cancel();
    flushes.cancel();
    host_until_quiet(&guest, &mut log);
    closes_clean(TestLoop::take_back(guest));
}

#[test]
fn what_a_child_of_a_scope_wrote_right_after_a_wait_is_flushed_before_the_host_waits() {
    let guest = event_loop::<Vec<&str>>().lend();
    let (handle, mut log) = (guest.handle(), Vec::new());
    let flushes = flushes(handle);
    let (near, mut far) = UnixStream::pair().unwrap();
    near.set_nonblocking(true).unwrap();
    let readable = FdSource::with_trigger(near, Interest::READABLE, Trigger::Foreign);
    let mut source = Reads { readable, after: callback::after_park() };
    let reads = handle.spawn(scope(async move |s| {
        s.spawn(async move {
            while source.next().await.is_some() {
                if source.readable.get_mut().read(&mut [0; 8]).is_ok() {
                    handle.with(|log| log.push("write"));
                }
            }
        });
    }));
    host_until_quiet(&guest, &mut log);
    for _ in 0..3 {
        log.clear();
        far.write_all(b"x").unwrap();
        host_until_quiet(&guest, &mut log);
        assert!(log.contains(&"write"), "{log:?}");
        assert_eq!(log.last(), Some(&"flush"), "{log:?}");
    }
    drop(reads.cancel());
    flushes.cancel();
    host_until_quiet(&guest, &mut log);
    closes_clean(TestLoop::take_back(guest));
}

// contract 47
#[test]
fn a_paused_clock_jumps_in_the_turn_in_which_the_last_item_ends_before_the_hosts_wait() {
    let guest = paused::<()>().lend();
    let handle = guest.handle();
    let late = handle.item().background().spawn(async { sleep(Duration::from_secs(3600)).await });
    let last = handle.insert(callback::before_park(), |(), _, ()| Next::Stop).unwrap();
    // Both have begun to wait.
    guest.turn(&mut ()).unwrap();
    assert!(!last.is_finished() && !late.is_finished());
    guest.turn(&mut ()).unwrap();
    assert!(last.is_finished() && late.is_finished());
    host_until_quiet(&guest, &mut ());
    closes_clean(TestLoop::take_back(guest));
}

#[test]
fn a_stream_around_the_wait_that_is_polled_by_a_waker_of_others_leaves_the_guest_quiet() {
    let guest = event_loop::<usize>().lend();
    let handle = guest.handle();
    let mut hooks = futures::stream::SelectAll::new();
    hooks.push(callback::before_park().map(|()| 1).boxed_local());
    hooks.push(callback::after_park().map(|()| 1).boxed_local());
    let hooks = handle.insert(hooks, |one, _, count: &mut usize| {
        *count += one;
        Next::Keep
    });
    let mut count = 0;
    host_until_quiet(&guest, &mut count);
    count = 0;
    handle.defer(|_| ());
    let turns = host_until_quiet(&guest, &mut count);
    assert!((2..=3).contains(&turns) && count >= 2, "{turns} turns, {count}");
    drop(hooks.unwrap().cancel());
    host_until_quiet(&guest, &mut count);
    closes_clean(TestLoop::take_back(guest));
}

#[test]
fn what_was_written_in_a_turn_that_panicked_is_flushed_before_the_host_waits() {
    let mut guest = event_loop::<Vec<&str>>().lend();
    let (handle, mut log) = (guest.handle(), Vec::new());
    let flushes = flushes(handle);
    host_until_quiet(&guest, &mut log);
    handle.defer(|log| log.push("write"));
    let mut turns = guest.until(async { panic!("of the future") });
    catch_unwind(AssertUnwindSafe(|| turns.turn(&mut log))).unwrap_err();
    drop(turns);
    host_until_quiet(&guest, &mut log);
    assert_eq!(log.last(), Some(&"flush"), "{log:?}");
    flushes.cancel();
    host_until_quiet(&guest, &mut log);
    closes_clean(TestLoop::take_back(guest));
}

#[test]
fn a_library_that_the_host_changed_between_two_turns_is_asked_once_its_item_is_woken() {
    let guest = event_loop::<Vec<&str>>().lend();
    let (near, _far) = UnixStream::pair().unwrap();
    let due = Rc::new(Cell::new(None));
    let (asked, ran) = (due.clone(), due.clone());
    let library = ForeignLoop::new(near, move |_: &UnixStream| asked.get());
    let item = guest.handle().insert(library, move |event, _, log: &mut Vec<&str>| {
        event.unwrap();
        ran.set(None);
        log.push("ran");
        Next::Keep
    });
    let (item, mut log) = (item.unwrap().control(), Vec::new());
    host_until_quiet(&guest, &mut log);
    for time in [Duration::ZERO, Duration::from_millis(1)] {
        due.set(Some(time));
        assert!(item.wake());
        host_until_quiet(&guest, &mut log);
        while due.get().is_some() {
            wait_readable(&guest);
            guest.turn(&mut log).unwrap();
        }
        host_until_quiet(&guest, &mut log);
    }
    assert_eq!(log, ["ran", "ran"]);
    item.cancel();
    host_until_quiet(&guest, &mut log);
    closes_clean(TestLoop::take_back(guest));
}

#[test]
fn a_library_that_wants_to_run_every_so_often_does_so_inside_a_guest() {
    let guest = event_loop::<u32>().lend();
    let (near, _far) = UnixStream::pair().unwrap();
    let library = ForeignLoop::new(near, |_: &UnixStream| Some(Duration::from_millis(1)));
    let item = guest.handle().insert(library, |event, _, runs: &mut u32| {
        event.unwrap();
        *runs += 1;
        if *runs == 10 { Next::Stop } else { Next::Keep }
    });
    let (mut runs, mut turns) = (0, 0);
    while runs < 10 && turns < 1_000 {
        wait_readable(&guest);
        guest.turn(&mut runs).unwrap();
        turns += 1;
    }
    assert!(turns <= 60, "{turns} turns for {runs} runs");
    assert!(item.unwrap().is_finished());
    host_until_quiet(&guest, &mut runs);
    closes_clean(TestLoop::take_back(guest));
}
