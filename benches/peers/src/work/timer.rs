//! Timers as futures.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, Instant};

use super::{rounds, yield_once};
use crate::measure::{Plan, Random, thread_cpu};
use crate::peer::{Resets, Sleeps};
use crate::program::Asked;

pub fn run<P: Sleeps>(asked: &Asked) -> bool {
    let plan = asked.plan;
    match asked.case.as_str() {
        "sleep" => sleep::<P>(plan, true),
        "sleep_earliest" => sleep::<P>(plan, false),
        "timer_random" => random::<P>(plan),
        "timer_fifo" => fifo::<P>(plan, asked.parameter),
        "timer_live" => live::<P>(plan, asked.parameter),
        "timer_fire" => fire::<P>(plan),
        _ => return false,
    }
    true
}

/// `timer_reset:LIVE`.
pub fn run_reset<P: Resets>(asked: &Asked) -> bool {
    if asked.case != "timer_reset" {
        return false;
    }
    reset::<P>(asked.plan, asked.parameter);
    true
}

/// Sleeps in one piece of memory, so that nobody's cost is an allocation of ours.
struct Sleepers<S>(Box<[Option<S>]>);

impl<S: Future> Sleepers<S> {
    fn new(places: usize) -> Self {
        Self((0..places).map(|_| None).collect())
    }

    /// So many that are due in 30 s.
    async fn asleep<P: Sleeps<Sleep = S>>(peer: P, live: usize) -> Self {
        let mut sleepers = Self::new(live);
        for n in 0..live {
            sleepers.put(n, peer.sleep(Duration::from_secs(30))).await;
            if n % 64 == 63 {
                yield_once().await;
            }
        }
        sleepers
    }

    fn at(&mut self, place: usize) -> Pin<&mut S> {
        let sleep = self.0[place].as_mut().expect("it was put there");
        // SAFETY: what lies in a place is not moved before it is dropped there: the box is never
        // reallocated and nothing takes out of it.
        unsafe { Pin::new_unchecked(sleep) }
    }

    /// Puts a sleep there, in place of one that was there, and polls it once.
    async fn put(&mut self, place: usize, sleep: S) {
        self.0[place] = Some(sleep);
        let mut sleep = self.at(place);
        poll_fn(|cx| Poll::Ready(assert!(sleep.as_mut().poll(cx).is_pending()))).await;
    }
}

/// Makes a sleep, polls it once and drops it. `earlier`: one that is earlier stays alive throughout;
/// tokio writes to an eventfd for each new earliest timer, which is asked about by the other case.
fn sleep<P: Sleeps>(plan: Plan, earlier: bool) {
    rounds::<P, _>(plan, move |peer, operations| async move {
        let mut first = pin!(peer.sleep(Duration::from_secs(20)));
        if earlier {
            poll_fn(|cx| Poll::Ready(assert!(first.as_mut().poll(cx).is_pending()))).await;
        }
        for n in 0..operations {
            let mut sleep = pin!(peer.sleep(Duration::from_secs(30)));
            poll_fn(|cx| Poll::Ready(assert!(sleep.as_mut().poll(cx).is_pending()))).await;
            if n % 64 == 63 {
                yield_once().await;
            }
        }
    });
}

/// Makes all timers, with deadlines at random within a minute, then drops them in another order. Reported:
/// both, the first half, the second.
fn random<P: Sleeps>(plan: Plan) {
    P::run(plan.once, move |peer| async move {
        for counted in plan.rounds() {
            let mut random = Random::default();
            let mut sleepers = Sleepers::new(plan.operations);
            let mut order: Vec<u32> = (0..plan.operations as u32).collect();
            random.shuffle(&mut order);
            let began = thread_cpu();
            for n in 0..plan.operations {
                let wait = Duration::from_micros(60_000_000 + random.below(60_000_000));
                sleepers.put(n, peer.sleep(wait)).await;
                if n % 64 == 63 {
                    yield_once().await;
                }
            }
            let made = thread_cpu();
            for (n, &place) in order.iter().enumerate() {
                sleepers.0[place as usize] = None;
                if n % 64 == 63 {
                    yield_once().await;
                }
            }
            let ended = thread_cpu();
            plan.report_all(counted, &[ended - began, made - began, ended - made]);
        }
    });
}

/// The server's pattern: with that many alive, drops the oldest and makes one that is due in 30 s.
fn fifo<P: Sleeps>(plan: Plan, live: usize) {
    P::run(plan.once, move |peer| async move {
        let mut sleepers = Sleepers::asleep(peer, live).await;
        let mut oldest = 0;
        for counted in plan.rounds() {
            let began = thread_cpu();
            for n in 0..plan.operations {
                sleepers.put(oldest, peer.sleep(Duration::from_secs(30))).await;
                oldest = if oldest + 1 == live { 0 } else { oldest + 1 };
                if n % 64 == 63 {
                    yield_once().await;
                }
            }
            plan.report(counted, thread_cpu() - began);
        }
    });
}

/// With that many alive, which are due earlier: makes one, polls it once and drops it.
fn live<P: Sleeps>(plan: Plan, live: usize) {
    P::run(plan.once, move |peer| async move {
        let _others = Sleepers::asleep(peer, live).await;
        for counted in plan.rounds() {
            let began = thread_cpu();
            for n in 0..plan.operations {
                {
                    let mut sleep = pin!(peer.sleep(Duration::from_secs(30)));
                    poll_fn(|cx| Poll::Ready(assert!(sleep.as_mut().poll(cx).is_pending()))).await;
                }
                if n % 64 == 63 {
                    yield_once().await;
                }
            }
            plan.report(counted, thread_cpu() - began);
        }
    });
}

/// With that many alive, each is set a little later in turn, its deadline known.
fn reset<P: Resets>(plan: Plan, live: usize) {
    P::run(plan.once, move |peer| async move {
        let mut sleepers = Sleepers::new(live);
        let mut deadline = Instant::now() + Duration::from_secs(30);
        for n in 0..live {
            sleepers.put(n, peer.sleep_until(deadline)).await;
        }
        let mut next = 0;
        for counted in plan.rounds() {
            let began = thread_cpu();
            for n in 0..plan.operations {
                deadline += Duration::from_nanos(100);
                P::reset(sleepers.at(next), deadline);
                next = if next + 1 == live { 0 } else { next + 1 };
                if n % 64 == 63 {
                    yield_once().await;
                }
            }
            plan.report(counted, thread_cpu() - began);
        }
    });
}

/// Tasks that sleep 0.2 to 1.2 s, all deadlines different: CPU time for each, from its spawn to its end,
/// waiting included; how late half of them woke, and how late 99 of 100, in microseconds.
fn fire<P: Sleeps>(plan: Plan) {
    P::run(plan.once, move |peer| async move {
        for counted in plan.rounds() {
            let late = Rc::new(RefCell::new(Vec::with_capacity(plan.operations)));
            let mut random = Random::default();
            let began = thread_cpu();
            let joins: Vec<_> = (0..plan.operations)
                .map(|_| {
                    let wait = Duration::from_micros(200_000 + random.below(1_000_000));
                    let late = late.clone();
                    peer.spawn(async move {
                        let deadline = Instant::now() + wait;
                        peer.sleep_until(deadline).await;
                        // One that fires early counts as on time.
                        late.borrow_mut().push(deadline.elapsed());
                        0
                    })
                })
                .collect();
            for join in joins {
                join.await;
            }
            report_fire(plan, counted, thread_cpu() - began, late.take());
        }
    });
}

/// Prints a row of `timer_fire`.
pub fn report_fire(plan: Plan, counted: bool, took: Duration, mut late: Vec<Duration>) {
    late.sort_unstable();
    let at = |hundredth: usize| late[(late.len() - 1) * hundredth / 100].as_secs_f64() * 1e6;
    if counted {
        let each = took.as_nanos() as f64 / plan.operations as f64;
        println!("{each:.1} {:.1} {:.1}", at(50), at(99));
    }
}
