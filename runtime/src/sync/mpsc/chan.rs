//! What both ends of an mpsc channel share: the messages, the capacity, who waits for either.
//!
//! Capacity is counted, not stored: a message in the queue takes one, and so does one `reserved` by a
//! permit or by a wait that was given it. So a send and a receive each touch the queue and nothing else.
//!
//! Invariant (Full Line): what becomes free goes to the first in line at once, also if it is not enough;
//! while anybody waits there is no capacity for others, not even for a foreign waker that is woken by the
//! way.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::panic::RefUnwindSafe;
use std::task::{Context, Waker};

use super::error::TrySendError;
use crate::waiters::{Key, WaitList, wake};
use crate::wake::copy;

mod receive;

/// A queue that was longer gives its memory back when the receiver finds it empty.
const KEPT: usize = 1024;

pub(super) struct Chan<T> {
    state: RefCell<State<T>>,
    /// The most messages and reservations there may be; `usize::MAX` stands for any number.
    pub(super) max: usize,
    /// Senders and owned permits.
    senders: Cell<usize>,
    weak_senders: Cell<usize>,
    /// Set by the receiver: nothing more is reserved, or sent without a permit.
    closed: Cell<bool>,
}

/// Messages are moved in and out whole, and foreign code is called between changes, never within one.
impl<T> RefUnwindSafe for Chan<T> {}

struct State<T> {
    queue: VecDeque<T>,
    /// Capacity that permits and waits have.
    reserved: usize,
    /// Who waits for a message, or the end. At most one: receiving takes `&mut`.
    receiver: Option<Waker>,
    /// Whether the receiver was dropped: what is sent now is dropped too.
    receiver_gone: bool,
    waiters: WaitList<Want>,
    /// Who waits for the receiver to close the channel.
    watchers: WaitList<()>,
}

/// What one wait for capacity asked for.
#[derive(Debug)]
pub(super) struct Want {
    all: usize,
    missing: usize,
}

impl<T> State<T> {
    #[inline]
    fn free(&self, max: usize) -> usize {
        max - self.queue.len() - self.reserved
    }

    #[inline]
    fn push(&mut self, message: T, max: usize) -> Option<Waker> {
        if self.queue.len() == self.queue.capacity() {
            self.grow(max);
        }
        self.queue.push_back(message);
        self.receiver.take()
    }

    /// Doubles the memory, but never beyond the capacity.
    #[cold]
    fn grow(&mut self, max: usize) {
        let len = self.queue.len();
        self.queue.reserve_exact(len.max(4).min(max - len));
    }

    /// Gives what is free to the first in line, and returns its waker once it has all. To be called
    /// again, with the waker woken, until there is none.
    fn grant(&mut self, max: usize) -> Option<Waker> {
        let free = self.free(max);
        let want = self.waiters.first()?;
        let given = want.missing.min(free);
        want.missing -= given;
        self.reserved += given;
        if want.missing != 0 {
            return None;
        }
        self.waiters.reach().map(|(_, waker)| waker)
    }
}

/// Sending.
impl<T> Chan<T> {
    pub(super) fn new(max: usize) -> Self {
        let state = State {
            queue: VecDeque::new(),
            reserved: 0,
            receiver: None,
            receiver_gone: false,
            waiters: WaitList::new(),
            watchers: WaitList::new(),
        };
        Self {
            state: RefCell::new(state),
            max,
            senders: Cell::new(1),
            weak_senders: Cell::new(0),
            closed: Cell::new(false),
        }
    }

    #[inline]
    pub(super) fn try_send(&self, message: T) -> Result<(), TrySendError<T>> {
        if self.closed.get() {
            return Err(TrySendError::Closed(message));
        }
        let mut state = self.state.borrow_mut();
        if state.free(self.max) == 0 || !state.waiters.is_empty() {
            return Err(TrySendError::Full(message));
        }
        let waker = state.push(message, self.max);
        drop(state);
        wake_if(waker);
        Ok(())
    }

    /// Takes capacity for `n` messages if there is so much.
    #[inline]
    pub(super) fn try_reserve(&self, n: usize) -> Result<(), TrySendError<()>> {
        if self.closed.get() {
            return Err(TrySendError::Closed(()));
        }
        let mut state = self.state.borrow_mut();
        if state.free(self.max) < n || (n != 0 && !state.waiters.is_empty()) {
            return Err(TrySendError::Full(()));
        }
        state.reserved += n;
        Ok(())
    }

    /// Sends with capacity that was reserved, also into a closed channel.
    #[inline]
    pub(super) fn send_reserved(&self, message: T) {
        let mut state = self.state.borrow_mut();
        state.reserved -= 1;
        if state.receiver_gone {
            // Unborrowed Call.
            drop(state);
            return drop(message);
        }
        let waker = state.push(message, self.max);
        drop(state);
        wake_if(waker);
    }

    /// Gives capacity back that was reserved.
    pub(super) fn release(&self, n: usize) {
        if n == 0 {
            return;
        }
        let mut state = self.state.borrow_mut();
        state.reserved -= n;
        if !state.waiters.is_empty() {
            drop(state);
            return self.hand_out();
        }
        // The receiver may have waited for nothing else.
        let ends = self.closed.get() && state.reserved == 0;
        let waker = if ends { state.receiver.take() } else { None };
        drop(state);
        wake_if(waker);
    }

    /// Gives what is free to those who wait, in order.
    fn hand_out(&self) {
        loop {
            let waker = self.state.borrow_mut().grant(self.max);
            let Some(waker) = waker else { return };
            wake(waker);
        }
    }

    /// Joins the line. The caller has found that there is not enough.
    pub(super) fn join_line(&self, n: usize, cx: &Context<'_>) -> Key {
        let waker = copy(cx.waker());
        let mut state = self.state.borrow_mut();
        let key = state.waiters.push(Want { all: n, missing: n }, waker);
        // There is some if it is not enough. And a foreign waker's clone may have received, or closed.
        let reached = match self.closed.get() {
            true => state.waiters.reach_at(&key),
            false => state.grant(self.max),
        };
        drop(state);
        wake_if(reached);
        key
    }

    /// Whether a wait is still in line; it wakes who polls now.
    pub(super) fn is_in_line(&self, key: &Key, cx: &Context<'_>) -> bool {
        let state = self.state.borrow();
        let waiting = state.waiters.is_waiting(key);
        let wakes = state.waiters.wakes(key, cx.waker());
        drop(state);
        if wakes {
            return waiting;
        }
        let waker = copy(cx.waker());
        let mut state = self.state.borrow_mut();
        let old = state.waiters.set_waker(key, waker);
        let waiting = state.waiters.is_waiting(key);
        drop(state);
        drop(old);
        waiting
    }

    /// Ends a wait that was reached. Whether it has what it asked for.
    pub(super) fn leave_line(&self, key: Key) -> bool {
        let (want, _) = self.state.borrow_mut().waiters.take(key);
        if !self.closed.get() {
            return true;
        }
        self.release(want.all - want.missing);
        false
    }

    /// Ends a wait that is given up: what it was given goes to the next in line.
    pub(super) fn give_up(&self, key: Key) {
        let (want, waker) = self.state.borrow_mut().waiters.take(key);
        drop(waker);
        self.release(want.all - want.missing);
    }

    pub(super) fn len(&self) -> usize {
        self.state.borrow().queue.len()
    }

    pub(super) fn free(&self) -> usize {
        self.state.borrow().free(self.max)
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.get()
    }

    pub(super) fn watch(&self, cx: &Context<'_>) -> Key {
        let waker = copy(cx.waker());
        let mut state = self.state.borrow_mut();
        let key = state.watchers.push((), waker);
        // As in `join_line`.
        let reached = if self.closed.get() { state.watchers.reach_at(&key) } else { None };
        drop(state);
        wake_if(reached);
        key
    }

    pub(super) fn watch_again(&self, key: &Key, cx: &Context<'_>) {
        if !self.state.borrow().watchers.wakes(key, cx.waker()) {
            let waker = copy(cx.waker());
            let old = self.state.borrow_mut().watchers.set_waker(key, waker);
            drop(old);
        }
    }

    pub(super) fn unwatch(&self, key: Key) {
        let ((), waker) = self.state.borrow_mut().watchers.take(key);
        drop(waker);
    }
}

/// Who holds a sending end.
impl<T> Chan<T> {
    pub(super) fn senders(&self) -> usize {
        self.senders.get()
    }

    pub(super) fn weak_senders(&self) -> usize {
        self.weak_senders.get()
    }

    pub(super) fn add_sender(&self) {
        self.senders.set(self.senders.get() + 1);
    }

    pub(super) fn remove_sender(&self) {
        self.senders.set(self.senders.get() - 1);
        if self.senders.get() == 0 {
            let waker = self.state.borrow_mut().receiver.take();
            wake_if(waker);
        }
    }

    pub(super) fn add_weak_sender(&self) {
        self.weak_senders.set(self.weak_senders.get() + 1);
    }

    pub(super) fn remove_weak_sender(&self) {
        self.weak_senders.set(self.weak_senders.get() - 1);
    }
}

#[inline]
fn wake_if(waker: Option<Waker>) {
    /// Apart: most messages wake nobody.
    #[inline(never)]
    fn wake_apart(waker: Waker) {
        wake(waker);
    }
    if let Some(waker) = waker {
        wake_apart(waker);
    }
}
