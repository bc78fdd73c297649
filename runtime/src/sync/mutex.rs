//! `Mutex`: a value for one task at a time, across awaits.

use std::cell::{RefCell, RefMut};
use std::fmt;
use std::rc::Rc;

use super::semaphore::{Acquire, Purpose, Semaphore};

mod guard;
mod owned;

pub use self::guard::{MappedMutexGuard, MutexGuard};
pub use self::owned::OwnedMutexGuard;

/// A value that one task has at a time, for as long as it holds the guard: over awaits too.
///
/// Tasks that want it wait in line and get it first in, first out. A guard dropped by a panic unlocks
/// like any other: there is no poison.
///
/// On one thread most values need no lock: between two awaits nobody else runs, so a `Cell` or a
/// `RefCell` does. This one is for what must stay as it is *over* an await, such as the half-written
/// answer on a connection.
///
/// # Examples
///
/// ```
/// # loopline_runtime::block_on(async {
/// use loopline_runtime::sync::Mutex;
/// use std::rc::Rc;
///
/// let account = Rc::new(Mutex::new(100));
/// let tasks: Vec<_> = (0..3)
///     .map(|_| {
///         let account = account.clone();
///         loopline_runtime::spawn(async move {
///             let mut balance = account.lock().await;
///             let read = *balance;
///             loopline_runtime::yield_now().await; // nobody comes between
///             *balance = read + 1;
///         })
///     })
///     .collect();
/// for task in tasks {
///     task.await.unwrap();
/// }
/// assert_eq!(*account.lock().await, 103);
/// # });
/// ```
///
/// It stays on its thread:
///
/// ```compile_fail,E0277
/// let mutex = loopline_runtime::sync::Mutex::new(1);
/// std::thread::spawn(move || mutex.try_lock().is_ok());
/// ```
///
/// ```
/// # loopline_runtime::block_on(async {
/// let mutex = loopline_runtime::sync::Mutex::new(1);
/// loopline_runtime::spawn(async move { mutex.try_lock().is_ok() });
/// # });
/// ```
pub struct Mutex<T> {
    /// One permit: who has it may borrow the value.
    turn: Semaphore,
    /// `None` while an owned guard has it.
    value: RefCell<Option<T>>,
}

impl<T> Purpose for Mutex<T> {
    const WHAT: &'static str = "a lock (Mutex)";
}

impl<T> Mutex<T> {
    /// Makes a mutex, unlocked.
    #[must_use]
    #[doc(alias = "const_new")]
    pub const fn new(value: T) -> Self {
        Self { turn: Semaphore::new(1), value: RefCell::new(Some(value)) }
    }

    /// Waits for the lock; dropping the guard unlocks.
    ///
    /// A task that has the lock and waits for it waits for ever.
    ///
    /// # Cancel safety
    ///
    /// Strict: only the place in line is lost.
    #[inline]
    pub async fn lock(&self) -> MutexGuard<'_, T> {
        let taken = Acquire::<Self>::new(&self.turn, 1).await;
        debug_assert!(taken.is_ok(), "the turn is never closed");
        MutexGuard::new(self)
    }

    /// As [`Mutex::lock`], with a guard that borrows nothing.
    ///
    /// The value is moved into the guard and, as it is dropped, back: a big one is better boxed.
    ///
    /// # Cancel safety
    ///
    /// Strict: only the place in line is lost.
    pub async fn lock_owned(self: Rc<Self>) -> OwnedMutexGuard<T> {
        let taken = Acquire::<Self>::new(&self.turn, 1).await;
        debug_assert!(taken.is_ok(), "the turn is never closed");
        OwnedMutexGuard::new(self)
    }

    /// Locks if nobody has the lock or waits for it.
    ///
    /// # Errors
    ///
    /// If somebody has it or waits for it.
    #[inline]
    pub fn try_lock(&self) -> Result<MutexGuard<'_, T>, TryLockError> {
        self.turn.try_take(1).map_err(|_| TryLockError(()))?;
        Ok(MutexGuard::new(self))
    }

    /// As [`Mutex::try_lock`], with a guard that borrows nothing; see [`Mutex::lock_owned`].
    ///
    /// # Errors
    ///
    /// If somebody has it or waits for it.
    pub fn try_lock_owned(self: Rc<Self>) -> Result<OwnedMutexGuard<T>, TryLockError> {
        self.turn.try_take(1).map_err(|_| TryLockError(()))?;
        Ok(OwnedMutexGuard::new(self))
    }

    /// Returns the value, which nobody else can have.
    pub fn get_mut(&mut self) -> &mut T {
        here(self.value.get_mut())
    }

    /// Returns the value.
    #[must_use]
    pub fn into_inner(self) -> T {
        self.value.into_inner().expect(HERE)
    }

    /// Borrows the value; the caller has the turn.
    #[inline]
    fn borrow(&self) -> RefMut<'_, T> {
        RefMut::map(self.value.borrow_mut(), here)
    }
}

/// An owned guard keeps its mutex alive: who has the mutex for itself, or the turn, finds the value.
const HERE: &str = "the value is in the mutex while no owned guard has it";

#[inline]
fn here<T>(value: &mut Option<T>) -> &mut T {
    value.as_mut().expect(HERE)
}

impl<T> From<T> for Mutex<T> {
    fn from(value: T) -> Self {
        Self::new(value)
    }
}

impl<T: Default> Default for Mutex<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T: fmt::Debug> fmt::Debug for Mutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = f.debug_struct("Mutex");
        match self.try_lock() {
            Ok(guard) => text.field("data", &&*guard),
            Err(_) => text.field("data", &format_args!("<locked>")),
        };
        text.finish()
    }
}

/// The lock was not to be had at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TryLockError(pub(super) ());

impl fmt::Display for TryLockError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("others have the lock, or wait for it")
    }
}

impl std::error::Error for TryLockError {}
