//! `broadcast`: each value to everybody who receives, and word of what was missed.

mod support;

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use futures::StreamExt;
use loopline::callback::Next;
use loopline::sync::broadcast::error::{Lagged, RecvError, TryRecvError};
use loopline::sync::broadcast::{self, Receiver, Sender};
use loopline::task::yield_now;
use loopline::{RunError, spawn};
use support::{block_on, closes_clean, event_loop};

/// Receives until there is nothing now.
fn drain<T: Clone>(receiver: &mut Receiver<T>) -> Vec<Result<T, u64>> {
    let mut got = Vec::new();
    loop {
        match receiver.try_recv() {
            Ok(value) => got.push(Ok(value)),
            Err(TryRecvError::Lagged(missed)) => got.push(Err(missed)),
            Err(_) => return got,
        }
    }
}

fn poll_once<F: Future>(future: F) -> Poll<F::Output> {
    pin!(future).poll(&mut Context::from_waker(Waker::noop()))
}

#[test]
fn every_receiver_gets_every_value_in_order() {
    block_on(async {
        let (sender, receiver) = broadcast::channel(4);
        let receivers = [receiver, sender.subscribe(), sender.subscribe()];
        let tasks = receivers.map(|mut receiver| {
            spawn(async move {
                let mut got = Vec::new();
                while let Ok(value) = receiver.recv().await {
                    got.push(value);
                }
                got
            })
        });
        for value in 0..100 {
            assert_eq!(sender.send(value), Ok(3));
            yield_now().await;
        }
        drop(sender);
        for task in tasks {
            assert_eq!(task.await.unwrap(), (0..100).collect::<Vec<_>>());
        }
    });
}

#[test]
fn a_receiver_that_lags_goes_on_with_the_oldest_value_kept() {
    let (sender, mut receiver) = broadcast::channel(3);
    for value in 0..4 {
        sender.send(value).unwrap();
    }
    let mut late = receiver.resubscribe();
    assert_eq!(drain(&mut receiver), [Ok(0), Ok(1), Ok(2), Ok(3)], "3 is rounded up to 4");
    for value in 4..15 {
        sender.send(value).unwrap();
    }
    assert_eq!((receiver.len(), sender.len()), (11, 4));
    assert_eq!(drain(&mut receiver), [Err(7), Ok(11), Ok(12), Ok(13), Ok(14)]);
    assert_eq!(drain(&mut late).first(), Some(&Err(7)));
    assert!(receiver.is_empty() && late.is_empty() && sender.is_empty());
}

#[test]
fn capacities_are_rounded_up_to_powers_of_two() {
    for capacity in 1..=70_usize {
        let (sender, mut receiver) = broadcast::channel(capacity);
        for value in 0..200 {
            sender.send(value).unwrap();
        }
        assert_eq!(sender.len(), capacity.next_power_of_two());
        assert_eq!(receiver.try_recv(), Err(TryRecvError::Lagged(200 - sender.len() as u64)));
    }
    for capacity in [0, usize::MAX / 2 + 1] {
        let panicked = catch_unwind(|| drop(Sender::<()>::new(capacity)));
        assert!(panicked.is_err(), "capacity {capacity}");
    }
    drop(Sender::<()>::new(usize::MAX / 2));
}

#[test]
fn a_send_to_nobody_gives_the_value_back() {
    let sender = Sender::new(2);
    assert_eq!(sender.send("a").unwrap_err().0, "a");
    let mut receiver = sender.subscribe();
    assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty), "sent before it came");
    assert_eq!(sender.send("b"), Ok(1));
    assert_eq!(receiver.try_recv(), Ok("b"));
    drop(receiver);
    assert_eq!(sender.send("c").unwrap_err().to_string(), "the channel has no receiver");
    assert_eq!((sender.receiver_count(), sender.len()), (0, 0));
}

#[test]
fn a_receiver_gets_what_is_left_when_the_senders_are_gone() {
    block_on(async {
        let (sender, mut receiver) = broadcast::channel(2);
        let other = sender.clone();
        assert!(sender.same_channel(&other) && !sender.same_channel(&Sender::new(2)));
        other.send(1).unwrap();
        drop(sender);
        assert!(!receiver.is_closed());
        other.send(2).unwrap();
        other.send(3).unwrap();
        drop(other);
        assert!(receiver.is_closed());
        assert_eq!(receiver.recv().await, Err(RecvError::Lagged(1)));
        assert_eq!(receiver.recv().await, Ok(2));
        assert_eq!(receiver.try_recv(), Ok(3));
        assert_eq!(receiver.try_recv(), Err(TryRecvError::Closed));
        assert_eq!(receiver.recv().await, Err(RecvError::Closed));
        assert_eq!(receiver.resubscribe().recv().await, Err(RecvError::Closed));
    });
}

#[test]
fn the_last_sender_wakes_who_waits_though_weak_ones_stay() {
    block_on(async {
        let (sender, mut receiver) = broadcast::channel::<()>(2);
        let weak = sender.downgrade();
        let again = weak.upgrade().expect("a sender lives");
        assert_eq!((receiver.sender_strong_count(), receiver.sender_weak_count()), (2, 1));
        let other = weak.clone();
        assert_eq!((other.weak_count(), other.strong_count()), (2, 2));
        drop(other);
        assert_eq!(sender.weak_count(), 1);
        let task = spawn(async move { receiver.recv().await });
        yield_now().await;
        drop(sender);
        yield_now().await;
        assert!(!task.is_finished());
        drop(again);
        yield_now().await;
        assert!(task.is_finished(), "woken, not found in the end");
        assert_eq!(task.await.unwrap(), Err(RecvError::Closed));
        assert!(weak.upgrade().is_none());
    });
}

#[test]
fn closed_waits_for_the_last_receiver() {
    block_on(async {
        let (sender, receiver) = broadcast::channel::<()>(2);
        let other = receiver.resubscribe();
        let waits = [sender.clone(), sender.clone()]
            .map(|sender| spawn(async move { sender.closed().await }));
        yield_now().await;
        drop(receiver);
        yield_now().await;
        assert!(!waits[0].is_finished());
        drop(other);
        yield_now().await;
        assert!(waits.iter().all(|wait| wait.is_finished()), "woken, not found in the end");
        for wait in waits {
            wait.await.unwrap();
        }
        sender.closed().await;
        let receiver = sender.subscribe();
        assert!(poll_once(sender.closed()).is_pending(), "open again");
        drop(receiver);
    });
}

#[test]
fn who_waits_is_woken_first_in_first_out_and_who_left_is_not() {
    block_on(async {
        let (sender, _receiver) = broadcast::channel(2);
        let order = Rc::new(RefCell::new(Vec::new()));
        let mut tasks = Vec::new();
        for n in 0..8 {
            let (mut receiver, order) = (sender.subscribe(), order.clone());
            tasks.push(Some(spawn(async move {
                while receiver.recv().await.is_ok() {
                    order.borrow_mut().push(n);
                }
            })));
            yield_now().await;
        }
        drop(tasks[3].take().unwrap().cancel());
        drop(tasks[0].take().unwrap().cancel());
        for _ in 0..2 {
            sender.send(()).unwrap();
            yield_now().await;
            assert_eq!(order.take(), [1, 2, 4, 5, 6, 7]);
        }
        drop(sender);
        for task in tasks.into_iter().flatten() {
            task.await.unwrap();
        }
    });
}

// contract 40
#[test]
fn a_wait_dropped_at_any_poll_loses_no_value() {
    for polls in 0..4 {
        let (sender, mut receiver) = broadcast::channel(4);
        {
            let mut wait = pin!(receiver.recv());
            for _ in 0..polls {
                assert!(wait.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
            }
            sender.send(1).unwrap();
        }
        sender.send(2).unwrap();
        assert_eq!(drain(&mut receiver), [Ok(1), Ok(2)], "{polls} polls");
    }
}

/// Does something when it is cloned or dropped.
struct Busy {
    number: usize,
    cloned: Rc<dyn Fn(usize)>,
    dropped: Rc<dyn Fn(usize)>,
}

impl Busy {
    fn new(number: usize, cloned: &Rc<dyn Fn(usize)>, dropped: &Rc<dyn Fn(usize)>) -> Self {
        Self { number, cloned: cloned.clone(), dropped: dropped.clone() }
    }
}

impl Clone for Busy {
    fn clone(&self) -> Self {
        (self.cloned)(self.number);
        Self::new(self.number, &self.cloned, &self.dropped)
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        (self.dropped)(self.number);
    }
}

fn nothing() -> Rc<dyn Fn(usize)> {
    Rc::new(|_| ())
}

#[test]
fn a_value_goes_as_soon_as_nobody_will_read_it() {
    let dropped = Rc::new(RefCell::new(Vec::new()));
    // What was received is dropped at the end, when nobody looks any more.
    let mut kept = Vec::new();
    let log = dropped.clone();
    let log: Rc<dyn Fn(usize)> = Rc::new(move |number| log.borrow_mut().push(number));
    let (sender, mut first) = broadcast::channel(2);
    let mut second = sender.subscribe();
    let send = |number| sender.send(Busy::new(number, &nothing(), &log)).map_err(drop).unwrap();
    send(0);
    send(1);
    assert_eq!(dropped.take(), []);
    send(2);
    assert_eq!(dropped.take(), [0], "no room");
    assert_eq!(first.try_recv().err(), Some(TryRecvError::Lagged(1)));
    kept.push(first.try_recv());
    assert_eq!(dropped.take(), []);
    assert_eq!(second.try_recv().err(), Some(TryRecvError::Lagged(1)));
    kept.push(second.try_recv());
    assert_eq!(dropped.take(), [1], "read by both");
    send(3);
    drop(first);
    assert_eq!(dropped.take(), []);
    drop(second);
    assert_eq!(dropped.take(), [2, 3]);
    assert!(sender.is_empty());
}

// contract 16
#[test]
fn cloning_a_value_may_use_the_channel() {
    let (sender, mut receiver) = broadcast::channel::<Busy>(2);
    let mut other = sender.subscribe();
    let (from_within, busy) = (sender.clone(), Cell::new(false));
    let within = Rc::new(RefCell::new(Vec::new()));
    let seen = within.clone();
    let others = RefCell::new(Some(sender.subscribe()));
    let cloned: Rc<dyn Fn(usize)> = Rc::new(move |_| {
        if busy.replace(true) {
            return;
        }
        // Reads the value that is being cloned, then sends over its place.
        let mut third = others.take().unwrap();
        seen.borrow_mut().push(third.try_recv().unwrap().number);
        for number in 10..14 {
            assert!(from_within.send(Busy::new(number, &nothing(), &nothing())).is_ok());
        }
        seen.borrow_mut().push(from_within.subscribe().len());
    });
    assert!(sender.send(Busy::new(1, &cloned, &nothing())).is_ok());
    assert_eq!(receiver.try_recv().unwrap().number, 1, "cloned whole, though its place was taken");
    assert_eq!(within.take(), [1, 0]);
    assert_eq!(receiver.try_recv().err(), Some(TryRecvError::Lagged(2)));
    assert_eq!(other.try_recv().err(), Some(TryRecvError::Lagged(3)));
    assert_eq!(other.try_recv().unwrap().number, 12);
}

// contract 16
#[test]
fn dropping_a_value_may_use_the_channel() {
    let (sender, receiver) = broadcast::channel(2);
    let (weak, room) = (sender.downgrade(), Rc::new(Cell::new(0)));
    let left = room.clone();
    let dropped: Rc<dyn Fn(usize)> = Rc::new(move |_| {
        if left.get() != 0 {
            left.set(left.get() - 1);
            let sender = weak.upgrade().expect("the test has one");
            assert_eq!(sender.send(Busy::new(9, &nothing(), &nothing())).ok(), Some(1));
        }
    });
    let send = || assert!(sender.send(Busy::new(1, &nothing(), &dropped)).is_ok());
    send();
    send();
    room.set(1);
    send();
    assert_eq!(receiver.len(), 4, "one came by the drop of the value that made room");
    room.set(2);
    let other = sender.subscribe();
    drop(receiver);
    assert_eq!((other.len(), sender.len()), (1, 1));
    drop(other);
    assert!(sender.is_empty());
}

#[test]
fn a_clone_that_panics_has_read_its_value() {
    let (sender, mut receiver) = broadcast::channel(2);
    let panics: Rc<dyn Fn(usize)> = Rc::new(|_| panic!("clone on purpose"));
    assert!(sender.send(Busy::new(0, &panics, &nothing())).is_ok());
    assert!(sender.send(Busy::new(1, &nothing(), &nothing())).is_ok());
    assert!(catch_unwind(AssertUnwindSafe(|| receiver.try_recv().ok())).is_err());
    assert_eq!(receiver.try_recv().unwrap().number, 1);
    assert!(sender.is_empty());
}

#[test]
fn a_drop_that_panics_cuts_nothing_off() {
    block_on(async {
        let (sender, receiver) = broadcast::channel(4);
        let other = sender.clone();
        let closed = spawn(async move { other.closed().await });
        yield_now().await;
        let dropped = Rc::new(Cell::new(0));
        let count = dropped.clone();
        let log: Rc<dyn Fn(usize)> = Rc::new(move |number| {
            count.set(count.get() + 1);
            assert_ne!(number, 1, "drop on purpose");
        });
        for number in 0..4 {
            assert!(sender.send(Busy::new(number, &nothing(), &log)).is_ok());
        }
        assert!(catch_unwind(AssertUnwindSafe(|| drop(receiver))).is_err());
        assert_eq!((dropped.get(), sender.len()), (4, 0));
        yield_now().await;
        assert!(closed.is_finished());
        closed.await.unwrap();
    });
}

#[test]
fn a_receiver_is_a_source() {
    let mut event_loop = event_loop::<Vec<Result<u32, Lagged>>>();
    let (sender, receiver) = broadcast::channel(2);
    let callback = |value, _: &mut _, seen: &mut Vec<_>| {
        seen.push(value);
        Next::Keep
    };
    let join = event_loop.handle().insert(receiver, callback).unwrap();
    let task = async move {
        for value in 0..3 {
            sender.send(value).unwrap();
        }
        yield_now().await;
        yield_now().await;
        sender.send(3).unwrap();
    };
    drop(event_loop.handle().spawn(task));
    let mut seen = Vec::new();
    event_loop.run(&mut seen).unwrap();
    assert_eq!(seen, [Err(Lagged(1)), Ok(1), Ok(2), Ok(3)]);
    drop(join);
    closes_clean(event_loop);
}

#[test]
fn a_stream_that_was_polled_is_woken_and_ends() {
    block_on(async {
        let (sender, mut receiver) = broadcast::channel(2);
        assert!(poll_once(receiver.next()).is_pending());
        assert!(poll_once(receiver.recv()).is_pending(), "both ways at once");
        let task = spawn(async move { receiver.collect::<Vec<_>>().await });
        yield_now().await;
        sender.send(1).unwrap();
        drop(sender);
        assert_eq!(task.await.unwrap(), [Ok(1)]);
    });
}

#[test]
fn a_receiver_with_much_to_read_lets_others_run() {
    block_on(async {
        let (sender, mut receiver) = broadcast::channel(4096);
        for value in 0..4096 {
            sender.send(value).unwrap();
        }
        drop(sender);
        let read = Rc::new(Cell::new(0));
        let count = read.clone();
        let task = spawn(async move {
            while receiver.recv().await.is_ok() {
                count.set(count.get() + 1);
            }
        });
        yield_now().await;
        assert!((1..4096).contains(&read.get()), "{} read at once", read.get());
        task.await.unwrap();
        assert_eq!(read.get(), 4096);
    });
}

#[test]
fn a_wait_that_nothing_can_end_says_what_it_waits_for() {
    let mut event_loop = event_loop::<()>().never_a_guest();
    let (sender, mut receiver) = broadcast::channel::<()>(2);
    let ended = event_loop.block_on(async {
        futures::join!(receiver.recv(), sender.closed()).0.unwrap();
    });
    let Err(RunError::Deadlock(deadlock)) = ended else { panic!("{ended:?}") };
    let waits_for =
        ["a value (broadcast::Receiver)", "the last receiver's end (broadcast::Sender)"];
    assert_eq!(deadlock.waits()[0].waits_for, waits_for);
    closes_clean(event_loop);
}
