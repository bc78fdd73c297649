//! Callbacks: what a source and its callback may do, and the phases around the wait.

mod support;

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures::{Stream, StreamExt};
use loopline::callback::{self, Next};
use loopline::time::sleep;
use loopline::{Clock, yield_now};
use support::{built, closes_clean, ends_with_items, event_loop, scaled};

type Log = Rc<RefCell<Vec<&'static str>>>;

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

// contract 16
#[test]
fn a_paused_source_is_told_of_no_wait_neither_then_nor_afterwards() {
    /// Takes something before each wait and gives it back after it.
    struct Lock(callback::BeforePark, callback::AfterPark);
    impl Stream for Lock {
        type Item = &'static str;
        fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<&'static str>> {
            let before = Pin::new(&mut self.0).poll_next(cx).map(|_| Some("lock"));
            if before.is_ready() {
                return before;
            }
            Pin::new(&mut self.1).poll_next(cx).map(|_| Some("unlock"))
        }
    }
    let mut event_loop = event_loop::<Vec<&str>>();
    let handle = event_loop.handle();
    let lock = Lock(callback::before_park(), callback::after_park());
    let item = handle.insert(lock, |event, _lock, log: &mut Vec<&str>| {
        log.push(event);
        Next::Keep
    });
    let item = item.unwrap().control();
    let mut log = Vec::new();
    for _ in 0..2 {
        event_loop.turn(&mut log, Duration::ZERO).unwrap();
    }
    assert_eq!(log, ["lock", "unlock"]);
    item.pause();
    for _ in 0..2 {
        event_loop.turn(&mut log, Duration::ZERO).unwrap();
    }
    assert_eq!(log, ["lock", "unlock"]);
    handle.spawn(async move { handle.with(|log| log.push("task")) });
    item.resume();
    event_loop.turn(&mut log, Duration::ZERO).unwrap();
    assert_eq!(log, ["lock", "unlock", "lock", "unlock", "task"]);
    item.cancel();
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

// fault 90
#[test]
fn streams_of_the_phases_of_a_loop_that_is_gone_end() {
    let mut first = event_loop::<()>();
    let (mut before, mut after) = (callback::before_park(), callback::after_park());
    let mut idle = callback::idle();
    // Each is bound to the loop that polls it first.
    let bound = std::future::poll_fn(|cx| {
        assert!(Pin::new(&mut before).poll_next(cx).is_pending());
        assert!(Pin::new(&mut after).poll_next(cx).is_pending());
        assert!(Pin::new(&mut idle).poll_next(cx).is_pending());
        Poll::Ready(())
    });
    first.block_on(bound).unwrap();
    closes_clean(first);
    let mut second = event_loop::<()>();
    let ended = async { (before.next().await, after.next().await, idle.next().await) };
    assert_eq!(second.block_on(ended).unwrap(), (None, None, None));
    closes_clean(second);
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
    idle.cancel();
    closes_clean(event_loop);
}

// contract 16; fault 83
#[test]
fn idle_is_told_how_long_it_has() {
    let mut event_loop = event_loop::<Vec<(Duration, Instant)>>();
    let handle = event_loop.handle();
    let wait = Duration::from_millis(20);
    let late = Instant::now() + wait;
    let timed = handle.spawn(async move { sleep(wait).await });
    let idle = handle.insert(callback::idle(), |time, _, seen: &mut Vec<(_, _)>| {
        seen.push((time.left.unwrap_or_default(), Instant::now()));
        if time.left.is_none() { Next::Stop } else { Next::Keep }
    });
    idle.unwrap();
    let mut seen = Vec::new();
    event_loop.run(&mut seen).unwrap();
    assert!(timed.is_finished());
    let (left, at) = seen[0];
    assert!(left <= wait && (left > Duration::ZERO || at >= late));
    assert!(seen.is_sorted_by(|(left, _), (right, _)| left >= right), "time only gets shorter");
    closes_clean(event_loop);
}

// contract 16
#[test]
fn idle_once_fires_once_and_ends() {
    // Turns that end with work left are not idle.
    let mut event_loop = built::<Vec<&str>>(|b| b.clock(Clock::Paused).items_per_turn(1));
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

#[test]
fn a_closure_is_dropped_before_its_source_whether_the_callback_stops_or_is_cancelled() {
    struct Says(&'static str, Log);
    impl Drop for Says {
        fn drop(&mut self) {
            self.1.borrow_mut().push(self.0);
        }
    }
    for cancelled in [false, true] {
        let mut event_loop = event_loop::<()>();
        let log = Log::default();
        let (source, closure) = (Says("source", log.clone()), Says("closure", log.clone()));
        let source = futures::stream::iter([1, 2]).inspect(move |_| {
            let _inside = &source;
        });
        let item = event_loop.handle().insert(source, move |n, _, ()| {
            let _inside = &closure;
            if n == 1 { Next::Pause } else { Next::Stop }
        });
        let control = item.unwrap().control(); // nobody wants the source back
        event_loop.turn(&mut (), Some(Duration::ZERO)).unwrap();
        if cancelled {
            control.cancel()
        } else {
            control.resume()
        };
        event_loop.run(&mut ()).unwrap();
        assert_eq!(*log.borrow(), ["closure", "source"], "cancelled: {cancelled}");
        closes_clean(event_loop);
    }
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
    let mut event_loop = built::<Vec<u32>>(|b| b.operations_per_poll(3));
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
    ends_with_items(event_loop, 1);
}
