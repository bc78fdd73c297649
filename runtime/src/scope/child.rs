//! One child of a scope: its future, and the handle to its output.

use std::cell::Cell;
use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use pin_project_lite::pin_project;

use super::Scope;
use crate::item::{Payload, TaskId, drop_payload};
use crate::join::{Control, JoinError};
use crate::waiters::wake;
use crate::wake::copy;
use crate::{budget, waits};

/// Why a scope ends early.
pub(super) enum Failure<E> {
    Error(E),
    Panic(Payload),
}

/// Where the output of a child waits for who holds its handle.
pub(super) struct Output<T> {
    value: Cell<Option<T>>,
    ended: Cell<bool>,
    /// Whether the value was there, and is with who awaited it.
    given: Cell<bool>,
    waiter: Cell<Option<Waker>>,
}

impl<T> Output<T> {
    pub(super) fn new() -> Self {
        Self {
            value: Cell::new(None),
            ended: Cell::new(false),
            given: Cell::new(false),
            waiter: Cell::new(None),
        }
    }

    /// Takes the value; `None` if the child ended without.
    fn take(&self) -> Option<T> {
        assert!(!self.given.get(), "a scope's Child was polled after it had given its output");
        let value = self.value.take();
        self.given.set(value.is_some());
        value
    }

    /// Whether this waker waits for it already.
    fn is_awaited_by(&self, waker: &Waker) -> bool {
        let waiter = self.waiter.take();
        let same = waiter.as_ref().is_some_and(|waiter| waiter.will_wake(waker));
        self.waiter.set(waiter);
        same
    }

    /// Ends the wait for it: with a value, or without if the child was cancelled or failed.
    fn end(&self, value: Option<T>) {
        self.value.set(value);
        self.ended.set(true);
        if let Some(waiter) = self.waiter.take() {
            wake(waiter);
        }
    }
}

pin_project! {
    /// A child's future as the scope keeps it. It ends with what the scope must fail of, if anything; the
    /// user's future is dropped before its output can be seen, and whoever holds the handle is told also
    /// if it is merely dropped.
    pub(super) struct ChildFuture<F, T, M> {
        // None once it ended.
        #[pin]
        future: Option<F>,
        output: Rc<Output<T>>,
        // Tells an error, which is the scope's, from the handle's output.
        map: M,
    }

    impl<F, T, M> PinnedDrop for ChildFuture<F, T, M> {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            if this.future.is_some() {
                // First the future, then who waits for it.
                let dropped = catch_unwind(AssertUnwindSafe(|| this.future.set(None)));
                this.output.end(None);
                if let Err(payload) = dropped {
                    std::panic::resume_unwind(payload);
                }
            }
        }
    }
}

impl<F, T, M> ChildFuture<F, T, M> {
    pub(super) fn new(future: F, output: Rc<Output<T>>, map: M) -> Self {
        Self { future: Some(future), output, map }
    }
}

impl<F, T, E, M> Future for ChildFuture<F, T, M>
where
    F: Future,
    M: FnMut(F::Output) -> Result<T, E>,
{
    type Output = Option<Failure<E>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let Some(future) = this.future.as_mut().as_pin_mut() else { return Poll::Ready(None) };
        let polled = catch_unwind(AssertUnwindSafe(|| future.poll(cx)));
        let output = match polled {
            Ok(polled) => Ok(ready!(polled)),
            Err(payload) => Err(payload),
        };
        let dropped = catch_unwind(AssertUnwindSafe(|| this.future.set(None)));
        let (value, failure) = match (output, dropped) {
            (Ok(output), Ok(())) => match (this.map)(output) {
                Ok(value) => (Some(value), None),
                Err(error) => (None, Some(Failure::Error(error))),
            },
            (Err(payload), Ok(())) => (None, Some(Failure::Panic(payload))),
            (output, Err(payload)) => {
                if let Err(second) = catch_unwind(AssertUnwindSafe(|| drop(output))) {
                    drop_payload(second);
                }
                (None, Some(Failure::Panic(payload)))
            }
        };
        this.output.end(value);
        Poll::Ready(failure)
    }
}

/// Awaits the output of a child of a [`Scope`]. Dropping it lets the child go on: the scope waits for it.
///
/// Awaiting gives `Ok(output)`, or an error with [`JoinError::is_cancelled`] if the child was cancelled. A
/// child's error or panic is not seen here: it ends the whole scope.
///
/// # Panics
///
/// If it is polled after it gave its output.
///
/// # Cancel safety
///
/// Strict: dropping a pending await of `&mut child` loses nothing.
pub struct Child<'scope, 'env, T, E> {
    pub(super) scope: &'scope Scope<'scope, 'env, E>,
    pub(super) key: usize,
    pub(super) id: TaskId,
    pub(super) control: Control,
    pub(super) output: Rc<Output<T>>,
}

impl<T, E> Child<'_, '_, T, E> {
    /// Returns the child's number.
    #[must_use]
    pub fn id(&self) -> TaskId {
        self.id
    }

    /// Whether the child has ended.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.output.ended.get()
    }

    /// Cancels the child: its future is dropped before this returns, or as its poll ends if it is being
    /// polled now.
    pub fn cancel(self) {
        self.scope.cancel_child(self.key, self.id);
    }

    /// Returns a copyable control. To cancel by it takes effect when the scope is polled next.
    #[must_use]
    pub fn control(&self) -> Control {
        self.control
    }
}

impl<T, E> Future for Child<'_, '_, T, E> {
    type Output = Result<T, JoinError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let permit = ready!(budget::poll_proceed(cx));
        if self.output.ended.get() {
            permit.spend();
            let value = self.output.take();
            return Poll::Ready(value.ok_or_else(|| JoinError::cancelled(self.id)));
        }
        if !self.output.is_awaited_by(cx.waker()) {
            // What a foreign waker's clone or drop cancels by a control ends with the scope's next poll.
            drop(self.output.waiter.replace(Some(copy(cx.waker()))));
        }
        waits::note("the end of a child (scope::Child)");
        Poll::Pending
    }
}

impl<T, E> Unpin for Child<'_, '_, T, E> {}

impl<T, E> fmt::Debug for Child<'_, '_, T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Child")
            .field("id", &self.id.0)
            .field("finished", &self.output.ended.get())
            .finish()
    }
}
