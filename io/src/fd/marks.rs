//! What a descriptor's source has told and was told.

use std::cell::Cell;

use loopline_runtime::registration::Directions;

/// What a source has told and was told, in two bytes: nearly always none is set, `PROGRESS` apart.
pub(super) struct Marks {
    bits: Cell<u8>,
    /// The directions that were told, and of which nobody has said since whether they are so still.
    /// `try_io` says it of its own alone.
    untold: Cell<Directions>,
}

impl Marks {
    /// The poller is to be asked: it never was, or somebody wants to hear anew what it says.
    pub(super) const ASK: u8 = 1;
    /// Of a one-shot source: its event was told, and `rearm` was not called since.
    pub(super) const SPENT: u8 = 1 << 1;
    /// The end of what is read was told.
    pub(super) const TOLD_READ: u8 = 1 << 2;
    /// The end of what is written was told.
    pub(super) const TOLD_WRITE: u8 = 1 << 3;
    /// The registration failed or everything has ended: there are no more events.
    pub(super) const OVER: u8 = 1 << 4;
    /// Set by an operation that did something (not one that read 0 bytes), cleared by an event.
    pub(super) const PROGRESS: u8 = 1 << 5;
    /// The end of what is read was told while there was more to read, and no `try_io` has read since: who reads
    /// past it, until a read gives nothing, has not seen the end.
    pub(super) const UNSEEN: u8 = 1 << 6;

    pub(super) const fn new() -> Self {
        Self { bits: Cell::new(Self::ASK), untold: Cell::new(Directions::NONE) }
    }

    #[inline]
    pub(super) fn any(&self, marks: u8) -> bool {
        self.bits.get() & marks != 0
    }

    #[inline]
    pub(super) fn set(&self, marks: u8, on: bool) {
        let others = self.bits.get() & !marks;
        self.bits.set(if on { others | marks } else { others });
    }

    /// Whether there is nothing but readiness to tell of.
    #[inline]
    pub(super) fn is_plain(&self) -> bool {
        !self.any(!Self::PROGRESS) && self.untold.get().is_empty()
    }

    /// Notes that these are told.
    #[inline]
    pub(super) fn leave_untold(&self, told: Directions) {
        self.untold.set(told);
    }

    /// Notes that an operation in these says how they are.
    #[inline]
    pub(super) fn hear_of(&self, tried: Directions) {
        self.untold.set(self.untold.get().without(tried));
    }

    /// Whether the poller has to be asked, which is about to be done: if so, the directions that were told.
    /// What is known of any other is news still.
    pub(super) fn take_asking(&self) -> Option<Directions> {
        let untold = self.untold.replace(Directions::NONE);
        let asks = self.any(Self::ASK) || !untold.is_empty();
        self.set(Self::ASK, false);
        asks.then_some(untold)
    }
}
