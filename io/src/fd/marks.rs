//! What a descriptor's source has told and was told.

use std::cell::Cell;

/// What a source has told and was told, in one byte: nearly always none is set, `PROGRESS` apart.
pub(super) struct Marks(Cell<u8>);

impl Marks {
    /// It never joined the poller.
    pub(super) const NEW: u8 = 1;
    /// Set by an event, cleared by `try_io`: nobody told the loop whether the descriptor is empty.
    pub(super) const UNTOLD: u8 = 1 << 1;
    /// Of a one-shot source: its event was told, and `rearm` was not called since.
    pub(super) const SPENT: u8 = 1 << 2;
    /// The end of what is read was told.
    pub(super) const TOLD_READ: u8 = 1 << 3;
    /// The end of what is written was told.
    pub(super) const TOLD_WRITE: u8 = 1 << 4;
    /// The registration failed or everything has ended: there are no more events.
    pub(super) const OVER: u8 = 1 << 5;
    /// Set by an operation that did something (not one that read 0 bytes), cleared by an event.
    pub(super) const PROGRESS: u8 = 1 << 6;
    /// The end of what is read was told while there was more to read, and no `try_io` has read since: who reads
    /// past it, until a read gives nothing, has not seen the end.
    pub(super) const UNSEEN: u8 = 1 << 7;

    pub(super) const fn new() -> Self {
        Self(Cell::new(Self::NEW))
    }

    #[inline]
    pub(super) fn any(&self, marks: u8) -> bool {
        self.0.get() & marks != 0
    }

    #[inline]
    pub(super) fn set(&self, marks: u8, on: bool) {
        let others = self.0.get() & !marks;
        self.0.set(if on { others | marks } else { others });
    }
}
