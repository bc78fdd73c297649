//! The three phases around the run phase, and who waits for them: before park, after park, idle.
//!
//! Keeps entries only; the turn fires them and the streams in `phase` wait on them. An entry fires at
//! most once for each time its stream waited.

use std::cell::{Cell, RefCell};
use std::task::Waker;

use crate::clock::Nanos;
use crate::wake;

/// A moment of the turn that a stream can wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    BeforePark,
    AfterPark,
    Idle,
}

/// One stream that waits for a phase.
#[derive(Debug)]
struct Entry {
    key: u64,
    /// The item whose poll waited last; it is run in the phase itself.
    slot: u32,
    /// Set while the stream waits.
    waker: Option<Waker>,
    /// Set by the phase, cleared by the stream.
    fired: bool,
}

/// The entries of one loop.
#[derive(Debug, Default)]
pub(crate) struct Phases {
    /// By phase, in order of creation.
    entries: [RefCell<Vec<Entry>>; 3],
    /// How many entries of each phase wait now.
    waiting: [Cell<usize>; 3],
    next_key: Cell<u64>,
    /// Counts what ran before or after a wait.
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

    pub(crate) fn add(&self, phase: Phase) -> u64 {
        let key = self.next_key.get();
        self.next_key.set(key + 1);
        self.entries[phase as usize].borrow_mut().push(Entry {
            key,
            slot: crate::run_queue::NONE,
            waker: None,
            fired: false,
        });
        key
    }

    /// Removes an entry. Returns its waker, to be dropped with nothing borrowed.
    pub(crate) fn remove(&self, phase: Phase, key: u64) -> Option<Waker> {
        let mut entries = self.entries[phase as usize].borrow_mut();
        let index = entries.iter().position(|entry| entry.key == key)?;
        let waker = entries.remove(index).waker;
        self.count(phase, waker.is_some(), false);
        waker
    }

    /// Returns `Ok` if the entry fired since the last call, else waits: `Err` holds the waker that was
    /// replaced, to be dropped with nothing borrowed.
    pub(crate) fn poll(
        &self,
        phase: Phase,
        key: u64,
        slot: u32,
        waker: &Waker,
    ) -> Result<(), Option<Waker>> {
        let waker = wake::copy(waker);
        let mut entries = self.entries[phase as usize].borrow_mut();
        let Some(entry) = entries.iter_mut().find(|entry| entry.key == key) else {
            return Err(Some(waker));
        };
        if std::mem::take(&mut entry.fired) {
            drop(entries);
            return Ok(());
        }
        entry.slot = slot;
        let old = entry.waker.replace(waker);
        self.count(phase, old.is_some(), true);
        Err(old)
    }

    /// Returns the keys of the entries that wait now, in the order they fire.
    pub(crate) fn due(&self, phase: Phase) -> Vec<u64> {
        let entries = self.entries[phase as usize].borrow();
        let waiting = entries.iter().filter(|entry| entry.waker.is_some()).map(|entry| entry.key);
        let mut keys: Vec<u64> = waiting.collect();
        if phase == Phase::AfterPark {
            // Nested like brackets: what prepared last is told first.
            keys.reverse();
        }
        keys
    }

    /// Fires one entry if it still waits, and if `may_run` does not say of its item's slot and its waker that
    /// it goes on waiting. Returns the waker and the slot.
    pub(crate) fn fire(
        &self,
        phase: Phase,
        key: u64,
        may_run: impl FnOnce(u32, &Waker) -> bool,
    ) -> Option<(Waker, u32)> {
        let mut entries = self.entries[phase as usize].borrow_mut();
        let entry = entries.iter_mut().find(|entry| entry.key == key)?;
        let waker = entry.waker.take_if(|waker| may_run(entry.slot, waker))?;
        entry.fired = true;
        self.count(phase, true, false);
        Some((waker, entry.slot))
    }

    fn count(&self, phase: Phase, before: bool, after: bool) {
        let count = &self.waiting[phase as usize];
        count.set(count.get() + usize::from(after) - usize::from(before));
    }
}
