//! The three phases around the run phase, and who waits for them: before park, after park, idle.
//!
//! Keeps entries only; the turn fires them and the streams in `phase` wait on them. An entry fires at
//! most once for each time its stream waited. Finding one takes the same time however many there are.

use std::cell::{Cell, RefCell};
use std::mem;
use std::task::Waker;

use crate::clock::Nanos;
use crate::item::TaskId;
use crate::wake::{self, Word};

pub(crate) use self::entries::Key;
use self::entries::{Entries, Entry};

mod entries;

/// A moment of the turn that a stream can wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    BeforePark,
    AfterPark,
    Idle,
}

/// In whose poll a stream waits: the item's word, and the children of scopes inside that, by slot and number.
pub(crate) type Whose<'a> = (Word, &'a [(u32, TaskId)]);

/// An entry that fired.
pub(crate) struct Fired {
    pub(crate) waker: Waker,
    pub(crate) item: Word,
    pub(crate) children: Vec<(u32, TaskId)>,
}

/// The entries of one loop.
#[derive(Debug, Default)]
pub(crate) struct Phases {
    /// By phase.
    entries: [RefCell<Entries>; 3],
    /// How many entries of each phase wait now.
    waiting: [Cell<usize>; 3],
    /// Counts what ran before or after a wait for no other reason.
    pub(crate) around_waits: Cell<u64>,
    /// What the idle phase tells: the next deadline, if there is one.
    pub(crate) idle_until: Cell<Option<Nanos>>,
}

impl Phases {
    /// Whether any stream waits for this phase.
    #[inline]
    pub(crate) fn any(&self, phase: Phase) -> bool {
        self.waiting[phase as usize].get() != 0
    }

    /// Makes an entry, the last in order, that does not wait yet.
    pub(crate) fn add(&self, phase: Phase) -> Key {
        self.entries[phase as usize].borrow_mut().push()
    }

    /// Removes an entry. Returns its waker, to be dropped with nothing borrowed.
    pub(crate) fn remove(&self, phase: Phase, key: Key) -> Option<Waker> {
        let waker = self.entries[phase as usize].borrow_mut().remove(key)?.waker;
        self.count(phase, waker.is_some(), false);
        waker
    }

    /// Returns `Ok` if the entry fired since the last call, else waits: `Err` holds the waker that was
    /// replaced, to be dropped with nothing borrowed.
    pub(crate) fn poll(
        &self,
        phase: Phase,
        key: Key,
        item: Word,
        children: &RefCell<Vec<(u32, TaskId)>>,
        waker: &Waker,
    ) -> Result<(), Option<Waker>> {
        let waker = wake::copy(waker);
        let mut entries = self.entries[phase as usize].borrow_mut();
        let Some(entry) = entries.get(key) else {
            return Err(Some(waker));
        };
        if mem::take(&mut entry.fired) {
            drop(entries);
            return Ok(());
        }
        entry.item = item;
        entry.children.clear();
        entry.children.extend_from_slice(&children.borrow());
        let old = entry.waker.replace(waker);
        self.count(phase, old.is_some(), true);
        Err(old)
    }

    /// Returns the keys of the entries that wait now, in the order they fire.
    pub(crate) fn due(&self, phase: Phase) -> Vec<Key> {
        let entries = self.entries[phase as usize].borrow();
        let mut keys = Vec::with_capacity(self.waiting[phase as usize].get());
        keys.extend(entries.iter().filter(|(_, entry)| entry.waker.is_some()).map(|(key, _)| key));
        if phase == Phase::AfterPark {
            // Nested like brackets: what prepared last is told first.
            keys.reverse();
        }
        keys
    }

    /// Fires one entry if it still waits, and if `may_run` does not say of whose it is and of its waker that it
    /// goes on waiting. Returns the waker and whose it is.
    pub(crate) fn fire(
        &self,
        phase: Phase,
        key: Key,
        may_run: impl FnOnce(Whose<'_>, &Waker) -> bool,
    ) -> Option<Fired> {
        let mut entries = self.entries[phase as usize].borrow_mut();
        let Entry { item, children, waker, fired } = entries.get(key)?;
        let waker = waker.take_if(|waker| may_run((*item, children), waker))?;
        *fired = true;
        self.count(phase, true, false);
        Some(Fired { waker, item: *item, children: mem::take(children) })
    }

    fn count(&self, phase: Phase, before: bool, after: bool) {
        let count = &self.waiting[phase as usize];
        count.set(count.get() + usize::from(after) - usize::from(before));
    }
}
