//! The polls of `File`: what is out, what was left, what was accepted.

use std::future::Future;
use std::io::{self, IoSlice, Read, Seek, SeekFrom};
use std::mem::take;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use loopline_runtime::{budget, spawn_blocking};

use super::File;
use crate::fs::call::not_made;

impl File {
    /// What a read has left.
    pub(super) fn left(&self) -> usize {
        self.ahead.len() - self.given
    }

    /// Forgets what a read has left, and lets the cursor go back to where the reader is.
    pub(super) fn go_back(&mut self) {
        let left = self.left();
        self.given = self.ahead.len();
        if left != 0 {
            self.shared.go_back(left);
        }
    }

    /// Waits for a read or a seek that was dropped.
    pub(super) fn poll_settled(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some((_, seek)) = &mut self.seeking {
            if ready!(Pin::new(seek).poll(cx)).is_ok() {
                self.forget_left();
            }
            self.seeking = None;
        }
        if let Some(read) = &mut self.reading {
            // Its error is nobody's business any more: who reads meets it again.
            let bytes = ready!(Pin::new(read).poll(cx)).unwrap_or_default();
            self.has_read(bytes);
        }
        Poll::Ready(())
    }

    fn has_read(&mut self, bytes: Vec<u8>) {
        self.reading = None;
        (self.ahead, self.given) = (bytes, 0);
    }

    pub(super) fn forget_left(&mut self) {
        self.given = self.ahead.len();
    }

    pub(super) fn poll_read_some(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        if self.seeking.is_some() {
            ready!(self.poll_settled(cx));
        }
        loop {
            if self.left() != 0 || buf.is_empty() {
                ready!(budget::poll_proceed(cx)).spend();
                return Poll::Ready(
                    (&self.ahead[self.given..]).read(buf).inspect(|n| self.given += n),
                );
            }
            if let Some(read) = &mut self.reading {
                let result = ready!(Pin::new(read).poll(cx));
                self.reading = None;
                self.has_read(result?);
                if self.left() == 0 {
                    return Poll::Ready(Ok(0));
                }
                // Counted by the handle of the job.
                let n = (&self.ahead[..]).read(buf)?;
                self.given = n;
                return Poll::Ready(Ok(n));
            }
            let (mut bytes, len) = (take(&mut self.ahead), buf.len().min(self.max_buf_size));
            self.given = 0;
            self.reading = Some(self.call(move |mut file| {
                bytes.resize(len, 0);
                loop {
                    match file.read(&mut bytes) {
                        Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                        result => {
                            bytes.truncate(result?);
                            return Ok(bytes);
                        }
                    }
                }
            }));
        }
    }

    pub(super) fn poll_write_some(
        &mut self,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_settled(cx));
        loop {
            let permit = ready!(budget::poll_proceed(cx));
            if let Some(error) = self.shared.take_error() {
                permit.spend();
                return Poll::Ready(Err(error));
            }
            if buf.is_empty() {
                permit.spend();
                return Poll::Ready(Ok(0));
            }
            self.go_back();
            if let Some(n) = self.shared.accept(buf, self.max_buf_size) {
                permit.spend();
                self.schedule();
                return Poll::Ready(Ok(n));
            }
            ready!(self.poll_written(cx))?;
        }
    }

    /// As `poll_write_some`, from several buffers: what there is room for, in one.
    pub(super) fn poll_write_several(
        &mut self,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut rest = bufs.iter().filter(|buf| !buf.is_empty());
        let Some(first) = rest.next() else { return self.poll_write_some(cx, &[]) };
        let mut n = ready!(self.poll_write_some(cx, first))?;
        let mut whole = n == first.len();
        while let Some(buf) = rest.next().filter(|_| whole) {
            let more = self.shared.accept(buf, self.max_buf_size).unwrap_or(0);
            n += more;
            whole = more == buf.len();
        }
        // The job may have ended between two of them.
        self.schedule();
        Poll::Ready(Ok(n))
    }

    fn schedule(&mut self) {
        if let Some(writer) = self.shared.schedule() {
            self.writers.retain(|writer| !writer.is_finished());
            self.writers.push(spawn_blocking(move || writer.write()));
        }
    }

    /// Waits until all that was accepted is written, or has failed.
    fn poll_written(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            // Again if the last one was not run, and the bytes stayed.
            self.schedule();
            let Some(writer) = self.writers.last_mut() else { return Poll::Ready(Ok(())) };
            let result = ready!(Pin::new(writer).poll(cx));
            self.writers.pop();
            result.map_err(not_made)?;
        }
    }

    pub(super) fn poll_flush_all(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.writers.is_empty() && !self.shared.is_unwritten() {
            ready!(budget::poll_proceed(cx)).spend();
        } else {
            ready!(self.poll_written(cx))?;
        }
        Poll::Ready(self.shared.take_error().map_or(Ok(()), Err))
    }

    pub(super) fn poll_seek_to(
        &mut self,
        cx: &mut Context<'_>,
        to: SeekFrom,
    ) -> Poll<io::Result<u64>> {
        loop {
            if let Some((at, seek)) = &mut self.seeking {
                let result = ready!(Pin::new(seek).poll(cx));
                let same = *at == to;
                self.seeking = None;
                if result.is_ok() {
                    self.forget_left();
                }
                if same {
                    return Poll::Ready(result);
                }
            }
            ready!(self.poll_settled(cx));
            self.begin_seek(to)?;
        }
    }

    /// Sends a seek out; nothing else is.
    fn begin_seek(&mut self, to: SeekFrom) -> io::Result<()> {
        let real = match to {
            SeekFrom::Current(n) => match n.checked_sub(self.left() as i64) {
                Some(n) => SeekFrom::Current(n),
                None => return Err(io::ErrorKind::InvalidInput.into()),
            },
            to => to,
        };
        self.seeking = Some((to, self.call(move |mut file| file.seek(real))));
        Ok(())
    }

    /// Begins a seek, for a trait that does so without a context.
    #[cfg(feature = "tokio-io")]
    pub(crate) fn start_seek(&mut self, to: SeekFrom) -> io::Result<()> {
        if self.reading.is_some() || self.seeking.is_some() {
            return Err(io::Error::other(
                "another operation of this file is under way: wait for it",
            ));
        }
        self.begin_seek(to)
    }

    /// Waits for the seek that was begun and returns where the cursor is; 0, if there was none.
    #[cfg(feature = "tokio-io")]
    pub(crate) fn poll_seek_complete(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<u64>> {
        match self.seeking {
            Some((to, _)) => self.poll_seek_to(cx, to),
            None => self.poll_settled(cx).map(|()| Ok(0)),
        }
    }
}
