//! Seeded mischief, in builds with `--cfg loopline_mischief` alone: what a system may do and seldom does.
//!
//! Spurious readiness and events that come twice (`reactor`), short reads and writes (`loopline-io`). No
//! part of the crate in any other build.

use std::cell::Cell;

use crate::chance::{seed_from_environment, step};

thread_local! {
    /// Where this thread's mischief is.
    static STATE: Cell<u64> = Cell::new(seed_from_environment().unwrap_or(1));
}

/// Picks one of `n`.
#[must_use]
pub fn one_of(n: usize) -> usize {
    // A destructor of another thread-local may run later than this one's: then none is made.
    let number = STATE.try_with(step).unwrap_or(0);
    (number % n.max(1) as u64) as usize
}

/// Returns how much to do of so much: half the time less, but something.
#[must_use]
pub fn at_most(len: usize) -> usize {
    match one_of(4) {
        0 => len.min(1),
        1 => len - len.checked_sub(1).map_or(0, one_of),
        _ => len,
    }
}
