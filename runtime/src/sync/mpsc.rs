//! `mpsc`: channels of many senders and one receiver, with a capacity or without.
//!
//! Messages of one sender stay in order, and so do those of several that wait for capacity: each waits
//! in line. A channel ends when its last sender is dropped, or when the receiver closes it; what was sent
//! before is received all the same.
//!
//! Both ends stay on one thread. From another one, send into a
//! [`callback::channel`](crate::callback::channel).

mod chan;
pub mod error;
mod permit;
mod receiver;
mod sender;
mod wait;

use std::rc::Rc;

pub use self::permit::{OwnedPermit, Permit, PermitIterator};
pub use self::receiver::{Receiver, UnboundedReceiver};
pub use self::sender::{Sender, UnboundedSender, WeakSender, WeakUnboundedSender};

use self::chan::Chan;

/// Makes a channel that holds up to `capacity` messages; who sends more waits.
///
/// Memory for the messages is taken as they come, never for more than `capacity`.
///
/// # Panics
///
/// If `capacity` is 0.
///
/// # Examples
///
/// ```
/// # loopline_runtime::block_on(async {
/// use loopline_runtime::sync::mpsc;
///
/// let (sender, mut receiver) = mpsc::channel(2);
/// loopline_runtime::spawn(async move {
///     for n in 0..10 {
///         sender.send(n).await.expect("the receiver lives");
///     }
/// });
/// let mut sum = 0;
/// while let Some(n) = receiver.recv().await {
///     sum += n;
/// }
/// assert_eq!(sum, 45);
/// # });
/// ```
#[must_use]
#[track_caller]
pub fn channel<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    assert!(
        capacity > 0,
        "mpsc bounded channel requires buffer > 0: a channel holds one message or more"
    );
    let chan = Rc::new(Chan::new(capacity));
    (Sender::new(chan.clone()), Receiver::new(chan))
}

/// Makes a channel that holds any number of messages; sending never waits.
///
/// Nothing holds senders back that are faster than the receiver: the messages take memory until they are
/// received.
///
/// # Examples
///
/// ```
/// # loopline_runtime::block_on(async {
/// use loopline_runtime::sync::mpsc;
///
/// let (sender, mut receiver) = mpsc::unbounded_channel();
/// sender.send("one").unwrap();
/// sender.send("two").unwrap();
/// drop(sender);
/// assert_eq!(receiver.recv().await, Some("one"));
/// assert_eq!(receiver.recv().await, Some("two"));
/// assert_eq!(receiver.recv().await, None);
/// # });
/// ```
#[must_use]
pub fn unbounded_channel<T>() -> (UnboundedSender<T>, UnboundedReceiver<T>) {
    let chan = Rc::new(Chan::new(usize::MAX));
    (UnboundedSender::new(chan.clone()), UnboundedReceiver::new(chan))
}
