//! `watch`: the latest of something, and word when it changes.
//!
//! Receivers see the value as it is when they look; what came and went between is not for them.

use std::cell::Cell;
use std::fmt;
use std::rc::Rc;

use self::error::SendError;
use self::value::Value;
use crate::waiters::Crowd;

pub mod error;
mod receiver;
mod value;

pub use self::receiver::{Receiver, Ref};

/// What all ends of one channel share.
struct Shared<T> {
    value: Value<T>,
    /// Counts the changes; wraps.
    version: Cell<u64>,
    senders: Cell<usize>,
    receivers: Cell<usize>,
    /// Receivers that wait for a change.
    changes: Crowd,
    /// Who waits in [`Sender::closed`].
    closing: Crowd,
}

impl<T> Shared<T> {
    fn announce(&self) {
        self.version.set(self.version.get().wrapping_add(1));
        self.changes.wake_all();
    }
}

/// Makes a channel that holds one value. The receiver counts it as seen.
///
/// # Examples
///
/// ```
/// # loopline_runtime::block_on(async {
/// use loopline_runtime::sync::watch;
///
/// let (sender, mut receiver) = watch::channel(1);
/// loopline_runtime::spawn(async move {
///     sender.send(2).unwrap();
///     sender.send_modify(|value| *value += 1);
/// });
/// receiver.changed().await.unwrap();
/// assert_eq!(*receiver.borrow_and_update(), 3);
/// receiver.changed().await.expect_err("the sender is gone");
/// # });
/// ```
#[must_use]
pub fn channel<T>(init: T) -> (Sender<T>, Receiver<T>) {
    let sender = Sender::new(init);
    let receiver = sender.subscribe();
    (sender, receiver)
}

/// Sets the value of a [`channel`]; cloneable.
///
/// It stays on its thread, as its receivers do:
///
/// ```compile_fail,E0277
/// use loopline_runtime::sync::watch;
///
/// let (sender, _receiver) = watch::channel(1);
/// std::thread::spawn(move || sender.send(2));
/// ```
///
/// ```
/// # loopline_runtime::block_on(async {
/// use loopline_runtime::sync::watch;
///
/// let (sender, _receiver) = watch::channel(1);
/// loopline_runtime::spawn(async move { sender.send(2) });
/// # });
/// ```
pub struct Sender<T> {
    shared: Rc<Shared<T>>,
}

impl<T> Sender<T> {
    /// Makes a channel that has no receiver yet.
    #[must_use]
    pub fn new(init: T) -> Self {
        let shared = Shared {
            value: Value::new(init),
            version: Cell::new(0),
            senders: Cell::new(1),
            receivers: Cell::new(0),
            changes: Crowd::new(),
            closing: Crowd::new(),
        };
        Self { shared: Rc::new(shared) }
    }

    /// Sets the value, also while a [`Ref`] of the old one lives.
    ///
    /// # Errors
    ///
    /// If there is no receiver: the value stays as it was, and the error holds the new one.
    /// [`Sender::send_replace`] sets it all the same.
    ///
    /// # Panics
    ///
    /// Inside a closure that changes the value.
    #[track_caller]
    pub fn send(&self, value: T) -> Result<(), SendError<T>> {
        if self.is_closed() {
            return Err(SendError(value));
        }
        let old = self.shared.value.replace(value);
        self.shared.announce();
        // Unborrowed Call, and last: its drop may panic.
        drop(old);
        Ok(())
    }

    /// Changes the value in place, whether there are receivers or not.
    ///
    /// # Panics
    ///
    /// If a [`Ref`] lives, since what it shows must not change: drop it first, or use [`Sender::send`],
    /// which leaves it the old value. And inside another closure that changes the value. If `modify`
    /// panics, what it did stays and nobody is told.
    #[track_caller]
    pub fn send_modify<F: FnOnce(&mut T)>(&self, modify: F) {
        self.shared.value.change(modify);
        self.shared.announce();
    }

    /// As [`Sender::send_modify`]; receivers are told only if `modify` returns true. Returns what it did.
    ///
    /// # Panics
    ///
    /// As [`Sender::send_modify`].
    #[track_caller]
    pub fn send_if_modified<F: FnOnce(&mut T) -> bool>(&self, modify: F) -> bool {
        let modified = self.shared.value.change(modify);
        if modified {
            self.shared.announce();
        }
        modified
    }

    /// Sets the value, whether there are receivers or not. Returns the old one.
    ///
    /// # Panics
    ///
    /// As [`Sender::send_modify`]: a [`Ref`] that lives has the old value.
    #[track_caller]
    pub fn send_replace(&self, mut value: T) -> T {
        self.send_modify(|old| std::mem::swap(old, &mut value));
        value
    }

    /// Returns the value.
    ///
    /// # Panics
    ///
    /// Inside a closure that changes the value.
    #[track_caller]
    pub fn borrow(&self) -> Ref<'_, T> {
        Ref::new(&self.shared, false)
    }

    /// Makes a receiver, which counts the present value as seen.
    #[must_use]
    pub fn subscribe(&self) -> Receiver<T> {
        Receiver::new(&self.shared, self.shared.version.get())
    }

    /// Whether there is no receiver.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.receiver_count() == 0
    }

    /// Waits until there is no receiver.
    ///
    /// # Cancel safety
    ///
    /// Strict.
    pub async fn closed(&self) {
        let none = || self.is_closed().then_some(());
        self.shared.closing.until("the last receiver's end (watch::Sender)", none).await;
    }

    /// Returns how many receivers there are.
    #[must_use]
    pub fn receiver_count(&self) -> usize {
        self.shared.receivers.get()
    }

    /// Returns how many senders there are.
    #[must_use]
    pub fn sender_count(&self) -> usize {
        self.shared.senders.get()
    }

    /// Whether both are of one channel.
    #[must_use]
    pub fn same_channel(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.shared, &other.shared)
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        self.shared.senders.set(self.shared.senders.get() + 1);
        Self { shared: self.shared.clone() }
    }
}

impl<T: Default> Default for Sender<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        let left = self.shared.senders.get() - 1;
        self.shared.senders.set(left);
        if left == 0 {
            self.shared.changes.wake_all();
        }
    }
}

impl<T: fmt::Debug> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("watch::Sender")
            .field("value", &self.shared.value)
            .field("receivers", &self.receiver_count())
            .finish()
    }
}
