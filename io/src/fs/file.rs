//! `File`: one open file.

use std::fmt;
use std::future::poll_fn;
use std::io::{self, SeekFrom};
use std::path::Path;
use std::sync::Arc;

use loopline_runtime::{JoinHandle, yield_now};

use super::accepted::Shared;
use super::call::{Call, call};
use super::{Metadata, OpenOptions, Permissions};

mod operations;
mod poll;

/// The most that is read by one call, or accepted for writing, unless it is set otherwise.
const MAX_BUF_SIZE: usize = 2 * 1024 * 1024;

/// An open file.
///
/// What moves its one cursor takes `&mut self`, so that one operation follows another; what does not, takes
/// `&self`. It has futures-io's traits too.
///
/// # Writing
///
/// A write is done when its bytes are *accepted*: copied, up to
/// [`max_buf_size`](File::set_max_buf_size) in sum, and on their way to a thread that writes them. So small
/// writes in a row cost one hop to a thread together, not one each. Accepted bytes are written without
/// further ado, before any other call of this file, and also if it is dropped; but a loop that ends does
/// not wait for them. [`File::flush`] does, and tells how it went.
///
/// An error of accepted bytes is told once, by the next write, `flush`, `sync_all`, `sync_data` or
/// `set_len`, whichever is first; what was accepted behind the failed bytes is not written. Dropping a file
/// tells nobody: flush it first.
///
/// # Reading
///
/// A read makes one call and reads nothing ahead. If it is dropped, what it reads is given to the next, also
/// if the file was changed meanwhile; a seek forgets it.
///
/// # Examples
///
/// ```
/// # loopline_runtime::block_on(async {
/// use std::io::SeekFrom;
/// use loopline_io::fs::{self, File, OpenOptions};
///
/// let path = std::env::temp_dir().join(format!("loopline-doc-file-{}", std::process::id()));
/// let mut file = OpenOptions::new().read(true).write(true).create(true).open(&path).await?;
/// file.write_all(b"hello").await?;
/// file.seek(SeekFrom::Start(1)).await?;
/// let mut text = String::new();
/// file.read_to_string(&mut text).await?;
/// assert_eq!(text, "ello");
/// file.flush().await?; // only here is it certain that all was written
/// fs::remove_file(&path).await?;
/// # Ok::<(), std::io::Error>(())
/// # }).unwrap();
/// ```
///
/// It belongs to one thread:
///
/// ```compile_fail,E0277
/// fn is_send<T: Send>() {}
/// is_send::<loopline_io::fs::File>();
/// ```
///
/// ```
/// fn is_send<T: Send>() {}
/// is_send::<std::fs::File>();
/// ```
pub struct File {
    shared: Arc<Shared>,
    /// What a dropped or shorter read has left, from `given` on; then the buffer of the next.
    ahead: Vec<u8>,
    given: usize,
    /// A read that is out.
    reading: Option<Call<Vec<u8>>>,
    /// A seek that is out, and where to.
    seeking: Option<(SeekFrom, Call<u64>)>,
    /// Jobs that write what was accepted: the last one, and any that has just ended.
    writers: Vec<JoinHandle<()>>,
    max_buf_size: usize,
}

impl File {
    /// Opens a file to read it; as [`std::fs::File::open`].
    ///
    /// # Errors
    ///
    /// What the system says.
    ///
    /// # Cancel safety
    ///
    /// Strict.
    pub async fn open(path: impl AsRef<Path>) -> io::Result<Self> {
        OpenOptions::new().read(true).open(path).await
    }

    /// Opens a file to write it, made or emptied; as [`std::fs::File::create`].
    ///
    /// # Errors
    ///
    /// What the system says.
    ///
    /// # Cancel safety
    ///
    /// Partial: a call that has begun goes on.
    pub async fn create(path: impl AsRef<Path>) -> io::Result<Self> {
        OpenOptions::new().write(true).create(true).truncate(true).open(path).await
    }

    /// Makes a file that is not there, to read and write it; as [`std::fs::File::create_new`].
    ///
    /// # Errors
    ///
    /// What the system says; `AlreadyExists` if it is there.
    ///
    /// # Cancel safety
    ///
    /// Partial: a call that has begun goes on.
    pub async fn create_new(path: impl AsRef<Path>) -> io::Result<Self> {
        OpenOptions::new().read(true).write(true).create_new(true).open(path).await
    }

    /// Returns options to open a file by.
    #[must_use]
    pub fn options() -> OpenOptions {
        OpenOptions::new()
    }

    /// Takes over a file of the standard library.
    #[must_use]
    pub fn from_std(file: std::fs::File) -> Self {
        Self::with(Shared::new(file))
    }

    /// Waits for what is out, and returns the standard library's file. That accepted bytes could not be
    /// written is not told: [`File::flush`] first.
    ///
    /// # Cancel safety
    ///
    /// None: the file is closed.
    pub async fn into_std(mut self) -> std::fs::File {
        poll_fn(|cx| self.poll_settled(cx)).await;
        self.go_back();
        // As said above.
        let _ = self.flush().await;
        let mut shared = self.shared;
        loop {
            match Arc::try_unwrap(shared) {
                Ok(shared) => return shared.file,
                Err(other) => shared = other,
            }
            // A call that was dropped is at work still: a second descriptor is as good.
            if let Ok(file) = shared.file.try_clone() {
                return file;
            }
            yield_now().await;
        }
    }

    /// Returns the standard library's file, if nothing is out.
    ///
    /// # Errors
    ///
    /// Gives itself back if a call is out.
    #[expect(clippy::result_large_err, reason = "as tokio's: it gives itself back")]
    pub fn try_into_std(mut self) -> Result<std::fs::File, Self> {
        let busy = self.reading.is_some() || self.seeking.is_some() || self.left() != 0;
        if busy || self.shared.is_unwritten() {
            return Err(self);
        }
        match Arc::try_unwrap(self.shared) {
            Ok(shared) => Ok(shared.file),
            Err(shared) => {
                self.shared = shared;
                Err(self)
            }
        }
    }

    fn with(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            ahead: Vec::new(),
            given: 0,
            reading: None,
            seeking: None,
            writers: Vec::new(),
            max_buf_size: MAX_BUF_SIZE,
        }
    }

    /// Sets the most that one call reads, and that is accepted for writing. Default: 2 MiB; at least 1.
    pub fn set_max_buf_size(&mut self, max_buf_size: usize) {
        self.max_buf_size = max_buf_size.max(1);
    }

    /// Returns the most that one call reads, and that is accepted for writing.
    #[must_use]
    pub fn max_buf_size(&self) -> usize {
        self.max_buf_size
    }

    /// Waits until all that was written is on the disk, and what is known of the file too.
    ///
    /// # Errors
    ///
    /// What the system says; or of bytes accepted before.
    ///
    /// # Cancel safety
    ///
    /// Strict: it may be called again.
    pub async fn sync_all(&self) -> io::Result<()> {
        self.call_after_writes(|file| file.sync_all()).await
    }

    /// Waits until all that was written is on the disk; as [`std::fs::File::sync_data`].
    ///
    /// # Errors
    ///
    /// What the system says; or of bytes accepted before.
    ///
    /// # Cancel safety
    ///
    /// Strict: it may be called again.
    pub async fn sync_data(&self) -> io::Result<()> {
        self.call_after_writes(|file| file.sync_data()).await
    }

    /// Cuts or extends the file; the cursor stays.
    ///
    /// # Errors
    ///
    /// What the system says; or of bytes accepted before.
    ///
    /// # Cancel safety
    ///
    /// Partial: a call that has begun goes on.
    pub async fn set_len(&self, size: u64) -> io::Result<()> {
        self.call_after_writes(move |file| file.set_len(size)).await
    }

    /// Returns what the system knows of the file, after accepted bytes were written.
    ///
    /// # Errors
    ///
    /// What the system says.
    ///
    /// # Cancel safety
    ///
    /// Strict.
    pub async fn metadata(&self) -> io::Result<Metadata> {
        self.call(|file| file.metadata()).await
    }

    /// Sets the file's permissions.
    ///
    /// # Errors
    ///
    /// What the system says.
    ///
    /// # Cancel safety
    ///
    /// Partial: a call that has begun goes on.
    pub async fn set_permissions(&self, permissions: Permissions) -> io::Result<()> {
        self.call(move |file| file.set_permissions(permissions)).await
    }

    /// Returns a second file with the same cursor; what is accepted by one is not ordered with the other.
    ///
    /// # Errors
    ///
    /// What the system says.
    ///
    /// # Cancel safety
    ///
    /// Strict.
    pub async fn try_clone(&self) -> io::Result<Self> {
        let file = self.call(|file| file.try_clone()).await?;
        Ok(Self { max_buf_size: self.max_buf_size, ..Self::from_std(file) })
    }

    fn call<T: Send + 'static>(
        &self,
        f: impl FnOnce(&std::fs::File) -> io::Result<T> + Send + 'static,
    ) -> Call<T> {
        let shared = self.shared.clone();
        call(move || shared.in_turn(f))
    }

    async fn call_after_writes(
        &self,
        f: impl FnOnce(&std::fs::File) -> io::Result<()> + Send + 'static,
    ) -> io::Result<()> {
        let result = self.call(f).await;
        self.shared.take_error().map_or(result, Err)
    }
}

impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("File").field("file", &self.shared.file).finish_non_exhaustive()
    }
}

impl From<std::fs::File> for File {
    /// As [`File::from_std`].
    fn from(file: std::fs::File) -> Self {
        Self::from_std(file)
    }
}

#[cfg(unix)]
impl std::os::fd::AsFd for File {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        std::os::fd::AsFd::as_fd(&self.shared.file)
    }
}

#[cfg(unix)]
impl std::os::fd::AsRawFd for File {
    fn as_raw_fd(&self) -> std::os::fd::RawFd {
        std::os::fd::AsRawFd::as_raw_fd(&self.shared.file)
    }
}
