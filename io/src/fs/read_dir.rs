//! `read_dir`: what is in a directory, read a number of entries at a time.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::future::{Future, poll_fn};
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use loopline_runtime::budget;

use super::call::{Call, call};
use super::{FileType, Metadata};

/// Entries read by one call.
const CHUNK: usize = 32;

/// Opens a directory to read what is in it; as [`std::fs::read_dir`].
///
/// # Errors
///
/// What the system says.
///
/// # Cancel safety
///
/// Strict.
///
/// # Examples
///
/// ```
/// # loopline_runtime::block_on(async {
/// let mut entries = loopline_io::fs::read_dir(".").await?;
/// while let Some(entry) = entries.next_entry().await? {
///     println!("{}", entry.path().display());
/// }
/// # Ok::<(), std::io::Error>(())
/// # }).unwrap();
/// ```
pub async fn read_dir(path: impl AsRef<Path>) -> io::Result<ReadDir> {
    let path = path.as_ref().to_owned();
    let chunk = call(move || std::fs::read_dir(path).map(next_chunk)).await?;
    Ok(ReadDir { entries: chunk.entries, state: chunk.rest.into() })
}

/// Entries, and where the others come from.
struct Chunk {
    entries: VecDeque<io::Result<std::fs::DirEntry>>,
    rest: Option<std::fs::ReadDir>,
}

fn next_chunk(mut dir: std::fs::ReadDir) -> Chunk {
    let mut entries = VecDeque::with_capacity(CHUNK);
    for entry in dir.by_ref().take(CHUNK) {
        let failed = entry.is_err();
        entries.push_back(entry);
        if failed {
            // A directory that cannot be read would fail for ever.
            return Chunk { entries, rest: None };
        }
    }
    let rest = (entries.len() == CHUNK).then_some(dir);
    Chunk { entries, rest }
}

/// What is in a directory, in no order: a stream; made by [`read_dir`].
#[derive(Debug)]
#[must_use = "a stream does nothing unless it is awaited"]
pub struct ReadDir {
    /// Read, and not given yet.
    entries: VecDeque<io::Result<std::fs::DirEntry>>,
    state: State,
}

#[derive(Debug)]
enum State {
    More(std::fs::ReadDir),
    Reading(Call<Chunk>),
    End,
}

impl From<Option<std::fs::ReadDir>> for State {
    fn from(rest: Option<std::fs::ReadDir>) -> Self {
        rest.map_or(Self::End, Self::More)
    }
}

impl ReadDir {
    /// Returns the next entry, or `None` at the end.
    ///
    /// # Errors
    ///
    /// What the system says. Then it has ended.
    ///
    /// # Cancel safety
    ///
    /// Strict.
    pub async fn next_entry(&mut self) -> io::Result<Option<DirEntry>> {
        poll_fn(|cx| self.poll_next_entry(cx)).await
    }

    /// Polls for the next entry; [`ReadDir::next_entry`] for implementations of `poll`.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn poll_next_entry(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<DirEntry>>> {
        loop {
            if !self.entries.is_empty() || matches!(self.state, State::End) {
                ready!(budget::poll_proceed(cx)).spend();
                let entry = self.entries.pop_front().transpose()?;
                return Poll::Ready(Ok(entry.map(|entry| DirEntry(Arc::new(entry)))));
            }
            if let State::Reading(chunk) = &mut self.state {
                let chunk = ready!(Pin::new(chunk).poll(cx));
                self.state = State::End;
                let chunk = chunk?;
                self.entries = chunk.entries;
                self.state = chunk.rest.into();
            } else if let State::More(dir) = std::mem::replace(&mut self.state, State::End) {
                self.state = State::Reading(call(move || Ok(next_chunk(dir))));
            }
        }
    }
}

impl Stream for ReadDir {
    type Item = io::Result<DirEntry>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.get_mut().poll_next_entry(cx).map(Result::transpose)
    }
}

/// One entry of a directory.
#[derive(Debug)]
pub struct DirEntry(Arc<std::fs::DirEntry>);

impl DirEntry {
    /// Returns the path: the directory's, as it was given, and the name.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.0.path()
    }

    /// Returns the name.
    #[must_use]
    pub fn file_name(&self) -> OsString {
        self.0.file_name()
    }

    /// Returns what the entry is, of a symbolic link the link itself.
    ///
    /// # Errors
    ///
    /// What the system says.
    ///
    /// # Cancel safety
    ///
    /// Strict.
    pub async fn metadata(&self) -> io::Result<Metadata> {
        let entry = self.0.clone();
        call(move || entry.metadata()).await
    }

    /// Returns of which kind the entry is.
    ///
    /// # Errors
    ///
    /// What the system says.
    ///
    /// # Cancel safety
    ///
    /// Strict.
    pub async fn file_type(&self) -> io::Result<FileType> {
        let entry = self.0.clone();
        call(move || entry.file_type()).await
    }

    /// Returns the number of the file (inode).
    #[cfg(unix)]
    #[must_use]
    pub fn ino(&self) -> u64 {
        std::os::unix::fs::DirEntryExt::ino(&*self.0)
    }
}
