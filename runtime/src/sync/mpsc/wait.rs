//! What senders await: capacity, and the end of the receiver.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use super::chan::Chan;
use super::error::{SendError, TrySendError};
use crate::budget;
use crate::waiters::Key;
use crate::waits;

/// Waits for capacity for `n` messages; its owner makes it into a permit of its kind.
pub(super) struct Reserve<'a, T> {
    chan: &'a Chan<T>,
    n: usize,
    /// Its place in line, once it waits.
    key: Option<Key>,
}

impl<'a, T> Reserve<'a, T> {
    #[inline]
    pub(super) fn new(chan: &'a Chan<T>, n: usize) -> Self {
        Self { chan, n, key: None }
    }

    /// Ready with whether the capacity is there; else the channel was closed. No budget is kept here.
    fn poll_in_line(&mut self, cx: &Context<'_>) -> Poll<bool> {
        match &self.key {
            None => self.key = Some(self.chan.join_line(self.n, cx)),
            Some(key) if self.chan.is_in_line(key, cx) => {}
            Some(_) => {
                let key = self.key.take();
                return Poll::Ready(key.is_some_and(|key| self.chan.leave_line(key)));
            }
        }
        waits::note("capacity (mpsc::Sender)");
        Poll::Pending
    }
}

impl<T> Future for Reserve<'_, T> {
    type Output = Result<(), SendError<()>>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let permit = ready!(budget::poll_proceed(cx));
        let this = &mut *self;
        let reserved = match this.key {
            // More than the channel ever holds is refused like a closed channel, as in tokio.
            None if this.n > this.chan.max => false,
            None => match this.chan.try_reserve(this.n) {
                Ok(()) => true,
                Err(TrySendError::Closed(())) => false,
                Err(TrySendError::Full(())) => ready!(this.poll_in_line(cx)),
            },
            Some(_) => ready!(this.poll_in_line(cx)),
        };
        permit.spend();
        Poll::Ready(if reserved { Ok(()) } else { Err(SendError(())) })
    }
}

impl<T> Drop for Reserve<'_, T> {
    #[inline]
    fn drop(&mut self) {
        if let Some(key) = self.key.take() {
            self.chan.give_up(key);
        }
    }
}

/// Sends a message, without a reservation if it need not wait.
pub(super) struct Send<'a, T> {
    line: Reserve<'a, T>,
    /// There until it is sent or refused.
    message: Option<T>,
}

/// The message is moved, never pinned.
impl<T> Unpin for Send<'_, T> {}

impl<'a, T> Send<'a, T> {
    #[inline]
    pub(super) fn new(chan: &'a Chan<T>, message: T) -> Self {
        Self { line: Reserve::new(chan, 1), message: Some(message) }
    }
}

impl<T> Future for Send<'_, T> {
    type Output = Result<(), SendError<T>>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let permit = ready!(budget::poll_proceed(cx));
        let this = &mut *self;
        let chan = this.line.chan;
        let message = this.message.take().expect("a send is not polled after it was done");
        if this.line.key.is_none() {
            match chan.try_send(message) {
                Ok(()) => {
                    permit.spend();
                    return Poll::Ready(Ok(()));
                }
                Err(TrySendError::Closed(message)) => {
                    permit.spend();
                    return Poll::Ready(Err(SendError(message)));
                }
                Err(TrySendError::Full(message)) => this.message = Some(message),
            }
        } else {
            this.message = Some(message);
        }
        let reserved = ready!(this.line.poll_in_line(cx));
        permit.spend();
        let message = this.message.take().expect("put back above");
        if !reserved {
            return Poll::Ready(Err(SendError(message)));
        }
        chan.send_reserved(message);
        Poll::Ready(Ok(()))
    }
}

/// Waits until the receiver is closed or gone.
pub(super) struct Closed<'a, T> {
    chan: &'a Chan<T>,
    key: Option<Key>,
}

impl<'a, T> Closed<'a, T> {
    pub(super) fn new(chan: &'a Chan<T>) -> Self {
        Self { chan, key: None }
    }
}

impl<T> Future for Closed<'_, T> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let permit = ready!(budget::poll_proceed(cx));
        let this = &mut *self;
        if this.chan.is_closed() {
            permit.spend();
            return Poll::Ready(());
        }
        match &this.key {
            None => this.key = Some(this.chan.watch(cx)),
            Some(key) => this.chan.watch_again(key, cx),
        }
        waits::note("the end of the receiver (mpsc::Sender::closed)");
        Poll::Pending
    }
}

impl<T> Drop for Closed<'_, T> {
    fn drop(&mut self) {
        if let Some(key) = self.key.take() {
            self.chan.unwatch(key);
        }
    }
}
