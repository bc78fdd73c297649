//! The sending ends, strong and weak.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use super::chan::Chan;
use super::error::{SendError, SendTimeoutError, TrySendError};
use super::permit::{OwnedPermit, Permit, PermitIterator};
use super::wait::{Closed, Reserve, Send};
use crate::sleep::sleep;

/// Sends into a [`channel`](super::channel); cloneable.
///
/// # Examples
///
/// Capacity first, then the message:
///
/// ```
/// # loopline_runtime::block_on(async {
/// use loopline_runtime::sync::mpsc::{self, error::TrySendError};
///
/// let (sender, mut receiver) = mpsc::channel(1);
/// let permit = sender.reserve().await.unwrap();
/// assert_eq!(sender.try_send("other"), Err(TrySendError::Full("other")));
/// permit.send("message");
/// assert_eq!(receiver.recv().await, Some("message"));
/// # });
/// ```
///
/// Both ends stay on their thread:
///
/// ```compile_fail,E0277
/// let (sender, _receiver) = loopline_runtime::sync::mpsc::channel::<u32>(1);
/// std::thread::spawn(move || drop(sender));
/// ```
///
/// ```
/// # loopline_runtime::block_on(async {
/// let (sender, _receiver) = loopline_runtime::sync::mpsc::channel::<u32>(1);
/// loopline_runtime::spawn(async move { drop(sender) });
/// # });
/// ```
pub struct Sender<T> {
    chan: Rc<Chan<T>>,
}

impl<T> Sender<T> {
    pub(super) fn chan(&self) -> &Chan<T> {
        &self.chan
    }

    /// Sends a message, having waited for capacity if there is none.
    ///
    /// # Errors
    ///
    /// Gives the message back if the receiver is closed or gone.
    ///
    /// # Cancel safety
    ///
    /// Partial: a send that is dropped has sent nothing, but the message is dropped with it, and the
    /// place in line is lost. [`Sender::reserve`] keeps the message out of it.
    #[inline]
    pub fn send(&self, message: T) -> impl Future<Output = Result<(), SendError<T>>> {
        Send::new(&self.chan, message)
    }

    /// Sends a message if there is capacity.
    ///
    /// # Errors
    ///
    /// Gives the message back if there is none, or the receiver is closed or gone.
    #[inline]
    pub fn try_send(&self, message: T) -> Result<(), TrySendError<T>> {
        self.chan.try_send(message)
    }

    /// Sends a message, having waited for capacity for no longer than `timeout`.
    ///
    /// # Errors
    ///
    /// Gives the message back if there was none in time, or the receiver is closed or gone.
    ///
    /// # Panics
    ///
    /// If no event loop runs on this thread.
    ///
    /// # Cancel safety
    ///
    /// Partial, as [`Sender::send`].
    pub async fn send_timeout(
        &self,
        message: T,
        timeout: Duration,
    ) -> Result<(), SendTimeoutError<T>> {
        let mut line = Reserve::new(&self.chan, 1);
        let mut sleep = sleep(timeout);
        let reserved = poll_fn(|cx| match Pin::new(&mut line).poll(cx) {
            Poll::Ready(reserved) => Poll::Ready(Some(reserved)),
            Poll::Pending => Pin::new(&mut sleep).poll(cx).map(|()| None),
        });
        match reserved.await {
            Some(Ok(())) => {
                self.chan.send_reserved(message);
                Ok(())
            }
            Some(Err(_)) => Err(SendTimeoutError::Closed(message)),
            None => Err(SendTimeoutError::Timeout(message)),
        }
    }

    /// Waits for capacity for a message.
    ///
    /// # Errors
    ///
    /// If the receiver is closed or gone.
    ///
    /// # Cancel safety
    ///
    /// Strict: only the place in line is lost. Capacity that was given meanwhile goes to the next.
    pub async fn reserve(&self) -> Result<Permit<'_, T>, SendError<()>> {
        Reserve::new(&self.chan, 1).await?;
        Ok(Permit::new(&self.chan))
    }

    /// Waits for capacity for `n` messages together.
    ///
    /// # Errors
    ///
    /// If the receiver is closed or gone, or the channel never has so much capacity.
    ///
    /// # Cancel safety
    ///
    /// Strict, as [`Sender::reserve`].
    pub async fn reserve_many(&self, n: usize) -> Result<PermitIterator<'_, T>, SendError<()>> {
        Reserve::new(&self.chan, n).await?;
        Ok(PermitIterator::new(&self.chan, n))
    }

    /// As [`Sender::reserve`], with a permit that borrows nothing and gives the sender back.
    ///
    /// # Errors
    ///
    /// If the receiver is closed or gone.
    ///
    /// # Cancel safety
    ///
    /// Partial: the sender is dropped with it, and the place in line is lost; clone the sender to keep
    /// it.
    pub async fn reserve_owned(self) -> Result<OwnedPermit<T>, SendError<()>> {
        Reserve::new(&self.chan, 1).await?;
        Ok(OwnedPermit::new(self))
    }

    /// Takes capacity for a message if there is some.
    ///
    /// # Errors
    ///
    /// If there is none, or the receiver is closed or gone.
    pub fn try_reserve(&self) -> Result<Permit<'_, T>, TrySendError<()>> {
        self.chan.try_reserve(1)?;
        Ok(Permit::new(&self.chan))
    }

    /// Takes capacity for `n` messages if there is so much.
    ///
    /// # Errors
    ///
    /// If there is not, or the receiver is closed or gone.
    pub fn try_reserve_many(&self, n: usize) -> Result<PermitIterator<'_, T>, TrySendError<()>> {
        self.chan.try_reserve(n)?;
        Ok(PermitIterator::new(&self.chan, n))
    }

    /// As [`Sender::try_reserve`], with a permit that borrows nothing and gives the sender back.
    ///
    /// # Errors
    ///
    /// Gives the sender back if there is no capacity, or the receiver is closed or gone.
    pub fn try_reserve_owned(self) -> Result<OwnedPermit<T>, TrySendError<Self>> {
        match self.chan.try_reserve(1) {
            Ok(()) => Ok(OwnedPermit::new(self)),
            Err(error) => Err(error.map(|()| self)),
        }
    }

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

/// Sends into an [`unbounded_channel`](super::unbounded_channel); cloneable.
pub struct UnboundedSender<T> {
    chan: Rc<Chan<T>>,
}

impl<T> UnboundedSender<T> {
    /// Sends a message. Never waits.
    ///
    /// # Errors
    ///
    /// Gives the message back if the receiver is closed or gone.
    #[inline]
    pub fn send(&self, message: T) -> Result<(), SendError<T>> {
        self.chan.try_send(message).map_err(|error| SendError(error.into_inner()))
    }
}

/// A [`Sender`] that does not keep the channel open; made by [`Sender::downgrade`].
pub struct WeakSender<T> {
    chan: Rc<Chan<T>>,
}

/// An [`UnboundedSender`] that does not keep the channel open; made by [`UnboundedSender::downgrade`].
pub struct WeakUnboundedSender<T> {
    chan: Rc<Chan<T>>,
}

macro_rules! sender {
    ($sender:ident, $weak:ident) => {
        impl<T> $sender<T> {
            /// Of a sender that is counted already.
            pub(super) fn new(chan: Rc<Chan<T>>) -> Self {
                Self { chan }
            }

            /// Waits until the receiver is closed or gone.
            ///
            /// # Cancel safety
            ///
            /// Strict.
            pub fn closed(&self) -> impl Future<Output = ()> {
                Closed::new(&self.chan)
            }

            /// Whether the receiver is closed or gone.
            #[must_use]
            pub fn is_closed(&self) -> bool {
                self.chan.is_closed()
            }

            /// Whether both send into one channel.
            #[must_use]
            pub fn same_channel(&self, other: &Self) -> bool {
                Rc::ptr_eq(&self.chan, &other.chan)
            }

            /// Makes a sender that does not keep the channel open.
            #[must_use = "the weak sender is all this makes"]
            pub fn downgrade(&self) -> $weak<T> {
                self.chan.add_weak_sender();
                $weak { chan: self.chan.clone() }
            }

            /// Returns how many senders there are, owned permits included.
            #[must_use]
            pub fn strong_count(&self) -> usize {
                self.chan.senders()
            }

            /// Returns how many weak senders there are.
            #[must_use]
            pub fn weak_count(&self) -> usize {
                self.chan.weak_senders()
            }
        }

        impl<T> Clone for $sender<T> {
            fn clone(&self) -> Self {
                self.chan.add_sender();
                Self { chan: self.chan.clone() }
            }
        }

        impl<T> Drop for $sender<T> {
            fn drop(&mut self) {
                self.chan.remove_sender();
            }
        }

        impl<T> fmt::Debug for $sender<T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($sender))
                    .field("len", &self.chan.len())
                    .field("closed", &self.is_closed())
                    .finish_non_exhaustive()
            }
        }

        impl<T> $weak<T> {
            /// Makes a sender, or returns `None` if there was none left. Then the channel has ended
            /// for good.
            #[must_use]
            pub fn upgrade(&self) -> Option<$sender<T>> {
                if self.chan.senders() == 0 {
                    return None;
                }
                self.chan.add_sender();
                Some($sender { chan: self.chan.clone() })
            }

            /// Returns how many senders there are, owned permits included.
            #[must_use]
            pub fn strong_count(&self) -> usize {
                self.chan.senders()
            }

            /// Returns how many weak senders there are.
            #[must_use]
            pub fn weak_count(&self) -> usize {
                self.chan.weak_senders()
            }
        }

        impl<T> Clone for $weak<T> {
            fn clone(&self) -> Self {
                self.chan.add_weak_sender();
                Self { chan: self.chan.clone() }
            }
        }

        impl<T> Drop for $weak<T> {
            fn drop(&mut self) {
                self.chan.remove_weak_sender();
            }
        }

        impl<T> fmt::Debug for $weak<T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($weak)).finish_non_exhaustive()
            }
        }
    };
}

sender!(Sender, WeakSender);
sender!(UnboundedSender, WeakUnboundedSender);
