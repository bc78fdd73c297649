//! Events that nobody asked for, in builds with `--cfg loopline_mischief`: see `crate::mischief`.

use std::cell::RefCell;
use std::task::Waker;

use super::Entry;
use super::ledger::Ready;
use super::poller::Found;
use crate::mischief::one_of;

/// Earlier events, to be brought once more. By then their source may be gone, and its place another's.
pub(super) struct Mischief(RefCell<Vec<(usize, Found)>>);

impl Mischief {
    pub(super) fn new() -> Self {
        Self(RefCell::default())
    }

    /// Keeps some events for later.
    pub(super) fn keep(&self, token: usize, found: Found) {
        let mut kept = self.0.borrow_mut();
        if one_of(2) == 0 && kept.len() < 64 {
            kept.push((token, found));
        }
    }

    /// Brings events that were kept; called before the new ones.
    pub(super) fn repeat(&self, mut event: impl FnMut(usize, Found)) {
        let kept = std::mem::take(&mut *self.0.borrow_mut());
        kept.into_iter().for_each(|(token, found)| event(token, found));
    }

    /// Says that sources are ready which are not. Returns whether there was one.
    pub(super) fn invent<'a>(
        &self,
        sources: impl Iterator<Item = &'a Entry>,
        woken: &mut Vec<Waker>,
    ) -> bool {
        let mut any = false;
        for entry in sources.filter(|_| one_of(4) == 0) {
            entry.ledger.mark(Ready(Ready::READABLE | Ready::WRITABLE), woken);
            any = true;
        }
        any
    }
}
