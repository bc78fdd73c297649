//! Threads that run jobs: none until there is one, more while all are busy, up to a cap, and each ends
//! when it had nothing to do for a while.
//!
//! Knows nothing of the loop it belongs to; only that loop's thread submits, takes back and closes.
//! Threads are never joined: one that is stuck in its job holds up nobody, and ends after it.
//!
//! Invariant (Quiet Lock): a job leaves the lock before it runs or is dropped, and threads are started
//! without it.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, PoisonError};
use std::thread;
use std::time::Duration;

#[cfg(loom)]
use ::loom::sync::{Condvar, Mutex, MutexGuard};
#[cfg(not(loom))]
use std::sync::{Condvar, Mutex, MutexGuard};

use crate::item::drop_payload;

/// What a thread does once.
pub(crate) trait Job: Send {
    /// Does it.
    fn run(self: Box<Self>);

    /// Hears that it will not be done: there is no thread, and none can be had.
    fn refuse(self: Box<Self>, error: &io::Error);
}

/// What the loop asks of its threads. By a trait, so that a program without blocking jobs has no threads in it.
pub(crate) trait Jobs: fmt::Debug {
    /// Reserves the place of the next job.
    fn take_number(&self) -> u64;

    /// Queues a job behind those of lower numbers, and sees to it that a thread will take it.
    fn submit(&self, number: u64, job: Box<dyn Job>);

    /// Takes a job back that no thread has taken.
    fn take_back(&self, number: u64) -> Option<Box<dyn Job>>;

    /// Lets the threads end, each after the job it has. Jobs that none has taken stay until they are
    /// taken back.
    fn close(&self);
}

/// Starts a thread of that name; in tests one that cannot.
type Start = fn(String, Box<dyn FnOnce() + Send>) -> io::Result<()>;

fn start(name: String, run: Box<dyn FnOnce() + Send>) -> io::Result<()> {
    // Dropping its handle detaches the thread.
    thread::Builder::new().name(name).spawn(run).map(drop)
}

/// The threads of one loop.
pub(crate) struct Pool {
    crew: Arc<Crew>,
    /// The number of the next job.
    next: Cell<u64>,
    start: Start,
}

/// What the threads share.
struct Crew {
    state: Mutex<State>,
    /// Signalled for one thread per wake, and for all at the end.
    work: Condvar,
    /// The most threads.
    cap: usize,
    /// After this time without a job a thread ends.
    idle_time: Duration,
}

struct State {
    /// Jobs no thread has taken, by number: in order, and each easily taken back.
    jobs: BTreeMap<u64, Box<dyn Job>>,
    /// Threads alive, or about to be.
    threads: usize,
    /// Threads ever started, for their names.
    started: u64,
    /// Threads that sleep and were not woken.
    idle: usize,
    /// Threads that were woken and sleep still.
    woken: usize,
    /// Cleared when the loop ends.
    open: bool,
}

impl Pool {
    pub(crate) fn new(cap: usize, idle_time: Duration) -> Self {
        Self::with_start(cap, idle_time, start)
    }

    fn with_start(cap: usize, idle_time: Duration, start: Start) -> Self {
        let state =
            State { jobs: BTreeMap::new(), threads: 0, started: 0, idle: 0, woken: 0, open: true };
        let crew = Crew { state: Mutex::new(state), work: Condvar::new(), cap, idle_time };
        Self { crew: Arc::new(crew), next: Cell::new(0), start }
    }

    /// Goes on with the threads there are; if there are none, refuses the job.
    #[cold]
    fn do_without(&self, number: u64, error: &io::Error) {
        let mut state = self.crew.lock();
        state.threads -= 1;
        let job = if state.threads == 0 { state.jobs.remove(&number) } else { None };
        drop(state);
        if let Some(job) = job {
            job.refuse(error);
        }
    }
}

impl Jobs for Pool {
    fn take_number(&self) -> u64 {
        self.next.replace(self.next.get() + 1)
    }

    fn submit(&self, number: u64, job: Box<dyn Job>) {
        let mut state = self.crew.lock();
        let old = state.jobs.insert(number, job);
        debug_assert!(old.is_none(), "numbers are taken once");
        if state.idle != 0 {
            state.idle -= 1;
            state.woken += 1;
            drop(state);
            self.crew.work.notify_one();
            return;
        }
        if state.threads == self.crew.cap {
            return;
        }
        state.threads += 1;
        state.started += 1;
        let name = format!("loopline-blocking-{}", state.started);
        drop(state);
        let crew = self.crew.clone();
        if let Err(error) = (self.start)(name, Box::new(move || crew.work())) {
            self.do_without(number, &error);
        }
    }

    fn take_back(&self, number: u64) -> Option<Box<dyn Job>> {
        self.crew.lock().jobs.remove(&number)
    }

    fn close(&self) {
        self.crew.lock().open = false;
        self.crew.work.notify_all();
    }
}

impl Crew {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Quiet Lock; an allocation may fail in it, which aborts.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The life of a thread.
    fn work(&self) {
        let mut state = self.lock();
        loop {
            while let Some(job) = state.take() {
                drop(state);
                // A job keeps its panics to itself; a thread outlives one that does not.
                if let Err(payload) = catch_unwind(AssertUnwindSafe(|| job.run())) {
                    drop_payload(payload);
                }
                state = self.lock();
            }
            if !state.open {
                break;
            }
            state.idle += 1;
            state = self.sleep(state);
            if state.woken == 0 {
                state.idle -= 1;
                break;
            }
            state.woken -= 1;
        }
        state.threads -= 1;
    }

    /// Waits to be woken, or for the end, or until the time is over.
    #[cfg(not(loom))]
    fn sleep<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        self.work
            .wait_timeout_while(state, self.idle_time, |state| state.woken == 0 && state.open)
            .unwrap_or_else(PoisonError::into_inner)
            .0
    }

    /// Loom knows no time: zero is over at once, anything else never.
    #[cfg(loom)]
    fn sleep<'a>(&'a self, mut state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        if self.idle_time.is_zero() {
            drop(state);
            return self.lock();
        }
        while state.woken == 0 && state.open {
            state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state
    }
}

impl State {
    fn take(&mut self) -> Option<Box<dyn Job>> {
        if !self.open {
            return None;
        }
        self.jobs.pop_first().map(|(_, job)| job)
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.close();
        let jobs = std::mem::take(&mut self.crew.lock().jobs);
        drop(jobs);
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.crew.lock();
        f.debug_struct("Pool")
            .field("threads", &state.threads)
            .field("idle", &state.idle)
            .field("queued", &state.jobs.len())
            .finish()
    }
}

#[cfg(all(test, loom))]
mod loom;
#[cfg(test)]
mod tests;
