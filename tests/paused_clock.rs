//! The paused clock: it stands still, jumps when nothing can run, and leaves sockets and threads time.
#![cfg(unix)] // descriptors and their options

#[path = "support/net.rs"]
mod net;
mod support;

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::io::Write;
use std::rc::Rc;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use loopline::callback::{self, Next, ping};
use loopline::time::{self, MissedTickBehavior, hold, sleep, timeout};
use loopline::{spawn, yield_now};
use net::{pair, poll_once, soon, with_peer};
use support::{block_on, block_on_paused, closes_clean, ends_with_items, paused};

const HOUR: Duration = Duration::from_secs(3600);
const MS: Duration = Duration::from_millis(1);

// contract 47
#[test]
fn a_day_of_sleeping_takes_no_time() {
    let began = Instant::now();
    block_on_paused(async {
        let start = time::now();
        for _ in 0..24 {
            sleep(HOUR).await;
        }
        assert_eq!(time::now() - start, 24 * HOUR);
    });
    assert!(began.elapsed() < Duration::from_secs(30));
}

// contract 47
#[test]
fn the_clock_stands_while_anything_is_runnable() {
    block_on_paused(async {
        let start = time::now();
        let slept = spawn(sleep(MS));
        for _ in 0..10_000 {
            yield_now().await;
        }
        assert!(!slept.is_finished());
        assert_eq!(time::now(), start);
        slept.await.unwrap();
        assert_eq!(time::now(), start + MS);
    });
}

// contract 47
#[test]
fn a_socket_that_merely_waits_does_not_hold_the_clock() {
    block_on_paused(async {
        let (stream, _peer) = with_peer().await;
        let start = time::now();
        assert!(timeout(HOUR, stream.read(&mut [0; 8])).await.is_err());
        assert_eq!(time::now(), start + HOUR);
    });
}

// contract 47
#[test]
fn what_a_socket_has_to_say_comes_before_the_clock_jumps() {
    block_on_paused(async {
        let (near, far) = pair().await;
        let start = time::now();
        let limit = spawn(timeout(HOUR, async move {
            let mut byte = [0];
            for _ in 0..100 {
                near.read_exact(&mut byte).await.unwrap();
                near.write_all(&byte).await.unwrap();
            }
        }));
        for _ in 0..100 {
            far.write_all(b"x").await.unwrap();
            far.read_exact(&mut [0]).await.unwrap();
        }
        assert!(limit.await.unwrap().is_ok());
        assert_eq!(time::now(), start, "the loop jumped although bytes were under way");
    });
}

// contract 47
#[test]
fn a_held_clock_gives_another_thread_the_time_it_needs() {
    block_on_paused(async {
        let (stream, mut peer) = with_peer().await;
        let (go, told) = mpsc::channel::<()>();
        let thread = thread::spawn(move || {
            told.recv().unwrap();
            // Long enough for the loop to park, and to jump if it were to.
            thread::sleep(20 * MS);
            peer.write_all(b"at last").unwrap();
        });
        let held = hold();
        go.send(()).unwrap();
        let start = time::now();
        assert_eq!(timeout(HOUR, stream.read(&mut [0; 8])).await.unwrap().unwrap(), 7);
        assert_eq!(time::now(), start);
        thread.join().unwrap();
        // Held by several, until the last lets go; moved by hand all the same.
        let second = hold();
        drop(held);
        time::advance(MS).await;
        assert_eq!(time::now(), start + MS);
        let slept = spawn(sleep(MS));
        drop(second);
        slept.await.unwrap();
    });
}

// contract 47
#[test]
fn a_thread_that_wakes_the_loop_comes_before_a_jump() {
    block_on_paused(async {
        let (pinger, mut pings) = ping();
        let _held = hold();
        let thread = thread::spawn(move || pinger.ping());
        let start = time::now();
        assert_eq!(timeout(HOUR, pings.next()).await, Ok(Some(())));
        assert_eq!(time::now(), start);
        thread.join().unwrap();
    });
}

#[test]
fn advancing_runs_what_became_due_in_the_order_of_deadlines() {
    let log = Rc::new(RefCell::new(Vec::new()));
    block_on_paused(async {
        let start = time::now();
        let tasks: Vec<_> = [30, 10, 20, 50]
            .into_iter()
            .map(|wait| {
                let log = log.clone();
                spawn(async move {
                    sleep(wait * MS).await;
                    log.borrow_mut().push((wait, (time::now() - start).as_millis()));
                })
            })
            .collect();
        sleep(Duration::ZERO).await;
        time::advance(30 * MS).await;
        assert_eq!(*log.borrow(), [(10, 30), (20, 30), (30, 30)]);
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(log.borrow()[3], (50, 50));
    });
}

#[test]
fn a_clock_is_paused_and_resumed_at_run_time() {
    block_on(async {
        time::pause();
        let start = time::now();
        thread::sleep(5 * MS);
        assert_eq!(time::now(), start);
        sleep(HOUR).await;
        assert_eq!(time::now(), start + HOUR);
        time::resume();
        let running = time::now();
        assert!(running >= start + HOUR);
        let began = Instant::now();
        sleep(5 * MS).await;
        assert!(began.elapsed() >= 5 * MS, "real time counts again");
        assert!(time::now() >= running + 5 * MS);
        // A sleep that was begun before a pause ends in it.
        let mut slept = Box::pin(sleep(HOUR));
        assert!(poll_once(&mut slept).await.is_pending());
        time::pause();
        slept.await;
        time::resume();
    });
}

#[test]
fn a_clock_cannot_be_paused_twice_or_moved_while_it_runs() {
    type Misuse = fn() -> futures::future::LocalBoxFuture<'static, ()>;
    let misuses: [(Misuse, bool, &str); 3] = [
        (|| Box::pin(async { time::pause() }), true, "the clock is paused already"),
        (|| Box::pin(async { time::resume() }), false, "the clock is not paused"),
        (
            || Box::pin(time::advance(MS)),
            false,
            "the clock is not paused: call time::pause() first",
        ),
    ];
    for (misuse, paused, text) in misuses {
        let run = || if paused { block_on_paused(misuse()) } else { block_on(misuse()) };
        let payload = std::panic::catch_unwind(run).unwrap_err();
        assert_eq!(payload.downcast_ref::<&str>(), Some(&text));
    }
}

#[test]
fn time_needs_a_loop() {
    let payload = std::panic::catch_unwind(time::now).unwrap_err();
    let text = payload.downcast_ref::<&str>().unwrap();
    assert!(text.starts_with("no event loop runs on this thread"), "{text}");
    let payload = std::panic::catch_unwind(|| drop(sleep(MS))).unwrap_err();
    let text = payload.downcast_ref::<&str>().unwrap();
    assert!(text.starts_with("no event loop runs on this thread"), "{text}");
}

// contract 47
#[test]
fn the_clock_never_jumps_past_a_deadline() {
    block_on_paused(async {
        let start = time::now();
        let mut seen = Vec::new();
        let tasks: Vec<_> = (1..=100_u32)
            .map(|n| {
                spawn(async move {
                    sleep(n * MS * 7).await;
                    assert_eq!(time::now(), start + n * MS * 7);
                    n
                })
            })
            .collect();
        for task in tasks {
            seen.push(soon(task).await.unwrap());
        }
        assert_eq!(seen, (1..=100).collect::<Vec<_>>());
    });
}

// contract 47
#[test]
fn a_paused_clock_stops_at_deadlines_alone() {
    let mut event_loop = paused::<Vec<Duration>>();
    let handle = event_loop.handle();
    let start = handle.now();
    let looks = handle.item().background().insert(callback::after_park(), move |(), _, seen| {
        let now = handle.now() - start;
        if seen.last() != Some(&now) {
            seen.push(now);
        }
        Next::Keep
    });
    drop(looks.unwrap());
    // Many close to each other, so that one place in the timers serves them all; and one that is put off.
    for n in 0..30 {
        handle.spawn(async move { sleep(34 * MS + n * MS / 100).await });
    }
    handle.spawn(async {
        let mut sleep = Box::pin(sleep(6 * MS));
        assert!(poll_once(sleep.as_mut()).await.is_pending());
        time::sleep(3 * MS).await;
        sleep.as_mut().get_mut().reset(time::now() + 17 * MS);
        sleep.await;
    });
    let mut seen = Vec::new();
    event_loop.run(&mut seen).unwrap();
    let early = [3, 20].map(|n| n * MS);
    let late = (0..30).map(|n| 34 * MS + n * MS / 100);
    assert_eq!(seen, early.into_iter().chain(late).collect::<Vec<_>>());
    ends_with_items(event_loop, 1);
}

// contract 47
#[test]
fn an_idle_source_does_not_hold_the_clock() {
    let mut event_loop = paused::<u32>();
    let insert = event_loop.handle().insert(callback::idle(), |_, _, idled| {
        *idled += 1;
        Next::Keep
    });
    let idle = insert.unwrap();
    let mut idled = 0;
    let sleeps = async {
        sleep(MS).await;
        sleep(MS).await;
        drop(idle.cancel());
    };
    event_loop.run_until(&mut idled, sleeps).unwrap();
    assert!((1..=8).contains(&idled), "{idled} times for two jumps");
    closes_clean(event_loop);
}

#[test]
fn an_idle_source_fires_again_though_nothing_else_can_happen() {
    let mut event_loop = paused::<u32>();
    let insert = event_loop.handle().insert(callback::idle(), |_, _, idled| {
        *idled += 1;
        if *idled == 5 { Next::Stop } else { Next::Keep }
    });
    drop(insert.unwrap());
    let mut idled = 0;
    event_loop.run(&mut idled).unwrap();
    assert_eq!(idled, 5);
    closes_clean(event_loop);
}

// contract 47
#[test]
fn with_no_deadline_the_clock_stands_and_the_loop_waits_for_other_threads() {
    let mut event_loop = paused::<()>();
    let handle = event_loop.handle();
    let (sender, mut receiver) = callback::channel();
    let thread = thread::spawn(move || {
        thread::sleep(5 * MS); // so that it is waited for, which is most to the point
        sender.send(1).unwrap();
    });
    let message = event_loop.block_on(async {
        let start = (time::now(), handle.stats().turns);
        assert_eq!(receiver.next().await, Some(1));
        assert_eq!(time::now(), start.0);
        handle.stats().turns - start.1
    });
    assert!(message.unwrap() <= 4, "turns of waiting");
    thread.join().unwrap();
    closes_clean(event_loop);
}

#[test]
fn a_missed_period_goes_on_as_its_policy_says() {
    use MissedTickBehavior::{Burst, Delay, Skip};
    // (policy, late by, when the two ticks after the late one are due), in ms, for a period of 100.
    let table = [
        (Burst, 250, [200, 300]),
        (Delay, 250, [450, 550]),
        (Skip, 250, [400, 500]),
        // Late by less than a period, and by exactly one.
        (Delay, 50, [250, 350]),
        (Skip, 50, [200, 300]),
        (Delay, 100, [300, 400]),
        (Skip, 100, [300, 400]),
        // As good as in time.
        (Delay, 5, [200, 300]),
    ];
    for (policy, late, due) in table {
        block_on_paused(async {
            let mut interval = time::interval(100 * MS);
            interval.set_missed_tick_behavior(policy);
            let start = interval.tick().await;
            time::advance((100 + late) * MS).await;
            assert_eq!(interval.tick().await - start, 100 * MS);
            let ticks = [interval.tick().await - start, interval.tick().await - start];
            assert_eq!(ticks, due.map(|due| due * MS), "{policy:?}, {late} ms late");
        });
    }
}

// contract 47
#[test]
fn a_turn_moves_the_clock_no_further_than_it_may_wait() {
    // Between the turns it is looked at by runs, in which a guest's clock would jump.
    let mut event_loop = paused::<()>().never_a_guest();
    let handle = event_loop.handle();
    for hours in [2, 1000, 1_000_000] {
        let sleeps = handle.spawn(async move { sleep(HOUR * hours).await });
        event_loop.turn(&mut (), Duration::ZERO).unwrap();
        let mut now = event_loop.block_on(async { time::now() }).unwrap();
        // The last one ends just before the deadline.
        let rest = HOUR * (hours - 1) - HOUR / 7 - 2 * MS;
        for wait in [MS, HOUR / 7, HOUR, rest] {
            event_loop.turn(&mut (), wait).unwrap();
            now += wait;
            assert_eq!(event_loop.block_on(async { time::now() }).unwrap(), now);
        }
        assert!(!sleeps.is_finished());
        drop(sleeps.cancel());
    }
    closes_clean(event_loop);
}

// contract 47
#[test]
fn what_was_put_off_moves_the_clock_no_further_than_a_turn_may_wait() {
    // It cannot jump to what is due after so many years.
    const YEAR: Duration = Duration::from_secs(365 * 86_400);
    for (later, wait) in [(HOUR, MS * 60), (400 * YEAR, 500 * YEAR)] {
        let mut event_loop = paused::<()>().never_a_guest();
        let handle = event_loop.handle();
        let start = handle.now();
        let sleep = Rc::new(RefCell::new(None));
        let awaited = sleep.clone();
        let put_off = handle.spawn(poll_fn(move |cx| {
            let mut sleep = awaited.borrow_mut();
            sleep.get_or_insert_with(|| Box::pin(time::sleep(20 * MS))).as_mut().poll(cx)
        }));
        while handle.now() == start {
            event_loop.turn(&mut (), MS).unwrap();
        }
        // The timers learn of it when its first deadline comes.
        sleep.borrow_mut().as_mut().unwrap().as_mut().reset(start + later);
        event_loop.turn(&mut (), Duration::ZERO).unwrap();
        let before = handle.now();
        event_loop.turn(&mut (), wait).unwrap();
        let moved = handle.now() - before;
        assert!(moved > MS && moved <= wait.min(YEAR), "{moved:?}");
        drop((put_off.cancel(), sleep.take()));
        closes_clean(event_loop);
    }
}

// contract 43, 47; fault 72
#[test]
fn a_clock_that_has_come_to_its_end_does_not_go_back() {
    let mut event_loop = paused::<()>().never_a_guest();
    let ended = event_loop.block_on(async {
        time::advance(Duration::MAX).await;
        // Beyond what it can be moved to it still runs by itself.
        time::resume();
        let end = time::now();
        while time::now() == end {
            yield_now().await;
        }
        time::pause();
        let now = time::now();
        time::advance(MS).await;
        assert!(time::now() >= now);
    });
    ended.unwrap();
    closes_clean(event_loop);
}

// contract 43; fault 72
#[test]
fn what_is_never_due_is_not_however_far_the_clock_is_moved() {
    block_on_paused(async {
        let never = spawn(sleep_for(Duration::MAX));
        time::advance(Duration::MAX).await;
        yield_now().await;
        assert!(!never.is_finished());
        drop(never.cancel());
    });
}

async fn sleep_for(time: Duration) {
    sleep(time).await;
}
