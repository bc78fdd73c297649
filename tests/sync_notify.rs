//! Notifications: one for one, all for all who were there before, and none lost.

#[path = "support/locks.rs"]
mod locks;
mod support;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};

use futures::{FutureExt, StreamExt};
use locks::{Acts, Random, Waiting, use_up_the_budget, waiting};
use loopline::callback::Next;
use loopline::sync::{Notified, Notify};
use loopline::{spawn, yield_now};
use support::{block_on, closes_clean, event_loop, scaled};

#[test]
fn a_permit_is_kept_while_nobody_waits_and_only_one() {
    block_on(async {
        let notify = Notify::new();
        notify.notify_one();
        notify.notify_last();
        notify.notified().await;
        let mut next = waiting(notify.notified());
        notify.notify_one();
        next.ready();
        assert!(notify.notified().now_or_never().is_none(), "that one was for who waited");
        notify.notify_waiters();
        assert!(notify.notified().now_or_never().is_none(), "leaves no permit");
    });
}

#[test]
fn the_first_is_notified_first_or_the_last() {
    block_on(async {
        let notify = Rc::new(Notify::new());
        let (first, second) =
            (waiting(notify.notified()), waiting(notify.clone().notified_owned()));
        let third = waiting(notify.notified());
        let woken = || (first.is_woken(), second.is_woken(), third.is_woken());
        notify.notify_last();
        assert_eq!(woken(), (false, false, true));
        notify.notify_one();
        assert_eq!(woken(), (true, false, true));
        notify.notify_one();
        assert_eq!(woken(), (true, true, true));
        notify.notify_one();
        drop((first, second, third));
        assert!(notify.notified().now_or_never().is_some());
        assert!(notify.notified().now_or_never().is_none());
    });
}

#[test]
fn all_are_those_made_before_polled_or_not() {
    block_on(async {
        let notify = Rc::new(Notify::new());
        let mut polled = waiting(notify.notified());
        let mut new =
            (Waiting::new(notify.notified()), Waiting::new(notify.clone().notified_owned()));
        notify.notify_waiters();
        let mut later = Waiting::new(notify.notified());
        assert!(polled.is_woken());
        polled.ready();
        notify.notify_one();
        new.0.ready();
        new.1.ready();
        later.ready(); // by the permit, which those before left
        assert!(Waiting::new(notify.notified()).is_pending());
    });
}

// contract 40
#[test]
fn one_that_was_notified_and_is_dropped_passes_it_on_by_the_same_end() {
    block_on(async {
        let notify = Notify::new();
        let (first, second) = (waiting(notify.notified()), waiting(notify.notified()));
        let (third, fourth) = (waiting(notify.notified()), waiting(notify.notified()));
        notify.notify_one();
        drop(first);
        assert_eq!((second.is_woken(), fourth.is_woken()), (true, false));
        notify.notify_last();
        drop(fourth);
        assert!(third.is_woken());
        // The last of all leaves the permit.
        drop((second, third));
        notify.notified().await;
        // What was for all is for nobody else.
        let one = waiting(notify.notified());
        notify.notify_waiters();
        drop(one);
        assert!(notify.notified().now_or_never().is_none());
        // And one that was ready has used its own.
        let mut one = waiting(notify.notified());
        notify.notify_one();
        one.ready();
        one.ready();
        drop(one);
        assert!(notify.notified().now_or_never().is_none());
    });
}

#[test]
fn one_that_is_enabled_is_in_line() {
    block_on(async {
        let notify = Notify::new();
        let mut first = pin!(notify.notified());
        assert!(!first.as_mut().enable() && !first.as_mut().enable());
        let mut second = waiting(notify.notified());
        notify.notify_one();
        assert!(!second.is_woken());
        assert!(first.as_mut().enable());
        first.await;
        assert!(second.is_pending());
        // Enabling one that is awaited does not take its waker away.
        let mut third = Box::pin(notify.notified());
        let acts = Rc::new(Acts::default());
        let waker = acts.waker();
        assert!(third.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        assert!(!third.as_mut().enable());
        notify.notify_last();
        assert_eq!(acts.wakes.get(), 1);
        drop(third);
        assert!(second.is_woken(), "the notification of one that is dropped goes on");
    });
}

#[test]
fn a_stream_of_notifications_is_a_source() {
    let mut event_loop = event_loop::<u32>();
    let notify = Rc::new(Notify::new());
    let source = notify.clone().notifications();
    let join = event_loop.handle().insert(source, |(), _source, seen| {
        *seen += 1;
        if *seen < 3 { Next::Keep } else { Next::Stop }
    });
    let join = join.unwrap();
    event_loop.handle().spawn(async move {
        for all in [false, true, false] {
            match all {
                true => notify.notify_waiters(),
                false => notify.notify_one(),
            }
            yield_now().await;
        }
    });
    let mut seen = 0;
    event_loop.run(&mut seen).unwrap();
    assert_eq!(seen, 3);
    let mut source = join.now_or_never().unwrap().unwrap();
    assert!(source.next().now_or_never().is_none());
    assert!(StreamExt::next(&mut source).now_or_never().is_none());
    closes_clean(event_loop);
}

#[test]
fn a_task_that_looks_between_two_waits_misses_nothing() {
    block_on(async {
        let (queue, notify) = (Rc::new(RefCell::new(Vec::new())), Rc::new(Notify::new()));
        let total = scaled(1000);
        let (ours, theirs) = (queue.clone(), notify.clone());
        let sender = spawn(async move {
            for n in 0..total {
                ours.borrow_mut().push(n);
                theirs.notify_one();
                if n % 3 == 0 {
                    yield_now().await;
                }
            }
        });
        let mut seen = Vec::new();
        while seen.len() < total {
            notify.notified().await;
            seen.append(&mut queue.borrow_mut());
        }
        assert!(seen.iter().copied().eq(0..total));
        sender.await.unwrap();
    });
}

#[test]
fn a_task_without_a_budget_left_keeps_its_place_and_loses_nothing() {
    block_on(async {
        let notify = Notify::new();
        use_up_the_budget().await;
        let (mut first, second) = (waiting(notify.notified()), waiting(notify.notified()));
        notify.notify_one();
        assert!(first.is_woken() && !second.is_woken());
        assert!(first.is_pending(), "no budget");
        drop(first);
        assert!(second.is_woken());
        drop(second);
        let mut third = waiting(notify.notified());
        yield_now().await;
        third.ready();
    });
}

/// Where the model's wait stands.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Place {
    New(u64),
    InLine(u64),
    Given(bool),
    Done,
}

/// The model: `permit`, the calls of `notify_waiters`, the waits and their order in line.
#[derive(Default)]
struct Model {
    permit: bool,
    calls: u64,
    line: Vec<u64>,
    places: BTreeMap<u64, Place>,
}

impl Model {
    fn notify(&mut self, last: bool) {
        if self.line.is_empty() {
            self.permit = true;
            return;
        }
        let number = if last { self.line.pop().unwrap() } else { self.line.remove(0) };
        self.places.insert(number, Place::Given(last));
    }

    fn look(&mut self, number: u64) -> bool {
        let done = match self.places[&number] {
            Place::New(calls) if calls == self.calls => {
                let taken = std::mem::take(&mut self.permit);
                if !taken {
                    self.line.push(number);
                    self.places.insert(number, Place::InLine(calls));
                }
                taken
            }
            Place::InLine(_) => false,
            Place::New(_) | Place::Given(_) | Place::Done => true,
        };
        if done {
            self.places.insert(number, Place::Done);
        }
        done
    }

    fn drop(&mut self, number: u64) {
        self.line.retain(|n| *n != number);
        if let Some(Place::Given(last)) = self.places.remove(&number) {
            self.notify(last);
        }
    }
}

// contract 40
#[test]
fn random_notifications_and_waits_go_as_in_the_model() {
    block_on(async {
        let notify = Notify::new();
        let (mut random, mut model) = (Random::new(), Model::default());
        let mut waits: Vec<(u64, Pin<Box<Notified<'_>>>, Rc<Acts>)> = Vec::new();
        for number in 0..scaled(60_000) as u64 {
            if number % 16 == 0 {
                yield_now().await;
            }
            let at = (!waits.is_empty()).then(|| random.below(waits.len()));
            match (random.below(12), at) {
                (0..=3, _) if waits.len() < 12 => {
                    waits.push((number, Box::pin(notify.notified()), Rc::default()));
                    model.places.insert(number, Place::New(model.calls));
                }
                (4 | 5, Some(at)) => {
                    let (number, wait, acts) = &mut waits[at];
                    let waker = acts.waker();
                    let polled = wait.as_mut().poll(&mut Context::from_waker(&waker));
                    assert_eq!(polled == Poll::Ready(()), model.look(*number));
                }
                (6, Some(at)) => {
                    let (number, wait, _) = &mut waits[at];
                    assert_eq!(wait.as_mut().enable(), model.look(*number));
                }
                (7 | 8, Some(at)) => {
                    let (number, wait, _) = waits.remove(at);
                    drop(wait);
                    model.drop(number);
                }
                (9, _) => {
                    notify.notify_last();
                    model.notify(true);
                }
                (10, _) if random.below(3) == 0 => {
                    notify.notify_waiters();
                    model.calls += 1;
                    for number in model.line.drain(..) {
                        model.places.insert(number, Place::Done);
                    }
                }
                _ => {
                    notify.notify_one();
                    model.notify(false);
                }
            }
            for (number, _, acts) in &waits {
                let waits = matches!(model.places[number], Place::InLine(_));
                assert!(!waits || acts.wakes.get() == 0, "woken for nothing");
                let polled = acts.clones.get() > 0;
                let given = matches!(model.places[number], Place::Given(_));
                assert!(!given || !polled || acts.wakes.get() == 1, "not woken");
            }
        }
    });
}
