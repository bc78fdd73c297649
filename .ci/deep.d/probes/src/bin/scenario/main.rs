//! A little of everything, in under a second, for runs in which one system call fails: each step ends
//! well or in an error, none hangs, and what a run opened it closes.
//!
//! Prints a line a step; exits 0 if all went well, 10 if there were errors, 1 if something is left. Each
//! run stands between two calls of getppid, by which a trace finds it.

use std::io;
use std::time::Duration;

use loopline::time::{sleep, timeout};
use loopline::{EventLoop, Handle};

mod steps;

thread_local! {
    /// What is printed in the end: a write between would be one of those that fail.
    static SAID: std::cell::RefCell<String> = const { std::cell::RefCell::new(String::new()) };
}

macro_rules! say {
    ($($text:tt)*) => {
        SAID.with(|said| *said.borrow_mut() += &(format!($($text)*) + "\n"))
    };
}

fn end(code: i32) -> ! {
    SAID.with(|said| {
        let said = said.borrow();
        // Should one of these fail, the next does not.
        for _ in 0..3 {
            let mut out = io::stdout().lock();
            if io::Write::write_all(&mut out, said.as_bytes()).is_ok()
                && io::Write::flush(&mut out).is_ok()
            {
                break;
            }
        }
    });
    std::process::exit(code)
}

fn main() {
    let runs = std::env::args().nth(1).map_or(1, |text| text.parse().expect("how many runs"));
    let base = (descriptors(), threads());
    let mut errors = 0;
    for run in 1..=runs {
        let _ = std::os::unix::process::parent_id();
        errors += one_run(run);
        let _ = std::os::unix::process::parent_id();
        // The pool's threads are told to end; a pair of sockets for signals stays with the process.
        let most = (base.0 + 2, base.1 + 4);
        let mut left = (descriptors(), threads());
        for _ in 0..100 {
            if left <= most {
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
            left = (descriptors(), threads());
        }
        if left.0 > most.0 || left.1 > most.1 {
            say!("{} descriptors and {} threads, at first {base:?}", left.0, left.1);
            end(1);
        }
    }
    end(if errors == 0 { 0 } else { 10 });
}

/// Returns how many steps ended in an error.
fn one_run(run: u32) -> usize {
    let event_loop = EventLoop::<()>::builder().blocking_threads(2).build();
    let mut event_loop = match event_loop {
        Ok(event_loop) => event_loop,
        Err(error) => return told(run, "new", &error),
    };
    let mut errors = 0;
    let done = event_loop.block_on(async {
        for (name, step) in steps::steps() {
            match timeout(Duration::from_secs(5), step).await {
                Ok(Ok(())) => say!("{run} {name}: ok"),
                Ok(Err(error)) => errors += told(run, name, &error),
                Err(_) => {
                    say!("{run} {name}: hangs");
                    end(1);
                }
            }
        }
        // A child that was given up is still to be reaped.
        let handle = Handle::<()>::try_current().expect("a loop that runs");
        for _ in 0..1000 {
            if handle.stats().items == 0 {
                break;
            }
            sleep(Duration::from_millis(2)).await;
        }
    });
    if let Err(error) = done {
        errors += told(run, "run", &io::Error::from(error));
    }
    let stats = event_loop.handle().stats();
    if (stats.items, stats.timers, stats.registrations) != (0, 0, 0) {
        say!("{run} left on the loop: {stats:?}");
        end(1);
    }
    errors
}

fn told(run: u32, name: &str, error: &io::Error) -> usize {
    say!("{run} {name}: error {:?} {:?} {error}", error.raw_os_error(), error.kind());
    1
}

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").expect("/proc").count()
}

fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").expect("/proc").count()
}
