//! Why no message was received.

use std::error::Error;
use std::fmt;

/// The sender was dropped, or the receiver closed, before a message was sent.
#[derive(Debug, Eq, PartialEq, Clone)]
pub struct RecvError(pub(super) ());

impl fmt::Display for RecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("channel closed")
    }
}

impl Error for RecvError {}

/// Why no message could be received at once.
#[derive(Debug, Eq, PartialEq, Clone)]
pub enum TryRecvError {
    /// It is not there now, but may come.
    Empty,
    /// None will come any more.
    Closed,
}

impl fmt::Display for TryRecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "channel empty",
            Self::Closed => "channel closed",
        })
    }
}

impl Error for TryRecvError {}
