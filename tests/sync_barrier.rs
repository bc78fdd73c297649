//! Barriers: so many go on together, again and again, and who is dropped has not come.

#[path = "support/locks.rs"]
mod locks;
mod support;

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::rc::Rc;

use locks::{Random, Waiting, waiting};
use loopline::sync::Barrier;
use loopline::{spawn, yield_now};
use support::{block_on, closes_clean, scaled, seeded};

#[test]
fn nobody_waits_at_a_barrier_for_none_or_one() {
    block_on(async {
        for n in [0, 1] {
            let barrier = Barrier::new(n);
            assert!(barrier.wait().await.is_leader() && barrier.wait().await.is_leader());
        }
    });
}

#[test]
fn the_last_to_come_leads_and_all_go_on() {
    block_on(async {
        let barrier = Barrier::new(3);
        for _ in 0..3 {
            let (mut first, mut second) = (waiting(barrier.wait()), waiting(barrier.wait()));
            assert!(first.is_pending() && second.is_pending());
            assert!(barrier.wait().await.is_leader());
            assert!(first.is_woken() && second.is_woken());
            let results = (first.ready(), second.ready());
            assert!(!results.0.is_leader() && !results.1.is_leader());
            assert_eq!(format!("{:?}", results.0), "BarrierWaitResult { is_leader: false }");
        }
    });
}

#[test]
fn who_went_through_and_has_not_looked_is_not_of_the_next_generation() {
    block_on(async {
        let barrier = Barrier::new(2);
        let mut first = waiting(barrier.wait());
        assert!(barrier.wait().await.is_leader());
        let mut next = waiting(barrier.wait());
        assert!(!first.ready().is_leader());
        assert!(next.is_pending());
        let second = waiting_that_leads(&barrier);
        drop(second);
        assert!(!next.ready().is_leader());
        // Nor if it is dropped.
        let through = waiting(barrier.wait());
        assert!(barrier.wait().await.is_leader());
        let mut next = waiting(barrier.wait());
        drop(through);
        assert!(next.is_pending());
        assert!(barrier.wait().await.is_leader());
        next.ready();
    });
}

fn waiting_that_leads(barrier: &Barrier) -> Waiting<'_, ()> {
    let mut wait = Waiting::new(async { assert!(barrier.wait().await.is_leader()) });
    wait.ready();
    Waiting::new(async {})
}

// contract 40
#[test]
fn a_wait_that_is_dropped_has_not_come() {
    block_on(async {
        let barrier = Barrier::new(3);
        let mut stays = waiting(barrier.wait());
        for _ in 0..10 {
            drop(waiting(barrier.wait()));
            drop(barrier.wait());
        }
        assert!(stays.is_pending() && !stays.is_woken());
        let mut second = waiting(barrier.wait());
        assert!(barrier.wait().await.is_leader());
        assert!(!stays.ready().is_leader() && !second.ready().is_leader());
    });
}

#[test]
fn tasks_stay_in_step_whatever_the_order() {
    const TASKS: usize = 7;
    for seed in 0..4 {
        let mut event_loop = seeded::<()>(seed);
        let leaders = event_loop.block_on(async move {
            let (barrier, steps) =
                (Rc::new(Barrier::new(TASKS)), Rc::new(RefCell::new([0; TASKS])));
            let leaders = Rc::new(Cell::new(0));
            let tasks: Vec<_> = (0..TASKS)
                .map(|n| {
                    let (barrier, steps, leaders) =
                        (barrier.clone(), steps.clone(), leaders.clone());
                    spawn(async move {
                        for step in 1..=scaled(50) {
                            for _ in 0..(n * 5 + step + seed as usize) % 4 {
                                yield_now().await;
                            }
                            steps.borrow_mut()[n] = step;
                            if barrier.wait().await.is_leader() {
                                leaders.set(leaders.get() + 1);
                            }
                            assert!(steps.borrow().iter().all(|other| *other >= step));
                        }
                    })
                })
                .collect();
            for task in tasks {
                task.await.unwrap();
            }
            leaders.get()
        });
        assert_eq!(leaders.unwrap(), scaled(50));
        closes_clean(event_loop);
    }
}

// contract 40
#[test]
fn random_waits_go_as_in_the_model() {
    block_on(async {
        const N: usize = 4;
        let barrier = Barrier::new(N);
        let mut random = Random::new();
        let (mut arrived, mut through) = (BTreeSet::new(), BTreeSet::new());
        let mut waits = Vec::new();
        for number in 0..scaled(40_000) {
            if number % 16 == 0 {
                yield_now().await;
            }
            match random.below(4) {
                0 | 1 if waits.len() < 12 => {
                    let mut wait = Waiting::new(barrier.wait());
                    if arrived.len() + 1 == N {
                        assert!(wait.ready().is_leader());
                        through.append(&mut arrived);
                    } else {
                        assert!(wait.is_pending());
                        arrived.insert(number);
                        waits.push((number, wait));
                    }
                }
                2 if !waits.is_empty() => {
                    let at = random.below(waits.len());
                    if through.remove(&waits[at].0) {
                        assert!(!waits.swap_remove(at).1.ready().is_leader());
                    } else {
                        assert!(waits[at].1.is_pending());
                    }
                }
                3 if !waits.is_empty() => {
                    let (number, wait) = waits.swap_remove(random.below(waits.len()));
                    drop(wait);
                    assert!(arrived.remove(&number) ^ through.remove(&number));
                }
                _ => {}
            }
            for (number, wait) in &waits {
                assert_eq!(wait.is_woken(), through.contains(number));
            }
        }
    });
}
