//! The values that some receiver has yet to read.
//!
//! Invariant (Unread Last): who has not read a value has not read the later ones. So the values nobody
//! waits for are the oldest, and leave from the front.
//!
//! No method here runs user code: values leave whole, or shared, and are cloned and dropped outside.

use std::collections::VecDeque;
use std::rc::Rc;

use super::error::TryRecvError;

/// Empty cells kept for values to come.
const KEPT: usize = 64;

/// Holds a value while it is unread, and while it is cloned; empty when it is spare.
type Cell<T> = Rc<Option<T>>;

#[derive(Debug)]
pub(super) struct Ring<T> {
    /// The unread values, oldest first.
    slots: VecDeque<Slot<T>>,
    capacity: usize,
    /// The position of the next value to be sent. Positions wrap.
    tail: u64,
    /// Living receivers.
    pub(super) receivers: usize,
    spare: Vec<Cell<T>>,
}

#[derive(Debug)]
struct Slot<T> {
    value: Cell<T>,
    /// How many receivers have yet to read it; never 0.
    unread: usize,
}

/// A value on its way out.
#[derive(Debug)]
pub(super) enum Leaving<T> {
    /// To its last reader, or to nobody.
    Whole(T),
    /// Others will read it, or are cloning it just now.
    Shared(Cell<T>),
}

impl<T: Clone> Leaving<T> {
    /// Clones the value, for its last reader too: one that counts clones, or panics in them, is treated
    /// by the last as by the others.
    pub(super) fn into_clone(self) -> T {
        match &self {
            Self::Whole(value) => value.clone(),
            Self::Shared(cell) => match &**cell {
                Some(value) => value.clone(),
                None => unreachable!("only cells that nobody shares are emptied"),
            },
        }
    }
}

impl<T> Ring<T> {
    pub(super) fn new(capacity: usize, tail: u64) -> Self {
        Self { slots: VecDeque::new(), capacity, tail, receivers: 0, spare: Vec::new() }
    }

    /// How many values are unread.
    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    /// Where a receiver begins that is made now.
    pub(super) fn tail(&self) -> u64 {
        self.tail
    }

    /// Adds a value for all who receive now, and returns the one that made room for it.
    pub(super) fn push(&mut self, value: T) -> Option<Leaving<T>> {
        debug_assert!(self.receivers != 0);
        let evicted = if self.slots.len() == self.capacity { self.slots.pop_front() } else { None };
        let evicted = evicted.map(|slot| self.empty(slot.value));
        let mut cell = self.spare.pop().unwrap_or_default();
        match Rc::get_mut(&mut cell) {
            Some(inside) => *inside = Some(value),
            None => unreachable!("nobody shares a spare cell"),
        }
        self.slots.push_back(Slot { value: cell, unread: self.receivers });
        self.tail = self.tail.wrapping_add(1);
        evicted
    }

    /// Reads the next value of the receiver at `next`, or moves it up to the oldest value kept.
    #[inline]
    pub(super) fn read(&mut self, next: &mut u64) -> Result<Leaving<T>, TryRecvError> {
        let behind = self.tail.wrapping_sub(*next);
        if behind == 0 {
            return Err(TryRecvError::Empty);
        }
        let missed = behind.saturating_sub(self.capacity as u64);
        if missed != 0 {
            *next = next.wrapping_add(missed);
            return Err(TryRecvError::Lagged(missed));
        }
        *next = next.wrapping_add(1);
        let index = self.slots.len() - behind as usize;
        let slot = &mut self.slots[index];
        slot.unread -= 1;
        if slot.unread != 0 {
            return Ok(Leaving::Shared(slot.value.clone()));
        }
        debug_assert_eq!(index, 0, "Unread Last");
        let slot = self.slots.pop_front().expect("it was just read");
        Ok(self.empty(slot.value))
    }

    /// Takes a value out of its cell, unless it is being cloned.
    fn empty(&mut self, mut cell: Cell<T>) -> Leaving<T> {
        match Rc::get_mut(&mut cell).and_then(Option::take) {
            Some(value) => {
                if self.spare.len() < KEPT {
                    self.spare.push(cell);
                }
                Leaving::Whole(value)
            }
            None => Leaving::Shared(cell),
        }
    }
}
