//! How a source is registered: by its descriptor on Unix, by mio's own type on Windows.

#[cfg(all(unix, feature = "fd"))]
pub(crate) use unix::loop_runs_here;
#[cfg(unix)]
pub(crate) use unix::{Cell, Pollable};
#[cfg(windows)]
pub(crate) use windows::{Cell, Pollable};

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;
