//! Clocks, rounds, memory.

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
    /// Rounds that are reported.
    pub rounds: usize,
    /// One round and nothing before it: instructions are counted.
    pub once: bool,
}

impl Plan {
    /// The rounds, each with whether it is reported.
    pub fn rounds(self) -> impl Iterator<Item = bool> {
        std::iter::repeat_n(false, usize::from(!self.once))
            .chain(std::iter::repeat_n(true, self.rounds))
    }

    /// Prints what one operation of a round took, in nanoseconds.
    pub fn report(self, counted: bool, round: Duration) {
        self.report_all(counted, &[round]);
    }

    /// The same for the parts of an operation.
    pub fn report_all(self, counted: bool, parts: &[Duration]) {
        if counted {
            let each = |part: &Duration| part.as_nanos() as f64 / self.operations as f64;
            let texts: Vec<String> = parts.iter().map(|p| format!("{:.3}", each(p))).collect();
            println!("{}", texts.join(" "));
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

/// Bytes the allocator has given out, its own headers and rounding in them.
pub fn allocated() -> usize {
    // SAFETY: the call has no arguments and returns plain numbers.
    let info = unsafe { libc::mallinfo2() };
    info.uordblks + info.hblkhd
}

/// Numbers without a pattern, the same in each run.
#[derive(Debug)]
pub struct Random(pub u64);

impl Default for Random {
    fn default() -> Self {
        Self(0x9e37_79b9_7f4a_7c15)
    }
}

impl Random {
    /// Returns a number below `limit`.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }

    /// Shuffles.
    pub fn shuffle<T>(&mut self, all: &mut [T]) {
        for n in (1..all.len()).rev() {
            all.swap(n, self.below(n as u64 + 1) as usize);
        }
    }
}
