//! The channel without bounds.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_core::Stream;

use super::super::park;
use super::chan::Chan;
use super::error::{SendError, TryRecvError, TrySendError};
use super::receiver::{Core, Recv, receiver};
use super::sender;
use super::sending::Closed;

/// Makes a channel that takes as many messages as there is memory for.
///
/// # Examples
///
/// ```
/// use loopline_runtime::sync::remote::mpsc;
///
/// let (sender, mut receiver) = mpsc::unbounded_channel();
/// let thread = std::thread::spawn(move || (0..3).try_for_each(|n| sender.send(n)));
/// loopline_runtime::block_on(async {
///     for n in 0..3 {
///         assert_eq!(receiver.recv().await, Some(n));
///     }
///     assert_eq!(receiver.recv().await, None);
/// });
/// thread.join().unwrap().unwrap();
/// ```
#[must_use]
pub fn unbounded_channel<T>() -> (UnboundedSender<T>, UnboundedReceiver<T>) {
    let (sender, core) = unbounded("a message (remote::mpsc::UnboundedReceiver)");
    (sender, UnboundedReceiver { core })
}

/// Makes one whose waits have a name of their own.
pub(crate) fn unbounded<T>(what: &'static str) -> (UnboundedSender<T>, Core<T>) {
    let chan = Arc::new(Chan::new(None));
    let core = Core::new(chan.clone(), what);
    (UnboundedSender { chan }, core)
}

/// The sending end of a channel without bounds: cloneable, and `Send` and `Sync` if the messages are
/// `Send`.
pub struct UnboundedSender<T> {
    chan: Arc<Chan<T>>,
}

impl<T> UnboundedSender<T> {
    /// Sends a message. Never blocks for longer than a push takes.
    ///
    /// # Errors
    ///
    /// Gives the message back if the receiver is gone or closed.
    #[inline]
    pub fn send(&self, message: T) -> Result<(), SendError<T>> {
        self.chan.push(message).map_err(|error| match error {
            TrySendError::Closed(message) | TrySendError::Full(message) => SendError(message),
        })
    }
}

sender!(UnboundedSender);

/// The receiving end of a channel without bounds: a source, on whatever loop or in whatever async
/// library polls it.
pub struct UnboundedReceiver<T> {
    core: Core<T>,
}

receiver!(UnboundedReceiver);
