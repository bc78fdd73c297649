//! The halves of a [`UnixStream`] that was taken apart, for tasks that each own one, and what else other
//! libraries have under this name. Unix only.

use std::cell::Cell;
use std::fmt;
use std::future::Future;
use std::io::{self, IoSlice, IoSliceMut};
use std::net::Shutdown;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

#[cfg(feature = "fd")]
pub use crate::pipe;
pub use std::os::unix::net::SocketAddr;

#[cfg(all(any(target_os = "linux", target_os = "android"), feature = "socket"))]
pub use super::UCred;
use super::UnixStream;
use super::halves::halves;

halves!(UnixStream, SocketAddr);
