//! The guards of a `Mutex` that borrow it.

use std::cell::RefMut;

use super::{Mutex, Semaphore};
use crate::sync::guards::{reads, texts, writes};

/// The value of a [`Mutex`], locked until this is dropped.
#[must_use = "the mutex is unlocked when this is dropped"]
pub struct MutexGuard<'a, T> {
    /// Before the turn: the borrow ends first.
    value: RefMut<'a, T>,
    turn: Turn<'a>,
    mutex: &'a Mutex<T>,
}

/// A part of the value of a [`Mutex`], made by [`MutexGuard::map`]; locked until this is dropped.
#[must_use = "the mutex is unlocked when this is dropped"]
pub struct MappedMutexGuard<'a, T> {
    /// Before the turn: the borrow ends first.
    value: RefMut<'a, T>,
    turn: Turn<'a>,
}

/// Lets the next one in as it is dropped.
struct Turn<'a>(&'a Semaphore);

impl Drop for Turn<'_> {
    #[inline]
    fn drop(&mut self) {
        self.0.release(1);
    }
}

impl<'a, T> MutexGuard<'a, T> {
    /// The caller has taken the turn.
    #[inline]
    pub(super) fn new(mutex: &'a Mutex<T>) -> Self {
        let turn = Turn(&mutex.turn);
        Self { value: mutex.borrow(), turn, mutex }
    }

    /// Returns the mutex of this guard.
    pub fn mutex(this: &Self) -> &'a Mutex<T> {
        this.mutex
    }

    /// Makes a guard of a part of the value.
    ///
    /// # Examples
    ///
    /// ```
    /// # loopline_runtime::block_on(async {
    /// use loopline_runtime::sync::{Mutex, MutexGuard};
    ///
    /// let mutex = Mutex::new((1, "one"));
    /// let mut number = MutexGuard::map(mutex.lock().await, |pair| &mut pair.0);
    /// *number += 1;
    /// drop(number);
    /// assert_eq!(mutex.into_inner(), (2, "one"));
    /// # });
    /// ```
    pub fn map<U>(this: Self, f: impl FnOnce(&mut T) -> &mut U) -> MappedMutexGuard<'a, U> {
        let Self { value, turn, .. } = this;
        MappedMutexGuard { value: RefMut::map(value, f), turn }
    }

    /// Makes a guard of a part of the value, if there is one.
    ///
    /// # Errors
    ///
    /// Gives the guard back if `f` returns `None`.
    pub fn try_map<U>(
        this: Self,
        f: impl FnOnce(&mut T) -> Option<&mut U>,
    ) -> Result<MappedMutexGuard<'a, U>, Self> {
        let Self { value, turn, mutex } = this;
        match RefMut::filter_map(value, f) {
            Ok(value) => Ok(MappedMutexGuard { value, turn }),
            Err(value) => Err(Self { value, turn, mutex }),
        }
    }
}

impl<'a, T> MappedMutexGuard<'a, T> {
    /// Makes a guard of a part of the part.
    pub fn map<U>(this: Self, f: impl FnOnce(&mut T) -> &mut U) -> MappedMutexGuard<'a, U> {
        let Self { value, turn } = this;
        MappedMutexGuard { value: RefMut::map(value, f), turn }
    }

    /// Makes a guard of a part of the part, if there is one.
    ///
    /// # Errors
    ///
    /// Gives the guard back if `f` returns `None`.
    pub fn try_map<U>(
        this: Self,
        f: impl FnOnce(&mut T) -> Option<&mut U>,
    ) -> Result<MappedMutexGuard<'a, U>, Self> {
        let Self { value, turn } = this;
        match RefMut::filter_map(value, f) {
            Ok(value) => Ok(MappedMutexGuard { value, turn }),
            Err(value) => Err(Self { value, turn }),
        }
    }
}

reads!(MutexGuard<'_, T>, MappedMutexGuard<'_, T>);
writes!(MutexGuard<'_, T>, MappedMutexGuard<'_, T>);
texts!(MutexGuard<'_, T>, MappedMutexGuard<'_, T>);
