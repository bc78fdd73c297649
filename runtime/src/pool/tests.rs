//! When threads start and end, and what becomes of jobs without one.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use super::{Job, Jobs, Pool, start};

/// What became of a job.
#[derive(Debug, PartialEq)]
enum Fate {
    Ran(usize),
    Refused(usize),
    Dropped(usize),
}

struct Probe {
    number: usize,
    tell: Sender<Fate>,
    /// Waited for before the job ends.
    gate: Option<Receiver<()>>,
    done: bool,
}

impl Job for Probe {
    fn run(mut self: Box<Self>) {
        self.done = true;
        self.tell.send(Fate::Ran(self.number)).unwrap();
        if let Some(gate) = self.gate.take() {
            gate.recv().unwrap_err();
        }
    }

    fn refuse(mut self: Box<Self>, error: &io::Error) {
        self.done = true;
        assert_eq!(error.to_string(), "none left");
        self.tell.send(Fate::Refused(self.number)).unwrap();
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        if !self.done {
            self.tell.send(Fate::Dropped(self.number)).unwrap();
        }
    }
}

/// Submits a job; the sender ends it.
fn submit(pool: &Pool, number: usize, tell: &Sender<Fate>) -> (u64, Sender<()>) {
    let (end, gate) = channel();
    let place = pool.take_number();
    let gate = Some(gate);
    pool.submit(place, Box::new(Probe { number, tell: tell.clone(), gate, done: false }));
    (place, end)
}

fn threads(pool: &Pool) -> usize {
    pool.crew.lock().threads
}

const LONG: Duration = Duration::from_secs(3600);

fn never(_: String, _: Box<dyn FnOnce() + Send>) -> io::Result<()> {
    Err(io::Error::other("none left"))
}

#[test]
fn no_thread_starts_before_the_first_job() {
    let pool = Pool::with_start(4, LONG, |_, _| unreachable!("nobody submitted a job"));
    assert!(pool.take_back(0).is_none());
    pool.close();
    assert_eq!(threads(&pool), 0);
}

#[test]
fn a_job_that_finds_all_threads_busy_gets_a_new_one_up_to_the_cap() {
    let (tell, told) = channel();
    let pool = Pool::new(2, LONG);
    let (_, first) = submit(&pool, 0, &tell);
    assert_eq!((told.recv().unwrap(), threads(&pool)), (Fate::Ran(0), 1));
    let (_, _second) = submit(&pool, 1, &tell);
    assert_eq!((told.recv().unwrap(), threads(&pool)), (Fate::Ran(1), 2));
    let (_, _third) = submit(&pool, 2, &tell);
    assert_eq!((told.try_recv().ok(), threads(&pool)), (None, 2));
    drop(first);
    assert_eq!((told.recv().unwrap(), threads(&pool)), (Fate::Ran(2), 2));
}

#[test]
fn a_thread_that_is_idle_takes_the_next_job() {
    let (tell, told) = channel();
    let pool = Pool::new(8, LONG);
    for number in 0..100 {
        let (_, end) = submit(&pool, number, &tell);
        drop(end);
        assert_eq!(told.recv().unwrap(), Fate::Ran(number));
        while pool.crew.lock().idle == 0 {
            thread::yield_now();
        }
    }
    assert_eq!(threads(&pool), 1);
}

#[test]
fn a_thread_ends_when_it_was_idle_for_long_enough() {
    let (tell, told) = channel();
    let pool = Pool::new(8, Duration::ZERO);
    for number in 0..10 {
        drop(submit(&pool, number, &tell));
        assert_eq!(told.recv().unwrap(), Fate::Ran(number));
        while threads(&pool) != 0 {
            thread::yield_now();
        }
        assert_eq!(pool.crew.lock().idle, 0);
    }
}

#[test]
fn a_job_taken_back_does_not_run() {
    let (tell, told) = channel();
    let pool = Pool::new(1, LONG);
    let (place, first) = submit(&pool, 0, &tell);
    assert_eq!(told.recv().unwrap(), Fate::Ran(0));
    let (second_place, _second) = submit(&pool, 1, &tell);
    let (_, _third) = submit(&pool, 2, &tell);
    assert!(pool.take_back(place).is_none(), "it has begun");
    drop(pool.take_back(second_place).unwrap());
    assert_eq!(told.recv().unwrap(), Fate::Dropped(1));
    drop(first);
    assert_eq!(told.recv().unwrap(), Fate::Ran(2));
}

// fault 8
#[test]
fn a_job_without_a_thread_is_refused() {
    let (tell, told) = channel();
    let pool = Pool::with_start(4, LONG, never);
    for number in 0..3 {
        submit(&pool, number, &tell);
        assert_eq!((told.recv().unwrap(), threads(&pool)), (Fate::Refused(number), 0));
    }
}

// fault 8
#[test]
fn a_job_waits_for_the_threads_there_are_if_none_can_be_had() {
    static STARTED: AtomicUsize = AtomicUsize::new(0);
    let (tell, told) = channel();
    // The first two, and no more.
    let pool =
        Pool::with_start(8, LONG, |name, run| match STARTED.fetch_add(1, Ordering::Relaxed) {
            0 | 1 => start(name, run),
            _ => never(name, run),
        });
    let (_, first) = submit(&pool, 0, &tell);
    assert_eq!(told.recv().unwrap(), Fate::Ran(0));
    let (_, second) = submit(&pool, 1, &tell);
    assert_eq!(told.recv().unwrap(), Fate::Ran(1));
    let waiting: Vec<_> = (2..5).map(|number| submit(&pool, number, &tell)).collect();
    assert_eq!((told.try_recv().ok(), threads(&pool)), (None, 2));
    drop((first, second, waiting));
    let mut ran: Vec<_> = (2..5).map(|_| told.recv().unwrap()).collect();
    ran.sort_by_key(|fate| match fate {
        Fate::Ran(number) | Fate::Refused(number) | Fate::Dropped(number) => *number,
    });
    assert_eq!(ran, [Fate::Ran(2), Fate::Ran(3), Fate::Ran(4)]);
}

#[test]
fn a_closed_pool_begins_no_job_and_ends_its_threads() {
    let (tell, told) = channel();
    let pool = Pool::new(1, LONG);
    let (_, first) = submit(&pool, 0, &tell);
    assert_eq!(told.recv().unwrap(), Fate::Ran(0));
    let (_, _second) = submit(&pool, 1, &tell);
    pool.close();
    drop(first);
    while threads(&pool) != 0 {
        thread::yield_now();
    }
    assert_eq!(told.try_recv().ok(), None);
    drop(pool);
    assert_eq!(told.recv().unwrap(), Fate::Dropped(1));
}
