//! The threads that read and write what cannot be polled. Each is started on first use; none is joined.
//!
//! One thread reads for all handles of the process, and only what was asked for. What it read for a handle
//! that is gone it keeps for the next one.

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::{Mutex, OnceLock, PoisonError, mpsc};
use std::task::{Context, Poll, ready};
use std::thread;

use loopline_runtime::callback::{Channel, Sender, Stream, channel};
use loopline_runtime::sync::Semaphore;

use super::source::Which;
use crate::sys::pipes;

/// The most that is read or written at once.
const CHUNK: usize = 64 * 1024;

/// Reads by the thread.
pub(super) struct Reader {
    /// The answer to what was asked for; taken while it is polled.
    answer: Cell<Option<Channel<Answer>>>,
    /// One task at a time asks.
    turn: Semaphore,
}

impl Default for Reader {
    fn default() -> Self {
        Self { answer: Cell::new(None), turn: Semaphore::new(1) }
    }
}

impl Reader {
    pub(super) async fn read(&self, buf: &mut [u8], rest: &mut Vec<u8>) -> io::Result<usize> {
        let turn = self.turn.acquire().await;
        debug_assert!(turn.is_ok(), "nobody closes it");
        poll_fn(|cx| self.poll_read(cx, buf, rest)).await
    }

    pub(super) fn poll_read(
        &self,
        cx: &mut Context<'_>,
        buf: &mut [u8],
        rest: &mut Vec<u8>,
    ) -> Poll<io::Result<usize>> {
        if buf.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let mut answer = match self.answer.take() {
            Some(answer) => answer,
            None => ask(buf.len().min(CHUNK))?,
        };
        // Unborrowed Call: taken out of the cell for the poll.
        let Poll::Ready(read) = Pin::new(&mut answer).poll_next(cx) else {
            self.answer.set(Some(answer));
            return Poll::Pending;
        };
        let bytes = read.map_or_else(|| Err(thread_gone()), Answer::take)?;
        // An earlier read, that was dropped, may have asked for more.
        let n = bytes.len().min(buf.len());
        buf[..n].copy_from_slice(&bytes[..n]);
        rest.extend_from_slice(&bytes[n..]);
        Poll::Ready(Ok(n))
    }
}

/// What the reading thread is asked for.
struct Request {
    most: usize,
    reply: Sender<Answer>,
}

/// What it read. Dropped by whoever asked for it, or by their channel, it is kept for the next request.
struct Answer(io::Result<Vec<u8>>);

/// Read for handles that were gone before they took it.
static KEPT: Mutex<Vec<u8>> = Mutex::new(Vec::new());

fn take_kept() -> Vec<u8> {
    std::mem::take(&mut *KEPT.lock().unwrap_or_else(PoisonError::into_inner))
}

impl Answer {
    fn take(mut self) -> io::Result<Vec<u8>> {
        std::mem::replace(&mut self.0, Ok(Vec::new()))
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        if let Ok(unread) = &mut self.0 {
            KEPT.lock().unwrap_or_else(PoisonError::into_inner).append(unread);
        }
    }
}

fn ask(most: usize) -> io::Result<Channel<Answer>> {
    static READER: OnceLock<mpsc::Sender<Request>> = OnceLock::new();
    let thread = started(&READER, "loopline-stdin", answer_all)?;
    let (reply, answer) = channel();
    thread.send(Request { most, reply }).map_err(|_| thread_gone())?;
    Ok(answer)
}

/// The reading thread.
fn answer_all(requests: &mpsc::Receiver<Request>) {
    for Request { most, reply } in requests {
        let kept = take_kept();
        let answer = Answer(if kept.is_empty() { read(most) } else { Ok(kept) });
        // Nobody may be there any more; then its drop keeps it.
        drop(reply.send(answer));
    }
}

fn read(most: usize) -> io::Result<Vec<u8>> {
    let mut buf = vec![0; most];
    let n = rustix::io::retry_on_intr(|| rustix::io::read(Which::Input.fd(), &mut buf[..]))?;
    buf.truncate(n);
    Ok(buf)
}

/// Writes by a thread.
pub(super) struct Writer {
    which: Which,
    /// The result of what was given to the thread; taken while it is polled.
    result: Cell<Option<Channel<io::Result<()>>>>,
    /// One task at a time writes.
    turn: Semaphore,
}

impl Writer {
    pub(super) fn new(which: Which) -> Self {
        Self { which, result: Cell::new(None), turn: Semaphore::new(1) }
    }

    /// Writes, and waits until it is written: what is only on its way is lost if the process ends.
    pub(super) async fn write(&self, buf: &[u8]) -> io::Result<usize> {
        let turn = self.turn.acquire().await;
        debug_assert!(turn.is_ok(), "nobody closes it");
        let n = poll_fn(|cx| self.poll_write(cx, buf)).await?;
        poll_fn(|cx| self.poll_flush(cx)).await?;
        Ok(n)
    }

    /// Takes a copy, once the one before is written.
    pub(super) fn poll_write(&self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_flush(cx))?;
        let bytes = buf[..buf.len().min(CHUNK)].to_vec();
        let n = bytes.len();
        self.result.set(Some(give(self.which, bytes)?));
        Poll::Ready(Ok(n))
    }

    pub(super) fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Unborrowed Call: taken out of the cell for the poll.
        let Some(mut result) = self.result.take() else { return Poll::Ready(Ok(())) };
        match Pin::new(&mut result).poll_next(cx) {
            Poll::Pending => {
                self.result.set(Some(result));
                Poll::Pending
            }
            Poll::Ready(written) => Poll::Ready(written.unwrap_or_else(|| Err(thread_gone()))),
        }
    }
}

/// What a writing thread is given.
struct Job {
    bytes: Vec<u8>,
    reply: Sender<io::Result<()>>,
}

fn give(which: Which, bytes: Vec<u8>) -> io::Result<Channel<io::Result<()>>> {
    static OUTPUT: OnceLock<mpsc::Sender<Job>> = OnceLock::new();
    static ERROR: OnceLock<mpsc::Sender<Job>> = OnceLock::new();
    let (cell, name) = match which {
        Which::Error => (&ERROR, "loopline-stderr"),
        _ => (&OUTPUT, "loopline-stdout"),
    };
    let thread = started(cell, name, move |jobs| write_all(which, jobs))?;
    let (reply, result) = channel();
    thread.send(Job { bytes, reply }).map_err(|_| thread_gone())?;
    Ok(result)
}

/// A writing thread.
fn write_all(which: Which, jobs: &mpsc::Receiver<Job>) {
    for Job { bytes, reply } in jobs {
        // Nobody may wait for the result any more; it is written all the same.
        let _ = reply.send(write(which, &bytes));
    }
}

fn write(which: Which, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match pipes::write(&which.fd(), bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(n) => bytes = &bytes[n..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Returns the way to a thread, which is started if it was not.
fn started<J: Send + 'static>(
    cell: &'static OnceLock<mpsc::Sender<J>>,
    name: &str,
    run: impl FnOnce(&mpsc::Receiver<J>) + Send + 'static,
) -> io::Result<&'static mpsc::Sender<J>> {
    if let Some(thread) = cell.get() {
        return Ok(thread);
    }
    let (sender, receiver) = mpsc::channel();
    // Never joined: it may be in a read that does not end before the process does.
    thread::Builder::new().name(name.into()).spawn(move || run(&receiver))?;
    // Started by two at once: the other thread finds its sender gone, and ends.
    Ok(cell.get_or_init(|| sender))
}

#[cold]
fn thread_gone() -> io::Error {
    io::Error::other("the thread that reads or writes this is gone")
}
