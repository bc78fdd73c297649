//! `RwLock`: a value for many readers or one writer, across awaits.

use std::cell::{Ref, RefCell, RefMut};
use std::fmt;
use std::rc::Rc;

use super::TryLockError;
use super::semaphore::{Acquire, Purpose, Semaphore, SemaphorePermit};

mod guard;
mod owned;

pub use self::guard::{RwLockMappedWriteGuard, RwLockReadGuard, RwLockWriteGuard};
pub use self::owned::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard};

/// The most readers at once.
const READERS: u32 = u32::MAX >> 3;

/// A value that many tasks read at a time, or one writes, for as long as they hold their guards: over
/// awaits too.
///
/// Served first in, first out: who wants to read waits behind a writer that waits already, so neither
/// readers nor writers starve. A task that reads and asks to read once more can therefore wait for ever,
/// for the writer between its two reads. There is no poison.
///
/// On one thread most values need no lock; see [`Mutex`](super::Mutex).
///
/// # Examples
///
/// ```
/// # loopline_runtime::block_on(async {
/// use loopline_runtime::sync::RwLock;
///
/// let lock = RwLock::new(5);
/// {
///     let (one, other) = (lock.read().await, lock.read().await);
///     assert_eq!(*one + *other, 10);
///     assert!(lock.try_write().is_err());
/// }
/// *lock.write().await += 1;
/// assert_eq!(lock.into_inner(), 6);
/// # });
/// ```
///
/// It stays on its thread:
///
/// ```compile_fail,E0277
/// let lock = loopline_runtime::sync::RwLock::new(1);
/// std::thread::spawn(move || lock.try_read().is_ok());
/// ```
///
/// ```
/// # loopline_runtime::block_on(async {
/// let lock = loopline_runtime::sync::RwLock::new(1);
/// loopline_runtime::spawn(async move { lock.try_read().is_ok() });
/// # });
/// ```
pub struct RwLock<T> {
    /// A reader has one permit, a writer all.
    turns: Semaphore,
    /// How many permits there are.
    readers: usize,
    /// In an `Rc`, for guards that own. `None` while an owned guard that writes has it; owned guards
    /// that read share it.
    value: RefCell<Option<Rc<T>>>,
}

/// What waits to read, for the report of a deadlock.
struct Reads;
/// What waits to write.
struct Writes;

impl Purpose for Reads {
    const WHAT: &'static str = "a lock (RwLock::read)";
}

impl Purpose for Writes {
    const WHAT: &'static str = "a lock (RwLock::write)";
}

impl<T> RwLock<T> {
    /// Makes a lock, unlocked.
    #[must_use]
    pub fn new(value: T) -> Self {
        Self::with_max_readers(value, READERS)
    }

    /// Makes a lock, unlocked, that so many may read at a time; more wait.
    ///
    /// # Panics
    ///
    /// If `max_readers` is none, or more than `u32::MAX >> 3`.
    #[must_use]
    #[track_caller]
    pub fn with_max_readers(value: T, max_readers: u32) -> Self {
        assert!(max_readers > 0, "a RwLock may not be created with 0 readers");
        assert!(
            max_readers <= READERS,
            "a RwLock may not be created with more than {READERS} readers"
        );
        let readers = max_readers as usize;
        let value = RefCell::new(Some(Rc::new(value)));
        Self { turns: Semaphore::new(readers), readers, value }
    }

    /// Waits until it may read; dropping the guard ends that.
    ///
    /// # Cancel safety
    ///
    /// Strict: only the place in line is lost.
    pub async fn read(&self) -> RwLockReadGuard<'_, T> {
        let taken = Acquire::<Reads>::new(&self.turns, 1).await;
        debug_assert!(taken.is_ok(), "turns are never closed");
        RwLockReadGuard::new(self, self.permit(1))
    }

    /// As [`RwLock::read`], with a guard that borrows nothing.
    ///
    /// # Cancel safety
    ///
    /// Strict: only the place in line is lost.
    pub async fn read_owned(self: Rc<Self>) -> OwnedRwLockReadGuard<T> {
        let taken = Acquire::<Reads>::new(&self.turns, 1).await;
        debug_assert!(taken.is_ok(), "turns are never closed");
        OwnedRwLockReadGuard::new(self)
    }

    /// Waits until nobody else has the value; dropping the guard gives it back.
    ///
    /// # Cancel safety
    ///
    /// Strict: only the place in line is lost. Readers that waited behind it go on at once.
    pub async fn write(&self) -> RwLockWriteGuard<'_, T> {
        let taken = Acquire::<Writes>::new(&self.turns, self.readers).await;
        debug_assert!(taken.is_ok(), "turns are never closed");
        RwLockWriteGuard::new(self, self.permit(self.readers))
    }

    /// As [`RwLock::write`], with a guard that borrows nothing.
    ///
    /// # Cancel safety
    ///
    /// Strict: only the place in line is lost.
    pub async fn write_owned(self: Rc<Self>) -> OwnedRwLockWriteGuard<T> {
        let taken = Acquire::<Writes>::new(&self.turns, self.readers).await;
        debug_assert!(taken.is_ok(), "turns are never closed");
        OwnedRwLockWriteGuard::new(self)
    }

    /// Reads if nobody writes or waits to write.
    ///
    /// # Errors
    ///
    /// If somebody does.
    pub fn try_read(&self) -> Result<RwLockReadGuard<'_, T>, TryLockError> {
        self.try_take(1)?;
        Ok(RwLockReadGuard::new(self, self.permit(1)))
    }

    /// As [`RwLock::try_read`], with a guard that borrows nothing.
    ///
    /// # Errors
    ///
    /// If somebody writes or waits to write.
    pub fn try_read_owned(self: Rc<Self>) -> Result<OwnedRwLockReadGuard<T>, TryLockError> {
        self.try_take(1)?;
        Ok(OwnedRwLockReadGuard::new(self))
    }

    /// Writes if nobody has the value or waits for it.
    ///
    /// # Errors
    ///
    /// If somebody has it or waits for it.
    pub fn try_write(&self) -> Result<RwLockWriteGuard<'_, T>, TryLockError> {
        self.try_take(self.readers)?;
        Ok(RwLockWriteGuard::new(self, self.permit(self.readers)))
    }

    /// As [`RwLock::try_write`], with a guard that borrows nothing.
    ///
    /// # Errors
    ///
    /// If somebody has the value or waits for it.
    pub fn try_write_owned(self: Rc<Self>) -> Result<OwnedRwLockWriteGuard<T>, TryLockError> {
        self.try_take(self.readers)?;
        Ok(OwnedRwLockWriteGuard::new(self))
    }

    /// Returns the value, which nobody else can have.
    pub fn get_mut(&mut self) -> &mut T {
        alone(self.value.get_mut())
    }

    /// Returns the value.
    #[must_use]
    pub fn into_inner(self) -> T {
        self.value.into_inner().and_then(Rc::into_inner).expect(ALONE)
    }

    #[inline]
    fn try_take(&self, permits: usize) -> Result<(), TryLockError> {
        self.turns.try_take(permits).map_err(|_| TryLockError(()))
    }

    /// Makes what gives taken permits back.
    #[inline]
    fn permit(&self, permits: usize) -> SemaphorePermit<'_> {
        SemaphorePermit { semaphore: &self.turns, permits }
    }

    /// Borrows the value; the caller has a turn.
    fn borrow(&self) -> Ref<'_, T> {
        Ref::map(self.value.borrow(), |value| value.as_deref().expect(HERE))
    }

    /// Borrows the value; the caller has all turns.
    fn borrow_mut(&self) -> RefMut<'_, T> {
        RefMut::map(self.value.borrow_mut(), alone)
    }
}

const HERE: &str = "the value is in the lock while no owned guard writes";

/// Owned guards keep their lock alive: who has the lock for itself, or all turns, has the value so too.
const ALONE: &str = "nobody else has the value";

fn alone<T>(value: &mut Option<Rc<T>>) -> &mut T {
    value.as_mut().and_then(Rc::get_mut).expect(ALONE)
}

impl<T> From<T> for RwLock<T> {
    fn from(value: T) -> Self {
        Self::new(value)
    }
}

impl<T: Default> Default for RwLock<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T: fmt::Debug> fmt::Debug for RwLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = f.debug_struct("RwLock");
        match self.try_read() {
            Ok(guard) => text.field("data", &&*guard),
            Err(_) => text.field("data", &format_args!("<locked>")),
        };
        text.finish()
    }
}
