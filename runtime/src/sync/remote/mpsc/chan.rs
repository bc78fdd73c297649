//! What the two sides of a channel share: messages, room, and who waits for either.

use std::collections::VecDeque;
use std::task::Waker;
use std::thread::ThreadId;

use super::super::{Mutex, MutexGuard, lock, wake};
use super::error::{TryRecvError, TrySendError};
use crate::waiters::WaitList;

/// The most room that a channel can have.
pub(super) const MOST: usize = usize::MAX >> 3;

/// The room of a channel that is not bounded: never less.
const UNBOUNDED: usize = usize::MAX;

/// One channel. Quiet Lock: see `remote`.
pub(super) struct Chan<T> {
    pub(super) state: Mutex<State<T>>,
    max: usize,
}

pub(super) struct State<T> {
    /// Sent, and not taken over by the receiver.
    pub(super) queue: VecDeque<T>,
    /// How many more messages may be sent at once. While anybody is in line, none.
    room: usize,
    /// Who waits for room. A wait that was reached has it, unless the channel was closed.
    pub(super) line: WaitList<()>,
    /// Senders that wait for the receiver's end.
    pub(super) watching: WaitList<()>,
    /// Who waits for a message, or for the end.
    pub(super) receiver: Option<Waker>,
    /// The thread of the loop on which the receiver waited last.
    pub(super) receives_on: Option<ThreadId>,
    senders: usize,
    /// Cleared when the receiver is dropped or closed.
    pub(super) open: bool,
}

impl<T> State<T> {
    /// Takes room for one message if there is some.
    #[inline]
    pub(super) fn take_room(&mut self) -> bool {
        match self.room {
            0 => return false,
            UNBOUNDED => {}
            room => self.room = room - 1,
        }
        true
    }

    /// Gives room for one message to the first in line, if there is one; who is to be woken.
    #[inline]
    #[must_use]
    pub(super) fn give_room(&mut self) -> Option<Waker> {
        if self.room == UNBOUNDED {
            return None;
        }
        let reached = self.line.reach().map(|(_, waker)| waker);
        if reached.is_none() {
            self.room += 1;
        }
        reached
    }

    /// Takes a message, and who is to be woken for its room.
    ///
    /// Without bounds all that there is goes to `batch`, which is empty, under one lock.
    #[inline]
    pub(super) fn take(
        &mut self,
        batch: &mut VecDeque<T>,
    ) -> Result<(T, Option<Waker>), TryRecvError> {
        debug_assert!(batch.is_empty());
        let message = if self.room == UNBOUNDED {
            std::mem::swap(batch, &mut self.queue);
            batch.pop_front()
        } else {
            self.queue.pop_front()
        };
        match message {
            Some(message) => Ok((message, self.give_room())),
            None if self.senders == 0 || !self.open => Err(TryRecvError::Disconnected),
            None => Err(TryRecvError::Empty),
        }
    }
}

impl<T> Chan<T> {
    /// Makes a channel with one sender; without a bound if `None`.
    pub(super) fn new(max: Option<usize>) -> Self {
        let max = max.unwrap_or(UNBOUNDED);
        let state = State {
            queue: VecDeque::new(),
            room: max,
            line: WaitList::new(),
            watching: WaitList::new(),
            receiver: None,
            receives_on: None,
            senders: 1,
            open: true,
        };
        Self { state: Mutex::new(state), max }
    }

    #[inline]
    pub(super) fn lock(&self) -> MutexGuard<'_, State<T>> {
        lock(&self.state)
    }

    /// Sends if there is room.
    #[inline]
    pub(super) fn push(&self, message: T) -> Result<(), TrySendError<T>> {
        let mut state = self.lock();
        if !state.open {
            return Err(TrySendError::Closed(message));
        }
        if !state.take_room() {
            return Err(TrySendError::Full(message));
        }
        state.queue.push_back(message);
        let receiver = state.receiver.take();
        drop(state);
        wake(receiver);
        Ok(())
    }

    pub(super) fn room(&self) -> usize {
        self.lock().room
    }

    pub(super) fn max(&self) -> usize {
        self.max
    }

    /// How many messages were sent that the receiver has not taken over.
    pub(super) fn len(&self) -> usize {
        self.lock().queue.len()
    }

    pub(super) fn is_closed(&self) -> bool {
        !self.lock().open
    }

    /// Whether nothing more can be sent.
    pub(super) fn is_over(&self) -> bool {
        let state = self.lock();
        !state.open || state.senders == 0
    }

    /// Whether the receiver waited last on a loop of that thread.
    pub(super) fn receives_on(&self, thread: ThreadId) -> bool {
        self.lock().receives_on == Some(thread)
    }

    pub(super) fn add_sender(&self) {
        self.lock().senders += 1;
    }

    pub(super) fn remove_sender(&self) {
        let mut state = self.lock();
        state.senders -= 1;
        let receiver = if state.senders == 0 { state.receiver.take() } else { None };
        drop(state);
        wake(receiver);
    }

    /// Takes no more messages; who waits for room, or for just this, hears of it.
    pub(super) fn close(&self) {
        self.lock().open = false;
        loop {
            // One lock for each: who is woken may run code of its own.
            let mut state = self.lock();
            let in_line = state.line.reach().map(|(_, waker)| waker);
            let reached = in_line.or_else(|| state.watching.reach().map(|(_, waker)| waker));
            drop(state);
            let Some(waker) = reached else { return };
            wake(Some(waker));
        }
    }
}
