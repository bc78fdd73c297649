//! A guest's descriptor: readable whenever a turn would run something, and quiet after one that left nothing;
//! for hosts that know nothing else.
#![cfg(all(target_os = "linux", not(loopline_portable_park)))] // where it tells of timers too

mod support;

use std::cell::{Cell, RefCell};
use std::future::{pending, poll_fn};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::thread;
use std::time::Duration;

use loopline::callback::{self, Next};
use loopline::io::{FdSource, Interest};
use loopline::time::{Timer, sleep};
use loopline::{Handle, yield_now};
use support::guests::{host_once, host_until_quiet, is_readable, poll_readable};
use support::scaled;
use support::{TestLoop, built, closes_clean, ends_with_items, event_loop};

fn sockets() -> (UnixStream, UnixStream) {
    let (near, far) = UnixStream::pair().unwrap();
    near.set_nonblocking(true).unwrap();
    (near, far)
}

/// Counts in the state what a source brings.
fn count_bytes(handle: Handle<usize>, near: UnixStream) {
    let source = FdSource::new(near, Interest::READABLE);
    let item = handle.insert(source, |event, source, count: &mut usize| {
        event.unwrap();
        let mut byte = [0];
        match source.try_io(|mut near| near.read(&mut byte)) {
            Ok(0) => return Next::Stop,
            Ok(n) => *count += n,
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
        }
        Next::Keep
    });
    drop(item.unwrap());
}

// contract 57
#[test]
fn a_guest_with_nothing_to_do_is_quiet_from_the_beginning() {
    let guest = event_loop::<()>().lend();
    assert!(!is_readable(&guest) && !guest.is_ready());
    assert_eq!(guest.turn(&mut ()).unwrap().ran, 0);
    assert!(!is_readable(&guest));
    closes_clean(TestLoop::take_back(guest));
}

// contract 22
#[test]
fn work_from_before_the_loop_was_a_guest_is_announced() {
    let event_loop = event_loop::<u32>();
    event_loop.handle().defer(|count| *count += 1);
    let guest = event_loop.lend();
    let mut count = 0;
    assert!(host_until_quiet(&guest, &mut count) >= 1);
    assert_eq!(count, 1);
    closes_clean(TestLoop::take_back(guest));
}

// contract 2, 23
#[test]
fn bytes_that_arrive_make_it_readable_and_bytes_left_unread_too() {
    let event_loop = event_loop::<usize>();
    let (near, mut far) = sockets();
    count_bytes(event_loop.handle(), near);
    let (guest, mut count) = (event_loop.lend(), 0);
    host_until_quiet(&guest, &mut count);
    for round in 1..=3 {
        far.write_all(&[0; 300]).unwrap();
        // More than the 128 operations that one poll may do.
        while count < 300 * round {
            host_once(&guest, &mut count);
        }
        host_until_quiet(&guest, &mut count);
        assert_eq!(count, 300 * round);
    }
    drop(far);
    while !guest.is_finished() {
        host_once(&guest, &mut count);
    }
    closes_clean(TestLoop::take_back(guest));
}

// contract 23
#[test]
fn what_other_threads_wake_and_send_ends_the_hosts_wait() {
    let event_loop = event_loop::<Vec<u32>>();
    let (sender, messages) = callback::channel();
    let item = event_loop.handle().insert(messages, |message, _, seen: &mut Vec<u32>| {
        seen.push(message);
        Next::Keep
    });
    drop(item.unwrap());
    let (guest, mut seen) = (event_loop.lend(), Vec::new());
    host_until_quiet(&guest, &mut seen);
    for n in 0..100 {
        assert!(!is_readable(&guest));
        thread::scope(|scope| scope.spawn(|| sender.send(n).unwrap()).join().unwrap());
        host_once(&guest, &mut seen);
        assert_eq!(seen.len() as u32, n + 1);
        host_until_quiet(&guest, &mut seen);
    }
    drop(sender);
    while !guest.is_finished() {
        host_once(&guest, &mut seen);
    }
    closes_clean(TestLoop::take_back(guest));
}

// contract 22, 23
#[test]
fn what_the_hosts_own_callbacks_do_ends_its_wait() {
    let guest = event_loop::<u32>().lend();
    let handle = guest.handle();
    let waker: Rc<RefCell<Option<Waker>>> = Rc::default();
    let kept = waker.clone();
    let asleep = handle.spawn(poll_fn(move |cx| {
        kept.replace(Some(cx.waker().clone()));
        handle.with(|count| *count += 1);
        Poll::<()>::Pending
    }));
    let (ping, pings) = callback::ping();
    let item = handle.insert(pings, |(), _, count| {
        *count += 1;
        Next::Keep
    });
    let control = item.unwrap().control();
    let mut count = 0;
    host_until_quiet(&guest, &mut count);
    let mut expect = |what: &str, runs: u32| {
        let before = count;
        assert!(is_readable(&guest), "{what}");
        host_until_quiet(&guest, &mut count);
        assert_eq!(count - before, runs, "{what}");
    };
    waker.borrow().as_ref().unwrap().wake_by_ref();
    expect("a wake", 1);
    ping.ping();
    expect("a ping", 1);
    drop(handle.spawn(async move { handle.with(|count| *count += 1) }));
    expect("a task", 1);
    handle.defer(|count| *count += 1);
    expect("defer", 1);
    handle.next_turn(|count| *count += 1);
    expect("next_turn", 1);
    control.pause();
    ping.ping();
    expect("a ping of a paused item", 0);
    control.resume();
    expect("resume", 1);
    drop(handle.insert(Timer::after(Duration::ZERO), |_, _, count| {
        *count += 1;
        Next::Stop
    }));
    let before = count;
    while count == before {
        host_once(&guest, &mut count);
    }
    let sleeper = asleep.control();
    let awaiter = handle.spawn(async move { drop(asleep.await) });
    host_until_quiet(&guest, &mut count);
    sleeper.cancel();
    assert!(is_readable(&guest));
    control.cancel();
    host_until_quiet(&guest, &mut count);
    assert!(awaiter.is_finished());
    host_until_quiet(&guest, &mut count);
    assert!(guest.is_finished());
    closes_clean(TestLoop::take_back(guest));
}

// contract 22; fault 82
#[test]
fn stop_ends_the_hosts_wait_and_is_told_once() {
    let guest = event_loop::<()>().lend();
    let handle = guest.handle();
    handle.stop();
    assert!(!guest.is_finished());
    assert!(host_once(&guest, &mut ()).stopped);
    assert!(!is_readable(&guest));
    let remote = handle.remote();
    thread::spawn(move || remote.stop()).join().unwrap();
    let mut stops = 0;
    while is_readable(&guest) {
        stops += u32::from(guest.turn(&mut ()).unwrap().stopped);
    }
    assert_eq!(stops, 1);
    closes_clean(TestLoop::take_back(guest));
}

// contract 30
#[test]
fn a_full_buffer_of_events_is_work_that_is_left() {
    let event_loop = built::<usize>(|builder| builder.event_capacity(1));
    let handle = event_loop.handle();
    let mut far_ends = Vec::new();
    for _ in 0..20 {
        let (near, far) = sockets();
        count_bytes(handle, near);
        far_ends.push(far);
    }
    let (guest, mut count) = (event_loop.lend(), 0);
    host_until_quiet(&guest, &mut count);
    far_ends.iter_mut().for_each(|far| far.write_all(&[0; 2]).unwrap());
    assert!(host_once(&guest, &mut count).left);
    while count < 40 {
        host_once(&guest, &mut count);
    }
    host_until_quiet(&guest, &mut count);
    drop(far_ends);
    while !guest.is_finished() {
        host_once(&guest, &mut count);
    }
    closes_clean(TestLoop::take_back(guest));
}

// contract 28, 30
#[test]
fn what_came_inside_a_turn_is_absorbed_at_once_however_small_the_buffer() {
    let guest = Rc::new(built::<usize>(|builder| builder.event_capacity(1)).lend());
    let handle = guest.handle();
    let mut far_ends = Vec::new();
    for _ in 0..20 {
        let (near, far) = sockets();
        count_bytes(handle, near);
        far_ends.push(far);
    }
    let mut count = 0;
    host_until_quiet(&guest, &mut count);
    // Readable before, readable after, and how many had run.
    let (weak, seen) = (Rc::downgrade(&guest), Rc::new(Cell::new(None)));
    let (noted, ends) = (seen.clone(), Rc::new(RefCell::new(far_ends)));
    let writes = ends.clone();
    handle.defer(move |count| {
        let guest = weak.upgrade().unwrap();
        writes.borrow_mut().iter_mut().for_each(|far| far.write_all(b"x").unwrap());
        let before = is_readable(&*guest);
        guest.absorb().unwrap();
        noted.set(Some((before, is_readable(&*guest), *count)));
    });
    host_until_quiet(&guest, &mut count);
    assert_eq!(seen.get(), Some((true, false, 0)), "or a modal loop would spin");
    assert_eq!(count, 20);
    ends.borrow_mut().clear();
    while !guest.is_finished() {
        host_once(&guest, &mut count);
    }
    closes_clean(TestLoop::take_back(Rc::into_inner(guest).unwrap()));
}

// contract 25, 30
#[test]
fn more_messages_than_a_turn_takes_are_taken_by_the_next_ones() {
    let guest = event_loop::<usize>().lend();
    let remote = guest.handle().remote();
    let most = 5_000;
    thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..most {
                let run = |handle: Handle<usize>| async move { handle.with(|count| *count += 1) };
                drop(remote.spawn(run).unwrap());
            }
        });
    });
    let (mut count, mut turns) = (0, 0);
    while count < most {
        host_once(&guest, &mut count);
        turns += 1;
    }
    assert!(turns >= most / 1024);
    drop(remote);
    host_until_quiet(&guest, &mut count);
    closes_clean(TestLoop::take_back(guest));
}

// contract 25, 26
#[test]
fn a_task_that_always_wakes_itself_leaves_the_host_its_share() {
    let guest = event_loop::<()>().lend();
    let end = Rc::new(Cell::new(false));
    let storm = end.clone();
    drop(guest.handle().spawn(async move {
        while !storm.get() {
            yield_now().await;
        }
    }));
    for _ in 0..100 {
        let turn = host_once(&guest, &mut ());
        assert!(turn.left && turn.ran <= 1024);
    }
    end.set(true);
    host_until_quiet(&guest, &mut ());
    closes_clean(TestLoop::take_back(guest));
}

// contract 25; fault 83
#[test]
fn while_an_idle_source_waits_the_guest_is_readable_and_not_after_it() {
    let guest = event_loop::<u32>().lend();
    let item = guest.handle().insert(callback::idle(), |_, _, count: &mut u32| {
        *count += 1;
        if *count == 10 { Next::Stop } else { Next::Keep }
    });
    drop(item.unwrap());
    let mut count = 0;
    let turns = host_until_quiet(&guest, &mut count);
    assert!(count == 10 && turns >= 10);
    closes_clean(TestLoop::take_back(guest));
}

#[test]
fn an_idle_guest_is_quiet_for_as_long_as_it_is_idle() {
    let event_loop = event_loop::<usize>();
    let (near, far) = sockets();
    count_bytes(event_loop.handle(), near);
    let sleeps = event_loop.handle().spawn(async { sleep(Duration::from_secs(3600)).await });
    let waits = event_loop.handle().spawn(pending::<()>());
    let (guest, mut count) = (event_loop.lend(), 0);
    host_until_quiet(&guest, &mut count);
    assert!(!poll_readable(&guest, 200));
    drop((waits.cancel(), sleeps.cancel(), far));
    host_until_quiet(&guest, &mut count);
    closes_clean(TestLoop::take_back(guest));
}

// contract 39
#[test]
fn a_panic_of_the_future_goes_to_the_host_and_the_guest_goes_on() {
    let mut guest = event_loop::<u32>().lend();
    let handle = guest.handle();
    handle.next_turn(|count| *count += 1);
    let mut count = 0;
    let mut turns = guest.until(async { panic!("of the future") });
    let panicked = catch_unwind(AssertUnwindSafe(|| turns.turn(&mut count)));
    assert_eq!(panicked.unwrap_err().downcast_ref(), Some(&"of the future"));
    drop(turns);
    assert!(is_readable(&guest));
    host_until_quiet(&guest, &mut count);
    assert_eq!(count, 1);
    closes_clean(TestLoop::take_back(guest));
}

// contract 23
#[test]
fn of_the_messages_of_two_threads_none_is_lost_under_a_host_that_waits_for_ever() {
    let most = scaled(200_000);
    let event_loop = event_loop::<usize>();
    let (sender, messages) = callback::channel::<usize>();
    let item = event_loop.handle().insert(messages, |_, _, count: &mut usize| {
        *count += 1;
        Next::Keep
    });
    drop(item.unwrap());
    let (guest, mut count, mut turns) = (event_loop.lend(), 0, 0);
    thread::scope(|scope| {
        for _ in 0..2 {
            let sender = sender.clone();
            scope.spawn(move || (0..most).for_each(|n| sender.send(n).unwrap()));
        }
        drop(sender);
        while !guest.is_finished() {
            let turn = host_once(&guest, &mut count);
            turns += usize::from(turn.ran == 0);
        }
    });
    assert_eq!(count, 2 * most);
    assert!(turns <= most / 100 + 20, "{turns} turns for nothing");
    closes_clean(TestLoop::take_back(guest));
}

#[test]
fn a_guest_goes_back_to_waiting_itself_and_becomes_a_guest_again() {
    let mut event_loop = event_loop::<u32>();
    let mut count = 0;
    for n in 1..=3 {
        let handle = event_loop.handle();
        let wait = Duration::from_micros(100);
        let task = async move {
            sleep(wait).await;
            handle.with(|count| *count += 1);
        };
        drop(handle.spawn(task));
        let guest = event_loop.lend();
        while !guest.is_finished() {
            host_once(&guest, &mut count);
        }
        event_loop = TestLoop::take_back(guest);
        drop(handle.spawn(task_again(handle)));
        event_loop.run(&mut count).unwrap();
        assert_eq!(count, 2 * n);
    }
    closes_clean(event_loop);
}

async fn task_again(handle: Handle<u32>) {
    sleep(Duration::from_micros(100)).await;
    handle.with(|count| *count += 1);
}

#[test]
fn items_that_are_left_end_with_the_guest() {
    let event_loop = event_loop::<()>();
    let waits = event_loop.handle().spawn(pending::<()>());
    let guest = event_loop.lend();
    host_until_quiet(&guest, &mut ());
    ends_with_items(TestLoop::take_back(guest), 1);
    assert!(waits.is_finished());
}

// contract 57
#[test]
fn a_graceful_end_that_has_nobody_left_to_wait_for_is_announced() {
    let guest = event_loop::<bool>().lend();
    let handle = guest.handle();
    let last = handle.spawn(pending::<()>()).control();
    handle.spawn(async move {
        let left = handle.shutdown(Duration::from_secs(3600)).await;
        handle.with(|ended| *ended = left.is_empty());
    });
    let mut ended = false;
    host_until_quiet(&guest, &mut ended);
    // By the host, between two turns.
    assert!(last.set_background(true));
    assert!(is_readable(&guest));
    host_until_quiet(&guest, &mut ended);
    assert!(ended);
    closes_clean(TestLoop::take_back(guest));
}
