//! The event loop of a library as a source of ours.
#![cfg(unix)]

mod support;

use std::cell::Cell;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::time::{Duration, Instant};

use loopline::callback::{self, Next};
use loopline::io::{FdSource, ForeignLoop, Interest};
use loopline::time::{self, Timer, sleep};
use support::{block_on, closes_clean, event_loop, paused};

const ZERO: Duration = Duration::ZERO;

/// A library that wants to run after some time, and whenever a byte has come.
#[derive(Clone, Default)]
struct Library {
    due: Rc<Cell<Option<Duration>>>,
}

fn sockets() -> (UnixStream, UnixStream) {
    let (near, far) = UnixStream::pair().unwrap();
    near.set_nonblocking(true).unwrap();
    (near, far)
}

// contract 16
#[test]
fn a_library_runs_when_it_said_and_when_its_descriptor_is_readable() {
    let mut event_loop = paused::<Vec<(&str, u128)>>();
    let handle = event_loop.handle();
    let (near, mut far) = sockets();
    let library = Library::default();
    library.due.set(Some(Duration::from_secs(5)));
    let (asked, runs) = (library.clone(), library.clone());
    let source = ForeignLoop::new(near, move |_: &UnixStream| asked.due.get());
    let start = Rc::new(Cell::new(None::<Instant>));
    let began = start.clone();
    let hosted = handle.insert(source, move |event, source, log: &mut Vec<_>| {
        event.unwrap();
        let passed = time::now() - began.get().unwrap();
        let read = source.get_mut().read(&mut [0; 8]).is_ok();
        log.push((if read { "byte" } else { "time" }, passed.as_secs().into()));
        runs.due.set(None);
        Next::Keep
    });
    let item = hosted.unwrap();
    let mut log = Vec::new();
    let done = async {
        start.set(Some(time::now()));
        sleep(Duration::from_secs(10)).await;
        far.write_all(b"x").unwrap();
        sleep(Duration::from_secs(10)).await;
        // Changed by another item, while its descriptor is silent.
        library.due.set(Some(Duration::from_secs(3)));
        sleep(Duration::from_secs(10)).await;
    };
    event_loop.run_until(&mut log, done).unwrap();
    assert_eq!(log, [("time", 5), ("byte", 10), ("time", 23)]);
    drop(item.cancel());
    closes_clean(event_loop);
}

// contract 25, 26; fault 83
#[test]
fn a_library_that_always_wants_to_run_does_so_once_a_turn() {
    let mut event_loop = event_loop::<u64>();
    let handle = event_loop.handle();
    let (near, _far) = sockets();
    let source = ForeignLoop::new(near, |_: &UnixStream| Some(ZERO));
    let hosted = handle.insert(source, |event, _source, runs: &mut u64| {
        event.unwrap();
        *runs += 1;
        Next::Keep
    });
    let hosted = hosted.unwrap();
    let mut runs = 0;
    event_loop.turn(&mut runs, None).unwrap(); // joins the loop
    for turn in 1..=10 {
        event_loop.turn(&mut runs, None).unwrap();
        assert_eq!(runs, turn);
    }
    // A descriptor and a timer of others come through, a turn or two each, and the library runs in each.
    let before = handle.stats().turns;
    let (near, mut far) = sockets();
    let others = async move {
        let mut source = FdSource::new(&near, Interest::READABLE);
        for _ in 0..10 {
            far.write_all(b"x").unwrap();
            let before = handle.stats().turns;
            source.next().await.unwrap().unwrap();
            assert!(handle.stats().turns <= before + 2);
            assert_eq!(source.try_io(|near| (&**near).read(&mut [0; 8])).unwrap(), 1);
        }
        let mut timer = Timer::after(Duration::from_millis(2));
        timer.next().await.unwrap();
    };
    event_loop.run_until(&mut runs, others).unwrap();
    let turns = handle.stats().turns - before;
    assert!(turns >= 2, "the timer takes another one");
    assert_eq!(runs - 10, turns);
    drop(hosted.cancel());
    closes_clean(event_loop);
}

// contract 20
#[test]
fn a_library_with_nothing_to_do_costs_no_turns() {
    let mut event_loop = event_loop::<()>();
    let handle = event_loop.handle();
    let (near, _far) = sockets();
    let asked = Rc::new(Cell::new(0));
    let count = asked.clone();
    let source = ForeignLoop::new(near, move |_: &UnixStream| {
        count.set(count.get() + 1);
        None
    });
    let hosted = handle.insert(source, |_, _, ()| panic!("there is nothing to do")).unwrap();
    event_loop.turn(&mut (), ZERO).unwrap();
    event_loop.turn(&mut (), ZERO).unwrap();
    let before = handle.stats().turns;
    assert_eq!(event_loop.turn(&mut (), Duration::from_millis(20)).unwrap().ran, 1);
    assert_eq!(handle.stats().turns - before, 1);
    assert_eq!(asked.get(), 2, "before each wait");
    drop(hosted.cancel());
    closes_clean(event_loop);
}

// contract 6, 19, 20; fault 7, 53
#[test]
fn a_library_whose_descriptor_fails_or_ends_is_told_once_and_the_source_ends() {
    block_on(async {
        let file = std::fs::File::open("/dev/null").unwrap();
        let mut source = ForeignLoop::new(file, |_: &std::fs::File| None);
        source.next().await.unwrap().unwrap_err();
        assert!(source.next().await.is_none());
        let (near, far) = sockets();
        let mut source = ForeignLoop::new(near, |_: &UnixStream| None);
        drop(far);
        source.next().await.unwrap().unwrap();
        assert_eq!(source.get_mut().read(&mut [0; 8]).unwrap(), 0);
        while source.next().await.transpose().unwrap().is_some() {}
        source.into_inner().unwrap();
    });
}

// contract 16, 17
#[test]
fn what_a_library_does_before_a_wait_comes_after_all_else_of_the_turn() {
    let mut event_loop = event_loop::<Vec<&str>>();
    let handle = event_loop.handle();
    let (near, mut far) = sockets();
    let waits = Rc::new(Cell::new(0));
    let count = waits.clone();
    // As a buffer is flushed: by the wait after what was written, whoever wrote it.
    let source = ForeignLoop::new(near, move |_: &UnixStream| {
        count.set(count.get() + 1);
        None
    });
    let hosted = handle.insert(source, |event, source, log: &mut Vec<&str>| {
        event.unwrap();
        source.get_mut().read_exact(&mut [0]).unwrap();
        log.push("byte");
        Next::Stop
    });
    let (ping, pinged) = callback::ping();
    let seen = waits.clone();
    let other = handle.insert(pinged, move |(), _, log: &mut Vec<&str>| {
        log.push("ping");
        assert_eq!(seen.get(), 1);
        Next::Stop
    });
    let mut log = Vec::new();
    event_loop.turn(&mut log, ZERO).unwrap();
    ping.ping();
    event_loop.turn(&mut log, ZERO).unwrap();
    far.write_all(b"x").unwrap();
    event_loop.run(&mut log).unwrap();
    assert_eq!(log, ["ping", "byte"]);
    assert_eq!(waits.get(), 2);
    assert!(hosted.unwrap().is_finished() && other.unwrap().is_finished());
    closes_clean(event_loop);
}

#[test]
fn a_library_that_wants_to_run_no_more_is_not_run_at_the_time_it_said_before() {
    let mut event_loop = paused::<u32>();
    let handle = event_loop.handle();
    let (near, _far) = sockets();
    let library = Library::default();
    library.due.set(Some(Duration::from_secs(5)));
    let asked = library.clone();
    let source = ForeignLoop::new(near, move |_: &UnixStream| asked.due.get());
    let hosted = handle.insert(source, |_, _, runs: &mut u32| {
        *runs += 1;
        Next::Keep
    });
    let mut runs = 0;
    let done = async {
        sleep(Duration::from_secs(1)).await;
        library.due.set(None);
        sleep(Duration::from_secs(60)).await;
    };
    event_loop.run_until(&mut runs, done).unwrap();
    assert_eq!(runs, 0);
    drop(hosted.unwrap().cancel());
    closes_clean(event_loop);
}

/// Runs a library that says in turn how long a wait may last, the last for good, while the clock is moved by
/// 4 ms after the first. Returns when it ran.
fn runs_of(timeouts: &'static [Option<Duration>]) -> Vec<Duration> {
    let mut event_loop = paused::<Vec<Duration>>();
    let handle = event_loop.handle();
    let (near, _far) = sockets();
    let mut asked = timeouts.iter();
    let mut last = None;
    let source = ForeignLoop::new(near, move |_: &UnixStream| {
        last = asked.next().copied().unwrap_or(last);
        last
    });
    let start = handle.now();
    let hosted = handle.insert(source, move |event, _, runs: &mut Vec<Duration>| {
        event.unwrap();
        runs.push(time::now() - start);
        Next::Keep
    });
    let mut runs = Vec::new();
    let moves = async {
        sleep(Duration::from_millis(1)).await;
        time::advance(Duration::from_millis(4)).await;
        sleep(Duration::from_millis(3)).await;
    };
    event_loop.run_until(&mut runs, moves).unwrap();
    drop(hosted.unwrap().cancel());
    closes_clean(event_loop);
    runs
}

// contract 44
#[test]
fn a_library_whose_time_has_just_come_is_run_and_not_asked_anew() {
    const EVERY: Option<Duration> = Some(Duration::from_millis(5));
    assert_eq!(runs_of(&[EVERY, EVERY, EVERY]), [Duration::from_millis(5)]);
}

#[test]
fn a_library_that_wants_to_run_now_is_not_run_again_for_the_time_it_said_before() {
    const SOON: Option<Duration> = Some(Duration::from_millis(3));
    assert_eq!(runs_of(&[SOON, Some(ZERO), None]), [Duration::from_millis(5)]);
}
