//! What a file and the threads that work on it share: the descriptor, and the bytes accepted for writing.
//!
//! Every call takes its turn, and begins by writing what was accepted. So calls see each other's effects in
//! order, on whatever threads they run, and a file needs no thread of its own.

use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::mem::take;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The part of a file that crosses threads.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) file: File,
    /// Held during each call, by its thread.
    turn: Mutex<()>,
    /// Locked for moments only, also on the loop's thread.
    accepted: Mutex<Accepted>,
}

/// What was accepted for writing.
#[derive(Debug, Default)]
struct Accepted {
    bytes: Vec<u8>,
    /// How far the cursor stands past what was given to the reader; it goes back first.
    back: i64,
    /// Whether a job is on its way, or at work, that writes until nothing is left.
    scheduled: bool,
    /// Whether a thread is writing.
    writing: bool,
    /// The first failure, until somebody is told.
    error: Option<io::Error>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing that panics runs under either, but what allocates, which aborts.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    pub(super) fn new(file: File) -> Arc<Self> {
        Arc::new(Self { file, turn: Mutex::new(()), accepted: Mutex::default() })
    }

    /// Makes a call after what was accepted has been written. On a thread of the pool.
    pub(super) fn in_turn<T>(&self, f: impl FnOnce(&File) -> T) -> T {
        let _turn = lock(&self.turn);
        self.write_accepted();
        f(&self.file)
    }

    /// Writes what was accepted. The caller has the turn.
    fn write_accepted(&self) {
        let mut accepted = lock(&self.accepted);
        let (mut bytes, back) = (take(&mut accepted.bytes), take(&mut accepted.back));
        if bytes.is_empty() && back == 0 {
            accepted.bytes = bytes;
            return;
        }
        accepted.writing = true;
        drop(accepted);
        let mut file = &self.file;
        let rewound = if back == 0 { Ok(0) } else { file.seek(SeekFrom::Current(-back)) };
        let result = rewound.and_then(|_| file.write_all(&bytes));
        let mut accepted = lock(&self.accepted);
        accepted.writing = false;
        if let Err(error) = result {
            // It would land in the wrong place.
            accepted.bytes.clear();
            accepted.error.get_or_insert(error);
        } else if accepted.bytes.capacity() == 0 {
            bytes.clear();
            accepted.bytes = bytes;
        }
    }

    /// Accepts bytes up to a sum of `most`; gives none if there is no room. On the loop's thread.
    pub(super) fn accept(&self, bytes: &[u8], most: usize) -> Option<usize> {
        let mut accepted = lock(&self.accepted);
        let room = most.saturating_sub(accepted.bytes.len());
        if room == 0 {
            return None;
        }
        let n = bytes.len().min(room);
        accepted.bytes.extend_from_slice(&bytes[..n]);
        Some(n)
    }

    /// Lets the cursor go back before the next call.
    pub(super) fn go_back(&self, bytes: usize) {
        lock(&self.accepted).back += bytes as i64;
    }

    /// Makes the job that writes what was accepted, if there is something and none is on its way.
    pub(super) fn schedule(self: &Arc<Self>) -> Option<Writer> {
        let mut accepted = lock(&self.accepted);
        let unwritten = !accepted.bytes.is_empty() || accepted.back != 0 || accepted.writing;
        let needed = !accepted.scheduled && unwritten;
        accepted.scheduled |= needed;
        needed.then(|| Writer { shared: self.clone(), done: false })
    }

    /// Whether something accepted is not written yet.
    pub(super) fn is_unwritten(&self) -> bool {
        let accepted = lock(&self.accepted);
        !accepted.bytes.is_empty() || accepted.back != 0 || accepted.scheduled || accepted.writing
    }

    /// Takes the failure that nobody was told yet.
    pub(super) fn take_error(&self) -> Option<io::Error> {
        lock(&self.accepted).error.take()
    }
}

/// The job that writes until nothing is left, also what is accepted meanwhile.
pub(super) struct Writer {
    shared: Arc<Shared>,
    /// Set with the last look: from then on a new one may be on its way.
    done: bool,
}

impl Writer {
    pub(super) fn write(mut self) {
        while !self.done {
            let _turn = lock(&self.shared.turn);
            self.shared.write_accepted();
            let mut accepted = lock(&self.shared.accepted);
            // In the same breath: bytes accepted from here on schedule another.
            self.done = accepted.bytes.is_empty();
            accepted.scheduled = !self.done;
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // Not run: the loop ends, or there is no thread. The bytes stay for the next call.
        if !self.done {
            lock(&self.shared.accepted).scheduled = false;
        }
    }
}
