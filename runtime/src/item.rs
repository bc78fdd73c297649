//! Items: what the loop knows of a task without knowing its future's type.

use std::any::Any;
use std::borrow::Cow;
use std::cell::Cell;
use std::fmt;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::task::{Context, Poll, Waker};

use crate::counted::{Count, Counted, Head, Headed};
use crate::labels::{self, Label};

/// What a panic carries.
pub(crate) type Payload = Box<dyn Any + Send>;

/// Names one item for its whole life: no other item of the process has its number. Those of one event
/// loop grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TaskId(pub(crate) u64);

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How far an item is: see the diagram in `task`. In the last two nothing is left of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd)]
pub(crate) enum State {
    Future,
    Busy,
    Emptied,
    Output,
    Cancelled,
    Spent,
}

/// What the user may say about an item when inserting it.
#[derive(Clone, Debug)]
pub(crate) struct Meta {
    /// Boxed so that the unlabelled, the many, move one word.
    pub(crate) label: Option<Box<Label>>,
    pub(crate) place: &'static Location<'static>,
    pub(crate) background: bool,
    /// Stands for a child of a scope.
    pub(crate) child: bool,
    /// Zero: the first.
    pub(crate) lane: u8,
}

impl Meta {
    /// What holds of an item of which nothing was said.
    #[inline]
    pub(crate) const fn new(place: &'static Location<'static>) -> Self {
        Self { label: None, place, background: false, child: false, lane: 0 }
    }
}

/// The number of an item's slot, and above it what is known of the item from the start. Its lane stands in
/// its slot, where wakes look.
#[derive(Clone, Copy)]
struct SlotAndFlags(u32);

impl SlotAndFlags {
    /// Does not keep `run` going.
    const BACKGROUND: u32 = 1 << 31;
    /// `labels` has one for it.
    const LABELLED: u32 = 1 << 30;
    /// Stands for a child of a scope.
    const CHILD: u32 = 1 << 29;
    const SLOT: u32 = Self::CHILD - 1;

    fn new(slot: u32, meta: &Meta) -> Self {
        debug_assert!(Header::fits(slot));
        let background = if meta.background { Self::BACKGROUND } else { 0 };
        let labelled = if meta.label.is_some() { Self::LABELLED } else { 0 };
        let child = if meta.child { Self::CHILD } else { 0 };
        Self(slot | background | labelled | child)
    }
}

/// The part of a task that does not depend on its future's type, and that it begins with: 40 bytes.
pub(crate) struct Header {
    count: Count,
    pub(crate) state: Cell<State>,
    /// The loop's number, which a later loop may have: see `current::with_owner`.
    pub(crate) loop_number: u16,
    slot: Cell<SlotAndFlags>,
    pub(crate) id: TaskId,
    /// Who awaits the handle.
    waiter: Cell<Option<Waker>>,
    /// Where the user made it.
    pub(crate) place: &'static Location<'static>,
}

impl Header {
    /// Whether there is room for a slot's number.
    pub(crate) const fn fits(slot: u32) -> bool {
        slot <= SlotAndFlags::SLOT
    }

    #[inline]
    pub(crate) fn new(id: TaskId, slot: u32, loop_number: u16, meta: Meta) -> Self {
        let slot = SlotAndFlags::new(slot, &meta);
        if let Some(label) = meta.label {
            set_label(id, label);
        }
        Self {
            count: Count::new(),
            state: Cell::new(State::Future),
            slot: Cell::new(slot),
            id,
            loop_number,
            waiter: Cell::new(None),
            place: meta.place,
        }
    }

    /// Its number in the run queue; stale once it ended.
    #[inline]
    pub(crate) fn slot(&self) -> u32 {
        self.slot.get().0 & SlotAndFlags::SLOT
    }

    /// Whether `run` ends without it.
    #[inline]
    pub(crate) fn is_background(&self) -> bool {
        self.slot.get().0 & SlotAndFlags::BACKGROUND != 0
    }

    /// Says whether `run` ends without it.
    pub(crate) fn set_background(&self, background: bool) {
        let others = self.slot.get().0 & !SlotAndFlags::BACKGROUND;
        let flag = if background { SlotAndFlags::BACKGROUND } else { 0 };
        self.slot.set(SlotAndFlags(others | flag));
    }

    /// Whether it stands for a child of a scope.
    pub(crate) fn is_child(&self) -> bool {
        self.slot.get().0 & SlotAndFlags::CHILD != 0
    }

    #[inline]
    fn is_labelled(&self) -> bool {
        self.slot.get().0 & SlotAndFlags::LABELLED != 0
    }

    pub(crate) fn label(&self) -> Option<Cow<'static, str>> {
        if self.is_labelled() { labels::get(self.id.0) } else { None }
    }

    /// Whether its output is in place, and nobody has taken it.
    #[inline]
    pub(crate) fn has_output(&self) -> bool {
        self.state.get() == State::Output
    }

    /// Whether nothing is left of it: its output was taken, or it was cancelled.
    #[inline]
    pub(crate) fn is_gone(&self) -> bool {
        self.state.get() >= State::Cancelled
    }

    /// Whether nothing more will happen to it but the output being taken.
    pub(crate) fn is_finished(&self) -> bool {
        matches!(self.state.get(), State::Output | State::Cancelled | State::Spent)
    }

    /// Whether the end of its handle is nothing to it: nothing is left of it, or nobody waits for what is to come.
    #[inline]
    pub(crate) fn can_be_detached(&self) -> bool {
        self.is_gone() || self.state.get() == State::Future && !self.has_waiter()
    }

    /// Whether an item that has no output was cancelled.
    #[cold]
    pub(crate) fn is_cancelled(&self) -> bool {
        match self.state.get() {
            State::Future | State::Busy | State::Emptied | State::Output => false,
            State::Cancelled => true,
            State::Spent => panic!("a JoinHandle was polled after it had given its output"),
        }
    }

    /// Polls an item that has no future at rest.
    #[cold]
    pub(crate) fn poll_without(&self) -> Poll<()> {
        if self.is_finished() { Poll::Ready(()) } else { Poll::Pending }
    }

    #[inline]
    fn has_waiter(&self) -> bool {
        let waiter = self.waiter.take();
        let is_some = waiter.is_some();
        self.waiter.set(waiter);
        is_some
    }

    /// Whether this waker waits for the end already.
    pub(crate) fn is_awaited_by(&self, waker: &Waker) -> bool {
        let waiter = self.waiter.take();
        let same = waiter.as_ref().is_some_and(|waiter| waiter.will_wake(waker));
        self.waiter.set(waiter);
        same
    }

    /// Stores who waits for the end; the last one counts. Returns the old one.
    pub(crate) fn set_waiter(&self, waker: Waker) -> Option<Waker> {
        self.waiter.replace(Some(waker))
    }

    pub(crate) fn take_waiter(&self) -> Option<Waker> {
        self.waiter.take()
    }
}

#[cold]
#[allow(clippy::boxed_local, reason = "see `Meta`")]
fn set_label(id: TaskId, label: Box<Label>) {
    label.give(id.0);
}

impl Head for Header {
    #[inline]
    fn count(&self) -> &Count {
        &self.count
    }

    #[inline]
    fn is_hollow(&self) -> bool {
        self.is_gone() && !self.is_labelled() && !self.has_waiter()
    }
}

impl Drop for Header {
    #[inline]
    fn drop(&mut self) {
        if self.is_labelled() {
            labels::remove(self.id.0);
        }
    }
}

impl fmt::Display for Header {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.label() {
            Some(label) => write!(f, "item {} `{label}` made at {}", self.id, self.place),
            None => write!(f, "item {} made at {}", self.id, self.place),
        }
    }
}

/// An item as the loop sees it.
pub(crate) trait Item: Headed<Head = Header> {
    /// Polls the future. Ready: it is dropped and its output in place; a panic of the future is its
    /// output.
    fn poll(&self, cx: &mut Context<'_>) -> Poll<()>;

    /// Drops the future of an item at rest. What the destructor panics with becomes its output.
    fn cancel(&self);

    /// Drops an output that nobody will take. Returns a panic that nobody saw.
    fn drop_output(&self) -> Option<Unseen>;
}

/// A panic that nobody saw.
pub(crate) enum Unseen {
    /// The item's own.
    Item(Payload),
    /// That of its output's destructor.
    Output(Payload),
}

/// Drops a panic's payload, and what that panics with; a third panic is let go.
pub(crate) fn drop_payload(payload: Payload) {
    let dropped = catch_unwind(AssertUnwindSafe(|| drop(payload)));
    let Err(second) = dropped else { return };
    if let Err(third) = catch_unwind(AssertUnwindSafe(|| drop(second))) {
        std::mem::forget(third);
    }
}

/// Where the run queue keeps an item: taken out for the time of its poll, so that user code never runs
/// under a borrow and a busy item is simply not there.
pub(crate) type ItemCell = Cell<Option<Counted<dyn Item>>>;
