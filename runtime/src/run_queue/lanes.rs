//! Lanes: deficit round robin by time among up to eight queues.
//!
//! Each lane has rounds of its own. The turn visits the lanes that have work in a circle: a visit adds the
//! lane's share (its weight times the quantum) to its credit, the lane runs items while its credit is
//! above zero, and each poll is charged what it took. A lane may overdraw by one item, and pays that back
//! before it runs again; one with nothing to run starts afresh.
//!
//! So an item that is woken while its lane has nothing to run waits, at most, until each other lane has
//! used its share and overdrawn it by its longest item: see `longest_wait`.
//!
//! With one lane none of this exists, and the turn does not ask.

use std::cell::Cell;

use super::slot::{FLAGS, LANE, LANED, LISTED, LIVE, Slot};
use super::{Entry, Lane, NONE, Place, RunQueue};

/// How many lanes there can be.
const LANES: usize = 8;

/// All lanes, the first apart from its lists.
pub(super) struct Lanes {
    /// The lists of each; those of the first are in the queue itself.
    lists: [Lane; LANES],
    shares: [Share; LANES],
    count: Cell<usize>,
    /// The lane that runs now.
    current: Cell<usize>,
}

/// What one lane may use.
struct Share {
    /// Time a visit adds, in nanoseconds.
    quantum: Cell<i64>,
    /// Time left, below zero if overdrawn, in nanoseconds.
    credit: Cell<i64>,
}

impl Share {
    const fn new() -> Self {
        Self { quantum: Cell::new(0), credit: Cell::new(0) }
    }

    /// Adds what so many visits add. Never more than one share is there to use: what a lane had left when
    /// its items were cancelled or paused is not saved up.
    fn visit(&self, times: i64) -> bool {
        let added = self.quantum.get().saturating_mul(times);
        let credit = self.credit.get().saturating_add(added).min(self.quantum.get());
        self.credit.set(credit);
        credit > 0
    }
}

impl Lanes {
    fn new() -> Self {
        Self {
            lists: [const { Lane::new() }; LANES],
            shares: [const { Share::new() }; LANES],
            count: Cell::new(1),
            current: Cell::new(0),
        }
    }
}

impl<T: Default> RunQueue<T> {
    /// Makes a lane with the share given, in nanoseconds. The first time, the items that are in none get
    /// `first`. `None`: there are as many as can be.
    pub(crate) fn add_lane(&self, share: u64, first: u64) -> Option<u8> {
        let lanes = self.lanes.get_or_init(|| Box::new(Lanes::new()));
        let lane = lanes.count.get();
        if lane == LANES {
            return None;
        }
        lanes.count.set(lane + 1);
        if lane == 1 {
            self.set_share(0, first);
        }
        self.set_share(lane as u8, share);
        Some(lane as u8)
    }

    /// Sets the time that a visit adds to a lane, in nanoseconds.
    pub(crate) fn set_share(&self, lane: u8, share: u64) {
        if let Some(share_of) = self.lanes.get().and_then(|l| l.shares.get(usize::from(lane))) {
            share_of.quantum.set(i64::try_from(share).unwrap_or(i64::MAX).max(1));
        }
    }

    /// Whether there is more than the first lane.
    #[inline]
    pub(crate) fn has_lanes(&self) -> bool {
        self.lanes.get().is_some()
    }

    /// Puts a new slot, which is in no list yet, into a lane.
    pub(crate) fn put_in_lane(&self, Place { cell, .. }: Place<'_, T>, lane: u8) {
        if lane == 0 {
            return;
        }
        debug_assert!(cell.state.get() & (LIVE | LISTED) == LIVE && usize::from(lane) < LANES);
        cell.marks.set(lane);
        cell.state.set(cell.state.get() | LANED);
    }

    /// How long an item waits for the other lanes, in nanoseconds, if it is woken while its own has nothing
    /// to run and no item anywhere takes longer than `longest` a poll.
    pub(crate) fn longest_wait(&self, lane: u8, longest: u64) -> u64 {
        let Some(lanes) = self.lanes.get() else { return longest };
        let others = (0..lanes.count.get()).filter(|&other| other != usize::from(lane));
        let waits = others.map(|other| lanes.shares[other].quantum.get() as u64 + longest);
        waits.fold(longest, u64::saturating_add)
    }

    /// Returns the number of the lane in which the item of a slot is; the first one's if there is none.
    pub(crate) fn lane_number(&self, slot: u32) -> u8 {
        self.slots.get(slot).map_or(0, |cell| cell.marks.get() & LANE)
    }

    #[inline]
    pub(super) fn lane_of(&self, cell: &Slot<T>) -> &Lane {
        self.lists_of(usize::from(cell.marks.get() & LANE))
    }

    #[inline]
    fn lists_of(&self, lane: usize) -> &Lane {
        if lane == 0 { &self.first } else { self.lists_of_other(lane) }
    }

    #[cold]
    fn lists_of_other(&self, lane: usize) -> &Lane {
        self.lanes.get().map_or(&self.first, |lanes| &lanes.lists[lane])
    }

    /// Whether anything is due in another lane than the first.
    #[inline]
    pub(super) fn is_other_lane_due(&self) -> bool {
        self.lanes.get().is_some_and(|lanes| (1..lanes.count.get()).any(|lane| self.is_due(lane)))
    }

    fn is_due(&self, lane: usize) -> bool {
        self.has_due_in(self.lists_of(lane))
    }

    /// Takes the next item to poll, of whatever lane; `None` if nothing is due.
    pub(crate) fn pop_fair(&self) -> Option<Entry<'_, T>> {
        let lanes = self.lanes.get()?;
        let lists = self.lists_of(self.choose(lanes)?);
        let rest = if lists.queue.last.get() == NONE { None } else { self.pop_of(lists) };
        rest.or_else(|| {
            self.begin_round_of(lists);
            self.pop_of(lists)
        })
    }

    /// Drops what is stale in lanes that have nothing to run, which no visit would: their slots would not be
    /// free again while another lane is busy.
    pub(crate) fn drop_stale_of_idle_lanes(&self) {
        let Some(lanes) = self.lanes.get() else { return };
        for lane in 0..lanes.count.get() {
            self.is_due(lane);
        }
    }

    /// Charges a lane what a poll of one of its items took, in nanoseconds.
    pub(crate) fn charge(&self, lane: usize, time: u64) {
        let Some(lanes) = self.lanes.get() else { return };
        let credit = &lanes.shares[lane].credit;
        credit.set(credit.get().saturating_sub_unsigned(time));
        if !self.is_due(lane) {
            credit.set(0);
        }
    }

    /// Chooses the lane that runs next.
    fn choose(&self, lanes: &Lanes) -> Option<usize> {
        let (current, count) = (lanes.current.get(), lanes.count.get());
        if lanes.shares[current].credit.get() > 0 && self.is_due(current) {
            return Some(current);
        }
        let due = |lane: &usize| self.is_due(*lane);
        let circle = || (current + 1..=current + count).map(|n| n % count).filter(due);
        let chosen = circle().find(|&lane| lanes.shares[lane].visit(1)).or_else(|| {
            // All are overdrawn: go round as often as the first to come out needs.
            let needs = |lane| {
                let share: &Share = &lanes.shares[lane];
                -share.credit.get() / share.quantum.get() + 1
            };
            let times = circle().map(needs).min()?;
            let mut chosen = None;
            circle().for_each(|lane| {
                // The last time round ends with the chosen one: those behind it are visited when it has run.
                let visits = times - i64::from(chosen.is_some());
                if lanes.shares[lane].visit(visits) {
                    chosen = Some(lane);
                }
            });
            chosen
        })?;
        lanes.current.set(chosen);
        Some(chosen)
    }

    /// Ends the rounds of all lanes, wherever they are.
    pub(super) fn end_rounds_of_lanes(&self) {
        if let Some(lanes) = self.lanes.get() {
            lanes.lists.iter().for_each(|lane| lane.queue.last.set(NONE));
        }
    }

    /// Begins a turn where there are lanes: what waited for it joins the queue of its lane.
    pub(super) fn begin_turn_of_lanes(&self) {
        let mut slot = self.next_turn.head.replace(NONE);
        while let Some(cell) = self.slots.get(slot) {
            let next = cell.next.get();
            self.append(&self.lane_of(cell).queue, slot, cell);
            slot = next;
        }
    }
}

const _: () = assert!(LANES - 1 == LANE as usize && LANED < FLAGS);

#[cfg(test)]
mod tests;
