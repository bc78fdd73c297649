//! What does a guest cost its host, each time that it waits?
//!
//! An operation is one wait of a host that knows `poll(2)`, and the guest's turn after it; with `ask` in the
//! name the host also asks before each of its waits, as GLib lets its sources do. The host's own `poll` is
//! counted: `turn_for_nothing` is what it costs with the emptiest turn, and `host` is that call alone. Left
//! out: other threads. Linux only: elsewhere the descriptor does not tell of timers.
//!
//! Instructions: `valgrind --tool=callgrind` on the program with `--once CASE OPERATIONS`, two lengths. System
//! calls: `strace -fc` on the same.
//!
//! Run: `cargo bench --bench guest`

mod support;

use std::hint::black_box;
use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use loopline::callback::Next;
use loopline::io::{FdSource, Interest};
use loopline::time::sleep;
use loopline::{EventLoop, Guest, Prepared};
use support::{Suite, timed, yield_once};

/// The host's wait: for one descriptor, and for milliseconds.
fn poll(fd: &impl AsFd, milliseconds: i32) -> bool {
    let fd = fd.as_fd().as_raw_fd();
    let mut polled = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
    // SAFETY: one entry, which lives as long as the call.
    let found = unsafe { libc::poll(&raw mut polled, 1, milliseconds) };
    assert!(found >= 0, "nothing interrupts it");
    found == 1
}

/// One wait of the host, and what it does then.
fn iterate(guest: &Guest<usize>, asks: bool, count: &mut usize) {
    if asks {
        let Prepared { ready, deadline, .. } = guest.prepare();
        let wait = match deadline {
            _ if ready => 0,
            Some(at) => at.saturating_duration_since(Instant::now()).as_millis() as i32 + 1,
            None => -1,
        };
        poll(guest, wait);
    } else {
        assert!(poll(guest, 10_000), "a guest that is due says so");
    }
    guest.turn(count).expect("the poller works");
}

/// A guest of which each turn runs one item at most.
fn one_a_turn() -> EventLoop<usize> {
    EventLoop::builder().items_per_turn(1).build().expect("descriptors are left")
}

/// Each turn finds an item that the last one left, and leaves it for the next.
fn left(operations: usize, asks: bool) {
    let guest = one_a_turn().into_guest();
    drop(guest.handle().spawn(async {
        loop {
            yield_once().await;
        }
    }));
    (0..operations).for_each(|_| iterate(&guest, asks, &mut 0));
}

/// Each turn finds one timer due, and sets the next.
fn timer(operations: usize, asks: bool) {
    let guest = one_a_turn().into_guest();
    drop(guest.handle().spawn(async {
        loop {
            sleep(Duration::from_nanos(1)).await;
        }
    }));
    (0..operations).for_each(|_| iterate(&guest, asks, &mut 0));
}

/// Each turn reads a byte, which the host wrote. With `deadline`, a timeout of a minute stands beside it.
fn socket(operations: usize, asks: bool, deadline: bool) {
    let guest = EventLoop::<usize>::new().expect("descriptors are left").into_guest();
    let (near, mut far) = UnixStream::pair().expect("descriptors are left");
    near.set_nonblocking(true).expect("a socket");
    let source = FdSource::new(near, Interest::READABLE);
    let item = guest.handle().insert(source, |_, source, count| {
        *count += source.try_io(|mut near| near.read(&mut [0; 16])).unwrap_or(0);
        Next::Keep
    });
    drop(item.expect("the loop is there"));
    if deadline {
        drop(guest.handle().spawn(async { sleep(Duration::from_secs(60)).await }));
    }
    let mut count = 0;
    while guest.turn(&mut count).expect("the poller works").left {}
    for _ in 0..operations {
        far.write_all(b"x").expect("room");
        iterate(&guest, asks, &mut count);
    }
    assert_eq!(count, operations);
}

/// The host's wait ends at once, and nothing is due.
fn nothing(operations: usize, what: impl Fn(&Guest<usize>)) {
    let guest = EventLoop::<usize>::new().expect("descriptors are left").into_guest();
    drop(guest.handle().spawn(async { sleep(Duration::from_secs(60)).await }));
    while guest.turn(&mut 0).expect("the poller works").left {}
    (0..operations).for_each(|_| {
        poll(&guest, 0);
        what(&guest);
    });
}

fn main() {
    let suite = Suite::new("ns CPU per operation");
    let case = |name: &str, round: &dyn Fn(usize)| {
        suite.case(name, 50_000, |n| timed(|| round(n)));
    };
    case("host", &|n| nothing(n, |_| ()));
    case("nothing_ask", &|n| nothing(n, |guest| assert!(!black_box(guest.prepare()).ready)));
    case("turn_for_nothing", &|n| nothing(n, |guest| drop(guest.turn(&mut 0))));
    case("left", &|n| left(n, false));
    case("left_ask", &|n| left(n, true));
    case("timer", &|n| timer(n, false));
    case("timer_ask", &|n| timer(n, true));
    case("socket", &|n| socket(n, false, false));
    case("socket_ask", &|n| socket(n, true, false));
    case("socket_deadline", &|n| socket(n, false, true));
    case("socket_deadline_ask", &|n| socket(n, true, true));
}
