//! Rounds and turns: when what was queued becomes what runs.

use super::slot::{List, may_run};
use super::{Lane, NONE, RunQueue};

impl<T: Default> RunQueue<T> {
    /// Begins a round of what is queued now: what was deferred first, then what a turn that ended
    /// early left of its round. Returns whether anything is in it, stale entries perhaps.
    ///
    /// The round ends with an entry, not after a number of items: some of it may be cancelled meanwhile,
    /// and then what was woken meanwhile must not take their places.
    #[inline]
    pub(crate) fn begin_round(&self) -> bool {
        self.begin_round_of(&self.first)
    }

    #[inline(always)] // into the loop of the turn, where the lane is known
    pub(super) fn begin_round_of(&self, lane: &Lane) -> bool {
        if lane.deferred.head.get() != NONE {
            self.splice_deferred(lane);
        }
        if lane.queue.head.get() == NONE {
            return false;
        }
        lane.queue.last.set(lane.queue.tail.get());
        true
    }

    #[cold]
    fn splice_deferred(&self, lane: &Lane) {
        let (from, to) = (&lane.deferred, &lane.queue);
        let rest = to.head.replace(from.head.replace(NONE));
        if rest == NONE {
            to.tail.set(from.tail.get());
        } else {
            self.link(from.tail.get(), rest);
        }
    }

    /// Begins a turn: what waited for it joins the queue. What a turn that ended early left of its round is part
    /// of the next one, behind what was deferred since.
    pub(crate) fn begin_turn(&self) {
        self.in_turn.set(true);
        self.first.queue.last.set(NONE);
        if self.has_lanes() {
            self.end_rounds_of_lanes();
        }
        if self.next_turn.head.get() == NONE {
            return;
        }
        if self.has_lanes() {
            return self.begin_turn_of_lanes();
        }
        self.splice_back(&self.next_turn, &self.first.queue);
    }

    /// Ends a turn.
    pub(crate) fn end_turn(&self) {
        self.in_turn.set(false);
    }

    /// Moves all of `from`, which is not empty, behind what is in `to`.
    fn splice_back(&self, from: &List, to: &List) {
        let head = from.head.replace(NONE);
        let last = to.tail.replace(from.tail.get());
        if to.head.get() == NONE {
            to.head.set(head);
        } else {
            self.link(last, head);
        }
    }

    /// Whether any item is due, those of the next turn included.
    #[inline(always)] // in every turn
    pub(crate) fn has_due(&self) -> bool {
        self.has_due_in(&self.first)
            || self.is_next_turn_due()
            || self.has_lanes() && self.is_other_lane_due()
    }

    /// Whether anything that waits for the next turn may run.
    #[inline]
    fn is_next_turn_due(&self) -> bool {
        if self.in_turn.get() { self.any_new_due() } else { self.any_due(&self.next_turn) }
    }

    /// The same inside a turn. What is paused keeps its place: resumed in this turn it must not run in it.
    fn any_new_due(&self) -> bool {
        let mut slot = self.next_turn.head.get();
        // Bounded by what was inserted in this turn.
        while let Some(cell) = self.slots.get(slot) {
            if may_run(cell.state.get()) {
                return true;
            }
            slot = cell.next.get();
        }
        false
    }

    /// Whether anything in a list may run.
    #[inline]
    fn any_due(&self, list: &List) -> bool {
        list.head.get() != NONE && self.drop_stale(list)
    }

    /// Drops the stale entries at the head of a list, whose slots would not be free again while nothing
    /// is popped. Returns whether anything is left.
    #[inline(never)]
    fn drop_stale(&self, list: &List) -> bool {
        while let Some(cell) = self.slots.get(list.head.get()) {
            if may_run(cell.state.get()) {
                return true;
            }
            let slot = list.head.get();
            self.unlink(list, slot, cell);
            self.unlist_stale(slot, cell);
        }
        false
    }

    #[inline]
    pub(super) fn has_due_in(&self, lane: &Lane) -> bool {
        self.any_due(&lane.queue) || self.any_due(&lane.deferred)
    }
}
