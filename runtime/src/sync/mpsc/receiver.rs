//! The receiving ends.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use futures_core::Stream;

use super::chan::Chan;
use super::error::TryRecvError;

/// Receives what is sent into a [`channel`](super::channel); one to a channel.
///
/// Also a stream, and so a source: a callback gets each message.
///
/// Dropping it closes the channel and drops the messages that are in it.
///
/// # Examples
///
/// ```
/// use loopline_runtime::{EventLoop, callback::Next, sync::mpsc};
///
/// let mut event_loop = EventLoop::<Vec<u32>>::new()?;
/// let handle = event_loop.handle();
/// let (sender, receiver) = mpsc::channel(1);
/// handle.insert(receiver, |number, _receiver, numbers| {
///     numbers.push(number);
///     Next::Keep
/// })?;
/// handle.spawn(async move {
///     for n in 0..3 {
///         sender.send(n).await.expect("the receiver lives");
///     }
/// });
/// let mut numbers = Vec::new();
/// event_loop.run(&mut numbers)?; // until the sender is gone
/// assert_eq!(numbers, [0, 1, 2]);
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// Both ends stay on their thread:
///
/// ```compile_fail,E0277
/// let (_sender, receiver) = loopline_runtime::sync::mpsc::channel::<u32>(1);
/// std::thread::spawn(move || drop(receiver));
/// ```
///
/// ```
/// # loopline_runtime::block_on(async {
/// let (_sender, receiver) = loopline_runtime::sync::mpsc::channel::<u32>(1);
/// loopline_runtime::spawn(async move { drop(receiver) });
/// # });
/// ```
pub struct Receiver<T> {
    chan: Rc<Chan<T>>,
}

impl<T> Receiver<T> {
    /// Returns how many messages could be sent at once.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.chan.free()
    }

    /// Returns the capacity that the channel was made with.
    #[must_use]
    pub fn max_capacity(&self) -> usize {
        self.chan.max
    }
}

/// Receives what is sent into an [`unbounded_channel`](super::unbounded_channel); one to a channel.
///
/// Also a stream, and so a source: a callback gets each message.
///
/// Dropping it closes the channel and drops the messages that are in it.
///
/// # Examples
///
/// Many at a time:
///
/// ```
/// # loopline_runtime::block_on(async {
/// use loopline_runtime::sync::mpsc;
///
/// let (sender, mut receiver) = mpsc::unbounded_channel();
/// (0..5).try_for_each(|n| sender.send(n)).unwrap();
/// drop(sender);
/// let mut buffer = Vec::new();
/// assert_eq!(receiver.recv_many(&mut buffer, 3).await, 3);
/// assert_eq!(receiver.recv_many(&mut buffer, 3).await, 2);
/// assert_eq!(receiver.recv_many(&mut buffer, 3).await, 0); // the end
/// assert_eq!(buffer, [0, 1, 2, 3, 4]);
/// # });
/// ```
pub struct UnboundedReceiver<T> {
    chan: Rc<Chan<T>>,
}

/// Waits for a message.
struct Recv<'a, T> {
    chan: &'a Chan<T>,
}

impl<T> Future for Recv<'_, T> {
    type Output = Option<T>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        self.chan.poll_recv(cx)
    }
}

macro_rules! receiver {
    ($receiver:ident) => {
        impl<T> $receiver<T> {
            pub(super) fn new(chan: Rc<Chan<T>>) -> Self {
                Self { chan }
            }

            /// Waits for the next message; `None` once no sender is left, or the channel was closed,
            /// and everything was received. After [`close`](Self::close) that is when the last permit
            /// was used or given back.
            ///
            /// # Cancel safety
            ///
            /// Strict: a wait that is dropped has taken no message.
            #[inline]
            pub fn recv(&mut self) -> impl Future<Output = Option<T>> {
                Recv { chan: &*self.chan }
            }

            /// Waits for messages and appends up to `limit` of them to `buffer`. Returns how many: 0
            /// only at the end, as [`recv`](Self::recv) gives `None`, or if `limit` is 0.
            ///
            /// # Cancel safety
            ///
            /// Strict: a wait that is dropped has taken no message.
            pub fn recv_many(
                &mut self,
                buffer: &mut Vec<T>,
                limit: usize,
            ) -> impl Future<Output = usize> {
                poll_fn(move |cx| self.chan.poll_recv_many(cx, buffer, limit))
            }

            /// Takes the next message if there is one.
            ///
            /// # Errors
            ///
            /// If there is none: [`TryRecvError::Disconnected`] where [`recv`](Self::recv) gives
            /// `None`.
            #[inline]
            pub fn try_recv(&mut self) -> Result<T, TryRecvError> {
                self.chan.try_recv()
            }

            /// Closes the channel: nothing more can be sent, but with permits that are out already.
            /// What was sent is still received.
            pub fn close(&mut self) {
                self.chan.close();
            }

            /// Whether nothing more can be sent but with permits that are out: the channel was closed,
            /// or no sender is left.
            #[must_use]
            pub fn is_closed(&self) -> bool {
                self.chan.is_closed() || self.chan.senders() == 0
            }

            /// Whether no message is in the channel.
            #[must_use]
            pub fn is_empty(&self) -> bool {
                self.len() == 0
            }

            /// Returns how many messages are in the channel.
            #[must_use]
            pub fn len(&self) -> usize {
                self.chan.len()
            }

            /// Polls for the next message. Only the waker of the last poll is woken.
            #[inline]
            pub fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<T>> {
                self.chan.poll_recv(cx)
            }

            /// Polls for up to `limit` messages, which are appended to `buffer`. Only the waker of the
            /// last poll is woken.
            pub fn poll_recv_many(
                &mut self,
                cx: &mut Context<'_>,
                buffer: &mut Vec<T>,
                limit: usize,
            ) -> Poll<usize> {
                self.chan.poll_recv_many(cx, buffer, limit)
            }

            /// Returns how many senders there are, owned permits included.
            #[must_use]
            pub fn sender_strong_count(&self) -> usize {
                self.chan.senders()
            }

            /// Returns how many weak senders there are.
            #[must_use]
            pub fn sender_weak_count(&self) -> usize {
                self.chan.weak_senders()
            }
        }

        impl<T> Stream for $receiver<T> {
            type Item = T;

            #[inline]
            fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
                self.chan.poll_recv(cx)
            }
        }

        impl<T> Drop for $receiver<T> {
            fn drop(&mut self) {
                // Unborrowed Call: what is unread leaves the channel first.
                drop(self.chan.end());
            }
        }

        impl<T> fmt::Debug for $receiver<T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($receiver))
                    .field("len", &self.len())
                    .field("closed", &self.is_closed())
                    .finish_non_exhaustive()
            }
        }
    };
}

receiver!(Receiver);
receiver!(UnboundedReceiver);
