//! How an mpsc channel ends: closed, dropped in any order, panicking messages.

#[path = "support/polled.rs"]
mod polled;
mod support;

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use loopline::callback;
use loopline::sync::mpsc::error::{SendError, TrySendError};
use loopline::sync::mpsc::{channel, unbounded_channel};
use loopline::sync::{self, mpsc};
use polled::{Done, Polled, hooked, now};

#[test]
fn a_closed_channel_gives_what_was_sent_and_takes_no_more() {
    let (sender, mut receiver) = channel(3);
    sender.try_send(1).unwrap();
    sender.try_send(2).unwrap();
    assert!(!receiver.is_closed() && !sender.is_closed());
    receiver.close();
    assert!(receiver.is_closed() && sender.is_closed());
    assert_eq!(now(sender.send(3)), Err(SendError(3)));
    assert_eq!(now(receiver.recv()), Some(1));
    assert_eq!(now(receiver.recv()), Some(2));
    assert_eq!(now(receiver.recv()), None);

    let (sender, mut receiver) = unbounded_channel();
    sender.send(1).unwrap();
    receiver.close();
    assert_eq!(sender.send(2), Err(SendError(2)));
    assert_eq!((now(receiver.recv()), now(receiver.recv())), (Some(1), None));
}

#[test]
fn who_waits_to_send_gets_its_message_back_when_the_receiver_ends() {
    for close in [true, false] {
        let (sender, mut receiver) = channel(1);
        sender.try_send(0).unwrap();
        let mut sends: Vec<_> = (1..4).map(|n| Polled::new(sender.send(n))).collect();
        assert!(sends.iter_mut().all(Polled::waits));
        let mut watching: Vec<_> = (0..2).map(|_| Polled::new(sender.closed())).collect();
        assert!(watching.iter_mut().all(Polled::waits));
        let left = if close {
            receiver.close();
            Some(receiver)
        } else {
            drop(receiver);
            None
        };
        assert!(sends.iter().all(|send| send.wakes() == 1));
        assert!(watching.iter().all(|closed| closed.wakes() == 1));
        let given_back: Vec<_> = sends.iter_mut().map(|send| send.ready().unwrap_err().0).collect();
        assert_eq!(given_back, [1, 2, 3]);
        watching.iter_mut().for_each(Polled::ready);
        drop(left);
    }
}

#[test]
fn a_weak_sender_keeps_nothing_open_and_opens_nothing_again() {
    let (sender, mut receiver) = channel(1);
    let weak = sender.downgrade();
    assert_eq!((sender.strong_count(), sender.weak_count()), (1, 1));
    let strong = weak.upgrade().unwrap();
    assert!(strong.same_channel(&sender));
    assert_eq!((weak.strong_count(), receiver.sender_strong_count()), (2, 2));
    assert_eq!((weak.clone().weak_count(), receiver.sender_weak_count()), (2, 2), "with its clone");
    assert_eq!(weak.weak_count(), 1);
    drop(sender);
    strong.try_send(1).unwrap();
    let mut ended = Polled::new(async { (receiver.recv().await, receiver.recv().await) });
    assert!(ended.waits());
    drop(strong);
    assert_eq!(ended.ready(), (Some(1), None));
    assert!(weak.upgrade().is_none());

    let (sender, receiver) = unbounded_channel::<()>();
    let weak = sender.downgrade();
    assert!(weak.upgrade().is_some_and(|strong| strong.same_channel(&sender)));
    assert!(!sender.same_channel(&unbounded_channel().0));
    drop(sender);
    assert!(weak.clone().upgrade().is_none());
    assert_eq!((weak.strong_count(), receiver.sender_weak_count()), (0, 1));
}

/// Logs its drop.
#[derive(Debug)]
struct Message(u32, Rc<RefCell<Vec<u32>>>);

impl Drop for Message {
    fn drop(&mut self) {
        self.1.borrow_mut().push(self.0);
        assert!(self.0 % 10 != 3, "dropped on purpose");
    }
}

#[test]
fn messages_are_dropped_once_in_whatever_order_the_ends_go() {
    let log = Rc::new(RefCell::new(Vec::new()));
    for receiver_first in [true, false] {
        let (sender, mut receiver) = channel(4);
        for n in 0..3 {
            sender.try_send(Message(n, log.clone())).unwrap();
        }
        drop(receiver.try_recv().unwrap());
        assert_eq!(log.take(), [0]);
        if receiver_first {
            drop(receiver);
            assert_eq!(log.take(), [1, 2], "unread");
            drop(sender.try_send(Message(4, log.clone())));
        } else {
            drop(sender);
            assert_eq!(log.take(), []);
            drop(receiver);
        }
        assert!(matches!(log.take()[..], [4] | [1, 2]));
    }
}

#[test]
fn a_message_whose_drop_panics_costs_the_others_nothing() {
    let log = Rc::new(RefCell::new(Vec::new()));
    let (sender, receiver) = channel(5);
    for n in 1..6 {
        sender.try_send(Message(n, log.clone())).unwrap();
    }
    let mut sending = Polled::new(sender.send(Message(6, log.clone())));
    assert!(sending.waits());
    let dropped = catch_unwind(AssertUnwindSafe(|| drop(receiver)));
    assert!(dropped.is_err());
    assert_eq!(log.take(), [1, 2, 3, 4, 5]);
    assert_eq!(sending.wakes(), 1);
    assert_eq!(sending.ready().unwrap_err().0.0, 6);
}

#[test]
fn a_message_may_hold_ends_of_its_own_channel() {
    struct Holds(Box<dyn Fn()>);
    impl Drop for Holds {
        fn drop(&mut self) {
            (self.0)();
        }
    }
    let (sender, receiver) = unbounded_channel();
    let (own, weak, refused) = (sender.clone(), sender.downgrade(), Rc::new(Cell::new(0)));
    let counted = refused.clone();
    let drops = move || {
        assert!(own.is_closed() && weak.upgrade().is_some());
        counted.set(counted.get() + usize::from(own.send(Holds(Box::new(|| {}))).is_err()));
    };
    assert!(sender.send(Holds(Box::new(drops))).is_ok());
    drop(receiver);
    assert_eq!((refused.get(), sender.strong_count()), (1, 1));
}

#[test]
fn a_waker_that_panics_when_dropped_keeps_nobody_from_learning_of_the_end() {
    let (sender, mut receiver) = channel(1);
    let waker = hooked(Done::Drop, || panic!("dropped on purpose"));
    assert!(Polled::new(receiver.recv()).poll_with(&waker).is_pending());
    let mut closed = Polled::new(sender.closed());
    assert!(closed.waits());
    assert!(catch_unwind(AssertUnwindSafe(|| drop(receiver))).is_err());
    assert_eq!(closed.wakes(), 1);
    closed.ready();
    assert_eq!(sender.try_send(1), Err(TrySendError::Closed(1)));
}

/// Sends to nobody, as code does that has no use for the message then.
fn send_to_nobody() -> std::io::Result<()> {
    let (sender, receiver) = unbounded_channel();
    drop(receiver);
    sender.send(Rc::new("not Send"))?;
    Ok(())
}

#[test]
fn the_errors_of_channels_and_locks_become_io_errors() {
    fn converts<E: Into<std::io::Error>>() {}
    assert_eq!(send_to_nobody().unwrap_err().to_string(), "channel closed");
    converts::<TrySendError<Rc<u8>>>();
    converts::<mpsc::error::SendTimeoutError<Rc<u8>>>();
    converts::<mpsc::error::TryRecvError>();
    converts::<sync::oneshot::error::RecvError>();
    converts::<sync::oneshot::error::TryRecvError>();
    converts::<sync::broadcast::error::SendError<Rc<u8>>>();
    converts::<sync::broadcast::error::RecvError>();
    converts::<sync::broadcast::error::TryRecvError>();
    converts::<sync::watch::error::SendError<Rc<u8>>>();
    converts::<sync::watch::error::RecvError>();
    converts::<callback::SendError<Rc<u8>>>();
    converts::<sync::remote::mpsc::error::TrySendError<Rc<u8>>>();
    converts::<sync::remote::mpsc::error::BlockingSendError<Rc<u8>>>();
    converts::<sync::remote::mpsc::error::TryRecvError>();
    converts::<sync::remote::oneshot::error::RecvError>();
    converts::<sync::AcquireError>();
    converts::<sync::TryAcquireError>();
    converts::<sync::TryLockError>();
    converts::<sync::SetError<Rc<u8>>>();
}
