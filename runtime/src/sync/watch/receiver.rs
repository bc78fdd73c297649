//! The receiving end of a watch channel.

use std::fmt;
use std::future::poll_fn;
use std::marker::PhantomData;
use std::ops::Deref;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use futures_core::Stream;

use super::Shared;
use super::error::RecvError;
use crate::budget;
use crate::waiters::Key;

const WHAT: &str = "a change (watch::Receiver)";

/// Sees the latest value, and waits for changes. A clone has seen what this one has.
///
/// A source, for values that can be cloned: a stream of the latest value after each change, which ends
/// when all senders are gone. Changes made faster than it is polled come as one. Use
/// [`Receiver::mark_changed`] first to get the present value too.
///
/// # Examples
///
/// As the source of a callback:
///
/// ```
/// use loopline_runtime::{EventLoop, callback::Next, sync::watch};
///
/// let mut event_loop = EventLoop::<Vec<u32>>::new().unwrap();
/// let (sender, mut receiver) = watch::channel(0);
/// receiver.mark_changed();
/// let seen = |value, _: &mut _, seen: &mut Vec<u32>| {
///     seen.push(value);
///     Next::Keep
/// };
/// drop(event_loop.handle().insert(receiver, seen).unwrap());
/// let task = async move {
///     loopline_runtime::yield_now().await;
///     sender.send_replace(1);
///     sender.send_replace(2);
/// };
/// drop(event_loop.handle().spawn(task));
/// let mut state = Vec::new();
/// event_loop.run(&mut state).unwrap();
/// assert_eq!(state, [0, 2]);
/// ```
pub struct Receiver<T> {
    shared: Rc<Shared<T>>,
    /// What it has seen.
    version: u64,
    /// Its wait as a stream.
    key: Option<Key>,
}

impl<T> Receiver<T> {
    pub(super) fn new(shared: &Rc<Shared<T>>, version: u64) -> Self {
        shared.receivers.set(shared.receivers.get() + 1);
        Self { shared: shared.clone(), version, key: None }
    }

    /// Returns the latest value, without having seen it.
    ///
    /// # Panics
    ///
    /// Inside a closure that changes the value.
    #[track_caller]
    pub fn borrow(&self) -> Ref<'_, T> {
        Ref::new(&self.shared, self.version != self.shared.version.get())
    }

    /// Returns the latest value, which counts as seen.
    ///
    /// # Panics
    ///
    /// Inside a closure that changes the value.
    #[track_caller]
    pub fn borrow_and_update(&mut self) -> Ref<'_, T> {
        let seen = std::mem::replace(&mut self.version, self.shared.version.get());
        Ref::new(&self.shared, seen != self.version)
    }

    /// Whether there is a value that this receiver has not seen.
    ///
    /// # Errors
    ///
    /// If all senders are gone, even if there is one.
    pub fn has_changed(&self) -> Result<bool, RecvError> {
        if self.is_closed() {
            return Err(RecvError(()));
        }
        Ok(self.version != self.shared.version.get())
    }

    /// Whether all senders are gone.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.shared.senders.get() == 0
    }

    /// Makes the value count as not seen.
    pub fn mark_changed(&mut self) {
        self.version = self.shared.version.get().wrapping_sub(1);
    }

    /// Makes the value count as seen.
    pub fn mark_unchanged(&mut self) {
        self.version = self.shared.version.get();
    }

    /// Waits for a value that this receiver has not seen, which then counts as seen.
    ///
    /// # Errors
    ///
    /// If all senders are gone and the last value was seen.
    ///
    /// # Cancel safety
    ///
    /// Strict: after a wait that is dropped the value is as unseen as before.
    pub async fn changed(&mut self) -> Result<(), RecvError> {
        let Self { shared, version, .. } = self;
        shared.changes.until(WHAT, || shared.see(version)).await
    }

    /// Waits for a value of which `f` is true: the present one, or a later one. Values that `f` was given
    /// count as seen.
    ///
    /// # Errors
    ///
    /// If all senders are gone and `f` was false for the last value.
    ///
    /// # Cancel safety
    ///
    /// Strict: values seen stay seen.
    ///
    /// # Examples
    ///
    /// ```
    /// # loopline_runtime::block_on(async {
    /// use loopline_runtime::sync::watch;
    ///
    /// let (sender, mut receiver) = watch::channel("starting");
    /// loopline_runtime::spawn(async move { sender.send("ready") });
    /// let state = receiver.wait_for(|state| *state == "ready").await.unwrap();
    /// assert!(state.has_changed());
    /// # });
    /// ```
    pub async fn wait_for(
        &mut self,
        mut f: impl FnMut(&T) -> bool,
    ) -> Result<Ref<'_, T>, RecvError> {
        // A value that is there counts as a leaf operation too.
        poll_fn(budget::poll_proceed).await.spend();
        let mut closed = false;
        loop {
            let seen = std::mem::replace(&mut self.version, self.shared.version.get());
            let has_changed = seen != self.version;
            if !closed || has_changed {
                let value = self.shared.value.read();
                if f(&value) {
                    return Ok(Ref { value, has_changed, _receiver: PhantomData });
                }
            }
            if closed {
                return Err(RecvError(()));
            }
            let Self { shared, version, .. } = self;
            // Leaves the change to be seen above.
            let mut before = *version;
            closed = shared.changes.until(WHAT, || shared.see(&mut before)).await.is_err();
        }
    }

    /// Whether both are of one channel.
    #[must_use]
    pub fn same_channel(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.shared, &other.shared)
    }
}

impl<T> Shared<T> {
    /// Sees a change, or the end; nothing while there is neither.
    #[inline]
    fn see(&self, version: &mut u64) -> Option<Result<(), RecvError>> {
        let current = self.version.get();
        if std::mem::replace(version, current) != current {
            return Some(Ok(()));
        }
        (self.senders.get() == 0).then_some(Err(RecvError(())))
    }
}

impl<T> Unpin for Receiver<T> {}

impl<T: Clone> Stream for Receiver<T> {
    type Item = T;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        let Self { shared, version, key } = &mut *self;
        let seen = ready!(shared.changes.poll_until(key, cx, WHAT, || shared.see(version)));
        Poll::Ready(seen.ok().map(|()| T::clone(&shared.value.read())))
    }
}

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Self {
        Self::new(&self.shared, self.version)
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        self.shared.changes.leave(&mut self.key);
        let left = self.shared.receivers.get() - 1;
        self.shared.receivers.set(left);
        if left == 0 {
            self.shared.closing.wake_all();
        }
    }
}

impl<T: fmt::Debug> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("watch::Receiver")
            .field("value", &self.shared.value)
            .field("seen", &(self.version == self.shared.version.get()))
            .field("closed", &self.is_closed())
            .finish()
    }
}

/// A value as it was when it was borrowed.
///
/// It locks nothing: while it lives, [`Sender::send`](super::Sender::send) puts the new value beside it,
/// at the price of an allocation, and this one is dropped with the last `Ref`. Only what changes the
/// value in place is refused meanwhile; so drop it before an `.await`, as one would a lock's guard.
#[derive(Debug)]
pub struct Ref<'a, T> {
    value: Rc<T>,
    has_changed: bool,
    _receiver: PhantomData<&'a T>,
}

impl<T> Ref<'_, T> {
    #[track_caller]
    pub(super) fn new(shared: &Shared<T>, has_changed: bool) -> Self {
        Self { value: shared.value.read(), has_changed, _receiver: PhantomData }
    }

    /// Whether the receiver had not seen the value before it was borrowed. Never of a
    /// [`Sender::borrow`](super::Sender::borrow).
    #[must_use]
    pub fn has_changed(&self) -> bool {
        self.has_changed
    }
}

impl<T> Deref for Ref<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}
