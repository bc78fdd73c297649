//! How a source is registered, by its descriptor on Unix, by mio's own type on Windows; and how a socket
//! is read and written.

#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) use calls::receive;
#[cfg(unix)]
pub(crate) use calls::{send, send_vectored};
#[cfg(all(unix, feature = "fd"))]
pub(crate) use unix::loop_runs_here;
#[cfg(unix)]
pub(crate) use unix::{Cell, Pollable};
#[cfg(windows)]
pub(crate) use windows::{Cell, Pollable, send, send_vectored};

#[cfg(unix)]
pub(crate) mod calls;
#[cfg(all(unix, any(feature = "fd", feature = "process")))]
pub(crate) mod pipes;
#[cfg(all(unix, feature = "signal"))]
pub(crate) mod slots;

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;
