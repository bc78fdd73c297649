//! The front door for other threads: `Remote` wakes, stops and spawns; `RemoteJoin` brings the output.

use std::fmt;
use std::future::{Future, poll_fn};
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, Location, catch_unwind, resume_unwind};
use std::pin::{Pin, pin};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::thread::{self, ThreadId};

use crate::handle::{Handle, InsertError};
use crate::join::JoinError;
use crate::mailbox::Mailbox;
use crate::shared::{Alive, InsertErrorKind, Message, Shared, Start};
use crate::task::{Meta, Payload, TaskId};

/// The way to an event loop from other threads: `Send`, `Sync` and cloneable.
///
/// While a `Remote` lives, [`EventLoop::run`](crate::EventLoop::run) goes on without items.
///
/// # Examples
///
/// ```
/// use loopline_runtime::EventLoop;
///
/// let mut event_loop = EventLoop::<Vec<String>>::new()?;
/// let remote = event_loop.handle().remote();
/// let worker = std::thread::spawn(move || {
///     // The closure is Send; the future it makes, and the state it uses, need not be.
///     let join = remote.spawn(|handle| async move {
///         let line = std::rc::Rc::new(String::from("from a thread"));
///         handle.with(|lines| lines.push(line.to_string()));
///         handle.with(|lines| lines.len())
///     });
///     join.unwrap().wait().unwrap()
/// });
/// let mut lines = Vec::new();
/// event_loop.run(&mut lines)?; // until the remote is dropped and its item done
/// assert_eq!(worker.join().unwrap(), 1);
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Remote<S> {
    /// None: made when the loop was gone already.
    alive: Option<Arc<Alive>>,
    loop_id: u64,
    /// Never holds an S, so Send and Sync whatever S is; invariant, as `Handle`.
    _state: PhantomData<fn(S) -> S>,
}

impl<S> Clone for Remote<S> {
    fn clone(&self) -> Self {
        Self { alive: self.alive.clone(), loop_id: self.loop_id, _state: PhantomData }
    }
}

impl<S> fmt::Debug for Remote<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remote").field("loop_id", &self.loop_id).finish()
    }
}

impl<S: 'static> Remote<S> {
    pub(crate) fn new(loop_id: u64, shared: Option<&Shared>) -> Self {
        Self {
            alive: shared.map(|shared| shared.remotes.join(shared)),
            loop_id,
            _state: PhantomData,
        }
    }

    fn mailbox(&self) -> Option<&Mailbox<Message>> {
        Some(&self.alive.as_ref()?.mailbox)
    }

    /// Sends a message. Gives it back if the loop is gone.
    fn send(&self, message: Message) -> Result<(), Message> {
        match self.mailbox() {
            Some(mailbox) => mailbox.send(message),
            None => Err(message),
        }
    }

    /// Ends the loop's wait, or makes its next one return at once. Does nothing once it is gone.
    pub fn wake(&self) {
        if let Some(mailbox) = self.mailbox() {
            mailbox.nudge();
        }
    }

    /// Ends `run` after the turn that sees this. Does nothing once the loop is gone.
    pub fn stop(&self) {
        // Given back: there is nothing to stop.
        let _ = self.send(Box::new(|shared| shared.stop()));
    }

    /// Makes a future on the loop's thread and spawns it there.
    ///
    /// The closure crosses threads, the future does not. Items sent by one thread start in the order
    /// in which they were sent.
    ///
    /// # Errors
    ///
    /// Gives the closure back if the loop is gone. A loop that ends after it accepted the closure
    /// resolves the [`RemoteJoin`] to cancelled.
    #[track_caller]
    pub fn spawn<F, Fut>(&self, make: F) -> Result<RemoteJoin<Fut::Output>, InsertError<F>>
    where
        F: FnOnce(Handle<S>) -> Fut + Send + 'static,
        Fut: Future + 'static,
        Fut::Output: Send + 'static,
    {
        let place = Location::caller();
        let (Some(mailbox), Some(alive)) = (self.mailbox(), &self.alive) else {
            return Err(InsertError::new(make, InsertErrorKind::LoopGone));
        };
        let outcome = Arc::new(Outcome::new(alive.thread));
        let handle_id = self.loop_id;
        let parcel = Arc::new(Mutex::new(Some(make)));
        let sent = {
            let (parcel, completer) = (parcel.clone(), Completer(outcome.clone()));
            mailbox.send(Box::new(move |shared: &Shared| {
                let make = lock(&parcel).take();
                if let Some(make) = make {
                    start(shared, make, handle_id, completer, place);
                }
            }))
        };
        match sent {
            Ok(()) => Ok(RemoteJoin { outcome, alive: alive.clone().mailbox.clone() }),
            Err(message) => {
                drop(message);
                let make = lock(&parcel).take().expect("a message that was not sent did not run");
                Err(InsertError::new(make, InsertErrorKind::LoopGone))
            }
        }
    }
}

/// Inserts the item that makes and runs the future; collect phase, so no user code yet.
fn start<S, F, Fut>(
    shared: &Shared,
    make: F,
    loop_id: u64,
    completer: Completer<Fut::Output>,
    place: &'static Location<'static>,
) where
    S: 'static,
    F: FnOnce(Handle<S>) -> Fut + 'static,
    Fut: Future + 'static,
    Fut::Output: Send + 'static,
{
    let outcome = completer.0.clone();
    let work = async move {
        let result = catch(move || make(Handle::new(loop_id)), completer.0.clone()).await;
        completer.finish(result);
    };
    if outcome.lock().cancel {
        return;
    }
    let meta = Meta { label: None, place, background: false };
    // On an error the future is dropped, and with it the completer: the join says cancelled.
    if let Ok(task) = shared.insert(work, meta, Start::Queue) {
        let header = crate::task::Item::header(&*task);
        outcome.lock().item = Some((header.slot, header.id));
    }
}

/// Awaits the future that `make` makes, and catches what either panics with. The future is dropped
/// before this returns.
async fn catch<Fut: Future>(
    make: impl FnOnce() -> Fut,
    outcome: Arc<Outcome<Fut::Output>>,
) -> Result<Fut::Output, Payload> {
    let result = match catch_unwind(AssertUnwindSafe(make)) {
        Ok(future) => {
            let mut future = pin!(future);
            poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
                Ok(polled) => polled.map(Ok),
                Err(payload) => Poll::Ready(Err(payload)),
            })
            .await
        }
        Err(payload) => Err(payload),
    };
    match result {
        // Nobody is left to hear of it but the loop's policy.
        Err(payload) if outcome.is_abandoned() => resume_unwind(payload),
        result => result,
    }
}

/// Where the output waits for the other thread.
struct Outcome<T> {
    state: Mutex<State<T>>,
    /// Signalled once the result is there.
    done: Condvar,
    /// The loop's thread, on which nobody may block for it.
    thread: ThreadId,
}

struct State<T> {
    result: Option<Result<T, JoinError>>,
    /// Set with the result; stays set when it is taken.
    finished: bool,
    waker: Option<Waker>,
    /// Set by `RemoteJoin::cancel`.
    cancel: bool,
    /// Set once the item exists.
    item: Option<(u32, TaskId)>,
    /// Set when the `RemoteJoin` was dropped.
    abandoned: bool,
}

impl<T> Outcome<T> {
    fn new(thread: ThreadId) -> Self {
        let state = State {
            result: None,
            finished: false,
            waker: None,
            cancel: false,
            item: None,
            abandoned: false,
        };
        Self { state: Mutex::new(state), done: Condvar::new(), thread }
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        lock(&self.state)
    }

    fn is_abandoned(&self) -> bool {
        self.lock().abandoned
    }

    fn put(&self, result: Result<T, JoinError>) {
        let mut state = self.lock();
        if state.finished {
            return;
        }
        state.finished = true;
        let unwanted = if state.abandoned { Some(result) } else { state.result.replace(result) };
        let waker = state.waker.take();
        drop(state);
        self.done.notify_all();
        if let Some(waker) = waker {
            waker.wake();
        }
        drop(unwanted);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing under these locks panics.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Tells the outcome how the item ended; dropped unfinished, that it was cancelled.
struct Completer<T>(Arc<Outcome<T>>);

impl<T> Completer<T> {
    fn id(&self) -> TaskId {
        self.0.lock().item.map_or(TaskId(0), |(_, id)| id)
    }

    fn finish(self, result: Result<T, Payload>) {
        let id = self.id();
        self.0.put(result.map_err(|payload| JoinError::panicked(id, payload)));
    }
}

impl<T> Drop for Completer<T> {
    fn drop(&mut self) {
        let id = self.id();
        self.0.put(Err(JoinError::cancelled(id)));
    }
}

/// Awaits, on any thread and any executor, the output of an item spawned by [`Remote::spawn`].
///
/// Dropping it detaches: the item goes on.
///
/// # Cancel safety
///
/// Strict: dropping a pending await of `&mut join` loses nothing.
pub struct RemoteJoin<T> {
    outcome: Arc<Outcome<T>>,
    /// Not a `Remote`: waiting for an item does not keep its loop running.
    alive: Arc<Mailbox<Message>>,
}

/// Why [`RemoteJoin::wait`] gave no output.
#[non_exhaustive]
pub enum WaitError<T> {
    /// This is the loop's own thread: blocking it would be for ever. Holds the join: await it instead.
    OwnThread(RemoteJoin<T>),
    /// The item was cancelled or panicked.
    Join(JoinError),
}

impl<T: Send + 'static> RemoteJoin<T> {
    /// Whether the item has ended.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.outcome.lock().finished
    }

    /// Blocks this thread until the item has ended.
    ///
    /// # Errors
    ///
    /// If the item was cancelled or panicked, or if this is the thread of the item's loop.
    ///
    /// # Panics
    ///
    /// If the output was taken by an `await` before.
    #[track_caller]
    pub fn wait(self) -> Result<T, WaitError<T>> {
        let mut state = self.outcome.lock();
        if !state.finished && thread::current().id() == self.outcome.thread {
            drop(state);
            return Err(WaitError::OwnThread(self));
        }
        while !state.finished {
            state = self.outcome.done.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let result = state.result.take();
        drop(state);
        result.expect("the output was taken before").map_err(WaitError::Join)
    }

    /// Asks the loop to cancel the item. It does so when it next looks at its inbox; an item that ends
    /// first keeps its output.
    pub fn cancel(&self) {
        self.outcome.lock().cancel = true;
        let outcome = self.outcome.clone();
        // Given back: a loop that is gone has cancelled everything.
        let _ = self.alive.send(Box::new(move |shared: &Shared| {
            let item = outcome.lock().item;
            if let Some((slot, id)) = item {
                shared.cancel(slot, id);
            }
        }));
    }
}

impl<T> Future for RemoteJoin<T> {
    type Output = Result<T, JoinError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.outcome.lock();
        if state.finished {
            let result = state.result.take();
            drop(state);
            return Poll::Ready(result.expect("a RemoteJoin was polled after it gave its output"));
        }
        if state.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            return Poll::Pending;
        }
        // A foreign waker's clone and drop are foreign code: not under the lock.
        drop(state);
        let waker = cx.waker().clone();
        let mut state = self.outcome.lock();
        if state.finished {
            drop(state);
            return self.poll(cx);
        }
        let old = state.waker.replace(waker);
        drop(state);
        drop(old);
        Poll::Pending
    }
}

impl<T> Drop for RemoteJoin<T> {
    fn drop(&mut self) {
        let mut state = self.outcome.lock();
        state.abandoned = true;
        let (result, waker) = (state.result.take(), state.waker.take());
        drop(state);
        drop((result, waker));
    }
}

impl<T> fmt::Debug for RemoteJoin<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteJoin").field("finished", &self.outcome.lock().finished).finish()
    }
}

impl<T> fmt::Debug for WaitError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WaitError({self})")
    }
}

impl<T> fmt::Display for WaitError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OwnThread(_) => f.write_str(
                "waiting here would block the event loop that runs the item: await the join instead",
            ),
            Self::Join(error) => error.fmt(f),
        }
    }
}

impl<T> std::error::Error for WaitError<T> {}

impl<T> From<WaitError<T>> for std::io::Error {
    fn from(error: WaitError<T>) -> Self {
        Self::other(error.to_string())
    }
}
