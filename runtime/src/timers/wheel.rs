//! The wheel. Buckets of far timers: levels of 64 slots, each slot a bucket.
//!
//! Time is counted in grains of 2^20 ns (about a millisecond). A deadline's level is the highest
//! group of six bits in which its grain differs from the wheel's, its slot is that group. So all
//! filed buckets lie ahead of the wheel, a lower level's before a higher one's, and no slot stands
//! for two times. Eight levels cover all 44 bits of a grain (six would end after 2.3 years): every
//! deadline has a bucket, and there is no list of outsiders to look after.
//!
//! A bucket is a vector of keys, not a list through the nodes: emptying it asks for all its nodes at
//! once, where a list tells the next only when one is there. With 100,000 timers each of those waits for
//! memory, and they were a fifth of what a timer cost from its creation to its end.

use super::{NEVER, NIL};

/// log2 of a grain in nanoseconds.
const GRAIN_BITS: u32 = 20;
/// log2 of the slots of a level.
const SLOT_BITS: u32 = 6;
/// Slots of a level: the bits of one occupancy word.
const SLOTS: usize = 1 << SLOT_BITS;
/// What a bucket's entry is if it is no key: with it, the place of another such entry.
const HOLE: u32 = 1 << 31;
/// Memory of that many entries is kept for the next bucket, not that of more.
const KEPT_ENTRIES: usize = 64;
/// So many pieces of it are kept: 4 KiB at most.
const KEPT_SPARE: usize = 16;
/// Levels, enough for every grain a `u64` of nanoseconds has.
const LEVELS: usize = (u64::BITS - GRAIN_BITS).div_ceil(SLOT_BITS) as usize;

/// The wheel.
#[derive(Debug)]
pub(super) struct Wheel {
    /// The grain the wheel shows; all buckets that are filled lie after it.
    grain: u64,
    /// For each level, the slots whose bucket is not empty.
    occupied: [u64; LEVELS],
    /// All buckets, level by level; none until `widen` (16 KiB then).
    buckets: Vec<Bucket>,
    /// The memory of buckets that were emptied, for the next that are filled: time goes on to new ones.
    spare: Vec<Vec<u32>>,
}

/// The nodes of one slot, in any order: the heap puts them into theirs.
#[derive(Clone, Debug)]
struct Bucket {
    /// Keys, and holes where timers were cancelled: each hole names the next one. None if there is no key.
    entries: Vec<u32>,
    /// The first hole, `NIL` if there is none.
    hole: u32,
    /// How many entries are keys.
    keys: u32,
}

/// A bucket without nodes.
const EMPTY: Bucket = Bucket { entries: Vec::new(), hole: NIL, keys: 0 };

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
        Self { grain: 0, occupied: [0; LEVELS], buckets: Vec::new(), spare: Vec::new() }
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

    /// Returns the bucket for a deadline; `None` if its grain has begun or it never comes.
    #[inline]
    pub(super) fn bucket_of(&self, deadline: u64) -> Option<u32> {
        let grain = deadline >> GRAIN_BITS;
        if grain <= self.grain || deadline == NEVER {
            return None;
        }
        let level = (grain ^ self.grain).ilog2() / SLOT_BITS;
        let slot = (grain >> (level * SLOT_BITS)) % SLOTS as u64;
        Some(level * SLOTS as u32 + slot as u32)
    }

    /// Adds a node to a bucket. Returns the index there; `None` if `widen` must make room first.
    #[inline]
    pub(super) fn append(&mut self, bucket: u32, key: u32) -> Option<u32> {
        let Bucket { entries, hole, keys } = self.buckets.get_mut(bucket as usize)?;
        let mut at = *hole & !HOLE;
        if let Some(entry) = entries.get_mut(at as usize) {
            *hole = core::mem::replace(entry, key);
        } else if entries.len() < entries.capacity() {
            at = entries.len() as u32;
            entries.push(key);
        } else {
            return None;
        }
        *keys += 1;
        if *keys == 1 {
            self.occupied[bucket as usize / SLOTS] |= bit(bucket);
        }
        Some(at)
    }

    /// Makes room for more nodes in a bucket, and all buckets if there are none yet.
    pub(super) fn widen(&mut self, bucket: u32) {
        if self.buckets.is_empty() {
            self.buckets = vec![EMPTY; LEVELS * SLOTS];
            self.spare.reserve(KEPT_SPARE);
        }
        let entries = &mut self.buckets[bucket as usize].entries;
        if entries.capacity() == 0 {
            *entries = self.spare.pop().unwrap_or_default();
        }
        entries.reserve(1);
    }

    /// Cuts a node out of its bucket.
    #[inline]
    pub(super) fn unlink(&mut self, bucket: u32, index: u32) {
        let Bucket { entries, hole, keys } = &mut self.buckets[bucket as usize];
        *keys -= 1;
        if *keys == 0 {
            return self.empty(bucket);
        }
        debug_assert!(entries[index as usize] & HOLE == 0, "One Place");
        entries[index as usize] = core::mem::replace(hole, HOLE | index);
    }

    /// Marks a bucket as empty whose last node was cut out.
    #[inline(never)]
    fn empty(&mut self, bucket: u32) {
        let list = &mut self.buckets[bucket as usize];
        list.hole = NIL;
        // Not kept here: time goes on, and a timeout like this one is filed in another bucket soon.
        let entries = core::mem::take(&mut list.entries);
        self.put_back(entries);
        self.occupied[bucket as usize / SLOTS] &= !bit(bucket);
    }

    /// Empties a bucket and returns its entries, for `keys` to read and `put_back`.
    pub(super) fn take(&mut self, bucket: u32) -> Vec<u32> {
        self.occupied[bucket as usize / SLOTS] &= !bit(bucket);
        let list = &mut self.buckets[bucket as usize];
        debug_assert!(list.keys != 0, "the slot of an empty bucket is marked as occupied");
        (list.hole, list.keys) = (NIL, 0);
        core::mem::take(&mut list.entries)
    }

    /// Takes back the memory of a bucket that was emptied.
    pub(super) fn put_back(&mut self, mut entries: Vec<u32>) {
        if entries.capacity() <= KEPT_ENTRIES && self.spare.len() < KEPT_SPARE {
            entries.clear();
            self.spare.push(entries);
        }
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

    /// Tells whether a bucket holds more than `limit` nodes.
    pub(super) fn holds_more_than(&self, bucket: u32, limit: u32) -> bool {
        self.buckets[bucket as usize].keys > limit
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

    /// Counts the buckets and the entries that memory is held for.
    #[cfg(test)]
    pub(super) fn capacity(&self) -> (usize, usize) {
        let entries = self.buckets.iter().map(|bucket| bucket.entries.capacity()).sum::<usize>();
        let spare = self.spare.iter().map(Vec::capacity).sum::<usize>();
        (self.buckets.capacity(), entries + spare)
    }

    /// Gives the buckets' memory back. They are all empty.
    pub(super) fn release(&mut self) {
        debug_assert!(self.occupied == [0; LEVELS], "One Place");
        (self.buckets, self.spare) = (Vec::new(), Vec::new());
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

/// The nodes of what `Wheel::take` returned.
#[inline]
pub(super) fn keys(entries: &[u32]) -> impl Iterator<Item = u32> {
    entries.iter().copied().filter(|entry| entry & HOLE == 0)
}

/// The bucket's bit in the occupancy word of its level.
#[inline]
fn bit(bucket: u32) -> u64 {
    1 << (bucket as usize % SLOTS)
}
