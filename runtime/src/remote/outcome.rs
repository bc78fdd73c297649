//! Where the output of a remotely spawned item waits for the thread that asked for it.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::thread::ThreadId;

use crate::fork::Stamp;
use crate::item::{Payload, TaskId};
use crate::join::JoinError;

/// Where the output waits for the other thread.
pub(super) struct Outcome<T> {
    pub(super) state: Mutex<State<T>>,
    /// Signalled once the result is there.
    pub(super) done: Condvar,
    /// The loop's thread, on which nobody may block for it.
    pub(super) thread: ThreadId,
    /// The loop's process.
    pub(super) stamp: Stamp,
}

pub(super) struct State<T> {
    pub(super) result: Option<Result<T, JoinError>>,
    /// Set with the result; stays set when it is taken.
    pub(super) finished: bool,
    pub(super) waker: Option<Waker>,
    /// Set by `RemoteJoin::cancel`.
    pub(super) cancel: bool,
    /// Set once the item exists.
    pub(super) item: Option<(u32, TaskId)>,
    /// Set when the `RemoteJoin` was dropped.
    pub(super) abandoned: bool,
}

impl<T> Outcome<T> {
    pub(super) fn new(thread: ThreadId, stamp: Stamp) -> Self {
        let state = State {
            result: None,
            finished: false,
            waker: None,
            cancel: false,
            item: None,
            abandoned: false,
        };
        Self { state: Mutex::new(state), done: Condvar::new(), thread, stamp }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State<T>> {
        lock(&self.state)
    }

    /// Puts the first result there is. Gives it back if the `RemoteJoin` was dropped.
    pub(super) fn put(&self, result: Result<T, JoinError>) -> Option<Result<T, JoinError>> {
        let mut state = self.lock();
        if state.finished {
            return None;
        }
        state.finished = true;
        let unwanted = if state.abandoned { Some(result) } else { state.result.replace(result) };
        let waker = state.waker.take();
        drop(state);
        self.done.notify_all();
        if let Some(waker) = waker {
            waker.wake();
        }
        unwanted
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing under these locks panics.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Tells the outcome how the item ended; dropped unfinished, that it was cancelled.
pub(super) struct Completer<T>(pub(super) Arc<Outcome<T>>);

impl<T> Completer<T> {
    pub(super) fn id(&self) -> TaskId {
        self.0.lock().item.map_or(TaskId(0), |(_, id)| id)
    }

    /// Tells how the item ended. Gives back the payload of a panic that nobody waits for.
    pub(super) fn finish(self, result: Result<T, Payload>) -> Option<Payload> {
        let id = self.id();
        let unwanted = self.0.put(result.map_err(|payload| JoinError::panicked(id, payload)));
        unwanted?.err()?.try_into_panic().ok()
    }
}

impl<T> Drop for Completer<T> {
    fn drop(&mut self) {
        let id = self.id();
        self.0.put(Err(JoinError::cancelled(id)));
    }
}
