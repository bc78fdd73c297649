//! Panics that nobody waits for: printed, and then what the policy says.

use std::panic::{catch_unwind, resume_unwind};

use crate::config::PanicPolicy;
use crate::item::{Payload, drop_payload};
use crate::shared::Shared;

impl Shared {
    /// Does what the policy says with a panic that nobody waits for.
    pub(crate) fn unobserved(&self, what: &str, payload: Payload) {
        report(self.config.label.as_deref(), what, &payload);
        match self.config.panic {
            PanicPolicy::Continue => drop_payload(payload),
            PanicPolicy::Stop => {
                drop_payload(payload);
                self.stop();
            }
            PanicPolicy::Unwind => self.keep_panic(payload),
            PanicPolicy::Abort => std::process::abort(),
        }
    }

    /// Keeps the first one. Until it has unwound, the loop was asked to stop.
    fn keep_panic(&self, payload: Payload) {
        let mut kept = self.panicked.borrow_mut();
        if kept.is_none() {
            *kept = Some(payload);
            drop(kept);
            self.stop();
        } else {
            drop(kept);
            drop_payload(payload);
        }
    }

    /// Goes on with a panic that was kept. Nothing is borrowed, and no item runs.
    #[inline]
    pub(crate) fn unwind(&self) {
        if self.stop.get() {
            self.unwind_kept();
        }
    }

    #[cold]
    fn unwind_kept(&self) {
        if let Some(payload) = self.panicked.take() {
            self.stop.set(false);
            resume_unwind(payload);
        }
    }

    /// Whether one is kept, for which the loop was asked to stop.
    pub(crate) fn has_panic(&self) -> bool {
        self.panicked.borrow().is_some()
    }

    /// Drops what was kept, at the loop's end.
    pub(crate) fn forget_panic(&self) {
        if let Some(payload) = self.panicked.take() {
            drop_payload(payload);
        }
    }
}

/// Prints an unobserved panic. Also used where the loop is gone.
pub(crate) fn report(label: Option<&str>, what: &str, payload: &Payload) {
    let text = payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("a value that is not text");
    let name = label.unwrap_or("loopline");
    // `eprintln` panics if nobody reads standard error any more; that is no reason to end the loop.
    let _ = catch_unwind(|| eprintln!("{name}: {what} panicked, and nobody awaits it: {text}"));
}
