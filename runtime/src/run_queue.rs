//! The run queue: which items run next, and in what order. Knows nothing of futures.
//!
//! Each item has a slot here: a state word, a link, and a place for its user to keep the item in, so
//! that a poll looks its slot up once. The queue is a list through the slots, so
//! queueing allocates nothing and lanes cost two words each. `wake` talks to it at home, the turn
//! pops from it, `task` allocates and frees slots.
//!
//! Invariant (Listed Once): a slot is in at most one list, and exactly while `LISTED` is set. Slots
//! leave a list only at its head, so a slot that was freed, paused or run out of turn while listed
//! stays in the list as a *stale entry* until it is popped; a freed one joins the free list only then.
//!
//! Invariant (Counted): `due` is the number of slots that are live, listed, woken and not paused;
//! those that wait for the next turn (`LATER`) are counted in `later` instead.

use std::cell::{Cell, OnceCell};

use crate::segments::Segments;

use self::lanes::Lanes;
pub(crate) use self::slot::Entry;
use self::slot::{FLAGS, LATER, LISTED, LIVE, List, PAUSED, Slot, WOKEN, generation_of, word};

mod control;
mod lanes;
mod rounds;
mod slot;

/// The slot of the root future of `run_until`.
pub(crate) const ROOT: u32 = 0;
/// The slot whose number means "look into the mailbox"; it never holds an item.
pub(crate) const MAIL: u32 = 1;
/// No slot: ends a list. Beyond every segment, so looking it up finds nothing.
pub(crate) const NONE: u32 = 1 << 25;

/// Bits of a slot number in a waker's word; `u32` numbers beyond are refused by `allocate`.
#[cfg(target_pointer_width = "64")]
pub(crate) const SLOT_BITS: u32 = 24;
#[cfg(not(target_pointer_width = "64"))]
pub(crate) const SLOT_BITS: u32 = 20;
/// Bits of a generation in a waker's word.
#[cfg(target_pointer_width = "64")]
pub(crate) const GENERATION_BITS: u32 = 24;
#[cfg(not(target_pointer_width = "64"))]
pub(crate) const GENERATION_BITS: u32 = 6;

/// What runs of one lane, and when: three lists.
struct Lane {
    /// What is left of the round, first in first out. `pop` leaves its tail alone, so that means
    /// nothing once the list is empty.
    round: List,
    /// What was woken since the round began, and runs in the next one.
    queue: List,
    /// What `defer` put at the head of the next round.
    deferred: List,
}

impl Lane {
    const fn new() -> Self {
        Self { round: List::new(), queue: List::new(), deferred: List::new() }
    }
}

/// The slots and the lists through them.
pub(crate) struct RunQueue<T> {
    slots: Segments<Slot<T>>,
    /// The loop's number, where words have it.
    loop_bits: usize,
    /// The state of a slot that was never used: the loop's number, and the generation it begins with.
    unused: usize,
    /// The lane of all items that were put into no other.
    first: Lane,
    /// The others, once there are any.
    lanes: OnceCell<Box<Lanes>>,
    /// What waits for the next turn: new sources and `next_turn`.
    next_turn: List,
    /// Freed slots, last freed first, linked through `next`.
    free: Cell<u32>,
    /// Slots ever used.
    used: Cell<u32>,
    /// See Counted.
    due: Cell<usize>,
    /// See Counted.
    later: Cell<usize>,
    /// Live slots whose wakers escaped.
    escaped: Cell<usize>,
}

impl<T: Default> RunQueue<T> {
    /// Makes the queue of a loop. The generation is what all slots begin with, and wraps: another than an
    /// earlier loop of that number had, whose wakers may still be about.
    pub(crate) fn new(loop_number: u32, generation: u32) -> Self {
        let loop_bits = (loop_number as usize) << (GENERATION_BITS + SLOT_BITS);
        let queue = Self {
            loop_bits,
            unused: word(loop_bits, 0, generation),
            slots: Segments::new(),
            first: Lane::new(),
            lanes: OnceCell::new(),
            next_turn: List::new(),
            free: Cell::new(NONE),
            used: Cell::new(MAIL + 1),
            due: Cell::new(0),
            later: Cell::new(0),
            escaped: Cell::new(0),
        };
        queue.slots.grow(MAIL);
        queue.slots.grow(ROOT).state.set(queue.unused);
        queue
    }

    /// Takes a slot for a new item, or `None` if all are taken. Returns its number, and whether it was
    /// never used before.
    pub(crate) fn allocate(&self) -> Option<(u32, bool)> {
        let free = self.free.get();
        let slot = if free != NONE {
            self.free.set(self.slots.get(free)?.next.get());
            free
        } else {
            let fresh = self.used.get();
            if fresh >= (1 << SLOT_BITS) - 1 {
                return None;
            }
            self.slots.grow(fresh).state.set(self.unused);
            self.used.set(fresh + 1);
            fresh
        };
        self.revive(slot);
        Some((slot, free == NONE))
    }

    /// Marks a slot live, keeping its generation. Used directly for `ROOT`.
    pub(crate) fn revive(&self, slot: u32) {
        let cell = self.slots.grow(slot);
        debug_assert!(cell.state.get() & LIVE == 0, "slot {slot} is taken");
        cell.state.set(cell.state.get() | LIVE);
    }

    /// Ends the slot's use: its number is stale from now on.
    pub(crate) fn free(&self, slot: u32) {
        let Some(cell) = self.slots.get(slot) else { return };
        let state = cell.state.get();
        debug_assert!(state & LIVE != 0, "slot {slot} freed twice");
        if state & (LISTED | WOKEN | PAUSED) == LISTED | WOKEN {
            self.uncount(cell, state);
        }
        let next = self.word(slot, generation_of(state).wrapping_add(1)) & !FLAGS;
        cell.state.set(next | (state & (LISTED | LATER)));
        if cell.marks.get() != 0 {
            self.forget_marks(cell);
        }
        if state & LISTED == 0 {
            self.recycle(slot, cell);
        }
    }

    fn recycle(&self, slot: u32, cell: &Slot<T>) {
        if slot != ROOT {
            cell.next.set(self.free.get());
            self.free.set(slot);
        }
    }

    /// Returns the generation that wakers of this slot carry now.
    #[inline]
    pub(crate) fn generation(&self, slot: u32) -> u32 {
        self.slots.get(slot).map_or(0, |cell| generation_of(cell.state.get()))
    }

    /// Returns the word of a slot and a generation, which wraps.
    pub(crate) fn word(&self, slot: u32, generation: u32) -> usize {
        word(self.loop_bits, slot, generation)
    }

    /// Queues the slot of a word if it is live, of that generation and not queued yet. `Err`: it is
    /// another loop's.
    #[inline]
    pub(crate) fn wake(&self, word: usize) -> Result<(), ()> {
        match self.slots.near((word & FLAGS) as u32) {
            Some(cell) => self.wake_at(cell, word),
            None => self.wake_far(word),
        }
    }

    /// Apart, so that the short way saves no registers for a call.
    #[inline(never)]
    fn wake_far(&self, word: usize) -> Result<(), ()> {
        match self.slots.get((word & FLAGS) as u32) {
            Some(cell) => self.wake_at(cell, word),
            None if self.is_ours(word) => Ok(()),
            None => Err(()),
        }
    }

    #[inline(always)] // into both
    fn wake_at(&self, cell: &Slot<T>, word: usize) -> Result<(), ()> {
        // One comparison: this loop, this generation, and no flag but that it lives; so the first lane.
        let idle = word & !FLAGS | LIVE;
        if cell.state.get() == idle {
            cell.state.set(idle | LISTED | WOKEN);
            self.due.set(self.due.get() + 1);
            self.append(&self.first.queue, (word & FLAGS) as u32, cell);
            return Ok(());
        }
        self.wake_flagged(cell, word)
    }

    fn is_ours(&self, word: usize) -> bool {
        word >> (GENERATION_BITS + SLOT_BITS) == self.loop_bits >> (GENERATION_BITS + SLOT_BITS)
    }

    /// Queues the slot whatever its generation: wakes from the inbox carry none.
    pub(crate) fn wake_any(&self, slot: u32) {
        let _ours = self.wake(self.word(slot, self.generation(slot)));
    }

    /// The rare rest of `wake`: another loop's, stale, woken already, paused, or a stale entry.
    #[cold]
    fn wake_flagged(&self, cell: &Slot<T>, word: usize) -> Result<(), ()> {
        if !self.is_ours(word) {
            return Err(());
        }
        let state = cell.state.get();
        if (state ^ word) & !FLAGS == 0 && state & (LIVE | WOKEN) == LIVE {
            cell.state.set(state | WOKEN);
            self.enlist(cell, (word & FLAGS) as u32);
        }
        Ok(())
    }

    /// Brings a live and woken slot into the queue unless it is paused.
    fn enlist(&self, cell: &Slot<T>, slot: u32) {
        let state = cell.state.get();
        if state & PAUSED != 0 {
            return;
        }
        self.count(cell, state);
        if state & LISTED == 0 {
            cell.state.set(state | LISTED);
            self.append(&self.lane_of(cell).queue, slot, cell);
        }
    }

    /// Queues a new slot.
    pub(crate) fn enqueue(&self, slot: u32) {
        self.place(|lane| &lane.queue, slot, 0);
    }

    /// Puts a new slot at the head of the next round, behind what was deferred before it.
    pub(crate) fn defer(&self, slot: u32) {
        self.place(|lane| &lane.deferred, slot, 0);
    }

    /// Puts a new slot into the next turn.
    pub(crate) fn next_turn(&self, slot: u32) {
        self.place(|_| &self.next_turn, slot, LATER);
    }

    #[inline(always)] // one list is known at compile time
    fn place<'a>(&'a self, list: impl FnOnce(&'a Lane) -> &'a List, slot: u32, later: usize) {
        let cell = self.slots.grow(slot);
        let state = cell.state.get();
        // A recycled slot is never listed (Listed Once), so a new one may go anywhere.
        debug_assert!(state & (LIVE | LISTED) == LIVE);
        cell.state.set(state | LISTED | WOKEN | later);
        self.append(list(self.lane_of(cell)), slot, cell);
        self.count(cell, later);
    }

    /// Counts an entry that became due; `state` says in which list it is.
    #[inline]
    fn count(&self, cell: &Slot<T>, state: usize) {
        let counter = if state & LATER == 0 { &self.due } else { &self.later };
        counter.set(counter.get() + 1);
        if state & LATER == 0 {
            self.count_in_lane(cell, 1);
        }
    }

    /// Counts an entry that is due no more.
    #[cold] // most items end, and are polled, unlisted
    fn uncount(&self, cell: &Slot<T>, state: usize) {
        let counter = if state & LATER == 0 { &self.due } else { &self.later };
        counter.set(counter.get() - 1);
        if state & LATER == 0 {
            self.count_in_lane(cell, -1);
        }
    }

    #[inline]
    fn append(&self, list: &List, slot: u32, cell: &Slot<T>) {
        cell.next.set(NONE);
        let tail = list.tail.replace(slot);
        match self.slots.near(tail) {
            Some(last) => last.next.set(slot),
            // Asked here, not first: it is beyond the first segment too.
            None if tail == NONE => list.head.set(slot),
            None => self.link_far(tail, slot),
        }
    }

    #[inline(never)]
    fn link_far(&self, tail: u32, slot: u32) {
        if let Some(last) = self.slots.get(tail) {
            last.next.set(slot);
        }
    }

    /// Takes the next item of the first lane to poll, or `None` if its round is over.
    #[inline]
    pub(crate) fn pop(&self) -> Option<Entry<'_, T>> {
        self.pop_of(&self.first)
    }

    #[inline(always)] // into the loop of the turn, where the lane is known
    fn pop_of(&self, lane: &Lane) -> Option<Entry<'_, T>> {
        loop {
            let slot = lane.round.head.get();
            let cell = match self.slots.near(slot) {
                Some(cell) => cell,
                None if slot == NONE => return None,
                None => self.slots.get(slot)?,
            };
            lane.round.head.set(cell.next.get());
            let state = cell.state.get();
            if state & (LIVE | WOKEN | PAUSED) == LIVE | WOKEN {
                cell.state.set(state & !(LISTED | WOKEN));
                self.due.set(self.due.get() - 1);
                return Some(Entry { slot, state, cell });
            }
            // A stale entry.
            cell.state.set(state & !LISTED);
            if state & LIVE == 0 {
                self.recycle(slot, cell);
            }
        }
    }

    /// Takes one item out of its order, to be polled now by a phase.
    ///
    /// Returns `None` if it may not run: dead, or paused, which remembers that it was woken.
    pub(crate) fn take_out_of_order(&self, slot: u32) -> Option<Entry<'_, T>> {
        let cell = self.slots.get(slot)?;
        let state = cell.state.get();
        if state & LIVE == 0 || state & PAUSED != 0 {
            cell.state.set(state | if state & LIVE != 0 { WOKEN } else { 0 });
            return None;
        }
        if state & (LISTED | WOKEN) == LISTED | WOKEN {
            self.uncount(cell, state);
        }
        cell.state.set(state & !WOKEN);
        Some(Entry { slot, state, cell })
    }

    /// Returns how many items are due, those of the next turn included.
    #[inline]
    pub(crate) fn due(&self) -> usize {
        self.due.get() + self.later.get()
    }

    /// Whether nothing is due in this turn any more. Stale entries may be listed still: the next round
    /// drops them.
    #[inline]
    pub(crate) fn is_idle(&self) -> bool {
        self.due.get() == 0
    }

    /// Returns what is kept in a slot.
    #[inline]
    pub(crate) fn content(&self, slot: u32) -> Option<&T> {
        self.slots.get(slot).map(|cell| &cell.content)
    }

    /// Returns one more than the highest slot ever used.
    pub(crate) fn used(&self) -> u32 {
        self.used.get()
    }
}

impl<T> std::fmt::Debug for RunQueue<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RunQueue").field("due", &self.due).field("used", &self.used).finish()
    }
}

#[cfg(test)]
mod tests;
