//! Lanes: a flooded one delays no other beyond the bound, and time is shared by weight.

mod support;

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use loopline::callback::{self, Next};
use loopline::{Handle, Lane, LaneError, time, yield_now};
use support::{closes_clean, event_loop, paused, seeded};

/// Takes time of the paused clock, without leaving the item.
fn work(time: Duration) {
    let advance = pin!(time::advance(time));
    assert!(advance.poll(&mut Context::from_waker(Waker::noop())).is_pending());
}

/// xorshift64.
struct Random(Cell<u64>);

impl Random {
    fn below(&self, end: u64) -> u64 {
        let mut x = self.0.get();
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        self.0.set(x);
        (x >> 8) % end
    }
}

fn micros(n: u64) -> Duration {
    Duration::from_micros(n)
}

/// Floods a lane until told to end; each poll takes up to `longest` and `meanwhile` is called within it.
fn flood(
    handle: Handle<()>,
    lane: Lane,
    random: &Rc<Random>,
    longest: Duration,
    end: &Rc<Cell<bool>>,
    meanwhile: impl Fn() + Clone + 'static,
) {
    for _ in 0..1 + random.below(30) {
        let (random, end, meanwhile) = (random.clone(), end.clone(), meanwhile.clone());
        handle.item().lane(lane).spawn(async move {
            while !end.get() {
                let all = random.below(longest.as_micros() as u64 + 1);
                let first = random.below(all + 1);
                work(micros(first));
                meanwhile();
                work(micros(all - first));
                yield_now().await;
            }
        });
    }
}

/// One item that is woken now and then, and the longest it had to wait for its poll.
#[derive(Default)]
struct Victim {
    waker: RefCell<Option<Waker>>,
    queued: Cell<Option<Instant>>,
    longest: Cell<Duration>,
    polls: Cell<u32>,
}

impl Victim {
    fn wake(&self) {
        if self.queued.get().is_none() {
            if let Some(waker) = &*self.waker.borrow() {
                self.queued.set(Some(time::now()));
                waker.wake_by_ref();
            }
        }
    }

    fn poll(&self, cx: &Context<'_>) -> Poll<()> {
        *self.waker.borrow_mut() = Some(cx.waker().clone());
        if let Some(queued) = self.queued.take() {
            self.polls.set(self.polls.get() + 1);
            self.longest.set(self.longest.get().max(time::now() - queued));
        }
        if self.polls.get() < 300 { Poll::Pending } else { Poll::Ready(()) }
    }
}

#[test]
fn a_flooded_lane_delays_another_by_no_more_than_the_stated_bound() {
    let seed = std::env::var("LOOPLINE_SEED").ok().and_then(|text| text.parse().ok());
    let seed: u64 = seed.unwrap_or(0x1a9e_5eed);
    eprintln!("LOOPLINE_SEED={seed}");
    let random = Rc::new(Random(Cell::new(seed | 1)));
    for case in 0..support::scaled(60) {
        let mut event_loop = paused::<()>();
        let handle = event_loop.handle();
        let longest = micros(1 + random.below(2000));
        let count = 1 + random.below(7);
        let mut lanes: Vec<Lane> =
            (0..count).map(|_| handle.add_lane(1 + random.below(9) as u32).unwrap()).collect();
        lanes.push(handle.first_lane());
        handle.set_weight(handle.first_lane(), 1 + random.below(9) as u32);
        let own = lanes.swap_remove(random.below(lanes.len() as u64) as usize);
        let (victim, end) = (Rc::new(Victim::default()), Rc::new(Cell::new(false)));
        for lane in lanes {
            let (random, victim) = (random.clone(), victim.clone());
            let dice = random.clone();
            flood(handle, lane, &random, longest, &end, move || {
                if dice.below(3) == 0 {
                    victim.wake();
                }
            });
        }
        let polled = victim.clone();
        let done = handle.item().lane(own).spawn(poll_fn(move |cx| {
            let result = polled.poll(cx);
            if polled.polls.get() != 0 {
                // It owes nothing for that when it is woken next.
                work(longest);
            }
            result
        }));
        event_loop
            .run_until(&mut (), async move {
                done.await.unwrap();
                end.set(true);
            })
            .unwrap();
        event_loop.run(&mut ()).unwrap();
        let bound = handle.longest_wait(own, longest);
        assert!(
            victim.longest.get() <= bound,
            "case {case}: waited {:?}, bound {bound:?}",
            victim.longest.get()
        );
        victim.waker.take();
        closes_clean(event_loop);
    }
}

#[test]
fn time_is_shared_by_weight_whatever_the_items_take() {
    let mut event_loop = paused::<()>();
    let handle = event_loop.handle();
    let used: Rc<[Cell<Duration>; 3]> = Rc::default();
    let end = Rc::new(Cell::new(false));
    // Weight, and what one poll takes: longer and shorter than a share.
    let kinds = [(1, micros(250)), (3, micros(30)), (6, micros(999))];
    for (n, (weight, takes)) in kinds.into_iter().enumerate() {
        let lane = handle.add_lane(weight).unwrap();
        for _ in 0..3 {
            let (used, end) = (used.clone(), end.clone());
            handle.item().lane(lane).spawn(async move {
                while !end.get() {
                    work(takes);
                    used[n].set(used[n].get() + takes);
                    yield_now().await;
                }
            });
        }
    }
    let ended = end.clone();
    event_loop
        .run_until(&mut (), async move {
            time::sleep(Duration::from_secs(10)).await;
            ended.set(true);
        })
        .unwrap();
    event_loop.run(&mut ()).unwrap();
    let all: Duration = used.iter().map(Cell::get).sum();
    for (n, (weight, _)) in kinds.into_iter().enumerate() {
        let share = used[n].get().as_secs_f64() / all.as_secs_f64();
        let due = f64::from(weight) / 10.0;
        assert!((share - due).abs() < 0.01, "weight {weight}: {share} of the time, not {due}");
    }
    closes_clean(event_loop);
}

#[test]
fn lanes_of_one_weight_get_as_much_time_whose_items_take_longer_than_a_share() {
    let mut event_loop = paused::<()>();
    let handle = event_loop.handle();
    let used: Rc<[Cell<Duration>; 2]> = Rc::default();
    let end = Rc::new(Cell::new(false));
    for (n, takes) in [micros(200), micros(300)].into_iter().enumerate() {
        let lane = handle.add_lane(1).unwrap();
        let (used, end) = (used.clone(), end.clone());
        handle.item().lane(lane).spawn(async move {
            while !end.get() {
                work(takes);
                used[n].set(used[n].get() + takes);
                yield_now().await;
            }
        });
    }
    event_loop
        .run_until(&mut (), async move {
            time::sleep(Duration::from_secs(1)).await;
            end.set(true);
        })
        .unwrap();
    event_loop.run(&mut ()).unwrap();
    let [one, other] = [0, 1].map(|n| used[n].get().as_micros());
    assert!(one.abs_diff(other) <= 1_000, "{one} and {other} us");
    closes_clean(event_loop);
}

#[test]
fn within_a_lane_order_is_as_without_and_an_item_runs_once_a_round() {
    let mut event_loop = event_loop::<Vec<&'static str>>();
    let handle = event_loop.handle();
    let lane = handle.add_lane(1).unwrap();
    for name in ["a", "b"] {
        handle.item().lane(lane).spawn(async move {
            for _ in 0..2 {
                handle.with(|trace| trace.push(name));
                yield_now().await;
            }
        });
    }
    let ends = handle.item().lane(lane).insert(
        Box::pin(futures::stream::iter(["source"])),
        |event, _, trace: &mut Vec<_>| {
            trace.push(event);
            Next::Keep
        },
    );
    let mut trace = Vec::new();
    event_loop.run(&mut trace).unwrap();
    // A source runs next turn at the earliest, which is the first one here.
    assert_eq!(trace, ["a", "b", "source", "a", "b"]);
    drop(ends);
    closes_clean(event_loop);
}

#[test]
fn a_lane_made_inside_a_turn_runs_in_the_same_loop() {
    let mut event_loop = event_loop::<u32>();
    let handle = event_loop.handle();
    handle.spawn(async move {
        let lane = handle.add_lane(2).unwrap();
        let inner = handle.item().lane(lane).spawn(async move {
            handle.with(|count| *count += 1);
            7
        });
        assert_eq!(inner.await.unwrap(), 7);
        handle.with(|count| *count += 1);
    });
    let mut count = 0;
    event_loop.run(&mut count).unwrap();
    assert_eq!(count, 2);
    closes_clean(event_loop);
}

#[test]
fn a_turn_that_a_lane_is_made_in_does_not_go_on_without_it() {
    // Time does not end this turn.
    let mut event_loop = paused::<()>();
    let handle = event_loop.handle();
    let rounds = event_loop.block_on(async move {
        let lane = handle.add_lane(1).unwrap();
        let first = handle.item().lane(lane).spawn(async {});
        let mut rounds = 0;
        while !first.is_finished() {
            yield_now().await;
            rounds += 1;
        }
        rounds
    });
    // Each takes a microsecond, as far as lanes go; the share is 100.
    assert!(rounds.unwrap() <= 110);
    closes_clean(event_loop);
}

#[test]
fn an_item_of_a_lane_is_paused_resumed_cancelled_and_woken_by_threads() {
    let mut event_loop = event_loop::<()>();
    let handle = event_loop.handle();
    let lane = handle.add_lane(1).unwrap();
    let ran = Rc::new(Cell::new(0));
    let counted = ran.clone();
    let task = handle.item().lane(lane).spawn(poll_fn(move |_| {
        counted.set(counted.get() + 1);
        Poll::<()>::Pending
    }));
    let control = task.control();
    assert!(control.pause());
    event_loop.turn(&mut (), Duration::ZERO).unwrap();
    assert_eq!(ran.get(), 0);
    assert!(control.resume());
    event_loop.turn(&mut (), Duration::ZERO).unwrap();
    assert_eq!(ran.get(), 1);
    drop(task.cancel());
    let (sender, receiver) = callback::channel();
    let sum = Rc::new(Cell::new(0));
    let summed = sum.clone();
    let source = handle.item().lane(lane).insert(receiver, move |n: u32, _, ()| {
        summed.set(summed.get() + n);
        Next::Keep
    });
    let thread = std::thread::spawn(move || (1..=100).try_for_each(|n| sender.send(n)));
    event_loop.run(&mut ()).unwrap();
    thread.join().unwrap().unwrap();
    assert_eq!(sum.get(), 5050);
    drop(source);
    closes_clean(event_loop);
}

#[test]
fn the_longest_wait_is_one_poll_and_a_share_and_a_poll_of_each_other_lane() {
    let event_loop = support::built::<()>(|builder| builder.lane_time(micros(100)));
    let handle = event_loop.handle();
    let first = handle.first_lane();
    assert_eq!(handle.longest_wait(first, micros(7)), micros(7));
    let (double, least) = (handle.add_lane(2).unwrap(), handle.add_lane(0).unwrap());
    assert!(handle.set_weight(first, 3));
    // The least weight is 1.
    assert_eq!(handle.longest_wait(first, micros(7)), micros(7 + 207 + 107));
    assert_eq!(handle.longest_wait(double, micros(7)), micros(7 + 307 + 107));
    assert_eq!(handle.longest_wait(least, micros(7)), micros(7 + 307 + 207));
    closes_clean(event_loop);
}

#[test]
fn there_are_eight_lanes_and_a_lane_belongs_to_its_loop() {
    let event_loop = event_loop::<()>();
    let other = support::event_loop::<()>();
    let handle = event_loop.handle();
    for _ in 0..7 {
        handle.add_lane(1).unwrap();
    }
    assert_eq!(handle.add_lane(1), Err(LaneError::TooMany));
    let foreign = other.handle().add_lane(1).unwrap();
    assert!(!handle.set_weight(foreign, 2) && other.handle().set_weight(foreign, 2));
    // How long one waits there is its own loop's affair, whoever is asked.
    let waits = other.handle().longest_wait(foreign, micros(7));
    assert_eq!(handle.longest_wait(foreign, micros(7)), waits);
    assert_ne!(handle.longest_wait(handle.first_lane(), micros(7)), waits);
    let refused = std::panic::catch_unwind(|| drop(handle.item().lane(foreign)));
    assert!(refused.is_err());
    closes_clean(event_loop);
    closes_clean(other);
    assert_eq!(handle.add_lane(1), Err(LaneError::LoopGone));
}

// contract 25
#[test]
fn a_timer_comes_after_few_slow_items_of_another_lane() {
    const SLOW: Duration = Duration::from_millis(3);
    let mut event_loop = event_loop::<()>();
    let handle = event_loop.handle();
    if handle.seed().is_some() {
        // Time does not count in an order that can be repeated.
        return closes_clean(event_loop);
    }
    let bulk = handle.add_lane(1).unwrap();
    let due = Rc::new(Cell::new(Instant::now()));
    let since = Rc::new(Cell::new(0));
    for _ in 0..100 {
        let (due, since) = (due.clone(), since.clone());
        handle.item().lane(bulk).background().spawn(async move {
            loop {
                let begin = Instant::now();
                since.set(since.get() + u32::from(begin >= due.get()));
                while begin.elapsed() < SLOW {
                    std::hint::spin_loop();
                }
                yield_now().await;
            }
        });
    }
    let counted = event_loop.run_until(&mut (), async {
        let mut counted = Vec::new();
        for _ in 0..4 {
            due.set(Instant::now() + SLOW);
            since.set(0);
            time::sleep_until(due.get()).await;
            counted.push(since.get());
        }
        counted
    });
    // In the first turn the loop learns how slow they are.
    let counted = &counted.unwrap()[1..];
    assert!(counted.iter().all(|since| *since <= 4), "{counted:?}");
    support::ends_with_items(event_loop, 100);
}

#[test]
fn under_a_clock_that_stands_still_no_lane_waits_for_ever_for_another() {
    let mut event_loop = paused::<()>();
    let handle = event_loop.handle();
    let bulk = handle.add_lane(1).unwrap();
    let polls = Rc::new(Cell::new(0));
    let counted = polls.clone();
    handle.item().lane(bulk).background().spawn(async move {
        // Ends, so that the test does.
        while counted.get() < 100_000 {
            counted.set(counted.get() + 1);
            yield_now().await;
        }
    });
    event_loop
        .block_on(async {
            for _ in 0..3 {
                yield_now().await;
            }
        })
        .unwrap();
    assert!(polls.get() < 1_000, "{} polls of the other lane came first", polls.get());
    support::ends_with_items(event_loop, 1);
}

#[test]
fn lanes_of_a_seeded_loop_run_in_an_order_that_does_not_depend_on_how_fast_they_are() {
    let order = |slow: Option<u32>| {
        let mut event_loop = seeded::<Vec<u32>>(5);
        let handle = event_loop.handle();
        let other = handle.add_lane(1).unwrap();
        for (n, lane) in [(0, other), (1, handle.first_lane()), (2, other)] {
            handle.item().lane(lane).spawn(async move {
                for _ in 0..200 {
                    handle.with(|order| order.push(n));
                    let begin = Instant::now();
                    while slow == Some(n) && begin.elapsed() < micros(20) {
                        std::hint::spin_loop();
                    }
                    yield_now().await;
                }
            });
        }
        let mut order = Vec::new();
        event_loop.run(&mut order).unwrap();
        closes_clean(event_loop);
        order
    };
    assert_eq!(order(Some(1)), order(Some(2)));
}
