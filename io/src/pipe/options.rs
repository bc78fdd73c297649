//! How a pipe with a name is opened.

use std::fs::File;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::{Receiver, Sender, check_pipe};
use crate::fd::held::Held;

/// How to open a FIFO, a pipe with a name in the file system.
///
/// # Examples
///
/// ```no_run
/// # async fn example() -> std::io::Result<()> {
/// use loopline_io::pipe;
///
/// let receiver = pipe::OpenOptions::new().open_receiver("/run/app/commands")?;
/// let mut buf = [0; 512];
/// let n = receiver.read(&mut buf).await?;
/// # let _ = n;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub struct OpenOptions {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    read_write: bool,
    unchecked: bool,
}

impl OpenOptions {
    /// Makes options that open one end, and check that it is one of a pipe.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Opens for reading and writing: a receiver then never sees an end, and waits for the next sender; a
    /// sender can be opened before there is a receiver. Linux only.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    pub fn read_write(&mut self, value: bool) -> &mut Self {
        self.read_write = value;
        self
    }

    /// Opens without a look whether it is a pipe.
    pub fn unchecked(&mut self, value: bool) -> &mut Self {
        self.unchecked = value;
        self
    }

    /// Opens the reading end, at once: it is reading that waits for a sender.
    ///
    /// # Errors
    ///
    /// What the system says; `InvalidInput` if it is no pipe.
    pub fn open_receiver(&self, path: impl AsRef<Path>) -> io::Result<Receiver> {
        let file = self.open(path.as_ref(), true)?;
        Receiver::from_end(Held::as_is(file))
    }

    /// Opens the writing end.
    ///
    /// # Errors
    ///
    /// What the system says: ENXIO if nobody reads yet. `InvalidInput` if it is no pipe.
    pub fn open_sender(&self, path: impl AsRef<Path>) -> io::Result<Sender> {
        let file = self.open(path.as_ref(), false)?;
        Ok(Sender::from_end(Held::as_is(file)))
    }

    fn open(&self, path: &Path, reads: bool) -> io::Result<File> {
        let mut options = std::fs::OpenOptions::new();
        options.read(reads).write(!reads);
        self.widen(&mut options);
        options.custom_flags(libc::O_NONBLOCK);
        let file = options.open(path)?;
        if !self.unchecked {
            check_pipe(&file)?;
        }
        Ok(file)
    }

    #[cfg(any(target_os = "linux", target_os = "android"))]
    fn widen(&self, options: &mut std::fs::OpenOptions) {
        if self.read_write {
            options.read(true).write(true);
        }
    }

    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    fn widen(&self, _: &mut std::fs::OpenOptions) {}
}
