//! Hosts of guests: epoll by level and by edge, another loop of ours, guests inside guests, and a host whose
//! loop runs inside a callback of the guest.
#![cfg(all(target_os = "linux", not(loopline_portable_park)))] // where the descriptor tells of timers too

mod support;
#[path = "support/work.rs"]
mod work;

use std::cell::{Cell, RefCell};
use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::thread;
use std::time::Duration;

use loopline::Guest;
use loopline::callback::Next;
use loopline::io::{FdSource, Interest, Trigger};
use loopline::time::sleep;
use support::guests::poll_readable;
use support::{TestLoop, built, closes_clean, event_loop, scaled};
use work::workload;

const LEVEL: i32 = 0;

/// An epoll with one descriptor in it.
struct Epoll(OwnedFd);

impl Epoll {
    fn of(fd: &impl AsFd, trigger: i32) -> Self {
        // SAFETY: makes a descriptor, which nobody else knows.
        let host = unsafe { OwnedFd::from_raw_fd(libc::epoll_create1(libc::EPOLL_CLOEXEC)) };
        let host = Self(host);
        host.set(libc::EPOLL_CTL_ADD, fd, trigger);
        host
    }

    fn set(&self, operation: i32, fd: &impl AsFd, trigger: i32) {
        let mut event = libc::epoll_event { events: (libc::EPOLLIN | trigger) as u32, u64: 7 };
        let (host, fd) = (self.0.as_raw_fd(), fd.as_fd().as_raw_fd());
        // SAFETY: the event is borrowed for the time of the call.
        let set = unsafe { libc::epoll_ctl(host, operation, fd, &raw mut event) };
        assert_eq!(set, 0, "{}", std::io::Error::last_os_error());
    }

    /// Waits for as long as it takes, or not at all; returns whether there was an event.
    fn wait(&self, milliseconds: i32) -> bool {
        let mut event = libc::epoll_event { events: 0, u64: 0 };
        loop {
            let host = self.0.as_raw_fd();
            // SAFETY: one event, which is borrowed for the time of the call.
            match unsafe { libc::epoll_wait(host, &raw mut event, 1, milliseconds) } {
                -1 => {
                    let error = std::io::Error::last_os_error();
                    assert_eq!(error.kind(), ErrorKind::Interrupted, "{error}");
                }
                found => return found == 1,
            }
        }
    }
}

fn hosted_by_epoll(trigger: i32) {
    let event_loop = built::<usize>(|builder| builder.event_capacity(2));
    let (expected, outside) = workload(event_loop.handle(), scaled(200_000));
    let guest = event_loop.lend();
    let host = Epoll::of(&guest, trigger);
    let outside = thread::spawn(outside);
    let (mut count, mut turns, mut empty) = (0, 0, 0);
    while !guest.is_finished() {
        assert!(host.wait(-1));
        let turn = guest.turn(&mut count).unwrap();
        (turns, empty) = (turns + 1, empty + usize::from(turn.ran == 0));
    }
    outside.join().unwrap();
    assert_eq!(count, expected);
    assert!(empty <= turns / 5 + 20, "{empty} of {turns} turns for nothing");
    drop(host);
    closes_clean(TestLoop::take_back(guest));
}

// contract 23, 57
#[test]
fn a_host_that_waits_by_level_misses_nothing() {
    hosted_by_epoll(LEVEL);
}

// contract 23, 57
#[test]
fn a_host_that_waits_by_edge_misses_nothing() {
    hosted_by_epoll(libc::EPOLLET);
}

// contract 23, 57
#[test]
fn a_host_that_is_told_once_and_asks_again_misses_nothing() {
    let event_loop = event_loop::<usize>();
    let (expected, outside) = workload(event_loop.handle(), scaled(20_000));
    let guest = event_loop.lend();
    let host = Epoll::of(&guest, libc::EPOLLONESHOT);
    let outside = thread::spawn(outside);
    let mut count = 0;
    while !guest.is_finished() {
        assert!(host.wait(-1));
        guest.turn(&mut count).unwrap();
        host.set(libc::EPOLL_CTL_MOD, &guest, libc::EPOLLONESHOT);
    }
    outside.join().unwrap();
    assert_eq!(count, expected);
    drop(host);
    closes_clean(TestLoop::take_back(guest));
}

// contract 57
#[test]
fn after_a_turn_that_left_nothing_neither_kind_of_host_wakes() {
    let guest = event_loop::<u32>().lend();
    let (level, edge) = (Epoll::of(&guest, LEVEL), Epoll::of(&guest, libc::EPOLLET));
    let mut count = 0;
    for n in 1..=10 {
        guest.handle().defer(|count| *count += 1);
        assert!(level.wait(0) && edge.wait(0));
        while guest.turn(&mut count).unwrap().left {}
        assert!(!level.wait(0) && !edge.wait(0));
        assert_eq!(count, n);
    }
    closes_clean(TestLoop::take_back(guest));
}

/// A guest in the place of a descriptor, as a source of another loop's.
struct Inside(Rc<Guest<usize>>);

impl AsFd for Inside {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

fn hosted_by_ours(trigger: Trigger, guests: usize) {
    let mut host = event_loop::<usize>();
    let (mut expected, mut outside, mut inner) = (0, Vec::new(), Vec::new());
    for _ in 0..guests {
        let event_loop = event_loop::<usize>();
        let (count, work) = workload(event_loop.handle(), scaled(5_000));
        (expected, _) = (expected + count, outside.push(work));
        let guest = Rc::new(event_loop.lend());
        inner.push(guest.clone());
        let source = FdSource::with_trigger(Inside(guest), Interest::READABLE, trigger);
        let item = host.handle().insert(source, move |event, source, count: &mut usize| {
            event.unwrap();
            let guest = &source.get_ref().0;
            guest.turn(count).unwrap();
            if guest.is_finished() { Next::Stop } else { Next::Keep }
        });
        drop(item.unwrap());
    }
    let mut count = 0;
    thread::scope(|scope| {
        outside.into_iter().for_each(|work| drop(scope.spawn(work)));
        host.run(&mut count).unwrap();
    });
    assert_eq!(count, expected);
    for guest in inner {
        closes_clean(TestLoop::take_back(Rc::into_inner(guest).unwrap()));
    }
    closes_clean(host);
}

// contract 57
#[test]
fn a_loop_of_ours_hosts_guests_as_sources() {
    hosted_by_ours(Trigger::Level, 3);
}

// contract 57
#[test]
fn a_loop_of_ours_hosts_guests_by_edge() {
    hosted_by_ours(Trigger::Edge, 3);
}

// contract 57
#[test]
fn guests_inside_guests_reach_down_to_a_host_that_knows_only_poll() {
    let inmost = event_loop::<usize>();
    let (expected, outside) = workload(inmost.handle(), scaled(5_000));
    let mut shells: Vec<Rc<Guest<usize>>> = vec![Rc::new(inmost.lend())];
    for _ in 0..3 {
        let shell = event_loop::<usize>();
        let inner = shells.last().unwrap().clone();
        let source = FdSource::new(Inside(inner), Interest::READABLE);
        let item = shell.handle().insert(source, |event, source, count: &mut usize| {
            event.unwrap();
            let guest = &source.get_ref().0;
            guest.turn(count).unwrap();
            if guest.is_finished() { Next::Stop } else { Next::Keep }
        });
        drop(item.unwrap());
        shells.push(Rc::new(shell.lend()));
    }
    let outside = thread::spawn(outside);
    let (outmost, mut count) = (shells.last().unwrap().clone(), 0);
    while !outmost.is_finished() {
        assert!(poll_readable(&*outmost, -1));
        outmost.turn(&mut count).unwrap();
    }
    outside.join().unwrap();
    assert_eq!(count, expected);
    drop(outmost);
    for guest in shells {
        closes_clean(TestLoop::take_back(Rc::into_inner(guest).unwrap()));
    }
}

/// Runs `modal` inside a callback of a guest, while bytes, a timer and messages of another thread come.
/// Returns what ran before that callback returned, and in all.
fn around_a_modal_loop(modal: impl Fn(&Guest<usize>) + 'static) -> (usize, usize) {
    let guest = Rc::new(event_loop::<usize>().lend());
    let handle = guest.handle();
    let (near, mut far) = UnixStream::pair().unwrap();
    near.set_nonblocking(true).unwrap();
    let source = FdSource::new(near, Interest::READABLE);
    let item = handle.insert(source, |_, source, count: &mut usize| {
        let read = source.try_io(|mut near| near.read(&mut [0; 8]));
        *count += read.is_ok_and(|n| n > 0) as usize;
        Next::Keep
    });
    let reads = item.unwrap().control();
    drop(handle.spawn(async move {
        sleep(Duration::from_millis(1)).await;
        handle.with(|count| *count += 1);
    }));
    let mut count = 0;
    while guest.turn(&mut count).unwrap().left {}
    let (inside, weak) = (Rc::new(Cell::new(0)), Rc::downgrade(&guest));
    let seen = inside.clone();
    handle.defer(move |count| {
        let guest = weak.upgrade().unwrap();
        far.write_all(b"x").unwrap();
        let remote = guest.handle().remote();
        thread::spawn(move || remote.stop()).join().unwrap();
        modal(&guest);
        seen.set(*count);
        drop(far);
    });
    let mut stops = 0;
    // Where the machine is slow both may come in the turn of the callback, before the stop is heard of.
    while count < 2 || stops == 0 {
        assert!(poll_readable(&*guest, -1));
        stops += usize::from(guest.turn(&mut count).unwrap().stopped);
    }
    reads.cancel();
    while guest.turn(&mut count).unwrap().left {}
    assert_eq!(stops, 1);
    closes_clean(TestLoop::take_back(Rc::into_inner(guest).unwrap()));
    (inside.get(), count)
}

/// A host's loop of 20 ms that calls for a turn whenever the descriptor is readable. Returns how often.
fn modal(guest: &Guest<usize>, mut call: impl FnMut(&Guest<usize>)) -> usize {
    let mut calls = 0;
    let start = std::time::Instant::now();
    while start.elapsed() < Duration::from_millis(20) {
        if poll_readable(guest, 2) {
            call(guest);
            calls += 1;
        }
    }
    calls
}

// contract 28; fault 70
#[test]
fn a_hosts_loop_inside_a_callback_does_not_spin_and_loses_nothing() {
    let calls = Rc::new(RefCell::new(Vec::new()));
    let seen = calls.clone();
    let ran = around_a_modal_loop(move |guest| {
        let turn = |guest: &Guest<usize>| {
            let error = guest.turn(&mut 0).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ResourceBusy);
        };
        seen.borrow_mut().push(modal(guest, turn));
        // Where the state is out of reach.
        seen.borrow_mut().push(modal(guest, |guest| guest.absorb().unwrap()));
    });
    assert_eq!(ran, (0, 2), "nothing inside the callback, all after it");
    // The bytes and the timer: one event each.
    assert!(calls.borrow().iter().sum::<usize>() <= 3, "{calls:?}");
}
