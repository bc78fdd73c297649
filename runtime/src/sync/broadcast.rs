//! `broadcast`: each value to everybody who receives.
//!
//! A receiver that is slower than the senders loses the oldest values, never holds them up, and is told
//! how many it lost. Values are cloned and dropped with nothing borrowed: `T::clone` may use the
//! channel.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;

use self::error::SendError;
use self::ring::Ring;
use crate::waiters::Crowd;

pub mod error;
mod receiver;
mod ring;

pub use self::receiver::Receiver;

/// What all ends of one channel share.
struct Shared<T> {
    ring: RefCell<Ring<T>>,
    senders: Cell<usize>,
    weak_senders: Cell<usize>,
    /// Receivers that wait for a value.
    readers: Crowd,
    /// Who waits in [`Sender::closed`].
    closing: Crowd,
}

/// Makes a channel in which every receiver gets every value sent while it lives.
///
/// `capacity` is how many values are kept for the slowest receiver, rounded up to a power of two.
///
/// # Panics
///
/// If the capacity is 0 or more than half of `usize::MAX`.
///
/// # Examples
///
/// ```
/// # loopline_runtime::block_on(async {
/// use loopline_runtime::sync::broadcast::{self, error::RecvError};
///
/// let (sender, mut first) = broadcast::channel(2);
/// let mut second = sender.subscribe();
/// sender.send("a").unwrap();
/// assert_eq!(first.recv().await, Ok("a"));
/// sender.send("b").unwrap();
/// sender.send("c").unwrap();
/// assert_eq!(second.recv().await, Err(RecvError::Lagged(1)));
/// assert_eq!(second.recv().await, Ok("b"));
/// drop(sender);
/// assert_eq!(second.recv().await, Ok("c"));
/// assert_eq!(second.recv().await, Err(RecvError::Closed));
/// # });
/// ```
#[must_use]
#[track_caller]
pub fn channel<T: Clone>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    let sender = Sender::new(capacity);
    let receiver = sender.subscribe();
    (sender, receiver)
}

/// Sends values to all receivers of a [`channel`]; cloneable.
///
/// It stays on its thread, as its receivers do:
///
/// ```compile_fail,E0277
/// use loopline_runtime::sync::broadcast;
///
/// let (sender, _receiver) = broadcast::channel(1);
/// std::thread::spawn(move || sender.send(1));
/// ```
///
/// ```
/// # loopline_runtime::block_on(async {
/// use loopline_runtime::sync::broadcast;
///
/// let (sender, _receiver) = broadcast::channel(1);
/// loopline_runtime::spawn(async move { sender.send(1) });
/// # });
/// ```
pub struct Sender<T> {
    shared: Rc<Shared<T>>,
}

impl<T> Sender<T> {
    /// Makes a channel that has no receiver yet; see [`channel`].
    ///
    /// # Panics
    ///
    /// If the capacity is 0 or more than half of `usize::MAX`.
    #[must_use]
    #[track_caller]
    pub fn new(capacity: usize) -> Self {
        Self::starting_at(capacity, 0)
    }

    /// `tail` is where positions begin.
    #[track_caller]
    fn starting_at(capacity: usize, tail: u64) -> Self {
        assert!(capacity > 0, "a broadcast channel keeps one value at least");
        assert!(capacity <= usize::MAX >> 1, "a broadcast channel keeps usize::MAX / 2 at most");
        let ring = Ring::new(capacity.next_power_of_two(), tail);
        let shared = Shared {
            ring: RefCell::new(ring),
            senders: Cell::new(1),
            weak_senders: Cell::new(0),
            readers: Crowd::new(),
            closing: Crowd::new(),
        };
        Self { shared: Rc::new(shared) }
    }

    /// Sends a value to all receivers there are now. Returns how many.
    ///
    /// It never waits: if the slowest receiver has as many values before it as are kept, it loses the
    /// oldest.
    ///
    /// # Errors
    ///
    /// If there is no receiver; the error holds the value. A later send may succeed, after
    /// [`Sender::subscribe`].
    pub fn send(&self, value: T) -> Result<usize, SendError<T>> {
        let mut ring = self.shared.ring.borrow_mut();
        let receivers = ring.receivers;
        if receivers == 0 {
            return Err(SendError(value));
        }
        let evicted = ring.push(value);
        drop(ring);
        self.shared.readers.wake_all();
        // Unborrowed Call, and last: its drop may panic.
        drop(evicted);
        Ok(receivers)
    }

    /// Makes a receiver of what is sent from now on.
    #[must_use]
    pub fn subscribe(&self) -> Receiver<T> {
        Receiver::new(&self.shared)
    }

    /// Makes a sender that does not keep the channel open.
    #[must_use = "a weak sender sends only after `upgrade`"]
    pub fn downgrade(&self) -> WeakSender<T> {
        WeakSender::new(&self.shared)
    }

    /// Returns how many values some receiver has yet to receive.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shared.ring.borrow().len()
    }

    /// Whether all receivers have received everything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns how many receivers there are.
    #[must_use]
    pub fn receiver_count(&self) -> usize {
        self.shared.ring.borrow().receivers
    }

    /// Whether both are of one channel.
    #[must_use]
    pub fn same_channel(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.shared, &other.shared)
    }

    /// Waits until there is no receiver.
    ///
    /// # Cancel safety
    ///
    /// Strict.
    pub async fn closed(&self) {
        let none = || (self.receiver_count() == 0).then_some(());
        self.shared.closing.until("the last receiver's end (broadcast::Sender)", none).await;
    }

    /// Returns how many senders there are.
    #[must_use]
    pub fn strong_count(&self) -> usize {
        self.shared.senders.get()
    }

    /// Returns how many [`WeakSender`]s there are.
    #[must_use]
    pub fn weak_count(&self) -> usize {
        self.shared.weak_senders.get()
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        self.shared.senders.set(self.shared.senders.get() + 1);
        Self { shared: self.shared.clone() }
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        let left = self.shared.senders.get() - 1;
        self.shared.senders.set(left);
        if left == 0 {
            self.shared.readers.wake_all();
        }
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("broadcast::Sender")
            .field("len", &self.len())
            .field("receivers", &self.receiver_count())
            .finish()
    }
}

/// A [`Sender`] that does not keep the channel open: receivers end when there are only these.
pub struct WeakSender<T> {
    shared: Rc<Shared<T>>,
}

impl<T> WeakSender<T> {
    fn new(shared: &Rc<Shared<T>>) -> Self {
        shared.weak_senders.set(shared.weak_senders.get() + 1);
        Self { shared: shared.clone() }
    }

    /// Makes a sender again, or returns `None` if the last one is gone.
    #[must_use]
    pub fn upgrade(&self) -> Option<Sender<T>> {
        let senders = self.shared.senders.get();
        if senders == 0 {
            return None;
        }
        self.shared.senders.set(senders + 1);
        Some(Sender { shared: self.shared.clone() })
    }

    /// Returns how many [`Sender`]s there are.
    #[must_use]
    pub fn strong_count(&self) -> usize {
        self.shared.senders.get()
    }

    /// Returns how many weak senders there are.
    #[must_use]
    pub fn weak_count(&self) -> usize {
        self.shared.weak_senders.get()
    }
}

impl<T> Clone for WeakSender<T> {
    fn clone(&self) -> Self {
        Self::new(&self.shared)
    }
}

impl<T> Drop for WeakSender<T> {
    fn drop(&mut self) {
        self.shared.weak_senders.set(self.shared.weak_senders.get() - 1);
    }
}

impl<T> fmt::Debug for WeakSender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("broadcast::WeakSender").field("senders", &self.strong_count()).finish()
    }
}

#[cfg(test)]
mod tests;
