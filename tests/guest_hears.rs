//! What a guest tells its host, and when: case by case.
#![cfg(all(target_os = "linux", not(loopline_portable_park)))] // where the descriptor tells of timers too

#[path = "support/locks.rs"]
mod locks;
mod support;

use std::cell::{Cell, RefCell};
use std::future::{Future, pending, poll_fn};
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use locks::Acts;
use loopline::callback::{self, Next};
use loopline::io::{FdSource, Interest};
use loopline::time::{Sleep, hold, sleep};
use loopline::{Guest, Handle};
use support::guests::{host_until_quiet, is_readable, poll_readable};
use support::{TestLoop, closes_clean, event_loop, paused};

const HOUR: Duration = Duration::from_secs(3600);

// contract 57
#[test]
fn what_is_taken_in_outside_a_turn_is_nothing_and_the_host_still_hears_of_it() {
    let guest = event_loop::<usize>().lend();
    let (near, mut far) = UnixStream::pair().unwrap();
    let source = FdSource::new(near, Interest::READABLE);
    let item = guest.handle().insert(source, |event, _, seen: &mut usize| {
        event.unwrap();
        *seen += 1;
        Next::Stop
    });
    let mut seen = 0;
    host_until_quiet(&guest, &mut seen);
    far.write_all(b"x").unwrap();
    guest.absorb().unwrap();
    assert!(is_readable(&guest));
    host_until_quiet(&guest, &mut seen);
    assert!(seen == 1 && item.unwrap().is_finished());
    closes_clean(TestLoop::take_back(guest));
}

#[test]
fn a_future_of_the_hosts_is_a_reason_for_a_turn() {
    let mut guest = event_loop::<()>().lend();
    host_until_quiet(&guest, &mut ());
    let mut turns = guest.until(async { 7 });
    assert!(poll_readable(&turns, 0));
    assert_eq!(turns.turn(&mut ()).unwrap().1, Some(7));
    drop(turns);
    host_until_quiet(&guest, &mut ());
    closes_clean(TestLoop::take_back(guest));
}

// contract 34; fault 55
#[test]
fn a_waker_of_a_future_that_is_done_is_no_reason_for_a_turn() {
    let mut guest = event_loop::<()>().lend();
    let mut turns = guest.until(poll_fn(|cx| Poll::Ready(cx.waker().clone())));
    let waker: Waker = turns.turn(&mut ()).unwrap().1.unwrap();
    assert!(!turns.prepare().ready);
    waker.wake();
    assert!(!turns.prepare().ready);
    drop(turns);
    closes_clean(TestLoop::take_back(guest));
}

#[test]
fn a_future_of_the_hosts_that_is_dropped_with_the_state_finds_it_lent() {
    struct Last(Handle<u32>);
    impl Drop for Last {
        fn drop(&mut self) {
            self.0.with(|count| *count += 1);
        }
    }
    let mut guest = event_loop::<u32>().lend();
    let last = Last(guest.handle());
    let mut turns = guest.until(async move {
        let _last = last;
        pending::<()>().await;
    });
    let mut count = 0;
    turns.turn(&mut count).unwrap();
    turns.drop_with(&mut count);
    assert_eq!(count, 1);
    closes_clean(TestLoop::take_back(guest));
}

#[test]
fn a_host_that_does_not_ask_any_more_hears_by_the_descriptor_again() {
    let guest = event_loop::<u32>().lend();
    let mut count = 0;
    assert!(!guest.prepare().ready);
    let guest = TestLoop::take_back(guest).lend();
    guest.handle().defer(|count| *count += 1);
    assert!(is_readable(&guest));
    host_until_quiet(&guest, &mut count);
    // What a turn leaves too.
    let handle = guest.handle();
    handle.defer(move |_| handle.next_turn(|count| *count += 1));
    host_until_quiet(&guest, &mut count);
    assert_eq!(count, 2);
    closes_clean(TestLoop::take_back(guest));
}

#[test]
fn a_call_set_when_a_timer_is_due_comes_at_once() {
    let guest = event_loop::<()>().lend();
    let slept = guest.handle().spawn(async { sleep(Duration::from_millis(1)).await });
    guest.turn(&mut ()).unwrap();
    let due = guest.deadline().expect("a timer is set");
    while Instant::now() < due {}
    let calls = Arc::new(AtomicUsize::new(0));
    let counter = calls.clone();
    guest.on_wake(move || {
        counter.fetch_add(1, Ordering::SeqCst);
    });
    assert_eq!(calls.load(Ordering::SeqCst), 1);
    host_until_quiet(&guest, &mut ());
    assert!(slept.is_finished());
    closes_clean(TestLoop::take_back(guest));
}

#[test]
fn how_long_items_held_the_host_is_counted() {
    let guest = event_loop::<()>().lend();
    let held = Duration::from_millis(3);
    guest.handle().defer(move |()| {
        let begin = Instant::now();
        while begin.elapsed() < held {}
    });
    host_until_quiet(&guest, &mut ());
    assert!(guest.handle().stats().lag >= held);
    closes_clean(TestLoop::take_back(guest));
}

// contract 47
#[test]
fn a_guest_with_a_clock_that_stands_still_never_waits() {
    let guest = paused::<()>().lend();
    let handle = guest.handle();
    // With no deadline at all, and with one that the clock may not jump to.
    guest.turn(&mut ()).unwrap();
    let sleeps = handle.spawn(async {
        let _hold = hold();
        sleep(HOUR).await;
    });
    host_until_quiet(&guest, &mut ());
    guest.turn(&mut ()).unwrap();
    assert!(!sleeps.is_finished() && !guest.is_ready());
    drop(sleeps.cancel());
    host_until_quiet(&guest, &mut ());
    closes_clean(TestLoop::take_back(guest));
}

#[test]
fn a_deadline_is_no_news_to_a_host_that_asks_inside_a_turn() {
    let guest = Rc::new(event_loop::<()>().lend());
    let handle = guest.handle();
    let sleeps = handle.spawn(sleep_for_an_hour());
    guest.turn(&mut ()).unwrap();
    let (inside, seen) = (Rc::downgrade(&guest), Rc::new(RefCell::new(None)));
    let told = seen.clone();
    handle.defer(move |()| {
        told.replace(Some(inside.upgrade().unwrap().prepare()));
    });
    guest.turn(&mut ()).unwrap();
    assert_eq!(seen.take().unwrap().deadline, None);
    assert!(guest.prepare().deadline.is_some());
    drop(sleeps.cancel());
    closes_clean(TestLoop::take_back(Rc::into_inner(guest).unwrap()));
}

async fn sleep_for_an_hour() {
    sleep(HOUR).await;
}

// contract 20
#[test]
fn an_idle_source_that_was_polled_again_as_it_waited_leaves_nothing_behind() {
    let guest = event_loop::<usize>().lend();
    let item = guest.handle().insert(callback::idle(), |_, _, count: &mut usize| {
        *count += 1;
        Next::Keep
    });
    let (item, mut count) = (item.unwrap().control(), 0);
    for _ in 0..3 {
        guest.turn(&mut count).unwrap();
        // Polled for this, and waits on.
        assert!(item.wake());
    }
    assert!(count >= 2);
    assert!(item.cancel());
    host_until_quiet(&guest, &mut count);
    closes_clean(TestLoop::take_back(guest));
}

#[test]
fn what_an_idle_callback_writes_is_flushed_before_the_host_waits() {
    let guest = event_loop::<Vec<&str>>().lend();
    let handle = guest.handle();
    let flush = handle.insert(callback::before_park(), |(), _, log: &mut Vec<&str>| {
        log.push("flush");
        Next::Keep
    });
    let rounds = Cell::new(0);
    let idle = handle.insert(callback::idle(), move |_, _, log: &mut Vec<&str>| {
        rounds.set(rounds.get() + 1);
        if rounds.get() < 5 {
            return Next::Keep;
        }
        log.push("write");
        Next::Pause
    });
    let mut log = Vec::new();
    host_until_quiet(&guest, &mut log);
    assert_eq!(log.last(), Some(&"flush"), "{log:?}");
    assert!(log.contains(&"write"));
    drop((flush.unwrap().cancel(), idle.unwrap().cancel()));
    host_until_quiet(&guest, &mut log);
    closes_clean(TestLoop::take_back(guest));
}

/// Makes a sleep on a guest's loop, for somebody else to wait for.
fn sleep_of(guest: &Guest<()>, time: Duration) -> Pin<Box<Sleep>> {
    let made = Rc::new(RefCell::new(None));
    let kept = made.clone();
    guest.handle().defer(move |()| {
        kept.replace(Some(Box::pin(sleep(time))));
    });
    host_until_quiet(guest, &mut ());
    made.take().expect("it ran")
}

// contract 24, 57
#[test]
fn a_timer_that_is_first_waited_for_between_two_turns_ends_the_hosts_wait() {
    let guests = [event_loop::<()>().lend(), paused::<()>().lend()];
    for guest in guests {
        let acts = Rc::<Acts>::default();
        let mut slept = sleep_of(&guest, Duration::from_millis(1));
        assert!(!is_readable(&guest));
        let waker = acts.waker();
        assert!(slept.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        // By the descriptor alone.
        while acts.wakes.get() == 0 {
            assert!(poll_readable(&guest, 10_000), "the host would sleep for ever");
            guest.turn(&mut ()).unwrap();
        }
        assert!(slept.as_mut().poll(&mut Context::from_waker(&waker)).is_ready());
        drop(slept);
        host_until_quiet(&guest, &mut ());
        closes_clean(TestLoop::take_back(guest));
    }
}

// contract 47
#[test]
fn what_a_clock_that_is_held_was_moved_past_is_a_reason_for_a_turn() {
    let guest = paused::<()>().lend();
    let handle = guest.handle();
    let sleeps = handle.spawn(sleep_for_an_hour());
    let held = Rc::new(RefCell::new(None));
    let kept = held.clone();
    handle.defer(move |()| {
        kept.replace(Some(hold()));
    });
    host_until_quiet(&guest, &mut ());
    assert!(!sleeps.is_finished());
    handle.defer(|()| {
        let advance = std::pin::pin!(loopline::time::advance(HOUR));
        assert!(advance.poll(&mut Context::from_waker(Waker::noop())).is_pending());
    });
    host_until_quiet(&guest, &mut ());
    assert!(sleeps.is_finished());
    drop(held);
    closes_clean(TestLoop::take_back(guest));
}
