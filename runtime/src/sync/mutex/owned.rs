//! The guard of a `Mutex` that keeps it alive.
//!
//! A guard cannot hold the mutex and a borrow into it. So it holds the mutex and the value itself.

use std::ops::{Deref, DerefMut};
use std::rc::Rc;

use super::Mutex;
use crate::sync::guards::texts;

/// The value of a [`Mutex`], locked until this is dropped; borrows nothing.
#[must_use = "the mutex is unlocked when this is dropped"]
pub struct OwnedMutexGuard<T> {
    /// `None` only as it is dropped.
    value: Option<T>,
    mutex: Rc<Mutex<T>>,
}

impl<T> OwnedMutexGuard<T> {
    /// The caller has taken the turn.
    pub(super) fn new(mutex: Rc<Mutex<T>>) -> Self {
        Self { value: mutex.value.take(), mutex }
    }

    /// Returns the mutex of this guard.
    #[must_use]
    pub fn mutex(this: &Self) -> &Rc<Mutex<T>> {
        &this.mutex
    }
}

impl<T> Drop for OwnedMutexGuard<T> {
    fn drop(&mut self) {
        // Nothing was in the mutex, so nothing is dropped.
        self.mutex.value.replace(self.value.take());
        self.mutex.turn.release(1);
    }
}

const HELD: &str = "a guard has the value until it is dropped";

impl<T> Deref for OwnedMutexGuard<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        self.value.as_ref().expect(HELD)
    }
}

impl<T> DerefMut for OwnedMutexGuard<T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        self.value.as_mut().expect(HELD)
    }
}

texts!(OwnedMutexGuard<T>);
