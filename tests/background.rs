//! Items that `run` does not wait for, also those that become so, or cease to be, while they are alive.

mod support;

use std::cell::Cell;
use std::future::pending;
use std::rc::Rc;
use std::time::Duration;

use loopline::callback::{self, Next};
use loopline::time::{Timer, sleep};
use loopline::{closing, scope, yield_now};
use support::{closes_clean, ends_with_items, event_loop, paused};

const HOUR: Duration = Duration::from_secs(3600);

#[test]
fn a_run_waits_for_an_item_as_long_as_it_is_not_background() {
    let mut event_loop = paused::<u32>();
    let handle = event_loop.handle();
    let beat = handle.insert(Timer::every(HOUR), |_, _, beats| {
        *beats += 1;
        if *beats == 3 { Next::Stop } else { Next::Keep }
    });
    let beat = beat.unwrap().control();
    let mut beats = 0;
    assert!(beat.set_background(true) && beat.set_background(true));
    assert!(event_loop.is_finished());
    event_loop.run(&mut beats).unwrap();
    assert_eq!(beats, 0);
    // Something else to wait for: it goes on meanwhile.
    drop(handle.spawn(async { sleep(HOUR * 3 / 2).await }));
    event_loop.run(&mut beats).unwrap();
    assert_eq!(beats, 1);
    assert!(beat.set_background(false) && beat.set_background(false));
    assert!(!event_loop.is_finished());
    event_loop.run(&mut beats).unwrap();
    assert_eq!(beats, 3);
    assert!(!beat.set_background(true), "it has ended");
    closes_clean(event_loop);
}

#[test]
fn an_item_that_becomes_background_in_its_own_poll_ends_the_run_with_that_turn() {
    let mut event_loop = event_loop::<u32>();
    let handle = event_loop.handle();
    let own = move |background| handle.current().unwrap().set_background(background);
    // In its callback; in the phase before the wait, which does not take place; and in a task.
    let timer = handle.insert(Timer::after(Duration::ZERO), move |_, timer, polls| {
        *polls += 1;
        timer.set_after(HOUR);
        assert!(own(false) && own(true));
        Next::Keep
    });
    let hook = handle.insert(callback::before_park(), move |(), _, polls| {
        *polls += 100;
        own(true);
        Next::Keep
    });
    let task = handle.spawn(async move {
        own(true);
        pending::<()>().await
    });
    let mut polls = 0;
    event_loop.run(&mut polls).unwrap();
    assert_eq!(polls % 100, 1);
    assert!(polls > 100);
    for item in [timer.unwrap().control(), hook.unwrap().control(), task.control()] {
        assert!(item.cancel());
    }
    closes_clean(event_loop);
}

#[test]
fn the_last_word_counts_whoever_says_it_and_one_that_ends_leaves_nothing_behind() {
    let mut event_loop = event_loop::<()>();
    let handle = event_loop.handle();
    let first = handle.spawn(async move {
        handle.current().unwrap().set_background(true);
        yield_now().await;
        // It ends with that unheard.
        handle.current().unwrap().set_background(false);
    });
    let control = first.control();
    let ran = Rc::new(Cell::new(false));
    let note = ran.clone();
    let second = handle.spawn(async move {
        assert!(control.set_background(false));
        yield_now().await;
        yield_now().await;
        note.set(true);
    });
    event_loop.run(&mut ()).unwrap();
    assert!(ran.get() && first.is_finished() && second.is_finished());
    // The count is right: this one alone is waited for.
    let third = handle.spawn(pending::<()>());
    assert!(!event_loop.is_finished());
    third.control().set_background(true);
    event_loop.run(&mut ()).unwrap();
    ends_with_items(event_loop, 1);
}

#[test]
fn a_graceful_end_does_not_wait_for_one_that_becomes_background_meanwhile() {
    let mut event_loop = paused::<()>();
    let handle = event_loop.handle();
    let first = handle.spawn(pending::<()>()).control();
    drop(handle.spawn(async move {
        closing().await;
        assert!(first.set_background(true));
        yield_now().await;
        handle.current().unwrap().set_background(true);
        pending::<()>().await;
    }));
    event_loop.turn(&mut (), Duration::ZERO).unwrap();
    let start = handle.now();
    let stragglers = event_loop.run_until(&mut (), handle.shutdown(HOUR)).unwrap();
    assert!(stragglers.is_empty(), "{stragglers:?}");
    assert_eq!(handle.now(), start, "there was nobody to wait for");
    closes_clean(event_loop);
}

#[test]
fn a_child_of_a_scope_stays_what_it_is() {
    let mut event_loop = event_loop::<()>();
    let handle = event_loop.handle();
    let done = event_loop.run_until(&mut (), async move {
        let outcome = Cell::new(0);
        scope(async |s| {
            let child = s.spawn(async {
                yield_now().await;
                outcome.set(7);
            });
            for background in [false, true, false] {
                child.control().set_background(background);
            }
        })
        .await;
        outcome.get()
    });
    assert_eq!(done.unwrap(), 7);
    let last = handle.spawn(yield_now());
    event_loop.run(&mut ()).unwrap();
    assert!(last.is_finished());
    closes_clean(event_loop);
}

// contract 16
#[test]
fn what_is_said_of_an_item_last_counts_also_where_it_was_polled_before() {
    let mut event_loop = event_loop::<()>();
    let handle = event_loop.handle();
    let item = handle.spawn(async move {
        // Counts when this poll is over.
        handle.current().unwrap().set_background(true);
        pending::<()>().await;
    });
    event_loop.turn(&mut (), Duration::ZERO).unwrap();
    let other = handle.spawn(async {
        yield_now().await;
    });
    // In the turn in which that was said, right behind the poll.
    let control = item.control();
    assert!(control.wake() && control.set_background(false));
    assert!(!event_loop.is_finished());
    event_loop.turn(&mut (), Duration::ZERO).unwrap();
    assert!(!event_loop.is_finished());
    drop((item.cancel(), other.cancel()));
    event_loop.run(&mut ()).unwrap();
    closes_clean(event_loop);
}

#[test]
fn what_one_item_says_of_another_after_its_poll_counts() {
    let mut event_loop = event_loop::<()>();
    let handle = event_loop.handle();
    let item = handle.spawn(async move {
        handle.current().unwrap().set_background(true);
        pending::<()>().await;
    });
    let control = item.control();
    drop(handle.spawn(async move { assert!(control.set_background(false)) }));
    event_loop.turn(&mut (), Duration::ZERO).unwrap();
    assert!(!event_loop.is_finished());
    drop(item.cancel());
    closes_clean(event_loop);
}

// contract 13
#[test]
fn a_control_of_an_item_that_has_ended_says_nothing_of_the_one_in_its_place() {
    let mut event_loop = event_loop::<()>();
    let handle = event_loop.handle();
    let first = handle.spawn(async {});
    let control = first.control();
    event_loop.run(&mut ()).unwrap();
    let second = handle.spawn(pending::<()>());
    assert!(!control.set_background(true));
    assert!(!event_loop.is_finished());
    drop((first, second.cancel()));
    event_loop.run(&mut ()).unwrap();
    closes_clean(event_loop);
}

#[test]
fn a_child_of_a_scope_is_counted_by_its_scope_whatever_is_said_of_it() {
    let mut event_loop = event_loop::<()>();
    let handle = event_loop.handle();
    let ended = event_loop.block_on(async move {
        scope(async |s| {
            let child = s.spawn(yield_now());
            for background in [false, true, false] {
                assert!(child.control().set_background(background));
            }
            child.await.unwrap();
        })
        .await;
        handle.shutdown(HOUR).await
    });
    assert!(ended.unwrap().is_empty());
    closes_clean(event_loop);
}
