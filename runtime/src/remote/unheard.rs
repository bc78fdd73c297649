//! Panics of remotely spawned items that nobody waits for.

use crate::item::{Payload, drop_payload};
use crate::panics::report;
use crate::shared::Shared;

/// A panic nobody waits for any more, on its way to its loop's policy.
pub(super) struct Unheard {
    pub(super) what: String,
    pub(super) payload: Option<Payload>,
}

impl Unheard {
    pub(super) fn tell(&mut self, shared: Option<&Shared>) {
        match (self.payload.take(), shared) {
            (Some(payload), Some(shared)) => shared.unobserved(&self.what, payload),
            (Some(payload), None) => {
                report(None, &self.what, &payload);
                drop_payload(payload);
            }
            (None, _) => {}
        }
    }
}

impl Drop for Unheard {
    fn drop(&mut self) {
        self.tell(None);
    }
}
