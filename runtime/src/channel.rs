//! Sources that other threads feed: `channel` and `ping`.

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};

use futures_core::Stream;

use crate::budget;
use crate::outside::Outside;
use crate::sync::remote::mpsc::{Core, bounded, unbounded};
use crate::waits;
use crate::wake;

pub use crate::sync::remote::mpsc::Sender as SyncSender;
pub use crate::sync::remote::mpsc::UnboundedSender as Sender;
pub use crate::sync::remote::mpsc::error::{SendError, TryRecvError};

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
#[must_use]
pub fn channel<T>() -> (Sender<T>, Channel<T>) {
    let (sender, core) = unbounded(WAIT);
    (sender, Channel(core))
}

/// Makes a channel that holds so many messages: who is faster than the callback waits.
///
/// A thread waits by [`SyncSender::blocking_send`], a task of any loop by [`SyncSender::send`].
/// Messages of one sender stay in order.
///
/// # Panics
///
/// If `bound` is zero.
///
/// # Examples
///
/// ```
/// use loopline_runtime::{EventLoop, callback::{self, Next}};
///
/// let mut event_loop = EventLoop::<Vec<u32>>::new()?;
/// let (sender, receiver) = callback::sync_channel(2);
/// event_loop.handle().insert(receiver, |number, _channel, numbers| {
///     numbers.push(number);
///     Next::Keep
/// })?;
/// let thread = std::thread::spawn(move || (0..100).try_for_each(|n| sender.blocking_send(n)));
/// let mut numbers = Vec::new();
/// event_loop.run(&mut numbers)?; // until the sender is gone
/// assert_eq!(numbers, (0..100).collect::<Vec<_>>());
/// thread.join().unwrap().unwrap();
/// # Ok::<(), std::io::Error>(())
/// ```
#[must_use]
#[track_caller]
pub fn sync_channel<T>(bound: usize) -> (SyncSender<T>, Channel<T>) {
    let (sender, core) = bounded(bound, WAIT);
    (sender, Channel(core))
}

/// The receiving end of a [`channel`] or a [`sync_channel`]: a source, on whatever loop polls it.
pub struct Channel<T>(Core<T>);

/// What a deadlock's report says of a wait here.
const WAIT: &str = "a message (callback::Channel)";

impl<T> Channel<T> {
    /// Waits for the next message; `None` once all senders are gone and everything was received.
    ///
    /// # Cancel safety
    ///
    /// Strict: a wait that is dropped has taken no message.
    pub async fn next(&mut self) -> Option<T> {
        poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }

    /// Takes the next message if there is one; [`Channel::try_recv`] says why there is none.
    pub fn try_next(&mut self) -> Option<T> {
        self.try_recv().ok()
    }

    /// Takes the next message.
    ///
    /// # Errors
    ///
    /// `Empty` if there is none yet, `Disconnected` if none will come.
    ///
    /// # Examples
    ///
    /// ```
    /// use loopline_runtime::callback::{TryRecvError, channel};
    ///
    /// let (sender, mut receiver) = channel();
    /// sender.send(5)?;
    /// assert_eq!(receiver.try_recv(), Ok(5));
    /// assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
    /// drop(sender);
    /// assert_eq!(receiver.try_recv(), Err(TryRecvError::Disconnected));
    /// # Ok::<(), loopline_runtime::callback::SendError<i32>>(())
    /// ```
    pub fn try_recv(&mut self) -> Result<T, TryRecvError> {
        self.0.try_recv()
    }
}

impl<T> Unpin for Channel<T> {}

impl<T> Stream for Channel<T> {
    type Item = T;

    #[inline]
    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        self.0.poll_recv(cx)
    }
}

impl<T> fmt::Debug for Channel<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Channel").field("len", &self.0.len()).finish()
    }
}

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
