//! The receiving side, the same for both channels.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::thread;

use super::super::{park, poll_locked, wake};
use super::chan::Chan;
use super::error::TryRecvError;
use crate::budget;
use crate::outside::Outside;
use crate::waits;

/// What a receiver does; the types around it are names.
pub(crate) struct Core<T> {
    chan: Arc<Chan<T>>,
    /// Messages taken over under one lock; of a channel without bounds only.
    batch: VecDeque<T>,
    outside: Outside,
    /// What a deadlock's report says of a wait here.
    what: &'static str,
}

impl<T> Core<T> {
    pub(super) fn new(chan: Arc<Chan<T>>, what: &'static str) -> Self {
        Self { chan, batch: VecDeque::new(), outside: Outside::new(), what }
    }

    pub(super) fn chan(&self) -> &Chan<T> {
        &self.chan
    }

    pub(crate) fn len(&self) -> usize {
        self.batch.len() + self.chan.len()
    }

    pub(crate) fn try_recv(&mut self) -> Result<T, TryRecvError> {
        if let Some(message) = self.batch.pop_front() {
            return Ok(message);
        }
        let taken = self.chan.lock().take(&mut self.batch);
        taken.map(|(message, sender)| {
            wake(sender);
            message
        })
    }

    /// Inlined: most messages come out of the batch.
    #[inline]
    pub(crate) fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<T>> {
        let permit = ready!(budget::poll_proceed(cx));
        let message = match self.batch.pop_front() {
            Some(message) => Some(message),
            None => ready!(self.poll_chan(cx)),
        };
        permit.spend();
        Poll::Ready(message)
    }

    #[inline(never)]
    fn poll_chan(&mut self, cx: &Context<'_>) -> Poll<Option<T>> {
        let thread = park::would_stall().then(|| thread::current().id());
        let batch = &mut self.batch;
        let polled = poll_locked(
            &self.chan.state,
            cx,
            |state| &mut state.receiver,
            |state| {
                let taken = state.take(batch);
                if let Err(TryRecvError::Empty) = taken {
                    state.receives_on = thread;
                    return None;
                }
                Some(taken.ok())
            },
        );
        match polled {
            Poll::Ready(Some((message, sender))) => {
                wake(sender);
                Poll::Ready(Some(message))
            }
            Poll::Ready(None) => {
                self.outside.leave();
                Poll::Ready(None)
            }
            Poll::Pending => {
                self.outside.join();
                waits::note(self.what);
                Poll::Pending
            }
        }
    }

    /// Takes up to `limit` messages; none only at the end, or if the limit is zero.
    pub(super) fn poll_recv_many(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut Vec<T>,
        limit: usize,
    ) -> Poll<usize> {
        if limit == 0 {
            return Poll::Ready(0);
        }
        let Some(first) = ready!(self.poll_recv(cx)) else { return Poll::Ready(0) };
        buffer.push(first);
        let mut count = 1;
        while count < limit {
            if self.batch.is_empty() {
                let (more, senders) = self.take_more(limit - count, buffer);
                senders.into_iter().for_each(|sender| wake(Some(sender)));
                if more == 0 {
                    break;
                }
                count += more;
            }
            let from_batch = self.batch.len().min(limit - count);
            buffer.extend(self.batch.drain(..from_batch));
            count += from_batch;
        }
        Poll::Ready(count)
    }

    /// Takes what is there at once, into the buffer or the batch: how many into the buffer, and who is
    /// to be woken for their room.
    fn take_more(&mut self, limit: usize, buffer: &mut Vec<T>) -> (usize, Vec<Waker>) {
        let mut senders = Vec::new();
        let mut state = self.chan.lock();
        let mut count = 0;
        while count < limit {
            let Ok((message, sender)) = state.take(&mut self.batch) else { break };
            buffer.push(message);
            senders.extend(sender);
            count += 1;
            if !self.batch.is_empty() {
                break;
            }
        }
        (count, senders)
    }

    pub(super) fn close(&mut self) {
        self.chan.close();
    }
}

impl<T> Drop for Core<T> {
    fn drop(&mut self) {
        self.chan.close();
        let mut state = self.chan.lock();
        let (unread, waker) = (std::mem::take(&mut state.queue), state.receiver.take());
        drop(state);
        // In the order in which they were sent.
        drop((std::mem::take(&mut self.batch), unread, waker));
    }
}

/// Waits for a message. Not an `async fn`, whose state would be checked with each message.
pub(super) struct Recv<'a, T> {
    pub(super) core: &'a mut Core<T>,
}

impl<T> Future for Recv<'_, T> {
    type Output = Option<T>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        self.core.poll_recv(cx)
    }
}

/// What the receivers of both channels have.
macro_rules! receiver {
    ($receiver:ident) => {
        impl<T> $receiver<T> {
            /// Waits for the next message; `None` once all senders are gone, or this is closed, and
            /// everything was received.
            ///
            /// # Cancel safety
            ///
            /// Strict: a wait that is dropped has taken no message.
            #[inline]
            pub fn recv(&mut self) -> impl Future<Output = Option<T>> {
                Recv { core: &mut self.core }
            }

            /// Waits for a message and takes up to `limit` of those that are there, behind what the
            /// buffer holds. Returns how many; none only at the end, or if the limit is zero.
            ///
            /// # Cancel safety
            ///
            /// Strict: a wait that is dropped has taken no message.
            pub async fn recv_many(&mut self, buffer: &mut Vec<T>, limit: usize) -> usize {
                std::future::poll_fn(|cx| self.core.poll_recv_many(cx, buffer, limit)).await
            }

            /// Takes the next message if there is one.
            ///
            /// # Errors
            ///
            /// If there is none: [`TryRecvError::Disconnected`] if there will be none either.
            pub fn try_recv(&mut self) -> Result<T, TryRecvError> {
                self.core.try_recv()
            }

            /// Blocks this thread until there is a message, or the end.
            ///
            /// # Panics
            ///
            /// If an event loop is in a turn on this thread: it would stall, and for ever if the sender
            /// is on it too.
            #[track_caller]
            pub fn blocking_recv(&mut self) -> Option<T> {
                assert!(
                    !park::would_stall(),
                    "an event loop runs on this thread and would stall: use recv().await"
                );
                park::wait(self.recv())
            }

            /// Polls for the next message; [`recv`](Self::recv) for implementations of `poll`.
            #[inline]
            pub fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<T>> {
                self.core.poll_recv(cx)
            }

            /// Takes no more messages: senders get an error, those that wait too. What was sent can be
            /// received still.
            pub fn close(&mut self) {
                self.core.close();
            }

            /// Whether nothing more can be sent: this was closed, or no sender is left.
            #[must_use]
            pub fn is_closed(&self) -> bool {
                self.core.chan().is_over()
            }

            /// Whether no message is there now.
            #[must_use]
            pub fn is_empty(&self) -> bool {
                self.len() == 0
            }

            /// Returns how many messages are there now.
            #[must_use]
            pub fn len(&self) -> usize {
                self.core.len()
            }
        }

        impl<T> Unpin for $receiver<T> {}

        impl<T> Stream for $receiver<T> {
            type Item = T;

            #[inline]
            fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
                self.core.poll_recv(cx)
            }
        }

        impl<T> fmt::Debug for $receiver<T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($receiver))
                    .field("len", &self.len())
                    .field("closed", &self.is_closed())
                    .finish()
            }
        }
    };
}
pub(super) use receiver;
