//! The mailbox: values from other threads to the loop, handed over under a lock.
//!
//! Its number in the inbox (`MAIL`) tells the loop to look. Generic, so that it knows nothing of what
//! the messages do.

use std::collections::VecDeque;
use std::sync::PoisonError;

#[cfg(loom)]
use loom::sync::{Mutex, MutexGuard};
#[cfg(not(loom))]
use std::sync::{Mutex, MutexGuard};

use crate::inbox::Inbox;
use crate::run_queue::MAIL;

/// Messages to one loop.
pub(crate) struct Mailbox<M> {
    /// `None` once the loop shut down.
    messages: Mutex<Option<VecDeque<M>>>,
    inbox: &'static Inbox,
}

impl<M> Mailbox<M> {
    pub(crate) fn new(inbox: &'static Inbox) -> Self {
        Self { messages: Mutex::new(Some(VecDeque::new())), inbox }
    }

    fn lock(&self) -> MutexGuard<'_, Option<VecDeque<M>>> {
        // Nothing runs under the lock that can panic but an allocation.
        self.messages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends a message, or gives it back if the loop is gone.
    pub(crate) fn send(&self, message: M) -> Result<(), M> {
        match &mut *self.lock() {
            Some(messages) => messages.push_back(message),
            None => return Err(message),
        }
        self.inbox.wake(MAIL);
        Ok(())
    }

    /// Makes the loop look, without a message. Does nothing once the loop is gone.
    pub(crate) fn nudge(&self) {
        if self.lock().is_some() {
            self.inbox.wake(MAIL);
        }
    }

    /// Takes the oldest message.
    pub(crate) fn receive(&self) -> Option<M> {
        self.lock().as_mut()?.pop_front()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.lock().as_ref().is_none_or(VecDeque::is_empty)
    }

    /// Refuses messages from now on and returns those not received, to be dropped without the lock.
    pub(crate) fn close(&self) -> VecDeque<M> {
        self.lock().take().unwrap_or_default()
    }
}

impl<M> std::fmt::Debug for Mailbox<M> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mailbox").field("open", &self.lock().is_some()).finish_non_exhaustive()
    }
}
