//! Reads into buffers that need not be initialized, without unsafe code: through a buffer of the thread.
//!
//! A reader that waits needs no buffer of its own. And the traits of tokio and hyper hand out memory that
//! only unsafe code may write to at will. Copying what was read costs less than zeroing all that might be: a
//! request is some hundred bytes, a buffer for it eight thousand.

use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_io::AsyncRead;
#[cfg(any(feature = "tokio-io", feature = "hyper"))]
use futures_io::AsyncWrite;

/// The most that is read at once: as much as hyper asks for unless it is told to ask for more, so that
/// no read is split in two by this.
const LARGEST: usize = 512 * 1024;

thread_local! {
    /// As long as the longest read so far; taken out while one goes on, because polling may run the
    /// code of others (a foreign waker's), which may read too.
    static SCRATCH: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Reads at most `wanted` bytes, and hands what was read to `put`.
#[inline]
pub(crate) fn poll_read<R: AsyncRead>(
    stream: Pin<&mut R>,
    cx: &mut Context<'_>,
    wanted: usize,
    put: impl FnOnce(&[u8]),
) -> Poll<io::Result<()>> {
    lend(wanted, |scratch| {
        let n = ready!(stream.poll_read(cx, scratch))?;
        put(&scratch[..n]);
        Poll::Ready(Ok(()))
    })
}

/// Lends a buffer of at most `wanted` bytes; what is in it means nothing.
#[inline]
pub(crate) fn lend<T>(wanted: usize, use_it: impl FnOnce(&mut [u8]) -> T) -> T {
    // Without it (this thread's locals are being destroyed) each read has a buffer of its own.
    let mut scratch = SCRATCH.try_with(Cell::take).unwrap_or_default();
    let wanted = wanted.min(LARGEST);
    if scratch.len() < wanted {
        grow(&mut scratch, wanted);
    }
    let result = use_it(&mut scratch[..wanted]);
    let _ = SCRATCH.try_with(|kept| kept.set(scratch));
    result
}

#[cold]
fn grow(scratch: &mut Vec<u8>, wanted: usize) {
    // Not resize: nothing of the old content is worth a copy.
    *scratch = vec![0; wanted];
}

/// Ends the sending half. That the peer has reset the connection is no error: nothing is left to end.
#[cfg(any(feature = "tokio-io", feature = "hyper"))]
pub(crate) fn poll_close<W: AsyncWrite>(
    stream: Pin<&mut W>,
    cx: &mut Context<'_>,
) -> Poll<io::Result<()>> {
    match stream.poll_close(cx) {
        Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::NotConnected => {
            Poll::Ready(Ok(()))
        }
        result => result,
    }
}

/// What a receiving call returns: how long it was, and whatever else.
#[cfg(feature = "tokio-io")]
pub(crate) trait Length {
    fn length(&self) -> usize;
}

#[cfg(feature = "tokio-io")]
impl Length for usize {
    fn length(&self) -> usize {
        *self
    }
}

#[cfg(feature = "tokio-io")]
impl<A> Length for (usize, A) {
    fn length(&self) -> usize {
        self.0
    }
}

/// Makes a call with a slice as long as what there is room for in the buffer, and puts what it gave there.
#[cfg(feature = "tokio-io")]
pub(crate) fn fill<B: bytes::BufMut, R: Length>(
    buf: &mut B,
    call: impl FnOnce(&mut [u8]) -> io::Result<R>,
) -> io::Result<R> {
    let room = buf.chunk_mut().len();
    lend(room, |slice| {
        let done = call(slice)?;
        buf.put_slice(&slice[..done.length()]);
        Ok(done)
    })
}
