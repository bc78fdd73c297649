//! The errors of this module as `io::Error`s: so that `?` works where those are returned. What was not sent
//! is dropped by that, as it need not be `Send`; the text stays.

use std::io;

use super::{AcquireError, SetError, TryAcquireError, TryLockError};
use super::{broadcast, mpsc, oneshot, remote, watch};

macro_rules! into_io {
    ($(impl[$($message:ident)?] $error:ty;)*) => {$(
        impl$(<$message>)? From<$error> for io::Error {
            fn from(error: $error) -> Self {
                Self::other(error.to_string())
            }
        }
    )*};
}

into_io! {
    impl[T] mpsc::error::SendError<T>;
    impl[T] mpsc::error::TrySendError<T>;
    impl[T] mpsc::error::SendTimeoutError<T>;
    impl[] mpsc::error::TryRecvError;
    impl[] oneshot::error::RecvError;
    impl[] oneshot::error::TryRecvError;
    impl[T] broadcast::error::SendError<T>;
    impl[] broadcast::error::RecvError;
    impl[] broadcast::error::TryRecvError;
    impl[] broadcast::error::Lagged;
    impl[T] watch::error::SendError<T>;
    impl[] watch::error::RecvError;
    impl[T] remote::mpsc::error::SendError<T>;
    impl[T] remote::mpsc::error::TrySendError<T>;
    impl[T] remote::mpsc::error::BlockingSendError<T>;
    impl[] remote::mpsc::error::TryRecvError;
    impl[] remote::oneshot::error::RecvError;
    impl[] remote::oneshot::error::TryRecvError;
    impl[] AcquireError;
    impl[] TryAcquireError;
    impl[] TryLockError;
    impl[T] SetError<T>;
}
