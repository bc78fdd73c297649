//! One slot of the run queue, its state word, and a list through slots.

use std::cell::Cell;

use super::{GENERATION_BITS, NONE, SLOT_BITS};

/// The slot holds an item (or the root future). Cleared when the item ends.
pub(super) const LIVE: usize = 1;
/// The slot is in a list.
pub(super) const LISTED: usize = 1 << 1;
/// The item was woken and has not been polled since.
pub(super) const WOKEN: usize = 1 << 2;
/// The item is paused: wakes are remembered, polls wait for `resume`.
pub(super) const PAUSED: usize = 1 << 3;
/// The item was cancelled while it was being polled; it ends as the poll returns.
pub(super) const CANCEL: usize = 1 << 4;
/// The item is in another lane than the first: its wakes take the longer way.
pub(super) const LANED: usize = 1 << 5;
/// The flags' bits; the loop's number and the generation stand above them, as in a waker's word.
pub(super) const FLAGS: usize = (1 << SLOT_BITS) - 1;

/// The bits of `marks` that are the number of a lane.
pub(super) const LANE: u8 = 7;
/// The waker was cloned by others than our own leaves, which copy it.
pub(super) const ESCAPED: u8 = 1 << 3;

/// Whether an item that is listed is due, and no stale entry.
#[inline]
pub(super) const fn may_run(state: usize) -> bool {
    state & (LIVE | WOKEN | PAUSED) == LIVE | WOKEN
}

pub(super) const fn generation_of(state: usize) -> u32 {
    ((state >> SLOT_BITS) & ((1 << GENERATION_BITS) - 1)) as u32
}

/// Returns the word of a slot and a generation, which wraps. `loop_bits`: the loop's number in its place.
pub(super) fn word(loop_bits: usize, slot: u32, generation: u32) -> usize {
    debug_assert!(slot as usize <= FLAGS);
    let generation = generation as usize & ((1 << GENERATION_BITS) - 1);
    loop_bits | generation << SLOT_BITS | slot as usize
}

/// One slot: 16 bytes, and what its user keeps in it.
pub(super) struct Slot<T> {
    /// Loop, generation and flags. Zero: never used.
    pub(super) state: Cell<usize>,
    /// The next slot of the list this one is in, `NONE` at its end.
    pub(super) next: Cell<u32>,
    /// The item's lane, and `ESCAPED`.
    pub(super) marks: Cell<u8>,
    pub(super) content: T,
}

impl<T: Default> Default for Slot<T> {
    fn default() -> Self {
        Self {
            state: Cell::new(0),
            next: Cell::new(NONE),
            marks: Cell::new(0),
            content: T::default(),
        }
    }
}

/// A slot that was looked up: once for all that is done with it.
pub(crate) struct Place<'a, T> {
    pub(crate) slot: u32,
    pub(super) cell: &'a Slot<T>,
}

impl<T> Clone for Place<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Place<'_, T> {}

impl<'a, T> Place<'a, T> {
    #[inline]
    pub(crate) fn content(self) -> &'a T {
        &self.cell.content
    }

    /// Returns the number of the item's lane.
    pub(crate) fn lane(self) -> usize {
        usize::from(self.cell.marks.get() & LANE)
    }

    /// Whether the item was cancelled during its poll.
    #[inline]
    pub(crate) fn cancel_requested(self) -> bool {
        self.cell.state.get() & CANCEL != 0
    }
}

/// A slot that was popped.
pub(crate) struct Entry<'a, T> {
    pub(crate) place: Place<'a, T>,
    /// As it was popped; the generation does not change before the item ends.
    pub(super) state: usize,
}

impl<T> Entry<'_, T> {
    /// Returns the word of this slot's wakers.
    #[inline]
    pub(crate) fn word(&self) -> usize {
        self.state & !FLAGS | self.place.slot as usize
    }
}

/// A list through the slots.
pub(super) struct List {
    /// `NONE`: the list is empty.
    pub(super) head: Cell<u32>,
    /// Means nothing once the list is empty.
    pub(super) tail: Cell<u32>,
    /// The last entry of the round that is under way, `NONE` if there is no more of it.
    pub(super) last: Cell<u32>,
}

impl List {
    pub(super) const fn new() -> Self {
        Self { head: Cell::new(NONE), tail: Cell::new(NONE), last: Cell::new(NONE) }
    }
}
