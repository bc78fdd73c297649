//! One message, one sender, one receiver.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use self::error::{RecvError, TryRecvError};
use super::{Mutex, lock, park, poll_locked, wake};
use crate::budget;
use crate::outside::Outside;
use crate::waits;

pub mod error;

/// What both ends share. Quiet Lock: see `remote`.
struct State<T> {
    message: Option<T>,
    /// Cleared when the sender has sent or is gone.
    sending: bool,
    /// Cleared when the receiver is gone or closed.
    receiving: bool,
    /// Who waits for the message, or for the end.
    receiver: Option<Waker>,
    /// Who waits for the receiver's end.
    sender: Option<Waker>,
}

/// Makes a channel for one message.
///
/// # Examples
///
/// ```
/// use loopline_runtime::sync::remote::oneshot;
///
/// let (sender, receiver) = oneshot::channel();
/// let thread = std::thread::spawn(move || sender.send(6 * 7));
/// let answer = loopline_runtime::block_on(async { receiver.await.unwrap() });
/// assert_eq!(answer, 42);
/// thread.join().unwrap().unwrap();
/// ```
///
/// The other way, with a thread that blocks:
///
/// ```
/// use loopline_runtime::sync::remote::oneshot;
///
/// let (sender, receiver) = oneshot::channel();
/// let thread = std::thread::spawn(move || receiver.blocking_recv());
/// loopline_runtime::block_on(async { sender.send("go").unwrap() });
/// assert_eq!(thread.join().unwrap(), Ok("go"));
/// ```
#[must_use]
pub fn channel<T>() -> (Sender<T>, Receiver<T>) {
    let state =
        State { message: None, sending: true, receiving: true, receiver: None, sender: None };
    let state = Arc::new(Mutex::new(state));
    (
        Sender { state: state.clone(), outside: Outside::new() },
        Receiver { state, given: false, outside: Outside::new() },
    )
}

/// The sending end of a [`channel`]; `Send` if the message is.
///
/// ```compile_fail,E0277
/// use loopline_runtime::sync::remote::oneshot;
///
/// let (sender, _receiver) = oneshot::channel();
/// std::thread::spawn(move || sender.send(std::rc::Rc::new(5)));
/// ```
///
/// ```
/// use loopline_runtime::sync::remote::oneshot;
///
/// let (sender, _receiver) = oneshot::channel();
/// std::thread::spawn(move || sender.send(std::sync::Arc::new(5)));
/// ```
pub struct Sender<T> {
    state: Arc<Mutex<State<T>>>,
    outside: Outside,
}

impl<T> Sender<T> {
    /// Sends the message. Never blocks for longer than a move takes.
    ///
    /// # Errors
    ///
    /// Gives the message back if the receiver is gone or closed.
    pub fn send(self, message: T) -> Result<(), T> {
        let mut state = lock(&self.state);
        if !state.receiving {
            return Err(message);
        }
        state.message = Some(message);
        drop(state);
        // Dropping this wakes the receiver.
        Ok(())
    }

    /// Whether the receiver is gone or closed, and nobody waits for the message.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        !lock(&self.state).receiving
    }

    /// Waits until the receiver is gone or closed.
    ///
    /// # Cancel safety
    ///
    /// Strict.
    pub async fn closed(&mut self) {
        poll_fn(|cx| self.poll_closed(cx)).await;
    }

    /// Polls whether the receiver is gone or closed; [`Sender::closed`] for implementations of `poll`.
    pub fn poll_closed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let permit = ready!(budget::poll_proceed(cx));
        let polled = poll_locked(
            &self.state,
            cx,
            |state| &mut state.sender,
            |state| (!state.receiving).then_some(()),
        );
        if polled.is_pending() {
            self.outside.join();
            waits::note("the receiver's end (remote::oneshot::Sender::closed)");
            return Poll::Pending;
        }
        self.outside.leave();
        permit.spend();
        Poll::Ready(())
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        let mut state = lock(&self.state);
        state.sending = false;
        let (receiver, own) = (state.receiver.take(), state.sender.take());
        drop(state);
        wake(receiver);
        drop(own);
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").field("closed", &self.is_closed()).finish()
    }
}

/// The receiving end of a [`channel`]: await it, on whatever loop or in whatever async library.
///
/// It gives the message, or [`RecvError`] if the sender is gone without one.
///
/// # Panics
///
/// If it is polled after it gave the message.
///
/// # Cancel safety
///
/// Strict: dropping a pending await of `&mut receiver` loses nothing.
pub struct Receiver<T> {
    state: Arc<Mutex<State<T>>>,
    /// Whether the message was given.
    given: bool,
    outside: Outside,
}

impl<T> Receiver<T> {
    /// Takes the message if it is there.
    ///
    /// # Errors
    ///
    /// If it is not; [`TryRecvError::Closed`] if it will not be, or was taken before.
    pub fn try_recv(&mut self) -> Result<T, TryRecvError> {
        let mut state = lock(&self.state);
        match state.message.take() {
            Some(message) => {
                self.given = true;
                Ok(message)
            }
            None if state.sending && state.receiving => Err(TryRecvError::Empty),
            None => Err(TryRecvError::Closed),
        }
    }

    /// Refuses the message from now on. One that was sent before can be received still.
    pub fn close(&mut self) {
        let mut state = lock(&self.state);
        state.receiving = false;
        let sender = state.sender.take();
        drop(state);
        wake(sender);
    }

    /// Blocks this thread until the message is there.
    ///
    /// # Errors
    ///
    /// If the sender is gone without one.
    ///
    /// # Panics
    ///
    /// If an event loop is in a turn on this thread: it would stall, and for ever if the sender is on
    /// it too.
    #[track_caller]
    pub fn blocking_recv(self) -> Result<T, RecvError> {
        assert!(
            !park::would_stall(),
            "an event loop runs on this thread and would stall: await the receiver"
        );
        park::wait(self)
    }
}

impl<T> Unpin for Receiver<T> {}

impl<T> Future for Receiver<T> {
    type Output = Result<T, RecvError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        assert!(!self.given, "called after complete: a oneshot receiver gives one message");
        let permit = ready!(budget::poll_proceed(cx));
        let this = self.get_mut();
        let polled = poll_locked(
            &this.state,
            cx,
            |state| &mut state.receiver,
            |state| match state.message.take() {
                Some(message) => Some(Ok(message)),
                None if state.sending && state.receiving => None,
                None => Some(Err(RecvError(()))),
            },
        );
        if polled.is_pending() {
            this.outside.join();
            waits::note("a message (remote::oneshot::Receiver)");
            return Poll::Pending;
        }
        this.given = matches!(polled, Poll::Ready(Ok(_)));
        this.outside.leave();
        permit.spend();
        polled
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        let mut state = lock(&self.state);
        state.receiving = false;
        let (message, own) = (state.message.take(), state.receiver.take());
        let sender = state.sender.take();
        drop(state);
        wake(sender);
        drop((message, own));
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sent = lock(&self.state).message.is_some();
        f.debug_struct("Receiver").field("sent", &sent).finish()
    }
}
