//! What inserting an item can fail with: gives back what was passed in.

use std::fmt;

use crate::fork::Forked;

/// Why an item could not be inserted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InsertErrorKind {
    /// The event loop was dropped.
    LoopGone,
    /// The event loop is being shut down or dropped, and takes no new items.
    ShuttingDown,
    /// This process was forked from the one that made the event loop.
    Forked,
    /// The loop holds as many items as it has numbers (16 million; 1 million on 32-bit platforms).
    Full,
}

impl fmt::Display for InsertErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::LoopGone => "the event loop of this handle was dropped",
            Self::ShuttingDown => "the event loop is shutting down and takes no new items",
            Self::Forked => return Forked.fmt(f),
            Self::Full => "the event loop is full: end some of its items first",
        })
    }
}

/// An item could not be inserted; holds what was passed in.
#[derive(Clone, PartialEq, Eq)]
pub struct InsertError<T> {
    /// The future or source that was to be inserted.
    pub input: T,
    kind: InsertErrorKind,
}

impl<T> InsertError<T> {
    pub(crate) fn new(input: T, kind: InsertErrorKind) -> Self {
        Self { input, kind }
    }

    /// Returns why.
    #[must_use]
    pub fn kind(&self) -> InsertErrorKind {
        self.kind
    }

    /// Returns what was passed in.
    #[must_use]
    pub fn into_inner(self) -> T {
        self.input
    }
}

impl<T> fmt::Debug for InsertError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InsertError").field("kind", &self.kind).finish_non_exhaustive()
    }
}

impl<T> fmt::Display for InsertError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.kind.fmt(f)
    }
}

impl<T> std::error::Error for InsertError<T> {}

impl<T> From<InsertError<T>> for std::io::Error {
    fn from(error: InsertError<T>) -> Self {
        Self::other(error.kind)
    }
}

impl std::error::Error for InsertErrorKind {}
