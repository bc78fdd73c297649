//! The nodes. All timers in one vector; a key is an index.
//!
//! Not the `slab` crate: its `insert` and `remove` move a whole node through the stack, and each
//! access asks for the entry's kind. Here the fields are written where they stay: an insert and a
//! remove of a far timer cost 5.5 ns together, with `slab` 10 (and 157 instructions, not 199).

use core::ops::{Index, IndexMut};
use core::task::Waker;

use slab::Slab;

use super::NIL;

/// Nodes are below that; see `HOLE` in `wheel`.
const MOST: usize = (1 << 31) - 1;

/// What a key says besides its node: the waiter is one that must be dropped.
const FOREIGN: u32 = 1 << 31;

/// Names one timer, from `insert` until `remove`.
///
/// It says of its waiter's kind, so that to cancel one of ours asks for nothing of the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TimerKey(u32);

impl TimerKey {
    /// The key of a node that wakes an item.
    #[inline]
    pub(super) fn ours(node: u32) -> Self {
        Self(node)
    }

    /// The node.
    #[inline]
    pub(super) fn node(self) -> u32 {
        self.0 & !FOREIGN
    }

    /// Whether the waiter may be one that must be dropped.
    #[inline]
    pub(super) fn is_foreign(self) -> bool {
        self.0 & FOREIGN != 0
    }
}

/// Who is woken at a deadline.
#[derive(Debug)]
pub(crate) enum Waiter {
    /// The item of this word. It owns nothing, so it need not be dropped.
    Item(usize),
    /// Somebody else's waker: code of its own runs when it is woken, and when it is dropped.
    Foreign(Waker),
}

/// One timer. 32 bytes, of which those that cancelling asks for share a cache line.
#[derive(Debug)]
pub(super) struct Node {
    /// When to fire. Its place may lag behind (Lower Bound).
    pub(super) deadline: u64,
    /// Insertion order, renewed by every reset; parts equal deadlines.
    pub(super) seq: u64,
    /// The word of the item that is woken, or the place in `Nodes::foreign`.
    waiter: usize,
    /// The index in the bucket, in the heap or in `Timers::held`. Stale elsewhere.
    pub(super) index: u32,
    /// The bucket's number. Stale elsewhere.
    pub(super) bucket: u16,
    /// Where the node is filed.
    pub(super) place: Place,
    /// What `waiter` is.
    wakes: Wakes,
}

/// What a node's `waiter` is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wakes {
    /// Stale: taken when the timer fired, and the owner has not set another.
    Nobody,
    /// A word.
    Item,
    /// A place in `Nodes::foreign`.
    Foreign,
}

impl Node {
    /// Makes one that is not filed yet, and wakes the item of `word`.
    #[inline]
    pub(super) fn new(deadline: u64, seq: u64, word: usize) -> Self {
        let (place, wakes) = (Place::Unfiled, Wakes::Item);
        Self { deadline, seq, waiter: word, index: NIL, bucket: 0, place, wakes }
    }
}

/// Where a node is filed (One Place).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// In a bucket of the wheel.
    Bucket,
    /// In the heap.
    Heap,
    /// Set aside in `Timers::held`.
    Held,
    /// Nowhere: its deadline never comes, or it is about to be filed.
    Unfiled,
    /// Nowhere: it has fired and waits for its owner.
    Fired,
    /// In `Nodes::free`: no timer.
    Free,
}

/// All nodes of one loop.
#[derive(Debug)]
pub(super) struct Nodes {
    /// Timers and free nodes.
    all: Vec<Node>,
    /// The wakers that are not ours.
    foreign: Slab<Waker>,
    /// The free nodes. Not a list through them: after many timers have gone their order is any, and
    /// each insertion would wait for the node that names the next.
    free: Vec<u32>,
}

impl Nodes {
    /// Makes an empty set; allocates nothing.
    pub(super) fn new() -> Self {
        Self { all: Vec::new(), foreign: Slab::new(), free: Vec::new() }
    }

    /// Counts the timers.
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.all.len() - self.free.len()
    }

    /// Counts the nodes that memory is held for.
    #[inline]
    pub(super) fn capacity(&self) -> usize {
        self.all.capacity()
    }

    /// Returns the node that the next timer gets, unless none is free.
    #[inline]
    pub(super) fn first_free(&self) -> Option<u32> {
        self.free.last().copied()
    }

    /// Makes a timer of the first free node.
    #[inline]
    pub(super) fn take_free(&mut self, key: u32, node: Node) {
        let place = &mut self.all[key as usize];
        debug_assert!(place.place == Place::Free, "a timer among the free nodes");
        let free = self.free.pop();
        debug_assert_eq!(free, Some(key));
        *place = node;
    }

    /// Makes a timer, of a free node or of a new one.
    pub(super) fn add(&mut self, node: Node) -> u32 {
        if let Some(key) = self.first_free() {
            self.take_free(key, node);
            return key;
        }
        let key = self.all.len();
        assert!(key < MOST, "too many timers: remove some before adding more");
        self.all.push(node);
        key as u32
    }

    /// Sets who is woken, where nobody foreign is. Returns the timer's key.
    #[inline]
    pub(super) fn set_waiter(&mut self, key: u32, waiter: Waiter) -> TimerKey {
        match waiter {
            Waiter::Foreign(waker) => self.set_foreign(key, waker),
            Waiter::Item(word) => {
                let node = &mut self.all[key as usize];
                (node.waiter, node.wakes) = (word, Wakes::Item);
                TimerKey::ours(key)
            }
        }
    }

    /// `set_waiter`, for a waker that is not ours.
    #[cold]
    pub(super) fn set_foreign(&mut self, key: u32, waker: Waker) -> TimerKey {
        let waiter = self.foreign.insert(waker);
        let node = &mut self.all[key as usize];
        (node.waiter, node.wakes) = (waiter, Wakes::Foreign);
        TimerKey(key | FOREIGN)
    }

    /// Takes out who is woken.
    #[inline]
    pub(super) fn take_waiter(&mut self, key: u32) -> Option<Waiter> {
        let node = &mut self.all[key as usize];
        match core::mem::replace(&mut node.wakes, Wakes::Nobody) {
            Wakes::Item => Some(Waiter::Item(node.waiter)),
            Wakes::Nobody => None,
            Wakes::Foreign => Some(Waiter::Foreign(self.take_foreign(key))),
        }
    }

    /// `take_waiter`, for a waker that is not ours.
    #[cold]
    fn take_foreign(&mut self, key: u32) -> Waker {
        self.foreign.remove(self.all[key as usize].waiter)
    }

    /// Takes out who is woken by all timers.
    pub(super) fn take_waiters(&mut self) -> Vec<Waiter> {
        let timers =
            (0..self.all.len() as u32).filter(|&key| self.all[key as usize].place != Place::Free);
        let timers = Vec::from_iter(timers);
        timers.into_iter().filter_map(|key| self.take_waiter(key)).collect()
    }

    /// Frees a timer that has been cut out of its place.
    #[inline]
    pub(super) fn free(&mut self, key: u32) {
        let node = &mut self.all[key as usize];
        debug_assert!(node.wakes != Wakes::Foreign, "a waker that is not handed out");
        node.place = Place::Free;
        self.free.push(key);
    }
}

impl Index<u32> for Nodes {
    type Output = Node;

    #[inline]
    fn index(&self, key: u32) -> &Node {
        &self.all[key as usize]
    }
}

impl IndexMut<u32> for Nodes {
    #[inline]
    fn index_mut(&mut self, key: u32) -> &mut Node {
        &mut self.all[key as usize]
    }
}
