//! What stands for `boot.rs` where the system has no such clock, or no descriptor for it: nothing makes one.

use std::task::Context;

use crate::clock::Nanos;

/// A deadline by the boot clock: none.
#[derive(Debug)]
pub(crate) enum BootWatch {}

impl BootWatch {
    pub(crate) fn now(&self) -> Nanos {
        match *self {}
    }

    pub(crate) fn reckon(&self) -> (Nanos, Nanos) {
        match *self {}
    }

    pub(crate) fn set(&mut self, _deadline: Nanos, _ring_at: Nanos) {
        match *self {}
    }

    pub(crate) fn is_due(&self) -> bool {
        match *self {}
    }

    pub(crate) fn wait(&mut self, _cx: &Context<'_>) -> Option<Nanos> {
        match *self {}
    }
}
