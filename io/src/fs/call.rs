//! One call that blocks, as a future.

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use loopline_runtime::{JoinError, JoinHandle, spawn_blocking};

/// Makes a call on a thread of the loop's pool.
pub(super) fn call<T: Send + 'static>(
    f: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Call<T> {
    Call { job: Some(spawn_blocking(f)) }
}

/// A call that is out. Dropped, it is taken back if it has not begun.
pub(super) struct Call<T> {
    /// Taken when it has ended.
    job: Option<JoinHandle<io::Result<T>>>,
}

impl<T> Future for Call<T> {
    type Output = io::Result<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        let job = self.job.as_mut().expect("a call that has ended is not polled again");
        let outcome = ready!(Pin::new(job).poll(cx));
        self.job = None;
        Poll::Ready(outcome.unwrap_or_else(|error| Err(not_made(error))))
    }
}

impl<T> Drop for Call<T> {
    fn drop(&mut self) {
        if let Some(job) = self.job.take() {
            drop(job.cancel());
        }
    }
}

impl<T> fmt::Debug for Call<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call").finish_non_exhaustive()
    }
}

/// Says why there is no result: the loop shuts down, or there is no thread (std's calls do not panic).
#[cold]
pub(super) fn not_made(error: JoinError) -> io::Error {
    if error.is_cancelled() {
        return io::Error::other("the event loop is shutting down: the file was not touched");
    }
    error.into()
}
