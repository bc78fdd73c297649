//! The receiving end of a broadcast channel.

use std::fmt;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use futures_core::Stream;

use super::Shared;
use super::error::{Lagged, RecvError, TryRecvError};
use super::ring::Leaving;
use crate::waiters::Key;

const WHAT: &str = "a value (broadcast::Receiver)";

/// Gets a copy of each value that is sent while it lives. A source: a stream of values, with [`Lagged`]
/// in the place of those it missed.
///
/// # Examples
///
/// As the source of a callback:
///
/// ```
/// use loopline_runtime::{EventLoop, callback::Next, sync::broadcast};
///
/// let mut event_loop = EventLoop::<Vec<u32>>::new().unwrap();
/// let (sender, receiver) = broadcast::channel(2);
/// let seen = |value: Result<_, _>, _: &mut _, seen: &mut Vec<u32>| {
///     seen.extend(value.ok());
///     Next::Keep
/// };
/// drop(event_loop.handle().insert(receiver, seen).unwrap());
/// for value in [1, 2, 3] {
///     sender.send(value).unwrap();
/// }
/// drop(sender);
/// let mut state = Vec::new();
/// event_loop.run(&mut state).unwrap();
/// assert_eq!(state, [2, 3], "two were kept");
/// ```
pub struct Receiver<T> {
    shared: Rc<Shared<T>>,
    /// The position of the next value it reads.
    next: u64,
    /// Its wait as a stream.
    key: Option<Key>,
}

impl<T> Receiver<T> {
    /// Makes one that gets what is sent from now on.
    pub(super) fn new(shared: &Rc<Shared<T>>) -> Self {
        let mut ring = shared.ring.borrow_mut();
        ring.receivers += 1;
        Self { shared: shared.clone(), next: ring.tail(), key: None }
    }

    /// Returns how many values were sent that this receiver has not received, those it missed included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shared.ring.borrow().tail().wrapping_sub(self.next) as usize
    }

    /// Whether this receiver has received everything that was sent.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether both are of one channel.
    #[must_use]
    pub fn same_channel(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.shared, &other.shared)
    }

    /// Returns how many [`Sender`](super::Sender)s there are.
    #[must_use]
    pub fn sender_strong_count(&self) -> usize {
        self.shared.senders.get()
    }

    /// Returns how many [`WeakSender`](super::WeakSender)s there are.
    #[must_use]
    pub fn sender_weak_count(&self) -> usize {
        self.shared.weak_senders.get()
    }

    /// Whether all senders are gone. There may be values left.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.shared.senders.get() == 0
    }

    /// Drops what this receiver has not received, up to `until`.
    fn skip_to(&mut self, until: u64) {
        while self.next != until && until.wrapping_sub(self.next) <= u64::MAX / 2 {
            let leaving = self.shared.ring.borrow_mut().read(&mut self.next);
            // Unborrowed Call: a value's drop runs with the ring released.
            drop(leaving);
        }
    }
}

impl<T: Clone> Receiver<T> {
    /// Makes a receiver of what is sent from now on; what this one has not received yet is not for it.
    #[must_use]
    pub fn resubscribe(&self) -> Self {
        Self::new(&self.shared)
    }

    /// Waits for the next value.
    ///
    /// # Errors
    ///
    /// [`RecvError::Lagged`] if values were dropped before this receiver came to them: it goes on with
    /// the oldest one kept. [`RecvError::Closed`] once all senders are gone and everything was received.
    ///
    /// # Cancel safety
    ///
    /// Strict: a wait that is dropped has taken no value.
    pub async fn recv(&mut self) -> Result<T, RecvError> {
        let Self { shared, next, .. } = self;
        let leaving = shared.readers.until(WHAT, || shared.read(next)).await?;
        Ok(leaving.into_clone())
    }

    /// Takes the next value if there is one.
    ///
    /// # Errors
    ///
    /// If there is none, or values were missed.
    pub fn try_recv(&mut self) -> Result<T, TryRecvError> {
        let read = self.shared.ring.borrow_mut().read(&mut self.next);
        match read {
            Ok(leaving) => Ok(leaving.into_clone()),
            Err(TryRecvError::Empty) if self.is_closed() => Err(TryRecvError::Closed),
            Err(error) => Err(error),
        }
    }
}

impl<T> Shared<T> {
    /// Reads the next value, or says why there will be none; nothing while there is none.
    #[inline]
    fn read(&self, next: &mut u64) -> Option<Result<Leaving<T>, RecvError>> {
        match self.ring.borrow_mut().read(next) {
            Ok(leaving) => Some(Ok(leaving)),
            Err(TryRecvError::Lagged(missed)) => Some(Err(RecvError::Lagged(missed))),
            Err(_) if self.senders.get() == 0 => Some(Err(RecvError::Closed)),
            Err(_) => None,
        }
    }
}

impl<T> Unpin for Receiver<T> {}

/// Ends once all senders are gone and everything was received.
impl<T: Clone> Stream for Receiver<T> {
    type Item = Result<T, Lagged>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Self { shared, next, key } = &mut *self;
        let read = ready!(shared.readers.poll_until(key, cx, WHAT, || shared.read(next)));
        Poll::Ready(match read {
            Ok(leaving) => Some(Ok(leaving.into_clone())),
            Err(RecvError::Lagged(missed)) => Some(Err(Lagged(missed))),
            Err(RecvError::Closed) => None,
        })
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        /// Goes on where the panic of a value's drop cut it off.
        struct Rest<'a, T> {
            receiver: &'a mut Receiver<T>,
            until: u64,
            last: bool,
        }
        impl<T> Drop for Rest<'_, T> {
            fn drop(&mut self) {
                self.receiver.skip_to(self.until);
                if self.last {
                    self.receiver.shared.closing.wake_all();
                }
            }
        }
        self.shared.readers.leave(&mut self.key);
        let mut ring = self.shared.ring.borrow_mut();
        ring.receivers -= 1;
        let (until, last) = (ring.tail(), ring.receivers == 0);
        drop(ring);
        let rest = Rest { receiver: self, until, last };
        rest.receiver.skip_to(until);
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("broadcast::Receiver")
            .field("len", &self.len())
            .field("closed", &self.is_closed())
            .finish()
    }
}
