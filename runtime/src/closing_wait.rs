//! Waiting to be asked to come to an end, by a scope or by the whole loop.

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use crate::closing::Closing;
use crate::current::{with_current, with_loop};
use crate::wait_list::Key;
use crate::{budget, waits};

/// Waits until the event loop that runs on this thread begins to shut down gracefully: see
/// [`Handle::shutdown`](crate::Handle::shutdown). For tasks that want to say goodbye.
///
/// # Panics
///
/// When it is polled and no event loop runs on this thread.
///
/// # Cancel safety
///
/// Strict.
///
/// # Examples
///
/// ```
/// use loopline_runtime::{EventLoop, closing};
/// use std::time::Duration;
///
/// let mut event_loop = EventLoop::<Vec<&str>>::new()?;
/// let handle = event_loop.handle();
/// handle.spawn(async move {
///     closing().await;
///     handle.with(|log| log.push("goodbye"));
/// });
/// let mut log = Vec::new();
/// let stragglers = event_loop.shutdown(&mut log, Duration::from_secs(1))?;
/// assert_eq!((log, stragglers.len()), (vec!["goodbye"], 0));
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn closing() -> impl Future<Output = ()> {
    ClosingWait::new(None)
}

/// One wait, at the scope if there is one, and at the loop.
pub(crate) struct ClosingWait<'a> {
    scope: Option<&'a Closing>,
    at_scope: Option<Key>,
    /// Zero until it waits.
    loop_id: u64,
    at_loop: Option<Key>,
    _thread: PhantomData<*const ()>,
}

impl<'a> ClosingWait<'a> {
    pub(crate) fn new(scope: Option<&'a Closing>) -> Self {
        Self { scope, at_scope: None, loop_id: 0, at_loop: None, _thread: PhantomData }
    }

    fn leave_loop(&mut self) {
        if let Some(key) = self.at_loop.take() {
            with_loop(self.loop_id, |shared| shared.map(|shared| shared.closing.unwait(key)));
        }
    }

    pub(crate) fn is_loop_closing() -> bool {
        with_current(|shared| shared.is_some_and(|shared| shared.closing.is_asked()))
    }
}

impl Future for ClosingWait<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let permit = ready!(budget::poll_proceed(cx));
        if self.scope.is_some_and(Closing::is_asked) || Self::is_loop_closing() {
            permit.spend();
            return Poll::Ready(());
        }
        let this = &mut *self;
        if let Some(scope) = this.scope {
            scope.wait(&mut this.at_scope, cx.waker());
        }
        let id = with_current(|shared| shared.map(|shared| shared.id));
        let id = id.expect("no event loop runs on this thread: await this inside one");
        if this.loop_id != id {
            this.leave_loop();
            this.loop_id = id;
        }
        with_loop(id, |shared| {
            shared.inspect(|shared| shared.closing.wait(&mut this.at_loop, cx.waker()));
        });
        if self.scope.is_some_and(Closing::is_asked) || Self::is_loop_closing() {
            // A foreign waker's clone asked.
            permit.spend();
            return Poll::Ready(());
        }
        waits::note("being asked to end (closing)");
        Poll::Pending
    }
}

impl Drop for ClosingWait<'_> {
    fn drop(&mut self) {
        if let (Some(scope), Some(key)) = (self.scope, self.at_scope.take()) {
            scope.unwait(key);
        }
        self.leave_loop();
    }
}

impl fmt::Debug for ClosingWait<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClosingWait").field("waits", &self.at_loop.is_some()).finish()
    }
}
