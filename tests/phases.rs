//! A turn as the documentation draws it: which phase comes when, and in which order what runs in it.

mod support;

use std::cell::RefCell;
use std::future::{pending, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use loopline::callback::{self, BeforePark, Next, Ping, Sender, Stream};
use loopline::time::{Timer, sleep};
use loopline::{Handle, scope, yield_now};
use support::{built, closes_clean, event_loop, paused, scaled};

type Log = Vec<String>;

fn log(log: &mut Log, text: impl Into<String>) {
    log.push(text.into());
}

/// Observers of all phases, in the background.
fn observe(handle: Handle<Log>) {
    let item = || handle.item().background();
    for n in [1, 2] {
        let before = item().insert(callback::before_park(), move |(), _, all: &mut Log| {
            log(all, format!("before park {n}"));
            Next::Keep
        });
        drop(before.unwrap());
        let after = item().insert(callback::after_park(), move |(), _, all: &mut Log| {
            log(all, format!("after park {n}"));
            Next::Keep
        });
        drop(after.unwrap());
    }
    let idle = item().insert(callback::idle(), |_, _, all: &mut Log| {
        log(all, "idle");
        Next::Keep
    });
    drop(idle.unwrap());
}

/// A channel and a ping whose callbacks note what they got.
fn fed_from_outside(handle: Handle<Log>) -> (Sender<u32>, Ping) {
    let (sender, messages) = callback::channel();
    let insert = handle.insert(messages, move |n, _, all: &mut Log| {
        log(all, format!("message {n}"));
        handle.spawn(async move {
            handle.with(|all| log(all, format!("task of message {n}")));
            yield_now().await;
            handle.with(|all| log(all, format!("task of message {n}, next round")));
        });
        handle.defer(move |all| log(all, format!("deferred by {n}")));
        handle.next_turn(move |all| log(all, format!("next turn of {n}")));
        Next::Keep
    });
    drop(insert.unwrap());
    let (ping, pings) = callback::ping();
    let insert = handle.insert(pings, |(), _, all: &mut Log| {
        log(all, "ping");
        Next::Keep
    });
    drop(insert.unwrap());
    (sender, ping)
}

// contract 16, 17, 26, 42
#[test]
fn a_turn_goes_through_its_phases_in_the_order_that_is_drawn() {
    let mut event_loop = event_loop::<Log>();
    let handle = event_loop.handle();
    observe(handle);
    let (sender, ping) = fed_from_outside(handle);
    for n in 1..=2 {
        let insert = handle.insert(Timer::after(Duration::ZERO), move |_, _, all: &mut Log| {
            log(all, format!("timer {n}"));
            Next::Stop
        });
        drop(insert.unwrap());
    }
    let mut all = Log::new();
    // Everything comes to wait; the timers are due in the next turn.
    event_loop.turn(&mut all, Duration::ZERO).unwrap();
    all.clear();
    std::thread::scope(|scope| {
        scope.spawn(|| (0..2).for_each(|n| sender.send(n).unwrap()));
    });
    event_loop.turn(&mut all, Duration::from_millis(1)).unwrap();
    let wanted = [
        "before park 1",
        "before park 2",
        "after park 2",
        "after park 1",
        "timer 1",
        "timer 2",
        "message 0",
        "message 1",
        // The head of the next round, and then what was spawned.
        "deferred by 0",
        "deferred by 1",
        "task of message 0",
        "task of message 1",
        "task of message 0, next round",
        "task of message 1, next round",
    ];
    assert_eq!(all, wanted);
    all.clear();
    // By another thread, as the messages: what this one wakes is queued before what waits for the next turn.
    std::thread::scope(|scope| {
        scope.spawn(|| ping.ping());
    });
    drop((sender, ping));
    while event_loop.turn(&mut all, Duration::ZERO).unwrap().left {}
    let around = ["before park 1", "before park 2", "after park 2", "after park 1"];
    assert_eq!(all[..4], around);
    assert_eq!(all[4..7], ["next turn of 0", "next turn of 1", "ping"]);
    assert_eq!(all[7], "idle", "{all:?}");
    end(event_loop);
}

/// Ends a loop whose observers are all that is left of it.
fn end(mut event_loop: support::TestLoop<Log>) {
    let handle = event_loop.handle();
    let mut all = Log::new();
    event_loop.run(&mut all).unwrap();
    assert_eq!(handle.stats().items, 5);
    support::ends_with_items(event_loop, 5);
}

// contract 17, 42
#[test]
fn callbacks_of_one_instant_run_in_the_order_in_which_their_timers_were_set() {
    let mut event_loop = paused::<Vec<usize>>();
    let handle = event_loop.handle();
    let many = scaled(1_000);
    for n in 0..many {
        let timer = Timer::after(Duration::from_millis(5));
        let insert = handle.insert(timer, move |_, _, order: &mut Vec<usize>| {
            order.push(n);
            Next::Stop
        });
        drop(insert.unwrap());
    }
    let mut order = Vec::new();
    event_loop.run(&mut order).unwrap();
    assert!(order.into_iter().eq(0..many));
    closes_clean(event_loop);
}

// contract 29
#[test]
fn messages_of_each_of_many_threads_stay_in_their_order_whatever_the_channel() {
    let count = scaled(20_000) as u32;
    for bounded in [false, true] {
        let mut event_loop = event_loop::<Vec<Vec<u32>>>();
        let handle = event_loop.handle();
        let (sender, receiver) = callback::channel();
        let (sync_sender, sync_receiver) = callback::sync_channel(16);
        for receiver in [receiver, sync_receiver] {
            let insert = handle.insert(receiver, |(thread, n), _, seen: &mut Vec<Vec<u32>>| {
                let of_thread: &mut Vec<u32> = &mut seen[thread];
                of_thread.push(n);
                Next::Keep
            });
            drop(insert.unwrap());
        }
        let mut seen = vec![Vec::new(); 4];
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let (sender, sync_sender) = (sender.clone(), sync_sender.clone());
                scope.spawn(move || {
                    for n in 0..count {
                        if bounded {
                            sync_sender.blocking_send((thread, n)).unwrap();
                        } else {
                            sender.send((thread, n)).unwrap();
                        }
                    }
                });
            }
            drop((sender, sync_sender));
            event_loop.run(&mut seen).unwrap();
        });
        assert!(seen.into_iter().all(|of_thread| of_thread.into_iter().eq(0..count)));
        closes_clean(event_loop);
    }
}

// contract 25, 29
#[test]
fn callbacks_in_a_full_lane_keep_their_order_and_let_those_of_another_through() {
    let flood = scaled(20_000) as u32;
    let mut event_loop =
        built::<Vec<(char, u32)>>(|builder| builder.lane_time(Duration::from_micros(20)));
    let handle = event_loop.handle();
    let bulk = handle.add_lane(1).unwrap();
    let (bulk_sender, bulk_receiver) = callback::channel();
    let insert = handle.item().lane(bulk).insert(bulk_receiver, |n, _, seen: &mut Vec<_>| {
        seen.push(('b', n));
        Next::Keep
    });
    drop(insert.unwrap());
    (0..flood).for_each(|n| bulk_sender.send(n).unwrap());
    // One that is in the first lane is fed as it goes: each message by the callback of the one before.
    let (sender, receiver) = callback::channel();
    sender.send(0).unwrap();
    let again = sender.clone();
    let insert = handle.insert(receiver, move |n, _, seen: &mut Vec<_>| {
        seen.push(('a', n));
        if n == 20 {
            return Next::Stop;
        }
        again.send(n + 1).unwrap();
        Next::Keep
    });
    drop(insert.unwrap());
    drop((bulk_sender, sender));
    let mut seen = Vec::new();
    event_loop.run(&mut seen).unwrap();
    let of = |lane: char| seen.iter().filter(move |(of, _)| *of == lane).map(|(_, n)| *n);
    assert!(of('b').eq(0..flood), "the order within the lane");
    assert!(of('a').eq(0..=20));
    if flood > 5_000 {
        let last = seen.iter().position(|entry| *entry == ('a', 20)).unwrap();
        assert!(last < seen.len() - 1, "the full lane ran first");
    }
    closes_clean(event_loop);
}

// contract 16, 20, 42
#[test]
fn children_of_scopes_run_in_the_phases_they_wait_for_and_let_the_loop_wait() {
    let mut event_loop = event_loop::<Log>();
    let handle = event_loop.handle();
    let note = move |text: &str| handle.with(|all| log(all, text));
    let task = handle.spawn(scope(async move |outer| {
        outer.spawn(async move {
            let (mut before, mut after) = (callback::before_park(), callback::after_park());
            scope(async |inner| {
                inner.spawn(async {
                    while before.next().await.is_some() {
                        note("before park");
                    }
                });
                inner.spawn(async {
                    while after.next().await.is_some() {
                        note("after park");
                    }
                });
            })
            .await;
        });
    }));
    let (sender, ping) = fed_from_outside(handle);
    let mut all = Log::new();
    for _ in 0..4 {
        event_loop.turn(&mut all, Duration::ZERO).unwrap();
    }
    all.clear();
    ping.ping();
    let turn = event_loop.turn(&mut all, Duration::ZERO).unwrap();
    assert_eq!(all, ["before park", "after park", "ping"]);
    assert!(!turn.left);
    all.clear();
    assert!(!event_loop.turn(&mut all, Duration::ZERO).unwrap().left);
    assert_eq!(all, ["before park", "after park"]);
    task.control().pause();
    all.clear();
    event_loop.turn(&mut all, Duration::ZERO).unwrap();
    assert!(all.is_empty(), "the moments around a wait are no news later");
    task.control().resume();
    assert!(!event_loop.turn(&mut all, Duration::ZERO).unwrap().left);
    assert_eq!(all, ["before park", "after park"]);
    drop((task.cancel(), sender, ping));
    event_loop.run(&mut all).unwrap();
    closes_clean(event_loop);
}

// contract 16
#[test]
fn a_child_that_is_paused_is_told_of_no_wait_of_its_pause() {
    let mut event_loop = event_loop::<Log>();
    let handle = event_loop.handle();
    let (give, take) = std::sync::mpsc::channel();
    let task = handle.spawn(scope(async move |s| {
        let child = s.spawn(async move {
            let mut before = callback::before_park();
            while before.next().await.is_some() {
                handle.with(|all| log(all, "child"));
            }
        });
        give.send(child.control()).unwrap();
        child.await
    }));
    let mut all = Log::new();
    let mut turns = |count| {
        for _ in 0..count {
            event_loop.turn(&mut all, Duration::ZERO).unwrap();
        }
        std::mem::take(&mut all)
    };
    turns(3);
    let child = take.try_recv().unwrap();
    child.pause();
    assert_eq!(turns(3), [""; 0]);
    let inner = handle.insert(callback::before_park(), |(), _, all: &mut Log| {
        log(all, "inner");
        Next::Keep
    });
    assert_eq!(turns(1), [""; 0]);
    child.resume();
    assert_eq!(turns(1), ["child", "inner"]);
    drop((task.cancel(), inner.unwrap().cancel()));
    closes_clean(event_loop);
}

/// Polls a stream once, by a waker of others, and leaves it waiting.
fn left_waiting(stream: &Rc<RefCell<BeforePark>>) -> impl Future<Output = ()> + 'static {
    let stream = stream.clone();
    poll_fn(move |_| {
        let mut cx = Context::from_waker(Waker::noop());
        assert!(Pin::new(&mut *stream.borrow_mut()).poll_next(&mut cx).is_pending());
        Poll::Ready(())
    })
}

// contract 17
#[test]
fn an_item_in_the_place_of_one_that_left_a_stream_waiting_keeps_its_turn() {
    for in_a_scope in [false, true] {
        let mut event_loop = event_loop::<Log>();
        let handle = event_loop.handle();
        let mut all = Log::new();
        let first = handle.spawn(poll_fn(move |_| {
            handle.with(|all| log(all, "first"));
            Poll::<()>::Pending
        }));
        let stream = Rc::new(RefCell::new(callback::before_park()));
        let leaves = left_waiting(&stream);
        let task = match in_a_scope {
            false => handle.spawn(leaves),
            true => handle.spawn(scope(async move |s| {
                s.spawn(leaves).await.unwrap();
                pending::<()>().await;
            })),
        };
        event_loop.turn(&mut all, Duration::ZERO).unwrap();
        all.clear();
        first.control().wake();
        // In the slot of who left the stream.
        let second = handle.spawn(async move { handle.with(|all| log(all, "second")) });
        event_loop.turn(&mut all, Duration::ZERO).unwrap();
        assert_eq!(all, ["first", "second"]);
        drop((stream, first.cancel(), task.cancel(), second));
        closes_clean(event_loop);
    }
}

// contract 20
#[test]
fn a_stream_before_parks_in_the_background_lets_the_loop_sleep() {
    let mut event_loop = event_loop::<Log>();
    let handle = event_loop.handle();
    let source = callback::before_park();
    let item = handle.item().background().insert(source, |(), _, _: &mut Log| Next::Keep);
    let before = handle.stats().turns;
    let slept = async { sleep(Duration::from_millis(20)).await };
    event_loop.run_until(&mut Log::new(), slept).unwrap();
    // One that did not sleep makes tens of thousands.
    assert!(handle.stats().turns - before < 500);
    drop(item.unwrap().cancel());
    closes_clean(event_loop);
}
