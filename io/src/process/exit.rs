//! A child's end as a source.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::process::ExitStatus;
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use loopline_runtime::registration::WaitKey;

use super::child::Child;

/// A source of one event: the child's end. Made by [`Child::into_exit`].
///
/// Dropped, it drops the child.
///
/// # Examples
///
/// ```
/// use loopline_io::process::Command;
/// use loopline_runtime::{EventLoop, callback::Next};
///
/// let mut event_loop = EventLoop::<Option<i32>>::new()?;
/// let child = Command::new("sh").args(["-c", "exit 3"]).spawn()?;
/// event_loop.handle().insert(child.into_exit(), |status, _exit, seen| {
///     *seen = status.unwrap().code();
///     Next::Keep // there is no second event: the source ends
/// })?;
/// let mut seen = None;
/// event_loop.run(&mut seen)?;
/// assert_eq!(seen, Some(3));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
#[must_use = "this does nothing unless it is inserted or awaited, and dropping it drops the child"]
pub struct Exit {
    child: Child,
    told: bool,
}

impl Exit {
    pub(super) fn new(child: Child) -> Self {
        Self { child, told: false }
    }

    /// Returns the child.
    #[must_use]
    pub fn child(&self) -> &Child {
        &self.child
    }

    /// Returns the child, with its pipes to take out.
    pub fn child_mut(&mut self) -> &mut Child {
        &mut self.child
    }

    /// Gives the child back.
    pub fn into_child(self) -> Child {
        self.child
    }

    /// Waits for the child's end, as [`Child::wait`]; `None` if it was told before.
    ///
    /// # Errors
    ///
    /// As [`Child::wait`].
    ///
    /// # Cancel safety
    ///
    /// Strict.
    pub async fn next(&mut self) -> Option<io::Result<ExitStatus>> {
        poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }
}

impl Stream for Exit {
    type Item = io::Result<ExitStatus>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.told {
            return Poll::Ready(None);
        }
        self.child.close_stdin();
        let ended = ready!(self.child.watch().poll_ended(&mut WaitKey::last_poller(), cx));
        self.told = true;
        Poll::Ready(Some(ended))
    }
}
