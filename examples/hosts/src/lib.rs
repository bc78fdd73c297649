//! A loop inside other people's. The programs are in `src/bin`; the tests, each with a host, in `tests`.

#[cfg(feature = "glib")]
pub mod glib_host;
