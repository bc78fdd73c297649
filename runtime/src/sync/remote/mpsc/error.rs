//! Why a message could not be sent or received; those for senders hold it.

use std::error::Error;
use std::fmt;

/// The receiver is gone or closed; holds the message.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SendError<T>(pub T);

impl<T> fmt::Display for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(CLOSED)
    }
}

/// What all of them say of a channel without a receiver.
const CLOSED: &str = "the receiving end of the channel is gone";

/// Why [`Sender::try_send`](super::Sender::try_send) did not send; holds the message.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum TrySendError<T> {
    /// There is no room, or others wait for it.
    Full(T),
    /// The receiver is gone or closed.
    Closed(T),
}

impl<T> TrySendError<T> {
    /// Returns the message.
    pub fn into_inner(self) -> T {
        match self {
            Self::Full(message) | Self::Closed(message) => message,
        }
    }
}

impl<T> fmt::Display for TrySendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full(_) => "the channel has no room now",
            Self::Closed(_) => CLOSED,
        })
    }
}

/// Why [`Sender::blocking_send`](super::Sender::blocking_send) did not send; holds the message.
#[derive(Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum BlockingSendError<T> {
    /// The receiver is gone or closed.
    Closed(T),
    /// There is no room, and to block here would stall an event loop of this thread.
    OwnThread(T),
}

impl<T> BlockingSendError<T> {
    /// Returns the message.
    pub fn into_inner(self) -> T {
        match self {
            Self::Closed(message) | Self::OwnThread(message) => message,
        }
    }
}

impl<T> fmt::Display for BlockingSendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Closed(_) => CLOSED,
            Self::OwnThread(_) => {
                "waiting for room here would stall the event loop of this thread: use send().await"
            }
        })
    }
}

macro_rules! holds_the_message {
    ($($error:ident)*) => {$(
        impl<T> fmt::Debug for $error<T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({self})", stringify!($error))
            }
        }

        impl<T> Error for $error<T> {}
    )*};
}

holds_the_message!(SendError TrySendError BlockingSendError);

/// Why there was no message at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TryRecvError {
    /// Nothing was sent that was not received.
    Empty,
    /// And nothing will be: all senders are gone, or the receiver was closed.
    Disconnected,
}

impl fmt::Display for TryRecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "no message is there now",
            Self::Disconnected => "no message is there, and nobody is left to send one",
        })
    }
}

impl Error for TryRecvError {}
