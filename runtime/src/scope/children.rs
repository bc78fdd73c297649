//! The children of one scope: polled when called, cancelled newest first.

use std::collections::VecDeque;
use std::future::Future;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

use slab::Slab;

use super::Scope;
use super::child::Failure;
use crate::current::with_current;
use crate::item::{Payload, TaskId, drop_payload};
use crate::join::JoinHandle;
use crate::panics::report;
use crate::straggler::Straggler;
use crate::wake::{Word, slot_of, waker};
use crate::{budget, waits};

/// A child's future without its type.
pub(super) type ChildBox<'scope, E> = Pin<Box<dyn Future<Output = Option<Failure<E>>> + 'scope>>;

/// How many children one poll of the scope polls before everything else runs.
const POLLS: usize = 64;

/// How deep destructors of cancelled children may nest before the rest waits for the outermost.
const CANCEL_DEPTH: u32 = 32;

/// A table that was longer gives its memory back when it is empty.
const KEPT: usize = 1024;

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

/// All that may borrow from the scope and from its frame.
pub(super) struct Children<'scope, E> {
    pub(super) entries: Slab<Entry<'scope, E>>,
    /// Cancelled ones whose futures the outermost of nested destructors drops, each with its item.
    doomed: VecDeque<(Option<JoinHandle<()>>, ChildBox<'scope, E>)>,
}

impl<E> Children<'_, E> {
    pub(super) const fn new() -> Self {
        Self { entries: Slab::new(), doomed: VecDeque::new() }
    }
}

impl<'scope, 'env, E: 'env> Scope<'scope, 'env, E> {
    /// Polls the first `called` of the children that were called, and not too many at once.
    pub(super) fn poll_children(&self, called: usize) {
        if waits::is_asked() {
            return self.ask_children();
        }
        for _ in 0..called.min(POLLS) {
            let Some(key) = self.calls.next() else { return };
            self.poll_child(key);
            if self.failed.get() {
                return;
            }
        }
    }

    /// Polls all children, to hear what they wait for.
    fn ask_children(&self) {
        let keys: Vec<_> =
            self.children.borrow().entries.iter().map(|(key, entry)| (key, entry.id)).collect();
        for (key, id) in keys {
            waits::ask_child(id.0, || self.poll_child(key));
            if self.failed.get() {
                return;
            }
        }
    }

    /// Polls one child with its own waker and budget. A call that came too late finds nothing, or another
    /// child, which a poll does no harm.
    fn poll_child(&self, key: usize) {
        let mut children = self.children.borrow_mut();
        let Some(entry) = children.entries.get_mut(key) else { return };
        let (id, word, gone) = (entry.id, entry.word, entry.proxy.is_finished());
        let place = entry.proxy.header().place;
        if !gone && is_paused(word) {
            drop(children);
            // Remembered by the item until the pause ends.
            waker(word).wake_by_ref();
            return;
        }
        let Some(mut future) = entry.future.take() else { return };
        drop(children);
        if gone {
            return self.end(key, future);
        }
        let poll = || future.as_mut().poll(&mut Context::from_waker(&waker(word)));
        let polled = poll_as((slot_of(word), id), place, poll);
        match polled {
            Poll::Ready(failure) => {
                self.end(key, future);
                failure.into_iter().for_each(|failure| self.fail(failure));
            }
            Poll::Pending => {
                let mut children = self.children.borrow_mut();
                // Its key is its own as long as it is there, and one that is polled now stays there.
                let Some(entry) = children.entries.get_mut(key) else { return };
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
        let mut children = self.children.borrow_mut();
        let proxy = children.entries.try_remove(key).map(|entry| entry.proxy);
        if children.entries.is_empty() && children.entries.capacity() > KEPT {
            children.entries = Slab::new();
        }
        drop(children);
        if let Some(proxy) = &proxy {
            self.calls.quietly(key, || proxy.control().cancel());
        }
        // No Recursion: a chain of children whose destructors cancel the next is cut into pieces.
        let depth = self.depth.get();
        if depth == CANCEL_DEPTH {
            self.children.borrow_mut().doomed.push_back((proxy, future));
            return;
        }
        self.depth.set(depth + 1);
        drop_child(proxy, future);
        self.depth.set(depth);
        if depth == 0 {
            self.drop_doomed();
        }
    }

    /// Drops what was put off, and what that puts off in turn.
    fn drop_doomed(&self) {
        loop {
            let next = self.children.borrow_mut().doomed.pop_front();
            let Some((proxy, future)) = next else { return };
            self.depth.set(1);
            drop_child(proxy, future);
            self.depth.set(0);
        }
    }

    /// Cancels a child, by its handle.
    pub(super) fn cancel_child(&self, key: usize, id: TaskId) {
        let mut children = self.children.borrow_mut();
        let Some(entry) = children.entries.get_mut(key).filter(|entry| entry.id == id) else {
            return;
        };
        let Some(future) = entry.future.take() else {
            entry.cancelled = true;
            return;
        };
        drop(children);
        self.end(key, future);
        // That may have been the last. Who holds the handle runs inside the scope's poll, which looks for that after.
    }

    /// Makes the scope end early. There is one failure: nothing of the scope is polled after it.
    pub(super) fn fail(&self, failure: Failure<E>) {
        debug_assert!(!self.failed.get(), "polled after it failed");
        self.failed.set(true);
        self.failure.set(Some(failure));
    }

    /// Names the children that are left, oldest first.
    pub(super) fn stragglers(&self) -> Vec<Straggler> {
        let children = self.children.borrow();
        let mut left: Vec<_> =
            children.entries.iter().map(|(_, entry)| entry.proxy.straggler()).collect();
        left.sort_unstable_by_key(|straggler| straggler.id);
        left
    }

    /// Cancels all children, newest first; none can be added from now on.
    fn empty(&self) {
        self.ended.set(true);
        let mut ids: Vec<_> =
            self.children.borrow().entries.iter().map(|(key, entry)| (entry.id, key)).collect();
        ids.sort_unstable();
        for (id, key) in ids.into_iter().rev() {
            self.cancel_child(key, id);
        }
        // The tables' own memory, which no destructor gives back: see Emptied.
        drop(self.children.replace(Children::new()));
    }
}

/// Empties the scope when its future ends in whatever way.
pub(super) struct Emptied<'scope, 'env: 'scope, E: 'env>(pub(super) &'scope Scope<'scope, 'env, E>);

impl<E> Drop for Emptied<'_, '_, E> {
    fn drop(&mut self) {
        self.0.empty();
    }
}

fn is_paused(word: Word) -> bool {
    with_current(|shared| shared.is_some_and(|shared| shared.home.queue.is_word_paused(word)))
}

/// Calls `poll` as the poll of a child: with a budget of its own, and the loop knows who runs.
fn poll_as<R>(
    child: (u32, TaskId),
    place: &'static Location<'static>,
    poll: impl FnOnce() -> R,
) -> R {
    with_current(|shared| {
        let Some(shared) = shared else { return budget::with_own(1, poll) };
        let depth = {
            let mut polled = shared.polled_children.borrow_mut();
            polled.push(child);
            polled.len()
        };
        let _named = shared.watch.as_ref().map(|watch| watch.enters(child.1, place));
        // A child's poll does not unwind; should one, the next outer poll cuts the list back.
        let result = budget::with_own(shared.config.operations, poll);
        shared.polled_children.borrow_mut().truncate(depth - 1);
        result
    })
}

/// Drops a child's future. A panic of its destructor is nobody's.
fn drop_child<E>(proxy: Option<JoinHandle<()>>, future: ChildBox<'_, E>) {
    let dropped = with_current(|shared| {
        let watch = shared.and_then(|shared| shared.watch.as_ref());
        let _named = watch.zip(proxy.as_ref()).map(|(watch, proxy)| watch.destroys(proxy.header()));
        catch_unwind(AssertUnwindSafe(|| drop(future)))
    });
    if let Err(payload) = dropped {
        match proxy {
            Some(proxy) => unobserved(&proxy.straggler().to_string(), payload),
            None => unobserved("a child of a scope", payload),
        }
    }
}

/// Drops what the scope has no use for; a panic of its destructor is nobody's.
pub(super) fn drop_caught<T>(what: &str, value: T) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(|| drop(value))) {
        unobserved(what, payload);
    }
}

fn unobserved(what: &str, payload: Payload) {
    with_current(|shared| match shared {
        Some(shared) => shared.unobserved(what, payload),
        None => {
            report(None, what, &payload);
            drop_payload(payload);
        }
    });
}
