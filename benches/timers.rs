//! What does a timer cost, from its creation to its end, and how late does it fire?
//!
//! - `sleep`: made, polled once, dropped; most timeouts end so. With none, and with a million others
//!   set. Half or more of it is the clock that is read to know the deadline.
//! - `sleep_until`: the same with a deadline that is known already: no clock.
//! - `reset`: a timer that is set later, again and again, as the timeout of a connection is.
//! - `fire`: 100,000 tasks that sleep 1 to 200 ms and end: CPU for each, all included, and below it how
//!   late they woke.
//!
//! Run: `cargo bench --bench timers`

mod support;

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, Instant};

use loopline::time::{Sleep, sleep, sleep_until};
use support::{Suite, thread_cpu, yield_once};

/// Polls a sleep that is not due once.
async fn arm(mut sleep: Pin<&mut Sleep>) {
    let pending = poll_fn(|cx| Poll::Ready(sleep.as_mut().poll(cx).is_pending())).await;
    assert!(pending);
}

/// Makes that many sleeps that stay.
async fn others(live: usize) -> Vec<Pin<Box<Sleep>>> {
    let mut sleeps = Vec::with_capacity(live);
    for n in 0..live {
        let mut sleep = Box::pin(sleep(Duration::from_secs(60) + Duration::from_micros(n as u64)));
        arm(sleep.as_mut()).await;
        sleeps.push(sleep);
    }
    sleeps
}

fn cancelled(suite: &Suite, live: usize, operations: usize, known: bool) -> Duration {
    let all = async {
        let _others = others(live).await;
        let deadline = Instant::now() + Duration::from_secs(30);
        let began = thread_cpu();
        for n in 0..operations {
            let sleep = if known { sleep_until(deadline) } else { sleep(Duration::from_secs(30)) };
            arm(pin!(sleep)).await;
            if n % 64 == 63 {
                yield_once().await;
            }
        }
        thread_cpu() - began
    };
    suite.event_loop::<()>().block_on(all).expect("nothing stops the loop")
}

fn reset(suite: &Suite, live: usize, operations: usize) -> Duration {
    let all = async {
        let _others = others(live).await;
        let mut deadline = Instant::now() + Duration::from_secs(30);
        let mut sleep = pin!(sleep_until(deadline));
        arm(sleep.as_mut()).await;
        let began = thread_cpu();
        for n in 0..operations {
            deadline += Duration::from_micros(1);
            sleep.reset(deadline);
            if n % 64 == 63 {
                yield_once().await;
            }
        }
        thread_cpu() - began
    };
    suite.event_loop::<()>().block_on(all).expect("nothing stops the loop")
}

/// Returns CPU time, and how late each woke.
fn fire(suite: &Suite, tasks: usize) -> (Duration, Vec<Duration>) {
    let all = async {
        let late = Rc::new(RefCell::new(Vec::with_capacity(tasks)));
        let began = thread_cpu();
        let mut random = 0x9e37_79b9_7f4a_7c15_u64;
        let joins: Vec<_> = (0..tasks)
            .map(|_| {
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                let wait = Duration::from_micros(1_000 + random % 199_000);
                let late = late.clone();
                loopline::spawn(async move {
                    let deadline = Instant::now() + wait;
                    sleep_until(deadline).await;
                    late.borrow_mut().push(deadline.elapsed());
                })
            })
            .collect();
        for join in joins {
            join.await.expect("it ends");
        }
        (thread_cpu() - began, late.take())
    };
    suite.event_loop::<()>().block_on(all).expect("nothing stops the loop")
}

fn main() {
    let suite = Suite::new("ns CPU per timer");
    for (live, text) in [(0, "0 others"), (1_000_000, "1M others")] {
        suite.case(&format!("sleep, {text}"), 200_000, |n| cancelled(&suite, live, n, false));
        suite.case(&format!("sleep_until, {text}"), 200_000, |n| cancelled(&suite, live, n, true));
        suite.case(&format!("reset later, {text}"), 200_000, |n| reset(&suite, live, n));
    }
    let mut late = Vec::new();
    suite.case("fire, 100,000 tasks", 100_000, |n| {
        let (took, round) = fire(&suite, n);
        late.extend(round);
        took
    });
    if !suite.counts_instructions() && !late.is_empty() {
        late.sort_unstable();
        let at = |share: f64| late[((late.len() - 1) as f64 * share) as usize];
        println!("{:<38} p50 {:?}, p99 {:?}, most {:?}", "-> late", at(0.5), at(0.99), at(1.0));
    }
}
