//! One slot of the run queue, its state word, and a list through slots.

use std::cell::Cell;

use super::NONE;

/// The slot holds an item (or the root future). Cleared when the item ends.
pub(super) const LIVE: u32 = 1;
/// The slot is in a list.
pub(super) const LISTED: u32 = 1 << 1;
/// The item was woken and has not been polled since.
pub(super) const WOKEN: u32 = 1 << 2;
/// The item is paused: wakes are remembered, polls wait for `resume`.
pub(super) const PAUSED: u32 = 1 << 3;
/// The item was cancelled while it was being polled; it ends as the poll returns.
pub(super) const CANCEL: u32 = 1 << 4;
/// The slot is in the list of the next turn.
pub(super) const LATER: u32 = 1 << 5;
/// The generation stands above the flags.
pub(super) const SHIFT: u32 = 8;

/// One slot: 8 bytes and what its user keeps in it.
pub(super) struct Slot<T> {
    /// Generation and flags. Zero: never used.
    pub(super) state: Cell<u32>,
    /// The next slot of the list this one is in, `NONE` at its end.
    pub(super) next: Cell<u32>,
    pub(super) content: T,
}

impl<T: Default> Default for Slot<T> {
    fn default() -> Self {
        Self { state: Cell::new(0), next: Cell::new(NONE), content: T::default() }
    }
}

/// A slot that was popped: looked up once, used for the whole poll.
pub(crate) struct Entry<'a, T> {
    pub(crate) slot: u32,
    /// As it was popped; the generation does not change before the item ends.
    pub(super) state: u32,
    pub(super) cell: &'a Slot<T>,
}

impl<'a, T> Entry<'a, T> {
    /// Returns the generation that wakers of this slot carry now.
    #[inline]
    pub(crate) fn generation(&self) -> u32 {
        self.state >> SHIFT
    }

    #[inline]
    pub(crate) fn content(&self) -> &'a T {
        &self.cell.content
    }

    /// Whether the item was cancelled during its poll.
    #[inline]
    pub(crate) fn cancel_requested(&self) -> bool {
        self.cell.state.get() & CANCEL != 0
    }
}

/// A list through the slots.
#[repr(C)]
pub(super) struct List {
    pub(super) head: Cell<u32>,
    /// Keeps the compiler from moving both ends as one word, which would wait for the two small writes
    /// that a wake has just made (measured: 3 ns of a yield).
    _apart: u32,
    pub(super) tail: Cell<u32>,
}

impl List {
    pub(super) const fn new() -> Self {
        Self { head: Cell::new(NONE), _apart: 0, tail: Cell::new(NONE) }
    }
}
