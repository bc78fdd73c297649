//! Tasks: one allocation each, the output in the future's place.
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
//!  Future ──cancel──> Emptied (future dropped here) ──> Cancelled, or Output (a panic's payload)
//! ```
//!
//! Invariant (Busy): while the state is `Busy` or `Emptied` exactly one call on this thread's stack,
//! the one that set it, touches the body; every other entry looks at the state first and leaves.
//!
//! Invariant (Body): the body holds the future exactly in `Future` and `Busy`, the output exactly in
//! `Output`, nothing in the other states. The state changes *before* a destructor runs, so a panic in
//! it cannot lead to a second drop.
//!
//! Invariant (Pinned): a task lives in a `Counted` from its creation, and the future is never moved out of
//! it, only dropped in place.

use std::cell::UnsafeCell;
use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::counted::{Counted, Headed, Room};
use crate::item::{Header, Item, Meta, Payload, State, TaskId, Unseen, drop_payload};

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
#[repr(C)] // begins with its header
pub(crate) struct Task<F: Future> {
    header: Header,
    body: UnsafeCell<Body<F>>,
}

// SAFETY: as it is laid out just above.
unsafe impl<F: Future> Headed for Task<F> {
    type Head = Header;
}

impl<F: Future> Task<F> {
    #[inline]
    pub(crate) fn new(future: F, id: TaskId, slot: u32, number: u16, meta: Meta) -> Counted<Self> {
        // Nothing here would have it dropped, so it need not be kept anywhere on its way.
        let future = ManuallyDrop::new(future);
        // Written in its parts: to move the whole again would cost as much as all else here.
        let room = Room::<Self>::new();
        let header = Header::new(id, slot, number, meta);
        // SAFETY: Block (see `counted`): the room is aligned and nobody else's; this is a field in it.
        unsafe { (&raw mut (*room.place()).header).write(header) };
        let body = Body { future };
        // SAFETY: Block, as above.
        unsafe { (&raw mut (*room.place()).body).write(UnsafeCell::new(body)) };
        // SAFETY: Front: both fields were written, the header with a new count.
        unsafe { room.fill() }
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

    /// Ends an item whose poll returned an output.
    fn finish(&self, output: F::Output) -> Poll<()> {
        // Caught, so that the output is not dropped by unwinding: it may panic too.
        let output = match catch_unwind(AssertUnwindSafe(|| self.drop_future())) {
            Ok(()) => Ok(output),
            Err(payload) => {
                if let Err(second) = catch_unwind(AssertUnwindSafe(|| drop(output))) {
                    drop_payload(second);
                }
                Err(payload)
            }
        };
        self.put_output(output);
        Poll::Ready(())
    }

    /// Ends an item whose poll unwound: drops the future and keeps the payload as its output.
    #[cold]
    fn fail(&self, payload: Payload) -> Poll<()> {
        if let Err(second) = catch_unwind(AssertUnwindSafe(|| self.drop_future())) {
            drop_payload(second);
        }
        self.put_output(Err(payload));
        Poll::Ready(())
    }

    /// Moves the output out. The state must be `Output`.
    fn take_output(&self) -> Result<F::Output, Payload> {
        assert_eq!(self.header.state.get(), State::Output);
        self.header.state.set(State::Spent);
        // SAFETY: Body: the state said that the output is in place, and says now that it is not.
        unsafe { ManuallyDrop::take(&mut (*self.body.get()).output) }
    }
}

/// Returns a task as the loop sees it.
#[inline]
pub(crate) fn item<F: Future + 'static>(task: Counted<Task<F>>) -> Counted<dyn Item> {
    // SAFETY: returns its argument.
    unsafe { task.unsize::<dyn Item>(|value| value) }
}

/// Returns a task as its handle sees it.
#[inline]
pub(crate) fn joinable<F: Future + 'static>(
    task: Counted<Task<F>>,
) -> Counted<dyn Joinable<F::Output>> {
    // SAFETY: returns its argument.
    unsafe { task.unsize::<dyn Joinable<F::Output>>(|value| value) }
}

impl<F: Future + 'static> Item for Task<F> {
    #[inline]
    fn poll(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.header.state.get() != State::Future {
            return self.header.poll_without();
        }
        self.header.state.set(State::Busy);
        let polled = catch_unwind(AssertUnwindSafe(|| {
            // SAFETY: Busy: nobody else touches the body during the poll. Body: it holds the future.
            let future = unsafe { &mut *(*self.body.get()).future };
            // SAFETY: Pinned.
            unsafe { Pin::new_unchecked(future) }.poll(cx)
        }));
        match polled {
            Ok(Poll::Pending) => {
                self.header.state.set(State::Future);
                Poll::Pending
            }
            Ok(Poll::Ready(output)) => self.finish(output),
            Err(payload) => self.fail(payload),
        }
    }

    fn cancel(&self) {
        if self.header.state.get() != State::Future {
            return;
        }
        match catch_unwind(AssertUnwindSafe(|| self.drop_future())) {
            Ok(()) => self.header.state.set(State::Cancelled),
            Err(payload) => self.put_output(Err(payload)),
        }
    }

    fn drop_output(&self) -> Option<Unseen> {
        if self.header.state.get() != State::Output {
            return None;
        }
        match catch_unwind(AssertUnwindSafe(|| self.take_output().err())) {
            Ok(panicked) => panicked.map(Unseen::Item),
            Err(payload) => Some(Unseen::Output(payload)),
        }
    }
}

impl<F: Future + 'static> Joinable<F::Output> for Task<F> {
    fn take(&self) -> Option<Result<F::Output, Option<Payload>>> {
        if self.header.state.get() == State::Output {
            return Some(self.take_output().map_err(Some));
        }
        self.header.is_cancelled().then_some(Err(None))
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

#[cfg(test)]
mod tests;
