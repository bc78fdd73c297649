//! `OnceCell`: a value that is made once, by whoever wants it first, and may take awaits to make.

use std::convert::Infallible;
use std::fmt;

use super::semaphore::{Acquire, Purpose, Semaphore, SemaphorePermit, TryAcquireError};

/// A value made when it is first wanted, by a future; others that want it meanwhile wait.
///
/// If the one that makes it is dropped, fails or panics, the next that waits makes it instead.
///
/// # Examples
///
/// ```
/// # loopline_runtime::block_on(async {
/// use loopline_runtime::sync::OnceCell;
///
/// let config = OnceCell::new();
/// let text = config.get_or_init(async || "made once".to_owned()).await;
/// assert_eq!(text, "made once");
/// assert_eq!(config.get_or_init(async || unreachable!()).await, "made once");
/// # });
/// ```
///
/// It stays on its thread:
///
/// ```compile_fail,E0277
/// let cell = loopline_runtime::sync::OnceCell::from(1);
/// std::thread::spawn(move || cell.initialized());
/// ```
///
/// ```
/// # loopline_runtime::block_on(async {
/// let cell = loopline_runtime::sync::OnceCell::from(1);
/// loopline_runtime::spawn(async move { cell.initialized() });
/// # });
/// ```
pub struct OnceCell<T> {
    value: std::cell::OnceCell<T>,
    /// One permit: who has it makes the value. Closed once there is one.
    turn: Semaphore,
}

impl<T> Purpose for OnceCell<T> {
    const WHAT: &'static str = "a value that another makes (OnceCell)";
}

impl<T> OnceCell<T> {
    /// Makes an empty cell.
    #[must_use]
    #[doc(alias = "const_new")]
    pub const fn new() -> Self {
        Self { value: std::cell::OnceCell::new(), turn: Semaphore::new(1) }
    }

    /// Makes a cell that is empty only if `value` is `None`.
    #[must_use]
    pub fn new_with(value: Option<T>) -> Self {
        value.map_or_else(Self::new, Self::from)
    }

    /// Whether there is a value.
    #[must_use]
    pub fn initialized(&self) -> bool {
        self.value.get().is_some()
    }

    /// Returns the value if there is one.
    #[must_use]
    pub fn get(&self) -> Option<&T> {
        self.value.get()
    }

    /// Returns the value if there is one.
    #[must_use]
    pub fn get_mut(&mut self) -> Option<&mut T> {
        self.value.get_mut()
    }

    /// Sets the value.
    ///
    /// # Errors
    ///
    /// Gives the value back if there is one already or one is being made.
    pub fn set(&self, value: T) -> Result<(), SetError<T>> {
        match self.turn.try_acquire() {
            Ok(turn) => {
                self.put(value, turn);
                Ok(())
            }
            Err(TryAcquireError::NoPermits) => Err(SetError::InitializingError(value)),
            Err(TryAcquireError::Closed) => Err(SetError::AlreadyInitializedError(value)),
        }
    }

    /// Returns the value; if there is none, makes it by `f` or waits for the one that is making it.
    ///
    /// An `f` that asks the same cell waits for ever.
    ///
    /// # Cancel safety
    ///
    /// Strict for who waits. Dropping the one that makes the value drops what it has made so far; the
    /// next that waits begins anew, with its own `f`.
    pub async fn get_or_init<F, Fut>(&self, f: F) -> &T
    where
        F: FnOnce() -> Fut,
        Fut: Future<Output = T>,
    {
        if let Some(value) = self.value.get() {
            return value;
        }
        let made = self.get_or_try_init(|| async { Ok::<T, Infallible>(f().await) });
        match made.await {
            Ok(value) => value,
            Err(never) => match never {},
        }
    }

    /// As [`OnceCell::get_or_init`], with an `f` that may fail: the cell then stays empty, and the next
    /// that waits tries.
    ///
    /// # Errors
    ///
    /// That of `f`.
    ///
    /// # Cancel safety
    ///
    /// As [`OnceCell::get_or_init`].
    pub async fn get_or_try_init<E, F, Fut>(&self, f: F) -> Result<&T, E>
    where
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        if let Some(value) = self.value.get() {
            return Ok(value);
        }
        if Acquire::<Self>::new(&self.turn, 1).await.is_ok() {
            // Gives the turn to the next in line if this is dropped, fails or panics.
            let turn = SemaphorePermit { semaphore: &self.turn, permits: 1 };
            let value = f().await?;
            return Ok(self.put(value, turn));
        }
        Ok(self.value.get().expect(SET))
    }

    /// Returns the value if there is one.
    #[must_use]
    pub fn into_inner(self) -> Option<T> {
        self.value.into_inner()
    }

    /// Takes the value out, and leaves the cell empty.
    pub fn take(&mut self) -> Option<T> {
        std::mem::take(self).into_inner()
    }

    fn put(&self, value: T, turn: SemaphorePermit<'_>) -> &T {
        let value = self.value.get_or_init(|| value);
        turn.forget();
        self.turn.close();
        value
    }
}

const SET: &str = "the turn is closed once there is a value";

impl<T> Default for OnceCell<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> From<T> for OnceCell<T> {
    fn from(value: T) -> Self {
        let turn = Semaphore::new(0);
        turn.close();
        Self { value: std::cell::OnceCell::from(value), turn }
    }
}

impl<T: Clone> Clone for OnceCell<T> {
    fn clone(&self) -> Self {
        Self::new_with(self.get().cloned())
    }
}

impl<T: PartialEq> PartialEq for OnceCell<T> {
    fn eq(&self, other: &Self) -> bool {
        self.get() == other.get()
    }
}

impl<T: Eq> Eq for OnceCell<T> {}

impl<T: fmt::Debug> fmt::Debug for OnceCell<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OnceCell").field("value", &self.get()).finish()
    }
}

/// Why [`OnceCell::set`] did not set; holds the value.
#[derive(Debug, PartialEq, Eq)]
pub enum SetError<T> {
    /// There is a value already.
    AlreadyInitializedError(T),
    /// One is being made.
    InitializingError(T),
}

impl<T> SetError<T> {
    /// Whether there was a value already.
    #[must_use]
    pub fn is_already_init_err(&self) -> bool {
        matches!(self, Self::AlreadyInitializedError(_))
    }

    /// Whether one was being made.
    #[must_use]
    pub fn is_initializing_err(&self) -> bool {
        matches!(self, Self::InitializingError(_))
    }
}

impl<T> fmt::Display for SetError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AlreadyInitializedError(_) => "the cell has a value already",
            Self::InitializingError(_) => "the value of the cell is being made",
        })
    }
}

impl<T: fmt::Debug> std::error::Error for SetError<T> {}
