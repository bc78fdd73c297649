//! How a source is registered: by its descriptor on Unix, by mio's own type on Windows.

#[cfg(unix)]
pub(crate) use unix::{Cell, Pollable};
#[cfg(windows)]
pub(crate) use windows::{Cell, Pollable};

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;
