//! Tasks, deferred closures and the root future run in the order in which they were queued.

mod support;

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use loopline::callback::{self, Next};
use loopline::{Builder, JoinHandle, spawn, yield_now};
use support::{block_on, built, closes_clean, event_loop};

/// A list that tasks write what they do to.
type Log = Rc<RefCell<Vec<String>>>;

fn say(log: &Log, text: impl Into<String>) {
    log.borrow_mut().push(text.into());
}

// contract 26
#[test]
fn tasks_run_in_the_order_in_which_they_were_spawned() {
    let log = Log::default();
    block_on({
        let log = log.clone();
        async move {
            let tasks: Vec<_> = (0..5)
                .map(|n| {
                    let log = log.clone();
                    spawn(async move { say(&log, n.to_string()) })
                })
                .collect();
            futures::future::join_all(tasks).await;
        }
    });
    assert_eq!(*log.borrow(), ["0", "1", "2", "3", "4"]);
}

// contract 26
#[test]
fn a_task_that_yields_goes_behind_all_that_is_queued() {
    let log = Log::default();
    let mut event_loop = event_loop::<()>();
    for name in ["a", "b", "c"] {
        let log = log.clone();
        event_loop.handle().spawn(async move {
            for step in 1..=3 {
                say(&log, format!("{name}{step}"));
                yield_now().await;
            }
        });
    }
    event_loop.run(&mut ()).unwrap();
    assert_eq!(*log.borrow(), ["a1", "b1", "c1", "a2", "b2", "c2", "a3", "b3", "c3"]);
    closes_clean(event_loop);
}

// contract 26
#[test]
fn a_task_spawned_by_a_task_runs_in_the_next_round() {
    let log = Log::default();
    let mut event_loop = event_loop::<()>();
    let handle = event_loop.handle();
    let inner = log.clone();
    handle.spawn(async move {
        say(&inner, "parent");
        let child = inner.clone();
        handle.spawn(async move { say(&child, "child") });
        yield_now().await;
        say(&inner, "parent again");
    });
    let other = log.clone();
    handle.spawn(async move {
        say(&other, "other");
        yield_now().await;
        say(&other, "other again");
    });
    event_loop.run(&mut ()).unwrap();
    assert_eq!(*log.borrow(), ["parent", "other", "child", "parent again", "other again"]);
    closes_clean(event_loop);
}

// contract 17
#[test]
fn a_source_inserted_by_a_task_runs_in_the_next_turn_and_a_task_in_this_one() {
    let mut event_loop = event_loop::<()>();
    let handle = event_loop.handle();
    let log = Rc::new(RefCell::new(Vec::new()));
    let inner = log.clone();
    handle.spawn(async move {
        let (ping, source) = callback::ping();
        ping.ping();
        let seen = inner.clone();
        handle
            .insert(source, move |(), _source, ()| {
                seen.borrow_mut().push(("source", handle.stats().turns));
                Next::Stop
            })
            .unwrap();
        let seen = inner.clone();
        handle.spawn(async move {
            yield_now().await;
            seen.borrow_mut().push(("task", handle.stats().turns));
        });
    });
    event_loop.run(&mut ()).unwrap();
    assert_eq!(*log.borrow(), [("task", 1), ("source", 2)]);
    closes_clean(event_loop);
}

// contract 26
#[test]
fn the_root_future_stands_in_the_same_queue_as_the_tasks() {
    let log = Log::default();
    block_on(async {
        for name in ["a", "b"] {
            let log = log.clone();
            spawn(async move {
                say(&log, format!("{name}1"));
                yield_now().await;
                say(&log, format!("{name}2"));
            });
        }
        say(&log, "root1");
        yield_now().await;
        say(&log, "root2");
        yield_now().await;
        say(&log, "root3");
    });
    assert_eq!(*log.borrow(), ["root1", "a1", "b1", "root2", "a2", "b2", "root3"]);
}

// contract 26
#[test]
fn an_item_runs_once_a_round_also_when_it_cancels_another_of_that_round() {
    let log = Log::default();
    let mut event_loop = event_loop::<()>();
    let handle = event_loop.handle();
    let victims: Vec<JoinHandle<()>> = Vec::new();
    let victims = Rc::new(RefCell::new(victims));
    let (inner, doomed) = (log.clone(), victims.clone());
    handle.spawn(async move {
        say(&inner, "a1");
        doomed.borrow_mut().drain(..).for_each(|victim| drop(victim.cancel()));
        // Of the round after this one, which has not begun.
        let deferred = inner.clone();
        handle.defer(move |()| say(&deferred, "deferred"));
        yield_now().await;
        say(&inner, "a2");
    });
    let victim = || handle.spawn(async { unreachable!("cancelled before its turn came") });
    victims.borrow_mut().extend([victim(), victim()]);
    let inner = log.clone();
    handle.spawn(async move {
        say(&inner, "b1");
        yield_now().await;
        say(&inner, "b2");
    });
    event_loop.run(&mut ()).unwrap();
    assert_eq!(*log.borrow(), ["a1", "b1", "deferred", "a2", "b2"]);
    closes_clean(event_loop);
}

// contract 26
#[test]
fn what_was_deferred_runs_at_the_head_of_the_next_round_in_order() {
    let mut event_loop = event_loop::<Vec<&str>>();
    let handle = event_loop.handle();
    handle.spawn(async move {
        handle.with(|log| log.push("a"));
        handle.spawn(async move { handle.with(|log| log.push("spawned")) });
        handle.defer(|log| log.push("deferred 1"));
        handle.defer(|log| log.push("deferred 2"));
    });
    handle.spawn(async move { handle.with(|log| log.push("b")) });
    let mut log = Vec::new();
    event_loop.run(&mut log).unwrap();
    assert_eq!(log, ["a", "b", "deferred 1", "deferred 2", "spawned"]);
    closes_clean(event_loop);
}

// contract 26
#[test]
fn what_is_deferred_by_a_deferred_closure_waits_one_more_round() {
    let mut event_loop = event_loop::<Vec<&str>>();
    let handle = event_loop.handle();
    handle.defer(move |log| {
        log.push("first");
        handle.defer(|log| log.push("third"));
    });
    handle.spawn(async move { handle.with(|log| log.push("second")) });
    let mut log = Vec::new();
    event_loop.run(&mut log).unwrap();
    assert_eq!(log, ["first", "second", "third"]);
    closes_clean(event_loop);
}

// contract 17
#[test]
fn next_turn_waits_for_a_look_at_the_poller_however_much_is_queued() {
    let mut event_loop = event_loop::<Vec<(&str, u64)>>();
    let handle = event_loop.handle();
    handle.spawn(async move {
        handle.next_turn(move |log| log.push(("next turn", handle.stats().turns)));
        for _ in 0..3 {
            yield_now().await;
        }
        handle.with(|log| log.push(("three rounds on", handle.stats().turns)));
    });
    let mut log = Vec::new();
    event_loop.run(&mut log).unwrap();
    assert_eq!(log, [("three rounds on", 1), ("next turn", 2)]);
    closes_clean(event_loop);
}

// contract 17
#[test]
fn deferred_closures_and_next_turns_give_their_results_to_their_handles() {
    let mut event_loop = event_loop::<u32>();
    let handle = event_loop.handle();
    let result = event_loop
        .run_until(&mut 5, async move {
            let deferred = handle.defer(|n| *n + 1).await.unwrap();
            deferred + handle.next_turn(|n| *n * 10).await.unwrap()
        })
        .unwrap();
    assert_eq!(result, 56);
    closes_clean(event_loop);
}

// contract 17
#[test]
fn deferred_goes_before_the_rest_of_a_round_however_items_are_run() {
    type Order = Vec<&'static str>;
    type Settings = fn(Builder<Order>) -> Builder<Order>;
    const SLOW: Duration = Duration::from_secs(3600);
    let ways: [(&str, Settings, u32); 4] = [
        ("as usual", |builder| builder, 0),
        ("with a look at the clock for each", |builder| builder.report_slow_items(SLOW), 0),
        ("with a watchdog", |builder| builder.watchdog(SLOW), 0),
        ("in a loop of two lanes", |builder| builder, 1),
    ];
    for (how, set, lanes) in ways {
        let mut event_loop = built(|builder| set(builder).items_per_turn(1));
        let handle = event_loop.handle();
        (0..lanes).for_each(|_| _ = handle.add_lane(1).unwrap());
        for name in ["a", "b", "c"] {
            handle.spawn(async move { handle.with(|order| order.push(name)) });
        }
        let mut order = Order::new();
        event_loop.turn(&mut order, Duration::ZERO).unwrap();
        handle.defer(|order| order.push("deferred"));
        event_loop.run(&mut order).unwrap();
        assert_eq!(order, ["a", "deferred", "b", "c"], "{how}");
        closes_clean(event_loop);
    }
}
