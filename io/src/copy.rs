//! Copying from readers to writers: one way, or both ways at once.
//!
//! Over the traits of `futures-io`, so with any library's readers and writers. What those of futures-lite
//! and `futures` lack: while the reader waits, the writer is flushed, so a buffered or an encrypting
//! writer holds nothing back; and each piece counts for the budget, so that a reader and a writer which
//! never wait do not hold up the loop.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_io::{AsyncBufRead, AsyncRead, AsyncWrite};
use loopline_runtime::budget;

pub use self::bidirectional::{Copied, CopyBidirectional, copy_bidirectional};

mod bidirectional;

/// The size of a buffer, unless another is set.
const BUFFER_SIZE: usize = 8 * 1024;

/// Copies all there is from a reader to a writer, and flushes it. Returns how many bytes that were.
///
/// The writer is not closed. It is flushed also when the reader has nothing for the moment.
///
/// # Errors
///
/// Those of the reader and of the writer; `WriteZero` if the writer takes nothing more.
///
/// # Cancel safety
///
/// None: up to 8 KiB that were read and not written are lost.
///
/// # Examples
///
/// ```
/// # loopline_runtime::block_on(async {
/// use loopline_io::{copy::copy, net::{TcpListener, TcpStream}};
///
/// let listener = TcpListener::bind("127.0.0.1:0").await?;
/// let client = TcpStream::connect(listener.local_addr()?).await?;
/// let (server, _peer) = listener.accept().await?;
/// client.write_all(b"echo").await?;
/// client.shutdown().await?;
/// assert_eq!(copy(&mut &server, &mut &server).await?, 4);
/// # Ok::<(), std::io::Error>(())
/// # }).unwrap();
/// ```
pub async fn copy<R, W>(reader: &mut R, writer: &mut W) -> io::Result<u64>
where
    R: AsyncRead + Unpin + ?Sized,
    W: AsyncWrite + Unpin + ?Sized,
{
    let mut buffer = Buffer::new(BUFFER_SIZE);
    poll_fn(|cx| buffer.poll_copy(cx, reader, writer)).await?;
    Ok(buffer.copied)
}

/// Copies all there is from a buffered reader to a writer, out of the reader's buffer; as [`copy`].
///
/// # Errors
///
/// Those of the reader and of the writer; `WriteZero` if the writer takes nothing more.
///
/// # Cancel safety
///
/// Partial: what was not written stays in the reader's buffer; the caller does not learn how much was.
pub async fn copy_buf<R, W>(reader: &mut R, writer: &mut W) -> io::Result<u64>
where
    R: AsyncBufRead + Unpin + ?Sized,
    W: AsyncWrite + Unpin + ?Sized,
{
    let (mut copied, mut unflushed) = (0, false);
    poll_fn(|cx| {
        loop {
            let permit = ready!(budget::poll_proceed(cx));
            let bytes = match Pin::new(&mut *reader).poll_fill_buf(cx)? {
                Poll::Ready(bytes) => bytes,
                Poll::Pending => return pending_flushed(cx, writer, &mut unflushed),
            };
            if bytes.is_empty() {
                return Pin::new(&mut *writer).poll_flush(cx);
            }
            let n = ready!(Pin::new(&mut *writer).poll_write(cx, bytes))?;
            if n == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            permit.spend();
            Pin::new(&mut *reader).consume(n);
            copied += n as u64;
            unflushed = true;
        }
    })
    .await?;
    Ok(copied)
}

/// Pending, as the reader has nothing; what was written does not wait for it.
fn pending_flushed<W: AsyncWrite + Unpin + ?Sized>(
    cx: &mut Context<'_>,
    writer: &mut W,
    unflushed: &mut bool,
) -> Poll<io::Result<()>> {
    if *unflushed {
        ready!(Pin::new(writer).poll_flush(cx))?;
        *unflushed = false;
    }
    Poll::Pending
}

/// What is between a reader and a writer.
#[derive(Debug)]
struct Buffer {
    bytes: Box<[u8]>,
    /// Where what is not written begins and ends.
    from: usize,
    to: usize,
    /// Whether the reader has ended.
    ended: bool,
    /// Whether something was written since the last flush.
    unflushed: bool,
    /// Bytes written so far.
    copied: u64,
}

impl Buffer {
    fn new(size: usize) -> Self {
        let bytes = vec![0; size.max(1)].into_boxed_slice();
        Self { bytes, from: 0, to: 0, ended: false, unflushed: false, copied: 0 }
    }

    /// Copies until the reader has ended and all is flushed.
    fn poll_copy<R, W>(
        &mut self,
        cx: &mut Context<'_>,
        reader: &mut R,
        writer: &mut W,
    ) -> Poll<io::Result<()>>
    where
        R: AsyncRead + Unpin + ?Sized,
        W: AsyncWrite + Unpin + ?Sized,
    {
        loop {
            while self.from < self.to {
                // The budget bounds this, also where neither end keeps it.
                let permit = ready!(budget::poll_proceed(cx));
                let rest = &self.bytes[self.from..self.to];
                let n = ready!(Pin::new(&mut *writer).poll_write(cx, rest))?;
                if n == 0 {
                    return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                }
                permit.spend();
                self.from += n;
                self.copied += n as u64;
                self.unflushed = true;
            }
            if self.ended {
                ready!(Pin::new(&mut *writer).poll_flush(cx))?;
                self.unflushed = false;
                return Poll::Ready(Ok(()));
            }
            match Pin::new(&mut *reader).poll_read(cx, &mut self.bytes)? {
                Poll::Ready(0) => self.ended = true,
                Poll::Ready(n) => (self.from, self.to) = (0, n),
                Poll::Pending => return pending_flushed(cx, writer, &mut self.unflushed),
            }
        }
    }
}
