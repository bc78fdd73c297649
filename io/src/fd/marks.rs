//! What a descriptor's source has told and was told.

use std::cell::Cell;

use loopline_runtime::registration::Directions;

/// What a source has told and was told, in one number: nearly always none is set, `PROGRESS` apart. Above the
/// marks stand the directions that were told, and of which nobody has said since whether they are so still:
/// `try_io` says it of its own alone.
pub(super) struct Marks(Cell<u16>);

/// Where the untold directions stand.
const UNTOLD: u32 = 8;

/// Returns directions as untold ones.
const fn untold(directions: Directions) -> u16 {
    (directions.number() as u16) << UNTOLD
}

impl Marks {
    /// The poller is to be asked: it never was, or somebody wants to hear anew what it says.
    pub(super) const ASK: u16 = 1;
    /// Of a one-shot source: its event was told, and `rearm` was not called since.
    pub(super) const SPENT: u16 = 1 << 1;
    /// The end of what is read was told.
    pub(super) const TOLD_READ: u16 = 1 << 2;
    /// The end of what is written was told.
    pub(super) const TOLD_WRITE: u16 = 1 << 3;
    /// The registration failed or everything has ended: there are no more events.
    pub(super) const OVER: u16 = 1 << 4;
    /// Set by an operation that did something (not one that read 0 bytes), cleared by an event.
    pub(super) const PROGRESS: u16 = 1 << 5;
    /// The end of what is read was told while there was more to read, and no `try_io` has read since: who reads
    /// past it, until a read gives nothing, has not seen the end.
    pub(super) const UNSEEN: u16 = 1 << 6;

    pub(super) const fn new() -> Self {
        Self(Cell::new(Self::ASK))
    }

    #[inline]
    pub(super) fn any(&self, marks: u16) -> bool {
        self.0.get() & marks != 0
    }

    #[inline]
    pub(super) fn set(&self, marks: u16, on: bool) {
        let others = self.0.get() & !marks;
        self.0.set(if on { others | marks } else { others });
    }

    /// Notes an operation that may have read, and whether it did something.
    #[inline]
    pub(super) fn note_read(&self, progress: bool) {
        let others = self.0.get() & !(Self::UNSEEN | Self::PROGRESS);
        self.0.set(others | if progress { Self::PROGRESS } else { 0 });
    }

    /// Whether there is nothing but readiness to tell of.
    #[inline]
    pub(super) fn is_plain(&self) -> bool {
        !self.any(!Self::PROGRESS)
    }

    /// Notes that these are told. Whatever was before, the poller was asked about since.
    #[inline]
    pub(super) fn leave_untold(&self, told: Directions) {
        debug_assert_eq!(self.0.get() & untold(Directions::ALL), 0);
        self.0.set(self.0.get() | untold(told));
    }

    /// Notes that an operation in these says how they are.
    #[inline]
    pub(super) fn hear_of(&self, tried: Directions) {
        self.0.set(self.0.get() & !untold(tried));
    }

    /// Whether the poller has to be asked, which is about to be done: if so, the directions that were told.
    /// What is known of any other is news still.
    pub(super) fn take_asking(&self) -> Option<Directions> {
        let marks = self.0.get();
        let asking = marks & (Self::ASK | untold(Directions::ALL));
        self.0.set(marks & !asking);
        (asking != 0).then(|| Directions::from_number((marks >> UNTOLD) as u8))
    }
}
