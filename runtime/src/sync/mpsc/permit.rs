//! Capacity that was reserved: for one message, for many, and without a borrow.

use std::fmt;
use std::iter::FusedIterator;

use super::chan::Chan;
use super::sender::Sender;

/// Capacity for one message; made by [`Sender::reserve`](super::Sender::reserve). Given back when it is
/// dropped.
#[must_use = "the capacity goes back when this is dropped"]
pub struct Permit<'a, T> {
    chan: &'a Chan<T>,
}

impl<'a, T> Permit<'a, T> {
    /// Of capacity that is reserved.
    pub(super) fn new(chan: &'a Chan<T>) -> Self {
        Self { chan }
    }

    /// Sends a message with this capacity, also if the receiver was closed meanwhile. It is dropped if
    /// the receiver is gone.
    #[inline]
    pub fn send(self, message: T) {
        let chan = self.chan;
        std::mem::forget(self);
        chan.send_reserved(message);
    }
}

impl<T> Drop for Permit<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.chan.release(1);
    }
}

impl<T> fmt::Debug for Permit<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit").finish_non_exhaustive()
    }
}

/// Capacity for many messages, a [`Permit`] at a time; made by
/// [`Sender::reserve_many`](super::Sender::reserve_many). What is left is given back when it is dropped.
#[must_use = "the capacity goes back when this is dropped"]
pub struct PermitIterator<'a, T> {
    chan: &'a Chan<T>,
    left: usize,
}

impl<'a, T> PermitIterator<'a, T> {
    /// Of capacity that is reserved.
    pub(super) fn new(chan: &'a Chan<T>, left: usize) -> Self {
        Self { chan, left }
    }
}

impl<'a, T> Iterator for PermitIterator<'a, T> {
    type Item = Permit<'a, T>;

    #[inline]
    fn next(&mut self) -> Option<Permit<'a, T>> {
        self.left = self.left.checked_sub(1)?;
        Some(Permit::new(self.chan))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl<T> ExactSizeIterator for PermitIterator<'_, T> {}
impl<T> FusedIterator for PermitIterator<'_, T> {}

impl<T> Drop for PermitIterator<'_, T> {
    fn drop(&mut self) {
        self.chan.release(self.left);
    }
}

impl<T> fmt::Debug for PermitIterator<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PermitIterator").field("left", &self.left).finish_non_exhaustive()
    }
}

/// Capacity for one message that borrows nothing; made by
/// [`Sender::reserve_owned`](super::Sender::reserve_owned). Given back when it is dropped.
///
/// It counts as a sender.
#[must_use = "the capacity goes back when this is dropped"]
pub struct OwnedPermit<T> {
    /// Taken when the capacity is used or given back.
    sender: Option<Sender<T>>,
}

impl<T> OwnedPermit<T> {
    /// Of capacity that is reserved.
    pub(super) fn new(sender: Sender<T>) -> Self {
        Self { sender: Some(sender) }
    }

    /// Sends a message with this capacity, also if the receiver was closed meanwhile, and gives the
    /// sender back. The message is dropped if the receiver is gone.
    pub fn send(mut self, message: T) -> Sender<T> {
        let sender = self.take();
        sender.chan().send_reserved(message);
        sender
    }

    /// Gives the capacity back unused, and the sender.
    pub fn release(mut self) -> Sender<T> {
        let sender = self.take();
        sender.chan().release(1);
        sender
    }

    /// Whether both permits are of one channel.
    #[must_use]
    pub fn same_channel(&self, other: &Self) -> bool {
        self.sender().same_channel(other.sender())
    }

    /// Whether the sender is of this permit's channel.
    #[must_use]
    pub fn same_channel_as_sender(&self, sender: &Sender<T>) -> bool {
        self.sender().same_channel(sender)
    }

    fn sender(&self) -> &Sender<T> {
        self.sender.as_ref().expect("taken only by what consumes the permit")
    }

    fn take(&mut self) -> Sender<T> {
        self.sender.take().expect("taken only by what consumes the permit")
    }
}

impl<T> Drop for OwnedPermit<T> {
    fn drop(&mut self) {
        if let Some(sender) = self.sender.take() {
            sender.chan().release(1);
        }
    }
}

impl<T> fmt::Debug for OwnedPermit<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnedPermit").finish_non_exhaustive()
    }
}
