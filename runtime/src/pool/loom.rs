//! The pool under loom: every interleaving of a loop that submits, takes back and closes with threads
//! that take jobs, fall asleep and end. A job or a thread that is forgotten shows as a deadlock.

use std::io;
use std::time::Duration;

use ::loom::sync::{Arc, Condvar, Mutex};
use ::loom::thread;

use super::{Job, Jobs, Pool};

/// What became of the jobs: their numbers, and whether they ran.
#[derive(Default)]
struct Fates {
    told: Mutex<Vec<(u32, bool)>>,
    tell: Condvar,
}

impl Fates {
    /// Waits until so many jobs are gone, and returns them in order.
    fn wait_for(&self, jobs: usize) -> Vec<(u32, bool)> {
        let mut told = self.told.lock().unwrap();
        while told.len() < jobs {
            told = self.tell.wait(told).unwrap();
        }
        let mut told = told.clone();
        told.sort_unstable();
        told
    }
}

struct Probe {
    number: u32,
    fates: Arc<Fates>,
    ran: bool,
}

impl Job for Probe {
    fn run(mut self: Box<Self>) {
        self.ran = true;
    }

    fn refuse(self: Box<Self>, _: &io::Error) {
        unreachable!("threads can be had here");
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        self.fates.told.lock().unwrap().push((self.number, self.ran));
        self.fates.tell.notify_one();
    }
}

fn pool(cap: usize, idle_time: Duration) -> Pool {
    Pool::with_start(cap, idle_time, |_, run| {
        thread::spawn(run);
        Ok(())
    })
}

fn submit(pool: &Pool, fates: &Arc<Fates>, number: u32) -> u64 {
    let place = pool.take_number();
    pool.submit(place, Box::new(Probe { number, fates: fates.clone(), ran: false }));
    place
}

const LONG: Duration = Duration::from_secs(1);

#[test]
fn a_job_is_not_forgotten_by_a_thread_whose_time_is_over() {
    ::loom::model(|| {
        let fates = Arc::new(Fates::default());
        let pool = pool(1, Duration::ZERO);
        submit(&pool, &fates, 0);
        fates.wait_for(1);
        // The thread is anywhere between that job and its end.
        submit(&pool, &fates, 1);
        assert_eq!(fates.wait_for(2), [(0, true), (1, true)]);
    });
}

#[test]
fn a_job_is_not_forgotten_by_a_thread_that_falls_asleep() {
    ::loom::model(|| {
        let fates = Arc::new(Fates::default());
        let pool = pool(1, LONG);
        submit(&pool, &fates, 0);
        fates.wait_for(1);
        submit(&pool, &fates, 1);
        assert_eq!(fates.wait_for(2), [(0, true), (1, true)]);
    });
}

#[test]
fn two_threads_take_two_jobs_each_once() {
    ::loom::model(|| {
        let fates = Arc::new(Fates::default());
        let pool = pool(2, LONG);
        submit(&pool, &fates, 0);
        submit(&pool, &fates, 1);
        assert_eq!(fates.wait_for(2), [(0, true), (1, true)]);
    });
}

#[test]
fn a_pool_that_ends_runs_or_drops_each_job_and_lets_all_threads_end() {
    ::loom::model(|| {
        let fates = Arc::new(Fates::default());
        let pool = pool(1, LONG);
        submit(&pool, &fates, 0);
        submit(&pool, &fates, 1);
        // Loom waits for every thread: one that slept on would be a deadlock.
        drop(pool);
        let told = fates.wait_for(2);
        assert_eq!((told[0].0, told[1].0), (0, 1), "each once");
        assert!(told[0].1 || !told[1].1, "the second does not run without the first");
    });
}

#[test]
fn a_job_taken_back_has_not_begun_and_never_does() {
    ::loom::model(|| {
        let fates = Arc::new(Fates::default());
        let pool = pool(1, LONG);
        let place = submit(&pool, &fates, 0);
        let taken = pool.take_back(place);
        let ran = taken.is_none();
        drop(taken);
        assert_eq!(fates.wait_for(1), [(0, ran)]);
    });
}
