//! Items are paused, resumed and cancelled from outside, callbacks by themselves too.

mod support;

use std::cell::{Cell, RefCell};
use std::future::{poll_fn, ready};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures::{Stream, stream};
use loopline::callback::{self, Next};
use loopline::{Control, EventLoop, yield_now};
use support::{closes_clean, event_loop};

type Log = Rc<RefCell<Vec<String>>>;

fn say(log: &Log, text: impl Into<String>) {
    log.borrow_mut().push(text.into());
}

/// Turns without waiting until nothing is left to run.
fn settle(event_loop: &mut EventLoop<()>) {
    while event_loop.turn(&mut (), Duration::ZERO).unwrap().left {}
}

// contract 35
#[test]
fn a_paused_task_is_not_polled_and_loses_no_wake() {
    let mut event_loop = event_loop::<()>();
    let polls = Rc::new(Cell::new(0));
    let waker = Rc::new(RefCell::new(None::<Waker>));
    let (count, stored) = (polls.clone(), waker.clone());
    let task = event_loop.handle().spawn(poll_fn(move |cx| {
        count.set(count.get() + 1);
        stored.replace(Some(cx.waker().clone()));
        if count.get() == 3 { Poll::Ready(()) } else { Poll::Pending }
    }));
    let control = task.control();
    // Before its first poll.
    assert!(control.pause() && control.pause());
    settle(&mut event_loop);
    assert_eq!(polls.get(), 0);
    assert!(control.resume() && control.resume());
    settle(&mut event_loop);
    assert_eq!(polls.get(), 1);
    // Woken in the pause, twice: one poll after it.
    control.pause();
    waker.borrow().as_ref().unwrap().wake_by_ref();
    waker.borrow().as_ref().unwrap().wake_by_ref();
    settle(&mut event_loop);
    assert_eq!(polls.get(), 1);
    control.resume();
    settle(&mut event_loop);
    assert_eq!(polls.get(), 2);
    // Not woken in the pause: no poll after it.
    control.pause();
    control.resume();
    settle(&mut event_loop);
    assert_eq!(polls.get(), 2);
    // Woken, then paused while it is queued, then cancelled.
    waker.borrow().as_ref().unwrap().wake_by_ref();
    control.pause();
    assert!(task.cancel().is_finished());
    settle(&mut event_loop);
    assert_eq!(polls.get(), 2);
    closes_clean(event_loop);
}

// contract 34
#[test]
fn a_task_resumed_while_it_is_queued_keeps_its_place() {
    let log = Log::default();
    let mut event_loop = event_loop::<()>();
    let handle = event_loop.handle();
    let tasks: Vec<_> = ["a", "b", "c"]
        .map(|name| {
            let log = log.clone();
            handle.spawn(async move { say(&log, name) })
        })
        .into();
    tasks[1].control().pause();
    tasks[1].control().resume();
    tasks[0].control().pause();
    settle(&mut event_loop);
    assert_eq!(*log.borrow(), ["b", "c"]);
    tasks[0].control().resume();
    settle(&mut event_loop);
    assert_eq!(*log.borrow(), ["b", "c", "a"]);
    closes_clean(event_loop);
}

// contract 34
#[test]
fn a_task_resumed_in_the_turn_that_paused_it_keeps_its_place_whatever_was_cancelled_meanwhile() {
    let log = Log::default();
    let mut event_loop = event_loop::<()>();
    let handle = event_loop.handle();
    let controls: Rc<RefCell<Vec<_>>> = Rc::default();
    let others = controls.clone();
    handle.spawn(async move {
        let controls: &Vec<Control> = &others.borrow();
        assert!(controls[0].pause() && controls[2].cancel() && controls[0].resume());
    });
    for name in ["a", "b", "c"] {
        let log = log.clone();
        controls.borrow_mut().push(handle.spawn(async move { say(&log, name) }).control());
    }
    settle(&mut event_loop);
    assert_eq!(*log.borrow(), ["a", "b"]);
    closes_clean(event_loop);
}

// contract 16
#[test]
fn a_callback_is_paused_resumed_and_cancelled_from_a_task() {
    let mut event_loop = event_loop::<Vec<u32>>();
    let handle = event_loop.handle();
    let (sender, receiver) = callback::channel();
    let item = handle
        .insert(receiver, |n, _channel, seen: &mut Vec<u32>| {
            seen.push(n);
            Next::Keep
        })
        .unwrap();
    let control = item.control();
    let mut seen = Vec::new();
    event_loop
        .run_until(&mut seen, async move {
            sender.send(1).unwrap();
            handle.next_turn(|_| ()).await.unwrap();
            yield_now().await;
            control.pause();
            sender.send(2).unwrap();
            sender.send(3).unwrap();
            for _ in 0..5 {
                handle.next_turn(|_| ()).await.unwrap();
            }
            handle.with(|seen| assert_eq!(*seen, [1]));
            control.resume();
            yield_now().await;
            handle.with(|seen| assert_eq!(*seen, [1, 2, 3]));
            sender.send(4).unwrap();
            assert!(control.cancel());
            // The source went with the item.
            assert_eq!(sender.send(5).unwrap_err().0, 5);
        })
        .unwrap();
    assert_eq!(seen, [1, 2, 3]);
    let ended = event_loop.run_until(&mut seen, item).unwrap();
    assert!(ended.unwrap_err().is_cancelled());
    closes_clean(event_loop);
}

// contract 16
#[test]
fn a_callback_that_cancels_itself_gets_no_further_event() {
    let mut event_loop = event_loop::<Vec<u32>>();
    let handle = event_loop.handle();
    let (sender, receiver) = callback::channel();
    (1..=5).for_each(|n| sender.send(n).unwrap());
    let item = handle
        .insert(receiver, move |n, _channel, seen: &mut Vec<u32>| {
            seen.push(n);
            if n == 3 {
                assert!(handle.current().unwrap().cancel());
            }
            Next::Keep
        })
        .unwrap();
    let mut seen = Vec::new();
    event_loop.run(&mut seen).unwrap();
    assert_eq!(seen, [1, 2, 3]);
    assert!(event_loop.run_until(&mut seen, item).unwrap().unwrap_err().is_cancelled());
    assert!(sender.send(6).is_err());
    closes_clean(event_loop);
}

// contract 16
#[test]
fn a_callback_that_pauses_itself_keeps_the_events_for_later() {
    for by_control in [false, true] {
        let mut event_loop = event_loop::<Vec<u32>>();
        let handle = event_loop.handle();
        let (sender, receiver) = callback::channel();
        (1..=4).for_each(|n| sender.send(n).unwrap());
        drop(sender);
        let item = handle
            .insert(receiver, move |n, _channel, seen: &mut Vec<u32>| {
                seen.push(n);
                match (n, by_control) {
                    (2, false) => Next::Pause,
                    (2, true) => {
                        assert!(handle.current().unwrap().pause());
                        Next::Keep
                    }
                    _ => Next::Keep,
                }
            })
            .unwrap();
        let mut seen = Vec::new();
        for _ in 0..5 {
            event_loop.turn(&mut seen, Duration::ZERO).unwrap();
        }
        assert_eq!(seen, [1, 2]);
        item.control().resume();
        event_loop.run(&mut seen).unwrap();
        assert_eq!(seen, [1, 2, 3, 4]);
        assert!(item.is_finished());
        closes_clean(event_loop);
    }
}

// contract 16; fault 78
#[test]
fn an_item_cancelled_by_another_of_its_batch_does_not_run() {
    let mut event_loop = event_loop::<Vec<usize>>();
    let handle = event_loop.handle();
    let controls: Rc<RefCell<Vec<Control>>> = Rc::default();
    let mut pings = Vec::new();
    for n in 0..100 {
        let (ping, source) = callback::ping();
        let controls_of_all = controls.clone();
        let item = handle
            .insert(source, move |(), _source, seen: &mut Vec<usize>| {
                seen.push(n);
                if n == 10 {
                    // Itself, one that ran, and ten that are pending.
                    for control in &controls_of_all.borrow()[9..=20] {
                        control.cancel();
                    }
                }
                Next::Keep
            })
            .unwrap();
        controls.borrow_mut().push(item.control());
        pings.push(ping);
    }
    let mut seen = Vec::new();
    while event_loop.turn(&mut seen, Duration::ZERO).unwrap().left {}
    // Inside a turn: of wakes from outside the order is not promised.
    handle.spawn(async move { pings.iter().for_each(callback::Ping::ping) });
    event_loop.run(&mut seen).unwrap();
    let expected: Vec<usize> = (0..=10).chain(21..100).collect();
    assert_eq!(seen, expected);
    closes_clean(event_loop);
}

#[test]
fn a_control_says_whether_its_item_has_ended() {
    let mut event_loop = event_loop::<()>();
    let handle = event_loop.handle();
    let own = Rc::new(Cell::new(None));
    let seen = own.clone();
    let task = handle.spawn(async move {
        // While it runs it has not ended.
        seen.set(handle.current().map(Control::is_finished));
        yield_now().await;
    });
    let control = task.control();
    assert!(!control.is_finished());
    event_loop.run(&mut ()).unwrap();
    assert_eq!((own.take(), control.is_finished()), (Some(false), true));
    let waits = handle.spawn(std::future::pending::<()>());
    let control = waits.control();
    assert!(!control.is_finished());
    drop(waits.cancel());
    assert!(control.is_finished());
    closes_clean(event_loop);
    assert!(control.is_finished(), "its loop is gone");
}

// contract 16
#[test]
fn a_source_changed_from_outside_is_polled_again_when_its_control_wakes_it() {
    /// Yields what it holds; nobody wakes it.
    struct Shelf(Rc<RefCell<Vec<u32>>>);
    impl Stream for Shelf {
        type Item = u32;
        fn poll_next(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<Option<u32>> {
            self.0.borrow_mut().pop().map_or(Poll::Pending, |number| Poll::Ready(Some(number)))
        }
    }
    let mut event_loop = event_loop::<Vec<u32>>();
    let handle = event_loop.handle();
    let shelf = Rc::new(RefCell::new(vec![1]));
    let item = handle.insert(Shelf(shelf.clone()), |number, _shelf, seen: &mut Vec<u32>| {
        seen.push(number);
        Next::Keep
    });
    let item = item.unwrap();
    let control = item.control();
    let mut seen = Vec::new();
    event_loop.turn(&mut seen, Duration::ZERO).unwrap();
    shelf.borrow_mut().push(2);
    assert!(!event_loop.turn(&mut seen, Duration::ZERO).unwrap().left);
    assert_eq!(seen, [1]);
    assert!(control.wake() && control.wake());
    event_loop.turn(&mut seen, None).unwrap(); // does not wait
    assert_eq!(seen, [1, 2]);
    // Paused: when it goes on.
    shelf.borrow_mut().push(3);
    assert!(control.pause() && control.wake());
    event_loop.turn(&mut seen, Duration::ZERO).unwrap();
    assert_eq!(seen, [1, 2]);
    control.resume();
    event_loop.turn(&mut seen, None).unwrap();
    assert_eq!(seen, [1, 2, 3]);
    assert!(item.cancel().is_finished());
    assert!(!control.wake());
    closes_clean(event_loop);
}

// contract 17
#[test]
fn a_new_source_that_is_woken_in_its_turn_runs_in_the_next_one_all_the_same() {
    let mut event_loop = event_loop::<Vec<u32>>();
    let handle = event_loop.handle();
    handle.defer(move |seen| {
        let new = handle.insert(stream::once(ready(2)), |number, _, seen: &mut Vec<u32>| {
            seen.push(number);
            Next::Keep
        });
        assert!(new.unwrap().control().wake());
        seen.push(1);
    });
    let mut seen = Vec::new();
    event_loop.turn(&mut seen, Duration::ZERO).unwrap();
    assert_eq!(seen, [1]);
    event_loop.turn(&mut seen, None).unwrap();
    assert_eq!(seen, [1, 2]);
    closes_clean(event_loop);
}
