//! `Stdin`: what can be awaited.

use std::io;

use super::Stdin;

/// How much is read at once in search of the end of a line.
const CHUNK: usize = 4096;

impl Stdin {
    /// Reads into a buffer, and waits if nothing is there. `Ok(0)`: the end.
    ///
    /// # Errors
    ///
    /// What the system says.
    ///
    /// # Cancel safety
    ///
    /// Strict: what arrives for a read that was dropped, the next one gets.
    pub async fn read(&self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.take_buffered(buf);
        if n > 0 || buf.is_empty() {
            return Ok(n);
        }
        let mut rest = Vec::new();
        let n = self.source.get()?.read(buf, &mut rest).await?;
        self.buffer.borrow_mut().extend_from_slice(&rest);
        Ok(n)
    }

    /// Reads up to the end of a line, which is appended to `line` with its `\n`. Returns its length; 0 at the
    /// end of the input. The last line may have no `\n`.
    ///
    /// # Errors
    ///
    /// What the system says; `InvalidData` if the line is not UTF-8, which is then lost.
    ///
    /// # Cancel safety
    ///
    /// Strict: part of a line stays here for the next read.
    pub async fn read_line(&self, line: &mut String) -> io::Result<usize> {
        // Where the search goes on; before it there is no end of a line.
        let mut from = 0;
        let mut chunk = [0; CHUNK];
        let end = loop {
            let (found, len) = {
                let buffer = self.buffer.borrow();
                let rest = buffer.get(from..).unwrap_or_default();
                (rest.iter().position(|byte| *byte == b'\n'), buffer.len())
            };
            if let Some(index) = found {
                break from.min(len) + index + 1;
            }
            from = len;
            let mut rest = Vec::new();
            let n = self.source.get()?.read(&mut chunk, &mut rest).await?;
            if n == 0 {
                break self.buffer.borrow().len();
            }
            let mut buffer = self.buffer.borrow_mut();
            // Another task may have read meanwhile.
            from = from.min(buffer.len());
            buffer.extend_from_slice(&chunk[..n]);
            buffer.extend_from_slice(&rest);
        };
        let bytes: Vec<u8> = self.buffer.borrow_mut().drain(..end).collect();
        match String::from_utf8(bytes) {
            Ok(text) => {
                line.push_str(&text);
                Ok(text.len())
            }
            Err(error) => Err(io::Error::new(io::ErrorKind::InvalidData, error)),
        }
    }

    /// Takes what was read ahead.
    pub(super) fn take_buffered(&self, buf: &mut [u8]) -> usize {
        let mut buffer = self.buffer.borrow_mut();
        let n = buffer.len().min(buf.len());
        buf[..n].copy_from_slice(&buffer[..n]);
        buffer.drain(..n);
        n
    }
}
