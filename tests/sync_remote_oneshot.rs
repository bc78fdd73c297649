//! `sync::remote::oneshot`: one message between threads, its ends, and what a dropped wait loses.

mod support;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::mpsc;
use std::task::{Context, Poll, Waker};
use std::thread;

use loopline::sync::remote::oneshot::error::TryRecvError;
use loopline::sync::remote::oneshot::{self, Receiver, Sender};
use loopline::{spawn, yield_now};
use support::{block_on, scaled};

fn poll_once<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

// contract 23
#[test]
fn a_message_from_a_thread_ends_the_wait() {
    let (ask, asked) = mpsc::channel::<Sender<usize>>();
    let thread = thread::spawn(move || {
        for (n, sender) in asked.into_iter().enumerate() {
            sender.send(n).unwrap();
        }
    });
    block_on(async {
        for n in 0..scaled(5_000) {
            let (sender, receiver) = oneshot::channel();
            ask.send(sender).unwrap();
            assert_eq!(receiver.await, Ok(n));
        }
    });
    drop(ask);
    thread.join().unwrap();
}

#[test]
fn a_thread_blocks_for_a_message_of_the_loop() {
    let (sender, receiver) = oneshot::channel();
    let thread = thread::spawn(move || receiver.blocking_recv());
    block_on(async {
        yield_now().await;
        sender.send("go").unwrap();
    });
    assert_eq!(thread.join().unwrap(), Ok("go"));
}

// contract 28
#[test]
fn a_thread_does_not_block_for_it_inside_a_turn() {
    let (_sender, receiver) = oneshot::channel::<()>();
    block_on(async {
        let blocked = catch_unwind(AssertUnwindSafe(|| receiver.blocking_recv()));
        let text = blocked.unwrap_err().downcast::<&str>().unwrap();
        assert!(text.contains("await the receiver"), "{text}");
    });
}

// contract 20
#[test]
fn a_sender_that_is_gone_ends_the_wait() {
    let (sender, receiver) = oneshot::channel::<()>();
    let (blocking, blocked) = oneshot::channel::<()>();
    let thread = thread::spawn(move || blocked.blocking_recv());
    block_on(async {
        let waiting = spawn(receiver);
        yield_now().await;
        thread::spawn(move || drop((sender, blocking))).join().unwrap();
        let error = waiting.await.unwrap().unwrap_err();
        assert_eq!(error.to_string(), "the sender is gone and sent nothing");
    });
    assert!(thread.join().unwrap().is_err());
}

#[test]
fn a_message_comes_back_from_a_receiver_that_is_gone_or_closed() {
    let (sender, receiver) = oneshot::channel();
    assert!(!sender.is_closed());
    drop(receiver);
    assert!(sender.is_closed());
    assert_eq!(sender.send(1), Err(1));

    let (sender, mut receiver) = oneshot::channel();
    receiver.close();
    assert_eq!(sender.send(2), Err(2));
    assert_eq!(receiver.try_recv(), Err(TryRecvError::Closed));
    assert!(block_on(receiver).is_err());
}

#[test]
fn a_message_sent_before_the_close_can_be_received() {
    let (sender, mut receiver) = oneshot::channel();
    assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
    sender.send(1).unwrap();
    receiver.close();
    assert_eq!(receiver.try_recv(), Ok(1));
    assert_eq!(receiver.try_recv(), Err(TryRecvError::Closed));
}

#[test]
fn a_sender_hears_that_nobody_waits_any_more() {
    let (mut sender, receiver) = oneshot::channel::<()>();
    let hears = thread::spawn(move || block_on(sender.closed()));
    block_on(async {
        let waiting = spawn(receiver);
        yield_now().await;
        drop(waiting.cancel());
    });
    hears.join().unwrap();
}

// contract 40
#[test]
fn a_dropped_wait_loses_nothing() {
    let (mut sender, mut receiver) = oneshot::channel();
    for _ in 0..3 {
        assert!(poll_once(Pin::new(&mut receiver)).is_pending());
        assert!(poll_once(pin!(sender.closed())).is_pending());
    }
    sender.send(5).unwrap();
    assert_eq!(block_on(receiver), Ok(5));
}

/// Sends on drop to a channel whose receiver it was a message for.
struct Last(Option<Sender<String>>);

impl Drop for Last {
    fn drop(&mut self) {
        self.0.take().into_iter().for_each(|sender| sender.send(String::from("last")).unwrap());
    }
}

// contract 16
#[test]
fn a_message_nobody_reads_is_dropped_with_no_lock_held() {
    let (tells, mut told) = oneshot::channel();
    let (sender, receiver) = oneshot::channel();
    sender.send(Last(Some(tells))).ok().unwrap();
    drop(receiver);
    assert_eq!(told.try_recv().unwrap(), "last");
}

/// Compiles only if exactly one of the two impls below fits.
macro_rules! pins_not {
    ($name:ident, $trait:path) => {
        trait $name<Which> {
            fn is_unambiguous() {}
        }
        impl<T: ?Sized> $name<()> for T {}
        impl<T: ?Sized + $trait> $name<u8> for T {}
    };
}

pins_not!(NotSend, Send);

fn is_send<T: Send>() {}
fn is_unpin<T: Unpin>() {}

// contract 31
#[test]
fn ends_cross_threads_if_the_message_does() {
    is_send::<Sender<std::cell::Cell<u8>>>();
    is_send::<Receiver<std::cell::Cell<u8>>>();
    is_unpin::<Receiver<std::marker::PhantomPinned>>();
    <Sender<Rc<u8>> as NotSend<_>>::is_unambiguous();
    <Receiver<Rc<u8>> as NotSend<_>>::is_unambiguous();
}

#[test]
fn a_receiver_that_gave_the_message_does_not_say_that_there_was_none() {
    // Neither is it a wait for ever.
    let awaited = |mut receiver: Receiver<i32>| {
        assert_eq!(poll_once(Pin::new(&mut receiver)), Poll::Ready(Ok(1)));
        receiver
    };
    let tried = |mut receiver: Receiver<i32>| {
        assert_eq!(receiver.try_recv(), Ok(1));
        receiver
    };
    for take in [awaited, tried] {
        let (sender, receiver) = oneshot::channel();
        sender.send(1).unwrap();
        let mut receiver = take(receiver);
        assert_eq!(receiver.try_recv(), Err(TryRecvError::Closed));
        let again = catch_unwind(AssertUnwindSafe(|| poll_once(Pin::new(&mut receiver))));
        let text = *again.unwrap_err().downcast::<&str>().unwrap();
        assert!(text.contains("called after complete"), "{text}");
    }
}
