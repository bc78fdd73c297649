//! Channels between threads, `sync::remote`: room, order, ends, and what a dropped wait loses.

mod support;

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;

use loopline::callback::Next;
use loopline::sync::remote::mpsc::error::{BlockingSendError, TryRecvError, TrySendError};
use loopline::sync::remote::mpsc::{self, Receiver, Sender, UnboundedReceiver, UnboundedSender};
use loopline::{spawn, yield_now};
use support::{block_on, closes_clean, event_loop, scaled};

/// Polls once with a waker that does nothing.
fn poll_once<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

#[test]
fn a_full_channel_refuses_and_room_comes_with_each_message_received() {
    let (sender, mut receiver) = mpsc::channel(2);
    assert_eq!((sender.capacity(), sender.max_capacity()), (2, 2));
    assert_eq!(sender.try_send(1), Ok(()));
    assert_eq!(sender.try_send(2), Ok(()));
    assert_eq!(sender.try_send(3), Err(TrySendError::Full(3)));
    assert_eq!((receiver.len(), receiver.capacity()), (2, 0));
    assert_eq!(receiver.try_recv(), Ok(1));
    assert_eq!(sender.try_send(4), Ok(()));
    assert_eq!((receiver.try_recv(), receiver.try_recv()), (Ok(2), Ok(4)));
    assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
    assert_eq!((receiver.is_empty(), receiver.max_capacity()), (true, 2));
}

// contract 29
#[test]
fn threads_that_are_faster_than_the_loop_wait_and_keep_their_order() {
    const SENDERS: usize = 4;
    let each = scaled(5_000);
    let (sender, mut receiver) = mpsc::channel(3);
    let threads: Vec<_> = (0..SENDERS)
        .map(|from| {
            let sender = sender.clone();
            thread::spawn(move || {
                for n in 0..each {
                    sender.blocking_send((from, n)).unwrap();
                }
            })
        })
        .collect();
    drop(sender);
    let next = block_on(async {
        let mut next = [0; SENDERS];
        while let Some((from, n)) = receiver.recv().await {
            assert!(receiver.len() <= 3);
            assert_eq!(n, next[from]);
            next[from] += 1;
        }
        next
    });
    assert_eq!(next, [each; SENDERS]);
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}

// fault 63
#[test]
fn of_the_messages_of_eight_threads_none_is_lost() {
    const THREADS: usize = 8;
    let each = scaled(50_000);
    let (sender, mut receiver) = mpsc::unbounded_channel();
    let start = Arc::new(Barrier::new(THREADS));
    let threads: Vec<_> = (0..THREADS)
        .map(|from| {
            let (sender, start) = (sender.clone(), start.clone());
            thread::spawn(move || {
                start.wait();
                for n in 0..each {
                    sender.send((from, n)).unwrap();
                }
            })
        })
        .collect();
    drop(sender);
    let next = block_on(async {
        let mut next = [0; THREADS];
        let mut messages = Vec::new();
        while receiver.recv_many(&mut messages, 100).await != 0 {
            assert!(messages.len() <= 100);
            for (from, n) in messages.drain(..) {
                assert_eq!(n, next[from]);
                next[from] += 1;
            }
        }
        next
    });
    assert_eq!(next, [each; THREADS]);
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}

#[test]
fn two_loops_wait_for_each_other_through_one_place() {
    let rounds = scaled(2_000);
    let (to_other, mut from_here) = mpsc::channel(1);
    let (to_here, mut from_other) = mpsc::channel(1);
    let other = thread::spawn(move || {
        block_on(async move {
            while let Some(n) = from_here.recv().await {
                // Two, where there is room for one.
                to_here.send(n).await.unwrap();
                to_here.send(n + 1).await.unwrap();
            }
        });
    });
    block_on(async move {
        for n in 0..rounds {
            to_other.send(n).await.unwrap();
            assert_eq!(from_other.recv().await, Some(n));
            assert_eq!(from_other.recv().await, Some(n + 1));
        }
        drop(to_other);
        assert_eq!(from_other.recv().await, None);
    });
    other.join().unwrap();
}

#[test]
fn both_ends_work_in_another_async_library() {
    let (sender, mut receiver) = mpsc::channel(1);
    let (answers, mut answered) = mpsc::channel(1);
    let foreign = thread::spawn(move || {
        futures::executor::block_on(async {
            while let Some(n) = receiver.recv().await {
                answers.send(n * 2).await.unwrap();
            }
        });
    });
    block_on(async move {
        for n in 0..100 {
            sender.send(n).await.unwrap();
            assert_eq!(answered.recv().await, Some(n * 2));
        }
    });
    foreign.join().unwrap();
}

// contract 28
#[test]
fn a_thread_does_not_block_for_the_loop_that_it_runs_itself() {
    let (sender, mut receiver) = mpsc::channel(1);
    block_on(async {
        assert_eq!(sender.blocking_send(1), Ok(()), "there is room");
        let refused = sender.blocking_send(2);
        assert_eq!(refused, Err(BlockingSendError::OwnThread(2)));
        let text = refused.unwrap_err().to_string();
        assert!(text.contains("send().await"), "{text}");
        assert_eq!(receiver.recv().await, Some(1));
        assert!(poll_once(pin!(receiver.recv())).is_pending());
    });
    // Outside a turn too, where the receiver waited on a loop of this thread.
    assert_eq!(sender.blocking_send(3), Ok(()));
    assert_eq!(sender.blocking_send(4), Err(BlockingSendError::OwnThread(4)));
    let other = sender.clone();
    let blocked = thread::spawn(move || other.blocking_send(5));
    assert_eq!(block_on(receiver.recv()), Some(3));
    assert_eq!(block_on(receiver.recv()), Some(5));
    blocked.join().unwrap().unwrap();
}

// contract 28
#[test]
fn a_thread_does_not_block_for_a_message_inside_a_turn() {
    let (sender, mut receiver) = mpsc::channel(1);
    block_on(async {
        let blocked = catch_unwind(AssertUnwindSafe(|| receiver.blocking_recv()));
        let text = blocked.unwrap_err().downcast::<&str>().unwrap();
        assert!(text.contains("use recv().await"), "{text}");
    });
    sender.try_send(7).unwrap();
    assert_eq!(receiver.blocking_recv(), Some(7));
    let thread = thread::spawn(move || receiver.blocking_recv());
    block_on(async { sender.send(8).await.unwrap() });
    assert_eq!(thread.join().unwrap(), Some(8));
}

// contract 20
#[test]
fn a_receiver_is_a_source_that_ends_with_its_last_sender() {
    let mut event_loop = event_loop::<Vec<u32>>();
    let (sender, receiver) = mpsc::channel(1);
    let item = event_loop
        .handle()
        .insert(receiver, |n, _receiver, seen: &mut Vec<u32>| {
            seen.push(n);
            Next::Keep
        })
        .unwrap();
    let copy = sender.clone();
    let thread = thread::spawn(move || (0..100).try_for_each(|n| sender.blocking_send(n)));
    let mut seen = Vec::new();
    drop(copy);
    event_loop.run(&mut seen).unwrap();
    assert_eq!(seen, (0..100).collect::<Vec<_>>());
    thread.join().unwrap().unwrap();
    assert!(item.is_finished());
    drop(item);
    closes_clean(event_loop);
}

#[test]
fn a_receiver_whose_senders_are_gone_is_closed() {
    let (sender, mut receiver) = mpsc::channel(1);
    let other = sender.clone();
    other.try_send(1).unwrap();
    drop(sender);
    assert!(!receiver.is_closed());
    drop(other);
    assert!(receiver.is_closed(), "as a local one is");
    assert_eq!(receiver.try_recv(), Ok(1));
    assert_eq!(receiver.try_recv(), Err(TryRecvError::Disconnected));
}

#[test]
fn a_closed_channel_gives_what_was_sent_and_refuses_the_rest() {
    block_on(async {
        let (sender, mut receiver) = mpsc::channel(1);
        sender.try_send(1).unwrap();
        let waits = sender.clone();
        let waiting = spawn(async move { waits.send(2).await });
        let blocks = sender.clone();
        let blocked = thread::spawn(move || blocks.blocking_send(3));
        yield_now().await;
        assert!(!waiting.is_finished());
        receiver.close();
        assert!(receiver.is_closed() && sender.is_closed());
        assert_eq!(waiting.await.unwrap().unwrap_err().0, 2);
        assert_eq!(blocked.join().unwrap(), Err(BlockingSendError::Closed(3)));
        assert_eq!(sender.try_send(4), Err(TrySendError::Closed(4)));
        assert_eq!(receiver.recv().await, Some(1));
        assert_eq!(receiver.recv().await, None);
        assert_eq!(receiver.try_recv(), Err(TryRecvError::Disconnected));
    });
}

#[test]
fn senders_hear_of_the_receivers_end_wherever_they_wait() {
    let (sender, mut receiver) = mpsc::channel::<()>(1);
    let (unbounded, other) = mpsc::unbounded_channel::<()>();
    let copy = sender.clone();
    let foreign = thread::spawn(move || futures::executor::block_on(copy.closed()));
    block_on(async {
        let waiting = spawn(async move {
            sender.closed().await;
            unbounded.closed().await;
        });
        yield_now().await;
        receiver.close();
        yield_now().await;
        assert!(!waiting.is_finished());
        drop(other);
        waiting.await.unwrap();
    });
    foreign.join().unwrap();
    // One that gave up is in no list, and does not keep the next from hearing.
    let (sender, receiver) = mpsc::channel::<()>(1);
    let mut second = pin!(sender.closed());
    assert!(poll_once(pin!(sender.closed())).is_pending());
    assert!(poll_once(second.as_mut()).is_pending());
    drop(receiver);
    assert!(poll_once(second).is_ready());
}

#[test]
fn a_message_comes_back_from_a_receiver_that_is_gone() {
    let (sender, receiver) = mpsc::channel(1);
    sender.try_send(String::from("never read")).unwrap();
    let blocks = sender.clone();
    let blocked = thread::spawn(move || blocks.blocking_send(String::from("blocked")));
    drop(receiver);
    assert_eq!(blocked.join().unwrap().unwrap_err().into_inner(), "blocked");
    let error = block_on(sender.send(String::from("mine"))).unwrap_err();
    assert_eq!(error.to_string(), "the receiving end of the channel is gone");
    assert_eq!(error.0, "mine");
}

/// Sends another one through the channel that it is dropped in.
struct Echo(Option<Sender<Self>>);

impl Drop for Echo {
    fn drop(&mut self) {
        if let Some(sender) = self.0.take() {
            assert!(matches!(sender.try_send(Self(None)), Err(TrySendError::Closed(_))));
        }
    }
}

// contract 16
#[test]
fn messages_that_nobody_reads_are_dropped_with_no_lock_held() {
    let (sender, receiver) = mpsc::channel(2);
    sender.try_send(Echo(Some(sender.clone()))).unwrap();
    sender.try_send(Echo(Some(sender.clone()))).unwrap();
    drop(receiver);
    assert!(sender.is_closed());
}

/// Counts its wakes.
#[derive(Default)]
struct Counter(AtomicUsize);

impl Wake for Counter {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn messages_that_nobody_reads_are_dropped_in_the_order_in_which_they_were_sent() {
    struct Told(u32, Arc<std::sync::Mutex<Vec<u32>>>);
    impl Drop for Told {
        fn drop(&mut self) {
            self.1.lock().unwrap().push(self.0);
        }
    }
    let told = Arc::default();
    let (sender, mut receiver) = mpsc::unbounded_channel();
    let send = |n| sender.send(Told(n, Arc::clone(&told))).unwrap_or_else(|_| panic!("it is open"));
    (1..=3).for_each(send);
    // The others come along with it.
    drop(receiver.try_recv().unwrap());
    (4..=5).for_each(send);
    drop(receiver);
    assert_eq!(*told.lock().unwrap(), [1, 2, 3, 4, 5]);
}

#[test]
fn room_goes_to_who_waited_first_and_past_those_who_gave_up() {
    let (sender, mut receiver) = mpsc::channel(1);
    sender.try_send(0).unwrap();
    let counters: Vec<_> = (0..3).map(|_| Arc::new(Counter::default())).collect();
    let woken = || counters.iter().map(|c| c.0.load(Ordering::Relaxed)).collect::<Vec<_>>();
    let mut waits: VecDeque<_> = (1..4).map(|n| Box::pin(sender.send(n))).collect();
    for (wait, counter) in waits.iter_mut().zip(&counters) {
        let waker = Waker::from(counter.clone());
        // Twice: it is in line once.
        assert!(wait.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        assert!(wait.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    }
    assert_eq!(receiver.try_recv(), Ok(0));
    assert_eq!(woken(), [1, 0, 0]);
    // It has the room, and does not use it; the second gave up in line; so the third is next.
    drop(waits.remove(1));
    drop(waits.pop_front());
    assert_eq!(woken(), [1, 0, 1]);
    assert_eq!(sender.try_send(9), Err(TrySendError::Full(9)), "the room is promised");
    assert!(poll_once(waits[0].as_mut()).is_ready());
    assert_eq!(receiver.try_recv(), Ok(3));
    assert_eq!(sender.capacity(), 1);
}

/// A waker that panics when it is woken.
struct Bad;

impl Wake for Bad {
    fn wake(self: Arc<Self>) {
        panic!("on purpose");
    }
}

// contract 32; fault 58
#[test]
fn a_waker_that_panics_costs_the_other_end_nothing() {
    let (sender, mut receiver) = mpsc::channel(1);
    let bad = Waker::from(Arc::new(Bad));
    {
        let mut wait = pin!(receiver.recv());
        assert!(wait.as_mut().poll(&mut Context::from_waker(&bad)).is_pending());
        thread::scope(|scope| {
            scope.spawn(|| sender.try_send(1).unwrap()).join().unwrap();
        });
        assert_eq!(poll_once(wait), Poll::Ready(Some(1)));
    }
    sender.try_send(2).unwrap();
    let mut waits = pin!(sender.send(3));
    assert!(waits.as_mut().poll(&mut Context::from_waker(&bad)).is_pending());
    assert_eq!(receiver.try_recv(), Ok(2));
    assert!(poll_once(waits).is_ready());
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

fn is_send_sync<T: Send + Sync>(_: &T) {}
fn is_send<T: Send>() {}
fn is_unpin<T: Unpin>() {}

// contract 31
#[test]
fn ends_cross_threads_if_what_they_carry_does() {
    let (sender, _receiver) = mpsc::channel::<std::cell::Cell<u8>>(1);
    is_send_sync(&sender);
    is_send_sync(&mpsc::unbounded_channel::<std::cell::Cell<u8>>().0);
    is_send::<Receiver<std::cell::Cell<u8>>>();
    is_send::<UnboundedReceiver<std::cell::Cell<u8>>>();
    is_unpin::<Receiver<std::marker::PhantomPinned>>();
    <Sender<Rc<u8>> as NotSend<_>>::is_unambiguous();
    <Receiver<Rc<u8>> as NotSend<_>>::is_unambiguous();
    <UnboundedSender<Rc<u8>> as NotSend<_>>::is_unambiguous();
    // The futures too, so that they may be spawned elsewhere.
    fn check<F: Future + Send>(future: F) -> F {
        future
    }
    drop(check(sender.send(std::cell::Cell::new(1))));
}
