//! Sources that other threads feed: `channel` and `ping`.

use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};

use futures_core::Stream;

use crate::budget;
use crate::outside::Outside;
use crate::{waits, wake};

/// What both ends share; nothing that can panic, and no foreign code, runs under the lock.
struct Shared<T> {
    state: Mutex<State<T>>,
}

struct State<T> {
    queue: VecDeque<T>,
    /// Who waits for a message, or for the end.
    waker: Option<Waker>,
    senders: usize,
    /// Cleared when the channel's receiving end is dropped.
    open: bool,
}

impl<T> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes a channel whose messages other threads send and a callback or task receives.
///
/// Unbounded; messages of one sender stay in order. The receiving end ends when the last sender is
/// dropped and everything was received.
///
/// # Examples
///
/// ```
/// use loopline_runtime::{EventLoop, callback::{self, Next}};
///
/// let mut event_loop = EventLoop::<Vec<u32>>::new()?;
/// let (sender, receiver) = callback::channel();
/// event_loop.handle().insert(receiver, |number, _channel, numbers| {
///     numbers.push(number);
///     Next::Keep
/// })?;
/// let thread = std::thread::spawn(move || (0..3).try_for_each(|n| sender.send(n)));
/// let mut numbers = Vec::new();
/// event_loop.run(&mut numbers)?; // until the sender is gone
/// assert_eq!(numbers, [0, 1, 2]);
/// thread.join().unwrap().unwrap();
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn channel<T>() -> (Sender<T>, Channel<T>) {
    let state = State { queue: VecDeque::new(), waker: None, senders: 1, open: true };
    let shared = Arc::new(Shared { state: Mutex::new(state) });
    (
        Sender { shared: shared.clone() },
        Channel { shared, batch: VecDeque::new(), outside: Outside::new() },
    )
}

/// The sending end of a [`channel`]: cloneable, and `Send` if the messages are.
pub struct Sender<T> {
    shared: Arc<Shared<T>>,
}

impl<T> Sender<T> {
    /// Sends a message. Never blocks for longer than a push takes.
    ///
    /// # Errors
    ///
    /// Gives the message back if the receiving end is gone.
    pub fn send(&self, message: T) -> Result<(), SendError<T>> {
        let mut state = self.shared.lock();
        if !state.open {
            return Err(SendError(message));
        }
        state.queue.push_back(message);
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
        Ok(())
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        self.shared.lock().senders += 1;
        Self { shared: self.shared.clone() }
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.senders -= 1;
        let waker = if state.senders == 0 { state.waker.take() } else { None };
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").finish_non_exhaustive()
    }
}

/// The receiving end of a [`channel`]: a source, on whatever loop polls it.
pub struct Channel<T> {
    shared: Arc<Shared<T>>,
    /// Messages taken over under one lock.
    batch: VecDeque<T>,
    outside: Outside,
}

impl<T> Channel<T> {
    /// Waits for the next message; `None` once all senders are gone and everything was received.
    ///
    /// # Cancel safety
    ///
    /// Strict: a wait that is dropped has taken no message.
    pub async fn next(&mut self) -> Option<T> {
        poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }

    /// Takes the next message if there is one.
    pub fn try_next(&mut self) -> Option<T> {
        if self.batch.is_empty() {
            std::mem::swap(&mut self.batch, &mut self.shared.lock().queue);
        }
        self.batch.pop_front()
    }
}

impl<T> Unpin for Channel<T> {}

impl<T> Stream for Channel<T> {
    type Item = T;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        let permit = ready!(budget::poll_proceed(cx));
        let this = &mut *self;
        if this.batch.is_empty() {
            // Copied first: a foreign waker's clone must not run under the lock.
            let waker = wake::copy(cx.waker());
            let mut state = this.shared.lock();
            std::mem::swap(&mut this.batch, &mut state.queue);
            if this.batch.is_empty() {
                if state.senders == 0 {
                    this.outside.leave();
                    permit.spend();
                    return Poll::Ready(None);
                }
                let old = state.waker.replace(waker);
                drop(state);
                drop(old);
                this.outside.join();
                waits::note("a message (callback::Channel)");
                return Poll::Pending;
            }
        }
        permit.spend();
        Poll::Ready(this.batch.pop_front())
    }
}

impl<T> Drop for Channel<T> {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.open = false;
        let (unread, waker) = (std::mem::take(&mut state.queue), state.waker.take());
        drop(state);
        drop((unread, waker));
    }
}

impl<T> fmt::Debug for Channel<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Channel").field("batch", &self.batch.len()).finish_non_exhaustive()
    }
}

/// The receiving end of a [`channel`] is gone; holds the message.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SendError<T>(pub T);

impl<T> fmt::Debug for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SendError").finish_non_exhaustive()
    }
}

impl<T> fmt::Display for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the receiving end of the channel is gone")
    }
}

impl<T> std::error::Error for SendError<T> {}

/// Makes a source that other threads fire: pings that come before it is seen count as one.
///
/// A ping made after the callback has begun fires it once more.
#[must_use]
pub fn ping() -> (Ping, PingSource) {
    let state = PingState { pending: false, waker: None, pings: 1 };
    let shared = Arc::new(Mutex::new(state));
    (Ping { shared: shared.clone() }, PingSource { shared, outside: Outside::new() })
}

#[derive(Debug)]
struct PingState {
    pending: bool,
    waker: Option<Waker>,
    /// Live `Ping`s.
    pings: usize,
}

fn lock(shared: &Mutex<PingState>) -> MutexGuard<'_, PingState> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Fires a [`PingSource`] from any thread; cloneable.
#[derive(Debug)]
pub struct Ping {
    shared: Arc<Mutex<PingState>>,
}

impl Ping {
    /// Fires the source. Does nothing if it is gone.
    pub fn ping(&self) {
        let mut state = lock(&self.shared);
        state.pending = true;
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Clone for Ping {
    fn clone(&self) -> Self {
        lock(&self.shared).pings += 1;
        Self { shared: self.shared.clone() }
    }
}

impl Drop for Ping {
    fn drop(&mut self) {
        let mut state = lock(&self.shared);
        state.pings -= 1;
        let waker = if state.pings == 0 { state.waker.take() } else { None };
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// Fires when pinged; ends when the last [`Ping`] is dropped and no ping is left.
#[derive(Debug)]
pub struct PingSource {
    shared: Arc<Mutex<PingState>>,
    outside: Outside,
}

impl PingSource {
    /// Waits for a ping; `None` once all pings are gone.
    ///
    /// # Cancel safety
    ///
    /// Strict.
    pub async fn next(&mut self) -> Option<()> {
        poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }
}

impl Stream for PingSource {
    type Item = ();

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<()>> {
        let permit = ready!(budget::poll_proceed(cx));
        let waker = wake::copy(cx.waker());
        let this = self.get_mut();
        let mut state = lock(&this.shared);
        if std::mem::take(&mut state.pending) {
            drop(state);
            permit.spend();
            return Poll::Ready(Some(()));
        }
        if state.pings == 0 {
            this.outside.leave();
            permit.spend();
            return Poll::Ready(None);
        }
        let old = state.waker.replace(waker);
        drop(state);
        drop(old);
        this.outside.join();
        waits::note("a ping (callback::PingSource)");
        Poll::Pending
    }
}
