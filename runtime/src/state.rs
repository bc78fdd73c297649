//! Borrowed pointers with a scope: the lending cell for the user's state, and the pointer to the
//! loop that runs on this thread; and what one thread names to another. The only places where a plain
//! reference becomes a raw pointer.
//!
//! Invariant (Scope): a pointer is in a cell only during the call that put it there, and that call
//! holds the reference it was made from; a guard takes it out again, on unwind too.
//!
//! Invariant (For Ever): a pointer in a `Published` is null, or was made from a reference to something that
//! lives for ever.
//!
//! Invariant (Lent Once): the state's pointer is taken out of its cell while a closure uses it, so
//! no second `&mut` to the state can be made meanwhile.

use std::any::TypeId;
use std::cell::Cell;
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

/// A reference that is set for the time of a call. Lives in a thread-local.
pub(crate) struct Scoped<T> {
    /// Null outside every scope.
    current: Cell<*const T>,
}

impl<T> Scoped<T> {
    pub(crate) const fn new() -> Self {
        Self { current: Cell::new(ptr::null()) }
    }

    /// Calls `f` while `with` on this cell gives `value`. Scopes nest; the outer one comes back.
    pub(crate) fn scope<R>(&self, value: &T, f: impl FnOnce() -> R) -> R {
        struct Restore<'a, T>(&'a Cell<*const T>, *const T);
        impl<T> Drop for Restore<'_, T> {
            fn drop(&mut self) {
                self.0.set(self.1);
            }
        }
        let _restore = Restore(&self.current, self.current.replace(value));
        f()
    }

    /// Calls `f` with the innermost value in scope.
    #[inline]
    pub(crate) fn with<R>(&self, f: impl FnOnce(Option<&T>) -> R) -> R {
        // SAFETY: Scope: a pointer that is not null belongs to a `scope` call further up this
        // thread's stack, which holds the reference for longer than `f` runs.
        f(unsafe { self.current.get().as_ref() })
    }
}

/// Something that lives for ever, named by one thread to another.
pub(crate) struct Published<T: 'static>(AtomicPtr<T>);

impl<T: Sync> Published<T> {
    pub(crate) const fn new() -> Self {
        Self(AtomicPtr::new(ptr::null_mut()))
    }

    #[inline]
    pub(crate) fn set(&self, value: Option<&'static T>) {
        let pointer = value.map_or(ptr::null(), ptr::from_ref);
        // Release: pairs with the Acquire load below.
        self.0.store(pointer.cast_mut(), Ordering::Release);
    }

    pub(crate) fn get(&self) -> Option<&'static T> {
        let pointer = self.0.load(Ordering::Acquire);
        // SAFETY: For Ever; and nobody gets a `&mut` from it.
        unsafe { pointer.as_ref() }
    }
}

/// Why the state could not be borrowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StateError {
    /// The loop is not inside `run`, `run_until` or `turn`, so nobody lent it a state.
    NotRunning,
    /// The state is lent already: a callback or an outer `with` holds it.
    AlreadyLent,
    /// The event loop was dropped.
    LoopGone,
}

impl std::fmt::Display for StateError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::NotRunning => "the event loop is not running: the state is lent only during run, run_until and turn",
            Self::AlreadyLent => "the state is lent already: do not call `with` inside a callback or inside another `with`",
            Self::LoopGone => "the event loop of this handle was dropped",
        })
    }
}

impl std::error::Error for StateError {}

impl From<StateError> for std::io::Error {
    fn from(error: StateError) -> Self {
        Self::other(error)
    }
}

/// The cell that `run(&mut state)` parks its reference in.
#[derive(Debug)]
pub(crate) struct StateCell {
    /// The type the pointer was made from.
    type_id: TypeId,
    /// Null while not running and while lent.
    pointer: Cell<*mut ()>,
    /// Set between taking the pointer out and putting it back.
    lent: Cell<bool>,
}

impl StateCell {
    pub(crate) fn new<S: 'static>() -> Self {
        Self {
            type_id: TypeId::of::<S>(),
            pointer: Cell::new(ptr::null_mut()),
            lent: Cell::new(false),
        }
    }

    /// Whether the state is of type `S`.
    pub(crate) fn holds<S: 'static>(&self) -> bool {
        self.type_id == TypeId::of::<S>()
    }

    /// Calls `f` while the state can be lent.
    pub(crate) fn park<S: 'static, R>(&self, state: &mut S, f: impl FnOnce() -> R) -> R {
        struct Restore<'a>(&'a StateCell, *mut (), bool);
        impl Drop for Restore<'_> {
            fn drop(&mut self) {
                self.0.pointer.set(self.1);
                self.0.lent.set(self.2);
            }
        }
        assert!(self.holds::<S>(), "the state must be of the event loop's type");
        let pointer: *mut S = state;
        let _restore =
            Restore(self, self.pointer.replace(pointer.cast()), self.lent.replace(false));
        f()
    }

    /// Whether `with` of this type would lend it now.
    #[inline]
    pub(crate) fn is_here<S: 'static>(&self) -> bool {
        !self.pointer.get().is_null() && self.holds::<S>()
    }

    /// Lends the state to `f`.
    #[inline]
    pub(crate) fn with<S: 'static, R>(&self, f: impl FnOnce(&mut S) -> R) -> Result<R, StateError> {
        struct PutBack<'a>(&'a StateCell, *mut ());
        impl Drop for PutBack<'_> {
            fn drop(&mut self) {
                self.0.lent.set(false);
                self.0.pointer.set(self.1);
            }
        }
        let pointer = self.pointer.replace(ptr::null_mut());
        if pointer.is_null() || !self.holds::<S>() {
            self.pointer.set(pointer);
            return Err(if self.lent.get() {
                StateError::AlreadyLent
            } else {
                StateError::NotRunning
            });
        }
        self.lent.set(true);
        let _put_back = PutBack(self, pointer);
        // SAFETY: Scope: `park` holds the `&mut S` this pointer was made from and does not touch it,
        // and the type was compared. Lent Once: the cell is empty until `_put_back` drops.
        Ok(f(unsafe { &mut *pointer.cast::<S>() }))
    }
}
