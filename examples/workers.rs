//! A pool of workers that ends well: on Ctrl-C no more jobs are taken in, those that are queued have
//! two seconds to be done, and who is not done by then is cancelled and named.
//!
//! ```text
//! cargo run --features signal --example workers
//! ```
#![cfg_attr(not(unix), allow(unused))]

use std::cell::Cell;
use std::io;
use std::pin::pin;
use std::time::Duration;

use futures::future::{Either, select};
use loopline::scope;
#[cfg(unix)]
use loopline::signal::ctrl_c;
use loopline::sync::{Mutex, mpsc};
use loopline::time::{interval, sleep};

const WORKERS: usize = 4;

#[cfg(unix)]
#[loopline::main]
async fn main() -> io::Result<()> {
    // What the workers share stands in this frame: no Rc, no clone.
    let (queue, jobs) = mpsc::channel(2 * WORKERS);
    let jobs = Mutex::new(jobs);
    let done = Cell::new(0);

    let ended = scope(async |s| {
        for n in 0..WORKERS {
            s.item().label(format!("worker {n}")).spawn(async {
                while let Some(job) = next(&jobs).await {
                    work(job).await;
                    done.set(done.get() + 1);
                }
            });
        }
        println!("{WORKERS} workers; Ctrl-C ends them");
        let interrupted = match select(pin!(produce(&queue)), ctrl_c()).await {
            Either::Left(((), _)) => Ok(()),
            Either::Right((interrupted, _)) => interrupted,
        };
        println!("{} done; waiting for the rest", done.get());
        // The workers take what is queued, and then there is no next one.
        drop(queue);
        interrupted
    })
    .grace(Duration::from_secs(2))
    .await;

    println!("{} done", done.get());
    for straggler in &ended.stragglers {
        println!("not done in time: {straggler}");
    }
    ended.output
}

/// Takes the next job; the lock is given back before the work begins.
async fn next(jobs: &Mutex<mpsc::Receiver<u64>>) -> Option<u64> {
    jobs.lock().await.recv().await
}

/// Queues jobs as they come, and waits while the queue is full.
async fn produce(queue: &mpsc::Sender<u64>) {
    let mut ticks = interval(Duration::from_millis(50));
    for job in 0.. {
        ticks.tick().await;
        if queue.send(job).await.is_err() {
            return;
        }
    }
}

/// Most jobs are quick; now and then one hangs.
async fn work(job: u64) {
    let takes = if job % 20 == 19 { 3_600_000 } else { 100 + job % 7 * 20 };
    sleep(Duration::from_millis(takes)).await;
}

/// Signals are on Unix only, so far.
#[cfg(not(unix))]
fn main() {}
