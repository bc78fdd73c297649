//! The channels between threads under loom: threads that block for room and for messages, ends that go
//! away meanwhile, and waits that are given up. Whoever is never woken shows as a deadlock.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use ::loom::thread;

use super::{mpsc, oneshot, park};

#[test]
fn a_thread_that_waits_for_room_gets_it() {
    ::loom::model(|| {
        let (sender, mut receiver) = mpsc::channel(1);
        let sending = thread::spawn(move || {
            for number in 0..2 {
                sender.blocking_send(number).unwrap();
            }
        });
        for number in 0..2 {
            assert_eq!(receiver.blocking_recv(), Some(number));
        }
        assert_eq!(receiver.blocking_recv(), None);
        sending.join().unwrap();
    });
}

#[test]
fn messages_of_two_threads_arrive_once_and_then_the_end() {
    ::loom::model(|| {
        let (sender, mut receiver) = mpsc::channel(1);
        for number in [1, 2] {
            let sender = sender.clone();
            thread::spawn(move || sender.blocking_send(number).unwrap());
        }
        drop(sender);
        let mut got: Vec<u32> = std::iter::from_fn(|| receiver.blocking_recv()).collect();
        got.sort_unstable();
        assert_eq!(got, [1, 2]);
    });
}

#[test]
fn a_receiver_that_goes_away_ends_the_wait_for_room() {
    ::loom::model(|| {
        let (sender, receiver) = mpsc::channel(1);
        sender.try_send(0).unwrap();
        let sending = thread::spawn(move || sender.blocking_send(1));
        drop(receiver);
        assert!(sending.join().unwrap().is_err(), "the message comes back");
    });
}

#[test]
fn room_given_to_a_wait_that_is_given_up_goes_to_the_next() {
    ::loom::model(|| {
        let (sender, mut receiver) = mpsc::channel(1);
        sender.try_send(0).unwrap();
        let other = sender.clone();
        let mut given_up = Box::pin(async move { sender.send(1).await });
        assert!(given_up.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        let next = thread::spawn(move || other.blocking_send(2).unwrap());
        let dropping = thread::spawn(move || drop(given_up));
        assert_eq!(receiver.blocking_recv(), Some(0));
        assert_eq!(receiver.blocking_recv(), Some(2));
        next.join().unwrap();
        dropping.join().unwrap();
    });
}

#[test]
fn the_end_of_the_last_sender_ends_the_wait_for_a_message() {
    ::loom::model(|| {
        let (sender, mut receiver) = mpsc::unbounded_channel();
        let sending = thread::spawn(move || sender.send(1).unwrap());
        assert_eq!(receiver.blocking_recv(), Some(1));
        assert_eq!(receiver.blocking_recv(), None);
        sending.join().unwrap();
    });
}

#[test]
fn one_message_is_received_or_given_back() {
    ::loom::model(|| {
        let (sender, mut receiver) = oneshot::channel();
        let sending = thread::spawn(move || sender.send(1).err());
        let polled = pin!(&mut receiver).poll(&mut Context::from_waker(Waker::noop()));
        receiver.close();
        let received = match polled {
            Poll::Ready(message) => message.ok(),
            Poll::Pending => receiver.try_recv().ok(),
        };
        let back = sending.join().unwrap();
        assert_ne!(received.is_some(), back.is_some());
    });
}

#[test]
fn who_waits_for_one_message_hears_of_it_and_of_its_senders_end() {
    ::loom::model(|| {
        let (sender, receiver) = oneshot::channel();
        let (dropped, ended) = oneshot::channel::<u32>();
        let sending = thread::spawn(move || {
            sender.send(1).unwrap();
            drop(dropped);
        });
        assert_eq!(receiver.blocking_recv(), Ok(1));
        assert!(ended.blocking_recv().is_err());
        sending.join().unwrap();
    });
}

#[test]
fn a_sender_that_waits_for_the_receivers_end_hears_of_it() {
    ::loom::model(|| {
        let (mut sender, receiver) = oneshot::channel::<u32>();
        let watching = thread::spawn(move || park::wait(sender.closed()));
        drop(receiver);
        watching.join().unwrap();
    });
}
