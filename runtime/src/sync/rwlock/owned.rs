//! The guards of a `RwLock` that keep it alive.
//!
//! A guard cannot hold the lock and a borrow into it. So readers share the value, and a writer takes it
//! out.

use std::ops::{Deref, DerefMut};
use std::rc::Rc;

use super::{ALONE, HERE, RwLock};
use crate::sync::guards::{reads, texts};

/// The value of a [`RwLock`], which nobody writes until this is dropped; borrows nothing.
#[must_use = "the lock is given back when this is dropped"]
pub struct OwnedRwLockReadGuard<T> {
    /// Before the turns: shared no more when they go back.
    value: Rc<T>,
    turns: Turns<T>,
}

/// The value of a [`RwLock`], which nobody else has until this is dropped; borrows nothing.
#[must_use = "the lock is given back when this is dropped"]
pub struct OwnedRwLockWriteGuard<T> {
    /// `None` only as it is dropped or downgraded.
    value: Option<Rc<T>>,
    turns: Turns<T>,
}

/// Gives permits back as it is dropped.
struct Turns<T> {
    lock: Rc<RwLock<T>>,
    permits: usize,
}

impl<T> Drop for Turns<T> {
    fn drop(&mut self) {
        self.lock.turns.release(self.permits);
    }
}

impl<T> OwnedRwLockReadGuard<T> {
    /// The caller has taken a permit.
    pub(super) fn new(lock: Rc<RwLock<T>>) -> Self {
        let value = lock.value.borrow().as_ref().expect(HERE).clone();
        Self { value, turns: Turns { lock, permits: 1 } }
    }

    /// Returns the lock of this guard.
    #[must_use]
    pub fn rwlock(this: &Self) -> &Rc<RwLock<T>> {
        &this.turns.lock
    }
}

impl<T> OwnedRwLockWriteGuard<T> {
    /// The caller has taken all permits.
    pub(super) fn new(lock: Rc<RwLock<T>>) -> Self {
        let (value, permits) = (lock.value.take(), lock.readers);
        Self { value, turns: Turns { lock, permits } }
    }

    /// Returns the lock of this guard.
    #[must_use]
    pub fn rwlock(this: &Self) -> &Rc<RwLock<T>> {
        &this.turns.lock
    }

    /// Goes on reading, without a moment in which somebody else may write; lets other readers in.
    pub fn downgrade(mut self) -> OwnedRwLockReadGuard<T> {
        self.put_back();
        self.turns.permits -= 1;
        // What is left of this guard lets the others in as it is dropped.
        OwnedRwLockReadGuard::new(self.turns.lock.clone())
    }

    fn put_back(&mut self) {
        if let Some(value) = self.value.take() {
            // Nothing was in the lock, so nothing is dropped.
            self.turns.lock.value.replace(Some(value));
        }
    }
}

impl<T> Drop for OwnedRwLockWriteGuard<T> {
    fn drop(&mut self) {
        self.put_back();
    }
}

reads!(OwnedRwLockReadGuard<T>);

impl<T> Deref for OwnedRwLockWriteGuard<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        self.value.as_deref().expect(ALONE)
    }
}

impl<T> DerefMut for OwnedRwLockWriteGuard<T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        super::alone(&mut self.value)
    }
}

texts!(OwnedRwLockReadGuard<T>, OwnedRwLockWriteGuard<T>);
