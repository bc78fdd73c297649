//! Wakes from another thread while the loop is busy.

use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};
use std::thread;
use std::time::Instant;

use crate::measure::Plan;
use crate::peer::Peer;
use crate::task::yield_once;

const TASKS: usize = 1000;

/// 1,000 tasks wait; another thread wakes each once by a waker it holds, then waits until all were
/// polled, outside the time taken. One more task keeps the loop busy, so that it never sleeps.
///
/// Printed is wall time on the waking thread per wake. Getting the waker there is left out.
pub fn wake_busy<P: Peer>(plan: Plan) {
    P::run(move |peer| async move {
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
                let mut round = std::time::Duration::ZERO;
                for _ in 0..plan.operations / TASKS {
                    let began = Instant::now();
                    for waker in &wakers {
                        waker.wake_by_ref();
                    }
                    round += began.elapsed();
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
