//! Why an item gave no output.

use std::any::Any;
use std::fmt;
use std::sync::{Mutex, PoisonError};

use crate::item::{Payload, TaskId};

/// Why an item gave no output: it was cancelled, or it panicked.
pub struct JoinError {
    id: TaskId,
    /// What it panicked with; none if it was cancelled. Under a lock, so that the error is Sync; boxed,
    /// so that results with it stay small.
    payload: Option<Box<Mutex<Payload>>>,
}

impl JoinError {
    pub(super) fn new(id: TaskId, payload: Option<Payload>) -> Self {
        Self { id, payload: payload.map(|payload| Box::new(Mutex::new(payload))) }
    }

    pub(crate) fn cancelled(id: TaskId) -> Self {
        Self::new(id, None)
    }

    pub(crate) fn panicked(id: TaskId, payload: Payload) -> Self {
        Self::new(id, Some(payload))
    }

    /// Whether the item was cancelled: by its handle, its control, or the end of its loop.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.payload.is_none()
    }

    /// Whether the item panicked.
    #[must_use]
    pub fn is_panic(&self) -> bool {
        self.payload.is_some()
    }

    /// Returns what the item panicked with, for [`std::panic::resume_unwind`].
    ///
    /// # Panics
    ///
    /// If the item was cancelled; [`JoinError::try_into_panic`] does not panic.
    #[track_caller]
    #[must_use]
    pub fn into_panic(self) -> Box<dyn Any + Send + 'static> {
        match self.try_into_panic() {
            Ok(payload) => payload,
            Err(error) => panic!("into_panic on an item that did not panic: {error}"),
        }
    }

    /// Returns what the item panicked with.
    ///
    /// # Errors
    ///
    /// Gives itself back if the item was cancelled.
    pub fn try_into_panic(self) -> Result<Box<dyn Any + Send + 'static>, Self> {
        match self.payload {
            Some(payload) => Ok(payload.into_inner().unwrap_or_else(PoisonError::into_inner)),
            None => Err(self),
        }
    }

    /// Returns the id of the item.
    #[must_use]
    pub fn id(&self) -> TaskId {
        self.id
    }

    fn message(&self) -> Option<String> {
        let payload = self.payload.as_ref()?.lock().unwrap_or_else(PoisonError::into_inner);
        let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
        text.or_else(|| payload.downcast_ref::<String>().cloned())
    }
}

impl fmt::Display for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.payload, self.message()) {
            (None, _) => write!(f, "item {} was cancelled", self.id),
            (Some(_), Some(message)) => write!(f, "item {} panicked: {message}", self.id),
            (Some(_), None) => write!(f, "item {} panicked", self.id),
        }
    }
}

impl fmt::Debug for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JoinError({self})")
    }
}

impl std::error::Error for JoinError {}

impl From<JoinError> for std::io::Error {
    fn from(error: JoinError) -> Self {
        Self::other(error)
    }
}
