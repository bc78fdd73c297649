//! Pausing, resuming and cancelling: what changes an item's state besides waking it.

use super::slot::{CANCEL, ESCAPED, FLAGS, LISTED, LIVE, PAUSED, Slot, WOKEN};
use super::{NONE, ROOT, RunQueue};

impl<T: Default> RunQueue<T> {
    /// Stops polls of the item, which is alive, until `resume`; wakes are remembered meanwhile.
    pub(crate) fn pause(&self, slot: u32) {
        let Some(cell) = self.slots.get(slot) else { return };
        debug_assert!(cell.state.get() & LIVE != 0, "slot {slot} paused for its next item");
        cell.state.set(cell.state.get() | PAUSED);
    }

    /// Ends a pause; an item woken meanwhile is queued.
    pub(crate) fn resume(&self, slot: u32) {
        let Some(cell) = self.slots.get(slot) else { return };
        let state = cell.state.get();
        if state & PAUSED == 0 {
            return;
        }
        cell.state.set(state & !PAUSED);
        if state & WOKEN != 0 {
            self.enlist(cell, slot);
        }
    }

    /// Marks the slot of the root future live, keeping its generation.
    pub(crate) fn revive(&self, slot: u32) {
        let cell = self.slots.grow(slot);
        if cell.state.get() & LIVE != 0 {
            // Of one that was forgotten, and was never freed.
            self.retire(slot, cell);
        }
        self.forget_entry(slot, cell);
        cell.state.set(cell.state.get() | LIVE);
    }

    /// Ends the use of the root future's slot: its wakers are stale from now on.
    pub(crate) fn free_root(&self) {
        self.retire(ROOT, self.slots.grow(ROOT));
    }

    /// Takes the stale entry that an earlier root future left, if it did, out of the queue: the next one would run
    /// in its place, before what was queued before it. Of a run that was stopped, so the way there may be long.
    fn forget_entry(&self, root: u32, cell: &Slot<T>) {
        if cell.state.get() & LISTED == 0 {
            return;
        }
        let list = &self.first.queue;
        let (mut before, mut slot) = (NONE, list.head.get());
        while slot != root {
            let Some(other) = self.slots.get(slot) else { return };
            (before, slot) = (slot, other.next.get());
        }
        match self.slots.get(before) {
            Some(other) => other.next.set(cell.next.get()),
            None => list.head.set(cell.next.get()),
        }
        for end in [&list.tail, &list.last] {
            if end.get() == root {
                end.set(before);
            }
        }
        cell.state.set(cell.state.get() & !LISTED);
    }

    /// Asks that the item end as its poll returns.
    pub(crate) fn request_cancel(&self, slot: u32) {
        if let Some(cell) = self.slots.get(slot) {
            cell.state.set(cell.state.get() | CANCEL);
        }
    }

    /// Whether the item was paused or cancelled during its poll.
    #[inline]
    pub(crate) fn wants_to_stop(&self, slot: u32) -> bool {
        self.slots.get(slot).is_some_and(|cell| cell.state.get() & (CANCEL | PAUSED) != 0)
    }

    /// Notes that a waker of this word is in hands that are not ours, until the item ends. `Err`: it is
    /// another loop's.
    pub(crate) fn note_escape(&self, word: usize) -> Result<(), ()> {
        let Some(cell) = self.slots.get((word & FLAGS) as u32) else { return Err(()) };
        let state = cell.state.get();
        if (state ^ word) & !FLAGS != 0 || state & LIVE == 0 {
            // A stale word of this loop wakes nobody.
            return if self.is_ours(word) { Ok(()) } else { Err(()) };
        }
        if cell.marks.get() & ESCAPED == 0 {
            cell.marks.set(cell.marks.get() | ESCAPED);
            self.escaped.set(self.escaped.get() + 1);
        }
        Ok(())
    }

    /// The slot's item ended: its lane and its escape are not the next one's.
    #[cold]
    pub(super) fn forget_marks(&self, cell: &Slot<T>) {
        if cell.marks.take() & ESCAPED != 0 {
            self.escaped.set(self.escaped.get() - 1);
        }
    }

    /// Whether somebody else's code holds a waker of a live item.
    pub(crate) fn any_escaped(&self) -> bool {
        self.escaped.get() != 0
    }

    /// Whether the item of a word, of whatever loop, is one of ours and paused.
    pub(crate) fn is_word_paused(&self, word: usize) -> bool {
        self.slots.get((word & FLAGS) as u32).is_some_and(|cell| {
            let state = cell.state.get();
            (state ^ word) & !FLAGS == 0 && state & PAUSED != 0
        })
    }

    /// Whether the item is paused.
    pub(crate) fn is_paused(&self, slot: u32) -> bool {
        self.slots.get(slot).is_some_and(|cell| cell.state.get() & PAUSED != 0)
    }

    /// Whether somebody woke the item, and it did not run since.
    pub(crate) fn is_woken(&self, slot: u32) -> bool {
        self.slots.get(slot).is_some_and(|cell| cell.state.get() & WOKEN != 0)
    }
}
