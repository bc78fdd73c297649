//! `oneshot`: one message, from one end to the other, or word that it will not come.

#[path = "support/polled.rs"]
mod polled;
mod support;

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use loopline::sync::oneshot::error::TryRecvError;
use loopline::sync::oneshot::{Receiver, Sender, channel};
use loopline::{spawn, yield_now};
use polled::{Done, Polled, counter, hook_called, hooked, now};
use support::block_on;

#[test]
fn a_message_arrives_whether_it_is_sent_or_awaited_first() {
    block_on(async {
        let (sender, receiver) = channel();
        sender.send(1).unwrap();
        assert_eq!(receiver.await, Ok(1));

        let (sender, receiver) = channel();
        let receiving = spawn(receiver);
        yield_now().await;
        sender.send(2).unwrap();
        assert_eq!(receiving.await.unwrap(), Ok(2));
    });
}

#[test]
fn a_sender_that_is_dropped_ends_the_wait_with_an_error() {
    let (sender, receiver) = channel::<()>();
    let mut receiving = Polled::new(receiver);
    assert!(receiving.waits());
    drop(sender);
    assert_eq!(receiving.wakes(), 1);
    let error = receiving.ready().unwrap_err();
    assert_eq!(error.to_string(), "channel closed");
}

#[test]
fn a_message_that_cannot_be_received_is_given_back() {
    let (sender, receiver) = channel();
    drop(receiver);
    assert!(sender.is_closed());
    assert_eq!(sender.send("back"), Err("back"));

    let (sender, mut receiver) = channel();
    receiver.close();
    assert_eq!(sender.send("back"), Err("back"));
    assert!(now(receiver).is_err());
}

#[test]
fn what_was_sent_before_the_receiver_closed_is_received() {
    let (sender, mut receiver) = channel();
    sender.send(1).unwrap();
    receiver.close();
    assert_eq!(receiver.try_recv(), Ok(1));

    let (sender, mut receiver) = channel();
    sender.send(2).unwrap();
    receiver.close();
    assert_eq!(now(receiver), Ok(2));
}

#[test]
fn trying_tells_a_message_to_come_from_one_that_will_not() {
    let (sender, mut receiver) = channel();
    assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
    assert!(receiver.is_empty() && !receiver.is_terminated());
    sender.send(1).unwrap();
    assert!(!receiver.is_empty() && !receiver.is_terminated());
    assert_eq!(receiver.try_recv(), Ok(1));
    assert!(receiver.is_empty() && receiver.is_terminated());
    assert_eq!(receiver.try_recv(), Err(TryRecvError::Closed));

    let (sender, mut receiver) = channel::<()>();
    drop(sender);
    assert!(!receiver.is_terminated());
    assert_eq!(receiver.try_recv(), Err(TryRecvError::Closed));
    assert!(receiver.is_terminated());

    let (_sender, mut receiver) = channel::<()>();
    receiver.close();
    assert!(!receiver.is_terminated(), "nothing was asked yet");
    assert_eq!(receiver.try_recv(), Err(TryRecvError::Closed));
    assert!(receiver.is_terminated());
    assert_eq!(TryRecvError::Empty.to_string(), "channel empty");
    assert_eq!(TryRecvError::Closed.to_string(), "channel closed");
}

#[test]
fn a_sender_learns_that_the_receiver_has_ended() {
    for close in [true, false] {
        let (mut sender, mut receiver) = channel::<()>();
        let mut closed = Polled::new(sender.closed());
        assert!(closed.waits());
        let _kept = if close {
            receiver.close();
            Some(receiver)
        } else {
            drop(receiver);
            None
        };
        assert_eq!(closed.wakes(), 1);
        closed.ready();
        drop(closed);
        assert!(sender.is_closed());
        now(sender.closed());
        assert_eq!(sender.send(()), Err(()));
    }
}

#[test]
fn only_the_waker_of_the_last_poll_is_woken() {
    let ((first, first_waker), (second, second_waker)) = (counter(), counter());
    let (sender, receiver) = channel();
    let mut receiving = Polled::new(receiver);
    assert!(receiving.poll_with(&first_waker).is_pending());
    assert!(receiving.poll_with(&second_waker).is_pending());
    sender.send(3).unwrap();
    assert_eq!((first.get(), second.get()), (0, 1));

    let (mut sender, receiver) = channel::<()>();
    let mut closed = Polled::new(poll_fn(move |cx| sender.poll_closed(cx)));
    assert!(closed.poll_with(&first_waker).is_pending());
    assert!(closed.poll_with(&second_waker).is_pending());
    drop(receiver);
    assert_eq!((first.get(), second.get()), (0, 2));
}

// contract 40
#[test]
fn a_cancelled_await_loses_nothing() {
    let (sender, mut receiver) = channel();
    let mut receiving = Polled::new(&mut receiver);
    assert!(receiving.waits());
    sender.send(1).unwrap();
    assert_eq!(receiving.wakes(), 1);
    drop(receiving);
    assert_eq!(now(&mut receiver), Ok(1));
}

#[test]
fn a_receiver_gives_one_result() {
    let (sender, mut receiver) = channel();
    sender.send(1).unwrap();
    assert_eq!(now(&mut receiver), Ok(1));
    let again = catch_unwind(AssertUnwindSafe(|| now(&mut receiver)));
    let text = again.unwrap_err();
    assert!(text.downcast_ref::<&str>().is_some_and(|text| text.contains("called after complete")));
}

/// Counts its drops.
struct Message(Rc<Cell<u32>>);

impl Drop for Message {
    fn drop(&mut self) {
        self.0.set(self.0.get() + 1);
    }
}

#[test]
fn a_message_is_dropped_once_in_whatever_order_the_ends_go() {
    let drops = Rc::new(Cell::new(0));
    let made = || {
        drops.set(0);
        (channel::<Message>(), Message(drops.clone()))
    };
    let ((sender, receiver), message) = made();
    assert!(sender.send(message).is_ok());
    assert_eq!(drops.get(), 0);
    drop(receiver);
    assert_eq!(drops.get(), 1, "unread");

    let ((sender, receiver), message) = made();
    drop(receiver);
    drop(sender.send(message));
    assert_eq!(drops.get(), 1, "given back");

    let ((sender, mut receiver), message) = made();
    assert!(sender.send(message).is_ok());
    let received = receiver.try_recv().ok();
    drop(receiver);
    assert_eq!(drops.get(), 0, "received");
    drop(received);
    assert_eq!(drops.get(), 1);

    let ((mut sender, mut receiver), message) = made();
    assert!(Polled::new(&mut receiver).waits());
    assert!(Polled::new(sender.closed()).waits());
    assert!(sender.send(message).is_ok());
    drop(receiver);
    assert_eq!(drops.get(), 1, "unread, with wakers about");
}

/// Panics when it is dropped.
#[derive(Debug)]
struct Bad;

impl Drop for Bad {
    fn drop(&mut self) {
        panic!("dropped on purpose");
    }
}

#[test]
fn a_message_that_panics_when_dropped_unread_reaches_who_dropped_it() {
    let (sender, receiver) = channel();
    assert!(sender.send(Bad).is_ok());
    assert!(catch_unwind(AssertUnwindSafe(|| drop(receiver))).is_err());
}

#[test]
fn a_message_may_hold_the_other_ends_of_channels() {
    struct Holds(
        #[allow(dead_code)] Option<Sender<Self>>,
        #[allow(dead_code)] Option<Receiver<Self>>,
    );
    let (outer, unread) = channel();
    let (inner, waiting) = channel();
    let (answer, asked) = channel();
    assert!(outer.send(Holds(Some(inner), Some(asked))).is_ok());
    let mut waiting = Polled::new(waiting);
    assert!(waiting.waits());
    drop(unread);
    assert!(waiting.ready().is_err());
    assert!(answer.is_closed());
}

// contract 27
#[test]
fn who_has_used_up_its_budget_is_woken_once_and_goes_on_in_the_next_round() {
    let polls = Rc::new(Cell::new(0));
    let counted = polls.clone();
    block_on(async move {
        let others = Rc::new(Cell::new(0));
        let theirs = others.clone();
        let (end, ended) = channel::<()>();
        let other = spawn(async move {
            while !ended.is_terminated() && ended.is_empty() {
                theirs.set(theirs.get() + 1);
                yield_now().await;
            }
        });
        let mut work = Box::pin(async {
            for n in 0..128 * 4 {
                let (sender, receiver) = channel();
                sender.send(n).unwrap();
                assert_eq!(receiver.await, Ok(n));
            }
        });
        poll_fn(|cx| {
            counted.set(counted.get() + 1);
            work.as_mut().poll(cx)
        })
        .await;
        end.send(()).unwrap();
        other.await.unwrap();
        assert!(others.get() >= 3, "the other task ran {} times meanwhile", others.get());
    });
    assert!((4..=6).contains(&polls.get()), "512 results in {} polls", polls.get());
}

#[test]
fn a_foreign_waker_may_use_the_channel_in_everything_it_does() {
    // Sent while the waker is cloned for the wait.
    let (sender, receiver) = channel();
    let waker = hooked(Done::Clone, move || sender.send(1).unwrap());
    assert_eq!(Polled::new(receiver).poll_with(&waker), Poll::Ready(Ok(1)));
    assert!(hook_called());

    // Sent while the waker that is replaced is dropped.
    let (sender, receiver) = channel();
    let mut receiving = Polled::new(receiver);
    let waker = hooked(Done::Drop, move || sender.send(2).unwrap());
    assert!(receiving.poll_with(&waker).is_pending());
    assert_eq!(receiving.ready(), Ok(2));
    std::mem::forget(waker);

    // The receiver is dropped by the waker that the send wakes.
    let (sender, receiver) = channel();
    let receiver = Rc::new(Cell::new(Some(receiver)));
    let theirs = receiver.clone();
    let waker = hooked(Done::Wake, move || drop(theirs.take()));
    let mut own = receiver.take().unwrap();
    assert!(Pin::new(&mut own).poll(&mut Context::from_waker(&waker)).is_pending());
    receiver.set(Some(own));
    sender.send(3).unwrap();
    assert!(hook_called() && receiver.take().is_none());

    // The receiver is dropped while the sender's waker is cloned.
    let (mut sender, receiver) = channel::<()>();
    let waker = hooked(Done::Clone, move || drop(receiver));
    assert!(Polled::new(sender.closed()).poll_with(&waker).is_ready());
}

#[test]
fn a_waker_that_panics_when_dropped_keeps_nobody_from_learning_of_the_end() {
    let (mut sender, receiver) = channel::<()>();
    let waker = hooked(Done::Drop, || panic!("dropped on purpose"));
    let mut receiving = Polled::new(receiver);
    assert!(receiving.poll_with(&waker).is_pending());
    let mut closed = Polled::new(sender.closed());
    assert!(closed.waits());
    assert!(catch_unwind(AssertUnwindSafe(|| drop(receiving))).is_err());
    assert_eq!(closed.wakes(), 1);
    closed.ready();
}

#[test]
fn ends_work_outside_every_loop_and_say_what_they_are() {
    let (mut sender, mut receiver) = channel();
    let mut cx = Context::from_waker(Waker::noop());
    assert!(sender.poll_closed(&mut cx).is_pending());
    assert!(Pin::new(&mut receiver).poll(&mut cx).is_pending());
    assert_eq!(format!("{sender:?}"), "Sender { closed: false }");
    assert_eq!(format!("{receiver:?}"), "Receiver { empty: true, .. }");
    sender.send(Bad).unwrap();
    std::mem::forget(receiver.try_recv());
}
