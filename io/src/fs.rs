//! Files: the functions and types of [`std::fs`], each call on a thread of the loop's pool.
//!
//! The system offers no readiness for files, so a call blocks, and is made by
//! [`spawn_blocking`](loopline_runtime::spawn_blocking). That costs a hop to a thread and back, some 10 us;
//! prefer few large calls. What follows for all of them:
//!
//! - An error is that of one call, and reaches its own future only.
//! - A future that is dropped before its call has begun takes it out of the line. One that has begun cannot
//!   be stopped: it goes on, and its result is dropped on its thread.
//! - They panic if no event loop runs on this thread. A loop that is shutting down, or a system that gives
//!   no thread, is an error.
//! - A paused clock does not jump while a call is out.
//!
//! What may block for ever, such as opening a FIFO that nobody else opens, keeps a thread of the pool.
//!
//! ```
//! # loopline_runtime::block_on(async {
//! use loopline_io::fs;
//!
//! let path = std::env::temp_dir().join(format!("loopline-doc-{}", std::process::id()));
//! fs::write(&path, "one\ntwo\n").await?;
//! assert_eq!(fs::read_to_string(&path).await?.lines().count(), 2);
//! fs::remove_file(&path).await?;
//! # Ok::<(), std::io::Error>(())
//! # }).unwrap();
//! ```

use std::io;
use std::path::{Path, PathBuf};

use self::call::call;

pub use self::dir_builder::DirBuilder;
pub use self::file::File;
pub use self::open_options::OpenOptions;
pub use self::read_dir::{DirEntry, ReadDir, read_dir};
pub use std::fs::{FileType, Metadata, Permissions};

mod accepted;
mod call;
mod dir_builder;
mod file;
mod open_options;
mod read_dir;

macro_rules! one_path {
    ($($(#[$doc:meta])* $name:ident -> $result:ty;)*) => {$(
        $(#[$doc])*
        ///
        /// # Errors
        ///
        /// What the system says.
        ///
        /// # Cancel safety
        ///
        /// Partial: a call that has begun goes on.
        pub async fn $name(path: impl AsRef<Path>) -> io::Result<$result> {
            let path = path.as_ref().to_owned();
            call(move || std::fs::$name(path)).await
        }
    )*};
}

one_path! {
    /// Reads a whole file; as [`std::fs::read`].
    read -> Vec<u8>;
    /// Reads a whole file as text; as [`std::fs::read_to_string`].
    read_to_string -> String;
    /// Returns what a path leads to; as [`std::fs::metadata`].
    metadata -> Metadata;
    /// Returns what stands at a path, a symbolic link itself; as [`std::fs::symlink_metadata`].
    symlink_metadata -> Metadata;
    /// Returns the absolute path without links; as [`std::fs::canonicalize`].
    canonicalize -> PathBuf;
    /// Makes a directory; as [`std::fs::create_dir`].
    create_dir -> ();
    /// Makes a directory and those above it; as [`std::fs::create_dir_all`].
    create_dir_all -> ();
    /// Returns where a symbolic link points; as [`std::fs::read_link`].
    read_link -> PathBuf;
    /// Removes a file; as [`std::fs::remove_file`].
    remove_file -> ();
    /// Removes an empty directory; as [`std::fs::remove_dir`].
    remove_dir -> ();
    /// Removes a directory and all in it; as [`std::fs::remove_dir_all`].
    remove_dir_all -> ();
}

macro_rules! two_paths {
    ($($(#[$doc:meta])* $name:ident($from:ident, $to:ident) -> $result:ty = $call:path;)*) => {$(
        $(#[$doc])*
        ///
        /// # Errors
        ///
        /// What the system says.
        ///
        /// # Cancel safety
        ///
        /// Partial: a call that has begun goes on.
        pub async fn $name($from: impl AsRef<Path>, $to: impl AsRef<Path>) -> io::Result<$result> {
            let ($from, $to) = ($from.as_ref().to_owned(), $to.as_ref().to_owned());
            call(move || $call($from, $to)).await
        }
    )*};
}

two_paths! {
    /// Copies a file with its permissions, and returns its length; as [`std::fs::copy`].
    copy(from, to) -> u64 = std::fs::copy;
    /// Makes a second name of a file; as [`std::fs::hard_link`].
    hard_link(original, link) -> () = std::fs::hard_link;
    /// Renames a file or directory, and replaces what was there; as [`std::fs::rename`].
    rename(from, to) -> () = std::fs::rename;
}

#[cfg(unix)]
two_paths! {
    /// Makes a symbolic link; as [`std::os::unix::fs::symlink`].
    symlink(original, link) -> () = std::os::unix::fs::symlink;
}

#[cfg(windows)]
two_paths! {
    /// Makes a symbolic link to a directory; as [`std::os::windows::fs::symlink_dir`].
    symlink_dir(original, link) -> () = std::os::windows::fs::symlink_dir;
    /// Makes a symbolic link to a file; as [`std::os::windows::fs::symlink_file`].
    symlink_file(original, link) -> () = std::os::windows::fs::symlink_file;
}

/// Writes a whole file, and replaces what was there; as [`std::fs::write`].
///
/// # Errors
///
/// What the system says; part of it may have been written.
///
/// # Cancel safety
///
/// Partial: a call that has begun goes on.
pub async fn write(path: impl AsRef<Path>, contents: impl AsRef<[u8]>) -> io::Result<()> {
    let (path, contents) = (path.as_ref().to_owned(), contents.as_ref().to_owned());
    call(move || std::fs::write(path, contents)).await
}

/// Sets the permissions of what a path leads to; as [`std::fs::set_permissions`].
///
/// # Errors
///
/// What the system says.
///
/// # Cancel safety
///
/// Partial: a call that has begun goes on.
pub async fn set_permissions(path: impl AsRef<Path>, permissions: Permissions) -> io::Result<()> {
    let path = path.as_ref().to_owned();
    call(move || std::fs::set_permissions(path, permissions)).await
}

/// Whether a path leads to something; as [`std::fs::exists`].
///
/// # Errors
///
/// If it cannot be told, as without permission to look.
///
/// # Cancel safety
///
/// Strict.
pub async fn try_exists(path: impl AsRef<Path>) -> io::Result<bool> {
    let path = path.as_ref().to_owned();
    call(move || path.try_exists()).await
}
