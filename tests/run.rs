//! What ends a run, and what a run or a turn inside another is told.

mod support;

use std::cell::{Cell, RefCell};
use std::future::{Future, pending, poll_fn};
use std::panic::catch_unwind;
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;
use std::thread;
use std::time::Duration;

use loopline::callback::{self, Next};
use loopline::time::Timer;
use loopline::{Handle, RunError, spawn, yield_now};
use support::{built, closes_clean, event_loop, scaled};

type Log = Rc<RefCell<Vec<&'static str>>>;

// contract 22; fault 82
#[test]
fn stop_before_a_run_ends_it_after_one_turn() {
    let mut event_loop = event_loop::<()>();
    let handle = event_loop.handle();
    let polls = Rc::new(Cell::new(0));
    let count = polls.clone();
    let storm = handle.spawn(poll_fn(move |_| {
        count.set(count.get() + 1);
        Poll::<()>::Pending
    }));
    handle.stop();
    handle.stop();
    event_loop.run(&mut ()).unwrap();
    assert_eq!((handle.stats().turns, polls.get()), (1, 1));
    // Both calls were one, and it is used up.
    assert!(!event_loop.turn(&mut (), Duration::ZERO).unwrap().stopped);
    drop(storm.cancel());
    closes_clean(event_loop);
}

// contract 22; fault 82
#[test]
fn stop_before_a_run_without_items_is_used_up_by_it() {
    let mut event_loop = event_loop::<()>();
    event_loop.handle().stop();
    event_loop.run(&mut ()).unwrap();
    assert!(!event_loop.turn(&mut (), Duration::ZERO).unwrap().stopped);
    event_loop.handle().stop();
    let turn = event_loop.turn(&mut (), None).unwrap();
    assert!(turn.stopped);
    assert!(!event_loop.turn(&mut (), Duration::ZERO).unwrap().stopped);
    closes_clean(event_loop);
}

// contract 22; fault 82
#[test]
fn stop_inside_a_turn_ends_the_run_after_that_turn() {
    let mut event_loop = event_loop::<u32>();
    let handle = event_loop.handle();
    let waits = handle.spawn(pending::<()>());
    // From a task.
    handle.spawn(async move {
        handle.stop();
        handle.stop();
        yield_now().await;
        handle.with(|n| *n += 1);
    });
    let mut n = 0;
    event_loop.run(&mut n).unwrap();
    assert_eq!((n, handle.stats().turns), (1, 1), "the rest of the turn ran");
    // From a callback.
    handle
        .insert(futures::stream::iter(1..=3), move |_, _, n| {
            *n += 1;
            handle.stop();
            Next::Keep
        })
        .unwrap();
    event_loop.run(&mut n).unwrap();
    assert_eq!(n, 4);
    drop(waits.cancel());
    closes_clean(event_loop);
}

// contract 22; fault 82
#[test]
fn stop_before_a_wait_makes_it_none() {
    let mut event_loop = event_loop::<()>();
    let handle = event_loop.handle();
    let waits = handle.spawn(pending::<()>());
    let hook = handle.insert(callback::before_park(), move |(), _, ()| {
        handle.stop();
        Next::Stop
    });
    let hour = Timer::after(Duration::from_secs(3600));
    let hour = handle.insert(hour, |_, _, ()| panic!("it waited")).unwrap();
    event_loop.run(&mut ()).unwrap();
    assert_eq!(handle.stats().turns, 2, "the source came to wait in the first");
    drop((hook, waits.cancel(), hour.cancel()));
    closes_clean(event_loop);
}

// contract 22
#[test]
fn a_stopped_run_until_says_so_and_drops_its_future() {
    let mut event_loop = event_loop::<()>();
    let handle = event_loop.handle();
    let witness = Rc::new(());
    let inside = witness.clone();
    let result = event_loop.block_on(async move {
        let _inside = inside;
        handle.stop();
        pending::<()>().await;
    });
    let error = result.unwrap_err();
    assert!(matches!(error, RunError::Stopped));
    assert_eq!(error.to_string(), "the event loop was stopped before the future was done");
    assert_eq!(std::io::Error::from(error).kind(), std::io::ErrorKind::Other);
    assert_eq!(Rc::strong_count(&witness), 1);
    assert_eq!(event_loop.block_on(async { 5 }).unwrap(), 5);
    closes_clean(event_loop);
}

// contract 22
#[test]
fn a_run_ends_when_no_item_is_left_and_background_does_not_count() {
    let mut event_loop = event_loop::<()>();
    let handle = event_loop.handle();
    event_loop.run(&mut ()).unwrap();
    assert_eq!(handle.stats().turns, 0);
    let log = Log::default();
    let background = log.clone();
    let forever = handle.item().background().spawn(async move {
        loop {
            background.borrow_mut().push("background");
            yield_now().await;
        }
    });
    let source =
        handle.item().background().insert(callback::idle(), |_, _, ()| Next::Keep).unwrap();
    event_loop.run(&mut ()).unwrap();
    assert!(log.borrow().is_empty(), "nothing to run for");
    let foreground = log.clone();
    handle.spawn(async move { foreground.borrow_mut().push("foreground") });
    event_loop.run(&mut ()).unwrap();
    assert_eq!(log.borrow()[..2], ["background", "foreground"]);
    assert_eq!(handle.stats().items, 2);
    drop((forever.cancel(), source.cancel()));
    closes_clean(event_loop);
}

// contract 22
#[test]
fn a_run_whose_last_item_ends_before_the_wait_ends_too() {
    // Neither with the deadlock's error nor in a wait without end.
    for detect in [true, false] {
        let mut event_loop = built::<u32>(|builder| builder.detect_deadlock(detect));
        let handle = event_loop.handle();
        let hook = handle.insert(callback::before_park(), move |(), _, parks| {
            *parks += 1;
            if *parks == 3 {
                return Next::Stop;
            }
            handle.spawn(async {}); // so that this wait is none
            Next::Keep
        });
        drop(hook);
        let mut parks = 0;
        event_loop.run(&mut parks).unwrap();
        assert_eq!(parks, 3);
        closes_clean(event_loop);
    }
}

// contract 28; fault 70
#[test]
fn a_run_inside_a_task_is_an_error_and_the_outer_loop_goes_on() {
    let mut outer = event_loop::<()>();
    let output = outer.block_on(async {
        let task = spawn(async {
            let mut inner = event_loop::<()>();
            assert!(matches!(inner.run(&mut ()), Err(RunError::Nested)));
            let error = inner.block_on(async {}).unwrap_err();
            assert!(error.to_string().contains("an event loop runs on this thread already"));
            let panicked = catch_unwind(|| loopline::block_on(async {})).unwrap_err();
            let text = panicked.downcast::<String>().unwrap();
            assert_eq!(*text, error.to_string());
            closes_clean(inner);
            5
        });
        task.await.unwrap()
    });
    assert_eq!(output.unwrap(), 5);
    closes_clean(outer);
}

// contract 28; fault 70
#[test]
fn a_run_inside_a_callback_is_an_error_and_the_outer_loop_goes_on() {
    let mut outer = event_loop::<Vec<bool>>();
    let handle = outer.handle();
    let inner = Rc::new(RefCell::new(event_loop::<()>()));
    let nested = inner.clone();
    handle
        .insert(futures::stream::iter(1..=3), move |_, _, seen: &mut Vec<bool>| {
            seen.push(matches!(nested.borrow_mut().run(&mut ()), Err(RunError::Nested)));
            Next::Keep
        })
        .unwrap();
    let mut seen = Vec::new();
    outer.run(&mut seen).unwrap();
    assert_eq!(seen, [true; 3]);
    closes_clean(outer);
    closes_clean(Rc::into_inner(inner).expect("the callback went with its item").into_inner());
}

// contract 28; fault 70
#[test]
fn a_turn_of_another_loop_inside_a_task_is_allowed() {
    let mut outer = event_loop::<u8>();
    let output = outer.run_until(&mut 1, async {
        let mut inner = event_loop::<u16>();
        let handle = inner.handle();
        let task = handle.spawn(async move { handle.with(|n| *n + 1) });
        inner.turn(&mut 2, Duration::ZERO).unwrap();
        assert!(task.is_finished());
        closes_clean(inner);
        Handle::<u8>::try_current().unwrap().with(|n| *n)
    });
    assert_eq!(output.unwrap(), 1);
    closes_clean(outer);
}

// contract 28
#[test]
fn loops_on_one_thread_and_on_several_do_not_mix() {
    let each = scaled(200);
    let threads: Vec<_> = (0..4)
        .map(|_| {
            thread::spawn(move || {
                let mut loops: Vec<_> = (0..4).map(|_| event_loop::<usize>()).collect();
                let mut states = [0; 4];
                for (index, event_loop) in loops.iter().enumerate() {
                    let handle = event_loop.handle();
                    for _ in 0..each {
                        handle.spawn(async move {
                            yield_now().await;
                            assert_eq!(Handle::<usize>::try_current(), Ok(handle));
                            handle.with(|n| *n += index + 1);
                        });
                    }
                }
                for _ in 0..10 * each {
                    for (event_loop, state) in loops.iter_mut().zip(&mut states) {
                        event_loop.turn(state, Duration::ZERO).unwrap();
                    }
                    if loops.iter().all(|event_loop| event_loop.handle().stats().items == 0) {
                        break;
                    }
                }
                loops.into_iter().for_each(closes_clean);
                states
            })
        })
        .collect();
    for thread in threads {
        assert_eq!(thread.join().unwrap(), [each, 2 * each, 3 * each, 4 * each]);
    }
}

// contract 22
#[test]
fn a_future_that_is_ready_at_once_takes_one_turn_and_runs_no_more_than_its_round() {
    let mut event_loop = event_loop::<()>();
    let handle = event_loop.handle();
    let ready: Pin<Box<dyn Future<Output = u32>>> = Box::pin(async { 5 });
    assert_eq!(event_loop.block_on(ready).unwrap(), 5);
    assert_eq!((handle.stats().turns, handle.stats().items_run), (1, 1));
    closes_clean(event_loop);
}

#[test]
fn a_future_waits_for_what_was_queued_before_it_also_after_a_run_that_was_stopped() {
    let mut event_loop = event_loop::<Vec<u32>>();
    let handle = event_loop.handle();
    let mut log = Vec::new();
    for before in [0, 3] {
        let note = move |n| handle.spawn(async move { handle.with(|log| log.push(n)) });
        // It is queued when it ends.
        let stopped = event_loop.run_until(&mut log, async {
            handle.stop();
            loop {
                yield_now().await;
            }
        });
        assert!(matches!(stopped, Err(RunError::Stopped)));
        for n in 0..before {
            drop(note(n));
        }
        drop(note(7));
        event_loop.run_until(&mut log, async { handle.with(|log| log.push(8)) }).unwrap();
        drop(note(9));
        event_loop.run(&mut log).unwrap();
    }
    assert_eq!(log, [7, 8, 9, 0, 1, 2, 7, 8, 9]);
    closes_clean(event_loop);
}
