//! The lines of a byte stream, as a source: bounded, and each of them counts for the budget.
//!
//! What is read goes by a buffer of the thread into one that holds no more than what is not given yet: a
//! connection that says nothing holds none.

use std::error::Error;
use std::fmt;
use std::future::poll_fn;
use std::io::{self, BufRead};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use futures_io::AsyncRead;
use loopline_runtime::budget;

use crate::scratch;

/// The longest line, unless another limit is set.
const LIMIT: usize = 64 * 1024;

/// As much is read at once.
const READ: usize = 8 * 1024;

/// Of a buffer that is empty again so much is kept.
const KEPT: usize = READ;

/// The lines of a byte stream, as a source or awaited.
///
/// A line ends with `\n` or `\r\n`, and is given without that; the last one may lack it. What is inside stays
/// within reach: [`Lines::get_ref`] for answers by the same socket.
///
/// Two things may be the matter with a line, and the next one comes all the same: it is longer than the limit,
/// [`LineTooLong`], and then it is left out, without being kept; or it is no text, a
/// [`FromUtf8Error`](std::string::FromUtf8Error), which has its bytes. Both are within an error of the kind
/// `InvalidData`; [`io::Error::downcast`] gets them out. After any other error, which is the reader's, the lines
/// end.
///
/// # Examples
///
/// ```
/// # #[cfg(unix)] {
/// use loopline_io::lines::Lines;
/// use loopline_io::net::UnixStream;
/// use loopline_runtime::{EventLoop, callback::Next};
///
/// let (near, far) = UnixStream::pair()?;
/// let mut event_loop = EventLoop::<Vec<String>>::new()?;
/// event_loop.handle().insert(Lines::new(near), |line, lines, seen| {
///     let Ok(line) = line else { return Next::Stop };
///     let _ = lines.get_ref().try_write(b"ok\n");
///     seen.push(line);
///     Next::Keep
/// })?;
/// far.try_write(b"GET\r\nSET\n")?;
/// drop(far);
/// let mut seen = Vec::new();
/// event_loop.run(&mut seen)?;
/// assert_eq!(seen, ["GET", "SET"]);
/// # }
/// # Ok::<(), std::io::Error>(())
/// ```
#[must_use = "a source does nothing unless it is inserted or awaited"]
pub struct Lines<R> {
    reader: R,
    limit: usize,
    /// What was read: up to `from` it was given, up to `searched` no line ends in it after that.
    bytes: Vec<u8>,
    from: usize,
    searched: usize,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Reading,
    /// The rest of a line that is too long is left out.
    Skipping,
    /// The reader has ended: what is left is the last line.
    Ended,
    /// Nothing more comes.
    Over,
}

impl<R> Lines<R> {
    /// Takes a reader, whose lines may have 64 KiB.
    pub fn new(reader: R) -> Self {
        Self::with_limit(reader, LIMIT)
    }

    /// As [`Lines::new`], with lines of at most `limit` bytes, their ends not counted.
    pub fn with_limit(reader: R, limit: usize) -> Self {
        let state = State::Reading;
        Self { reader, limit, bytes: Vec::new(), from: 0, searched: 0, state }
    }

    /// Returns the reader.
    pub fn get_ref(&self) -> &R {
        &self.reader
    }

    /// Returns the reader, to be changed. What is read by it is no part of a line.
    pub fn get_mut(&mut self) -> &mut R {
        &mut self.reader
    }

    /// Returns the reader, and what was read by it and not given: for a protocol that goes on without lines.
    pub fn into_parts(mut self) -> (R, Vec<u8>) {
        self.bytes.drain(..self.from);
        (self.reader, self.bytes)
    }

    /// Cuts off the next line that is there as a whole, or says what is the matter with it.
    fn cut(&mut self) -> Option<io::Result<String>> {
        let Some(at) = find_end(&self.bytes[self.searched..]) else {
            self.searched = self.bytes.len();
            return self.cut_rest();
        };
        let end = self.searched + at;
        let line = without_return(&self.bytes[self.from..end]);
        let line = if line.len() > self.limit { Err(self.too_long()) } else { text(line) };
        self.give(end + 1);
        if self.state == State::Skipping {
            // It was told when it became too long.
            self.state = State::Reading;
            return self.cut();
        }
        Some(line)
    }

    /// The same where no end is in sight.
    fn cut_rest(&mut self) -> Option<io::Result<String>> {
        let rest = &self.bytes[self.from..];
        match self.state {
            State::Reading if without_return(rest).len() > self.limit => {
                self.state = State::Skipping;
                self.give(self.bytes.len());
                Some(Err(self.too_long()))
            }
            State::Skipping => {
                self.give(self.bytes.len());
                None
            }
            State::Ended => {
                self.state = State::Over;
                let last = match rest.len() {
                    0 => None,
                    length if length > self.limit => Some(Err(self.too_long())),
                    _ => Some(text(rest)),
                };
                self.give(self.bytes.len());
                last
            }
            State::Reading | State::Over => None,
        }
    }

    /// Notes that everything before `end` was given.
    fn give(&mut self, end: usize) {
        (self.from, self.searched) = (end, end);
        if end == self.bytes.len() {
            self.bytes.clear();
            (self.from, self.searched) = (0, 0);
            self.bytes.shrink_to(KEPT);
        }
    }

    fn too_long(&self) -> io::Error {
        io::Error::new(io::ErrorKind::InvalidData, LineTooLong { limit: self.limit })
    }
}

impl<R: AsyncRead + Unpin> Lines<R> {
    /// Waits for the next line; `None` when the reader has ended, or has failed before.
    ///
    /// # Errors
    ///
    /// Those of the reader; `InvalidData` for a line that is too long or no text, after which the next one comes.
    ///
    /// # Cancel safety
    ///
    /// Strict.
    pub async fn next(&mut self) -> Option<io::Result<String>> {
        poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }

    /// Reads some more.
    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // What was given makes room, once for many lines.
        self.bytes.drain(..self.from);
        self.searched -= self.from;
        self.from = 0;
        let before = self.bytes.len();
        let (reader, bytes) = (Pin::new(&mut self.reader), &mut self.bytes);
        ready!(scratch::poll_read(reader, cx, READ, |read| bytes.extend_from_slice(read)))?;
        if self.bytes.len() == before {
            self.state = State::Ended;
        }
        Poll::Ready(Ok(()))
    }
}

impl<R: AsyncRead + Unpin> Stream for Lines<R> {
    type Item = io::Result<String>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        loop {
            // Lines that are there cost no read, and a reader that never waits no wait: each is counted here.
            let permit = ready!(budget::poll_proceed(cx));
            if let Some(line) = this.cut() {
                permit.spend();
                return Poll::Ready(Some(line));
            }
            if this.state == State::Over {
                return Poll::Ready(None);
            }
            match ready!(this.poll_more(cx)) {
                Ok(()) => permit.spend(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => permit.spend(),
                Err(error) => {
                    this.state = State::Over;
                    return Poll::Ready(Some(Err(error)));
                }
            }
        }
    }
}

/// Where the first newline is. By `skip_until`, which looks at many bytes at once.
fn find_end(mut bytes: &[u8]) -> Option<usize> {
    let all = bytes;
    let skipped = bytes.skip_until(b'\n').unwrap_or_default();
    let last = skipped.checked_sub(1)?;
    (all[last] == b'\n').then_some(last)
}

/// A line without the `\r` of its end.
fn without_return(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

fn text(line: &[u8]) -> io::Result<String> {
    String::from_utf8(line.to_vec())
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

impl<R: fmt::Debug> fmt::Debug for Lines<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lines")
            .field("reader", &self.reader)
            .field("limit", &self.limit)
            .field("left", &(self.bytes.len() - self.from))
            .finish_non_exhaustive()
    }
}

/// A line was longer than [`Lines`] may give, and was left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LineTooLong {
    limit: usize,
}

impl LineTooLong {
    /// Returns how many bytes a line may have.
    #[must_use]
    pub fn limit(&self) -> usize {
        self.limit
    }
}

impl fmt::Display for LineTooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "a line of more than {} bytes was left out: the peer does not keep to the protocol, or \
             `Lines::with_limit` is to say more",
            self.limit
        )
    }
}

impl Error for LineTooLong {}
