//! Being asked to come to an end: a flag, and who waits for it.

use std::cell::{Cell, RefCell};
use std::task::Waker;

use crate::wait_list::{Key, WaitList};
use crate::wake::copy;

/// A request to end, made once.
#[derive(Debug)]
pub(crate) struct Closing {
    asked: Cell<bool>,
    waiters: RefCell<WaitList<()>>,
}

impl Closing {
    pub(crate) const fn new() -> Self {
        Self { asked: Cell::new(false), waiters: RefCell::new(WaitList::new()) }
    }

    pub(crate) fn is_asked(&self) -> bool {
        self.asked.get()
    }

    /// Asks; `wake` is called with each waker that waits, with nothing borrowed.
    pub(crate) fn ask(&self, mut wake: impl FnMut(Waker)) {
        self.asked.set(true);
        loop {
            let reached = self.waiters.borrow_mut().reach().map(|(_, waker)| waker);
            let Some(waker) = reached else { return };
            wake(waker);
        }
    }

    /// Waits to be asked; `key` is the wait's place, once it has one.
    pub(crate) fn wait(&self, key: &mut Option<Key>, waker: &Waker) {
        let known = key.as_ref().is_some_and(|key| self.waiters.borrow().wakes(key, waker));
        if known {
            return;
        }
        let waker = copy(waker);
        let mut waiters = self.waiters.borrow_mut();
        let old = match key {
            Some(key) => waiters.set_waker(key, waker),
            None => {
                *key = Some(waiters.push((), waker));
                None
            }
        };
        drop(waiters);
        drop(old);
    }

    /// Ends a wait.
    pub(crate) fn unwait(&self, key: Key) {
        let taken = self.waiters.borrow_mut().take(key);
        drop(taken);
    }
}
