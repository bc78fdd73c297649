//! The guards of a `RwLock` that borrow it.

use std::cell::{Ref, RefMut};

use super::{RwLock, SemaphorePermit};
use crate::sync::guards::{reads, texts, writes};

/// The value of a [`RwLock`], or a part of it, which nobody writes until this is dropped.
#[must_use = "the lock is given back when this is dropped"]
pub struct RwLockReadGuard<'a, T> {
    /// Before the permit: the borrow ends first.
    value: Ref<'a, T>,
    permit: SemaphorePermit<'a>,
}

/// The value of a [`RwLock`], which nobody else has until this is dropped.
#[must_use = "the lock is given back when this is dropped"]
pub struct RwLockWriteGuard<'a, T> {
    /// Before the permits: the borrow ends first.
    value: RefMut<'a, T>,
    permits: SemaphorePermit<'a>,
    lock: &'a RwLock<T>,
}

/// A part of the value of a [`RwLock`], made by [`RwLockWriteGuard::map`]; nobody else has any of it
/// until this is dropped.
#[must_use = "the lock is given back when this is dropped"]
pub struct RwLockMappedWriteGuard<'a, T> {
    /// Before the permits: the borrow ends first.
    value: RefMut<'a, T>,
    permits: SemaphorePermit<'a>,
}

impl<'a, T> RwLockReadGuard<'a, T> {
    pub(super) fn new(lock: &'a RwLock<T>, permit: SemaphorePermit<'a>) -> Self {
        Self { value: lock.borrow(), permit }
    }

    /// Makes a guard of a part of the value.
    pub fn map<U>(this: Self, f: impl FnOnce(&T) -> &U) -> RwLockReadGuard<'a, U> {
        let Self { value, permit } = this;
        RwLockReadGuard { value: Ref::map(value, f), permit }
    }

    /// Makes a guard of a part of the value, if there is one.
    ///
    /// # Errors
    ///
    /// Gives the guard back if `f` returns `None`.
    pub fn try_map<U>(
        this: Self,
        f: impl FnOnce(&T) -> Option<&U>,
    ) -> Result<RwLockReadGuard<'a, U>, Self> {
        let Self { value, permit } = this;
        match Ref::filter_map(value, f) {
            Ok(value) => Ok(RwLockReadGuard { value, permit }),
            Err(value) => Err(Self { value, permit }),
        }
    }
}

impl<'a, T> RwLockWriteGuard<'a, T> {
    pub(super) fn new(lock: &'a RwLock<T>, permits: SemaphorePermit<'a>) -> Self {
        Self { value: lock.borrow_mut(), permits, lock }
    }

    /// Goes on reading, without a moment in which somebody else may write; lets other readers in.
    ///
    /// # Examples
    ///
    /// ```
    /// # loopline_runtime::block_on(async {
    /// use loopline_runtime::sync::RwLock;
    ///
    /// let lock = RwLock::new(1);
    /// let mut write = lock.write().await;
    /// *write = 2;
    /// let read = write.downgrade();
    /// assert_eq!((*read, *lock.read().await), (2, 2));
    /// # });
    /// ```
    pub fn downgrade(self) -> RwLockReadGuard<'a, T> {
        let Self { value, mut permits, lock } = self;
        drop(value);
        // Borrowed before others come.
        let value = lock.borrow();
        drop(permits.split(lock.readers - 1));
        RwLockReadGuard { value, permit: permits }
    }

    /// Goes on reading a part of the value; see [`RwLockWriteGuard::downgrade`].
    pub fn downgrade_map<U>(this: Self, f: impl FnOnce(&T) -> &U) -> RwLockReadGuard<'a, U> {
        let Self { value, mut permits, lock } = this;
        drop(value);
        let value = Ref::map(lock.borrow(), f);
        drop(permits.split(lock.readers - 1));
        RwLockReadGuard { value, permit: permits }
    }

    /// Goes on reading a part of the value, if there is one; see [`RwLockWriteGuard::downgrade`].
    ///
    /// # Errors
    ///
    /// Gives the guard back, still for writing, if `f` returns `None`.
    pub fn try_downgrade_map<U>(
        this: Self,
        f: impl FnOnce(&T) -> Option<&U>,
    ) -> Result<RwLockReadGuard<'a, U>, Self> {
        let Self { value, mut permits, lock } = this;
        drop(value);
        match Ref::filter_map(lock.borrow(), f) {
            Ok(value) => {
                drop(permits.split(lock.readers - 1));
                Ok(RwLockReadGuard { value, permit: permits })
            }
            Err(value) => {
                drop(value);
                Err(Self::new(lock, permits))
            }
        }
    }

    /// Makes a guard of a part of the value.
    pub fn map<U>(this: Self, f: impl FnOnce(&mut T) -> &mut U) -> RwLockMappedWriteGuard<'a, U> {
        let Self { value, permits, .. } = this;
        RwLockMappedWriteGuard { value: RefMut::map(value, f), permits }
    }

    /// Makes a guard of a part of the value, if there is one.
    ///
    /// # Errors
    ///
    /// Gives the guard back if `f` returns `None`.
    pub fn try_map<U>(
        this: Self,
        f: impl FnOnce(&mut T) -> Option<&mut U>,
    ) -> Result<RwLockMappedWriteGuard<'a, U>, Self> {
        let Self { value, permits, lock } = this;
        match RefMut::filter_map(value, f) {
            Ok(value) => Ok(RwLockMappedWriteGuard { value, permits }),
            Err(value) => Err(Self { value, permits, lock }),
        }
    }

    /// Makes a guard that cannot be downgraded, of the type that parts have.
    pub fn into_mapped(this: Self) -> RwLockMappedWriteGuard<'a, T> {
        let Self { value, permits, .. } = this;
        RwLockMappedWriteGuard { value, permits }
    }
}

impl<'a, T> RwLockMappedWriteGuard<'a, T> {
    /// Makes a guard of a part of the part.
    pub fn map<U>(this: Self, f: impl FnOnce(&mut T) -> &mut U) -> RwLockMappedWriteGuard<'a, U> {
        let Self { value, permits } = this;
        RwLockMappedWriteGuard { value: RefMut::map(value, f), permits }
    }

    /// Makes a guard of a part of the part, if there is one.
    ///
    /// # Errors
    ///
    /// Gives the guard back if `f` returns `None`.
    pub fn try_map<U>(
        this: Self,
        f: impl FnOnce(&mut T) -> Option<&mut U>,
    ) -> Result<RwLockMappedWriteGuard<'a, U>, Self> {
        let Self { value, permits } = this;
        match RefMut::filter_map(value, f) {
            Ok(value) => Ok(RwLockMappedWriteGuard { value, permits }),
            Err(value) => Err(Self { value, permits }),
        }
    }
}

reads!(RwLockReadGuard<'_, T>, RwLockWriteGuard<'_, T>, RwLockMappedWriteGuard<'_, T>);
writes!(RwLockWriteGuard<'_, T>, RwLockMappedWriteGuard<'_, T>);
texts!(RwLockReadGuard<'_, T>, RwLockWriteGuard<'_, T>, RwLockMappedWriteGuard<'_, T>);
