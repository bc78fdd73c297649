//! Sockets and pollable descriptors on Loopline's event loop.
//!
//! Most programs depend on `loopline`, which re-exports this. Everything here stands on the public API
//! of `loopline-runtime`: a source of one's own can be written the same way.

pub mod copy;
#[cfg(unix)]
pub mod fd;
#[cfg(feature = "fs")]
pub mod fs;
pub mod net;
#[cfg(all(unix, feature = "signal"))]
pub mod signal;

mod adapter;
mod sys;
