//! Items: what the loop knows of a task without knowing its future's type.

use std::any::Any;
use std::borrow::Cow;
use std::cell::Cell;
use std::fmt;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

/// What a panic carries.
pub(crate) type Payload = Box<dyn Any + Send>;

/// Names one item of one event loop for its whole life; numbers grow and are never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TaskId(pub(crate) u64);

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How far an item is: see the diagram in `task`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
    /// Boxed twice so that the unlabelled, the many, pay one word.
    #[allow(clippy::box_collection)]
    pub(crate) label: Option<Box<Cow<'static, str>>>,
    pub(crate) place: &'static Location<'static>,
    pub(crate) background: bool,
}

/// The part of a task that does not depend on its future's type.
pub(crate) struct Header {
    pub(crate) state: Cell<State>,
    /// Does not keep `run` going.
    pub(crate) background: bool,
    /// The lane it runs in; there is one for now, so nobody reads it.
    #[expect(dead_code)]
    pub(crate) lane: Cell<u8>,
    /// Its number in the run queue and in `Items`; stale once it ended.
    pub(crate) slot: u32,
    pub(crate) id: TaskId,
    /// Who awaits the handle.
    waiter: Cell<Option<Waker>>,
    /// Where the user made it.
    pub(crate) place: &'static Location<'static>,
    #[allow(clippy::box_collection)]
    label: Option<Box<Cow<'static, str>>>,
}

impl Header {
    pub(crate) fn new(id: TaskId, slot: u32, meta: Meta) -> Self {
        Self {
            state: Cell::new(State::Future),
            background: meta.background,
            lane: Cell::new(0),
            slot,
            id,
            waiter: Cell::new(None),
            place: meta.place,
            label: meta.label,
        }
    }

    pub(crate) fn label(&self) -> Option<&str> {
        self.label.as_ref().map(|label| &***label)
    }

    /// What a poll that found no future in place returns.
    #[cold]
    pub(crate) fn polled_out_of_turn(&self) -> Poll<()> {
        if self.is_finished() { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Whether nothing more will happen to it but the output being taken.
    pub(crate) fn is_finished(&self) -> bool {
        matches!(self.state.get(), State::Output | State::Cancelled | State::Spent)
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

impl fmt::Display for Header {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.label() {
            Some(label) => write!(f, "item {} `{label}` made at {}", self.id, self.place),
            None => write!(f, "item {} made at {}", self.id, self.place),
        }
    }
}

/// An item as the loop sees it.
pub(crate) trait Item {
    fn header(&self) -> &Header;

    /// Polls the future. Ready: it is dropped and its output is in place.
    ///
    /// Unwinds if the future panics; the caller then calls `fail`. Writes its id to `running` first:
    /// here, where it costs no call of its own.
    fn poll(&self, cx: &mut Context<'_>, running: &Cell<u64>) -> Poll<()>;

    /// Ends an item whose `poll` unwound: drops the future and keeps the payload as its output.
    fn fail(&self, payload: Payload);

    /// Drops the future of an item at rest. Returns what the destructor panicked with.
    fn cancel(&self) -> Option<Payload>;

    /// Takes the payload of a panic nobody has seen.
    fn take_panic(&self) -> Option<Payload>;
}

/// Drops a panic's payload; one that panics in its own destructor is let go.
pub(crate) fn drop_payload(payload: Payload) {
    if let Err(second) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        std::mem::forget(second);
    }
}

impl fmt::Debug for dyn Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self.header(), f)
    }
}

/// Where the run queue keeps an item: taken out for the time of its poll, so that user code never runs
/// under a borrow and a busy item is simply not there.
pub(crate) type ItemCell = Cell<Option<Rc<dyn Item>>>;
