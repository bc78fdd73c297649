//! Many messages, many senders, one receiver.
//!
//! A [`channel`] holds so many messages and no more: a sender that is faster than the receiver waits,
//! by [`Sender::send`] on any loop or in any async library, by [`Sender::blocking_send`] on a plain
//! thread. An [`unbounded_channel`] takes all there is memory for. In both, the messages of one sender
//! arrive in the order in which they were sent.
//!
//! The receiver is a stream, and so a source for [`Handle::insert`](crate::Handle::insert).

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::thread;

use futures_core::Stream;

mod chan;
pub mod error;
mod receiver;
mod sending;
mod unbounded;

use self::chan::Chan;
use self::error::{BlockingSendError, SendError, TryRecvError, TrySendError};
use self::receiver::{Recv, receiver};
use self::sending::{Closed, Sending};
use super::park;

pub(crate) use self::receiver::Core;
pub(crate) use self::unbounded::unbounded;
pub use self::unbounded::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// Makes a channel that holds up to `buffer` messages.
///
/// # Panics
///
/// If `buffer` is zero, or above [`Semaphore::MAX_PERMITS`](crate::sync::Semaphore::MAX_PERMITS).
///
/// # Examples
///
/// A thread that waits while the loop has enough to do:
///
/// ```
/// use loopline_runtime::sync::remote::mpsc;
///
/// let (sender, mut receiver) = mpsc::channel(8);
/// let thread = std::thread::spawn(move || {
///     for number in 1..=100 {
///         sender.blocking_send(number).expect("the loop waits for all of them");
///     }
/// });
/// let sum = loopline_runtime::block_on(async {
///     let mut sum = 0;
///     while let Some(number) = receiver.recv().await {
///         sum += number;
///     }
///     sum
/// });
/// assert_eq!(sum, 5_050);
/// thread.join().unwrap();
/// ```
///
/// Between two loops, each on its thread:
///
/// ```
/// use loopline_runtime::{block_on, sync::remote::mpsc};
///
/// let (sender, mut receiver) = mpsc::channel(1);
/// let other = std::thread::spawn(move || {
///     block_on(async move {
///         for word in ["one", "two", "three"] {
///             sender.send(word).await.unwrap();
///         }
///     });
/// });
/// let words = block_on(async {
///     let mut words = Vec::new();
///     while receiver.recv_many(&mut words, 10).await != 0 {}
///     words
/// });
/// assert_eq!(words, ["one", "two", "three"]);
/// other.join().unwrap();
/// ```
#[track_caller]
pub fn channel<T>(buffer: usize) -> (Sender<T>, Receiver<T>) {
    let (sender, core) = bounded(buffer, "a message (remote::mpsc::Receiver)");
    (sender, Receiver { core })
}

/// Makes one whose waits have a name of their own.
#[track_caller]
pub(crate) fn bounded<T>(buffer: usize, what: &'static str) -> (Sender<T>, Core<T>) {
    assert!(buffer != 0, "a channel needs room for one message at least");
    assert!(buffer <= chan::MOST, "a channel has room for Semaphore::MAX_PERMITS messages at most");
    let chan = Arc::new(Chan::new(Some(buffer)));
    let core = Core::new(chan.clone(), what);
    (Sender { chan }, core)
}

/// The sending end of a [`channel`]: cloneable, and `Send` and `Sync` if the messages are `Send`.
///
/// A sender crosses threads if its messages do:
///
/// ```compile_fail,E0277
/// use loopline_runtime::sync::remote::mpsc;
///
/// let (sender, _receiver) = mpsc::channel::<std::rc::Rc<u8>>(1);
/// std::thread::spawn(move || sender.try_send(std::rc::Rc::new(5)));
/// ```
///
/// ```
/// use loopline_runtime::sync::remote::mpsc;
///
/// let (sender, _receiver) = mpsc::channel::<std::sync::Arc<u8>>(1);
/// std::thread::spawn(move || sender.try_send(std::sync::Arc::new(5)));
/// ```
pub struct Sender<T> {
    chan: Arc<Chan<T>>,
}

impl<T> Sender<T> {
    /// Sends a message, and waits for room first if there is none.
    ///
    /// # Errors
    ///
    /// Gives the message back if the receiver is gone or closed.
    ///
    /// # Cancel safety
    ///
    /// Partial: a wait that is dropped did not send its message, which is dropped with it, and loses
    /// its place in line.
    pub async fn send(&self, message: T) -> Result<(), SendError<T>> {
        Sending::new(&self.chan, message).await
    }

    /// Sends a message if there is room, and nobody waits for it.
    ///
    /// # Errors
    ///
    /// Gives the message back if there is not, or if the receiver is gone or closed.
    pub fn try_send(&self, message: T) -> Result<(), TrySendError<T>> {
        self.chan.push(message)
    }

    /// Sends a message, and blocks this thread until there is room.
    ///
    /// # Errors
    ///
    /// Gives the message back if the receiver is gone or closed; and, instead of blocking, if an event
    /// loop is in a turn on this thread or if the receiver last waited on a loop of this thread. To
    /// block there would stall that loop, for ever if it is the one that receives.
    pub fn blocking_send(&self, message: T) -> Result<(), BlockingSendError<T>> {
        match self.try_send(message) {
            Ok(()) => Ok(()),
            Err(TrySendError::Closed(message)) => Err(BlockingSendError::Closed(message)),
            Err(TrySendError::Full(message)) => {
                if park::would_stall() || self.chan.receives_on(thread::current().id()) {
                    return Err(BlockingSendError::OwnThread(message));
                }
                let sent = park::wait(Sending::new(&self.chan, message));
                sent.map_err(|SendError(message)| BlockingSendError::Closed(message))
            }
        }
    }

    /// Returns how many messages there is room for now.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.chan.room()
    }

    /// Returns how many messages the channel holds at most.
    #[must_use]
    pub fn max_capacity(&self) -> usize {
        self.chan.max()
    }
}

/// What the senders of both channels have.
macro_rules! sender {
    ($sender:ident) => {
        impl<T> $sender<T> {
            /// Whether the receiver is gone or closed.
            #[must_use]
            pub fn is_closed(&self) -> bool {
                self.chan.is_closed()
            }

            /// Waits until the receiver is gone or closed.
            ///
            /// # Cancel safety
            ///
            /// Strict.
            pub async fn closed(&self) {
                Closed::new(&self.chan).await;
            }

            /// Whether both send to one receiver.
            #[must_use]
            pub fn same_channel(&self, other: &Self) -> bool {
                Arc::ptr_eq(&self.chan, &other.chan)
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
                let closed = self.chan.is_closed();
                f.debug_struct(stringify!($sender)).field("closed", &closed).finish_non_exhaustive()
            }
        }
    };
}
use sender;

sender!(Sender);

/// The receiving end of a [`channel`]: a source, on whatever loop or in whatever async library polls it.
pub struct Receiver<T> {
    core: Core<T>,
}

receiver!(Receiver);

impl<T> Receiver<T> {
    /// Returns how many messages there is room for now.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.core.chan().room()
    }

    /// Returns how many messages the channel holds at most.
    #[must_use]
    pub fn max_capacity(&self) -> usize {
        self.core.chan().max()
    }
}
