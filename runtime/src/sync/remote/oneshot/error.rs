//! Why there is no message.

use std::error::Error;
use std::fmt;

/// The sender is gone and sent nothing, or the message was taken before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecvError(pub(super) ());

impl fmt::Display for RecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the sender is gone and sent nothing")
    }
}

impl Error for RecvError {}

/// Why there was no message at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TryRecvError {
    /// It was not sent yet.
    Empty,
    /// And it will not be: the sender is gone, or the receiver was closed, or the message was taken.
    Closed,
}

impl fmt::Display for TryRecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "no message is there now",
            Self::Closed => "no message is there, and none will be",
        })
    }
}

impl Error for TryRecvError {}
