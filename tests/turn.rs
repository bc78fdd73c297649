//! Turns: what ends one, what a loop promises however busy it is, and the phases around the wait.

mod support;

use std::cell::{Cell, RefCell};
use std::future::{Future, pending, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::mpsc;
use std::task::{Context, Poll};
use std::thread;
use std::time::{Duration, Instant};

use futures::Stream;
use loopline::callback::{self, Next};
use loopline::time::{Timer, sleep};
use loopline::{Clock, EventLoop, Handle, RunError, StateError, Turn, spawn, yield_now};
use support::{closes_clean, event_loop, paused, scaled};

type Log = Rc<RefCell<Vec<&'static str>>>;

/// A task that wakes itself at each poll, until told to end.
fn storm(handle: Handle<()>, end: &Rc<Cell<bool>>) {
    let end = end.clone();
    handle.spawn(poll_fn(move |cx| {
        cx.waker().wake_by_ref();
        if end.get() { Poll::Ready(()) } else { Poll::Pending }
    }));
}

// contract 21
#[test]
fn a_turn_of_zero_length_does_not_wait() {
    let mut event_loop = event_loop::<()>();
    let waits = event_loop.handle().spawn(pending::<()>());
    assert_eq!(event_loop.turn(&mut (), Duration::ZERO).unwrap().ran, 1);
    let Turn { ran, left, deadline, stopped, .. } =
        event_loop.turn(&mut (), Duration::ZERO).unwrap();
    assert_eq!((ran, left, deadline, stopped), (0, false, None, false));
    drop(waits.cancel());
    closes_clean(event_loop);
}

// contract 21
#[test]
fn a_turn_waits_no_longer_than_its_limit_and_no_shorter() {
    let mut event_loop = event_loop::<()>();
    let limit = Duration::from_millis(5);
    let before = Instant::now();
    let turn = event_loop.turn(&mut (), limit).unwrap();
    assert!(before.elapsed() >= limit);
    assert_eq!((turn.ran, turn.left), (0, false));
    assert!(event_loop.handle().stats().time_parked > Duration::ZERO);
    closes_clean(event_loop);
}

// contract 21, 24
#[test]
fn a_turn_tells_the_next_deadline_and_waits_for_it() {
    let mut event_loop = event_loop::<()>();
    let start = Instant::now();
    let wait = Duration::from_millis(20);
    let task = event_loop.handle().spawn(async move { sleep(wait).await });
    let turn = event_loop.turn(&mut (), None).unwrap();
    let deadline = turn.deadline.unwrap();
    assert!(deadline >= start && deadline <= Instant::now() + wait);
    while !task.is_finished() {
        event_loop.turn(&mut (), None).unwrap();
    }
    assert!(start.elapsed() >= wait);
    // The clock of the turn was read after the wait.
    assert!(event_loop.handle().now() >= start + wait);
    assert_eq!(event_loop.turn(&mut (), Duration::ZERO).unwrap().deadline, None);
    closes_clean(event_loop);
}

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
    let inner = RefCell::new(event_loop::<()>());
    handle
        .insert(futures::stream::iter(1..=3), move |_, _, seen: &mut Vec<bool>| {
            seen.push(matches!(inner.borrow_mut().run(&mut ()), Err(RunError::Nested)));
            Next::Keep
        })
        .unwrap();
    let mut seen = Vec::new();
    outer.run(&mut seen).unwrap();
    assert_eq!(seen, [true; 3]);
    closes_clean(outer);
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

/// Lets a timer, a ping of this thread and messages of another come through a storm, and counts turns.
fn through_the_storm(tasks: usize) {
    let mut event_loop = event_loop::<()>();
    let handle = event_loop.handle();
    let end = Rc::new(Cell::new(false));
    (0..tasks).for_each(|_| storm(handle, &end));
    let timed = handle.spawn(async move {
        sleep(Duration::from_millis(1)).await;
        handle.stats().turns
    });
    let (sender, mut receiver) = callback::channel();
    let received = handle.spawn(async move {
        let mut turns = Vec::new();
        while receiver.next().await.is_some() {
            turns.push(handle.stats().turns);
        }
        turns
    });
    let (ping, mut source) = callback::ping();
    let pinged = handle.spawn(async move { source.next().await });
    // One turn each is a promise: every turn looks at the inbox and at the timers, and the queue is
    // passed through once in as many turns as it has portions. (64: the least a turn runs.)
    let pass = (tasks as u64 + 4) / 64 + 2;
    let mut sent = Vec::new();
    for n in 0..10 {
        // Sent by another thread while this one is between turns: the moment is known.
        thread::scope(|scope| scope.spawn(|| sender.send(n).unwrap()).join().unwrap());
        sent.push(handle.stats().turns);
        for _ in 0..2 * pass {
            event_loop.turn(&mut (), None).unwrap();
        }
    }
    drop(sender);
    ping.ping();
    let pinged_at = handle.stats().turns;
    while !(timed.is_finished() && received.is_finished() && pinged.is_finished()) {
        let turn = event_loop.turn(&mut (), None).unwrap();
        assert!(turn.left && turn.ran <= 1024);
        assert!(handle.stats().turns <= pinged_at + 10_000, "the storm shuts the others out");
    }
    end.set(true);
    event_loop.run(&mut ()).unwrap();
    let arrived = event_loop.block_on(received).unwrap().unwrap();
    assert_eq!(arrived.len(), sent.len());
    for (arrived, sent) in arrived.iter().zip(sent) {
        assert!(arrived - sent <= 2 * pass, "{} turns for a message", arrived - sent);
    }
    closes_clean(event_loop);
}

// contract 25, 26; fault 62
#[test]
fn a_timer_a_ping_and_messages_get_through_one_task_that_always_wakes_itself() {
    through_the_storm(1);
}

// contract 25, 26; fault 62
#[test]
fn a_timer_a_ping_and_messages_get_through_ten_thousand_tasks_that_always_wake_themselves() {
    through_the_storm(scaled(10_000));
}

// contract 25
#[test]
fn a_turn_ends_after_1024_items_where_time_does_not_end_it() {
    let mut event_loop = paused::<()>();
    let handle = event_loop.handle();
    let end = Rc::new(Cell::new(false));
    (0..10).for_each(|_| storm(handle, &end));
    for _ in 0..5 {
        let turn = event_loop.turn(&mut (), None).unwrap();
        assert_eq!((turn.ran, turn.left), (1024, true));
    }
    // What comes from outside meanwhile waits for no more than that.
    let (sender, mut receiver) = callback::channel();
    let received = handle.spawn(async move { receiver.next().await });
    event_loop.turn(&mut (), None).unwrap();
    thread::scope(|scope| scope.spawn(|| sender.send(5).unwrap()).join().unwrap());
    event_loop.turn(&mut (), None).unwrap();
    assert!(received.is_finished());
    end.set(true);
    event_loop.run(&mut ()).unwrap();
    closes_clean(event_loop);
}

// contract 25
#[test]
fn a_turn_with_work_left_ends_when_its_time_is_over_or_a_timer_is_due() {
    let builder = EventLoop::<()>::builder().time_per_turn(Duration::from_secs(3600));
    let mut event_loop = builder.items_per_check(1).items_per_turn(usize::MAX).build().unwrap();
    let handle = event_loop.handle();
    let end = Rc::new(Cell::new(false));
    storm(handle, &end);
    let calm = end.clone();
    let timed = handle.spawn(async move {
        sleep(Duration::from_millis(2)).await;
        calm.set(true);
    });
    // Only the timer can end this turn.
    event_loop.turn(&mut (), None).unwrap();
    assert!(!timed.is_finished());
    // And nothing but the end of the storm the next one.
    event_loop.turn(&mut (), None).unwrap();
    assert!(timed.is_finished());
    closes_clean(event_loop);

    let builder = EventLoop::<()>::builder().time_per_turn(Duration::ZERO);
    let mut event_loop = builder.items_per_check(7).build().unwrap();
    end.set(false);
    storm(event_loop.handle(), &end);
    assert_eq!(event_loop.turn(&mut (), None).unwrap().ran, 7);
    end.set(true);
    event_loop.run(&mut ()).unwrap();
    closes_clean(event_loop);
}

// contract 25, 34
#[test]
fn a_round_cut_off_by_the_end_of_its_turn_goes_on_where_it_was() {
    let builder = EventLoop::<Vec<u32>>::builder().clock(Clock::Paused).items_per_turn(3);
    let mut event_loop = builder.build().unwrap();
    let handle = event_loop.handle();
    for n in 0..5 {
        handle.spawn(async move {
            for _ in 0..2 {
                handle.with(|log| log.push(n));
                yield_now().await;
            }
        });
    }
    let mut log = Vec::new();
    event_loop.turn(&mut log, None).unwrap();
    assert_eq!(log, [0, 1, 2]);
    handle.defer(|log| log.push(9));
    event_loop.run(&mut log).unwrap();
    assert_eq!(log, [0, 1, 2, 9, 3, 4, 0, 1, 2, 3, 4]);
    closes_clean(event_loop);
}

// contract 25
#[test]
fn messages_of_remotes_are_taken_in_portions() {
    let mut event_loop = paused::<()>();
    let handle = event_loop.handle();
    let remote = handle.remote();
    let started = Rc::new(Cell::new(0));
    for _ in 0..3_000 {
        drop(remote.spawn(|_| async {}).unwrap());
    }
    let flag = started.clone();
    handle.spawn(async move { flag.set(handle.stats().items) });
    event_loop.turn(&mut (), None).unwrap();
    assert_eq!(started.get(), 1 + 1024, "the task that was there and one portion");
    drop(remote);
    event_loop.run(&mut ()).unwrap();
    closes_clean(event_loop);
}

// contract 16
#[test]
fn before_park_and_after_park_stand_around_every_wait_like_brackets() {
    let mut event_loop = event_loop::<Vec<&str>>();
    let handle = event_loop.handle();
    let mut items = Vec::new();
    for name in ["before 1", "before 2"] {
        let item = handle.insert(callback::before_park(), move |(), _, log: &mut Vec<&str>| {
            log.push(name);
            Next::Keep
        });
        items.push(item.unwrap().control());
    }
    for name in ["after 1", "after 2"] {
        let item = handle.insert(callback::after_park(), move |(), _, log: &mut Vec<&str>| {
            log.push(name);
            Next::Keep
        });
        items.push(item.unwrap().control());
    }
    let mut log = Vec::new();
    // They come to wait in this turn.
    event_loop.turn(&mut log, Duration::ZERO).unwrap();
    assert!(log.is_empty());
    handle.spawn(async move {
        handle.with(|log| log.push("task"));
    });
    for _ in 0..2 {
        event_loop.turn(&mut log, Duration::ZERO).unwrap();
    }
    let around = ["before 1", "before 2", "after 2", "after 1"];
    assert_eq!(log, [&around[..], &["task"], &around[..]].concat());
    items.into_iter().for_each(|item| assert!(item.cancel()));
    closes_clean(event_loop);
}

// contract 16, 23
#[test]
fn what_before_park_queues_is_run_without_waiting() {
    let mut event_loop = event_loop::<u32>();
    let handle = event_loop.handle();
    let hook = handle.insert(callback::before_park(), move |(), _, _| {
        handle.spawn(async move { handle.with(|n| *n += 1) });
        Next::Keep
    });
    let hook = hook.unwrap().control();
    let mut n = 0;
    event_loop.turn(&mut n, Duration::ZERO).unwrap();
    // Each would wait for ever.
    for turns in 1..10 {
        let turn = event_loop.turn(&mut n, None).unwrap();
        assert_eq!((turn.ran, n), (2, turns));
    }
    hook.cancel();
    closes_clean(event_loop);
}

// contract 16
#[test]
fn a_task_awaits_the_phases_too() {
    let mut event_loop = event_loop::<()>();
    let log = Log::default();
    let inner = log.clone();
    let task = event_loop.handle().spawn(async move {
        let (mut before, mut after) = (callback::before_park(), callback::after_park());
        for _ in 0..2 {
            before.next().await;
            inner.borrow_mut().push("before");
            after.next().await;
            inner.borrow_mut().push("after");
        }
    });
    for turns in [0, 1, 2] {
        event_loop.turn(&mut (), Duration::ZERO).unwrap();
        assert_eq!(*log.borrow(), ["before", "after"].repeat(turns));
    }
    assert!(task.is_finished());
    closes_clean(event_loop);
}

// contract 16; fault 83
#[test]
fn idle_fires_when_nothing_is_queued_and_does_not_starve_the_rest() {
    let mut event_loop = event_loop::<Vec<&str>>();
    let handle = event_loop.handle();
    let idle = handle.insert(callback::idle(), |time, _, log: &mut Vec<&str>| {
        assert_eq!(time.left, None);
        log.push("idle");
        Next::Keep
    });
    let idle = idle.unwrap().control();
    handle.spawn(async move {
        for _ in 0..3 {
            handle.with(|log| log.push("task"));
            yield_now().await;
        }
    });
    let mut log = Vec::new();
    for _ in 0..3 {
        event_loop.turn(&mut log, None).unwrap();
    }
    assert_eq!(log, ["task", "task", "task", "idle", "idle", "idle"]);
    // Paused it lets the loop sleep; resumed it goes on.
    log.clear();
    idle.pause();
    event_loop.turn(&mut log, Duration::ZERO).unwrap();
    let parked = handle.stats().time_parked;
    event_loop.turn(&mut log, Duration::from_millis(2)).unwrap();
    assert!(log.is_empty());
    assert!(handle.stats().time_parked - parked >= Duration::from_millis(2));
    idle.resume();
    for _ in 0..2 {
        event_loop.turn(&mut log, None).unwrap();
    }
    assert!(log.len() >= 2);
    // A timer comes through, and the callback hears how long it is until then.
    drop(log);
    idle.cancel();
    closes_clean(event_loop);
}

// contract 16; fault 83
#[test]
fn idle_is_told_how_long_it_has() {
    let mut event_loop = event_loop::<Vec<Duration>>();
    let handle = event_loop.handle();
    let wait = Duration::from_millis(20);
    let timed = handle.spawn(async move { sleep(wait).await });
    let idle = handle.insert(callback::idle(), |time, _, seen: &mut Vec<Duration>| {
        seen.push(time.left.unwrap_or_default());
        if time.left.is_none() { Next::Stop } else { Next::Keep }
    });
    idle.unwrap();
    let mut seen = Vec::new();
    event_loop.run(&mut seen).unwrap();
    assert!(timed.is_finished());
    assert!(seen[0] <= wait && seen[0] > Duration::ZERO);
    assert!(seen.is_sorted_by(|left, right| left >= right), "time only gets shorter");
    closes_clean(event_loop);
}

// contract 16
#[test]
fn idle_once_fires_once_and_ends() {
    // Turns that end with work left are not idle.
    let builder = EventLoop::<Vec<&str>>::builder().clock(Clock::Paused).items_per_turn(1);
    let mut event_loop = builder.build().unwrap();
    let handle = event_loop.handle();
    let once = handle.insert(callback::idle_once(), |_, _, log: &mut Vec<&str>| {
        log.push("idle");
        Next::Keep
    });
    let once = once.unwrap();
    handle.spawn(async move {
        for _ in 0..3 {
            yield_now().await;
            handle.with(|log| log.push("task"));
        }
    });
    let mut log = Vec::new();
    event_loop.run(&mut log).unwrap();
    assert_eq!(log, ["task", "task", "task", "idle"]);
    // The source comes back; it will not fire again.
    let mut source = event_loop.run_until(&mut log, once).unwrap().unwrap();
    assert_eq!(event_loop.run_until(&mut log, async move { source.next().await }).unwrap(), None);
    closes_clean(event_loop);
}

// contract 16; fault 79
#[test]
fn a_callback_replaces_its_source_by_assignment() {
    let mut event_loop = event_loop::<Vec<u32>>();
    let handle = event_loop.handle();
    let (first, receiver) = callback::channel::<u32>();
    let (second, replacement) = callback::channel::<u32>();
    let mut replacement = Some(replacement);
    (1..=3).for_each(|n| first.send(n).unwrap());
    second.send(10).unwrap();
    let item = handle
        .insert(receiver, move |n, source, seen: &mut Vec<u32>| {
            seen.push(n);
            if n == 2 {
                *source = replacement.take().unwrap();
            }
            Next::Keep
        })
        .unwrap();
    let mut seen = Vec::new();
    event_loop.turn(&mut seen, Duration::ZERO).unwrap();
    assert_eq!(seen, [1, 2, 10]);
    assert!(first.send(4).is_err(), "the old source is gone");
    second.send(11).unwrap();
    drop(second);
    event_loop.run(&mut seen).unwrap();
    assert_eq!(seen, [1, 2, 10, 11]);
    assert!(event_loop.run_until(&mut seen, item).unwrap().is_ok());
    closes_clean(event_loop);
}

// contract 17; fault 79
#[test]
fn a_thousand_sources_inserted_by_a_callback_run_next_turn() {
    let many = scaled(1_000);
    let mut event_loop = event_loop::<Vec<u64>>();
    let handle = event_loop.handle();
    handle
        .insert(futures::stream::iter([()]), move |(), _, turns: &mut Vec<u64>| {
            turns.push(handle.stats().turns);
            for _ in 0..many {
                let record = move |(), _: &mut _, turns: &mut Vec<u64>| {
                    turns.push(handle.stats().turns);
                    Next::Keep
                };
                handle.insert(futures::stream::iter([()]), record).unwrap();
            }
            Next::Keep
        })
        .unwrap();
    let mut turns = Vec::new();
    event_loop.run(&mut turns).unwrap();
    assert_eq!(turns.len(), many + 1);
    assert!(turns[1..].iter().all(|turn| *turn > turns[0]));
    closes_clean(event_loop);
}

// contract 18
#[test]
fn a_callback_that_stops_gives_its_source_back() {
    let mut event_loop = event_loop::<u32>();
    let handle = event_loop.handle();
    let (sender, receiver) = callback::channel();
    (1..=5).for_each(|n| sender.send(n).unwrap());
    let item = handle
        .insert(receiver, |n, _, sum| {
            *sum += n;
            if n == 2 { Next::Stop } else { Next::Keep }
        })
        .unwrap();
    let mut sum = 0;
    event_loop.run(&mut sum).unwrap();
    assert_eq!(sum, 3);
    // With all that it still holds.
    let mut receiver = event_loop.run_until(&mut sum, item).unwrap().unwrap();
    assert_eq!(receiver.try_next(), Some(3));
    let again = handle.insert(receiver, |n, _, sum| {
        *sum += n;
        Next::Keep
    });
    again.unwrap();
    drop(sender);
    event_loop.run(&mut sum).unwrap();
    assert_eq!(sum, 3 + 4 + 5);
    closes_clean(event_loop);
}

// contract 18
#[test]
fn a_refused_insert_gives_the_source_back() {
    let gone = event_loop::<()>();
    let handle = gone.handle();
    closes_clean(gone);
    let (sender, receiver) = callback::channel();
    sender.send(5).unwrap();
    let error = handle.insert(receiver, |_, _, ()| Next::Keep).unwrap_err();
    assert_eq!(error.to_string(), error.kind().to_string());
    assert_eq!(error.into_inner().try_next(), Some(5));
}

// contract 19
#[test]
fn an_error_reaches_its_own_callback_and_the_source_stays() {
    let mut event_loop = event_loop::<Vec<String>>();
    let handle = event_loop.handle();
    let items = [Ok(1), Err(std::io::Error::other("broken")), Ok(2)];
    handle
        .insert(futures::stream::iter(items), |item, _, log: &mut Vec<String>| {
            log.push(item.map_or_else(|error| error.to_string(), |n: u32| n.to_string()));
            Next::Keep
        })
        .unwrap();
    handle
        .insert(futures::stream::iter([7]), |n, _, log| {
            log.push(n.to_string());
            Next::Keep
        })
        .unwrap();
    let mut log = Vec::new();
    event_loop.run(&mut log).unwrap();
    assert_eq!(log, ["1", "broken", "2", "7"]);
    closes_clean(event_loop);
}

// contract 27
#[test]
fn a_source_without_a_budget_of_its_own_yields_all_the_same() {
    let mut event_loop = EventLoop::<Vec<u32>>::builder().operations_per_poll(3).build().unwrap();
    let handle = event_loop.handle();
    for name in [100, 200] {
        handle
            .insert(futures::stream::iter(0..5), move |n, _, log: &mut Vec<u32>| {
                log.push(name + n);
                Next::Keep
            })
            .unwrap();
    }
    let mut log = Vec::new();
    event_loop.run(&mut log).unwrap();
    assert_eq!(log, [100, 101, 102, 200, 201, 202, 103, 104, 203, 204]);
    closes_clean(event_loop);
}

// contract 28
#[test]
fn the_state_is_lent_inside_a_run_once_at_a_time() {
    let mut event_loop = event_loop::<u32>();
    let handle = event_loop.handle();
    assert_eq!(handle.try_with(|_| ()), Err(StateError::NotRunning));
    let text = catch_unwind(AssertUnwindSafe(|| handle.with(|_| ()))).unwrap_err();
    let text = text.downcast::<String>().unwrap();
    assert!(text.contains("the event loop is not running"), "{text}");
    handle.spawn(async move {
        handle.with(|n| {
            assert_eq!(handle.try_with(|_| ()), Err(StateError::AlreadyLent));
            *n += 1;
            let twice = catch_unwind(AssertUnwindSafe(|| handle.with(|_| ()))).unwrap_err();
            let text = twice.downcast::<String>().unwrap();
            assert!(text.contains("the state is lent already"), "{text}");
            *n += 1;
        });
        assert_eq!(handle.try_with(|n| *n), Ok(2));
    });
    handle
        .insert(futures::stream::iter([()]), move |(), _, n| {
            assert_eq!(handle.try_with(|_| ()), Err(StateError::AlreadyLent));
            *n += 10;
            Next::Keep
        })
        .unwrap();
    let mut n = 0;
    event_loop.run(&mut n).unwrap();
    assert_eq!(n, 12);
    assert_eq!(handle.try_with(|_| ()), Err(StateError::NotRunning));
    closes_clean(event_loop);
    assert_eq!(handle.try_with(|_| ()), Err(StateError::LoopGone));
    let text = catch_unwind(AssertUnwindSafe(|| handle.with(|_| ()))).unwrap_err();
    assert_eq!(*text.downcast::<String>().unwrap(), "the event loop of this handle was dropped");
}

// contract 28
#[test]
fn the_states_of_two_loops_are_lent_at_the_same_time() {
    let mut outer = event_loop::<u32>();
    let outer_handle = outer.handle();
    let result = outer.run_until(&mut 1, async {
        outer_handle.with(|n| {
            let mut inner = event_loop::<u32>();
            let handle = inner.handle();
            let task = handle.spawn(async move {
                assert_eq!(outer_handle.try_with(|_| ()), Err(StateError::AlreadyLent));
                handle.with(|n| *n * 10)
            });
            inner.turn(&mut 2, Duration::ZERO).unwrap();
            assert!(task.is_finished());
            closes_clean(inner);
            *n += 1;
        });
        outer_handle.with(|n| *n)
    });
    assert_eq!(result.unwrap(), 2);
    closes_clean(outer);
}

// contract 41
#[test]
fn the_root_future_borrows_from_its_caller() {
    let mut event_loop = event_loop::<Vec<String>>();
    let handle = event_loop.handle();
    let text = String::from("on the stack");
    let mut lines = Vec::new();
    let mut count = 0;
    let length = event_loop
        .run_until(&mut lines, async {
            for word in text.split(' ') {
                yield_now().await;
                handle.with(|lines| lines.push(word.to_owned()));
                count += 1;
            }
            sleep(Duration::from_micros(50)).await;
            &text[3..6]
        })
        .unwrap();
    assert_eq!((length, count), ("the", 3));
    assert_eq!(lines, ["on", "the", "stack"]);
    closes_clean(event_loop);
}

// contract 38
#[test]
fn the_root_future_is_dropped_while_the_state_is_still_lent() {
    struct Writes(Handle<Vec<&'static str>>);
    impl Drop for Writes {
        fn drop(&mut self) {
            self.0.with(|log| log.push("root dropped"));
        }
    }
    let mut event_loop = event_loop::<Vec<&str>>();
    let handle = event_loop.handle();
    let mut log = Vec::new();
    event_loop
        .run_until(&mut log, async {
            let _writes = Writes(handle);
            yield_now().await;
        })
        .unwrap();
    let writes = Writes(handle);
    let stopped = event_loop.run_until(&mut log, async move {
        let _writes = writes;
        handle.stop();
        pending::<()>().await;
    });
    assert!(stopped.is_err());
    assert_eq!(log, ["root dropped", "root dropped"]);
    closes_clean(event_loop);
}

// contract 35
#[test]
fn wakers_of_one_root_future_do_not_poll_the_next_one() {
    let mut event_loop = event_loop::<()>();
    let waker = event_loop.block_on(poll_fn(|cx| Poll::Ready(cx.waker().clone()))).unwrap();
    let handle = event_loop.handle();
    let mut polls = 0;
    event_loop
        .block_on(poll_fn(|cx| {
            polls += 1;
            if polls == 1 {
                let own = cx.waker().clone();
                let stale = waker.clone();
                handle.spawn(async move {
                    stale.wake();
                    // Only the next turn's is for this one.
                    handle.next_turn(move |()| own.wake());
                });
                return Poll::Pending;
            }
            Poll::Ready(())
        }))
        .unwrap();
    assert_eq!((polls, handle.stats().turns), (2, 3));
    closes_clean(event_loop);
}

// contract 24
#[test]
fn the_turns_time_is_read_after_the_wait() {
    let mut event_loop = event_loop::<()>();
    let handle = event_loop.handle();
    let wait = Duration::from_millis(5);
    let before = Instant::now();
    let (due, seen) = event_loop
        .block_on(async move {
            sleep(wait).await;
            (before + wait, handle.now())
        })
        .unwrap();
    assert!(seen >= due);
    closes_clean(event_loop);
}

// contract 26; fault 74
#[test]
fn a_timer_set_to_now_in_its_callback_fires_in_the_next_turn() {
    let mut event_loop = event_loop::<Vec<u64>>();
    let handle = event_loop.handle();
    handle
        .insert(Timer::after(Duration::ZERO), move |_tick, timer, turns: &mut Vec<u64>| {
            turns.push(handle.stats().turns);
            timer.set_after(Duration::ZERO);
            if turns.len() == 5 { Next::Stop } else { Next::Keep }
        })
        .unwrap();
    let mut turns = Vec::new();
    event_loop.run(&mut turns).unwrap();
    assert!(turns.windows(2).all(|pair| pair[0] < pair[1]), "{turns:?}");
    closes_clean(event_loop);
}

/// A signal that does nothing but interrupt.
#[cfg(target_os = "linux")]
fn interruptible() -> (libc::pthread_t, libc::c_int) {
    extern "C" fn nothing(_signal: libc::c_int) {}
    // SAFETY: the handler touches nothing; the struct is plain data, for which zero is valid.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = nothing as extern "C" fn(libc::c_int) as libc::sighandler_t;
        assert_eq!(libc::sigaction(libc::SIGUSR1, &raw const action, std::ptr::null_mut()), 0);
        (libc::pthread_self(), libc::SIGUSR1)
    }
}

// contract 21; fault 33
#[cfg(target_os = "linux")]
#[test]
fn a_signal_that_interrupts_the_wait_is_not_seen() {
    let (loops_thread, signal) = interruptible();
    let wait = Duration::from_millis(100);
    let (end, ended) = mpsc::channel::<()>();
    let sender = thread::spawn(move || {
        let mut sent = 0;
        // Until the loop is done: at the end of the time, not before.
        while ended.try_recv() == Err(mpsc::TryRecvError::Empty) {
            // SAFETY: the thread lives until `end` is dropped, and is joined after that.
            assert_eq!(unsafe { libc::pthread_kill(loops_thread, signal) }, 0);
            sent += 1;
            thread::sleep(Duration::from_millis(2)); // a pace, not a synchronisation
        }
        sent
    });
    let mut event_loop = event_loop::<()>();
    let start = Instant::now();
    let turns = event_loop
        .block_on(async {
            sleep(wait).await;
            Handle::<()>::try_current().unwrap().stats().turns
        })
        .unwrap();
    // Not once more the whole time after each interruption: that would go on while signals come.
    assert!(start.elapsed() >= wait && start.elapsed() < 20 * wait);
    // And a turn with a limit and nothing to do waits it out.
    let before = Instant::now();
    let turn = event_loop.turn(&mut (), wait / 4).unwrap();
    assert!(before.elapsed() >= wait / 4 && turn.ran == 0);
    drop(end);
    let sent = sender.join().unwrap();
    assert!(sent > 5, "the wait was interrupted {sent} times");
    assert!(turns <= 4, "{turns} turns for one sleep");
    closes_clean(event_loop);
}

/// A stream that counts how often it is polled in vain.
struct Vain<T>(T, Rc<Cell<u32>>);

impl<T: Stream + Unpin> Stream for Vain<T> {
    type Item = T::Item;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T::Item>> {
        let polled = Pin::new(&mut self.0).poll_next(cx);
        if polled.is_pending() {
            self.1.set(self.1.get() + 1);
        }
        polled
    }
}

// contract 23
#[test]
fn pings_before_the_callback_are_one_and_a_ping_after_its_start_is_another() {
    let mut event_loop = event_loop::<u32>();
    let handle = event_loop.handle();
    let (ping, source) = callback::ping();
    let (again, vain) = (ping.clone(), Rc::new(Cell::new(0)));
    handle
        .insert(Vain(source, vain.clone()), move |(), _, fired: &mut u32| {
            *fired += 1;
            if *fired == 1 {
                again.ping();
                again.ping();
            }
            Next::Keep
        })
        .unwrap();
    (0..3).for_each(|_| ping.ping());
    let mut fired = 0;
    while event_loop.turn(&mut fired, Duration::ZERO).unwrap().left {}
    assert_eq!(fired, 2);
    ping.ping();
    event_loop.turn(&mut fired, None).unwrap();
    assert_eq!((fired, vain.get()), (3, 2));
    drop(event_loop);
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
