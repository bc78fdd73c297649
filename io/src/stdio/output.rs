//! `Stdout` and `Stderr`: what can be awaited.

use std::future::poll_fn;
use std::io;

use super::{Stderr, Stdout};

impl Stdout {
    /// Writes from a buffer, and waits while there is no room. Returns how much was taken.
    ///
    /// # Errors
    ///
    /// `BrokenPipe` if nobody reads any more; or what the system says.
    ///
    /// # Cancel safety
    ///
    /// Strict where it is polled; Partial where a thread writes: it goes on.
    pub async fn write(&self, buf: &[u8]) -> io::Result<usize> {
        self.source.get()?.write(buf).await
    }

    /// Writes the whole buffer.
    ///
    /// # Errors
    ///
    /// As [`Stdout::write`]; part of the buffer may have been written.
    ///
    /// # Cancel safety
    ///
    /// Partial: bytes already written stay written, and the caller does not learn how many.
    pub async fn write_all(&self, mut buf: &[u8]) -> io::Result<()> {
        while !buf.is_empty() {
            match self.write(buf).await? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                n => buf = &buf[n..],
            }
        }
        Ok(())
    }

    /// Waits until what the traits of `futures-io` took is written. What went through the methods is.
    ///
    /// # Errors
    ///
    /// What the system said of it.
    ///
    /// # Cancel safety
    ///
    /// Strict.
    pub async fn flush(&self) -> io::Result<()> {
        let source = self.source.get()?;
        poll_fn(|cx| source.poll_flush(cx)).await
    }
}

impl Stderr {
    /// Writes from a buffer, and waits while there is no room. Returns how much was taken.
    ///
    /// # Errors
    ///
    /// `BrokenPipe` if nobody reads any more; or what the system says.
    ///
    /// # Cancel safety
    ///
    /// Strict where it is polled; Partial where a thread writes: it goes on.
    pub async fn write(&self, buf: &[u8]) -> io::Result<usize> {
        self.source.get()?.write(buf).await
    }

    /// Writes the whole buffer.
    ///
    /// # Errors
    ///
    /// As [`Stderr::write`]; part of the buffer may have been written.
    ///
    /// # Cancel safety
    ///
    /// Partial: bytes already written stay written, and the caller does not learn how many.
    pub async fn write_all(&self, mut buf: &[u8]) -> io::Result<()> {
        while !buf.is_empty() {
            match self.write(buf).await? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                n => buf = &buf[n..],
            }
        }
        Ok(())
    }

    /// Waits until what the traits of `futures-io` took is written. What went through the methods is.
    ///
    /// # Errors
    ///
    /// What the system said of it.
    ///
    /// # Cancel safety
    ///
    /// Strict.
    pub async fn flush(&self) -> io::Result<()> {
        let source = self.source.get()?;
        poll_fn(|cx| source.poll_flush(cx)).await
    }
}
