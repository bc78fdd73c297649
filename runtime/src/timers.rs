//! The timers. A hierarchical wheel in front of an exact heap: deadline in, waker out.
//!
//! Who talks to it: the turn (`next_deadline` before it parks, `begin_turn` and `fire` when it
//! collects) and the timer futures (`insert`, `reset`, `set_waiter`, `leave`, `remove`). It knows only
//! `core::task::Waker`, and words that stand for one. Absent on purpose: clocks (time is an argument,
//! `u64` nanoseconds since the loop's epoch), tasks and callbacks. No waker is called or dropped here:
//! each is handed out.
//!
//! A far timer waits in a bucket of the wheel, where inserting and removing it cost a few stores
//! however many others live. Only a timer whose bucket has come up pays for an exact place in the
//! heap: one that is cancelled in time (a server's usual timeout) is never compared with another.
//!
//! Invariants:
//! - *Lower Bound*: the place of a node (its bucket's start, its heap entry) is never later than
//!   the node's `(deadline, seq)`. A later reset may thus leave the node where it is; who takes a
//!   node from its place looks at the node's own deadline and files it anew if that is later.
//! - *One Place*: `Node::place` names the only structure that holds the node.
//! - *Owner Frees*: a fired node stays until its owner removes it, so that a key is valid
//!   until `remove` and needs no generation.

mod heap;
mod leaving;
mod nodes;
mod wheel;

use core::task::Waker;

use self::heap::{Entry, Heap};
use self::leaving::Leaving;
use self::nodes::{Node, Nodes, Place};
pub(crate) use self::nodes::{TimerKey, Waiter};
use self::wheel::{Wheel, keys};

/// The deadline that never comes: saturated sums end here.
const NEVER: u64 = u64::MAX;

/// No node, or no entry: the end of a list.
const NIL: u32 = u32::MAX;

/// A bucket that holds at most this many nodes goes to the heap before its time (the sparse rule).
const SPARSE: u32 = 8;

/// Buffers for more nodes than this are released when the last node is gone.
const KEPT: usize = 1024;

/// All timers of one loop.
#[derive(Debug)]
pub(crate) struct Timers {
    /// Every timer from `insert` to `remove`, fired ones included; and those that are leaving.
    nodes: Nodes,
    /// Removed timers whose nodes have yet to be cut out of their places.
    leaving: Leaving,
    /// Timers whose time is far: cheap to leave, known only to the bucket.
    wheel: Wheel,
    /// Timers whose bucket came up: exact order.
    heap: Heap,
    /// Due timers that are too new for `held_mark`, set aside so that they hide no older one.
    held: Vec<u32>,
    /// The mark under which `held` was filled; another mark releases them.
    held_mark: u64,
    /// The latest time seen. Never goes back.
    now: u64,
    /// The next insertion's number. 64 bits: one a nanosecond wraps after 584 years.
    seq: u64,
}

impl Timers {
    /// Makes a set without timers; allocates nothing before the first insert.
    pub(crate) fn new() -> Self {
        Self {
            nodes: Nodes::new(),
            leaving: Leaving::new(),
            wheel: Wheel::new(),
            heap: Heap::new(),
            held: Vec::new(),
            held_mark: 0,
            now: 0,
            seq: 0,
        }
    }

    /// Counts the timers held, those that fired but were not removed included.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.nodes.len() - self.leaving.len()
    }

    /// Adds a timer that wakes `waiter` at `deadline`, or never if that is `u64::MAX`.
    ///
    /// # Panics
    ///
    /// If 2^31 - 1 timers are held already.
    #[inline]
    pub(crate) fn insert(&mut self, deadline: u64, waiter: Waiter) -> TimerKey {
        match waiter {
            Waiter::Item(word) => self.insert_item(deadline, word),
            Waiter::Foreign(waker) => {
                let key = self.insert_item(deadline, 0);
                self.nodes.set_foreign(key.node(), waker)
            }
        }
    }

    /// `insert`, for an item.
    #[inline]
    pub(crate) fn insert_item(&mut self, deadline: u64, word: usize) -> TimerKey {
        let Some(bucket) = self.wheel.bucket_of(deadline) else {
            return self.insert_rare(deadline, word);
        };
        let Some(key) = self.nodes.first_free() else { return self.insert_rare(deadline, word) };
        let Some(index) = self.wheel.append(bucket, key) else {
            return self.insert_rare(deadline, word);
        };
        let seq = self.next_seq();
        let mut node = Node::new(deadline, seq, word);
        (node.place, node.bucket, node.index) = (Place::Bucket, bucket as u16, index);
        self.nodes.take_free(key, node);
        TimerKey::ours(key)
    }

    /// `insert_item`, when the wheel has no bucket for it, or no room in it, or no node is free.
    #[inline(never)]
    fn insert_rare(&mut self, deadline: u64, word: usize) -> TimerKey {
        let seq = self.next_seq();
        let key = self.nodes.add(Node::new(deadline, seq, word));
        self.file(key);
        TimerKey::ours(key)
    }

    /// Gives a timer a new deadline. Counts as a new insertion; arms a fired timer again.
    ///
    /// Moving the deadline back costs a few stores: the node stays where it is filed until that
    /// place comes up. Until then `next_deadline` may be too early for it, once.
    #[inline]
    pub(crate) fn reset(&mut self, key: TimerKey, deadline: u64) {
        let seq = self.next_seq();
        let key = key.node();
        let node = &mut self.nodes[key];
        debug_assert!(node.place != Place::Free, "reset of a removed timer");
        let stays = match node.place {
            Place::Bucket | Place::Heap => deadline >= node.deadline,
            Place::Held => true, // filed by its own deadline when it is released
            Place::Unfiled | Place::Fired | Place::Free => false,
        };
        node.deadline = deadline;
        node.seq = seq;
        if !stays || deadline == NEVER {
            self.unfile(key);
            self.file(key);
        }
    }

    /// Stores who is woken at the deadline and returns the foreign waker that was, for the caller to
    /// drop with no borrow held.
    #[inline]
    pub(crate) fn set_waiter(&mut self, key: &mut TimerKey, waiter: Waiter) -> Option<Waker> {
        let node = key.node();
        let old = if key.is_foreign() { self.take_foreign(node) } else { None };
        *key = self.nodes.set_waiter(node, waiter);
        old
    }

    /// Tells whether the deadline came and the timer was not reset since.
    #[inline]
    pub(crate) fn is_fired(&self, key: TimerKey) -> bool {
        self.nodes[key.node()].place == Place::Fired
    }

    /// Takes out all who wait: nothing here will fire any more.
    pub(crate) fn take_waiters(&mut self) -> Vec<Waiter> {
        self.let_go();
        self.nodes.take_waiters()
    }

    /// Returns a time, no later than the earliest deadline, at which `fire` must be called;
    /// `None` if nothing can fire. Early only for a crowded bucket or after a later reset.
    #[inline]
    pub(crate) fn next_deadline(&mut self) -> Option<u64> {
        self.settle();
        if self.nodes.len() == 0 { None } else { self.find_next_deadline() }
    }

    /// Begins a turn at `now`. Returns its mark: only timers inserted or reset before it fire; `None` if
    /// there are none.
    #[inline]
    pub(crate) fn begin_turn(&mut self, now: u64) -> Option<u64> {
        self.settle();
        self.advance_to(now);
        (self.nodes.len() != 0).then_some(self.seq)
    }

    /// Returns the mark of now.
    #[cfg(test)]
    pub(crate) fn mark(&self) -> u64 {
        self.seq
    }

    /// Fires the first timers, by `(deadline, seq)`, that are due at `now` and older than `mark`, and hands
    /// out who is woken: of items as many words as there is place for, up to a foreign waker, before which
    /// no later timer fires. Fewer words and no waker: there is no more.
    ///
    /// A due timer without a waiter is marked as fired and passed over. A `now` before the latest
    /// one seen counts as that one.
    pub(crate) fn fire(
        &mut self,
        now: u64,
        mark: u64,
        words: &mut [usize],
    ) -> (usize, Option<Waker>) {
        self.settle();
        self.advance_to(now);
        for (nth, place) in words.iter_mut().enumerate() {
            match self.fire_one(mark) {
                Some(Waiter::Item(word)) => *place = word,
                Some(Waiter::Foreign(waker)) => return (nth, Some(waker)),
                None => return (nth, None),
            }
        }
        (words.len(), None)
    }

    /// Fires one timer, as `fire` does.
    #[cfg(test)]
    pub(crate) fn pop_due(&mut self, now: u64, mark: u64) -> Option<Waiter> {
        let mut word = [0];
        match self.fire(now, mark, &mut word) {
            (_, Some(waker)) => Some(Waiter::Foreign(waker)),
            (taken, None) => (taken == 1).then(|| Waiter::Item(word[0])),
        }
    }

    /// Tells whether `fire` would fire a timer that is older than now.
    #[inline]
    pub(crate) fn is_due(&mut self, now: u64) -> bool {
        self.settle();
        self.advance_to(now);
        self.nodes.len() != 0 && self.due_top(self.seq).is_some()
    }

    /// Tells the time without firing anything, so that what is inserted next is filed by it.
    #[inline]
    pub(crate) fn advance_to(&mut self, now: u64) {
        self.now = self.now.max(now);
        if self.wheel.is_at(self.now) {
            return;
        }
        if self.nodes.len() == 0 { self.wheel.jump_to(self.now) } else { self.roll_wheel() }
    }

    /// Numbers an insertion.
    #[inline]
    fn next_seq(&mut self) -> u64 {
        let seq = self.seq;
        self.seq += 1;
        seq
    }

    /// Files a node that is in no place by its deadline.
    #[inline]
    fn file(&mut self, key: u32) {
        let deadline = self.nodes[key].deadline;
        let Some(bucket) = self.wheel.bucket_of(deadline) else { return self.file_rare(key) };
        let Some(index) = self.wheel.append(bucket, key) else { return self.file_rare(key) };
        let node = &mut self.nodes[key];
        (node.place, node.bucket, node.index) = (Place::Bucket, bucket as u16, index);
    }

    /// `file`, when the wheel has no bucket for the node, or no room in it.
    #[inline(never)]
    fn file_rare(&mut self, key: u32) {
        let deadline = self.nodes[key].deadline;
        if let Some(bucket) = self.wheel.bucket_of(deadline) {
            self.wheel.widen(bucket);
            self.file(key);
        } else if deadline == NEVER {
            self.nodes[key].place = Place::Unfiled;
        } else {
            self.file_now(key);
        }
    }

    /// Files a node in the heap.
    fn file_now(&mut self, key: u32) {
        let Node { deadline, seq, .. } = self.nodes[key];
        self.heap.push(&mut self.nodes, Entry { deadline, seq, key });
    }

    /// Moves the wheel to `self.now`: the nodes of each bucket that it reaches or passes are filed
    /// anew, which is the heap for those whose time has come.
    #[inline(never)]
    fn roll_wheel(&mut self) {
        self.settle();
        let mut passed = self.wheel.roll_to(self.now);
        // Bounded: each bucket once, and each emptied one ends. A later reset may send a node to
        // a bucket that is yet to be emptied; it is then filed once more, where it belongs.
        while let Some(bucket) = passed.next_bucket() {
            let entries = self.wheel.take(bucket);
            keys(&entries).for_each(|key| self.file(key));
            self.wheel.put_back(entries);
        }
    }

    /// `next_deadline`, when there are timers.
    fn find_next_deadline(&mut self) -> Option<u64> {
        self.release_held();
        // Bounded: each round empties a bucket, and a node goes back to the wheel only if a reset
        // had made it later, which filing it settles.
        loop {
            let top = self.heap.first().map(|entry| entry.deadline);
            let Some((bucket, start, last)) = self.wheel.first() else { return top };
            if top.is_some_and(|top| top <= start) {
                return top;
            }
            if self.wheel.holds_more_than(bucket, SPARSE) {
                return Some(start);
            }
            let entries = self.wheel.take(bucket);
            for key in keys(&entries) {
                if self.nodes[key].deadline <= last { self.file_now(key) } else { self.file(key) }
            }
            self.wheel.put_back(entries);
        }
    }

    /// Fires one timer, when the wheel shows `now`.
    #[inline]
    fn fire_one(&mut self, mark: u64) -> Option<Waiter> {
        // Bounded: each round fires a timer that is due or passes over it, and none is added.
        loop {
            let key = self.due_top(mark)?;
            self.heap.remove(&mut self.nodes, 0);
            self.nodes[key].place = Place::Fired;
            if let Some(waiter) = self.nodes.take_waiter(key) {
                return Some(waiter);
            }
        }
    }

    /// Brings the first timer that is due and older than `mark` to the heap's top.
    ///
    /// Newer ones that are due are set aside until the mark changes. Left on top, a deadline in the
    /// past that is set again in every turn would hide all later ones for ever.
    fn due_top(&mut self, mark: u64) -> Option<u32> {
        if mark != self.held_mark {
            self.release_held();
            self.held_mark = mark;
        }
        // Bounded: each round takes an entry that is late, or newer than the mark, off the heap.
        loop {
            let top = self.heap.first()?;
            if top.deadline > self.now {
                return None;
            }
            if self.nodes[top.key].seq != top.seq {
                // Reset since it was filed (Lower Bound).
                self.heap.remove(&mut self.nodes, 0);
                self.file(top.key);
            } else if top.seq >= mark {
                self.heap.remove(&mut self.nodes, 0);
                let node = &mut self.nodes[top.key];
                (node.place, node.index) = (Place::Held, self.held.len() as u32);
                self.held.push(top.key);
            } else {
                return Some(top.key);
            }
        }
    }

    /// Files the timers that were set aside.
    fn release_held(&mut self) {
        if !self.held.is_empty() {
            for key in core::mem::take(&mut self.held) {
                self.file(key);
            }
        }
    }
}

#[cfg(test)]
mod tests;
