//! What senders wait for: room, and the end of the receiver.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use super::super::wake;
use super::chan::{Chan, State};
use super::error::SendError;
use crate::budget;
use crate::outside::Outside;
use crate::waiters::{Key, WaitList};
use crate::waits;
use crate::wake::{copy, is_ours};

/// Waits at a list of the channel until there is an answer.
///
/// `key` is the place in the list, once there is one; with the answer it is gone.
fn poll_list<T, R>(
    chan: &Chan<T>,
    key: &mut Option<Key>,
    list: fn(&mut State<T>) -> &mut WaitList<()>,
    cx: &Context<'_>,
    mut ready: impl FnMut(&mut State<T>, Option<&Key>) -> Option<R>,
) -> Poll<R> {
    // As in `poll_locked`, and dropped after the guard for the same reason.
    let mut own = is_ours(cx.waker()).then(|| copy(cx.waker()));
    loop {
        let mut state = chan.lock();
        if let Some(result) = ready(&mut state, key.as_ref()) {
            let old = key.take().and_then(|key| list(&mut state).take(key).1);
            drop(state);
            drop(old);
            return Poll::Ready(result);
        }
        if key.as_ref().is_some_and(|key| list(&mut state).wakes(key, cx.waker())) {
            return Poll::Pending;
        }
        let Some(waker) = own.take() else {
            drop(state);
            own = Some(copy(cx.waker()));
            continue;
        };
        let old = match key {
            Some(key) => list(&mut state).set_waker(key, waker),
            None => {
                *key = Some(list(&mut state).push((), waker));
                None
            }
        };
        drop(state);
        drop(old);
        return Poll::Pending;
    }
}

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
        let message = &mut self.message;
        let polled = poll_list(
            self.chan,
            &mut self.key,
            |state| &mut state.line,
            cx,
            |state, key| {
                let has_room = match key {
                    _ if !state.open => true,
                    None => state.take_room(),
                    Some(key) => !state.line.is_waiting(key),
                };
                if !has_room {
                    return None;
                }
                let message = message.take()?; // there until now
                if !state.open {
                    return Some(Err(SendError(message)));
                }
                state.queue.push_back(message);
                Some(Ok(state.receiver.take()))
            },
        );
        polled.map_ok(wake)
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

/// Waits until the receiver is gone or closed.
pub(super) struct Closed<'a, T> {
    chan: &'a Chan<T>,
    /// Its place in the list, once it waits.
    key: Option<Key>,
    outside: Outside,
}

impl<'a, T> Closed<'a, T> {
    pub(super) fn new(chan: &'a Chan<T>) -> Self {
        Self { chan, key: None, outside: Outside::new() }
    }
}

impl<T> Unpin for Closed<'_, T> {}

impl<T> Future for Closed<'_, T> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let permit = ready!(budget::poll_proceed(cx));
        let this = self.get_mut();
        let polled = poll_list(
            this.chan,
            &mut this.key,
            |state| &mut state.watching,
            cx,
            |state, _| (!state.open).then_some(()),
        );
        if polled.is_ready() {
            permit.spend();
            return polled;
        }
        this.outside.join();
        waits::note("the receiver's end (remote::mpsc::Sender::closed)");
        Poll::Pending
    }
}

impl<T> Drop for Closed<'_, T> {
    fn drop(&mut self) {
        let Some(key) = self.key.take() else { return };
        let ((), waker) = self.chan.lock().watching.take(key);
        drop(waker);
    }
}
