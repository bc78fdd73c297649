//! The ledger of one registered source: what it is known to be ready for, and who waits.
//!
//! The poller is edge-triggered, so readiness is remembered here until an operation saw WouldBlock.
//! The closed bits stay for good: with data and end-of-file in one event no second event comes.
//!
//! One word of flags holds all of it that is looked at often, so that an event, an operation and a
//! wait each read and write it once: bits of `Ready`, the directions the poller watches, who waits.
//!
//! Invariant (Waiting): `one(d)` is set exactly while the word and the owner of direction `d` are those
//! of a waiter; `more(d)` exactly while its list has some. A key waits in one place at most.

use std::cell::Cell;
use std::fmt;
use std::mem::ManuallyDrop;
use std::task::Waker;

use crate::wake::{self, Word};

pub(crate) use self::ready::Ready;
pub use self::ready::{Direction, Directions, Each};

mod ready;

/// Names one waiter of one direction, so that it can be replaced and removed.
///
/// A future keeps one, starting with [`WaitKey::new`]; the `poll_` forms of a trait, which have one
/// slot for whoever polled last, use [`WaitKey::last_poller`].
#[derive(Debug, PartialEq, Eq)]
pub struct WaitKey(u64);

impl WaitKey {
    /// Makes the key of the `poll_` forms: the last one to poll is woken.
    #[must_use]
    pub const fn last_poller() -> Self {
        Self(LAST_POLLER)
    }

    /// Makes a key that is not waiting yet.
    #[must_use]
    pub const fn new() -> Self {
        Self(0)
    }
}

impl Default for WaitKey {
    fn default() -> Self {
        Self::new()
    }
}

/// The number of `WaitKey::last_poller`.
const LAST_POLLER: u64 = u64::MAX;

/// Waiters by their keys.
type Crowd = Vec<(u64, Waker)>;

/// Who waits for one direction. The ledger's flags say what of it counts.
#[derive(Default)]
struct Waiters {
    /// The number that is the waker of one waiter, an item of a loop of ours.
    word: Cell<Word>,
    /// Its key.
    owner: Cell<u64>,
    /// Those that came while somebody waited, and those with wakers of other libraries. Kept when
    /// empty: who came once comes again.
    others: Cell<Option<Box<Crowd>>>,
}

/// The poller watches a direction: its bit, shifted.
const WATCHED_SHIFT: u32 = 8;
/// The loop that registered the source is gone.
const ORPHAN: u32 = 1 << 15;

/// One waits for this direction by its word.
const fn one(direction: Direction) -> u32 {
    1 << (16 + direction.place() as u32)
}

/// Some wait for this direction in the list.
const fn more(direction: Direction) -> u32 {
    one(direction) << 8
}

/// `one` and `more` of all directions.
const WAITERS: u32 = 0b111 << 16 | 0b111 << 24;

const fn watched(directions: Directions) -> u32 {
    directions.bits() << WATCHED_SHIFT
}

/// The readiness and the waiters of one source.
pub(crate) struct Ledger {
    /// Bits of `Ready`, set by events, cleared by operations that saw WouldBlock; above them
    /// `watched`, `ORPHAN`, `one` and `more`.
    flags: Cell<u32>,
    /// Counts events, so that who looked earlier can tell whether there was a newer one. Wraps.
    events: Cell<u32>,
    /// By [`Direction::place`].
    waiters: [Waiters; 3],
    /// How many keys were given to waiters.
    keys: Cell<u64>,
}

impl Ledger {
    /// Makes a ledger that believes in these bits until an operation says otherwise.
    pub(crate) fn new(ready: u8) -> Self {
        Self {
            flags: Cell::new(u32::from(ready)),
            events: Cell::new(0),
            waiters: Default::default(),
            keys: Cell::new(0),
        }
    }

    #[inline]
    fn has(&self, bits: u32) -> bool {
        self.flags.get() & bits != 0
    }

    #[inline]
    fn set(&self, bits: u32) {
        self.flags.set(self.flags.get() | bits);
    }

    #[inline]
    fn unset(&self, bits: u32) {
        self.flags.set(self.flags.get() & !bits);
    }

    #[inline]
    pub(crate) fn is_ready(&self, direction: Direction) -> bool {
        self.has(Ready::mask(direction).into())
    }

    #[inline]
    fn bits(&self) -> Ready {
        Ready(self.flags.get() as u8)
    }

    /// The directions that are ready, their ends apart.
    #[inline]
    pub(crate) fn open(&self) -> Directions {
        self.bits().open()
    }

    /// The directions that are closed for good.
    #[inline]
    pub(crate) fn closed(&self) -> Directions {
        self.bits().closed()
    }

    /// Forgets that these were ready; closed stays closed.
    #[inline]
    pub(crate) fn clear(&self, directions: Directions) {
        self.unset(directions.bits());
    }

    /// Forgets the closed bits too, because an operation just saw WouldBlock in spite of them: a
    /// socket that was registered before it was connected reports itself closed.
    pub(crate) fn clear_closed(&self, direction: Direction) {
        self.unset(Ready::mask(direction).into());
    }

    /// How many events there were, wrapping.
    pub(crate) fn events(&self) -> u32 {
        self.events.get()
    }

    #[inline]
    fn count(&self) {
        self.events.set(self.events.get().wrapping_add(1));
    }

    /// Adds readiness that is only believed in; nobody is woken.
    pub(crate) fn assume(&self, ready: u8) {
        self.set(ready.into());
    }

    /// Adds readiness that came as an event, and hands out who waited for it.
    #[inline(never)] // rare
    pub(crate) fn mark(&self, ready: Ready, woken: &mut Vec<Waker>) {
        self.set(ready.0.into());
        self.count();
        for direction in ready.open() | ready.closed() {
            self.take_all(direction, woken);
        }
    }

    /// As `mark` where nearly always it finds who waits: at most one of ours, and that to read. Returns its
    /// word. `Err`: there are others, and nothing was done.
    #[inline]
    pub(crate) fn mark_for_one(&self, ready: Ready) -> Result<Option<Word>, ()> {
        const READER: u32 = one(Direction::Read);
        let flags = self.flags.get();
        if flags & WAITERS & !READER != 0 {
            return Err(());
        }
        self.count();
        let wakes = if ready.0 & Ready::mask(Direction::Read) != 0 { READER } else { 0 };
        self.flags.set((flags | u32::from(ready.0)) & !wakes);
        Ok((flags & wakes != 0).then(|| self.waiters[Direction::Read.place()].word.get()))
    }

    /// Hands out all waiters of a direction.
    fn take_all(&self, direction: Direction, woken: &mut Vec<Waker>) {
        let waiters = &self.waiters[direction.place()];
        let flags = self.flags.get();
        self.flags.set(flags & !(one(direction) | more(direction)));
        if flags & one(direction) != 0 {
            woken.push(ManuallyDrop::into_inner(wake::waker(waiters.word.get())));
        }
        if flags & more(direction) != 0 {
            let mut others = waiters.others.take().unwrap_or_default();
            woken.extend(others.drain(..).map(|(_, waker)| waker));
            waiters.others.set(Some(others));
        }
    }

    /// As `wait` for what nearly every wait is: by the word of an item of ours, where the poller watches
    /// and nobody waits yet. Returns whether it was that; if not, nothing was done.
    #[inline]
    pub(crate) fn wait_alone(&self, direction: Direction, key: &mut WaitKey, word: Word) -> bool {
        let flags = self.flags.get();
        let watched = watched(direction.into());
        let asked = watched | one(direction) | more(direction);
        if flags & asked != watched {
            return false;
        }
        let key = self.number(key);
        self.stand(flags, direction, key, word);
        true
    }

    /// Waits: stores the waker under the key. Returns a waker to be dropped with nothing borrowed.
    pub(crate) fn wait(
        &self,
        direction: Direction,
        key: &mut WaitKey,
        waker: &Waker,
    ) -> Option<Waker> {
        let key = self.number(key);
        let flags = self.flags.get();
        if !wake::is_ours(waker) || flags & (one(direction) | more(direction)) != 0 {
            return self.wait_among(direction, key, waker);
        }
        self.stand(flags, direction, key, waker.data().addr());
        None
    }

    /// Gives a key its number at its first wait.
    #[inline]
    fn number(&self, key: &mut WaitKey) -> u64 {
        if key.0 == 0 {
            let given = self.keys.get() + 1;
            self.keys.set(given);
            key.0 = given;
        }
        key.0
    }

    /// Stores the one waiter of a direction.
    #[inline]
    fn stand(&self, flags: u32, direction: Direction, key: u64, word: Word) {
        self.flags.set(flags | one(direction));
        let waiters = &self.waiters[direction.place()];
        waiters.owner.set(key);
        waiters.word.set(word);
    }

    /// Waits in the list.
    #[cold]
    fn wait_among(&self, direction: Direction, key: u64, waker: &Waker) -> Option<Waker> {
        let waker = wake::copy(waker);
        let old = self.remove(direction, key);
        let waiters = &self.waiters[direction.place()];
        let mut others = waiters.others.take().unwrap_or_default();
        others.push((key, waker));
        waiters.others.set(Some(others));
        self.set(more(direction));
        old
    }

    /// Removes the waiter of a key. Returns its waker.
    fn remove(&self, direction: Direction, key: u64) -> Option<Waker> {
        let waiters = &self.waiters[direction.place()];
        if self.has(one(direction)) && waiters.owner.get() == key {
            self.unset(one(direction));
            return Some(ManuallyDrop::into_inner(wake::waker(waiters.word.get())));
        }
        let mut others = waiters.others.take()?;
        let found = others.iter().position(|(other, _)| *other == key);
        let removed = found.map(|index| others.remove(index).1);
        if others.is_empty() {
            self.unset(more(direction));
        }
        waiters.others.set(Some(others));
        removed
    }

    /// Whether the loop that would wake the waiters is gone.
    #[inline]
    pub(crate) fn is_orphan(&self) -> bool {
        self.has(ORPHAN)
    }

    /// Whether the poller watches this direction, on a loop that lives.
    #[inline]
    pub(crate) fn is_watched(&self, direction: Direction) -> bool {
        self.has(watched(direction.into()))
    }

    /// Notes that the poller watches these.
    pub(crate) fn watch(&self, directions: Directions) {
        self.set(watched(directions));
    }

    /// Hands out all who wait, for good: they look, and find that their loop is gone.
    pub(crate) fn release(&self, woken: &mut Vec<Waker>) {
        self.set(ORPHAN);
        self.unset(watched(Directions::ALL));
        for direction in Directions::ALL {
            self.take_all(direction, woken);
        }
    }

    /// Whether anybody waits, for whatever direction.
    #[inline]
    pub(crate) fn is_awaited(&self) -> bool {
        self.has(WAITERS)
    }

    /// Whether anybody waits in this direction.
    pub(crate) fn has_waiters(&self, direction: Direction) -> bool {
        self.has(one(direction) | more(direction))
    }

    /// Ends a wait. Returns a waker to be dropped with nothing borrowed.
    pub(crate) fn unwait(&self, direction: Direction, key: &mut WaitKey) -> Option<Waker> {
        match key.0 {
            0 => None,
            LAST_POLLER => self.remove(direction, LAST_POLLER),
            _ => self.remove(direction, std::mem::take(&mut key.0)),
        }
    }
}

impl fmt::Debug for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ledger").field("ready", &self.bits()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
