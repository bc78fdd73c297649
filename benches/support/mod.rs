//! What the benches share: a clock of CPU time, and rounds.
//!
//! Printed is CPU time of the measuring thread for one operation: median, minimum and maximum of the
//! rounds. A machine at work on other things makes the median drift; the minimum hardly.
//!
//! - `cargo bench --bench NAME`: all cases.
//! - `cargo bench --bench NAME -- TEXT`: those whose name contains the text.
//! - `... -- --once CASE OPERATIONS`: one round of one case and nothing else, for
//!   `valgrind --tool=callgrind`: two runs of different length give the instructions of an operation.
//!
//! With `LOOPLINE_BENCH_WATCHDOG` set to milliseconds, the loops have a watchdog with that limit.

#![allow(dead_code, reason = "no bench uses all of it")]

use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use loopline::EventLoop;

const ROUNDS: usize = 9;

/// CPU time this thread has used.
pub(crate) fn thread_cpu() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a local that outlives the call.
    let failed = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    assert_eq!(failed, 0, "a thread has a CPU clock");
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Calls `work` and returns the CPU time it took.
pub(crate) fn timed(work: impl FnOnce()) -> Duration {
    let began = thread_cpu();
    work();
    thread_cpu() - began
}

/// What the command line asked for.
pub(crate) struct Suite {
    filter: String,
    once: Option<(String, usize)>,
}

impl Suite {
    /// Reads the command line and prints the head of the table.
    pub(crate) fn new(unit: &str) -> Self {
        // `cargo bench` adds `--bench`.
        let arguments: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
        let once = match arguments.first().map(String::as_str) {
            Some("--once") => {
                let operations = arguments.get(2).and_then(|n| n.parse().ok());
                Some((arguments[1].clone(), operations.expect("--once CASE OPERATIONS")))
            }
            _ => {
                println!("{:<38} {:>9} {:>9} {:>9}  {unit}", "case", "median", "min", "max");
                None
            }
        };
        Self { filter: arguments.first().cloned().unwrap_or_default(), once }
    }

    /// Whether instructions are counted: the program then runs some 50 times slower.
    pub(crate) fn counts_instructions(&self) -> bool {
        self.once.is_some()
    }

    /// Returns whether the case is wanted, to spare its preparation.
    pub(crate) fn wants(&self, name: &str) -> bool {
        match &self.once {
            Some((case, _)) => case == name,
            None => name.contains(&self.filter),
        }
    }

    /// Runs a case: `round` does that many operations and returns what they took. Returns the median
    /// in nanoseconds per operation.
    pub(crate) fn case(
        &self,
        name: &str,
        operations: usize,
        mut round: impl FnMut(usize) -> Duration,
    ) -> Option<f64> {
        if !self.wants(name) {
            return None;
        }
        if let Some((_, operations)) = self.once {
            round(operations);
            return None;
        }
        round(operations.div_ceil(4));
        let mut results: Vec<f64> =
            (0..ROUNDS).map(|_| round(operations).as_nanos() as f64 / operations as f64).collect();
        results.sort_by(f64::total_cmp);
        self.row(name, &results);
        Some(results[ROUNDS / 2])
    }

    /// Prints one row of sorted figures.
    pub(crate) fn row(&self, name: &str, sorted: &[f64]) {
        let (first, last) = (sorted[0], sorted[sorted.len() - 1]);
        println!("{name:<38} {:>9.2} {first:>9.2} {last:>9.2}", sorted[sorted.len() / 2]);
    }

    /// Makes an event loop. While instructions are counted its turn is not ended by time: it would
    /// otherwise run as many times fewer items as the program is slowed down.
    pub(crate) fn event_loop<S: 'static>(&self) -> EventLoop<S> {
        let mut builder = EventLoop::builder();
        if self.counts_instructions() {
            builder = builder.time_per_turn(Duration::from_secs(1));
        }
        if let Ok(limit) = std::env::var("LOOPLINE_BENCH_WATCHDOG") {
            let limit = limit.parse().expect("LOOPLINE_BENCH_WATCHDOG is milliseconds");
            builder = builder.watchdog(Duration::from_millis(limit));
        }
        builder.build().expect("descriptors are left")
    }
}

/// Pending once, having woken itself.
pub(crate) async fn yield_once() {
    let mut yielded = false;
    poll_fn(|cx| {
        if yielded {
            return Poll::Ready(());
        }
        yielded = true;
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
