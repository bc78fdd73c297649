//! The wheel. Buckets of far timers: levels of 64 slots, each slot a doubly linked list.
//!
//! Time is counted in grains of 2^20 ns (about a millisecond). A deadline's level is the highest
//! group of six bits in which its grain differs from the wheel's, its slot is that group. So all
//! filed buckets lie ahead of the wheel, a lower level's before a higher one's, and no slot stands
//! for two times. Eight levels cover all 44 bits of a grain (six would end after 2.3 years): every
//! deadline has a bucket, and there is no list of outsiders to look after.
//!
//! Lists are FIFO: a million timers at one instant come to the heap in ascending order.

use super::nodes::{Node, Nodes, Place};
use super::{NEVER, NIL};

/// log2 of a grain in nanoseconds.
const GRAIN_BITS: u32 = 20;
/// log2 of the slots of a level.
const SLOT_BITS: u32 = 6;
/// Slots of a level: the bits of one occupancy word.
const SLOTS: usize = 1 << SLOT_BITS;
/// Levels, enough for every grain a `u64` of nanoseconds has.
const LEVELS: usize = (u64::BITS - GRAIN_BITS).div_ceil(SLOT_BITS) as usize;

/// The wheel.
#[derive(Debug)]
pub(super) struct Wheel {
    /// The grain the wheel shows; all buckets that are filled lie after it.
    grain: u64,
    /// For each level, the slots whose list is not empty.
    occupied: [u64; LEVELS],
    /// All lists, level by level; none until `build` (4 KiB then).
    buckets: Vec<Bucket>,
}

/// The ends of one list.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    /// First node, `NIL` if the bucket is empty.
    head: u32,
    /// Last node, `NIL` if the bucket is empty.
    tail: u32,
}

/// A bucket without nodes.
const EMPTY: Bucket = Bucket { head: NIL, tail: NIL };

/// The buckets that one advance of the wheel reached, earliest first.
#[derive(Debug)]
pub(super) struct Passed {
    /// For each level, the slots that are left.
    slots: [u64; LEVELS],
    /// No level below has any.
    level: usize,
}

impl Wheel {
    /// Makes an empty wheel at time 0; allocates nothing.
    pub(super) fn new() -> Self {
        Self { grain: 0, occupied: [0; LEVELS], buckets: Vec::new() }
    }

    /// Tells whether the wheel shows the grain of `now`.
    #[inline]
    pub(super) fn is_at(&self, now: u64) -> bool {
        self.grain == now >> GRAIN_BITS
    }

    /// Shows another time, later than before. The wheel must be empty.
    #[inline]
    pub(super) fn jump_to(&mut self, now: u64) {
        self.grain = now >> GRAIN_BITS;
    }

    /// Returns the bucket for a deadline; `None` if its grain has begun, it never comes, or there
    /// are no buckets yet.
    #[inline]
    pub(super) fn bucket_of(&self, deadline: u64) -> Option<u32> {
        let grain = deadline >> GRAIN_BITS;
        if grain <= self.grain || deadline == NEVER || self.buckets.is_empty() {
            return None;
        }
        let level = (grain ^ self.grain).ilog2() / SLOT_BITS;
        let slot = (grain >> (level * SLOT_BITS)) % SLOTS as u64;
        Some(level * SLOTS as u32 + slot as u32)
    }

    /// Adds a node at the tail of a bucket.
    #[inline]
    pub(super) fn append(&mut self, nodes: &mut Nodes, bucket: u32, key: u32) {
        let list = &mut self.buckets[bucket as usize];
        let tail = core::mem::replace(&mut list.tail, key);
        if tail == NIL {
            list.head = key;
            self.occupied[bucket as usize / SLOTS] |= bit(bucket);
        } else {
            nodes[tail].next = key;
        }
        let node = &mut nodes[key];
        node.prev = tail;
        node.next = NIL;
        node.index = bucket;
        node.place = Place::Bucket;
    }

    /// Cuts a node out of its bucket.
    #[inline]
    pub(super) fn unlink(&mut self, nodes: &mut Nodes, key: u32) {
        let Node { prev, next, index: bucket, .. } = nodes[key];
        let list = &mut self.buckets[bucket as usize];
        if prev == NIL {
            list.head = next;
        } else {
            nodes[prev].next = next;
        }
        if next == NIL {
            list.tail = prev;
        } else {
            nodes[next].prev = prev;
        }
        if list.head == NIL {
            self.occupied[bucket as usize / SLOTS] &= !bit(bucket);
        }
    }

    /// Empties a bucket. Returns its first node; the others follow by `next`.
    pub(super) fn take(&mut self, bucket: u32) -> u32 {
        self.occupied[bucket as usize / SLOTS] &= !bit(bucket);
        let head = core::mem::replace(&mut self.buckets[bucket as usize], EMPTY).head;
        debug_assert!(head != NIL, "the slot of an empty list is marked as occupied");
        head
    }

    /// Finds the earliest bucket that holds nodes: itself, its first and its last nanosecond.
    pub(super) fn first(&self) -> Option<(u32, u64, u64)> {
        let level = self.occupied.iter().position(|&slots| slots != 0)?;
        let slot = u64::from(self.occupied[level].trailing_zeros());
        let width = level as u32 * SLOT_BITS;
        // The bits above the slot are the wheel's own.
        let above = (self.grain >> (width + SLOT_BITS)) << SLOT_BITS;
        let start = (above | slot) << (width + GRAIN_BITS);
        let last = start | ((1 << (width + GRAIN_BITS)) - 1);
        Some(((level * SLOTS) as u32 + slot as u32, start, last))
    }

    /// Tells whether a bucket holds more than `limit` nodes, after a look at no more than those.
    pub(super) fn holds_more_than(&self, nodes: &Nodes, bucket: u32, limit: usize) -> bool {
        let mut at = self.buckets[bucket as usize].head;
        for _ in 0..limit {
            if at == NIL {
                return false;
            }
            at = nodes[at].next;
        }
        at != NIL
    }

    /// Shows a later time. The caller takes every bucket that was passed and files its nodes anew.
    pub(super) fn roll_to(&mut self, now: u64) -> Passed {
        let grain = now >> GRAIN_BITS;
        debug_assert!(grain >= self.grain, "the wheel never rolls back");
        let changed = grain ^ core::mem::replace(&mut self.grain, grain);
        let mut slots = [0; LEVELS];
        for (level, slots) in slots.iter_mut().enumerate() {
            let shift = level as u32 * SLOT_BITS;
            if changed >> shift == 0 {
                break; // neither this level's slot nor one above has changed
            }
            let whole_round = changed >> (shift + SLOT_BITS) != 0;
            let reached = u64::MAX >> (SLOTS as u64 - 1 - (grain >> shift) % SLOTS as u64);
            *slots = self.occupied[level] & if whole_round { u64::MAX } else { reached };
        }
        Passed { slots, level: 0 }
    }

    /// Counts the buckets that memory is held for.
    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.buckets.capacity()
    }

    /// Allocates the buckets, if there are none yet; tells whether it did.
    pub(super) fn build(&mut self) -> bool {
        let absent = self.buckets.is_empty();
        if absent {
            self.buckets = vec![EMPTY; LEVELS * SLOTS];
        }
        absent
    }
}

impl Passed {
    /// Returns the next bucket.
    pub(super) fn next_bucket(&mut self) -> Option<u32> {
        while self.level < LEVELS {
            let slots = &mut self.slots[self.level];
            if *slots != 0 {
                let slot = slots.trailing_zeros();
                *slots &= *slots - 1;
                return Some((self.level * SLOTS) as u32 + slot);
            }
            self.level += 1;
        }
        None
    }
}

/// The bucket's bit in the occupancy word of its level.
#[inline]
fn bit(bucket: u32) -> u64 {
    1 << (bucket as usize % SLOTS)
}
