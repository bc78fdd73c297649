//! The system's monotonic clock, counted from a loop's epoch.

use std::time::{Duration, Instant};

use super::{Nanos, system_now};

/// How long before its loop was made an epoch lies, as a power of two: 9 years. Users have instants from
/// before they made the loop, and what was due then is told when it was, and keeps its rhythm.
const LONGEST_PAST: u32 = 58;

/// The system's clock, and when a loop was made by it.
#[derive(Debug)]
pub(super) struct SystemClock {
    /// Time zero, as users see it.
    pub(super) epoch: Instant,
    /// When the loop was made.
    pub(super) start: Nanos,
    /// Time zero, as the kernel counts; wrapping, as that may be before it was started.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    zero: Nanos,
}

/// Asks the kernel: an `Instant` and its difference to another cost three times the instructions.
#[cfg(any(target_os = "linux", target_os = "android"))]
impl SystemClock {
    pub(super) fn new() -> Self {
        let tries = (0..4).map(|_| {
            let before = crate::kernel::monotonic_now();
            let epoch = system_now();
            let after = crate::kernel::monotonic_now();
            (after - before, epoch, after)
        });
        // The later reading: behind what `Instant` says, by less than the shortest try took, and never
        // ahead of it. So what is due here is due by an `Instant` too.
        let closest = tries.min_by_key(|(gap, ..)| *gap);
        let (_, made, zero) = closest.expect("there are four");
        let (epoch, start) = epoch_before(made);
        Self { epoch, start, zero: zero.wrapping_sub(start) }
    }

    /// Reads the clock.
    #[inline]
    pub(super) fn elapsed(&self) -> Nanos {
        crate::kernel::monotonic_now().wrapping_sub(self.zero)
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
impl SystemClock {
    pub(super) fn new() -> Self {
        let (epoch, start) = epoch_before(system_now());
        Self { epoch, start }
    }

    /// Reads the clock.
    #[inline]
    pub(super) fn elapsed(&self) -> Nanos {
        super::nanos(self.epoch.elapsed())
    }
}

/// Returns the epoch of a loop made now, and how far it lies back: less where an `Instant` cannot be as early.
fn epoch_before(now: Instant) -> (Instant, Nanos) {
    let pasts = (0..=LONGEST_PAST).rev().map(|power| 1 << power);
    let mut epochs =
        pasts.filter_map(|past| Some((now.checked_sub(Duration::from_nanos(past))?, past)));
    epochs.next().unwrap_or((now, 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_is_never_ahead_of_instants_and_close_behind() {
        let clock = SystemClock::new();
        let mut closest = Duration::MAX;
        for _ in 0..1000 {
            let ours = Duration::from_nanos(clock.elapsed());
            let theirs = clock.epoch.elapsed();
            assert!(ours <= theirs, "{ours:?} after {theirs:?}");
            closest = closest.min(theirs - ours);
        }
        assert!(closest < Duration::from_millis(1), "{closest:?} behind");
    }
}
