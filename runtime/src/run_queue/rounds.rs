//! Rounds and turns: when what was queued becomes what runs.

use super::slot::{LATER, List};
use super::{Lane, NONE, RunQueue};

impl<T: Default> RunQueue<T> {
    /// Begins a round of what is queued now: what was deferred first, then what a turn that ended
    /// early left of its round. Returns whether anything is due.
    ///
    /// The round is a list of its own, not a number of items: some of it may be cancelled meanwhile,
    /// and then what was woken meanwhile must not take their places.
    #[inline]
    pub(crate) fn begin_round(&self) -> bool {
        self.begin_round_of(&self.first);
        self.due.get() != 0 || self.drop_stale()
    }

    #[inline(always)] // into the loop of the turn, where the lane is known
    pub(super) fn begin_round_of(&self, lane: &Lane) {
        if lane.deferred.head.get() == NONE && lane.round.head.get() == NONE {
            lane.round.head.set(lane.queue.head.replace(NONE));
            lane.round.tail.set(lane.queue.tail.replace(NONE));
        } else {
            self.join_round(lane);
        }
    }

    /// The rarer way to begin a round.
    #[cold]
    fn join_round(&self, lane: &Lane) {
        self.splice_back(&lane.round, &lane.deferred);
        self.splice_back(&lane.deferred, &lane.round);
        self.splice_back(&lane.queue, &lane.round);
    }

    /// Ends a round that has stale entries at most: nobody would pop them, and their slots would never
    /// be free again. Returns that nothing is due.
    fn drop_stale(&self) -> bool {
        let none = self.pop();
        debug_assert!(none.is_none(), "Counted");
        false
    }

    /// Begins a turn: what waited for it joins the queue.
    pub(crate) fn begin_turn(&self) {
        let mut slot = self.next_turn.head.get();
        if slot == NONE {
            return;
        }
        if self.has_lanes() {
            return self.begin_turn_of_lanes();
        }
        while let Some(cell) = self.slots.get(slot) {
            cell.state.set(cell.state.get() & !LATER);
            slot = cell.next.get();
        }
        self.due.set(self.due.get() + self.later.replace(0));
        self.splice_back(&self.next_turn, &self.first.queue);
    }

    /// Moves all of `from` behind what is in `to`.
    #[inline]
    fn splice_back(&self, from: &List, to: &List) {
        let head = from.head.replace(NONE);
        if head == NONE {
            return;
        }
        let last = to.tail.replace(from.tail.replace(NONE));
        if to.head.get() == NONE {
            to.head.set(head);
        } else if let Some(cell) = self.slots.get(last) {
            cell.next.set(head);
        }
    }
}
