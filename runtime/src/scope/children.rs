//! The children of one scope: polled when called, cancelled newest first.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

use super::Scope;
use super::child::Failure;
use crate::current::with_current;
use crate::item::{TaskId, drop_payload};
use crate::join::JoinHandle;
use crate::shared::report;
use crate::straggler::Straggler;
use crate::wake::{Word, waker};
use crate::{budget, waits};

/// A child's future without its type.
pub(super) type ChildBox<'scope, E> = Pin<Box<dyn Future<Output = Option<Failure<E>>> + 'scope>>;

/// How many children one poll of the scope polls before everything else runs.
const POLLS: usize = 64;

/// One child.
pub(super) struct Entry<'scope, E> {
    /// Taken out for the time of a poll.
    pub(super) future: Option<ChildBox<'scope, E>>,
    /// Set when it was cancelled during its poll.
    pub(super) cancelled: bool,
    /// Of the proxy.
    pub(super) id: TaskId,
    /// Ended already if it was cancelled by a control.
    pub(super) proxy: JoinHandle<()>,
    /// The waker of the proxy, and so of the child.
    pub(super) word: Word,
}

impl<'scope, 'env, E: 'env> Scope<'scope, 'env, E> {
    /// Polls the children that were woken. Ready: there are none.
    pub(super) fn poll_children(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut keys = match waits::is_asked() {
            true => self.children.borrow().iter().map(|(key, _)| key).collect(),
            false => self.calls.keys.take(),
        };
        let rest = keys.split_off(keys.len().min(POLLS));
        for key in keys {
            self.poll_child(key);
            if self.has_failed() {
                return Poll::Pending;
            }
        }
        if self.is_empty() {
            return Poll::Ready(());
        }
        let mut called = self.calls.keys.borrow_mut();
        called.splice(0..0, rest);
        let more = !called.is_empty();
        drop(called);
        self.calls.set_waker(cx);
        if more {
            self.calls.wake();
        }
        Poll::Pending
    }

    /// Polls one child with its own waker and budget. A call that came too late finds nothing, or another
    /// child, which a poll does no harm.
    fn poll_child(&self, key: usize) {
        let mut children = self.children.borrow_mut();
        let Some(entry) = children.get_mut(key) else { return };
        let (id, word, gone) = (entry.id, entry.word, entry.proxy.is_finished());
        let Some(mut future) = entry.future.take() else { return };
        drop(children);
        if gone {
            return self.end(key, future);
        }
        let operations = with_current(|shared| shared.map_or(1, |s| s.config.operations));
        let waker = waker(word);
        let polled =
            budget::with_own(operations, || future.as_mut().poll(&mut Context::from_waker(&waker)));
        match polled {
            Poll::Ready(failure) => {
                self.end(key, future);
                failure.into_iter().for_each(|failure| self.fail(failure));
            }
            Poll::Pending => {
                let mut children = self.children.borrow_mut();
                // Its key is its own as long as it is there, busy or not.
                let Some(entry) = children.get_mut(key).filter(|entry| entry.id == id) else {
                    return;
                };
                if !entry.cancelled {
                    entry.future = Some(future);
                    return;
                }
                drop(children);
                self.end(key, future);
            }
        }
    }

    /// Ends a child: its item, and its future if that is there still.
    fn end(&self, key: usize, future: ChildBox<'scope, E>) {
        let entry = self.children.borrow_mut().try_remove(key);
        if let Some(entry) = entry {
            self.calls.quietly(|| drop(entry.proxy.cancel()));
        }
        drop_child(future);
    }

    /// Cancels a child, by its handle.
    pub(super) fn cancel_child(&self, key: usize, id: TaskId) {
        let mut children = self.children.borrow_mut();
        let Some(entry) = children.get_mut(key).filter(|entry| entry.id == id) else { return };
        let Some(future) = entry.future.take() else {
            entry.cancelled = true;
            return;
        };
        drop(children);
        self.end(key, future);
        // It may have been the last that the scope waits for.
        self.calls.wake();
    }

    /// Makes the scope end early; the first failure counts.
    pub(super) fn fail(&self, failure: Failure<E>) {
        let first = self.failure.take();
        let (kept, second) = match first {
            Some(first) => (first, Some(failure)),
            None => (failure, None),
        };
        self.failure.set(Some(kept));
        match second {
            Some(Failure::Panic(payload)) => unobserved(payload),
            second => drop(second),
        }
    }

    pub(super) fn has_failed(&self) -> bool {
        let failure = self.failure.take();
        let failed = failure.is_some();
        self.failure.set(failure);
        failed
    }

    /// Names the children that are left, oldest first.
    pub(super) fn stragglers(&self) -> Vec<Straggler> {
        let children = self.children.borrow();
        let mut left: Vec<_> = children.iter().map(|(_, entry)| entry.proxy.straggler()).collect();
        left.sort_unstable_by_key(|straggler| straggler.id);
        left
    }

    /// Cancels all children, newest first, those too that are spawned meanwhile.
    fn empty(&self) {
        self.ended.set(true);
        let mut ids: Vec<_> =
            self.children.borrow().iter().map(|(key, entry)| (entry.id, key)).collect();
        ids.sort_unstable();
        for (id, key) in ids.into_iter().rev() {
            self.cancel_child(key, id);
        }
    }
}

/// Empties the scope when its future ends in whatever way.
pub(super) struct Emptied<'scope, 'env: 'scope, E: 'env>(pub(super) &'scope Scope<'scope, 'env, E>);

impl<E> Drop for Emptied<'_, '_, E> {
    fn drop(&mut self) {
        self.0.empty();
    }
}

/// Drops a child's future. A panic of its destructor is nobody's.
fn drop_child<E>(future: ChildBox<'_, E>) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(|| drop(future))) {
        unobserved(payload);
    }
}

fn unobserved(payload: crate::item::Payload) {
    const WHAT: &str = "a child of a scope";
    with_current(|shared| match shared {
        Some(shared) => shared.unobserved(WHAT, payload),
        None => {
            report(None, WHAT, &payload);
            drop_payload(payload);
        }
    });
}
