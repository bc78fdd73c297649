//! `race`: the first to end wins, whoever stands where, and the others are dropped.

mod support;

use std::future::{Future, pending, ready};
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use loopline::task::consume_budget;
use loopline::time::{now, sleep};
use loopline::{race, spawn, yield_now};
use support::{block_on, block_on_paused};

#[test]
fn the_first_to_end_wins_and_the_others_are_dropped() {
    block_on_paused(async {
        let (start, witness) = (now(), Rc::new(()));
        let racers = [5, 2, 9].map(|seconds| {
            let witness = witness.clone();
            async move {
                let _witness = witness;
                sleep(Duration::from_secs(seconds)).await;
                seconds
            }
        });
        assert_eq!(race(racers).await, 2);
        assert_eq!((now() - start, Rc::strong_count(&witness)), (Duration::from_secs(2), 1));
    });
}

#[test]
fn of_those_that_are_ready_at_once_each_wins_now_and_then() {
    block_on(async {
        let mut won = [0; 4];
        for _ in 0..400 {
            won[race((0..4).map(ready)).await] += 1;
        }
        assert!(won.iter().all(|won| *won > 40), "{won:?}");
    });
}

#[test]
fn a_race_of_none_waits_for_ever_and_one_of_one_is_that_one() {
    block_on(async {
        assert_eq!(race([async { 7 }]).await, 7);
        let never = spawn(race(Vec::<Pin<Box<dyn Future<Output = ()>>>>::new()));
        yield_now().await;
        assert!(!never.is_finished());
        drop(never.cancel());
    });
}

// contract 27
#[test]
fn a_race_yields_when_the_budget_is_used_up() {
    block_on(async {
        let other = spawn(async {});
        for _ in 0..128 {
            assert!(!other.is_finished());
            consume_budget().await;
        }
        race([Box::pin(ready(())) as Pin<Box<dyn Future<Output = ()>>>, Box::pin(pending())]).await;
        assert!(other.is_finished());
    });
}
