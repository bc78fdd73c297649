//! The tree of cancellation tokens, written down as one list.
//!
//! A node has two marks in the list, its begin and its end, like a pair of brackets; what stands between
//! them is below it. So a node never looks for its parent, those below one that goes belong to the next
//! one around it, and nothing recurses however deep the tree is: to take a node out is to unlink two
//! marks, to cancel it is to walk from the one to the other, parents before children, elder before
//! younger.
//!
//! Invariant (Marks Live): the list owns no node; tokens do. A node takes its marks out as it is dropped,
//! so each mark in the list is of a living node.

use std::cell::Cell;
use std::rc::{Rc, Weak};

use crate::waiters::Crowd;

pub(super) struct Node {
    cancelled: Cell<bool>,
    /// Who waits for it to be cancelled. They hold tokens of it.
    pub(super) waits: Crowd,
    /// The neighbours of the begin. No next: its own end; no previous: nothing is around it.
    begin: Links,
    /// The neighbours of the end. No previous: its own begin; no next: nothing is around it.
    end: Links,
}

#[derive(Default)]
struct Links {
    prev: Cell<Option<Mark>>,
    next: Cell<Option<Mark>>,
}

/// A place in the list.
enum Mark {
    Begin(Weak<Node>),
    End(Weak<Node>),
}

impl Mark {
    /// Calls `f` with the links of this place.
    fn links<R>(&self, f: impl FnOnce(&Links) -> R) -> R {
        let (Self::Begin(node) | Self::End(node)) = self;
        let node = node.upgrade().expect("Marks Live");
        f(if matches!(self, Self::Begin(_)) { &node.begin } else { &node.end })
    }

    fn copy(&self) -> Self {
        match self {
            Self::Begin(node) => Self::Begin(node.clone()),
            Self::End(node) => Self::End(node.clone()),
        }
    }
}

/// Makes two places neighbours. A place that is not there is the own one, or outside of all.
fn join(left: Option<Mark>, right: Option<Mark>) {
    let (left, right) = match (left, right) {
        // The brackets of a node with nothing in them any more.
        (Some(Mark::Begin(node)), Some(Mark::End(end))) if node.ptr_eq(&end) => {
            let node = node.upgrade().expect("Marks Live");
            node.begin.next.take();
            node.end.prev.take();
            return;
        }
        other => other,
    };
    let to_left = left.as_ref().map(Mark::copy);
    let to_right = right.as_ref().map(Mark::copy);
    if let Some(left) = left {
        left.links(|links| links.next.set(to_right));
    }
    if let Some(right) = right {
        right.links(|links| links.prev.set(to_left));
    }
}

impl Node {
    fn new(cancelled: bool) -> Rc<Self> {
        Rc::new(Self {
            cancelled: Cell::new(cancelled),
            waits: Crowd::new(),
            begin: Links::default(),
            end: Links::default(),
        })
    }

    /// Makes a node that nothing is around.
    pub(super) fn root() -> Rc<Self> {
        Self::new(false)
    }

    #[inline]
    pub(super) fn is_cancelled(&self) -> bool {
        self.cancelled.get()
    }

    /// Makes a node below this one, its youngest; cancelled and apart if this one is.
    pub(super) fn child(self: &Rc<Self>) -> Rc<Self> {
        let child = Self::new(self.is_cancelled());
        if !self.is_cancelled() {
            let own = Rc::downgrade(self);
            let before = self.end.prev.take().unwrap_or_else(|| Mark::Begin(own.clone()));
            let place = Rc::downgrade(&child);
            join(Some(before), Some(Mark::Begin(place.clone())));
            join(Some(Mark::End(place)), Some(Mark::End(own)));
        }
        child
    }

    /// Cancels this node and all below it, then wakes who waits for one of them, in the list's order.
    pub(super) fn cancel(self: &Rc<Self>) {
        if self.cancelled.replace(true) {
            return;
        }
        join(self.begin.prev.take(), self.end.next.take());
        // First all are cancelled, apart from each other: who is woken may do anything.
        let mut reached = Vec::new();
        let mut at = self.begin.next.take();
        while let Some(mark) = at {
            at = match mark {
                Mark::Begin(node) => {
                    let node = node.upgrade().expect("Marks Live");
                    node.cancelled.set(true);
                    node.begin.prev.take();
                    let next = node.begin.next.take().or_else(|| node.end.next.take());
                    if node.waits.len() != 0 {
                        reached.push(node);
                    }
                    next
                }
                Mark::End(node) => {
                    let node = node.upgrade().expect("Marks Live");
                    node.end.prev.take();
                    node.end.next.take()
                }
            };
        }
        self.waits.wake_all();
        for node in reached {
            node.waits.wake_all();
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let [begin, end] = [&self.begin, &self.end];
        match (begin.next.take(), end.prev.take()) {
            (None, _) => join(begin.prev.take(), end.next.take()),
            (first, last) => {
                join(begin.prev.take(), first);
                join(last, end.next.take());
            }
        }
    }
}
