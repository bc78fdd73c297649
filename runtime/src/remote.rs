//! The front door for other threads: `Remote` wakes, stops and spawns; `RemoteJoin` brings the output.

use std::fmt;
use std::future::{Future, poll_fn};
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, Location, catch_unwind, resume_unwind};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::thread;

use self::outcome::{Completer, Outcome, lock};
use self::unheard::Unheard;
pub use self::wait_error::WaitError;
use crate::current::with_loop;
use crate::handle::Handle;
use crate::insert_error::{InsertError, InsertErrorKind};
use crate::item::{Meta, Payload};
use crate::items::Start;
use crate::join::JoinError;
use crate::mailbox::Mailbox;
use crate::outside::Outside;
use crate::shared::{Alive, Message, Shared};
use crate::{budget, wake};

mod outcome;
mod unheard;
mod wait_error;

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

impl<S: 'static> Handle<S> {
    /// Returns a front door for other threads. While one lives, `run` goes on without items.
    #[must_use]
    pub fn remote(self) -> Remote<S> {
        with_loop(self.id(), |shared| Remote::new(self.id(), shared))
    }
}

impl<S: 'static> Remote<S> {
    fn new(loop_id: u64, shared: Option<&Shared>) -> Self {
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
        if alive.stamp.is_foreign() {
            return Err(InsertError::new(make, InsertErrorKind::Forked));
        }
        let outcome = Arc::new(Outcome::new(alive.thread, alive.stamp));
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
            Ok(()) => {
                Ok(RemoteJoin { outcome, alive: alive.mailbox.clone(), outside: Outside::new() })
            }
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
        let result = catch(move || make(Handle::new(loop_id))).await;
        if let Some(payload) = completer.finish(result) {
            // Nobody is left to hear of it but the loop's policy.
            resume_unwind(payload);
        }
    };
    if outcome.lock().cancel {
        return;
    }
    let meta = Meta::new(place);
    // On an error the future is dropped, and with it the completer: the join says cancelled.
    if let Ok(task) = shared.insert(work, meta, Start::Queue) {
        let header = task.header();
        outcome.lock().item = Some((header.slot(), header.id));
    }
}

/// Awaits the future that `make` makes, and catches what either panics with. The future is dropped
/// before this returns.
async fn catch<Fut: Future>(make: impl FnOnce() -> Fut) -> Result<Fut::Output, Payload> {
    match catch_unwind(AssertUnwindSafe(make)) {
        Ok(future) => {
            let mut future = pin!(future);
            poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
                Ok(polled) => polled.map(Ok),
                Err(payload) => Poll::Ready(Err(payload)),
            })
            .await
        }
        Err(payload) => Err(payload),
    }
}

/// Awaits, on any thread and in any async library, the output of an item spawned by [`Remote::spawn`].
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
    outside: Outside,
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
    /// If the item was cancelled or panicked, if this is the thread of the item's loop, or in a process
    /// forked from the loop's.
    ///
    /// # Panics
    ///
    /// If the output was taken by an `await` before.
    #[track_caller]
    pub fn wait(self) -> Result<T, WaitError<T>> {
        let mut state = self.outcome.lock();
        if !state.finished && self.outcome.stamp.is_foreign() {
            return Err(WaitError::Forked);
        }
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
            let Some((slot, id)) = item else { return };
            // As an item: to drop the future is to run the user's code, and this is the collect phase.
            let meta = Meta { background: true, ..Meta::new(Location::caller()) };
            let loop_id = shared.id;
            let cancel = async move {
                with_loop(loop_id, |shared| shared.map(|shared| shared.cancel(slot, id)));
            };
            // Refused by a loop that shuts down, it is not needed; by a full one, it is done here.
            if let Err((_, InsertErrorKind::Full, _)) = shared.insert(cancel, meta, Start::Head) {
                shared.cancel(slot, id);
            }
        }));
    }
}

impl<T> Future for RemoteJoin<T> {
    type Output = Result<T, JoinError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let permit = ready!(budget::poll_proceed(cx));
        let mut state = self.outcome.lock();
        if state.finished {
            let result = state.result.take();
            drop(state);
            permit.spend();
            return Poll::Ready(result.expect("a RemoteJoin was polled after it gave its output"));
        }
        if state.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            return Poll::Pending;
        }
        // A foreign waker's clone and drop are foreign code: not under the lock.
        drop(state);
        let waker = wake::copy(cx.waker());
        let this = self.get_mut();
        let mut state = this.outcome.lock();
        if state.finished {
            drop(state);
            return Pin::new(this).poll(cx);
        }
        let old = state.waker.replace(waker);
        drop(state);
        drop(old);
        this.outside.join();
        Poll::Pending
    }
}

impl<T> Drop for RemoteJoin<T> {
    fn drop(&mut self) {
        let mut state = self.outcome.lock();
        state.abandoned = true;
        let (result, waker) = (state.result.take(), state.waker.take());
        drop(state);
        drop(waker);
        let (what, payload) = match result {
            Some(Err(error)) => {
                (format!("item {} spawned by a Remote", error.id()), error.try_into_panic().ok())
            }
            Some(Ok(output)) => (
                String::from("the output of an item spawned by a Remote"),
                catch_unwind(AssertUnwindSafe(|| drop(output))).err(),
            ),
            None => return,
        };
        if let Some(payload) = payload {
            let mut unheard = Unheard { what, payload: Some(payload) };
            // Given back, or never taken: it tells as it is dropped.
            let _ = self.alive.send(Box::new(move |shared: &Shared| unheard.tell(Some(shared))));
        }
    }
}

impl<T> fmt::Debug for RemoteJoin<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteJoin").field("finished", &self.outcome.lock().finished).finish()
    }
}
