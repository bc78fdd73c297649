//! Tasks: one allocation each, the output in the future's place, and the table of all items.
//!
//! `Shared` polls items through [`Item`]; `join` looks at them through [`Joinable`]. Nobody else
//! touches the body of a task, and both look only at the state word.
//!
//! State word, and what is in the body:
//!
//! ```text
//!  Future ──poll──> Busy ──Pending──> Future
//!                    ├──Ready──> Emptied (future dropped here) ──> Output ──taken──> Spent
//!                    └──panic──> Emptied (future dropped here) ──> Output (the payload)
//!  Future ──cancel──> Emptied (future dropped here) ──> Cancelled
//! ```
//!
//! Invariant (Busy): while the state is `Busy` or `Emptied` exactly one call on this thread's stack,
//! the one that set it, touches the body; every other entry looks at the state first and leaves.
//!
//! Invariant (Body): the body holds the future exactly in `Future` and `Busy`, the output exactly in
//! `Output`, nothing in the other states. The state changes *before* a destructor runs, so a panic in
//! it cannot lead to a second drop.
//!
//! Invariant (Pinned): a task lives in an `Rc` from its creation, and the future is never moved out of
//! it, only dropped in place.

use std::any::Any;
use std::borrow::Cow;
use std::cell::{Cell, UnsafeCell};
use std::fmt;
use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use crate::segments::Segments;
use crate::wake;

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

/// See the diagram above.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
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
    pub(crate) label: Option<Cow<'static, str>>,
    pub(crate) place: &'static Location<'static>,
    pub(crate) background: bool,
}

/// The part of a task that does not depend on its future's type.
pub(crate) struct Header {
    state: Cell<State>,
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
    /// Boxed twice so that the unlabelled, the many, pay one word.
    #[allow(clippy::box_collection)]
    label: Option<Box<Cow<'static, str>>>,
}

impl Header {
    pub(crate) fn label(&self) -> Option<&str> {
        self.label.as_ref().map(|label| &***label)
    }

    /// Whether nothing more will happen to it but the output being taken.
    pub(crate) fn is_finished(&self) -> bool {
        matches!(self.state.get(), State::Output | State::Cancelled | State::Spent)
    }

    /// Stores who waits for the end; the last one counts. Returns the old one, to be dropped with
    /// nothing borrowed.
    pub(crate) fn set_waiter(&self, waker: &Waker) -> Option<Waker> {
        match self.waiter.take() {
            Some(old) if old.will_wake(waker) => {
                self.waiter.set(Some(old));
                None
            }
            old => {
                self.waiter.set(Some(wake::copy(waker)));
                old
            }
        }
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

/// An item as its handle sees it.
pub(crate) trait Joinable<T>: Item {
    /// Takes the output: `None` while there is none, `Err(None)` if the item was cancelled.
    fn take(&self) -> Option<Result<T, Option<Payload>>>;
}

/// The future, later its output.
union Body<F: Future> {
    future: ManuallyDrop<F>,
    output: ManuallyDrop<Result<F::Output, Payload>>,
}

/// One task.
pub(crate) struct Task<F: Future> {
    header: Header,
    body: UnsafeCell<Body<F>>,
}

impl<F: Future> Task<F> {
    pub(crate) fn new(future: F, id: TaskId, slot: u32, meta: Meta) -> Rc<Self> {
        Rc::new(Self {
            header: Header {
                state: Cell::new(State::Future),
                background: meta.background,
                lane: Cell::new(0),
                slot,
                id,
                waiter: Cell::new(None),
                place: meta.place,
                label: meta.label.map(Box::new),
            },
            body: UnsafeCell::new(Body { future: ManuallyDrop::new(future) }),
        })
    }

    /// Drops the future in place. The state must be `Future` or `Busy`; it is `Emptied` afterwards,
    /// also when the destructor panics.
    fn drop_future(&self) {
        debug_assert!(matches!(self.header.state.get(), State::Future | State::Busy));
        self.header.state.set(State::Emptied);
        // SAFETY: Busy: nobody else touches the body. Body: it held the future until the line above,
        // and the state says that it is gone. Pinned: dropped in place.
        unsafe { ManuallyDrop::drop(&mut (*self.body.get()).future) };
    }

    /// Puts the output where the future was. The state must be `Emptied`.
    fn put_output(&self, output: Result<F::Output, Payload>) {
        debug_assert_eq!(self.header.state.get(), State::Emptied);
        // SAFETY: Busy: nobody else touches the body. Body: nothing is in it, nothing is overwritten.
        unsafe { (*self.body.get()).output = ManuallyDrop::new(output) };
        self.header.state.set(State::Output);
    }

    /// Moves the output out. The state must be `Output`.
    fn take_output(&self) -> Result<F::Output, Payload> {
        assert_eq!(self.header.state.get(), State::Output);
        self.header.state.set(State::Spent);
        // SAFETY: Body: the state said that the output is in place, and says now that it is not.
        unsafe { ManuallyDrop::take(&mut (*self.body.get()).output) }
    }
}

impl<F: Future> Item for Task<F> {
    fn header(&self) -> &Header {
        &self.header
    }

    #[inline]
    fn poll(&self, cx: &mut Context<'_>, running: &Cell<u64>) -> Poll<()> {
        running.set(self.header.id.0);
        if self.header.state.get() != State::Future {
            return if self.header.is_finished() { Poll::Ready(()) } else { Poll::Pending };
        }
        self.header.state.set(State::Busy);
        // SAFETY: Busy: nobody else touches the body during the poll. Body: it holds the future.
        let future = unsafe { &mut *(*self.body.get()).future };
        // SAFETY: Pinned.
        let polled = unsafe { Pin::new_unchecked(future) }.poll(cx);
        match polled {
            Poll::Pending => {
                self.header.state.set(State::Future);
                Poll::Pending
            }
            Poll::Ready(output) => {
                self.drop_future();
                self.put_output(Ok(output));
                Poll::Ready(())
            }
        }
    }

    fn fail(&self, payload: Payload) {
        if self.header.state.get() == State::Busy {
            if let Err(second) = catch_unwind(AssertUnwindSafe(|| self.drop_future())) {
                drop_payload(second);
            }
        }
        self.put_output(Err(payload));
    }

    fn cancel(&self) -> Option<Payload> {
        if self.header.state.get() != State::Future {
            return None;
        }
        let dropped = catch_unwind(AssertUnwindSafe(|| self.drop_future()));
        self.header.state.set(State::Cancelled);
        dropped.err()
    }

    fn take_panic(&self) -> Option<Payload> {
        if self.header.state.get() != State::Output {
            return None;
        }
        // SAFETY: Body: the state says that the output is in place; the reference ends with the line.
        let panicked = unsafe { (*(*self.body.get()).output).is_err() };
        if panicked { self.take_output().err() } else { None }
    }
}

impl<F: Future> Joinable<F::Output> for Task<F> {
    fn take(&self) -> Option<Result<F::Output, Option<Payload>>> {
        match self.header.state.get() {
            State::Future | State::Busy | State::Emptied => None,
            State::Output => Some(self.take_output().map_err(Some)),
            State::Cancelled => Some(Err(None)),
            State::Spent => panic!("a JoinHandle was polled after it had given its output"),
        }
    }
}

impl<F: Future> Drop for Task<F> {
    fn drop(&mut self) {
        match self.header.state.get() {
            State::Future | State::Busy => self.drop_future(),
            State::Output => drop(self.take_output()),
            State::Emptied | State::Cancelled | State::Spent => {}
        }
    }
}

/// Drops a panic's payload; one that panics in its own destructor is let go.
pub(crate) fn drop_payload(payload: Payload) {
    if let Err(second) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        std::mem::forget(second);
    }
}

/// The items of one loop by slot.
///
/// An item is taken out for the time of its poll, so user code never runs under a borrow and a busy
/// item is simply not there.
pub(crate) struct Items {
    cells: Segments<Cell<Option<Rc<dyn Item>>>>,
}

impl Items {
    pub(crate) fn new() -> Self {
        Self { cells: Segments::new() }
    }

    pub(crate) fn grow(&self, slot: u32) {
        self.cells.grow(slot);
    }

    #[inline]
    pub(crate) fn put(&self, slot: u32, item: Rc<dyn Item>) {
        if let Some(cell) = self.cells.get(slot) {
            cell.set(Some(item));
        }
    }

    #[inline]
    pub(crate) fn take(&self, slot: u32) -> Option<Rc<dyn Item>> {
        self.cells.get(slot)?.take()
    }

    /// Takes the item out if it is the one named.
    pub(crate) fn take_if(&self, slot: u32, id: TaskId) -> Option<Rc<dyn Item>> {
        let item = self.take(slot)?;
        if item.header().id == id {
            return Some(item);
        }
        self.put(slot, item);
        None
    }
}

impl fmt::Debug for Items {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Items")
    }
}
