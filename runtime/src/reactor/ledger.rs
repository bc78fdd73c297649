//! The ledger of one registered source: what it is known to be ready for, and who waits.
//!
//! The poller is edge-triggered, so readiness is remembered here until an operation saw WouldBlock.
//! The closed bits stay for good: with data and end-of-file in one event no second event comes.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::task::Waker;

use crate::wake;

/// What a wait is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Direction {
    /// Readable, or the peer will send no more.
    Read,
    /// Writable, or nothing can be sent any more.
    Write,
    /// Priority data is there, such as TCP's urgent byte.
    Priority,
}

/// A set of readiness bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ready(pub(crate) u8);

impl Ready {
    pub(crate) const READABLE: u8 = 1;
    pub(crate) const WRITABLE: u8 = 1 << 1;
    pub(crate) const PRIORITY: u8 = 1 << 2;
    /// The peer sends no more, or the source failed.
    pub(crate) const READ_CLOSED: u8 = 1 << 3;
    /// Nothing can be sent any more, or the source failed.
    pub(crate) const WRITE_CLOSED: u8 = 1 << 4;
    /// Comes with `READ_CLOSED`, for those who wait for priority data. A bit of its own: that one of
    /// them saw WouldBlock must not take the end-of-file from a reader.
    pub(crate) const PRIORITY_CLOSED: u8 = 1 << 5;

    const fn mask(direction: Direction) -> u8 {
        match direction {
            Direction::Read => Self::READABLE | Self::READ_CLOSED,
            Direction::Write => Self::WRITABLE | Self::WRITE_CLOSED,
            Direction::Priority => Self::PRIORITY | Self::PRIORITY_CLOSED,
        }
    }

    const fn clearable(direction: Direction) -> u8 {
        match direction {
            Direction::Read => Self::READABLE,
            Direction::Write => Self::WRITABLE,
            Direction::Priority => Self::PRIORITY,
        }
    }
}

/// Names one waiter of one direction, so that it can be replaced and removed.
///
/// A future keeps one, starting with [`WaitKey::new`]; the `poll_` forms of a trait, which have one
/// slot for whoever polled last, use [`WaitKey::last_poller`].
#[derive(Debug, PartialEq, Eq)]
pub struct WaitKey(u32);

impl WaitKey {
    /// Makes the key of the `poll_` forms: the last one to poll is woken.
    #[must_use]
    pub const fn last_poller() -> Self {
        Self(u32::MAX)
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

/// How many keys there are: neither 0 nor that of `WaitKey::last_poller`.
const KEYS: u64 = u32::MAX as u64 - 1;

/// Waiters by their keys.
type Crowd = Vec<(u32, Waker)>;

/// Who waits for one direction: the first inline, others in a list.
#[derive(Default)]
struct Waiters {
    first: Cell<Option<Waker>>,
    /// Whose waker `first` is; 0 while it is empty.
    owner: Cell<u32>,
    /// How many `others` there are.
    crowd: Cell<u32>,
    /// Those that came while `first` was taken; none while it is empty. The keys are never 0.
    others: Cell<Option<Box<Crowd>>>,
}

impl Waiters {
    /// Stores or replaces the waiter of a key. Returns the waker replaced.
    #[inline]
    fn set(&self, key: u32, waker: Waker) -> Option<Waker> {
        let owner = self.owner.get();
        if owner == 0 || owner == key {
            self.owner.set(key);
            return self.first.replace(Some(waker));
        }
        self.set_other(key, waker)
    }

    #[cold]
    fn set_other(&self, key: u32, waker: Waker) -> Option<Waker> {
        let mut others = self.others.take().unwrap_or_default();
        let old = match others.iter_mut().find(|(other, _)| *other == key) {
            Some((_, old)) => Some(std::mem::replace(old, waker)),
            None => {
                others.push((key, waker));
                None
            }
        };
        self.crowd.set(others.len() as u32);
        self.others.set(Some(others));
        old
    }

    /// Removes the waiter of a key. Returns its waker.
    #[inline]
    fn remove(&self, key: u32) -> Option<Waker> {
        match self.owner.get() {
            // Nobody waits: woken before, as usual.
            0 => None,
            owner => self.remove_one(owner == key, key),
        }
    }

    #[cold]
    fn remove_one(&self, first: bool, key: u32) -> Option<Waker> {
        let mut others = self.others.take();
        let removed = if first {
            // The one that came next.
            let next = others.as_mut().filter(|o| !o.is_empty()).map(|others| others.remove(0));
            self.owner.set(next.as_ref().map_or(0, |(key, _)| *key));
            self.first.replace(next.map(|(_, waker)| waker))
        } else {
            others.as_mut().and_then(|others| {
                let index = others.iter().position(|(other, _)| *other == key)?;
                Some(others.remove(index).1)
            })
        };
        self.crowd.set(others.as_ref().map_or(0, |others| others.len() as u32));
        self.others.set(others.filter(|others| !others.is_empty()));
        removed
    }

    fn has(&self, key: u32) -> bool {
        let in_list = |others: &Crowd| others.iter().any(|(other, _)| *other == key);
        let others = self.others.take();
        let found = self.owner.get() == key || others.as_deref().is_some_and(in_list);
        self.others.set(others);
        found
    }

    #[inline]
    fn is_empty(&self) -> bool {
        self.owner.get() == 0
    }

    #[inline]
    fn has_others(&self) -> bool {
        self.crowd.get() != 0
    }

    /// Hands out all waiters.
    fn wake_all(&self, wake: &mut impl FnMut(Waker)) {
        if self.owner.replace(0) == 0 {
            return;
        }
        if let Some(waker) = self.first.take() {
            wake(waker);
        }
        // Taken as a whole: a waiter that comes back must not be woken twice by one event.
        self.crowd.set(0);
        if let Some(others) = self.others.take() {
            others.into_iter().for_each(|(_, waker)| wake(waker));
        }
    }
}

/// The readiness and the waiters of one source.
pub(crate) struct Ledger {
    /// Bits of `Ready`. Set by events, cleared by operations that saw WouldBlock.
    ready: Cell<u8>,
    /// Directions that the poller watches, as the bits READABLE, WRITABLE and PRIORITY.
    watched: Cell<u8>,
    /// Set once the loop that registered the source is gone.
    orphan: Cell<bool>,
    readers: Waiters,
    writers: Waiters,
    /// Priority waiters are rare; they share one list with a box of its own.
    urgent: RefCell<Option<Box<Waiters>>>,
    /// How many keys were given to waiters.
    keys: Cell<u64>,
}

impl Ledger {
    /// Makes a ledger that believes in these bits until an operation says otherwise.
    pub(crate) fn new(ready: u8) -> Self {
        Self {
            ready: Cell::new(ready),
            watched: Cell::new(0),
            orphan: Cell::new(false),
            readers: Waiters::default(),
            writers: Waiters::default(),
            urgent: RefCell::new(None),
            keys: Cell::new(0),
        }
    }

    #[inline]
    pub(crate) fn is_ready(&self, direction: Direction) -> bool {
        self.ready.get() & Ready::mask(direction) != 0
    }

    /// Whether the direction is ready, its end apart.
    pub(crate) fn is_open_ready(&self, direction: Direction) -> bool {
        self.ready.get() & Ready::clearable(direction) != 0
    }

    /// Whether the direction is closed for good.
    #[inline]
    pub(crate) fn is_closed(&self, direction: Direction) -> bool {
        let closed = match direction {
            Direction::Read => Ready::READ_CLOSED,
            Direction::Priority => Ready::PRIORITY_CLOSED,
            Direction::Write => Ready::WRITE_CLOSED,
        };
        self.ready.get() & closed != 0
    }

    /// Forgets that a direction was ready; closed stays closed.
    #[inline]
    pub(crate) fn clear(&self, direction: Direction) {
        self.ready.set(self.ready.get() & !Ready::clearable(direction));
    }

    /// Forgets the closed bits too, because an operation just saw WouldBlock in spite of them: a
    /// socket that was registered before it was connected reports itself closed.
    pub(crate) fn clear_closed(&self, direction: Direction) {
        self.ready.set(self.ready.get() & !Ready::mask(direction));
    }

    /// Adds readiness that is only believed in; nobody is woken.
    pub(crate) fn assume(&self, ready: u8) {
        self.ready.set(self.ready.get() | ready);
    }

    /// Adds readiness that came as an event, and hands out who waited for it.
    pub(crate) fn mark(&self, ready: Ready, wake: &mut impl FnMut(Waker)) {
        self.ready.set(self.ready.get() | ready.0);
        if ready.0 & Ready::mask(Direction::Read) != 0 {
            self.readers.wake_all(wake);
        }
        if ready.0 & Ready::mask(Direction::Write) != 0 {
            self.writers.wake_all(wake);
        }
        if ready.0 & Ready::mask(Direction::Priority) != 0 {
            if let Some(urgent) = &*self.urgent.borrow() {
                urgent.wake_all(wake);
            }
        }
    }

    /// As `mark` for what nearly every event is: readable, perhaps writable too but nobody waits for
    /// that, and one waiter at most, which is returned. `Err`: it is not that, and nothing was done.
    #[inline]
    pub(crate) fn mark_readable(&self, ready: Ready) -> Result<Option<Waker>, ()> {
        let usual = ready.0 | Ready::WRITABLE == Ready::READABLE | Ready::WRITABLE;
        if !usual || self.readers.has_others() || !self.writers.is_empty() {
            return Err(());
        }
        self.ready.set(self.ready.get() | ready.0);
        self.readers.owner.set(0);
        Ok(self.readers.first.take())
    }

    /// Waits: stores the waker under the key. Returns a waker to be dropped with nothing borrowed.
    #[inline]
    pub(crate) fn wait(
        &self,
        direction: Direction,
        key: &mut WaitKey,
        waker: &Waker,
    ) -> Option<Waker> {
        if key.0 == 0 {
            key.0 = self.new_key(direction);
        }
        let waker = wake::copy(waker);
        match direction {
            Direction::Read => self.readers.set(key.0, waker),
            Direction::Write => self.writers.set(key.0, waker),
            Direction::Priority => {
                self.urgent.borrow_mut().get_or_insert_default().set(key.0, waker)
            }
        }
    }

    /// Numbers a waiter. Once the numbers have wrapped, those that still wait are passed over.
    #[inline]
    fn new_key(&self, direction: Direction) -> u32 {
        let given = self.keys.get();
        self.keys.set(given + 1);
        if given < KEYS { given as u32 + 1 } else { self.wrapped_key(direction) }
    }

    #[cold]
    fn wrapped_key(&self, direction: Direction) -> u32 {
        loop {
            let given = self.keys.get();
            self.keys.set(given + 1);
            let key = (given % KEYS) as u32 + 1;
            if !self.waits(direction, key) {
                return key;
            }
        }
    }

    fn waits(&self, direction: Direction, key: u32) -> bool {
        match direction {
            Direction::Read => self.readers.has(key),
            Direction::Write => self.writers.has(key),
            Direction::Priority => self.urgent.borrow().as_ref().is_some_and(|w| w.has(key)),
        }
    }

    /// Whether the loop that would wake the waiters is gone.
    pub(crate) fn is_orphan(&self) -> bool {
        self.orphan.get()
    }

    /// Whether the poller watches this direction, on a loop that lives.
    #[inline]
    pub(crate) fn is_watched(&self, direction: Direction) -> bool {
        self.watched.get() & Ready::clearable(direction) != 0
    }

    /// Notes that the poller watches this direction.
    pub(crate) fn watch(&self, direction: Direction) {
        self.watched.set(self.watched.get() | Ready::clearable(direction));
    }

    /// Hands out all who wait, for good: they look, and find that their loop is gone.
    pub(crate) fn release(&self, wake: &mut impl FnMut(Waker)) {
        self.orphan.set(true);
        self.watched.set(0);
        self.readers.wake_all(wake);
        self.writers.wake_all(wake);
        if let Some(urgent) = &*self.urgent.borrow() {
            urgent.wake_all(wake);
        }
    }

    /// Whether anybody waits for this direction.
    #[inline]
    pub(crate) fn has_waiters(&self, direction: Direction) -> bool {
        match direction {
            Direction::Read => !self.readers.is_empty(),
            Direction::Write => !self.writers.is_empty(),
            Direction::Priority => true,
        }
    }

    /// Ends a wait. Returns a waker to be dropped with nothing borrowed.
    pub(crate) fn unwait(&self, direction: Direction, key: &mut WaitKey) -> Option<Waker> {
        let key = match key.0 {
            0 => return None,
            u32::MAX => u32::MAX,
            _ => std::mem::take(&mut key.0),
        };
        match direction {
            Direction::Read => self.readers.remove(key),
            Direction::Write => self.writers.remove(key),
            Direction::Priority => self.urgent.borrow().as_ref()?.remove(key),
        }
    }
}

impl fmt::Debug for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ledger").field("ready", &Ready(self.ready.get())).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
