//! Wakes from other threads.

use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};
use std::thread;
use std::time::Duration;

use super::yield_once;
use crate::measure::{Plan, thread_cpu};
use crate::peer::Peer;
use crate::program::Asked;

/// `foreign_busy:THREADS`, `foreign_parked`. Reported is CPU time of the waking threads for each wake.
pub fn run<P: Peer>(asked: &Asked) -> bool {
    match asked.case.as_str() {
        "foreign_busy" => busy::<P>(asked.plan, asked.parameter.max(1)),
        "foreign_parked" => parked::<P>(asked.plan),
        _ => return false,
    }
    true
}

const TASKS: usize = 1_000;

/// 1,000 tasks wait; other threads wake each once by a waker they hold, then wait until all were polled,
/// outside the time taken. One more task keeps the loop busy, so that it never sleeps.
///
/// Getting the wakers there is left out.
fn busy<P: Peer>(plan: Plan, threads: usize) {
    P::run(plan.once, move |peer| async move {
        let wakers = Arc::new(Mutex::new(Vec::<Waker>::new()));
        let polls = Arc::new(AtomicUsize::new(0));
        for _ in 0..TASKS {
            let (wakers, polls) = (wakers.clone(), polls.clone());
            let mut known = false;
            peer.detach(poll_fn(move |cx| {
                if !known {
                    known = true;
                    wakers.lock().unwrap().push(cx.waker().clone());
                }
                polls.fetch_add(1, Ordering::Release);
                Poll::<u64>::Pending
            }));
        }
        while polls.load(Ordering::Acquire) < TASKS {
            yield_once().await;
        }
        let wakers = std::mem::take(&mut *wakers.lock().unwrap());
        let done = Arc::new(AtomicBool::new(false));
        let end = done.clone();
        let waking = thread::spawn(move || {
            let mut expected = TASKS;
            for counted in plan.rounds() {
                let mut round = Duration::ZERO;
                for _ in 0..plan.operations / TASKS {
                    round += wake_all(&wakers, threads);
                    expected += TASKS;
                    while polls.load(Ordering::Acquire) < expected {
                        std::hint::spin_loop();
                    }
                }
                plan.report(counted, round);
            }
            end.store(true, Ordering::Release);
        });
        while !done.load(Ordering::Acquire) {
            yield_once().await;
        }
        waking.join().unwrap();
        // The 1,000 wait for ever.
        std::process::exit(0);
    });
}

/// Wakes each, on that many threads at once, and returns the CPU time of all of them.
fn wake_all(wakers: &[Waker], threads: usize) -> Duration {
    let wake = |wakers: &[Waker]| {
        let began = thread_cpu();
        wakers.iter().for_each(Waker::wake_by_ref);
        thread_cpu() - began
    };
    if threads == 1 {
        return wake(wakers);
    }
    let start = std::sync::Barrier::new(threads);
    thread::scope(|scope| {
        let waking: Vec<_> = wakers
            .chunks(wakers.len().div_ceil(threads))
            .map(|part| {
                let start = &start;
                scope.spawn(move || {
                    start.wait();
                    wake(part)
                })
            })
            .collect();
        waking.into_iter().map(|waking| waking.join().expect("it ends")).sum()
    })
}

/// One task is woken again and again, each time when the loop sleeps.
fn parked<P: Peer>(plan: Plan) {
    P::run(plan.once, move |peer| async move {
        let polls = Arc::new(AtomicUsize::new(0));
        let mut polled = Some(polls.clone());
        let task = peer.spawn(poll_fn(move |cx| {
            let done = polls.load(Ordering::Acquire);
            if let Some(polls) = polled.take() {
                let waker = cx.waker().clone();
                thread::spawn(move || wake_when_asleep(plan, &polls, &waker));
            }
            polls.store(done + 1, Ordering::Release);
            Poll::<u64>::Pending
        }));
        task.await;
    });
}

fn wake_when_asleep(plan: Plan, polls: &AtomicUsize, waker: &Waker) {
    let mut expected = 1;
    for counted in plan.rounds() {
        let mut round = Duration::ZERO;
        for _ in 0..plan.operations {
            while polls.load(Ordering::Acquire) < expected {
                thread::yield_now();
            }
            // Until it sleeps.
            thread::sleep(Duration::from_micros(100));
            let began = thread_cpu();
            waker.wake_by_ref();
            round += thread_cpu() - began;
            expected += 1;
        }
        plan.report(counted, round);
    }
    // The task waits for ever.
    std::process::exit(0);
}
