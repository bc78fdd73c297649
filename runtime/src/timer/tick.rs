//! What a timer tells when it fires.

use std::time::{Duration, Instant};

/// One firing of a [`Timer`](crate::time::Timer).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tick {
    /// When it was due.
    pub deadline: Instant,
    /// When it was delivered.
    pub now: Instant,
}

impl Tick {
    /// Returns how late it is delivered.
    #[must_use]
    pub fn late(&self) -> Duration {
        self.now.saturating_duration_since(self.deadline)
    }
}
