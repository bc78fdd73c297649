//! The receiver's side of a channel.

use std::collections::VecDeque;
use std::task::{Context, Poll, ready};

use super::super::error::TryRecvError;
use super::{Chan, KEPT, wake_if};
use crate::budget;
use crate::waiters::wake;
use crate::waits;
use crate::wake::copy;

impl<T> Chan<T> {
    #[inline]
    pub(in super::super) fn poll_recv(&self, cx: &mut Context<'_>) -> Poll<Option<T>> {
        let permit = ready!(budget::poll_proceed(cx));
        if let Some(message) = self.take() {
            permit.spend();
            return Poll::Ready(Some(message));
        }
        self.poll_empty(cx, permit)
    }

    /// Apart, so that the usual case stays small: with `wake_if`, 16 % of the instructions of a message.
    #[inline(never)]
    fn poll_empty(&self, cx: &Context<'_>, permit: budget::Permit) -> Poll<Option<T>> {
        let mut message = None;
        while message.is_none() && !self.has_ended() {
            if self.wait(cx) {
                return Poll::Pending;
            }
            message = self.take();
        }
        permit.spend();
        Poll::Ready(message)
    }

    /// Takes the first message; its place goes to the first in line.
    #[inline]
    fn take(&self) -> Option<T> {
        let mut state = self.state.borrow_mut();
        let message = state.queue.pop_front()?;
        let reached = if state.waiters.is_empty() { None } else { state.grant(self.max) };
        drop(state);
        wake_if(reached);
        Some(message)
    }

    /// As `poll_recv`, for up to `limit` messages; 0 at the end.
    pub(in super::super) fn poll_recv_many(
        &self,
        cx: &mut Context<'_>,
        buffer: &mut Vec<T>,
        limit: usize,
    ) -> Poll<usize> {
        let permit = ready!(budget::poll_proceed(cx));
        loop {
            let taken = self.take_many(buffer, limit);
            if taken != 0 || limit == 0 || self.has_ended() {
                permit.spend();
                return Poll::Ready(taken);
            }
            if self.wait(cx) {
                return Poll::Pending;
            }
        }
    }

    fn take_many(&self, buffer: &mut Vec<T>, limit: usize) -> usize {
        let mut state = self.state.borrow_mut();
        let taken = limit.min(state.queue.len());
        buffer.reserve(taken); // first: an overflow must not drop messages under the borrow
        buffer.extend(state.queue.drain(..taken));
        let waited_for = !state.waiters.is_empty();
        drop(state);
        if waited_for {
            self.hand_out();
        }
        taken
    }

    pub(in super::super) fn try_recv(&self) -> Result<T, TryRecvError> {
        match self.take() {
            Some(message) => Ok(message),
            None if self.has_ended() => Err(TryRecvError::Disconnected),
            None => Err(TryRecvError::Empty),
        }
    }

    /// Whether nothing can come any more, the queue being empty.
    fn has_ended(&self) -> bool {
        self.senders.get() == 0 || (self.closed.get() && self.state.borrow().reserved == 0)
    }

    /// Waits for a message or the end. `false` if either came meanwhile, by a foreign waker's doing.
    #[inline]
    fn wait(&self, cx: &Context<'_>) -> bool {
        let mut state = self.state.borrow_mut();
        if state.queue.capacity() > KEPT && state.queue.is_empty() {
            state.queue = VecDeque::new();
        }
        let known = state.receiver.as_ref().is_some_and(|own| own.will_wake(cx.waker()));
        drop(state);
        if !known {
            let waker = copy(cx.waker());
            let old = self.state.borrow_mut().receiver.replace(waker);
            drop(old);
            if self.len() != 0 || self.has_ended() {
                return false;
            }
        }
        waits::note("a message (mpsc::Receiver)");
        true
    }

    /// Refuses new reservations, also to those who wait, who give back what they had been given.
    /// Permits that are out stay.
    pub(in super::super) fn close(&self) {
        self.closed.set(true);
        loop {
            let mut state = self.state.borrow_mut();
            let reached = match state.waiters.reach() {
                Some((_, waker)) => Some(waker),
                None => state.watchers.reach().map(|(_, waker)| waker),
            };
            drop(state);
            let Some(waker) = reached else { return };
            wake(waker);
        }
    }

    /// Ends the receiver, and returns the messages nobody will receive.
    pub(in super::super) fn end(&self) -> VecDeque<T> {
        let mut state = self.state.borrow_mut();
        state.receiver_gone = true;
        let (unread, waker) = (std::mem::take(&mut state.queue), state.receiver.take());
        drop(state);
        self.close();
        drop(waker); // last: if that panics, the senders know already
        unread
    }
}
