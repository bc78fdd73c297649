//! `OpenOptions`: how a file is opened.

use std::io;
use std::path::Path;

use super::call::call;
use super::file::File;

/// How a file is opened; as [`std::fs::OpenOptions`].
///
/// # Examples
///
/// ```no_run
/// # async fn example() -> std::io::Result<()> {
/// use loopline_io::fs::OpenOptions;
///
/// let mut log = OpenOptions::new().append(true).create(true).open("log.txt").await?;
/// log.write_all(b"started\n").await?;
/// log.flush().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct OpenOptions(std::fs::OpenOptions);

macro_rules! options {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        pub fn $name(&mut self, $name: bool) -> &mut Self {
            self.0.$name($name);
            self
        }
    )*};
}

impl OpenOptions {
    /// Makes options that open for nothing.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "as std's, which has none")]
    pub fn new() -> Self {
        Self(std::fs::OpenOptions::new())
    }

    options! {
        /// Sets whether it can be read.
        read;
        /// Sets whether it can be written.
        write;
        /// Sets whether every write goes to the end.
        append;
        /// Sets whether it is emptied.
        truncate;
        /// Sets whether it is made if it is not there.
        create;
        /// Sets whether it must not be there, and is made.
        create_new;
    }

    /// Opens a file.
    ///
    /// # Errors
    ///
    /// What the system says; as [`std::fs::OpenOptions::open`].
    ///
    /// # Cancel safety
    ///
    /// Partial: a call that has begun goes on, and may make or empty the file.
    pub async fn open(&self, path: impl AsRef<Path>) -> io::Result<File> {
        let (options, path) = (self.0.clone(), path.as_ref().to_owned());
        call(move || options.open(path)).await.map(File::from_std)
    }
}

#[cfg(unix)]
impl OpenOptions {
    /// Sets the permissions of a file that is made.
    pub fn mode(&mut self, mode: u32) -> &mut Self {
        std::os::unix::fs::OpenOptionsExt::mode(&mut self.0, mode);
        self
    }

    /// Sets further flags of open(2).
    pub fn custom_flags(&mut self, flags: i32) -> &mut Self {
        std::os::unix::fs::OpenOptionsExt::custom_flags(&mut self.0, flags);
        self
    }
}

impl From<std::fs::OpenOptions> for OpenOptions {
    fn from(options: std::fs::OpenOptions) -> Self {
        Self(options)
    }
}
