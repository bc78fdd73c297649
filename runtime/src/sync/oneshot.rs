//! `oneshot`: a channel for one message.

use std::cell::Cell;
use std::fmt;
use std::future::{Future, poll_fn};
use std::panic::RefUnwindSafe;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use crate::budget;
use crate::waiters::wake;
use crate::waits;
use crate::wake::copy;

pub mod error;

use self::error::{RecvError, TryRecvError};

/// Makes a channel for one message.
///
/// # Examples
///
/// ```
/// # loopline_runtime::block_on(async {
/// use loopline_runtime::sync::oneshot;
///
/// let (sender, receiver) = oneshot::channel();
/// loopline_runtime::spawn(async move { sender.send(6 * 7) });
/// assert_eq!(receiver.await, Ok(42));
/// # });
/// ```
#[must_use]
pub fn channel<T>() -> (Sender<T>, Receiver<T>) {
    let shared = Rc::new(Shared {
        stage: Cell::new(Stage::Open),
        message: Cell::new(None),
        receiver: Cell::new(None),
        sender: Cell::new(None),
    });
    (Sender { shared: shared.clone() }, Receiver { shared })
}

/// How far a channel is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Open,
    /// The message is there, and the sender is used up.
    Sent,
    /// The sender was dropped.
    Unsent,
    /// The receiver was closed or dropped first.
    Closed,
    /// The receiver gave what there was to give.
    Done,
}

/// Cells alone: each value is moved out before anything of it runs.
struct Shared<T> {
    stage: Cell<Stage>,
    message: Cell<Option<T>>,
    /// Who awaits the message.
    receiver: Cell<Option<Waker>>,
    /// Who awaits the receiver's end.
    sender: Cell<Option<Waker>>,
}

/// What is moved in and out is moved whole.
impl<T> RefUnwindSafe for Shared<T> {}

impl<T> Shared<T> {
    /// Ends the receiver's side if nothing was sent before.
    fn close(&self) {
        if self.stage.get() == Stage::Open {
            self.stage.set(Stage::Closed);
            wake_in(&self.sender);
        }
    }

    fn is_closed(&self) -> bool {
        matches!(self.stage.get(), Stage::Closed | Stage::Done)
    }

    /// Takes what there is to give, if the channel is no longer open.
    #[inline]
    fn take(&self) -> Option<Result<T, RecvError>> {
        match self.stage.get() {
            Stage::Open => None,
            Stage::Sent => {
                self.stage.set(Stage::Done);
                Some(self.message.take().ok_or(RecvError(())))
            }
            Stage::Unsent | Stage::Closed | Stage::Done => {
                self.stage.set(Stage::Done);
                Some(Err(RecvError(())))
            }
        }
    }
}

fn wake_in(waiter: &Cell<Option<Waker>>) {
    if let Some(waker) = waiter.take() {
        wake(waker);
    }
}

/// Keeps a waker that will be woken for `cx`.
#[inline]
fn keep(waiter: &Cell<Option<Waker>>, cx: &Context<'_>) {
    let mut own = waiter.take();
    if !own.as_ref().is_some_and(|own| own.will_wake(cx.waker())) {
        drop(own);
        own = Some(copy(cx.waker()));
    }
    drop(waiter.replace(own));
}

/// Sends the message of a [`channel`]. Dropping it ends the receiver's wait with an error.
///
/// # Examples
///
/// Work that nobody waits for any more is given up:
///
/// ```
/// # loopline_runtime::block_on(async {
/// use loopline_runtime::sync::oneshot;
///
/// let (mut sender, receiver) = oneshot::channel::<u32>();
/// let work = loopline_runtime::spawn(async move {
///     sender.closed().await;
///     "given up"
/// });
/// drop(receiver);
/// assert_eq!(work.await.unwrap(), "given up");
/// # });
/// ```
///
/// Both ends stay on their thread:
///
/// ```compile_fail,E0277
/// let (sender, _receiver) = loopline_runtime::sync::oneshot::channel::<u32>();
/// std::thread::spawn(move || drop(sender));
/// ```
///
/// ```
/// # loopline_runtime::block_on(async {
/// let (sender, _receiver) = loopline_runtime::sync::oneshot::channel::<u32>();
/// loopline_runtime::spawn(async move { drop(sender) });
/// # });
/// ```
pub struct Sender<T> {
    shared: Rc<Shared<T>>,
}

impl<T> Sender<T> {
    /// Sends the message. Never waits; that it is sent does not say that it will be received.
    ///
    /// # Errors
    ///
    /// Gives the message back if the receiver is closed or gone.
    #[inline]
    pub fn send(self, message: T) -> Result<(), T> {
        if self.is_closed() {
            return Err(message);
        }
        drop(self.shared.message.replace(Some(message)));
        self.shared.stage.set(Stage::Sent);
        wake_in(&self.shared.receiver);
        Ok(())
    }

    /// Waits until the receiver is closed or gone.
    ///
    /// # Cancel safety
    ///
    /// Strict.
    pub fn closed(&mut self) -> impl Future<Output = ()> {
        poll_fn(|cx| self.poll_closed(cx))
    }

    /// Whether the receiver is closed or gone.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.shared.is_closed()
    }

    /// Polls for the end of the receiver. Only the waker of the last poll is woken.
    pub fn poll_closed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let permit = ready!(budget::poll_proceed(cx));
        if !self.is_closed() {
            keep(&self.shared.sender, cx);
        }
        // Asked again: a foreign waker's clone may have closed it.
        if self.is_closed() {
            permit.spend();
            return Poll::Ready(());
        }
        waits::note("the end of the receiver (oneshot::Sender::closed)");
        Poll::Pending
    }
}

impl<T> Drop for Sender<T> {
    #[inline]
    fn drop(&mut self) {
        if self.shared.stage.get() == Stage::Open {
            self.shared.stage.set(Stage::Unsent);
            wake_in(&self.shared.receiver);
        }
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").field("closed", &self.is_closed()).finish()
    }
}

/// Awaits the message of a [`channel`].
///
/// Gives an error if the sender was dropped instead, or the receiver closed.
///
/// # Panics
///
/// If it is polled after it gave its result.
///
/// # Cancel safety
///
/// Strict: dropping a pending await of `&mut receiver` loses nothing.
pub struct Receiver<T> {
    shared: Rc<Shared<T>>,
}

impl<T> Receiver<T> {
    /// Closes the channel: nothing can be sent any more. What was sent before can still be received.
    pub fn close(&mut self) {
        self.shared.close();
    }

    /// Takes the message if it is there.
    ///
    /// # Errors
    ///
    /// If it is not: [`TryRecvError::Closed`] if it will not come any more, or was taken before.
    pub fn try_recv(&mut self) -> Result<T, TryRecvError> {
        match self.shared.take() {
            Some(result) => result.map_err(|_| TryRecvError::Closed),
            None => Err(TryRecvError::Empty),
        }
    }

    /// Whether the result was given, by an await or by [`Receiver::try_recv`]: it must not be awaited
    /// again.
    #[must_use]
    pub fn is_terminated(&self) -> bool {
        self.shared.stage.get() == Stage::Done
    }

    /// Whether no message is there to be received.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.shared.stage.get() != Stage::Sent
    }
}

impl<T> Future for Receiver<T> {
    type Output = Result<T, RecvError>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        assert!(
            !self.is_terminated(),
            "called after complete: a oneshot receiver gives one result"
        );
        let permit = ready!(budget::poll_proceed(cx));
        let mut result = self.shared.take();
        if result.is_none() {
            keep(&self.shared.receiver, cx);
            // Again: a foreign waker's clone may have sent it.
            result = self.shared.take();
        }
        let Some(result) = result else {
            waits::note("a message (oneshot::Receiver)");
            return Poll::Pending;
        };
        permit.spend();
        Poll::Ready(result)
    }
}

impl<T> Drop for Receiver<T> {
    #[inline]
    fn drop(&mut self) {
        // Dropped last: if it panics, the sender knows already.
        let _waker = self.shared.receiver.take();
        if self.shared.stage.get() != Stage::Done {
            self.shared.close();
            drop(self.shared.message.take());
        }
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").field("empty", &self.is_empty()).finish_non_exhaustive()
    }
}
