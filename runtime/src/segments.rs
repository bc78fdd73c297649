//! Tables that grow without moving, so that nothing borrowed in one can be invalidated by growth while
//! user code runs: readers get plain references that live as long as the table.
//!
//! [`Segments`] is one for the loop's own thread. Where other threads read too, segment `k` holds
//! `FIRST << k` entries and stays where it is: whoever has these (in `OnceLock`s) shares the arithmetic.

use std::cell::OnceCell;

/// Entries of the first segment, as a power of two.
#[cfg(not(loom))]
const FIRST_LOG2: u32 = 10;
/// Few: loom keeps a history of every atomic.
#[cfg(loom)]
const FIRST_LOG2: u32 = 4;

/// Entries of the first segment.
const FIRST: usize = 1 << FIRST_LOG2;

/// Segments needed for 2^24 entries.
pub(crate) const SEGMENTS: usize = (24 - FIRST_LOG2 + 1) as usize;

/// Returns the segment of `index` and the place inside it.
#[inline]
pub(crate) fn locate(index: u32) -> (usize, usize) {
    let n = index + (1 << FIRST_LOG2);
    let top = 31 - n.leading_zeros();
    ((top - FIRST_LOG2) as usize, (n ^ (1 << top)) as usize)
}

/// Returns how many entries segment `segment` holds.
pub(crate) const fn segment_len(segment: usize) -> usize {
    FIRST << segment
}

/// Entries of each part of a table but the first.
const PART: usize = 4 * 1024;

/// Parts needed for 2^24 entries.
const PARTS: usize = (1 << 24) / PART;

/// A part of a table: made when it is needed, never replaced.
type Part<T> = OnceCell<Box<[T; PART]>>;

/// A table of cells indexed by slot, used on one thread. Its parts have one size: doubled ones would leave
/// a quarter of the memory unused.
pub(crate) struct Segments<T> {
    /// The first part, apart from the others: most programs never need more, and it is found
    /// without arithmetic.
    first: Box<[T; FIRST]>,
    /// The others, once there are any.
    rest: OnceCell<Box<[Part<T>]>>,
}

impl<T: Default> Segments<T> {
    pub(crate) fn new() -> Self {
        Self { first: part(), rest: OnceCell::new() }
    }

    /// Returns the entry, or `None` where the table has not grown to.
    #[inline]
    pub(crate) fn get(&self, index: u32) -> Option<&T> {
        match self.first.get(index as usize) {
            None => self.far(index),
            found => found,
        }
    }

    /// Returns the entry if it is in the first part.
    #[inline]
    pub(crate) fn near(&self, index: u32) -> Option<&T> {
        self.first.get(index as usize)
    }

    #[cold] // not seldom in large programs, but so the others' way is laid out straight
    #[inline(never)]
    fn far(&self, index: u32) -> Option<&T> {
        let index = index as usize - FIRST;
        Some(&self.rest.get()?.get(index / PART)?.get()?[index % PART])
    }

    /// Returns the entry, growing the table up to its part.
    ///
    /// `index` must be below 2^24.
    #[inline]
    pub(crate) fn grow(&self, index: u32) -> &T {
        match self.first.get(index as usize) {
            Some(found) => found,
            None => self.grow_far(index),
        }
    }

    #[inline(never)]
    fn grow_far(&self, index: u32) -> &T {
        let index = index as usize - FIRST;
        let parts = self.rest.get_or_init(|| (0..PARTS).map(|_| OnceCell::new()).collect());
        &parts[index / PART].get_or_init(part)[index % PART]
    }
}

fn part<T: Default, const LENGTH: usize>() -> Box<[T; LENGTH]> {
    let part: Box<[T]> = std::iter::repeat_with(T::default).take(LENGTH).collect();
    let Ok(part) = part.try_into() else { unreachable!("it has the length asked for") };
    part
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_index_has_one_place_and_segments_are_contiguous() {
        let mut last = (0, usize::MAX);
        for index in 0..10_000 {
            let (segment, offset) = locate(index);
            assert!(offset < segment_len(segment));
            let next = (segment == last.0 && offset == last.1.wrapping_add(1))
                || (segment == last.0 + 1 && offset == 0);
            assert!(next, "index {index}");
            last = (segment, offset);
        }
        assert!(locate((1 << 24) - 1).0 < SEGMENTS);
    }

    #[test]
    fn an_entry_is_found_where_the_table_grew_to_it_and_only_there() {
        let table = Segments::<std::cell::Cell<u32>>::new();
        let beyond = FIRST as u32;
        assert!(table.get(beyond - 1).is_some() && table.get(beyond).is_none());
        let all = [beyond - 1, beyond, beyond + 1, 5000, (1 << 24) - 1];
        all.iter().for_each(|&index| table.grow(index).set(index));
        for index in all {
            assert_eq!(table.get(index).map(std::cell::Cell::get), Some(index));
        }
        assert!(table.get(1 << 25).is_none() && table.get(u32::MAX).is_none());
    }
}
