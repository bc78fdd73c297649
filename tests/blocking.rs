//! `spawn_blocking`: where a job runs, what its handle says, and what cancelling it means.

mod support;

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::{self, ThreadId};
use std::time::Duration;

use loopline::{JoinHandle, PanicPolicy, spawn, spawn_blocking, time, yield_now};
use support::{
    TestLoop, block_on, built, closes_clean, ends_with_items, event_loop, paused, scaled,
};

/// Makes a loop with so many threads for jobs.
fn with_threads(threads: usize) -> TestLoop<()> {
    built(|builder| builder.blocking_threads(threads))
}

/// Occupies a thread until the sender is dropped; returns once it does.
fn occupy() -> (Sender<()>, JoinHandle<()>) {
    let (end, gate) = channel::<()>();
    let (begin, begun) = channel();
    let job = spawn_blocking(move || {
        begin.send(()).unwrap();
        gate.recv().unwrap_err();
    });
    begun.recv().unwrap();
    (end, job)
}

/// Tells on which thread it is dropped.
struct Witness(Sender<ThreadId>);

impl Drop for Witness {
    fn drop(&mut self) {
        // Nobody may be left to hear.
        let _ = self.0.send(thread::current().id());
    }
}

fn witness() -> (Witness, Receiver<ThreadId>) {
    let (tell, told) = channel();
    (Witness(tell), told)
}

#[test]
fn a_job_runs_on_a_thread_of_its_own_and_gives_its_output() {
    block_on(async {
        let home = thread::current().id();
        let job = spawn_blocking(|| {
            let thread = thread::current();
            (thread.id(), thread.name().unwrap().to_owned())
        });
        let (thread, name) = job.await.unwrap();
        assert_ne!(thread, home);
        assert_eq!(name, "loopline-blocking-1");
    });
}

#[test]
fn the_loop_goes_on_while_a_job_blocks() {
    block_on(async {
        let (end, job) = occupy();
        let turns = Rc::new(Cell::new(0));
        let count = turns.clone();
        let other = spawn(async move {
            for _ in 0..100 {
                count.set(count.get() + 1);
                yield_now().await;
            }
        });
        other.await.unwrap();
        assert_eq!((turns.get(), job.is_finished()), (100, false));
        drop(end);
        job.await.unwrap();
    });
}

#[test]
fn run_waits_for_jobs_spawned_by_a_handle_before_it() {
    let mut event_loop = event_loop::<Vec<u32>>();
    let handle = event_loop.handle();
    let job = handle.item().label("reads a file").spawn_blocking(|| 7);
    assert!(format!("{job:?}").contains("reads a file"));
    handle.spawn(async move { handle.with(|seen| seen.push(1)) });
    let mut seen = Vec::new();
    event_loop.run(&mut seen).unwrap();
    assert!(job.is_finished());
    assert_eq!((seen, event_loop.run_until(&mut Vec::new(), job).unwrap().unwrap()), (vec![1], 7));
    closes_clean(event_loop);
}

#[test]
fn jobs_begin_in_the_order_in_which_they_were_spawned() {
    let mut event_loop = with_threads(1);
    let log = Arc::new(Mutex::new(Vec::new()));
    event_loop
        .block_on(async {
            let (end, first) = occupy();
            let jobs: Vec<_> = (0..100)
                .map(|n| {
                    let log = log.clone();
                    spawn_blocking(move || log.lock().unwrap().push(n))
                })
                .collect();
            drop(end);
            first.await.unwrap();
            for job in jobs {
                job.await.unwrap();
            }
        })
        .unwrap();
    assert_eq!(*log.lock().unwrap(), (0..100).collect::<Vec<_>>());
    closes_clean(event_loop);
}

#[test]
fn jobs_above_the_cap_wait() {
    let mut event_loop = with_threads(2);
    event_loop
        .block_on(async {
            let (first, second) = (occupy(), occupy());
            let (begin, begun) = channel();
            let third = spawn_blocking(move || begin.send(()).unwrap());
            for _ in 0..100 {
                yield_now().await;
            }
            assert!(begun.try_recv().is_err());
            drop(first.0);
            third.await.unwrap();
            begun.recv().unwrap();
            drop(second.0);
            first.1.await.unwrap();
            second.1.await.unwrap();
        })
        .unwrap();
    closes_clean(event_loop);
}

// contract 39; fault 86
#[test]
fn a_panic_of_a_job_goes_to_its_handle() {
    block_on(async {
        let job = spawn_blocking(|| panic!("on purpose"));
        let error = job.await.unwrap_err();
        assert!(error.is_panic() && error.to_string().ends_with("panicked: on purpose"));
        assert_eq!(*error.into_panic().downcast::<&str>().unwrap(), "on purpose");
        // The thread outlives it.
        assert_eq!(spawn_blocking(|| 5).await.unwrap(), 5);
    });
}

// contract 39; fault 86
#[test]
fn a_panic_of_a_job_that_nobody_awaits_goes_to_the_policy() {
    let mut event_loop = built::<()>(|builder| builder.panic_policy(PanicPolicy::Stop));
    drop(event_loop.handle().spawn_blocking(|| panic!("on purpose")));
    event_loop.handle().spawn(std::future::pending::<()>());
    event_loop.run(&mut ()).unwrap(); // until the policy stops it
    ends_with_items(event_loop, 1);
}

/// Panics when it is dropped.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("bomb");
    }
}

// fault 85
#[test]
fn an_output_whose_destructor_panics_where_nobody_awaits_it_ends_nothing() {
    let mut event_loop = with_threads(1);
    event_loop
        .block_on(async {
            let (end, gate) = channel::<()>();
            let (begin, begun) = channel();
            let job = spawn_blocking(move || {
                begin.send(()).unwrap();
                gate.recv().unwrap_err();
                Bomb
            });
            begun.recv().unwrap();
            assert!(job.cancel().await.err().unwrap().is_cancelled());
            drop(end);
            // On the one thread there is.
            assert_eq!(spawn_blocking(|| 5).await.unwrap(), 5);
        })
        .unwrap();
    closes_clean(event_loop);
}

// contract 33, 35
#[test]
fn a_queued_job_that_is_cancelled_is_dropped_here_and_at_once() {
    let mut event_loop = with_threads(1);
    let (witness, told) = witness();
    event_loop
        .block_on(async {
            let (end, first) = occupy();
            let queued = spawn_blocking(move || drop(witness));
            yield_now().await;
            let cancelled = queued.cancel();
            assert_eq!(told.try_recv().unwrap(), thread::current().id());
            assert!(cancelled.await.unwrap_err().is_cancelled());
            drop(end);
            first.await.unwrap();
        })
        .unwrap();
    closes_clean(event_loop);
}

// contract 33, 35
#[test]
fn a_running_job_that_is_cancelled_goes_on_and_its_output_is_dropped_there() {
    block_on(async {
        let (end, gate) = channel::<()>();
        let (begin, begun) = channel();
        let (witness, told) = witness();
        let job = spawn_blocking(move || {
            begin.send(thread::current().id()).unwrap();
            gate.recv().unwrap_err();
            witness
        });
        let thread = begun.recv().unwrap();
        let cancelled = job.cancel();
        assert!(cancelled.is_finished());
        assert!(cancelled.await.err().unwrap().is_cancelled());
        assert!(told.try_recv().is_err());
        drop(end);
        assert_eq!(told.recv().unwrap(), thread);
    });
}

#[test]
fn a_job_whose_handle_is_dropped_goes_on() {
    let mut event_loop = event_loop::<()>();
    let (tell, told) = channel();
    drop(event_loop.handle().spawn_blocking(move || tell.send(5).unwrap()));
    event_loop.run(&mut ()).unwrap();
    assert_eq!(told.try_recv(), Ok(5));
    closes_clean(event_loop);
}

// contract 47
#[test]
fn a_paused_clock_does_not_jump_while_a_job_is_out() {
    let mut event_loop = paused::<()>();
    let start = event_loop.handle().now();
    let (end, gate) = channel::<()>();
    let job = event_loop.handle().spawn_blocking(move || gate.recv().unwrap_err());
    let slept = event_loop.handle().spawn(async { time::sleep(Duration::from_secs(3600)).await });
    // With nothing to run, each waits for as long as it may.
    for _ in 0..3 {
        event_loop.turn(&mut (), Duration::from_millis(5)).unwrap();
    }
    assert!(!slept.is_finished());
    drop(end);
    event_loop
        .block_on(async {
            job.await.unwrap();
            assert_eq!(time::now(), start);
            slept.await.unwrap();
            assert_eq!(time::now() - start, Duration::from_secs(3600));
        })
        .unwrap();
    closes_clean(event_loop);
}

// contract 47
#[test]
fn a_job_that_is_cancelled_holds_the_clock_no_longer() {
    let mut event_loop = paused::<()>();
    event_loop
        .block_on(async {
            let (end, job) = occupy();
            drop(job.cancel());
            time::sleep(Duration::from_secs(3600)).await; // would be for ever
            drop(end);
        })
        .unwrap();
    closes_clean(event_loop);
}

// contract 38; fault 67
#[test]
fn a_job_for_a_loop_that_ends_is_dropped_and_says_cancelled() {
    type Handles = Rc<RefCell<Vec<JoinHandle<()>>>>;
    struct SpawnsLast(loopline::Handle<()>, Handles);
    impl Drop for SpawnsLast {
        fn drop(&mut self) {
            let witness = Arc::new(());
            let inside = witness.clone();
            self.1.borrow_mut().push(self.0.spawn_blocking(move || drop(inside)));
            assert_eq!(Arc::strong_count(&witness), 1);
        }
    }
    let handles = Handles::default();
    let event_loop = event_loop::<()>();
    let handle = event_loop.handle();
    let last = SpawnsLast(handle, handles.clone());
    handle.spawn(async move {
        let _last = last;
        std::future::pending::<()>().await;
    });
    ends_with_items(event_loop, 1);
    handles.borrow_mut().push(handle.spawn_blocking(|| unreachable!("its loop is gone")));
    let mut handles = handles.take();
    assert_eq!(handles.len(), 2);
    for job in handles.drain(..) {
        assert!(block_on(job).unwrap_err().is_cancelled());
    }
    let bomb = Bomb;
    let refused = handle.spawn_blocking(move || drop(bomb));
    assert!(block_on(refused).unwrap_err().is_panic());
}

// contract 28
#[test]
fn a_thread_without_a_loop_is_told_so() {
    let caught = catch_unwind(AssertUnwindSafe(|| spawn_blocking(|| ())));
    let text = caught.map(drop).unwrap_err().downcast::<&str>().unwrap();
    assert_eq!(*text, "no event loop runs on this thread; use Handle::spawn_blocking");
    // Nor has a thread of the pool one.
    let error = block_on(async { spawn_blocking(|| drop(spawn_blocking(|| ()))).await });
    assert!(error.unwrap_err().to_string().contains("no event loop runs on this thread"));
}

fn seed() -> u64 {
    let seed = std::env::var("LOOPLINE_SEED").ok().and_then(|text| text.parse().ok());
    let seed = seed.unwrap_or(20_261_122);
    println!("LOOPLINE_SEED={seed}");
    seed
}

// contract 35; fault 66, 86
#[test]
fn of_many_jobs_each_ends_in_one_way_however_they_are_cancelled() {
    let mut state = seed() | 1;
    let mut random = move |below: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % below
    };
    for threads in 1..4 {
        let mut event_loop = with_threads(threads);
        let all = scaled(2_000);
        let ran = Arc::new(Mutex::new(Vec::new()));
        event_loop
            .block_on(async {
                let mut jobs = Vec::new();
                for n in 0..all {
                    let ran = ran.clone();
                    let panics = random(4) == 0;
                    jobs.push((
                        n,
                        panics,
                        spawn_blocking(move || {
                            ran.lock().unwrap().push(n);
                            if panics {
                                std::panic::resume_unwind(Box::new(n));
                            }
                            n
                        }),
                    ));
                    if random(3) == 0 {
                        let at = random(jobs.len() as u64) as usize;
                        let (n, panics, job) = jobs.swap_remove(at);
                        ends_in_one_way(n, panics, job.cancel().await);
                    }
                    if random(8) == 0 {
                        yield_now().await;
                    }
                }
                for (n, panics, job) in jobs {
                    let result = job.await;
                    assert_eq!(result.is_err(), panics);
                    ends_in_one_way(n, panics, result);
                }
            })
            .unwrap();
        let mut ran = ran.lock().unwrap().clone();
        if threads == 1 {
            assert!(ran.is_sorted(), "one thread begins them in order");
        }
        ran.sort_unstable();
        ran.dedup();
        assert!(ran.len() <= all);
        closes_clean(event_loop);
    }
}

fn ends_in_one_way(n: usize, panics: bool, result: Result<usize, loopline::JoinError>) {
    match result {
        Ok(output) => assert!(output == n && !panics),
        Err(error) if error.is_panic() => {
            assert!(panics && *error.into_panic().downcast::<usize>().unwrap() == n);
        }
        Err(error) => assert!(error.is_cancelled()),
    }
}
