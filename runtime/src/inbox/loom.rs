//! The foreign wake under loom: every interleaving of wakes with a loop that parks, up to the bound.
//!
//! `RUSTFLAGS="--cfg loom" LOOM_MAX_PREEMPTIONS=3 cargo test -p loopline-runtime --lib --release loom`
//!
//! A lost wake shows as a deadlock: the loop waits for a bell that nobody rings. Loom knows the total
//! order of SeqCst accesses only among SeqCst stores, and an atomic's first value is none; `open` and
//! `reset` overwrite both words, so the models begin with them.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Wake, Waker};

use ::loom::cell::UnsafeCell;
use ::loom::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use ::loom::sync::{Arc, Condvar, Mutex};
use ::loom::thread;

use super::Inbox;
use crate::mailbox::Mailbox;
use crate::run_queue::MAIL;
use crate::sync::remote::mpsc;

/// What mio's waker is to the poller: a ring is kept until the wait that takes it.
#[derive(Default)]
struct Bell {
    /// Rings not taken, and rings ever.
    rings: Mutex<(usize, usize)>,
    rung: Condvar,
}

impl Bell {
    fn ring(&self) {
        let mut rings = self.rings.lock().unwrap();
        rings.0 += 1;
        rings.1 += 1;
        drop(rings);
        self.rung.notify_one();
    }

    /// Waits as the poller does: returns at once if there were rings, and takes them all.
    fn wait(&self) {
        let mut rings = self.rings.lock().unwrap();
        while rings.0 == 0 {
            rings = self.rung.wait(rings).unwrap();
        }
        rings.0 = 0;
    }

    fn ever(&self) -> usize {
        self.rings.lock().unwrap().1
    }
}

/// The loop's side.
struct Loop {
    inbox: Arc<Inbox>,
    bell: Arc<Bell>,
    parks: usize,
}

fn bell_for(inbox: &Inbox) -> Arc<Bell> {
    let bell = Arc::new(Bell::default());
    let ringer = bell.clone();
    inbox.open(Box::new(move || ringer.ring()));
    bell
}

impl Loop {
    /// A loop that counts as parked since `open`.
    fn new() -> Self {
        let inbox = Arc::new(Inbox::new());
        inbox.grow(0);
        inbox.reset();
        let bell = bell_for(&inbox);
        Self { inbox, bell, parks: 1 }
    }

    /// One turn as `turn` makes it: park unless there is work, then drain. Returns what was woken.
    fn turn(&mut self) -> Vec<u32> {
        if !self.inbox.pending() {
            self.parks += 1;
            if self.inbox.park() {
                self.bell.wait();
            }
            self.inbox.unpark();
        }
        let mut woken = Vec::new();
        self.inbox.drain(usize::MAX, |slot| woken.push(slot));
        woken
    }

    /// Runs turns until each of these slots was woken at least once.
    fn run_until_woken(&mut self, slots: &[u32]) {
        let mut missing = slots.to_vec();
        while !missing.is_empty() {
            let woken = self.turn();
            missing.retain(|slot| !woken.contains(slot));
        }
    }
}

#[test]
fn a_wake_while_the_loop_parks_is_not_lost() {
    ::loom::model(|| {
        let mut event_loop = Loop::new();
        let inbox = event_loop.inbox.clone();
        let waking = thread::spawn(move || inbox.wake(5));
        event_loop.inbox.unpark();
        event_loop.run_until_woken(&[5]);
        waking.join().unwrap();
    });
}

#[test]
fn wakes_of_two_threads_are_not_lost() {
    ::loom::model(|| {
        let mut event_loop = Loop::new();
        event_loop.inbox.unpark();
        // 5 and 70: two words under one mark.
        for slot in [5, 70] {
            let inbox = event_loop.inbox.clone();
            thread::spawn(move || inbox.wake(slot));
        }
        event_loop.run_until_woken(&[5, 70]);
    });
}

#[test]
fn a_slot_woken_again_after_its_drain_is_drained_again() {
    ::loom::model(|| {
        let mut event_loop = Loop::new();
        event_loop.inbox.unpark();
        let inbox = event_loop.inbox.clone();
        let data = Arc::new(AtomicUsize::new(0));
        let theirs = data.clone();
        thread::spawn(move || {
            for value in 1..=2 {
                theirs.store(value, Relaxed);
                inbox.wake(5);
            }
        });
        // Either drain may see the second value; without a drain after it, this waits for ever.
        while data.load(Relaxed) != 2 || event_loop.inbox.pending() {
            event_loop.turn();
        }
    });
}

#[test]
fn each_park_is_notified_at_most_once() {
    ::loom::model(|| {
        let mut event_loop = Loop::new();
        let wakers: Vec<_> = [5, 6]
            .into_iter()
            .map(|slot| {
                let inbox = event_loop.inbox.clone();
                thread::spawn(move || inbox.wake(slot))
            })
            .collect();
        event_loop.inbox.unpark();
        event_loop.run_until_woken(&[5, 6]);
        for waker in wakers {
            waker.join().unwrap();
        }
        let (rings, parks) = (event_loop.bell.ever(), event_loop.parks);
        assert!(rings <= parks, "{rings} notifications in {parks} parks");
    });
}

#[test]
fn what_was_written_before_a_wake_is_seen_after_the_drain() {
    ::loom::model(|| {
        let mut event_loop = Loop::new();
        event_loop.inbox.unpark();
        let data = Arc::new(UnsafeCell::new(0));
        let (theirs, inbox) = (data.clone(), event_loop.inbox.clone());
        thread::spawn(move || {
            // SAFETY: the loop reads only after the drain; loom reports it if that is not so.
            theirs.with_mut(|value| unsafe { *value = 7 });
            inbox.wake(5);
        });
        event_loop.run_until_woken(&[5]);
        // SAFETY: as above: the wake happened before the drain.
        data.with(|value| assert_eq!(unsafe { *value }, 7));
    });
}

#[test]
fn what_was_written_before_a_wake_that_found_the_bit_set_is_seen_too() {
    ::loom::model(|| {
        let mut event_loop = Loop::new();
        event_loop.inbox.unpark();
        let data = [(); 2].map(|()| Arc::new(AtomicUsize::new(0)));
        for theirs in &data {
            let (theirs, inbox) = (theirs.clone(), event_loop.inbox.clone());
            thread::spawn(move || {
                theirs.store(1, Relaxed);
                inbox.wake(5);
            });
        }
        // As a task does: it looks at both when it is polled, and waits for a wake if one is missing.
        while !data.iter().all(|value| value.load(Relaxed) == 1) {
            event_loop.run_until_woken(&[5]);
        }
    });
}

#[test]
fn a_stale_wake_does_not_use_up_the_notification_of_the_next_loop() {
    ::loom::model(|| {
        let old = Loop::new();
        let inbox = old.inbox.clone();
        let stale = inbox.clone();
        let stale = thread::spawn(move || stale.wake(5));
        inbox.close();
        inbox.reset();
        let bell = bell_for(&inbox);
        // A guest: its host waits for the descriptor before the first turn.
        let waking = inbox.clone();
        let waking = thread::spawn(move || waking.wake(6));
        let mut event_loop = Loop { inbox, bell, parks: 1 };
        loop {
            event_loop.bell.wait();
            event_loop.inbox.unpark();
            let mut seen = false;
            event_loop.inbox.drain(usize::MAX, |slot| seen |= slot == 6);
            // Leaving the turn: the host looks at `left`, else waits again.
            if seen || (!event_loop.inbox.park() && event_loop.turn().contains(&6)) {
                break;
            }
        }
        stale.join().unwrap();
        waking.join().unwrap();
    });
}

#[test]
fn closing_races_wakes_without_a_deadlock_and_without_a_late_notification() {
    ::loom::model(|| {
        let event_loop = Loop::new();
        let wakers: Vec<_> = [5, 6]
            .into_iter()
            .map(|slot| {
                let inbox = event_loop.inbox.clone();
                thread::spawn(move || inbox.wake(slot))
            })
            .collect();
        event_loop.inbox.close();
        let rings = event_loop.bell.ever();
        assert!(rings <= 1);
        for waker in wakers {
            waker.join().unwrap();
        }
        assert_eq!(event_loop.bell.ever(), rings, "notified after close returned");
    });
}

/// A mailbox wants an inbox for ever, as the registry gives it; closed at the end, it keeps no bell.
fn mailbox() -> (&'static Inbox, Arc<Bell>, Arc<Mailbox<u32>>) {
    let inbox: &'static Inbox = Box::leak(Box::new(Inbox::new()));
    inbox.grow(0);
    inbox.reset();
    let bell = bell_for(inbox);
    (inbox, bell, Arc::new(Mailbox::new(inbox)))
}

#[test]
fn a_message_is_received_given_back_or_returned_by_close() {
    ::loom::model(|| {
        let (inbox, _, mailbox) = mailbox();
        let senders: Vec<_> = [1, 2]
            .into_iter()
            .map(|message| {
                let mailbox = mailbox.clone();
                thread::spawn(move || mailbox.send(message).err())
            })
            .collect();
        let received = mailbox.receive();
        let mut found: Vec<u32> = received.into_iter().chain(mailbox.close()).collect();
        assert!(mailbox.send(3).is_err() && mailbox.receive().is_none() && mailbox.is_empty());
        found.extend(senders.into_iter().filter_map(|sender| sender.join().unwrap()));
        inbox.close();
        found.sort_unstable();
        assert_eq!(found, [1, 2]);
    });
}

#[test]
fn a_message_ends_the_loops_wait() {
    ::loom::model(|| {
        let (inbox, bell, mailbox) = mailbox();
        inbox.unpark();
        let senders = [1, 2].map(|message| {
            let mailbox = mailbox.clone();
            thread::spawn(move || mailbox.send(message).unwrap())
        });
        let mut received = 0;
        while received < 2 {
            if !inbox.pending() {
                if inbox.park() {
                    bell.wait();
                }
                inbox.unpark();
            }
            let mut mail = false;
            inbox.drain(usize::MAX, |slot| mail |= slot == MAIL);
            while mail && mailbox.receive().is_some() {
                received += 1;
            }
        }
        for sender in senders {
            sender.join().unwrap();
        }
        inbox.close();
    });
}

/// Wakes one slot, as the number that is a loop's waker does. Foreign to the channel.
struct Slot(Arc<Inbox>, u32);

impl Wake for Slot {
    fn wake(self: std::sync::Arc<Self>) {
        self.0.wake(self.1);
    }
}

#[test]
fn a_channels_messages_and_its_end_end_the_loops_wait() {
    ::loom::model(|| {
        let mut event_loop = Loop::new();
        event_loop.inbox.unpark();
        let waker = Waker::from(std::sync::Arc::new(Slot(event_loop.inbox.clone(), 5)));
        let (sender, mut receiver) = mpsc::channel(1);
        let sending = thread::spawn(move || {
            for number in 0..2 {
                sender.blocking_send(number).unwrap();
            }
        });
        let mut got = Vec::new();
        loop {
            let polled = pin!(receiver.recv()).poll(&mut Context::from_waker(&waker));
            match polled {
                Poll::Ready(Some(number)) => got.push(number),
                Poll::Ready(None) => break,
                Poll::Pending => event_loop.run_until_woken(&[5]),
            }
        }
        assert_eq!(got, [0, 1]);
        sending.join().unwrap();
    });
}
