//! Clocks and rounds.

use std::time::Duration;

/// CPU time this thread has used.
pub fn thread_cpu() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a local that outlives the call.
    let failed = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    assert_eq!(failed, 0, "the thread has a CPU clock");
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// How a case is run.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Operations in one round.
    pub operations: usize,
    /// Rounds that are reported. One only, with nothing before it, under callgrind.
    pub rounds: usize,
    /// Whether an unreported round runs first.
    pub warm: bool,
}

impl Plan {
    /// The rounds, each with whether it is reported.
    pub fn rounds(self) -> impl Iterator<Item = bool> {
        std::iter::repeat_n(false, usize::from(self.warm))
            .chain(std::iter::repeat_n(true, self.rounds))
    }

    /// Prints what one operation of a round took.
    pub fn report(self, counted: bool, round: Duration) {
        if counted {
            println!("{:.3}", round.as_nanos() as f64 / self.operations as f64);
        }
    }
}

/// This process's resident memory, in bytes.
pub fn resident() -> usize {
    let text = std::fs::read_to_string("/proc/self/statm").expect("Linux only");
    let pages: usize =
        text.split(' ').nth(1).and_then(|pages| pages.parse().ok()).expect("a number");
    pages * 4096
}
