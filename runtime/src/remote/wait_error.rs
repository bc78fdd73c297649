//! Why waiting for the output of a remotely spawned item gave none.

use std::fmt;

use super::RemoteJoin;
use crate::fork::Forked;
use crate::join::JoinError;

/// Why [`RemoteJoin::wait`] gave no output.
#[non_exhaustive]
pub enum WaitError<T> {
    /// This is the loop's own thread: blocking it would be for ever. Holds the join: await it instead.
    OwnThread(RemoteJoin<T>),
    /// This process was forked from the loop's: the output will never be seen here.
    Forked,
    /// The item was cancelled or panicked.
    Join(JoinError),
}

impl<T> fmt::Debug for WaitError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WaitError({self})")
    }
}

impl<T> fmt::Display for WaitError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OwnThread(_) => f.write_str(
                "waiting here would block the event loop that runs the item: await the join instead",
            ),
            Self::Forked => Forked.fmt(f),
            Self::Join(error) => error.fmt(f),
        }
    }
}

impl<T> std::error::Error for WaitError<T> {}

impl<T> From<WaitError<T>> for std::io::Error {
    fn from(error: WaitError<T>) -> Self {
        Self::other(error.to_string())
    }
}
