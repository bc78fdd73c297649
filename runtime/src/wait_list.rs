//! Who waits at one primitive, in the order in which they came.
//!
//! A wait is a node here and a [`Key`] in the future that waits; the list never points into a future.
//! Nodes are used again, so that waiting allocates nothing once the list has been as long before.
//!
//! Invariant (Keyed): a node lives until the future that holds its key takes it out, whether it was
//! reached meanwhile or not; so a key is never stale.
//!
//! The list is kept under its primitive's `RefCell`, and wakers run code of their own if they are
//! foreign: they are copied before the borrow begins and woken or dropped after it ended.

use std::task::Waker;

use slab::Slab;

/// No node.
const NONE: usize = usize::MAX;

/// A list that was longer gives its memory back when it is empty.
const KEPT: usize = 64;

/// The place of one wait in its [`WaitList`].
#[derive(Debug)]
#[must_use = "its node lives until it is taken out"]
pub(crate) struct Key(usize);

#[derive(Debug)]
struct Node<T> {
    prev: usize,
    next: usize,
    /// Taken when the wait was reached.
    waker: Option<Waker>,
    value: T,
}

/// Waits in order, each with a value of its primitive: what it asks for, later what it was given.
#[derive(Debug)]
pub(crate) struct WaitList<T> {
    nodes: Slab<Node<T>>,
    head: usize,
    tail: usize,
    waiting: usize,
}

impl<T> WaitList<T> {
    pub(crate) const fn new() -> Self {
        Self { nodes: Slab::new(), head: NONE, tail: NONE, waiting: 0 }
    }

    /// Whether nobody waits.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.head == NONE
    }

    /// How many wait.
    pub(crate) fn len(&self) -> usize {
        self.waiting
    }

    /// Adds a wait at the end.
    pub(crate) fn push(&mut self, value: T, waker: Waker) -> Key {
        let node = Node { prev: self.tail, next: NONE, waker: Some(waker), value };
        let index = self.nodes.insert(node);
        match self.nodes.get_mut(self.tail) {
            Some(last) => last.next = index,
            None => self.head = index,
        }
        self.tail = index;
        self.waiting += 1;
        Key(index)
    }

    /// Whether the wait has not been reached yet.
    #[inline]
    pub(crate) fn is_waiting(&self, key: &Key) -> bool {
        self.nodes[key.0].waker.is_some()
    }

    /// Whether the wait would wake this waker already, or needs none any more.
    #[inline]
    pub(crate) fn wakes(&self, key: &Key, waker: &Waker) -> bool {
        self.nodes[key.0].waker.as_ref().is_none_or(|own| own.will_wake(waker))
    }

    /// Gives a wait that was not reached another waker, and returns the one that is of no use now.
    pub(crate) fn set_waker(&mut self, key: &Key, waker: Waker) -> Option<Waker> {
        match &mut self.nodes[key.0].waker {
            Some(own) => Some(std::mem::replace(own, waker)),
            None => Some(waker),
        }
    }

    /// Returns the value of a wait, reached or not.
    pub(crate) fn value(&mut self, key: &Key) -> &mut T {
        &mut self.nodes[key.0].value
    }

    /// Returns the value of the first wait.
    pub(crate) fn first(&mut self) -> Option<&mut T> {
        self.nodes.get_mut(self.head).map(|node| &mut node.value)
    }

    /// Reaches the first wait: takes it out of the order and returns its value and its waker. The node
    /// stays for its future.
    pub(crate) fn reach(&mut self) -> Option<(&mut T, Waker)> {
        let index = self.head;
        let waker = self.unlink(index)?;
        Some((&mut self.nodes[index].value, waker))
    }

    /// Reaches the last wait, as [`WaitList::reach`] the first.
    pub(crate) fn reach_last(&mut self) -> Option<(&mut T, Waker)> {
        let index = self.tail;
        let waker = self.unlink(index)?;
        Some((&mut self.nodes[index].value, waker))
    }

    /// Reaches a wait out of its turn; `None` if it was reached already.
    pub(crate) fn reach_at(&mut self, key: &Key) -> Option<Waker> {
        self.unlink(key.0)
    }

    /// Ends a wait: its value, and its waker if it was not reached.
    pub(crate) fn take(&mut self, key: Key) -> (T, Option<Waker>) {
        let waker = self.unlink(key.0);
        let node = self.nodes.remove(key.0);
        if self.nodes.is_empty() && self.nodes.capacity() > KEPT {
            self.nodes = Slab::new();
        }
        (node.value, waker)
    }

    /// Takes a node out of the order if it is in it.
    fn unlink(&mut self, index: usize) -> Option<Waker> {
        let node = self.nodes.get_mut(index)?;
        let waker = node.waker.take()?;
        let (prev, next) = (node.prev, node.next);
        match self.nodes.get_mut(prev) {
            Some(before) => before.next = next,
            None => self.head = next,
        }
        match self.nodes.get_mut(next) {
            Some(after) => after.prev = prev,
            None => self.tail = prev,
        }
        self.waiting -= 1;
        Some(waker)
    }
}

#[cfg(test)]
mod tests;
