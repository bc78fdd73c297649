//! `once`: a future as a source.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_core::Stream;

/// Makes a source of a future: its output is the one event, and then the source ends.
///
/// # Examples
///
/// ```
/// use loopline_runtime::{EventLoop, callback::{self, Next}, sync::oneshot};
///
/// let mut event_loop = EventLoop::<Option<u32>>::new()?;
/// let handle = event_loop.handle();
/// let (answer, question) = oneshot::channel();
/// handle.insert(callback::once(question), |answer, _source, state| {
///     *state = answer.ok();
///     Next::Keep // the source ends by itself
/// })?;
/// handle.spawn(async move { answer.send(42) });
/// let mut state = None;
/// event_loop.run(&mut state)?;
/// assert_eq!(state, Some(42));
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn once<F: Future>(future: F) -> Once<F> {
    Once { future: Some(Box::pin(future)) }
}

/// A future as a source; made by [`once`].
#[must_use = "a source does nothing unless it is inserted or awaited"]
pub struct Once<F> {
    /// Boxed, as sources are moved; gone once it gave its output.
    future: Option<Pin<Box<F>>>,
}

impl<F: Future> Once<F> {
    /// Waits for the output; `None` once it was told.
    ///
    /// # Cancel safety
    ///
    /// Strict: the future stays, and goes on with the next wait.
    pub async fn next(&mut self) -> Option<F::Output> {
        poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }
}

impl<F: Future> Stream for Once<F> {
    type Item = F::Output;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<F::Output>> {
        let Some(future) = &mut self.future else { return Poll::Ready(None) };
        let output = ready!(future.as_mut().poll(cx));
        self.future = None;
        Poll::Ready(Some(output))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = usize::from(self.future.is_some());
        (left, Some(left))
    }
}

impl<F> fmt::Debug for Once<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Once").field("ended", &self.future.is_none()).finish()
    }
}
