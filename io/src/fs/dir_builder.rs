//! `DirBuilder`: how a directory is made.

use std::io;
use std::path::Path;

use super::call::call;

/// How a directory is made; as [`std::fs::DirBuilder`].
///
/// # Examples
///
/// ```no_run
/// # async fn example() -> std::io::Result<()> {
/// use loopline_io::fs::DirBuilder;
///
/// DirBuilder::new().recursive(true).create("cache/pages").await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct DirBuilder {
    recursive: bool,
    #[cfg(unix)]
    mode: Option<u32>,
}

impl DirBuilder {
    /// Makes one that makes a single directory.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "as std's, which has none")]
    pub fn new() -> Self {
        Self {
            recursive: false,
            #[cfg(unix)]
            mode: None,
        }
    }

    /// Sets whether those above it are made too, and that it is there is no error.
    pub fn recursive(&mut self, recursive: bool) -> &mut Self {
        self.recursive = recursive;
        self
    }

    /// Makes a directory.
    ///
    /// # Errors
    ///
    /// What the system says; as [`std::fs::DirBuilder::create`].
    ///
    /// # Cancel safety
    ///
    /// Partial: a call that has begun goes on.
    pub async fn create(&self, path: impl AsRef<Path>) -> io::Result<()> {
        let (builder, path) = (self.to_std(), path.as_ref().to_owned());
        call(move || builder.create(path)).await
    }

    fn to_std(&self) -> std::fs::DirBuilder {
        let mut builder = std::fs::DirBuilder::new();
        builder.recursive(self.recursive);
        #[cfg(unix)]
        if let Some(mode) = self.mode {
            std::os::unix::fs::DirBuilderExt::mode(&mut builder, mode);
        }
        builder
    }
}

#[cfg(unix)]
impl DirBuilder {
    /// Sets the permissions of directories that are made.
    pub fn mode(&mut self, mode: u32) -> &mut Self {
        self.mode = Some(mode);
        self
    }
}
