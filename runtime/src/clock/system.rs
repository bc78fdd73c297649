//! The system's monotonic clock, counted from a loop's epoch.

use std::time::Instant;

use super::{Nanos, system_now};

/// The system's clock, and when a loop was made by it.
#[derive(Debug)]
pub(super) struct SystemClock {
    /// Time zero, as users see it.
    pub(super) epoch: Instant,
    /// Time zero, as the kernel counts.
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
        let (_, epoch, zero) = closest.expect("there are four");
        Self { epoch, zero }
    }

    /// Reads the clock.
    #[inline]
    pub(super) fn elapsed(&self) -> Nanos {
        crate::kernel::monotonic_now().saturating_sub(self.zero)
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
impl SystemClock {
    pub(super) fn new() -> Self {
        Self { epoch: system_now() }
    }

    /// Reads the clock.
    #[inline]
    pub(super) fn elapsed(&self) -> Nanos {
        super::nanos(self.epoch.elapsed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

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
