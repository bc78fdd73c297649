//! The entries of one phase, in order of creation: found, made and removed in the same time however many
//! there are.
//!
//! Invariant (Linked): the links of the slots in use are one list, from `ends.next` to `ends.previous`; the
//! number of an entry that is removed is never given again.

use std::task::Waker;

use slab::Slab;

use crate::item::TaskId;
use crate::wake::Word;

/// One stream that waits for a phase.
#[derive(Debug)]
pub(super) struct Entry {
    /// The word of the item whose poll waited last; it is run in the phase itself.
    pub(super) item: Word,
    /// The children of scopes inside that poll, each inside the one before: what is called for them to be
    /// polled by it.
    pub(super) children: Vec<(u32, TaskId)>,
    /// Set while the stream waits.
    pub(super) waker: Option<Waker>,
    /// Set by the phase, cleared by the stream.
    pub(super) fired: bool,
}

/// Names an entry; of one that is gone, nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    index: usize,
    number: u64,
}

/// The neighbours of an entry; no index: the ends of the list.
#[derive(Clone, Copy, Debug)]
struct Links {
    previous: usize,
    next: usize,
}

/// The index of none.
const END: usize = usize::MAX;

#[derive(Debug)]
struct Place {
    number: u64,
    links: Links,
    entry: Entry,
}

/// See the head of this file.
#[derive(Debug)]
pub(super) struct Entries {
    places: Slab<Place>,
    /// The last and the first entry, as neighbours of `END`.
    ends: Links,
    next_number: u64,
}

impl Default for Entries {
    fn default() -> Self {
        Self { places: Slab::new(), ends: Links { previous: END, next: END }, next_number: 0 }
    }
}

impl Entries {
    /// Makes the last entry.
    pub(super) fn push(&mut self) -> Key {
        let number = self.next_number;
        self.next_number += 1;
        let entry = Entry { item: Word::MAX, children: Vec::new(), waker: None, fired: false };
        let links = Links { previous: self.ends.previous, next: END };
        let index = self.places.insert(Place { number, links, entry });
        self.links(links.previous).next = index;
        self.ends.previous = index;
        Key { index, number }
    }

    /// Returns an entry that is there.
    pub(super) fn get(&mut self, key: Key) -> Option<&mut Entry> {
        let place = self.places.get_mut(key.index).filter(|place| place.number == key.number)?;
        Some(&mut place.entry)
    }

    pub(super) fn remove(&mut self, key: Key) -> Option<Entry> {
        self.get(key)?;
        let Place { links, entry, .. } = self.places.remove(key.index);
        self.links(links.previous).next = links.next;
        self.links(links.next).previous = links.previous;
        Some(entry)
    }

    /// Each entry with its key, in order of creation.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Key, &Entry)> {
        let mut index = self.ends.next;
        std::iter::from_fn(move || {
            let place = self.places.get(index)?;
            let key = Key { index, number: place.number };
            index = place.links.next;
            Some((key, &place.entry))
        })
    }

    fn links(&mut self, index: usize) -> &mut Links {
        match self.places.get_mut(index) {
            Some(place) => &mut place.links,
            None => &mut self.ends,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_stay_in_order_of_creation_whatever_is_removed() {
        let mut entries = Entries::default();
        let mut expected: Vec<Key> = Vec::new();
        let mut random = 0x5eed_u64;
        for _ in 0..10_000 {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let choice = (random >> 8) as usize;
            if choice % 5 < 3 && expected.len() < 20 {
                expected.push(entries.push());
            } else if !expected.is_empty() {
                let gone = expected.remove(choice % expected.len());
                assert!(entries.remove(gone).is_some());
                assert!(entries.remove(gone).is_none() && entries.get(gone).is_none());
            }
            let keys: Vec<Key> = entries.iter().map(|(key, _)| key).collect();
            assert_eq!(keys, expected);
        }
    }
}
