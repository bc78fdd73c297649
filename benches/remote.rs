//! What does it cost to reach a loop from another thread?
//!
//! - `wake, busy`: wall time on the waking thread of one wake, while the loop is at work: the usual case
//!   under load. `wake, parked`: CPU time on the waking thread when the loop sleeps and has to be
//!   notified by a system call.
//! - `spawn`: a closure sent, run as an item, and its result waited for in batches of 1,000: CPU time on
//!   the loop's thread. `channel`: messages of one sender to a callback, the same.
//!
//! Left out: the way of the answer back, and how long the other thread had to wait for a CPU.
//!
//! Run: `cargo bench --bench remote`

mod support;

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::task::{Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use loopline::callback::{self, Next};
use support::{Suite, thread_cpu, yield_once};

const TASKS: usize = 1_000;

/// Tasks that wait, the wakers of all of them, and how often they were polled in all.
fn waiting() -> (mpsc::Receiver<Waker>, Arc<AtomicUsize>) {
    let (sender, wakers) = mpsc::channel();
    let polls = Arc::new(AtomicUsize::new(0));
    for _ in 0..TASKS {
        let (mut sender, polls) = (Some(sender.clone()), polls.clone());
        drop(loopline::spawn(poll_fn(move |cx| {
            if let Some(sender) = sender.take() {
                sender.send(cx.waker().clone()).expect("the receiver is there");
            }
            polls.fetch_add(1, Ordering::Release);
            Poll::<()>::Pending
        })));
    }
    (wakers, polls)
}

fn wake_busy(suite: &Suite, operations: usize) -> Duration {
    let all = async {
        let (wakers, polls) = waiting();
        while polls.load(Ordering::Acquire) < TASKS {
            yield_once().await;
        }
        let wakers: Vec<Waker> = wakers.try_iter().collect();
        let done = Arc::new(AtomicBool::new(false));
        let end = done.clone();
        let waking = thread::spawn(move || {
            let mut took = Duration::ZERO;
            for round in 1..=operations / TASKS {
                let began = Instant::now();
                wakers.iter().for_each(Waker::wake_by_ref);
                took += began.elapsed();
                while polls.load(Ordering::Acquire) < (round + 1) * TASKS {
                    std::hint::spin_loop();
                }
            }
            end.store(true, Ordering::Release);
            took
        });
        while !done.load(Ordering::Acquire) {
            yield_once().await;
        }
        waking.join().expect("it ends")
    };
    suite.event_loop::<()>().block_on(all).expect("nothing stops the loop")
}

fn wake_parked(suite: &Suite, operations: usize) -> Duration {
    let all = async {
        let polls = Arc::new(AtomicUsize::new(0));
        let (seen, mut waking) = (polls.clone(), None);
        poll_fn(move |cx| {
            let polls = seen.fetch_add(1, Ordering::Release) + 1;
            let seen = seen.clone();
            let waker = cx.waker().clone();
            let waking = waking.get_or_insert_with(|| {
                Some(thread::spawn(move || {
                    let mut took = Duration::ZERO;
                    for round in 1..=operations {
                        while seen.load(Ordering::Acquire) < round {
                            thread::yield_now();
                        }
                        // Until it sleeps.
                        thread::sleep(Duration::from_micros(100));
                        let began = thread_cpu();
                        waker.wake_by_ref();
                        took += thread_cpu() - began;
                    }
                    took
                }))
            });
            if polls <= operations {
                return Poll::Pending;
            }
            Poll::Ready(waking.take().expect("ready once").join().expect("it ends"))
        })
        .await
    };
    suite.event_loop::<()>().block_on(all).expect("nothing stops the loop")
}

fn spawn(suite: &Suite, operations: usize) -> Duration {
    let mut event_loop = suite.event_loop::<()>();
    let remote = event_loop.handle().remote();
    let sending = thread::spawn(move || {
        for _ in 0..operations / TASKS {
            let send = |n| remote.spawn(move |_| async move { n }).expect("the loop is there");
            let joins: Vec<_> = (0..TASKS).map(send).collect();
            for join in joins {
                join.wait().expect("it ends");
            }
        }
    });
    let took = support::timed(|| event_loop.run(&mut ()).expect("nothing stops the loop"));
    sending.join().expect("it ends");
    took
}

fn channel(suite: &Suite, operations: usize) -> Duration {
    let mut event_loop = suite.event_loop::<usize>();
    let (sender, receiver) = callback::channel();
    let inserted = event_loop.handle().insert(receiver, |message: usize, _, sum| {
        *sum += message;
        Next::Keep
    });
    drop(inserted.expect("the loop is there"));
    let sending = thread::spawn(move || {
        for _ in 0..operations {
            sender.send(1).expect("the loop is there");
        }
    });
    let mut sum = 0;
    let took = support::timed(|| event_loop.run(&mut sum).expect("nothing stops the loop"));
    sending.join().expect("it ends");
    assert_eq!(sum, operations);
    took
}

fn main() {
    let suite = Suite::new("ns per operation");
    suite.case("wake, busy", 100_000, |n| wake_busy(&suite, n));
    suite.case("wake, parked", 1_000, |n| wake_parked(&suite, n));
    suite.case("spawn", 20_000, |n| spawn(&suite, n));
    suite.case("channel", 200_000, |n| channel(&suite, n));
}
