//! Nothing happens, and nothing runs: a loop that waits, as its own or as a guest, is not woken once.
//!
//! `.ci/deep strace` looks at the same tests from outside, for ten seconds: `LOOPLINE_TEST_IDLE`.
#![cfg(all(target_os = "linux", not(loopline_portable_park)))] // where the descriptor tells of timers too

mod support;

use std::os::unix::net::UnixStream;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use loopline::callback::{self, Next};
use loopline::io::{FdSource, Interest};
use loopline::time::sleep;
use loopline::{Control, Handle};
use support::guests::{host_once, host_until_quiet, wait_readable};
use support::{TestLoop, closes_clean, event_loop};

/// How long nothing happens.
fn time() -> Duration {
    let text = std::env::var("LOOPLINE_TEST_IDLE").ok();
    text.map_or(Duration::from_millis(200), |text| Duration::from_secs(text.parse().unwrap()))
}

/// Everything that a loop can wait for, none of which comes but a message at the end, which stops the loop.
struct Waiting {
    items: Vec<Control>,
    far: UnixStream,
    quiet: mpsc::Sender<()>,
    end: thread::JoinHandle<()>,
}

impl Waiting {
    fn begin(handle: Handle<()>) -> Self {
        let (near, far) = UnixStream::pair().unwrap();
        let source = FdSource::new(near, Interest::READABLE);
        let socket = handle.insert(source, |_, _, ()| Next::Keep).unwrap();
        let timer = handle.spawn(async { sleep(Duration::from_secs(3600)).await });
        let (sender, messages) = callback::channel::<()>();
        let message = handle.insert(messages, move |(), _, ()| {
            handle.stop();
            Next::Keep
        });
        let items = vec![socket.control(), timer.control(), message.unwrap().control()];
        let (quiet, is_quiet) = mpsc::channel();
        let end = thread::spawn(move || {
            is_quiet.recv().unwrap();
            thread::sleep(time()); // the time in which nothing happens
            sender.send(()).unwrap();
        });
        Self { items, far, quiet, end }
    }

    /// From now on nothing happens.
    fn is_quiet(&self) -> Instant {
        let now = Instant::now();
        self.quiet.send(()).unwrap();
        now
    }

    fn end(self) {
        self.end.join().unwrap();
        for item in self.items {
            item.cancel(); // or it has ended, with its sender
        }
        drop(self.far);
    }
}

#[test]
fn a_loop_that_has_nothing_to_do_makes_no_turn() {
    let mut event_loop = event_loop::<()>();
    let handle = event_loop.handle();
    let waiting = Waiting::begin(handle);
    let start = waiting.is_quiet();
    event_loop.run(&mut ()).unwrap();
    assert!(start.elapsed() >= time());
    // One that finds everything waiting, one for the message; one may be for the end of its sender.
    assert!(handle.stats().turns <= 4, "{:?}", handle.stats());
    waiting.end();
    event_loop.run(&mut ()).unwrap();
    closes_clean(event_loop);
}

#[test]
fn a_guest_that_has_nothing_to_do_does_not_wake_its_host() {
    let guest = event_loop::<()>().lend();
    let waiting = Waiting::begin(guest.handle());
    host_until_quiet(&guest, &mut ());
    // Only now: on a slow machine the message would come before the host waits for it.
    let start = waiting.is_quiet();
    let turns = guest.handle().stats().turns;
    wait_readable(&guest);
    assert!(start.elapsed() >= time());
    while !host_once(&guest, &mut ()).stopped {}
    assert!(guest.handle().stats().turns <= turns + 3);
    waiting.end();
    host_until_quiet(&guest, &mut ());
    closes_clean(TestLoop::take_back(guest));
}
