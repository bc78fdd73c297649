//! The waker that is a number: its data word is (loop number, generation, slot), its clone a copy,
//! its drop nothing.
//!
//! Inside a turn of its loop, on that thread, a wake tests and sets one flag and links one slot: no
//! atomic, no allocation. On that thread outside a turn, or in a turn of another loop, it does the same once
//! it has found the loop, and interrupts whoever waits: so these keep their order too. Anywhere else it goes to
//! the loop's inbox. Nothing is dereferenced by way of the word, so a stale or forged one can at worst poll
//! another item once for nothing.

use std::cell::Cell;
use std::mem::ManuallyDrop;
use std::ptr;
use std::task::{RawWaker, RawWakerVTable, Waker};

use crate::inbox::{LoopNumber, inbox_of};
use crate::item::ItemCell;
use crate::run_queue::{GENERATION_BITS, RunQueue, SLOT_BITS};
use crate::state::Scoped;

/// What wakes need of one loop.
#[derive(Debug)]
pub(crate) struct Home {
    pub(crate) number: LoopNumber,
    pub(crate) queue: RunQueue<ItemCell>,
}

thread_local! {
    /// The loop whose turn runs on this thread, innermost. No destructor, so that wakes work in the
    /// destructors of other thread-locals.
    static HOME: Scoped<Home> = const { Scoped::new() };
    /// How a thread that has made loops wakes the items of those that are not in their turn. No destructor, as
    /// above, and so no more than a load for other threads.
    static FIND: Cell<Option<Find>> = const { Cell::new(None) };
}

/// Says whether the loop of a word is this thread's, and then queues the word's item.
type Find = fn(Word) -> bool;

/// Has this thread ask `find` for loops whose turn does not run.
pub(crate) fn find_by(find: Find) {
    FIND.with(|cell| cell.set(Some(find)));
}

/// Calls `f` while wakes of this loop take the short way.
pub(crate) fn at_home<R>(home: &Home, f: impl FnOnce() -> R) -> R {
    HOME.with(|cell| cell.scope(home, f))
}

/// A packed (loop, generation, slot).
pub(crate) type Word = usize;

impl Home {
    /// Wakes a waiter of ours inside a turn of this loop, or gives it back: a foreign one runs code of
    /// its own.
    #[inline]
    pub(crate) fn wake_ours(&self, waiter: Waker) -> Option<Waker> {
        if !is_ours(&waiter) {
            return Some(waiter);
        }
        self.wake_word(waiter.data().addr());
        None
    }

    /// Wakes the item of a word inside a turn of this loop.
    #[inline(always)] // once per event
    pub(crate) fn wake_word(&self, word: Word) {
        if !self.queue.wake_idle(word) {
            self.wake_slowly(word);
        }
    }

    /// Apart and last, so that the short way saves no registers for a call.
    #[inline(never)]
    fn wake_slowly(&self, word: Word) {
        if self.queue.wake(word).is_err() {
            wake_abroad(word);
        }
    }

    /// Returns the word of the item that is in a slot now; of no slot one that is nobody's.
    pub(crate) fn word_in(&self, slot: u32) -> Word {
        match self.queue.content(slot) {
            Some(_) => self.queue.word(slot, self.queue.generation(slot)),
            None => Word::MAX,
        }
    }

    /// Whether this is the waker of the item that is in `slot` now.
    pub(crate) fn is_waker_of(&self, slot: u32, waker: &Waker) -> bool {
        is_ours(waker) && waker.data().addr() == self.queue.word(slot, self.queue.generation(slot))
    }
}

pub(crate) const fn slot_of(word: Word) -> u32 {
    (word & ((1 << SLOT_BITS) - 1)) as u32
}

pub(crate) const fn loop_of(word: Word) -> u32 {
    (word >> (GENERATION_BITS + SLOT_BITS)) as u32
}

/// A static, not a promoted constant: `will_wake` and `is_ours` compare its address.
static VTABLE: RawWakerVTable = RawWakerVTable::new(clone_raw, wake_raw, wake_raw, |_| {});

/// Only for others: leaves of ours call `copy`. So who is here may keep it, and wake it from anywhere.
fn clone_raw(word: *const ()) -> RawWaker {
    let noted = HOME.try_with(|cell| {
        cell.with(|home| home.is_some_and(|home| home.queue.note_escape(word.addr()).is_ok()))
    });
    if noted != Ok(true) {
        note_escape_abroad(word.addr());
    }
    RawWaker::new(word, &VTABLE)
}

#[cold]
fn note_escape_abroad(word: Word) {
    if let Some(inbox) = inbox_of(loop_of(word)) {
        inbox.note_escape();
    }
}

fn wake_raw(word: *const ()) {
    wake_word(word.addr());
}

/// Queues the item of this word, from any thread.
#[inline]
fn wake_word(word: Word) {
    let woken = HOME.try_with(|cell| {
        cell.with(|home| match home {
            Some(home) => home.wake_word(word),
            None => wake_abroad(word),
        });
    });
    if woken.is_err() {
        // Only where thread-locals are the system library's: this one was destroyed with the thread.
        wake_abroad(word);
    }
}

#[cold]
fn wake_abroad(word: Word) {
    if FIND.try_with(|cell| cell.get().is_some_and(|find| find(word))) == Ok(true) {
        return;
    }
    if let Some(inbox) = inbox_of(loop_of(word)) {
        inbox.wake(slot_of(word));
    }
}

/// Makes the waker of a word. It owns nothing, so it need not be dropped.
#[inline]
pub(crate) fn waker(word: Word) -> ManuallyDrop<Waker> {
    // SAFETY: the four functions of VTABLE accept any word, on any thread, at any time: they do
    // arithmetic on it, never dereference it, and own nothing.
    ManuallyDrop::new(unsafe { Waker::new(ptr::without_provenance(word), &VTABLE) })
}

/// Whether waking this runs no user code.
#[inline]
pub(crate) fn is_ours(waker: &Waker) -> bool {
    ptr::eq(waker.vtable(), &VTABLE)
}

/// The word of a waker of ours.
#[inline]
pub(crate) fn word_of(waker: &Waker) -> Option<Word> {
    is_ours(waker).then(|| waker.data().addr())
}

/// Whether this wakes an item of the loop of that number.
#[inline]
pub(crate) fn is_of_loop(waker: &Waker, number: u32) -> bool {
    is_ours(waker) && loop_of(waker.data().addr()) == number
}

/// Copies a waker for a waiter: one of ours without a call.
#[inline]
pub(crate) fn copy(other: &Waker) -> Waker {
    copy_ours(other).unwrap_or_else(|| other.clone())
}

/// Copies a waker of ours.
#[inline]
pub(crate) fn copy_ours(other: &Waker) -> Option<Waker> {
    is_ours(other).then(|| ManuallyDrop::into_inner(waker(other.data().addr())))
}

#[cfg(test)]
mod tests;
