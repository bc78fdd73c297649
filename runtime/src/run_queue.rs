//! The run queue: which items run next, and in what order. Knows nothing of futures.
//!
//! Each item has a slot here: a state word, a link, and a place for its user to keep the item in, so
//! that a poll looks its slot up once. The queue is a list through the slots, so
//! queueing allocates nothing and lanes cost two words each. `wake` talks to it at home, the turn
//! pops from it, `task` allocates and frees slots.
//!
//! Invariant (Listed Once): a slot is in at most one list, and exactly while `LISTED` is set. Slots leave a
//! list only at its head (but for the root future's, before its next use), so a slot that was freed, paused or
//! run out of turn while listed is a *stale entry* until it is popped; a freed one joins the free list only then.
//!
//! Nothing is counted: something is due if a list still has an entry once the stale ones at its head
//! were dropped.

use std::cell::{Cell, OnceCell};

use crate::segments::Segments;

use self::lanes::Lanes;
pub(crate) use self::slot::{Entry, Place};
use self::slot::{FLAGS, LISTED, LIVE, List, Slot, WOKEN, generation_of, may_run, word};

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

/// What runs of one lane, and when.
struct Lane {
    /// What was woken, first in first out: what is left of the round, up to its `last`, then what runs in
    /// the next one.
    queue: List,
    /// What `defer` put at the head of the next round.
    deferred: List,
}

impl Lane {
    const fn new() -> Self {
        Self { queue: List::new(), deferred: List::new() }
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
    /// Whether a turn has begun and is not over.
    in_turn: Cell<bool>,
    /// Freed slots, last freed first, linked through `next`.
    free: Cell<u32>,
    /// Slots ever used.
    used: Cell<u32>,
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
            in_turn: Cell::new(false),
            free: Cell::new(NONE),
            used: Cell::new(MAIL + 1),
            escaped: Cell::new(0),
        };
        queue.slots.grow(MAIL);
        queue.slots.grow(ROOT).state.set(queue.unused);
        queue
    }

    /// Takes a slot for a new item, or `None` if all are taken. `prepare` is called for one that was never used.
    pub(crate) fn allocate(&self, prepare: impl FnOnce(u32)) -> Option<Place<'_, T>> {
        let slot = self.free.get();
        if let Some(cell) = self.slots.get(slot) {
            return Some(self.reuse(slot, cell));
        }
        let slot = self.used.get();
        if slot >= (1 << SLOT_BITS) - 1 {
            return None;
        }
        prepare(slot);
        let cell = self.slots.grow(slot);
        cell.state.set(self.unused | LIVE);
        self.used.set(slot + 1);
        Some(Place { slot, cell })
    }

    /// Does what `allocate` does in the usual case: one of the first slots is free again.
    #[inline]
    pub(crate) fn allocate_near(&self) -> Option<Place<'_, T>> {
        let slot = self.free.get();
        Some(self.reuse(slot, self.slots.near(slot)?))
    }

    /// Takes the first slot of the free list, which is this one.
    #[inline]
    fn reuse<'a>(&self, slot: u32, cell: &'a Slot<T>) -> Place<'a, T> {
        self.free.set(cell.next.get());
        cell.state.set(cell.state.get() | LIVE);
        Place { slot, cell }
    }

    /// Ends the use of an item's slot: its number is stale from now on.
    #[inline(always)] // measured: 1 % of a task's life
    pub(crate) fn free(&self, place: Place<'_, T>) {
        debug_assert!(place.slot != ROOT);
        if self.retire(place.slot, place.cell) {
            self.recycle(place.slot, place.cell);
        }
    }

    /// Takes a slot that is about to be freed out of what waits for the next turn, if it is the first of
    /// that: so what is set and cancelled between turns leaves no stale entry.
    pub(crate) fn withdraw(&self, Place { slot, cell }: Place<'_, T>) {
        if self.next_turn.head.get() == slot {
            self.unlink(&self.next_turn, slot, cell);
            cell.state.set(cell.state.get() & !LISTED);
        }
    }

    /// Returns whether the slot is in no list, stale entries included.
    #[inline(always)] // into both
    fn retire(&self, slot: u32, cell: &Slot<T>) -> bool {
        let state = cell.state.get();
        debug_assert!(state & LIVE != 0, "slot {slot} freed twice");
        let next = word(self.loop_bits, 0, generation_of(state).wrapping_add(1));
        cell.state.set(next | (state & LISTED));
        if cell.marks.get() != 0 {
            self.forget_marks(cell);
        }
        state & LISTED == 0
    }

    #[inline]
    fn recycle(&self, slot: u32, cell: &Slot<T>) {
        cell.next.set(self.free.get());
        self.free.set(slot);
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
    pub(crate) fn wake(&self, word: usize) -> Result<(), ()> {
        match self.slots.get((word & FLAGS) as u32) {
            Some(cell) if self.wake_at(cell, word) => Ok(()),
            Some(cell) => self.wake_flagged(cell, word),
            None if self.is_ours(word) => Ok(()),
            None => Err(()),
        }
    }

    /// Does what `wake` does in the usual cases, and says whether it is one: it is one of the first slots,
    /// whose item is idle in the first lane, or was woken before.
    #[inline(always)] // once per event
    pub(crate) fn wake_idle(&self, word: usize) -> bool {
        self.slots.near((word & FLAGS) as u32).is_some_and(|cell| {
            self.wake_at(cell, word) || cell.state.get() == word & !FLAGS | LIVE | LISTED | WOKEN
        })
    }

    #[inline(always)] // into both
    fn wake_at(&self, cell: &Slot<T>, word: usize) -> bool {
        // One comparison: this loop, this generation, and no flag but that it lives; so the first lane.
        let idle = word & !FLAGS | LIVE;
        if cell.state.get() != idle {
            return false;
        }
        cell.state.set(idle | LISTED | WOKEN);
        self.append(&self.first.queue, (word & FLAGS) as u32, cell);
        true
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
        if may_run(state) && state & LISTED == 0 {
            cell.state.set(state | LISTED);
            self.append(&self.lane_of(cell).queue, slot, cell);
        }
    }

    /// Queues a new slot.
    #[inline]
    pub(crate) fn enqueue(&self, place: Place<'_, T>) {
        self.put(&self.lane_of(place.cell).queue, place);
    }

    /// Puts a new slot at the head of the next round, behind what was deferred before it.
    pub(crate) fn defer(&self, place: Place<'_, T>) {
        self.put(&self.lane_of(place.cell).deferred, place);
    }

    /// Puts a new slot into the next turn.
    pub(crate) fn next_turn(&self, place: Place<'_, T>) {
        self.put(&self.next_turn, place);
    }

    #[inline]
    fn put(&self, list: &List, Place { slot, cell }: Place<'_, T>) {
        let state = cell.state.get();
        // A recycled slot is never listed (Listed Once), so a new one may go anywhere.
        debug_assert!(state & (LIVE | LISTED) == LIVE);
        cell.state.set(state | LISTED | WOKEN);
        self.append(list, slot, cell);
    }

    #[inline]
    fn append(&self, list: &List, slot: u32, cell: &Slot<T>) {
        cell.next.set(NONE);
        let tail = list.tail.replace(slot);
        if list.head.get() == NONE {
            return list.head.set(slot);
        }
        match self.slots.near(tail) {
            Some(last) => last.next.set(slot),
            None => self.link(tail, slot),
        }
    }

    #[inline(never)]
    fn link(&self, tail: u32, slot: u32) {
        if let Some(last) = self.slots.get(tail) {
            last.next.set(slot);
        }
    }

    /// Takes the next item of the first lane to poll, in a round that is not over; `None` if nothing of it
    /// may run any more.
    #[inline]
    pub(crate) fn pop(&self) -> Option<Entry<'_, T>> {
        self.pop_of(&self.first)
    }

    /// As `pop`, in a round that may be over.
    pub(crate) fn pop_of_round(&self) -> Option<Entry<'_, T>> {
        if self.is_round_over() { None } else { self.pop() }
    }

    /// Whether there is nothing left of the first lane's round.
    #[inline]
    pub(crate) fn is_round_over(&self) -> bool {
        self.first.queue.last.get() == NONE
    }

    #[inline(always)] // into the loop of the turn, where the lane is known
    fn pop_of(&self, lane: &Lane) -> Option<Entry<'_, T>> {
        loop {
            let slot = lane.queue.head.get();
            let cell = self.slots.get(slot)?;
            self.unlink(&lane.queue, slot, cell);
            let state = cell.state.get();
            if may_run(state) {
                cell.state.set(state & !(LISTED | WOKEN));
                return Some(Entry { state, place: Place { slot, cell } });
            }
            self.unlist_stale(slot, cell);
            if lane.queue.last.get() == NONE {
                return None;
            }
        }
    }

    /// Takes the head, which is this slot, out of a list.
    #[inline(always)] // into `pop_of`
    fn unlink(&self, list: &List, slot: u32, cell: &Slot<T>) {
        list.head.set(cell.next.get());
        if list.last.get() == slot {
            list.last.set(NONE);
        }
    }

    /// Says that a stale entry is in no list any more.
    fn unlist_stale(&self, slot: u32, cell: &Slot<T>) {
        let state = cell.state.get() & !LISTED;
        cell.state.set(state);
        if state & LIVE == 0 && slot != ROOT {
            self.recycle(slot, cell);
        }
    }

    /// Takes one item out of its order, to be polled now by a phase.
    ///
    /// Returns `None` if it may not run: dead, or paused, which remembers that it was woken.
    pub(crate) fn take_out_of_order(&self, slot: u32) -> Option<Entry<'_, T>> {
        let cell = self.slots.get(slot)?;
        let state = cell.state.get();
        if !may_run(state | WOKEN) {
            cell.state.set(state | if state & LIVE != 0 { WOKEN } else { 0 });
            return None;
        }
        cell.state.set(state & !WOKEN);
        Some(Entry { state, place: Place { slot, cell } })
    }

    /// Returns what is kept in a slot.
    #[inline]
    pub(crate) fn content(&self, slot: u32) -> Option<&T> {
        self.slots.get(slot).map(|cell| &cell.content)
    }

    /// Looks a slot up, to be used several times.
    pub(crate) fn place(&self, slot: u32) -> Option<Place<'_, T>> {
        self.slots.get(slot).map(|cell| Place { slot, cell })
    }

    /// Returns one more than the highest slot ever used.
    pub(crate) fn used(&self) -> u32 {
        self.used.get()
    }
}

impl<T> std::fmt::Debug for RunQueue<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RunQueue").field("used", &self.used).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
