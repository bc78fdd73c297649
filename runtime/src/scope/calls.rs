//! Which children want to be polled: by way of items that stand for them on the loop.
//!
//! Borrows nothing of the scope's frame, so it may outlive the scope.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use crate::waiters::wake;
use crate::wake::copy;

/// No child.
const NONE: usize = usize::MAX;

/// A queue that was longer gives its memory back when it is empty.
const KEPT: usize = 1024;

/// What the loop knows of a child: an item whose wakes reach the scope, and which never touches the child.
pub(super) struct Proxy {
    pub(super) calls: Rc<Calls>,
    pub(super) key: usize,
}

impl Future for Proxy {
    type Output = ();

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        self.calls.call(self.key);
        Poll::Pending
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // Cancelled by a control: the scope finds its child without an item.
        self.calls.call(self.key);
    }
}

/// The children called, each once, first called first.
#[derive(Default)]
struct Queue {
    keys: VecDeque<usize>,
    /// By key: whether it is in `keys`.
    called: Vec<bool>,
}

/// Which children want to be polled, and whose poll sees to that.
pub(super) struct Calls {
    queue: RefCell<Queue>,
    waker: Cell<Option<Waker>>,
    /// The child whose item the scope itself ends right now: that is no call.
    ending: Cell<usize>,
}

impl Calls {
    pub(super) fn new() -> Self {
        Self { queue: RefCell::default(), waker: Cell::new(None), ending: Cell::new(NONE) }
    }

    /// Has a child polled by the next poll of the scope.
    pub(super) fn call(&self, key: usize) {
        if self.ending.get() == key {
            return;
        }
        let mut queue = self.queue.borrow_mut();
        if queue.called.len() <= key {
            queue.called.resize(key + 1, false);
        }
        if !std::mem::replace(&mut queue.called[key], true) {
            queue.keys.push_back(key);
            drop(queue);
            self.wake();
        }
    }

    /// Takes the child that was called first.
    pub(super) fn next(&self) -> Option<usize> {
        let mut queue = self.queue.borrow_mut();
        let key = queue.keys.pop_front()?;
        queue.called[key] = false;
        if queue.keys.is_empty() && queue.called.len() > KEPT {
            *queue = Queue::default();
        }
        Some(key)
    }

    /// Returns how many children are called.
    pub(super) fn len(&self) -> usize {
        self.queue.borrow().keys.len()
    }

    /// Ends a child's item, which then does not call.
    pub(super) fn quietly<R>(&self, key: usize, f: impl FnOnce() -> R) -> R {
        let outer = self.ending.replace(key);
        let result = f();
        self.ending.set(outer);
        result
    }

    /// Has the scope polled, if it waits.
    pub(super) fn wake(&self) {
        if let Some(waker) = self.waker.take() {
            wake(waker);
        }
    }

    /// Lets calls wake this task: at once if there are any already.
    pub(super) fn wait(&self, cx: &Context<'_>) {
        let waiter = self.waker.take();
        if waiter.as_ref().is_some_and(|waiter| waiter.will_wake(cx.waker())) {
            self.waker.set(waiter);
        } else {
            drop(waiter);
            let waker = copy(cx.waker());
            drop(self.waker.replace(Some(waker)));
        }
        // Looked at last: a foreign waker's clone or drop may have called.
        if self.len() != 0 {
            self.wake();
        }
    }
}
