//! What stands for `mischief.rs` in all builds but that of the tests of just that: nothing.

use std::task::Waker;

use super::Entry;
use super::poller::Found;

/// No mischief.
pub(super) struct Mischief;

impl Mischief {
    pub(super) fn new() -> Self {
        Self
    }

    #[inline(always)]
    pub(super) fn keep(&self, _token: usize, _found: Found) {}

    #[inline(always)]
    pub(super) fn repeat(&self, _event: impl FnMut(usize, Found)) {}

    #[inline(always)]
    pub(super) fn invent<'a>(
        &self,
        _sources: impl Iterator<Item = &'a Entry>,
        _woken: &mut Vec<Waker>,
    ) -> bool {
        false
    }
}
