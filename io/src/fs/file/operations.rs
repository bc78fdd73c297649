//! Reading, writing and seeking a `File`: methods, and the traits of `futures-io`.

use std::future::poll_fn;
use std::io::{self, IoSlice, SeekFrom};
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_io::{AsyncRead, AsyncSeek, AsyncWrite};

use super::File;

/// How much a read to the end reads at once.
const CHUNK: usize = 64 * 1024;

impl File {
    /// Reads into a buffer. `Ok(0)`: the end, or an empty buffer.
    ///
    /// # Errors
    ///
    /// What the system says.
    ///
    /// # Cancel safety
    ///
    /// Strict: what a dropped read reads is given to the next.
    pub async fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        poll_fn(|cx| self.poll_read_some(cx, buf)).await
    }

    /// Fills the buffer. Returns its length.
    ///
    /// # Errors
    ///
    /// `UnexpectedEof` if the file ends first; what was read stands in the buffer.
    ///
    /// # Cancel safety
    ///
    /// None: what was read so far is lost with the future, unless the caller keeps the buffer.
    pub async fn read_exact(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while filled < buf.len() {
            match self.read(&mut buf[filled..]).await? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                n => filled += n,
            }
        }
        Ok(filled)
    }

    /// Reads to the end and appends it. Returns how much that was.
    ///
    /// # Errors
    ///
    /// What the system says; what was read before is appended.
    ///
    /// # Cancel safety
    ///
    /// Partial: what was read so far is appended.
    pub async fn read_to_end(&mut self, buf: &mut Vec<u8>) -> io::Result<usize> {
        let before = buf.len();
        let mut chunk = vec![0; CHUNK];
        loop {
            match self.read(&mut chunk).await? {
                0 => return Ok(buf.len() - before),
                n => buf.extend_from_slice(&chunk[..n]),
            }
        }
    }

    /// Reads to the end as text, and appends it. Returns its length.
    ///
    /// # Errors
    ///
    /// What the system says; `InvalidData` if it is not UTF-8. Then nothing is appended.
    ///
    /// # Cancel safety
    ///
    /// None: what was read so far is lost.
    pub async fn read_to_string(&mut self, text: &mut String) -> io::Result<usize> {
        let mut bytes = Vec::new();
        self.read_to_end(&mut bytes).await?;
        let read = String::from_utf8(bytes)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        text.push_str(&read);
        Ok(read.len())
    }

    /// Has bytes accepted for writing, and waits if there is no room. Returns how many.
    ///
    /// # Errors
    ///
    /// What the system said of bytes accepted before.
    ///
    /// # Cancel safety
    ///
    /// Strict: nothing was accepted if it is dropped.
    pub async fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        poll_fn(|cx| self.poll_write_some(cx, buf)).await
    }

    /// Has the whole buffer accepted for writing.
    ///
    /// # Errors
    ///
    /// What the system said of bytes accepted before.
    ///
    /// # Cancel safety
    ///
    /// Partial: bytes already accepted are written, and the caller does not learn how many.
    pub async fn write_all(&mut self, mut buf: &[u8]) -> io::Result<()> {
        loop {
            let n = self.write(buf).await?;
            buf = &buf[n..];
            if buf.is_empty() {
                return Ok(());
            }
        }
    }

    /// Waits until all that was accepted has been written: given to the system, which
    /// [`sync_all`](File::sync_all) waits for.
    ///
    /// # Errors
    ///
    /// What the system said of bytes accepted before.
    ///
    /// # Cancel safety
    ///
    /// Strict: it may be called again.
    pub async fn flush(&mut self) -> io::Result<()> {
        poll_fn(|cx| self.poll_flush_all(cx)).await
    }

    /// Moves the cursor. Returns where it is.
    ///
    /// # Errors
    ///
    /// What the system says, such as for a place before the beginning; the cursor stays then.
    ///
    /// # Cancel safety
    ///
    /// Partial: the cursor may have moved. The same call again completes the one that was dropped.
    pub async fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        poll_fn(|cx| self.poll_seek_to(cx, to)).await
    }

    /// Moves the cursor to the beginning.
    ///
    /// # Errors
    ///
    /// What the system says.
    ///
    /// # Cancel safety
    ///
    /// Strict: it may be called again.
    pub async fn rewind(&mut self) -> io::Result<()> {
        self.seek(SeekFrom::Start(0)).await.map(drop)
    }

    /// Returns where the cursor is.
    ///
    /// # Errors
    ///
    /// What the system says.
    ///
    /// # Cancel safety
    ///
    /// Strict.
    pub async fn stream_position(&mut self) -> io::Result<u64> {
        self.seek(SeekFrom::Current(0)).await
    }
}

impl AsyncRead for File {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().poll_read_some(cx, buf)
    }
}

impl AsyncWrite for File {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().poll_write_some(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().poll_write_several(cx, bufs)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().poll_flush_all(cx)
    }

    /// Flushes; the file is closed when it is dropped.
    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().poll_flush_all(cx)
    }
}

impl AsyncSeek for File {
    fn poll_seek(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        to: SeekFrom,
    ) -> Poll<io::Result<u64>> {
        self.get_mut().poll_seek_to(cx, to)
    }
}
