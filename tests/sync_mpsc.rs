//! `mpsc`: messages in order, none lost, none twice; the end is told to both sides.

#[path = "support/polled.rs"]
mod polled;
mod support;

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::panic::catch_unwind;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use loopline::callback::Next;
use loopline::sync::mpsc::error::{SendError, SendTimeoutError, TryRecvError, TrySendError};
use loopline::sync::mpsc::{channel, unbounded_channel};
use loopline::time::sleep;
use loopline::{spawn, yield_now};
use polled::{Done, Polled, counter, hook_called, hooked, now};
use support::{block_on, block_on_paused, closes_clean, event_loop};

// contract 29
#[test]
fn messages_of_one_sender_stay_in_order_whatever_the_capacity() {
    for capacity in [1, 2, 3, 64] {
        block_on(async {
            let (sender, mut receiver) = channel(capacity);
            for me in 0..4_usize {
                let sender = sender.clone();
                spawn(async move {
                    for n in 0..100_usize {
                        sender.send((me, n)).await.unwrap();
                        if n % (me + 2) == 0 {
                            yield_now().await;
                        }
                    }
                });
            }
            drop(sender);
            let mut next = [0; 4];
            while let Some((from, n)) = receiver.recv().await {
                assert_eq!(n, next[from], "of sender {from}, capacity {capacity}");
                next[from] += 1;
            }
            assert_eq!(next, [100; 4]);
        });
    }
}

#[test]
fn messages_of_an_unbounded_channel_stay_in_the_order_in_which_they_were_sent() {
    block_on(async {
        let (sender, mut receiver) = unbounded_channel();
        let other = sender.clone();
        for n in 0..2000 {
            if n % 3 == 0 { &sender } else { &other }.send(n).unwrap();
        }
        drop((sender, other));
        for n in 0..2000 {
            assert_eq!(receiver.recv().await, Some(n));
        }
        assert_eq!(receiver.recv().await, None);
        assert_eq!(receiver.recv().await, None, "and again");
    });
}

#[test]
fn the_last_sender_to_go_wakes_the_receiver() {
    let (sender, mut receiver) = channel::<()>(1);
    let other = sender.clone();
    let mut receiving = Polled::new(receiver.recv());
    assert!(receiving.waits());
    drop(sender);
    assert_eq!(receiving.wakes(), 0);
    drop(other);
    assert_eq!(receiving.wakes(), 1);
    assert_eq!(receiving.ready(), None);

    let (sender, mut receiver) = unbounded_channel::<()>();
    let mut receiving = Polled::new(receiver.recv());
    assert!(receiving.waits());
    drop(sender);
    assert_eq!(receiving.wakes(), 1);
    assert_eq!(receiving.ready(), None);
}

#[test]
fn a_receiver_is_the_source_of_a_callback() {
    let mut event_loop = event_loop::<Vec<u32>>();
    let handle = event_loop.handle();
    let (sender, receiver) = channel(2);
    let (unbounded_sender, unbounded) = unbounded_channel();
    let inserted = handle.insert(receiver, |n, receiver, log| {
        log.push(n);
        if n == 9 {
            // No one else can send: the callback ends when what waits was received.
            receiver.close();
        }
        Next::Keep
    });
    let stopped = handle.insert(unbounded, |n, _, log| {
        log.push(n);
        if n == 102 { Next::Stop } else { Next::Keep }
    });
    let (inserted, stopped) = (inserted.unwrap(), stopped.unwrap());
    let first = sender.clone();
    handle.spawn(async move {
        for n in 0..20 {
            if first.send(n).await.is_err() {
                return;
            }
        }
    });
    (100..105).try_for_each(|n| unbounded_sender.send(n)).unwrap();
    let mut log = Vec::new();
    event_loop
        .run_until(&mut log, async move {
            let mut receiver = inserted.await.unwrap();
            assert_eq!(receiver.recv().await, None);
            // What the stopped callback left is still there.
            let mut receiver = stopped.await.unwrap();
            assert_eq!((receiver.recv().await, receiver.len()), (Some(103), 1));
            drop(sender);
        })
        .unwrap();
    let (big, small): (Vec<u32>, Vec<u32>) = log.iter().partition(|n| **n >= 100);
    assert_eq!(big, [100, 101, 102]);
    assert_eq!(small[..10], [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    closes_clean(event_loop);
}

// contract 40
#[test]
fn a_cancelled_receive_loses_nothing() {
    block_on(async {
        let (sender, mut receiver) = channel(2);
        for n in 0..100 {
            let mut receiving = Polled::new(receiver.recv());
            assert!(receiving.waits());
            sender.send(n).await.unwrap();
            assert_eq!(receiving.wakes(), 1);
            drop(receiving);
            assert_eq!(receiver.recv().await, Some(n));

            let mut buffer = Vec::new();
            let mut receiving = Polled::new(receiver.recv_many(&mut buffer, 10));
            assert!(receiving.waits());
            sender.send(n).await.unwrap();
            drop(receiving);
            assert_eq!((buffer.len(), receiver.recv_many(&mut buffer, 10).await), (0, 1));
            assert_eq!(buffer, [n]);
        }
    });
}

#[test]
fn trying_tells_empty_from_ended() {
    let (sender, mut receiver) = channel(2);
    assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
    sender.try_send(1).unwrap();
    sender.try_send(2).unwrap();
    assert_eq!(sender.try_send(3), Err(TrySendError::Full(3)));
    assert_eq!(receiver.try_recv(), Ok(1));
    drop(sender);
    assert_eq!(receiver.try_recv(), Ok(2));
    assert_eq!(receiver.try_recv(), Err(TryRecvError::Disconnected));

    let (sender, mut receiver) = channel(2);
    let permit = sender.try_reserve().unwrap();
    receiver.close();
    assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty), "a permit is out");
    permit.send(4);
    assert_eq!(receiver.try_recv(), Ok(4));
    assert_eq!(receiver.try_recv(), Err(TryRecvError::Disconnected));
    assert_eq!(sender.try_send(5), Err(TrySendError::Closed(5)));
}

#[test]
fn many_are_received_up_to_the_limit() {
    block_on(async {
        let (sender, mut receiver) = channel(8);
        (0..8).try_for_each(|n| sender.try_send(n)).unwrap();
        let mut buffer = vec![100];
        assert_eq!(receiver.recv_many(&mut buffer, 0).await, 0);
        assert_eq!(receiver.recv_many(&mut buffer, 3).await, 3);
        assert_eq!((receiver.len(), sender.capacity()), (5, 3));
        assert_eq!(receiver.recv_many(&mut buffer, usize::MAX).await, 5);
        assert_eq!(buffer, [100, 0, 1, 2, 3, 4, 5, 6, 7]);
        let mut waiting = Polled::new(receiver.recv_many(&mut buffer, 3));
        assert!(waiting.waits());
        sender.try_send(8).unwrap();
        assert_eq!((waiting.wakes(), waiting.ready()), (1, 1));
        drop(waiting);
        drop(sender);
        assert_eq!(receiver.recv_many(&mut buffer, 3).await, 0);
        assert_eq!(buffer.last(), Some(&8));
    });
}

#[test]
fn many_received_at_once_let_as_many_senders_go_on_in_order() {
    let (sender, mut receiver) = channel(4);
    (0..4).try_for_each(|n| sender.try_send(n)).unwrap();
    let mut sends: Vec<_> = (4..10).map(|n| Polled::new(sender.send(n))).collect();
    assert!(sends.iter_mut().all(Polled::waits));
    let mut buffer = Vec::new();
    assert_eq!(now(receiver.recv_many(&mut buffer, 3)), 3);
    assert_eq!(sends.iter().map(Polled::wakes).collect::<Vec<_>>(), [1, 1, 1, 0, 0, 0]);
    // Reached in another order than woken: each has its place.
    assert_eq!(sends[2].ready(), Ok(()));
    assert_eq!(sends[0].ready(), Ok(()));
    drop(sends); // the second gives its place back, to nobody
    assert_eq!(receiver.capacity(), 1);
    assert_eq!(now(receiver.recv_many(&mut buffer, 9)), 3);
    assert_eq!(buffer, [0, 1, 2, 3, 6, 4]);
}

// contract 27
#[test]
fn a_receiver_that_is_drained_in_a_loop_yields() {
    block_on(async {
        let (sender, mut receiver) = unbounded_channel();
        (0..1000).try_for_each(|n| sender.send(n)).unwrap();
        drop(sender);
        let rounds = Rc::new(Cell::new(0));
        let theirs = rounds.clone();
        let other = spawn(async move {
            loop {
                theirs.set(theirs.get() + 1);
                yield_now().await;
            }
        });
        let mut polls = 0;
        let mut work = Box::pin(async { while receiver.recv().await.is_some() {} });
        poll_fn(|cx| {
            polls += 1;
            work.as_mut().poll(cx)
        })
        .await;
        assert!((8..=10).contains(&polls), "1,000 messages in {polls} polls");
        assert!(rounds.get() >= 7, "the other ran {} times", rounds.get());
        drop(other.cancel());
    });
}

// contract 27
#[test]
fn a_sender_that_never_waits_yields_too() {
    block_on(async {
        let (sender, _receiver) = channel(1000);
        let mut polls = 0;
        let mut work = Box::pin(async {
            for n in 0..1000 {
                sender.send(n).await.unwrap();
            }
        });
        poll_fn(|cx| {
            polls += 1;
            work.as_mut().poll(cx)
        })
        .await;
        assert!((8..=10).contains(&polls), "1,000 messages in {polls} polls");
    });
}

#[test]
fn a_send_waits_no_longer_than_its_timeout() {
    block_on_paused(async {
        let (sender, mut receiver) = channel(1);
        let ms = Duration::from_millis(1);
        sender.send_timeout(1, ms).await.unwrap();
        assert_eq!(sender.send_timeout(2, ms).await, Err(SendTimeoutError::Timeout(2)));
        let other = sender.clone();
        let sending = spawn(async move { other.send_timeout(3, 10 * ms).await });
        sleep(5 * ms).await;
        assert_eq!(receiver.recv().await, Some(1));
        assert_eq!(sending.await.unwrap(), Ok(()));
        receiver.close();
        assert_eq!(sender.send_timeout(4, ms).await, Err(SendTimeoutError::Closed(4)));
        assert_eq!(receiver.recv().await, Some(3));
        assert_eq!(receiver.recv().await, None);
    });
}

#[test]
fn only_the_waker_of_the_last_poll_is_woken() {
    let ((first, first_waker), (second, second_waker)) = (counter(), counter());
    let (sender, mut receiver) = channel(1);
    let mut receiving = Polled::new(poll_fn(|cx| receiver.poll_recv(cx)));
    assert!(receiving.poll_with(&first_waker).is_pending());
    assert!(receiving.poll_with(&second_waker).is_pending());
    sender.try_send(0).unwrap();
    assert_eq!((first.get(), second.get()), (0, 1));

    let mut sending = Polled::new(sender.send(1));
    assert!(sending.poll_with(&first_waker).is_pending());
    assert!(sending.poll_with(&second_waker).is_pending());
    assert_eq!(receiving.ready(), Some(0));
    assert_eq!((first.get(), second.get()), (0, 2));
    assert_eq!(sending.ready(), Ok(()));

    let mut closed = Polled::new(sender.closed());
    assert!(closed.poll_with(&first_waker).is_pending());
    assert!(closed.poll_with(&second_waker).is_pending());
    drop(receiving);
    drop(receiver);
    assert_eq!((first.get(), second.get()), (0, 3));
}

#[test]
fn a_foreign_waker_may_use_the_channel_in_everything_it_does() {
    // Sends while it is cloned for the wait, and while it is dropped.
    for when in [Done::Clone, Done::Drop] {
        let (sender, mut receiver) = channel(1);
        let waker = hooked(when, move || sender.try_send(1).unwrap());
        let mut receiving = Polled::new(receiver.recv());
        let first = receiving.poll_with(&waker);
        let got = if first.is_pending() { receiving.poll() } else { first };
        assert_eq!(got, Poll::Ready(Some(1)), "{when:?}");
        assert!(hook_called());
        std::mem::forget(waker);
    }
    // Makes room, or closes, while it is cloned for a place in line.
    for close in [false, true] {
        let (sender, mut receiver) = channel(1);
        sender.try_send(0).unwrap();
        let waker = hooked(Done::Clone, move || {
            if close {
                receiver.close()
            } else {
                assert!(receiver.try_recv().is_ok())
            }
            std::mem::forget(receiver);
        });
        let mut sending = Polled::new(sender.send(1));
        assert!(sending.poll_with(&waker).is_pending());
        assert_eq!(sending.ready().is_err(), close);
    }
    // Drops the receiver while it is woken by a send, and while it is cloned for its end.
    let (sender, receiver) = unbounded_channel();
    let receiver = Rc::new(RefCell::new(Some(receiver)));
    let theirs = receiver.clone();
    let waker = hooked(Done::Wake, move || drop(theirs.take()));
    let mut receiving =
        Polled::new(poll_fn(|cx| receiver.borrow_mut().as_mut().unwrap().poll_recv(cx)));
    assert!(receiving.poll_with(&waker).is_pending());
    sender.send(1).unwrap();
    assert!(hook_called() && sender.is_closed());

    let (sender, receiver) = unbounded_channel::<()>();
    let waker = hooked(Done::Clone, move || drop(receiver));
    let mut closed = Polled::new(sender.closed());
    assert!(closed.poll_with(&waker).is_pending());
    closed.ready();
}

#[test]
fn ends_and_errors_say_what_they_are() {
    let (sender, receiver) = channel::<Cell<u8>>(3);
    sender.try_send(Cell::new(1)).unwrap();
    assert_eq!(format!("{sender:?}"), "Sender { len: 1, closed: false, .. }");
    assert_eq!(format!("{receiver:?}"), "Receiver { len: 1, closed: false, .. }");
    assert_eq!(
        (receiver.is_empty(), receiver.max_capacity(), sender.max_capacity()),
        (false, 3, 3)
    );
    let error = TrySendError::Full(Cell::new(1));
    assert_eq!(
        (format!("{error:?}"), error.to_string()),
        ("Full(..)".into(), "no available capacity".into())
    );
    assert_eq!(error.into_inner().get(), 1);
    assert_eq!(format!("{:?}: {0}", SendError(Cell::new(1))), "SendError { .. }: channel closed");
    let zero = catch_unwind(|| drop(channel::<()>(0)));
    assert!(zero.is_err());
}
