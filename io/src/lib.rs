//! Sockets and pollable descriptors on Loopline's event loop.
//!
//! Most programs depend on `loopline`, which re-exports this. Everything here stands on the public API
//! of `loopline-runtime`: a source of one's own can be written the same way.

pub mod copy;
#[cfg(unix)]
pub mod fd;
#[cfg(feature = "fs")]
pub mod fs;
#[cfg(any(feature = "hyper", feature = "tokio-io"))]
pub mod here;
#[cfg(feature = "hyper")]
pub mod hyper_rt;
pub mod lines;
pub mod net;
#[cfg(all(unix, feature = "fd"))]
pub mod pipe;
#[cfg(all(unix, feature = "process"))]
pub mod process;
#[cfg(all(unix, feature = "signal"))]
pub mod signal;

#[cfg(all(unix, feature = "fd"))]
pub mod stdio;

mod adapter;
#[cfg(unix)]
mod interest;
mod mischief;
mod scratch;
mod sys;
#[cfg(feature = "tokio-io")]
mod tokio_io;
