//! The programs are in `src/bin`, the tests of the bridges in `tests`.
//!
//! Here is the page on bridges, so that its examples are compiled and run against the real libraries:
//! `loopline` itself depends on none of them.

#[cfg(all(feature = "dbus", target_os = "linux"))]
pub mod dbus;
#[cfg(feature = "glib")]
mod glib_context;
#[cfg(feature = "libuv")]
pub mod uv;

#[cfg(feature = "glib")]
pub use glib_context::GlibContext;

#[cfg(doctest)]
#[doc = include_str!("../../../src/bridges.md")]
mod page {}
