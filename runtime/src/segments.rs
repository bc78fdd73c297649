//! A table that grows without moving: segment `k` holds `FIRST << k` entries and stays where it is.
//!
//! Readers get plain references that live as long as the table, so nothing borrowed here can be
//! invalidated by growth while user code runs. Whoever holds the segments (`OnceCell` at home,
//! `OnceLock` where other threads read too) shares the arithmetic below.

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

/// A table of cells indexed by slot, used on one thread.
pub(crate) struct Segments<T> {
    /// The first segment, apart from the others: most programs never need more, and it is found
    /// without arithmetic.
    first: Box<[T; FIRST]>,
    /// The others, filled in order, each once, never replaced; the first place stays empty.
    rest: [OnceCell<Box<[T]>>; SEGMENTS],
}

impl<T: Default> Segments<T> {
    pub(crate) fn new() -> Self {
        let first: Box<[T]> = std::iter::repeat_with(T::default).take(FIRST).collect();
        let Ok(first) = first.try_into() else { unreachable!("it has the length asked for") };
        Self { first, rest: [const { OnceCell::new() }; SEGMENTS] }
    }

    /// Returns the entry, or `None` where the table has not grown to.
    #[inline]
    pub(crate) fn get(&self, index: u32) -> Option<&T> {
        match self.first.get(index as usize) {
            None => self.far(index),
            found => found,
        }
    }

    /// Returns the entry if it is in the first segment.
    #[inline]
    pub(crate) fn near(&self, index: u32) -> Option<&T> {
        self.first.get(index as usize)
    }

    #[inline(never)]
    fn far(&self, index: u32) -> Option<&T> {
        let (segment, offset) = locate(index);
        self.rest.get(segment)?.get()?.get(offset)
    }

    /// Returns the entry, growing the table up to its segment.
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
        let (segment, offset) = locate(index);
        let cells = self.rest[segment].get_or_init(|| {
            std::iter::repeat_with(T::default).take(segment_len(segment)).collect()
        });
        &cells[offset]
    }
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
        assert!(table.get(1023).is_some() && table.get(1024).is_none());
        table.grow(5000).set(7);
        assert_eq!(table.get(5000).map(std::cell::Cell::get), Some(7));
        assert!(table.get(1 << 25).is_none());
    }
}
