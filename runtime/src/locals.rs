//! Values that belong to a task rather than to a thread: `task_local!`.
//!
//! A value is in place while its future is polled or dropped, and out of it otherwise: it is swapped
//! with what the key held before, whatever happens in between.

use std::cell::RefCell;
use std::error::Error;
use std::fmt;
use std::future::Future;
use std::io;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::thread;

use pin_project_lite::pin_project;

/// Declares task-local keys: statics of the type [`LocalKey`](crate::LocalKey).
///
/// # Examples
///
/// ```
/// loopline_runtime::task_local! {
///     /// Whose request this is.
///     pub static USER: String;
///     static DEPTH: u32;
/// }
///
/// async fn greet() -> String {
///     loopline_runtime::yield_now().await;
///     USER.with(|user| format!("hello {user}"))
/// }
///
/// # loopline_runtime::block_on(async {
/// let ann = loopline_runtime::spawn(USER.scope("Ann".into(), greet()));
/// let bob = loopline_runtime::spawn(USER.scope("Bob".into(), greet()));
/// assert_eq!(ann.await.unwrap(), "hello Ann");
/// assert_eq!(bob.await.unwrap(), "hello Bob");
/// assert!(USER.try_with(|_| ()).is_err());
/// # DEPTH.sync_scope(1, || ());
/// # });
/// ```
#[macro_export]
macro_rules! task_local {
    () => {};
    ($(#[$attribute:meta])* $vis:vis static $name:ident: $type:ty; $($rest:tt)*) => {
        $crate::task_local!($(#[$attribute])* $vis static $name: $type);
        $crate::task_local!($($rest)*);
    };
    ($(#[$attribute:meta])* $vis:vis static $name:ident: $type:ty) => {
        $(#[$attribute])*
        $vis static $name: $crate::LocalKey<$type> = {
            ::std::thread_local! {
                static VALUE: ::std::cell::RefCell<::std::option::Option<$type>> =
                    const { ::std::cell::RefCell::new(::std::option::Option::None) };
            }
            $crate::__private::local_key(VALUE)
        };
    };
}

/// A key of a task-local value; made by [`task_local!`](crate::task_local).
///
/// A task that is spawned inside a scope does not inherit the value: give it one of its own.
pub struct LocalKey<T: 'static> {
    value: thread::LocalKey<RefCell<Option<T>>>,
}

/// For `task_local!`.
#[must_use]
pub const fn new<T>(value: thread::LocalKey<RefCell<Option<T>>>) -> LocalKey<T> {
    LocalKey { value }
}

impl<T: 'static> LocalKey<T> {
    /// Runs a future with this value in place, inside any that was there.
    ///
    /// # Panics
    ///
    /// When polled, if that is inside [`LocalKey::with`] of the same key.
    ///
    /// # Cancel safety
    ///
    /// That of the future inside; it is dropped with the value in place.
    pub fn scope<F: Future>(&'static self, value: T, future: F) -> TaskLocalFuture<T, F> {
        TaskLocalFuture { key: self, slot: Some(value), future: Some(future) }
    }

    /// Calls a closure with this value in place.
    ///
    /// # Panics
    ///
    /// Inside [`LocalKey::with`] of the same key.
    #[track_caller]
    pub fn sync_scope<R>(&'static self, value: T, f: impl FnOnce() -> R) -> R {
        let mut slot = Some(value);
        match self.enter(&mut slot) {
            Ok(_scope) => f(),
            Err(refusal) => refusal.panic(),
        }
    }

    /// Calls a closure with the value that is in place. It may use this key too, but not begin a scope
    /// of it.
    ///
    /// # Panics
    ///
    /// Outside every scope of this key; [`LocalKey::try_with`] returns an error instead.
    #[track_caller]
    pub fn with<R>(&'static self, f: impl FnOnce(&T) -> R) -> R {
        match self.try_with(f) {
            Ok(result) => result,
            Err(error) => panic!("{error}"),
        }
    }

    /// Calls a closure with the value, if one is in place.
    ///
    /// # Errors
    ///
    /// Outside every scope of this key.
    pub fn try_with<R>(&'static self, f: impl FnOnce(&T) -> R) -> Result<R, AccessError> {
        // The outer error: this thread's locals are being destroyed.
        self.value
            .try_with(|value| value.borrow().as_ref().map(f))
            .ok()
            .flatten()
            .ok_or(AccessError(()))
    }

    /// Returns a copy of the value.
    ///
    /// # Panics
    ///
    /// Outside every scope of this key.
    #[track_caller]
    pub fn get(&'static self) -> T
    where
        T: Clone,
    {
        self.with(T::clone)
    }

    /// Returns a copy of the value, if one is in place.
    ///
    /// # Errors
    ///
    /// Outside every scope of this key.
    pub fn try_get(&'static self) -> Result<T, AccessError>
    where
        T: Clone,
    {
        self.try_with(T::clone)
    }

    /// Puts the slot's value in place until the scope is dropped.
    fn enter<'a>(&'static self, slot: &'a mut Option<T>) -> Result<Scope<'a, T>, Refusal> {
        self.swap(slot)?;
        Ok(Scope { key: self, slot })
    }

    fn swap(&'static self, slot: &mut Option<T>) -> Result<(), Refusal> {
        let swapped = self.value.try_with(|value| match value.try_borrow_mut() {
            Ok(mut value) => {
                mem::swap(slot, &mut value);
                Ok(())
            }
            Err(_) => Err(Refusal::Borrowed),
        });
        swapped.unwrap_or(Err(Refusal::ThreadEnds))
    }
}

/// Why a value could not be put in place.
#[derive(Clone, Copy)]
enum Refusal {
    Borrowed,
    ThreadEnds,
}

impl Refusal {
    #[cold]
    #[track_caller]
    fn panic(self) -> ! {
        match self {
            Self::Borrowed => panic!("a task-local scope began inside `with` of the same key"),
            Self::ThreadEnds => panic!("a task-local scope began while its thread was ending"),
        }
    }
}

/// The time in which a value is in place.
struct Scope<'a, T: 'static> {
    key: &'static LocalKey<T>,
    /// Holds what was in place before.
    slot: &'a mut Option<T>,
}

impl<T> Drop for Scope<'_, T> {
    fn drop(&mut self) {
        // No closure of `with` is left on the stack, as scopes cannot begin inside one; and a thread
        // that began to end inside the scope took the value with it.
        let _ = self.key.swap(self.slot);
    }
}

impl<T> fmt::Debug for LocalKey<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalKey").finish_non_exhaustive()
    }
}

pin_project! {
    /// A future with a task-local value; made by [`LocalKey::scope`].
    ///
    /// # Cancel safety
    ///
    /// That of the future inside.
    #[must_use = "a future does nothing unless it is awaited"]
    pub struct TaskLocalFuture<T: 'static, F> {
        key: &'static LocalKey<T>,
        // The value between polls, and what it displaced during one.
        slot: Option<T>,
        // None once it is done.
        #[pin]
        future: Option<F>,
    }

    impl<T: 'static, F> PinnedDrop for TaskLocalFuture<T, F> {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            if this.future.is_none() || !mem::needs_drop::<F>() {
                return;
            }
            // Without the value if it cannot be put in place.
            let _scope = this.key.enter(this.slot).ok();
            this.future.set(None);
        }
    }
}

impl<T: 'static, F> TaskLocalFuture<T, F> {
    /// Takes the value back; `None` if that was done before. Without it the key has no
    /// value in the future.
    pub fn take_value(self: Pin<&mut Self>) -> Option<T> {
        self.project().slot.take()
    }
}

impl<T: 'static, F: Future> Future for TaskLocalFuture<T, F> {
    type Output = F::Output;

    #[track_caller]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let _scope = match this.key.enter(this.slot) {
            Ok(scope) => scope,
            Err(refusal) => refusal.panic(),
        };
        let Some(future) = this.future.as_mut().as_pin_mut() else {
            panic!("a TaskLocalFuture was polled after it gave its output");
        };
        let polled = future.poll(cx);
        if polled.is_ready() {
            // With the value in place still.
            this.future.set(None);
        }
        polled
    }
}

impl<T: fmt::Debug, F> fmt::Debug for TaskLocalFuture<T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskLocalFuture").field("value", &self.slot).finish_non_exhaustive()
    }
}

/// No value of this key is in place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccessError(());

impl fmt::Display for AccessError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no value of this task-local key is in place: run this inside its `scope`")
    }
}

impl Error for AccessError {}

impl From<AccessError> for io::Error {
    fn from(error: AccessError) -> Self {
        Self::other(error)
    }
}
