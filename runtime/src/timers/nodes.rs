//! The nodes. All timers in one vector, the free ones in a list; a key is an index.
//!
//! Not the `slab` crate: its `insert` and `remove` move a whole node through the stack, and each
//! access asks for the entry's kind. Here the fields are written where they stay: an insert and a
//! remove of a far timer cost 5.5 ns together, with `slab` 10 (and 157 instructions, not 199).

use core::ops::{Index, IndexMut};
use core::task::Waker;

use super::NIL;

/// Keys are below that; see `HOLE` in `wheel`.
const MOST: usize = (1 << 31) - 1;

/// One timer. 40 bytes.
#[derive(Debug)]
pub(super) struct Node {
    /// When to fire. Its place may lag behind (Lower Bound).
    pub(super) deadline: u64,
    /// Insertion order, renewed by every reset; parts equal deadlines.
    pub(super) seq: u64,
    /// Who is woken. Taken when the timer fires; `None` from then until the owner sets another.
    pub(super) waker: Option<Waker>,
    /// The index in the bucket, in the heap or in `Timers::held`. Free: the next free node. Stale elsewhere.
    pub(super) index: u32,
    /// The bucket's number. Stale elsewhere.
    pub(super) bucket: u16,
    /// Where the node is filed.
    pub(super) place: Place,
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
    /// In the list of free nodes: no timer.
    Free,
}

/// All nodes of one loop.
#[derive(Debug)]
pub(super) struct Nodes {
    /// Timers and free nodes, by key.
    all: Vec<Node>,
    /// First free node, `NIL` if there is none.
    free: u32,
    /// How many of `all` are timers.
    len: u32,
}

impl Nodes {
    /// Takes the wakers of all nodes.
    pub(super) fn take_wakers(&mut self) -> Vec<Waker> {
        self.all.iter_mut().filter_map(|node| node.waker.take()).collect()
    }

    /// Makes an empty set; allocates nothing.
    pub(super) fn new() -> Self {
        Self { all: Vec::new(), free: NIL, len: 0 }
    }

    /// Counts the timers.
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.len as usize
    }

    /// Counts the nodes that memory is held for.
    #[inline]
    pub(super) fn capacity(&self) -> usize {
        self.all.capacity()
    }

    /// Makes a timer that is not filed yet.
    #[inline]
    pub(super) fn add(&mut self, deadline: u64, seq: u64, waker: Waker) -> u32 {
        let key = self.free;
        let Some(node) = self.all.get_mut(key as usize) else {
            return self.grow(deadline, seq, waker);
        };
        debug_assert!(
            node.place == Place::Free && node.waker.is_none(),
            "a timer in the free list"
        );
        self.free = node.index;
        self.len += 1;
        node.deadline = deadline;
        node.seq = seq;
        node.waker = Some(waker);
        node.place = Place::Unfiled;
        key
    }

    /// `add`, when no node is free.
    #[inline(never)]
    fn grow(&mut self, deadline: u64, seq: u64, waker: Waker) -> u32 {
        let key = self.all.len();
        assert!(key < MOST, "too many timers: remove some before adding more");
        let (waker, place) = (Some(waker), Place::Unfiled);
        self.all.push(Node { deadline, seq, waker, index: NIL, bucket: 0, place });
        self.len += 1;
        key as u32
    }

    /// Frees a timer that has been cut out of its place, and returns its waker.
    #[inline]
    pub(super) fn free(&mut self, key: u32) -> Option<Waker> {
        let node = &mut self.all[key as usize];
        node.place = Place::Free;
        node.index = self.free;
        self.free = key;
        self.len -= 1;
        node.waker.take()
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
