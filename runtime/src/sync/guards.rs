//! What the guards of all locks have in common: the value behind them shows through.

/// Guards as texts: those of their value. `T` is the value's type.
macro_rules! texts {
    ($($guard:ty),+) => {$(
        impl<T: std::fmt::Debug> std::fmt::Debug for $guard {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                std::fmt::Debug::fmt(&**self, f)
            }
        }

        impl<T: std::fmt::Display> std::fmt::Display for $guard {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                std::fmt::Display::fmt(&**self, f)
            }
        }
    )+};
}

/// Guards that hold what derefs to the value in their field `value`, for reading.
macro_rules! reads {
    ($($guard:ty),+) => {$(
        impl<T> std::ops::Deref for $guard {
            type Target = T;

            #[inline]
            fn deref(&self) -> &T {
                &self.value
            }
        }
    )+};
}

/// As `reads`, for writing.
macro_rules! writes {
    ($($guard:ty),+) => {$(
        impl<T> std::ops::DerefMut for $guard {
            #[inline]
            fn deref_mut(&mut self) -> &mut T {
                &mut self.value
            }
        }
    )+};
}

pub(super) use {reads, texts, writes};
