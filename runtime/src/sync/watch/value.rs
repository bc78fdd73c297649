//! The value of a watch channel: read while others replace it.

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;

/// A value of which readers keep what they saw.
///
/// It is replaced in place while nobody reads it; else it is left to its readers, and the new one gets a
/// place of its own. So only a change in place, which needs the one value there is, can be refused.
pub(super) struct Value<T> {
    /// Out while a closure changes it.
    current: RefCell<Option<Rc<T>>>,
}

/// The value before.
pub(super) enum Old<T> {
    Whole(T),
    /// Somebody reads it still.
    #[expect(dead_code, reason = "kept to be dropped outside")]
    Read(Rc<T>),
}

const CHANGING: &str =
    "a watch channel is used inside the closure that changes its value: send after it, not in it";
const READ: &str =
    "a watch value is changed in place while a Ref of it lives: drop the Ref first, or use send";

impl<T> Value<T> {
    pub(super) fn new(value: T) -> Self {
        Self { current: RefCell::new(Some(Rc::new(value))) }
    }

    #[track_caller]
    pub(super) fn read(&self) -> Rc<T> {
        match &*self.current.borrow() {
            Some(value) => value.clone(),
            None => panic!("{CHANGING}"),
        }
    }

    /// Replaces the value, and returns the old one.
    #[track_caller]
    pub(super) fn replace(&self, value: T) -> Old<T> {
        let mut current = self.current.borrow_mut();
        let Some(shared) = &mut *current else {
            drop(current);
            panic!("{CHANGING}");
        };
        match Rc::get_mut(shared) {
            Some(inside) => Old::Whole(std::mem::replace(inside, value)),
            None => Old::Read(std::mem::replace(shared, Rc::new(value))),
        }
    }

    /// Changes the value in place.
    #[track_caller]
    pub(super) fn change<R>(&self, change: impl FnOnce(&mut T) -> R) -> R {
        /// Puts it back, also after a panic.
        struct Out<'a, T>(&'a Value<T>, Option<Rc<T>>);
        impl<T> Drop for Out<'_, T> {
            fn drop(&mut self) {
                *self.0.current.borrow_mut() = self.1.take();
            }
        }
        let current = self.current.borrow_mut().take();
        let Some(current) = current else { panic!("{CHANGING}") };
        let mut out = Out(self, Some(current));
        // Unborrowed Call: the closure may do anything; who reads meanwhile is told.
        match out.1.as_mut().and_then(Rc::get_mut) {
            Some(inside) => change(inside),
            None => panic!("{READ}"),
        }
    }
}

impl<T: fmt::Debug> fmt::Debug for Value<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Unborrowed Call: the value's own text runs with the cell released.
        let current = self.current.borrow().clone();
        match current {
            Some(value) => value.fmt(f),
            None => f.write_str("<being changed>"),
        }
    }
}
