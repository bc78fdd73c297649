//! Many descriptors that nobody sends anything to: a turn costs what it costs with few. A file of its own,
//! because it takes nearly all descriptors that a process may have.
#![cfg(all(unix, feature = "net"))]

mod support;

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use loopline::Handle;
use loopline::callback::Next;
use loopline::io::{FdSource, Interest};
use support::{closes_clean, event_loop, scaled};

/// Raises the limit of descriptors as far as it goes. Returns how many may be taken, 19,000 at most.
fn room() -> usize {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: reads and writes a struct of ours.
    unsafe {
        assert_eq!(libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit), 0);
        limit.rlim_cur = limit.rlim_max.min(20_000);
        assert_eq!(libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit), 0);
    }
    (limit.rlim_cur as usize).saturating_sub(200).min(19_000)
}

/// Inserts both ends of a socket pair, which stay silent.
fn insert_pair(handle: Handle<u32>, controls: &mut Vec<loopline::Control>) {
    let (near, far) = UnixStream::pair().unwrap();
    for end in [near, far] {
        end.set_nonblocking(true).unwrap();
        let insert = handle.insert(FdSource::new(end, Interest::READABLE), |_, _, _| {
            panic!("an event of a silent descriptor")
        });
        controls.push(insert.unwrap().control());
    }
}

/// The least time that a turn takes in which one descriptor brings a message and a timer is set.
fn turn_cost(event_loop: &mut support::TestLoop<u32>, far: &mut UnixStream) -> Duration {
    const TURNS: u32 = 50;
    let batch = |_| {
        let mut got = 0;
        let start = Instant::now();
        for _ in 0..TURNS {
            far.write_all(b"x").unwrap();
            event_loop.turn(&mut got, Duration::ZERO).unwrap();
        }
        let took = start.elapsed();
        assert_eq!(got, TURNS);
        took / TURNS
    };
    (0..40).map(batch).min().unwrap()
}

// contract 12; fault 54
#[test]
fn a_turn_costs_the_same_with_nineteen_thousand_idle_descriptors() {
    let most = scaled(room()) / 2 * 2;
    let mut event_loop = event_loop::<u32>();
    let handle = event_loop.handle();
    let (near, mut far) = UnixStream::pair().unwrap();
    near.set_nonblocking(true).unwrap();
    let source = FdSource::new(near, Interest::READABLE);
    let insert = handle.insert(source, |event, source, got: &mut u32| {
        event.unwrap();
        while let Ok(n @ 1..) = source.try_io(|mut near| near.read(&mut [0; 8])) {
            *got += n as u32;
        }
        Next::Keep
    });
    let active = insert.unwrap().control();
    let mut controls = Vec::new();
    (0..5).for_each(|_| insert_pair(handle, &mut controls));
    let mut none = 0;
    while event_loop.turn(&mut none, Duration::ZERO).unwrap().left {}
    let few = turn_cost(&mut event_loop, &mut far);
    while controls.len() < most {
        insert_pair(handle, &mut controls);
    }
    while event_loop.turn(&mut none, Duration::ZERO).unwrap().left {}
    assert_eq!(handle.stats().registrations, controls.len() + 1);
    let many = turn_cost(&mut event_loop, &mut far);
    println!("a turn: {few:?} with 10 idle descriptors, {many:?} with {}", controls.len());
    // Caches are colder; but one step for each of them would be a thousand times as much.
    assert!(many <= few * 4 + Duration::from_micros(2), "{few:?} with 10, {many:?} with {most}");
    // And nothing goes on where nothing happens.
    let turns = handle.stats().turns;
    event_loop.turn(&mut none, Duration::from_millis(5)).unwrap();
    assert_eq!(handle.stats().turns, turns + 1);
    assert_eq!(none, 0);
    controls.into_iter().for_each(|control| assert!(control.cancel()));
    assert!(active.cancel());
    closes_clean(event_loop);
}
