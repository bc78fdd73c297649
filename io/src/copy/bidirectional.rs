//! `copy_bidirectional`: both directions between two streams, each ended by itself.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_io::{AsyncRead, AsyncWrite};
use loopline_runtime::time::{Sleep, now, sleep};

use super::{BUFFER_SIZE, Buffer};

/// How many bytes were copied from the first stream to the second, and back.
pub type Copied = (u64, u64);

/// Copies between two streams in both directions at once, until both have ended.
///
/// When one ends, the other's sending half is ended too, and the other direction goes on. The first error
/// ends both directions; so does the [idle timeout](CopyBidirectional::idle_timeout), if one is set.
/// Nothing is read that cannot be written: a slow end slows the other down.
///
/// # Errors
///
/// The first of either end; `WriteZero` if one takes nothing more; `TimedOut` by the idle timeout.
///
/// # Cancel safety
///
/// None: what was read and not written is lost. The streams stay, in the midst of what they carried.
///
/// # Examples
///
/// ```no_run
/// # async fn example() -> std::io::Result<()> {
/// use loopline_io::{copy::copy_bidirectional, net::{TcpListener, TcpStream}};
/// use std::time::Duration;
///
/// let listener = TcpListener::bind("127.0.0.1:7000").await?;
/// let (mut client, _peer) = listener.accept().await?;
/// let mut server = TcpStream::connect("127.0.0.1:80").await?;
/// let (sent, received) = copy_bidirectional(&mut client, &mut server)
///     .idle_timeout(Duration::from_secs(60))
///     .await?;
/// # Ok(())
/// # }
/// ```
pub fn copy_bidirectional<'a, A, B>(a: &'a mut A, b: &'a mut B) -> CopyBidirectional<'a, A, B>
where
    A: AsyncRead + AsyncWrite + Unpin + ?Sized,
    B: AsyncRead + AsyncWrite + Unpin + ?Sized,
{
    CopyBidirectional {
        a,
        b,
        buffer_size: BUFFER_SIZE,
        idle_timeout: None,
        directions: None,
        idle: None,
    }
}

/// Copies between two streams; made by [`copy_bidirectional`].
///
/// # Cancel safety
///
/// As [`copy_bidirectional`].
#[derive(Debug)]
#[must_use = "a future does nothing unless it is awaited"]
pub struct CopyBidirectional<'a, A: ?Sized, B: ?Sized> {
    a: &'a mut A,
    b: &'a mut B,
    buffer_size: usize,
    idle_timeout: Option<Duration>,
    /// Made at the first poll: from `a` to `b`, and back.
    directions: Option<(OneWay, OneWay)>,
    /// Until when something must have been copied.
    idle: Option<Sleep>,
}

impl<A: ?Sized, B: ?Sized> CopyBidirectional<'_, A, B> {
    /// Ends with `TimedOut` once nothing was copied for so long, in either direction. Default: never.
    pub fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.idle_timeout = Some(timeout);
        self
    }

    /// Sets the size of each direction's buffer. Default: 8 KiB.
    pub fn buffer_size(mut self, bytes: usize) -> Self {
        self.buffer_size = bytes;
        self
    }
}

impl<A, B> Future for CopyBidirectional<'_, A, B>
where
    A: AsyncRead + AsyncWrite + Unpin + ?Sized,
    B: AsyncRead + AsyncWrite + Unpin + ?Sized,
{
    type Output = io::Result<Copied>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let size = this.buffer_size;
        let (there, back) =
            this.directions.get_or_insert_with(|| (OneWay::new(size), OneWay::new(size)));
        let before = there.moved + back.moved;
        let there_done = there.poll(cx, this.a, this.b)?.is_ready();
        let back_done = back.poll(cx, this.b, this.a)?.is_ready();
        if there_done && back_done {
            return Poll::Ready(Ok((there.buffer.copied, back.buffer.copied)));
        }
        let Some(limit) = this.idle_timeout else { return Poll::Pending };
        match &mut this.idle {
            None => this.idle = Some(sleep(limit)),
            Some(idle) if there.moved + back.moved != before => {
                idle.reset(now().checked_add(limit).unwrap_or_else(|| idle.deadline()));
            }
            Some(_) => {}
        }
        if let Some(idle) = &mut this.idle {
            ready!(Pin::new(idle).poll(cx));
            let text = "nothing was copied in either direction for the idle timeout";
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, text)));
        }
        Poll::Pending
    }
}

/// One direction.
#[derive(Debug)]
struct OneWay {
    buffer: Buffer,
    /// Whether all was copied and the writer is closed.
    closed: bool,
    /// How often a byte moved.
    moved: u64,
}

impl OneWay {
    fn new(size: usize) -> Self {
        Self { buffer: Buffer::new(size), closed: false, moved: 0 }
    }

    fn poll<R, W>(
        &mut self,
        cx: &mut Context<'_>,
        reader: &mut R,
        writer: &mut W,
    ) -> Poll<io::Result<()>>
    where
        R: AsyncRead + Unpin + ?Sized,
        W: AsyncWrite + Unpin + ?Sized,
    {
        if self.closed {
            return Poll::Ready(Ok(()));
        }
        let polled = self.buffer.poll_copy(cx, reader, writer);
        // A byte moves twice: when it is read, and when it is written.
        self.moved = 2 * self.buffer.copied + (self.buffer.to - self.buffer.from) as u64;
        ready!(polled)?;
        match ready!(Pin::new(writer).poll_close(cx)) {
            // The peer has gone: nothing is left to end.
            Err(error) if error.kind() != io::ErrorKind::NotConnected => {
                return Poll::Ready(Err(error));
            }
            _ => self.closed = true,
        }
        Poll::Ready(Ok(()))
    }
}
