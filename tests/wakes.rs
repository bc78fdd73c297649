//! No wake is lost: from any thread, inside any loop's turn, at any moment.

mod support;

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, mpsc};
use std::task::{Poll, Waker};
use std::thread::{self};
use std::time::Duration;

use loopline::Clock;
use support::{TestLoop, built, closes_clean, ends_with_items, event_loop, scaled};

/// Gives the waker of the task that awaits this.
fn my_waker() -> impl Future<Output = Waker> {
    poll_fn(|cx| Poll::Ready(cx.waker().clone()))
}

// contract 23, 32; fault 63
#[test]
fn of_a_million_wakes_from_eight_threads_none_is_lost() {
    const THREADS: usize = 8;
    let each = scaled(125_000);
    let mut event_loop = event_loop::<()>();
    let handle = event_loop.handle();
    let seen = Arc::new(AtomicUsize::new(0));
    let start = Arc::new(Barrier::new(THREADS + 1));
    let (give, taken) = mpsc::channel::<Waker>();
    let feeder = {
        let (seen, start) = (seen.clone(), start.clone());
        thread::spawn(move || {
            let waker = taken.recv().unwrap();
            let threads: Vec<_> = (0..THREADS)
                .map(|_| {
                    let (waker, seen, start) = (waker.clone(), seen.clone(), start.clone());
                    thread::spawn(move || {
                        start.wait();
                        for _ in 0..each {
                            seen.fetch_add(1, Ordering::Relaxed);
                            waker.wake_by_ref();
                        }
                    })
                })
                .collect();
            start.wait();
            threads.into_iter().for_each(|thread| thread.join().unwrap());
        })
    };
    let mut polls = 0_u64;
    // If the last wake were lost, this would wait for ever: nothing else wakes it.
    event_loop
        .block_on(poll_fn(|cx| {
            if polls == 0 {
                give.send(cx.waker().clone()).unwrap();
            }
            polls += 1;
            if seen.load(Ordering::Relaxed) == THREADS * each {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        }))
        .unwrap();
    feeder.join().unwrap();
    // A turn is at most one wait, a wait ends by at most one notification, and each brought a poll or
    // was the late notice of a wake that had been seen: so the wakes were coalesced. That one wait
    // costs at most one write is counted with strace by .ci/deep.
    let stats = handle.stats();
    assert!(stats.turns <= 2 * polls + 2, "{} turns for {polls} polls", stats.turns);
    closes_clean(event_loop);
}

// contract 23
#[test]
fn a_wake_that_comes_as_the_loop_goes_to_sleep_is_not_lost() {
    let rounds = scaled(50_000);
    let mut event_loop = event_loop::<()>();
    let (asked, answered) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (give, taken) = mpsc::channel::<Waker>();
    let other = {
        let (asked, answered) = (asked.clone(), answered.clone());
        thread::spawn(move || {
            let waker = taken.recv().unwrap();
            for round in 1..=rounds {
                let mut spins = 0_u32;
                while asked.load(Ordering::Acquire) != round {
                    spins += 1;
                    if spins % 1_000 == 0 { thread::yield_now() } else { std::hint::spin_loop() }
                }
                // Later by a little each time: somewhere there the loop checks, announces and checks.
                (0..round % 300).for_each(|_| std::hint::spin_loop());
                answered.store(round, Ordering::Release);
                waker.wake_by_ref();
            }
        })
    };
    event_loop
        .block_on(poll_fn(|cx| {
            let answers = answered.load(Ordering::Acquire);
            if answers == rounds {
                return Poll::Ready(());
            }
            if asked.swap(answers + 1, Ordering::AcqRel) == 0 {
                give.send(cx.waker().clone()).unwrap();
            }
            Poll::Pending
        }))
        .unwrap();
    other.join().unwrap();
    closes_clean(event_loop);
}

// contract 31, 34
#[test]
fn a_waker_of_one_loop_used_in_the_turn_of_another_works() {
    let mut outer = event_loop::<()>();
    let woken = outer
        .block_on(async {
            let waker = my_waker().await;
            let mut inner = event_loop::<()>();
            inner.handle().spawn(async move { waker.wake() });
            inner.turn(&mut (), Duration::ZERO).unwrap();
            closes_clean(inner);
            // Nothing but that wake lets this go on.
            let mut polled = false;
            poll_fn(|_| {
                if std::mem::replace(&mut polled, true) { Poll::Ready(true) } else { Poll::Pending }
            })
            .await
        })
        .unwrap();
    assert!(woken);
    closes_clean(outer);
}

// contract 31, 34
#[test]
fn tasks_of_two_loops_on_one_thread_wake_each_other() {
    let (mut left, mut right) = (event_loop::<()>(), event_loop::<()>());
    let (to_right, mut from_left) = loopline::callback::channel::<u32>();
    let (to_left, mut from_right) = loopline::callback::channel::<u32>();
    let there = left.handle().spawn(async move {
        to_right.send(0).unwrap();
        let mut last = 0;
        while let Some(n) = from_right.next().await {
            last = n;
            if n >= 100 {
                break;
            }
            to_right.send(n + 1).unwrap();
        }
        last
    });
    let back = right.handle().spawn(async move {
        while let Some(n) = from_left.next().await {
            if to_left.send(n + 1).is_err() {
                break;
            }
        }
    });
    // Each sleeps until the other has sent: a lost wake would hang here.
    while !there.is_finished() {
        left.turn(&mut (), None).unwrap();
        if !there.is_finished() {
            right.turn(&mut (), None).unwrap();
        }
    }
    right.run(&mut ()).unwrap();
    assert!(back.is_finished());
    assert_eq!(left.block_on(there).unwrap().unwrap(), 101);
    closes_clean(left);
    closes_clean(right);
}

// contract 31; fault 90
#[test]
fn a_sleep_of_one_loop_awaited_on_another_is_woken_by_its_own() {
    let (mut timing, mut waiting) = (support::paused::<()>(), event_loop::<()>());
    let wait = Duration::from_secs(3600);
    let asleep = timing.block_on(poll_fn(|_| Poll::Ready(loopline::time::sleep(wait)))).unwrap();
    let task = waiting.handle().spawn(asleep);
    waiting.turn(&mut (), Duration::ZERO).unwrap();
    assert_eq!((timing.handle().stats().timers, waiting.handle().stats().timers), (1, 0));
    assert!(timing.turn(&mut (), Duration::ZERO).unwrap().deadline.is_some());
    timing.turn(&mut (), wait).unwrap();
    waiting.turn(&mut (), None).unwrap();
    assert!(task.is_finished());
    closes_clean(timing);
    closes_clean(waiting);
}

// contract 22, 23
#[test]
fn a_wake_at_home_between_turns_ends_the_next_wait() {
    let mut event_loop = event_loop::<()>();
    let waker = Rc::new(RefCell::new(None::<Waker>));
    let (stored, polls) = (waker.clone(), Rc::new(Cell::new(0)));
    let count = polls.clone();
    let task = event_loop.handle().spawn(poll_fn(move |cx| {
        count.set(count.get() + 1);
        stored.replace(Some(cx.waker().clone()));
        Poll::<()>::Pending
    }));
    event_loop.turn(&mut (), None).unwrap();
    for n in 2..10 {
        waker.borrow().as_ref().unwrap().wake_by_ref();
        let turn = event_loop.turn(&mut (), None).unwrap();
        assert_eq!((turn.ran, polls.get()), (1, n));
    }
    // So do a spawn, a cancel's waiter and a resume.
    let spawned = event_loop.handle().spawn(async {});
    event_loop.turn(&mut (), None).unwrap();
    assert!(spawned.is_finished());
    let control = task.control();
    let waiting = event_loop.handle().spawn(task);
    event_loop.turn(&mut (), None).unwrap();
    control.pause();
    waker.borrow().as_ref().unwrap().wake_by_ref();
    event_loop.turn(&mut (), Duration::ZERO).unwrap();
    control.resume();
    event_loop.turn(&mut (), None).unwrap();
    assert_eq!(polls.get(), 10);
    control.cancel();
    event_loop.turn(&mut (), None).unwrap();
    assert!(waiting.is_finished());
    closes_clean(event_loop);
}

// contract 30
#[test]
fn tasks_woken_from_outside_all_get_their_turn_however_many_are() {
    let mut event_loop = event_loop::<()>();
    // Wakes of other threads stand in the inbox in order of slots, and are drained in portions.
    let many = 5_000;
    let ran: Rc<Vec<Cell<u32>>> = Rc::new((0..many).map(|_| Cell::new(0)).collect());
    let wakers: Rc<RefCell<Vec<Waker>>> = Rc::default();
    for n in 0..many {
        let (ran, wakers) = (ran.clone(), wakers.clone());
        event_loop.handle().spawn(poll_fn(move |cx| {
            if ran[n].get() == 0 {
                wakers.borrow_mut().push(cx.waker().clone());
            }
            ran[n].set(ran[n].get() + 1);
            Poll::<()>::Pending
        }));
    }
    while event_loop.turn(&mut (), Duration::ZERO).unwrap().left {}
    assert_eq!(wakers.borrow().len(), many);
    // All of them, again and again. In items: how many make a turn depends on the machine.
    let enough = event_loop.handle().stats().items_run + 8 * many as u64;
    while event_loop.handle().stats().items_run < enough {
        let all = &wakers.borrow()[..];
        thread::scope(|scope| scope.spawn(|| all.iter().for_each(Waker::wake_by_ref)).join())
            .unwrap();
        event_loop.turn(&mut (), Duration::ZERO).unwrap();
        if ran.iter().all(|ran| ran.get() >= 2) {
            break;
        }
    }
    let least = ran.iter().map(Cell::get).min();
    assert!(least >= Some(2), "an item waited while others ran eight times");
    ends_with_items(event_loop, many);
}

/// Three tasks that say when they run, and their wakers. Each was polled once.
fn three(event_loop: &mut TestLoop<Vec<u32>>, seen: &mut Vec<u32>) -> Vec<Waker> {
    let wakers: Rc<RefCell<Vec<Waker>>> = Rc::default();
    for n in 0..3 {
        let (wakers, handle) = (wakers.clone(), event_loop.handle());
        handle.spawn(poll_fn(move |cx| {
            if wakers.borrow().len() <= n as usize {
                wakers.borrow_mut().push(cx.waker().clone());
            }
            handle.with(|seen| seen.push(n));
            Poll::<()>::Pending
        }));
    }
    event_loop.turn(seen, Duration::ZERO).unwrap();
    seen.clear();
    wakers.take()
}

#[test]
fn wakes_between_two_turns_on_the_loops_own_thread_keep_their_order() {
    let mut event_loop = event_loop::<Vec<u32>>();
    let mut seen = Vec::new();
    let wakers = three(&mut event_loop, &mut seen);
    let handle = event_loop.handle();
    wakers[2].wake_by_ref();
    handle.spawn(async move { handle.with(|seen| seen.push(3)) });
    wakers[0].wake_by_ref();
    wakers[2].wake_by_ref();
    wakers[1].wake_by_ref();
    // It waits for nothing.
    event_loop.turn(&mut seen, None).unwrap();
    assert_eq!(seen, [2, 3, 0, 1]);
    seen.clear();
    // As a host's callbacks do.
    let guest = event_loop.lend();
    wakers[1].wake_by_ref();
    wakers[2].wake_by_ref();
    wakers[0].wake_by_ref();
    assert!(guest.is_ready());
    guest.turn(&mut seen).unwrap();
    assert_eq!(seen, [1, 2, 0]);
    ends_with_items(TestLoop::take_back(guest), 3);
}

#[test]
fn wakes_made_inside_a_turn_of_another_loop_of_the_thread_keep_their_order() {
    let mut event_loop = event_loop::<Vec<u32>>();
    let mut seen = Vec::new();
    let wakers = three(&mut event_loop, &mut seen);
    let mut other = support::event_loop::<()>();
    other.block_on(async { [2, 0, 1].map(|n| wakers[n].wake_by_ref()) }).unwrap();
    event_loop.turn(&mut seen, None).unwrap();
    assert_eq!(seen, [2, 0, 1]);
    closes_clean(other);
    ends_with_items(event_loop, 3);
}

// contract 31; fault 90
#[test]
fn a_sleep_of_a_loop_that_ends_fails_on_the_other_that_awaits_it_and_is_not_waited_for() {
    let (mut timing, mut waiting) = (event_loop::<()>(), event_loop::<()>());
    let wait = Duration::from_secs(3600);
    let asleep = timing.block_on(poll_fn(|_| Poll::Ready(loopline::time::sleep(wait)))).unwrap();
    let task = waiting.handle().spawn(asleep);
    waiting.turn(&mut (), Duration::ZERO).unwrap();
    timing.handle().spawn(std::future::pending::<()>());
    support::ends_with_timers(timing, 1, 1, 0);
    // Woken, or this would wait for ever.
    waiting.turn(&mut (), None).unwrap();
    let panic = waiting.block_on(task).unwrap().unwrap_err();
    let text = panic.into_panic().downcast::<&str>().unwrap();
    assert!(text.contains("the event loop of this timer is gone"), "{text}");
    closes_clean(waiting);
}

// contract 30
#[test]
fn wakes_from_outside_are_taken_in_portions() {
    let mut event_loop =
        built::<()>(|builder| builder.clock(Clock::Paused).items_per_turn(usize::MAX));
    let many = 5_000;
    let wakers: Rc<RefCell<Vec<Waker>>> = Rc::default();
    for _ in 0..many {
        let (wakers, mut is_first) = (wakers.clone(), true);
        event_loop.handle().spawn(poll_fn(move |cx| {
            if std::mem::take(&mut is_first) {
                wakers.borrow_mut().push(cx.waker().clone());
            }
            Poll::<()>::Pending
        }));
    }
    while event_loop.turn(&mut (), Duration::ZERO).unwrap().left {}
    let wakers = wakers.take();
    thread::spawn(move || wakers.into_iter().for_each(Waker::wake)).join().unwrap();
    let mut ran = 0;
    while ran < many {
        let turn = event_loop.turn(&mut (), Duration::ZERO).unwrap();
        // As many as a portion, or somewhat more.
        assert!((1..2 * 1024).contains(&turn.ran), "{} at once", turn.ran);
        ran += turn.ran;
        assert_eq!(turn.left, ran < many);
    }
    ends_with_items(event_loop, many);
}
