//! The heap. A 4-ary heap by `(deadline, seq)` that tells each node its index.
//!
//! Entries carry their rank, so that sifting compares them without a look at the nodes, to which it
//! only writes. Four children each: half a binary heap's levels, and siblings share cache lines.

use super::KEPT;
use super::nodes::{Nodes, Place};

/// Children of each entry.
const ARITY: usize = 4;

/// One filed timer. Its rank is frozen: a later reset changes only the node.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    /// The node's deadline when it was filed.
    pub(super) deadline: u64,
    /// The node's number when it was filed; another one in the node tells of a reset.
    pub(super) seq: u64,
    /// The node.
    pub(super) key: u32,
}

impl Entry {
    /// Joins deadline and number into one value, which compares without a branch.
    #[inline]
    fn rank(&self) -> u128 {
        u128::from(self.deadline) << 64 | u128::from(self.seq)
    }
}

/// The heap.
#[derive(Debug)]
pub(super) struct Heap {
    /// The first is the earliest; the children of `i` are the four from `4 i + 1`.
    entries: Vec<Entry>,
}

impl Heap {
    /// Makes an empty heap; allocates nothing.
    pub(super) fn new() -> Self {
        Self { entries: Vec::new() }
    }

    /// Counts the entries that memory is held for.
    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.entries.capacity()
    }

    /// Returns the earliest entry.
    #[inline]
    pub(super) fn first(&self) -> Option<Entry> {
        self.entries.first().copied()
    }

    /// Adds an entry. One comparison if it is the latest.
    pub(super) fn push(&mut self, nodes: &mut Nodes, entry: Entry) {
        self.entries.push(entry);
        self.rise(nodes, entry, self.entries.len() - 1);
    }

    /// Removes the entry at `index`, whose node may be free already.
    pub(super) fn remove(&mut self, nodes: &mut Nodes, index: u32) {
        let index = index as usize;
        debug_assert!(index < self.entries.len(), "One Place");
        let Some(last) = self.entries.pop() else { return };
        if index < self.entries.len() {
            let hole = self.sink(nodes, last, index);
            self.rise(nodes, last, hole);
        } else if self.entries.is_empty() && self.entries.capacity() > KEPT {
            self.entries = Vec::new();
        }
    }

    /// Moves earlier children up into the hole at `at` until `entry` fits; returns where.
    fn sink(&mut self, nodes: &mut Nodes, entry: Entry, mut at: usize) -> usize {
        // Bounded by the heap's height.
        loop {
            let first = at * ARITY + 1;
            let end = self.entries.len().min(first + ARITY);
            let Some(children) = self.entries.get(first..end) else { return at };
            let Some((nth, least)) = first_of(children) else { return at };
            if entry.rank() <= least.rank() {
                return at;
            }
            self.put(nodes, least, at);
            at = first + nth;
        }
    }

    /// Moves later parents down into the hole at `at` until `entry` fits, and puts it there.
    #[inline]
    fn rise(&mut self, nodes: &mut Nodes, entry: Entry, mut at: usize) {
        // Bounded by the heap's height.
        while at > 0 {
            let above = (at - 1) / ARITY;
            let parent = self.entries[above];
            if parent.rank() <= entry.rank() {
                break;
            }
            self.put(nodes, parent, at);
            at = above;
        }
        self.put(nodes, entry, at);
    }

    /// Writes an entry, and its index to the node.
    #[inline]
    fn put(&mut self, nodes: &mut Nodes, entry: Entry, at: usize) {
        self.entries[at] = entry;
        let node = &mut nodes[entry.key];
        (node.place, node.index) = (Place::Heap, at as u32);
    }
}

/// Finds the earliest of siblings, and its place among them.
#[inline]
fn first_of(siblings: &[Entry]) -> Option<(usize, Entry)> {
    let &[a, b, c, d] = siblings else {
        let first = siblings.iter().copied().enumerate();
        return first.min_by_key(|(_, entry)| entry.rank());
    };
    // Nearly always: two pairs, then who is left.
    let one = if b.rank() < a.rank() { (1, b) } else { (0, a) };
    let other = if d.rank() < c.rank() { (3, d) } else { (2, c) };
    Some(if other.1.rank() < one.1.rank() { other } else { one })
}
