//! `watch`: the latest value, and word of each change.

mod support;

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use futures::StreamExt;
use loopline::callback::Next;
use loopline::sync::watch::{self, Receiver, Sender};
use loopline::task::yield_now;
use loopline::{RunError, spawn};
use support::{block_on, closes_clean, event_loop};

fn poll_once<F: Future>(future: F) -> Poll<F::Output> {
    pin!(future).poll(&mut Context::from_waker(Waker::noop()))
}

/// The text of a panic.
fn panic_of(f: impl FnOnce()) -> String {
    let payload = catch_unwind(AssertUnwindSafe(f)).expect_err("a panic");
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| payload.downcast_ref::<String>().cloned()).expect("a text")
}

#[test]
fn a_receiver_begins_with_the_value_seen_and_sees_each_change_once() {
    block_on(async {
        let (sender, mut receiver) = watch::channel("one");
        assert_eq!((*receiver.borrow(), receiver.has_changed()), ("one", Ok(false)));
        assert!(poll_once(receiver.changed()).is_pending());
        sender.send("two").unwrap();
        assert_eq!(receiver.has_changed(), Ok(true));
        assert!(receiver.borrow().has_changed(), "borrowing is not seeing");
        assert_eq!(receiver.changed().await, Ok(()));
        assert!(!receiver.borrow().has_changed());
        assert!(poll_once(receiver.changed()).is_pending());
        sender.send("three").unwrap();
        sender.send("four").unwrap();
        let seen = receiver.borrow_and_update();
        assert_eq!((*seen, seen.has_changed()), ("four", true));
        drop(seen);
        assert!(!receiver.borrow_and_update().has_changed());
        assert!(poll_once(receiver.changed()).is_pending(), "two changes, one sight");
    });
}

#[test]
fn a_clone_has_seen_what_the_original_has() {
    let (sender, mut receiver) = watch::channel(0);
    sender.send(1).unwrap();
    let mut clone = receiver.clone();
    assert!(poll_once(receiver.changed()).is_ready());
    assert_eq!((receiver.has_changed(), clone.has_changed()), (Ok(false), Ok(true)));
    assert!(poll_once(clone.changed()).is_ready());
    assert!(receiver.same_channel(&clone) && !receiver.same_channel(&watch::channel(0).1));
    let late = sender.subscribe();
    assert_eq!((late.has_changed(), *late.borrow()), (Ok(false), 1));
    assert_eq!((sender.receiver_count(), sender.sender_count()), (3, 1));
}

#[test]
fn marks_say_what_counts_as_seen() {
    let (sender, mut receiver) = watch::channel(0);
    receiver.mark_changed();
    assert_eq!(receiver.has_changed(), Ok(true));
    assert!(poll_once(receiver.changed()).is_ready());
    sender.send(1).unwrap();
    receiver.mark_unchanged();
    assert!(poll_once(receiver.changed()).is_pending());
    receiver.mark_changed();
    receiver.mark_changed();
    assert!(receiver.borrow_and_update().has_changed());
    assert_eq!(receiver.has_changed(), Ok(false));
}

#[test]
fn changed_gives_the_last_change_before_the_end() {
    block_on(async {
        let (sender, mut receiver) = watch::channel(0);
        let mut other = receiver.clone();
        let task = spawn(async move { (other.changed().await, other.changed().await) });
        yield_now().await;
        sender.send(1).unwrap();
        drop(sender.clone());
        drop(sender);
        let (change, end) = task.await.unwrap();
        assert!(change.is_ok() && end.is_err());
        assert!(receiver.is_closed());
        assert!(receiver.has_changed().is_err(), "even though one is unseen");
        assert_eq!(receiver.changed().await, Ok(()));
        assert_eq!(receiver.changed().await.unwrap_err().to_string(), "the channel is closed");
        assert_eq!(*receiver.borrow(), 1);
    });
}

#[test]
fn the_last_sender_wakes_who_waits() {
    block_on(async {
        let (sender, mut receiver) = watch::channel(0);
        let other = sender.clone();
        assert!(sender.same_channel(&other) && !sender.same_channel(&Sender::default()));
        let task = spawn(async move { receiver.changed().await });
        yield_now().await;
        drop(sender);
        yield_now().await;
        assert!(!task.is_finished());
        drop(other);
        yield_now().await;
        assert!(task.is_finished(), "woken, not found in the end");
        assert!(task.await.unwrap().is_err());
    });
}

#[test]
fn send_if_modified_tells_only_of_changes() {
    block_on(async {
        let (sender, mut receiver) = watch::channel(1);
        let mut other = receiver.clone();
        let task = spawn(async move { other.changed().await });
        yield_now().await;
        assert!(!sender.send_if_modified(|value| {
            *value = 2;
            false
        }));
        yield_now().await;
        assert!(!task.is_finished());
        assert_eq!((*receiver.borrow(), receiver.has_changed()), (2, Ok(false)), "a silent change");
        assert!(sender.send_if_modified(|value| {
            *value += 1;
            true
        }));
        assert_eq!(task.await.unwrap(), Ok(()));
        assert_eq!(*receiver.borrow_and_update(), 3);
    });
}

#[test]
fn sends_without_a_receiver_differ() {
    let (sender, receiver) = watch::channel(0);
    drop(receiver);
    assert!(sender.is_closed());
    assert_eq!(sender.send(1).unwrap_err().0, 1);
    assert_eq!(*sender.borrow(), 0, "not set");
    assert_eq!(sender.send_replace(2), 0);
    sender.send_modify(|value| *value += 1);
    let receiver = sender.subscribe();
    assert_eq!((*receiver.borrow(), receiver.has_changed()), (3, Ok(false)));
    assert!(!sender.is_closed());
}

#[test]
fn closed_waits_for_the_last_receiver() {
    block_on(async {
        let (sender, receiver) = watch::channel(0);
        let (other, clone) = (sender.clone(), receiver.clone());
        let task = spawn(async move { other.closed().await });
        yield_now().await;
        drop(receiver);
        yield_now().await;
        assert!(!task.is_finished());
        drop(clone);
        yield_now().await;
        assert!(task.is_finished(), "woken, not found in the end");
        task.await.unwrap();
        sender.closed().await;
        let again = sender.subscribe();
        assert!(poll_once(sender.closed()).is_pending());
        drop(again);
    });
}

#[test]
fn wait_for_gives_the_first_value_that_fits() {
    block_on(async {
        let (sender, mut receiver) = watch::channel(1);
        assert_eq!(receiver.wait_for(|value| *value == 1).await.as_deref(), Ok(&1), "at once");
        let mut other = receiver.clone();
        let task = spawn(async move {
            let mut asked = Vec::new();
            let fits = |value: &i32| {
                asked.push(*value);
                *value > 3
            };
            let found = other.wait_for(fits).await.map(|found| (*found, found.has_changed()));
            assert_eq!(other.has_changed(), Ok(false), "seen");
            (found, asked)
        });
        for value in 2..=5 {
            yield_now().await;
            sender.send(value).unwrap();
        }
        assert_eq!(task.await.unwrap(), (Ok((4, true)), vec![1, 2, 3, 4]));
        let task = spawn(async move { receiver.wait_for(|value| *value == 7).await.is_err() });
        yield_now().await;
        sender.send(6).unwrap();
        sender.send(7).unwrap();
        drop(sender);
        assert!(!task.await.unwrap(), "the last value fits, though the senders are gone");
    });
}

#[test]
fn wait_for_ends_with_the_senders() {
    block_on(async {
        let (sender, mut receiver) = watch::channel(1);
        let asked = Rc::new(RefCell::new(Vec::new()));
        let log = asked.clone();
        let task = spawn(async move {
            let fits = |value: &i32| {
                log.borrow_mut().push(*value);
                false
            };
            receiver.wait_for(fits).await.is_err()
        });
        yield_now().await;
        sender.send(2).unwrap();
        drop(sender);
        assert!(task.await.unwrap());
        assert_eq!(asked.take(), [1, 2]);
    });
}

#[test]
fn a_closure_of_wait_for_that_panics_has_seen_the_value_and_breaks_nothing() {
    block_on(async {
        let (sender, mut receiver) = watch::channel(1);
        receiver.mark_changed();
        let wait = receiver.wait_for(|_| panic!("{} on purpose", "a closure"));
        let panicked = catch_unwind(AssertUnwindSafe(|| poll_once(wait).is_ready()));
        assert!(panicked.is_err());
        assert_eq!(receiver.has_changed(), Ok(false));
        sender.send_modify(|value| *value += 1);
        assert_eq!(receiver.changed().await, Ok(()));
    });
}

// contract 40
#[test]
fn a_wait_dropped_at_any_poll_has_seen_nothing() {
    for polls in 0..4 {
        let (sender, mut receiver) = watch::channel(0);
        {
            let mut wait = pin!(receiver.changed());
            for _ in 0..polls {
                assert!(wait.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
            }
            sender.send(1).unwrap();
        }
        assert_eq!(receiver.has_changed(), Ok(true), "{polls} polls");
        assert!(poll_once(receiver.wait_for(|value| *value == 2)).is_pending());
        assert_eq!(receiver.has_changed(), Ok(false), "the closure was given it");
    }
}

#[test]
fn a_ref_keeps_what_it_saw_while_the_value_is_sent_over() {
    let (sender, mut receiver) = watch::channel(String::from("old"));
    let old = sender.borrow();
    sender.send(String::from("new")).unwrap();
    assert_eq!((&**old, &**sender.borrow()), ("old", "new"));
    let new = receiver.borrow_and_update();
    assert!(new.has_changed() && !old.has_changed());
    drop((old, new));
    sender.send_modify(|value| value.push('!'));
    assert_eq!(*receiver.borrow(), "new!");
}

#[test]
fn a_change_in_place_is_refused_while_a_ref_lives() {
    let (sender, receiver) = watch::channel(1);
    let seen = receiver.borrow();
    for text in [
        panic_of(|| sender.send_modify(|value| *value = 2)),
        panic_of(|| assert_eq!(sender.send_replace(2), 1)),
        panic_of(|| assert!(sender.send_if_modified(|_| true))),
    ] {
        assert!(text.contains("while a Ref of it lives"), "{text}");
    }
    assert_eq!((*seen, *receiver.borrow(), receiver.has_changed()), (1, 1, Ok(false)));
    drop(seen);
    sender.send_modify(|value| *value = 2);
    assert_eq!(*receiver.borrow(), 2);
}

#[test]
fn a_closure_that_changes_the_value_cannot_use_the_channel_but_breaks_nothing() {
    let (sender, receiver) = watch::channel(1);
    for text in [
        panic_of(|| sender.send_modify(|_| assert_eq!(*receiver.borrow(), 1))),
        panic_of(|| sender.send_modify(|_| sender.send(3).unwrap())),
        panic_of(|| sender.send_modify(|_| sender.send_modify(|value| *value = 3))),
    ] {
        assert!(text.contains("inside the closure"), "{text}");
    }
    sender.send_modify(|_| assert!(format!("{sender:?} {receiver:?}").contains("being changed")));
    assert_eq!((*receiver.borrow(), receiver.has_changed()), (1, Ok(true)));
}

#[test]
fn a_closure_that_panics_changes_without_telling() {
    let (sender, receiver) = watch::channel(1);
    let text = panic_of(|| {
        sender.send_modify(|value| {
            *value = 2;
            panic!("{} on purpose", "a closure");
        });
    });
    assert_eq!(text, "a closure on purpose");
    assert_eq!((*receiver.borrow(), receiver.has_changed()), (2, Ok(false)));
    sender.send(3).unwrap();
    assert_eq!(*receiver.borrow(), 3);
}

/// Looks at its channel as it is dropped.
struct Looks(u32, Option<Receiver<Self>>, Rc<Cell<u32>>);

impl Drop for Looks {
    fn drop(&mut self) {
        if let Some(receiver) = &self.1 {
            self.2.set(receiver.borrow().0);
        }
    }
}

// contract 16
#[test]
fn dropping_a_value_may_use_the_channel() {
    let seen = Rc::new(Cell::new(0));
    let (sender, receiver) = watch::channel(Looks(1, None, seen.clone()));
    sender.send_modify(|value| value.1 = Some(receiver.clone()));
    sender.send(Looks(2, None, seen.clone())).map_err(drop).unwrap();
    assert_eq!(seen.get(), 2);
    let held = receiver.borrow();
    sender.send(Looks(3, Some(receiver.clone()), seen.clone())).map_err(drop).unwrap();
    assert_eq!(held.0, 2);
    drop(held);
    sender.send(Looks(4, None, seen.clone())).map_err(drop).unwrap();
    assert_eq!(seen.get(), 4);
}

#[test]
fn who_waits_is_woken_first_in_first_out() {
    block_on(async {
        let (sender, receiver) = watch::channel(0);
        let order = Rc::new(RefCell::new(Vec::new()));
        let mut tasks = Vec::new();
        for n in 0..6 {
            let (mut receiver, order) = (receiver.clone(), order.clone());
            tasks.push(spawn(async move {
                while receiver.changed().await.is_ok() {
                    order.borrow_mut().push(n);
                }
            }));
            yield_now().await;
        }
        drop(tasks.remove(2).cancel());
        for value in 0..2 {
            sender.send(value).unwrap();
            yield_now().await;
            assert_eq!(order.take(), [0, 1, 3, 4, 5]);
        }
        drop(sender);
        for task in tasks {
            task.await.unwrap();
        }
    });
}

#[test]
fn a_receiver_is_a_source() {
    let mut event_loop = event_loop::<Vec<u32>>();
    let (sender, receiver) = watch::channel(0);
    let callback = |value, _: &mut _, seen: &mut Vec<_>| {
        seen.push(value);
        Next::Keep
    };
    let join = event_loop.handle().insert(receiver, callback).unwrap();
    let task = async move {
        yield_now().await;
        for value in [1, 2, 3] {
            sender.send_replace(value);
        }
        yield_now().await;
        yield_now().await;
        sender.send_replace(4);
    };
    drop(event_loop.handle().spawn(task));
    let mut seen = Vec::new();
    event_loop.run(&mut seen).unwrap();
    assert_eq!(seen, [3, 4], "the first was seen, the others came as one");
    drop(join);
    closes_clean(event_loop);
}

#[test]
fn a_stream_gives_the_value_there_is_if_it_is_marked() {
    block_on(async {
        let (sender, mut receiver) = watch::channel(0);
        receiver.mark_changed();
        assert_eq!(poll_once(receiver.next()), Poll::Ready(Some(0)));
        assert!(poll_once(receiver.next()).is_pending());
        let task = spawn(async move { receiver.collect::<Vec<_>>().await });
        yield_now().await;
        sender.send(1).unwrap();
        drop(sender);
        assert_eq!(task.await.unwrap(), [1]);
    });
}

#[test]
fn waits_that_are_always_over_let_others_run() {
    block_on(async {
        let (sender, mut receiver) = watch::channel(0);
        let rounds = Rc::new(Cell::new(0));
        let count = rounds.clone();
        let task = spawn(async move {
            loop {
                receiver.wait_for(|_| true).await.unwrap();
                receiver.mark_changed();
                receiver.changed().await.unwrap();
                count.set(count.get() + 1);
            }
        });
        yield_now().await;
        assert!(rounds.get() != 0);
        drop(task.cancel());
        drop(sender);
    });
}

#[test]
fn a_wait_that_nothing_can_end_says_what_it_waits_for() {
    let mut event_loop = event_loop::<()>().never_a_guest();
    let (sender, mut receiver) = watch::channel(0);
    let ended = event_loop.block_on(async {
        futures::join!(receiver.changed(), sender.closed()).0.unwrap();
    });
    let Err(RunError::Deadlock(deadlock)) = ended else { panic!("{ended:?}") };
    let waits_for = ["a change (watch::Receiver)", "the last receiver's end (watch::Sender)"];
    assert_eq!(deadlock.waits()[0].waits_for, waits_for);
    closes_clean(event_loop);
}
