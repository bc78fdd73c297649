//! The wait for room.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use super::super::wake;
use super::chan::Chan;
use super::error::SendError;
use crate::budget;
use crate::outside::Outside;
use crate::waiters::Key;
use crate::waits;
use crate::wake::{copy, is_ours};

/// Waits for room and sends, in one step.
pub(super) struct Sending<'a, T> {
    chan: &'a Chan<T>,
    /// Taken when it is sent or given back.
    message: Option<T>,
    /// Its place in line, once it waits.
    key: Option<Key>,
    outside: Outside,
}

impl<'a, T> Sending<'a, T> {
    pub(super) fn new(chan: &'a Chan<T>, message: T) -> Self {
        Self { chan, message: Some(message), key: None, outside: Outside::new() }
    }

    /// Sends if it has room, else sees to it that it is in line with this waker.
    fn attempt(&mut self, cx: &Context<'_>) -> Poll<Result<(), SendError<T>>> {
        // As in `poll_locked`, and dropped after the guard for the same reason.
        let mut own = is_ours(cx.waker()).then(|| copy(cx.waker()));
        loop {
            let mut state = self.chan.lock();
            let has_room = match &self.key {
                _ if !state.open => true,
                None => state.take_room(),
                Some(key) => !state.line.is_waiting(key),
            };
            if has_room {
                let old = self.key.take().and_then(|key| state.line.take(key).1);
                let message = self.message.take().expect("a send is polled until it is done");
                let result = if state.open {
                    state.queue.push_back(message);
                    Ok(())
                } else {
                    Err(SendError(message))
                };
                let receiver = if result.is_ok() { state.receiver.take() } else { None };
                drop(state);
                drop(old);
                wake(receiver);
                return Poll::Ready(result);
            }
            if self.key.as_ref().is_some_and(|key| state.line.wakes(key, cx.waker())) {
                return Poll::Pending;
            }
            if let Some(own) = own.take() {
                let old = match &self.key {
                    Some(key) => state.line.set_waker(key, own),
                    None => {
                        self.key = Some(state.line.push((), own));
                        None
                    }
                };
                drop(state);
                drop(old);
                return Poll::Pending;
            }
            drop(state);
            own = Some(copy(cx.waker()));
        }
    }
}

impl<T> Unpin for Sending<'_, T> {}

impl<T> Future for Sending<'_, T> {
    type Output = Result<(), SendError<T>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let permit = ready!(budget::poll_proceed(cx));
        let this = self.get_mut();
        if let Poll::Ready(result) = this.attempt(cx) {
            permit.spend();
            return Poll::Ready(result);
        }
        this.outside.join();
        waits::note("room in a channel (remote::mpsc::Sender::send)");
        Poll::Pending
    }
}

impl<T> Drop for Sending<'_, T> {
    fn drop(&mut self) {
        let Some(key) = self.key.take() else { return };
        let mut state = self.chan.lock();
        let ((), waker) = state.line.take(key);
        // The room it was given and did not use goes to the next in line.
        let next = if waker.is_none() && state.open { state.give_room() } else { None };
        drop(state);
        drop(waker);
        wake(next);
    }
}
