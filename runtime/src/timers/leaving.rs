//! The leaving. Timers that are removed are cut out of their places some at a time.
//!
//! Of a million timers neither the node nor its entry in the bucket is in the cache, and a task that
//! cancels one of them waits for both, one after the other. A short loop over several asks for all of
//! them at once. So a removal notes the node and no more; whoever looks for a deadline or for a timer to
//! fire settles first, and so does each turn.

use core::task::Waker;

use super::heap::Heap;
use super::nodes::{Node, Nodes, Place, TimerKey};
use super::{KEPT, Timers, Waiter};

/// So many nodes are left where they are at most.
const MOST: usize = 32;

/// Nodes whose timers are removed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Leaving {
    /// Those from `left` to `room` leave, the last one first; the rest is stale.
    nodes: [u32; MOST],
    /// So many more may be noted.
    left: usize,
    /// So many may be noted in all.
    room: usize,
}

impl Leaving {
    pub(super) const fn new() -> Self {
        Self { nodes: [0; MOST], left: MOST, room: MOST }
    }

    /// Counts those that leave.
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.room - self.left
    }

    /// Notes one more. False if there is no room for it.
    #[inline]
    fn note(&mut self, node: u32) -> bool {
        let at = self.left.wrapping_sub(1);
        let Some(place) = self.nodes.get_mut(at) else { return false };
        (*place, self.left) = (node, at);
        true
    }
}

impl Timers {
    /// Removes a timer by and by: it never fires, and its memory is free once the next turn began. False,
    /// and nothing done, if `remove` must be called.
    #[inline]
    pub(crate) fn leave(&mut self, key: TimerKey) -> bool {
        !key.is_foreign() && self.leaving.note(key.node())
    }

    /// Removes a timer for good, and all that are leaving; their memory serves the next ones. A foreign
    /// waker comes back, for the caller to drop with no borrow held.
    ///
    /// # Panics
    ///
    /// If a timer was removed before and the key not given out again.
    pub(crate) fn remove(&mut self, key: TimerKey) -> Option<Waker> {
        let node = key.node();
        let waker = if key.is_foreign() { self.take_foreign(node) } else { None };
        self.unfile(node);
        self.nodes.free(node);
        self.let_go();
        waker
    }

    /// Takes a waker that is not ours out of a node whose key says that there may be one.
    #[cold]
    pub(super) fn take_foreign(&mut self, node: u32) -> Option<Waker> {
        match self.nodes.take_waiter(node) {
            Some(Waiter::Foreign(waker)) => Some(waker),
            Some(Waiter::Item(_)) | None => None,
        }
    }

    /// Cuts out what is leaving.
    #[inline]
    pub(crate) fn settle(&mut self) {
        if self.leaving.len() != 0 {
            self.let_go();
        }
    }

    /// `settle`, when there may be something.
    #[inline(never)]
    pub(super) fn let_go(&mut self) {
        let is_burst = self.nodes.capacity() > KEPT;
        let Leaving { nodes, left, room } = self.leaving;
        for &node in nodes[left..room].iter().rev() {
            self.unfile(node);
            self.nodes.free(node);
        }
        // The last of a burst is removed at once: its memory goes with it.
        let room = if is_burst { self.nodes.len().saturating_sub(1).min(MOST) } else { MOST };
        (self.leaving.left, self.leaving.room) = (room, room);
        if is_burst && self.nodes.len() == 0 {
            self.release_buffers();
        }
    }

    /// Cuts a node out of its place.
    #[inline]
    pub(super) fn unfile(&mut self, node: u32) {
        let Node { place, bucket, index, .. } = self.nodes[node];
        if place == Place::Bucket {
            self.wheel.unlink(bucket.into(), index);
        } else {
            self.unfile_rare(node);
        }
    }

    /// `unfile`, outside of the wheel.
    #[inline(never)]
    fn unfile_rare(&mut self, node: u32) {
        let index = self.nodes[node].index;
        match self.nodes[node].place {
            Place::Heap => self.heap.remove(&mut self.nodes, index),
            Place::Held => {
                self.held.swap_remove(index as usize);
                if let Some(&moved) = self.held.get(index as usize) {
                    self.nodes[moved].index = index;
                }
            }
            Place::Free => panic!("timer removed twice: a key ends with its removal"),
            Place::Bucket | Place::Unfiled | Place::Fired => {}
        }
    }

    /// Gives a burst's memory back, after the last timer went.
    fn release_buffers(&mut self) {
        debug_assert!(self.heap.first().is_none() && self.held.is_empty(), "One Place");
        self.wheel.release();
        self.nodes = Nodes::new();
        self.heap = Heap::new();
        self.held = Vec::new();
    }
}
