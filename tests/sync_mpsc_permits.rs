//! Permits of `mpsc`: capacity is given in line, used once, and never lost.

#[path = "support/polled.rs"]
mod polled;
mod support;

use std::cell::RefCell;
use std::rc::Rc;

use loopline::sync::mpsc::channel;
use loopline::sync::mpsc::error::{SendError, TryRecvError, TrySendError};
use loopline::{spawn, yield_now};
use polled::{Done, Polled, hook_called, hooked, now};
use support::block_on;

#[test]
fn a_permit_keeps_its_place_until_it_is_used() {
    let (sender, mut receiver) = channel(1);
    let permit = now(sender.reserve()).unwrap();
    assert_eq!((sender.capacity(), receiver.len()), (0, 0));
    assert_eq!(sender.try_send("early"), Err(TrySendError::Full("early")));
    permit.send("reserved");
    assert_eq!((sender.capacity(), receiver.len()), (0, 1));
    assert_eq!(receiver.try_recv(), Ok("reserved"));
    assert_eq!((sender.capacity(), receiver.capacity()), (1, 1));
}

// contract 40
#[test]
fn a_permit_that_is_dropped_goes_to_the_next_in_line() {
    let (sender, mut receiver) = channel(1);
    let permit = sender.try_reserve().unwrap();
    let mut sends: Vec<_> = (0..3).map(|n| Polled::new(sender.send(n))).collect();
    assert!(sends.iter_mut().all(Polled::waits));
    drop(permit);
    assert_eq!(sends.iter().map(Polled::wakes).collect::<Vec<_>>(), [1, 0, 0]);
    // Nobody passes, though who has the place has not used it yet.
    assert!(sender.try_reserve().is_err());
    assert_eq!(sends[0].ready(), Ok(()));
    assert_eq!(receiver.try_recv(), Ok(0));
    assert_eq!(sends[1].wakes(), 1);
}

// contract 40
#[test]
fn a_cancelled_reservation_puts_back_what_it_was_given() {
    let (sender, mut receiver) = channel(1);
    sender.try_send(0).unwrap();
    let mut first = Polled::new(sender.reserve());
    let mut second = Polled::new(sender.send(1));
    let mut third = Polled::new(sender.clone().reserve_owned());
    assert!(first.waits() && second.waits() && third.waits());
    assert_eq!(receiver.try_recv(), Ok(0));
    assert_eq!((first.wakes(), second.wakes()), (1, 0));
    drop(first);
    assert_eq!((second.wakes(), third.wakes()), (1, 0));
    drop(second);
    assert_eq!(third.wakes(), 1);
    drop(third.ready().unwrap());
    assert_eq!(sender.capacity(), 1);
    assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
    assert_eq!(sender.strong_count(), 1);
}

// contract 40
#[test]
fn a_cancelled_wait_in_the_middle_leaves_the_line_as_it_was() {
    let (sender, mut receiver) = channel(1);
    sender.try_send(9).unwrap();
    let mut sends: Vec<_> = (0..5).map(|n| Polled::new(sender.send(n))).collect();
    assert!(sends.iter_mut().all(Polled::waits));
    drop(sends.remove(3));
    drop(sends.remove(1));
    drop(sends.remove(0));
    for expected in [9, 2, 4] {
        assert_eq!(receiver.try_recv(), Ok(expected));
        sends.retain_mut(|send| send.wakes() == 0 || send.waits());
    }
    assert_eq!(sender.capacity(), 1);
}

#[test]
fn many_permits_are_collected_at_the_head_of_the_line() {
    let (sender, mut receiver) = channel(4);
    (0..3).try_for_each(|n| sender.try_send(n)).unwrap();
    let mut many = Polled::new(sender.reserve_many(3));
    assert!(many.waits());
    assert_eq!(sender.capacity(), 0, "the one that was free is the head's");
    let mut one = Polled::new(sender.reserve());
    assert!(one.waits());
    receiver.try_recv().unwrap();
    assert_eq!((many.wakes(), one.wakes()), (0, 0));
    receiver.try_recv().unwrap();
    assert_eq!((many.wakes(), one.wakes()), (1, 0));
    let mut permits = many.ready().unwrap();
    assert_eq!((permits.len(), permits.size_hint()), (3, (3, Some(3))));
    permits.next().unwrap().send(3);
    drop(permits);
    assert_eq!(one.wakes(), 1);
    drop(one);
    assert_eq!((sender.capacity(), receiver.len()), (2, 2));
}

// contract 40
#[test]
fn a_cancelled_collection_goes_to_those_behind_it() {
    let (sender, _receiver) = channel::<()>(4);
    let held = sender.try_reserve_many(2).unwrap();
    let mut many = Polled::new(sender.reserve_many(4));
    let mut two = Polled::new(sender.reserve_many(2));
    let mut one = Polled::new(sender.reserve());
    assert!(many.waits() && two.waits() && one.waits());
    drop(many);
    assert_eq!((two.wakes(), one.wakes()), (1, 0));
    drop(held);
    assert_eq!(one.wakes(), 1);
    let (two, one) = (two.ready().unwrap(), one.ready().unwrap());
    assert_eq!(sender.capacity(), 1);
    drop((two, one));
    assert_eq!(sender.capacity(), 4);
}

#[test]
fn more_than_the_channel_ever_holds_is_refused() {
    let (sender, receiver) = channel::<()>(2);
    assert_eq!(now(sender.reserve_many(3)).unwrap_err(), SendError(()));
    assert_eq!(sender.try_reserve_many(3).unwrap_err(), TrySendError::Full(()));
    assert_eq!(sender.try_reserve_many(usize::MAX).unwrap_err(), TrySendError::Full(()));
    assert!(now(sender.reserve_many(0)).unwrap().next().is_none());
    let all = sender.try_reserve_many(2).unwrap();
    assert!(sender.try_reserve_many(0).is_ok(), "none is there always");
    drop(all);
    drop(receiver);
    assert_eq!(sender.try_reserve_many(0).unwrap_err(), TrySendError::Closed(()));
}

#[test]
fn permits_that_are_out_send_into_a_closed_channel() {
    let (sender, mut receiver) = channel(3);
    let (first, second) = (sender.try_reserve().unwrap(), sender.try_reserve().unwrap());
    let third = sender.clone().try_reserve_owned().unwrap();
    receiver.close();
    let mut receiving = Polled::new(receiver.recv());
    assert!(receiving.waits());
    first.send(1);
    assert_eq!((receiving.wakes(), receiving.ready()), (1, Some(1)));
    assert!(receiving.waits());
    drop(second);
    assert_eq!(receiving.wakes(), 0, "one is out yet");
    let sender = third.send(3);
    assert_eq!(receiving.ready(), Some(3));
    assert_eq!(receiving.ready(), None);
    assert_eq!(sender.try_send(4), Err(TrySendError::Closed(4)));
}

#[test]
fn the_last_permit_that_is_given_back_ends_a_closed_channel() {
    let (sender, mut receiver) = channel::<()>(3);
    let (one, two) = (sender.try_reserve().unwrap(), sender.try_reserve_many(2).unwrap());
    receiver.close();
    let mut receiving = Polled::new(receiver.recv());
    assert!(receiving.waits());
    drop(two);
    assert!(receiving.wakes() == 0 && receiving.waits());
    drop(one);
    assert_eq!((receiving.wakes(), receiving.ready()), (1, None));
}

#[test]
fn what_was_given_to_one_in_line_holds_a_closed_channel_open_until_it_gives_it_back() {
    for cancel in [true, false] {
        let (sender, mut receiver) = channel(1);
        sender.try_send(0).unwrap();
        let mut sending = Polled::new(sender.send(1));
        assert!(sending.waits());
        assert_eq!(receiver.try_recv(), Ok(0));
        receiver.close();
        let mut receiving = Polled::new(receiver.recv());
        assert!(receiving.waits());
        if cancel {
            drop(sending);
        } else {
            assert_eq!(sending.ready(), Err(SendError(1)), "as everyone after the close");
        }
        assert_eq!((receiving.wakes(), receiving.ready()), (1, None));
    }
}

#[test]
fn a_permit_outlives_the_receiver_and_drops_what_it_sends() {
    let (sender, receiver) = channel(2);
    let message = Rc::new(());
    let (permit, owned) = (sender.try_reserve().unwrap(), sender.clone().try_reserve_owned());
    drop(receiver);
    permit.send(message.clone());
    assert_eq!(Rc::strong_count(&message), 1);
    let _sender = owned.unwrap().send(message.clone());
    assert_eq!(Rc::strong_count(&message), 1);
}

#[test]
fn an_owned_permit_is_a_sender() {
    let (sender, mut receiver) = channel(1);
    let permit = now(sender.reserve_owned()).unwrap();
    let mut receiving = Polled::new(receiver.recv());
    assert!(receiving.waits(), "the permit keeps the channel open");
    let sender = permit.release();
    assert_eq!((sender.capacity(), sender.strong_count()), (1, 1));
    let permit = sender.try_reserve_owned().unwrap();
    let sender = permit.send(1);
    assert_eq!(receiving.ready(), Some(1));
    let permit = sender.clone().try_reserve_owned().unwrap();
    assert!(permit.same_channel_as_sender(&sender));
    assert!(!permit.same_channel(&channel(1).0.try_reserve_owned().unwrap()));
    let refused = sender.clone().try_reserve_owned().unwrap_err();
    assert!(matches!(&refused, TrySendError::Full(own) if own.same_channel(&sender)));
    drop((sender, refused));
    assert!(receiving.waits());
    drop(permit);
    assert_eq!(receiving.ready(), None);
}

#[test]
fn wakers_that_hold_permits_give_them_back_with_nothing_borrowed() {
    let (sender, receiver) = channel(2);
    let permit = RefCell::new(Some(sender.clone().try_reserve_owned().unwrap()));
    sender.try_send(1).unwrap();
    let mut reserving = Polled::new(sender.reserve());
    let waker = hooked(Done::Wake, move || drop(permit.take()));
    assert!(reserving.poll_with(&waker).is_pending());
    drop(receiver);
    assert!(hook_called());
    assert!(reserving.ready().is_err());
    assert_eq!(sender.capacity(), 2);
}

// contract 29
#[test]
fn nobody_passes_those_in_line_not_even_while_they_are_woken() {
    let (sender, mut receiver) = channel(2);
    (0..2).try_for_each(|n| sender.try_send(n)).unwrap();
    let (mut first, mut second) = (Polled::new(sender.send(2)), Polled::new(sender.send(3)));
    let other = sender.clone();
    let waker = hooked(Done::Wake, move || {
        assert_eq!(other.try_send(9), Err(TrySendError::Full(9)));
        assert!(other.try_reserve().is_err() && other.try_reserve_many(0).is_ok());
    });
    assert!(first.poll_with(&waker).is_pending() && second.waits());
    let mut buffer = Vec::new();
    assert_eq!(now(receiver.recv_many(&mut buffer, 2)), 2);
    assert!(hook_called());
    assert_eq!((first.ready(), second.ready()), (Ok(()), Ok(())));
    assert_eq!(now(receiver.recv_many(&mut buffer, 9)), 2);
    assert_eq!(buffer, [0, 1, 2, 3]);
}

// contract 29
#[test]
fn who_waits_longest_sends_first() {
    block_on(async {
        let (sender, mut receiver) = channel(2);
        for n in 0..50 {
            let sender = sender.clone();
            spawn(async move {
                match n % 4 {
                    0 => sender.send(n).await.unwrap(),
                    1 => sender.reserve().await.unwrap().send(n),
                    2 => drop(sender.reserve_owned().await.unwrap().send(n)),
                    _ => sender.reserve_many(2).await.unwrap().next().unwrap().send(n),
                }
            });
        }
        drop(sender);
        yield_now().await;
        for n in 0..50 {
            assert_eq!(receiver.recv().await, Some(n));
        }
        assert_eq!(receiver.recv().await, None);
    });
}
