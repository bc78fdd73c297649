//! Timers: never early, in order, none lost, none left over.
#![cfg(unix)] // descriptors and their options

#[path = "support/net.rs"]
mod net;
mod support;

use std::cell::{Cell, RefCell};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, Instant};

use futures::future::join_all;
use futures::poll;
use loopline::time::{
    self, MissedTickBehavior, interval, interval_at, sleep, sleep_until, timeout,
};
use loopline::{Handle, Stats, spawn, yield_now};
use net::{pair, poll_once, soon};
use support::{block_on, block_on_paused, scaled};

const MS: Duration = Duration::from_millis(1);

fn stats() -> Stats {
    Handle::<()>::try_current().unwrap().stats()
}

/// Reads the system's clock past the standard library.
fn raw_clock() -> Duration {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: writes to a live struct.
    assert_eq!(unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut now) }, 0);
    Duration::new(now.tv_sec.try_into().unwrap(), now.tv_nsec.try_into().unwrap())
}

// contract 42; fault 77
#[test]
fn of_ten_thousand_random_sleeps_none_ends_early() {
    let latest = block_on(async {
        let mut random = 0x2545_f491_4f6c_dd1d_u64;
        let sleeps = (0..scaled(10_000)).map(|_| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let wait = Duration::from_nanos(random % 50_000_000);
            spawn(async move {
                let began = raw_clock();
                sleep(wait).await;
                let took = raw_clock() - began;
                assert!(took >= wait, "a sleep of {wait:?} took {took:?}");
                took - wait
            })
        });
        let sleeps: Vec<_> = sleeps.collect();
        join_all(sleeps).await.into_iter().map(Result::unwrap).max().unwrap()
    });
    println!("the latest was {latest:?} late");
}

// contract 42
#[test]
fn equal_deadlines_fire_in_the_order_in_which_they_were_set() {
    let log = Rc::new(RefCell::new(Vec::new()));
    block_on_paused(async {
        let deadline = time::now() + 10 * MS;
        let tasks: Vec<_> = (0..1000)
            .map(|n| {
                let log = log.clone();
                spawn(async move {
                    sleep_until(deadline).await;
                    log.borrow_mut().push(n);
                })
            })
            .collect();
        join_all(tasks).await;
    });
    assert_eq!(*log.borrow(), (0..1000).collect::<Vec<_>>());
}

// contract 42
#[test]
fn different_deadlines_fire_in_their_own_order() {
    let log = Rc::new(RefCell::new(Vec::new()));
    block_on_paused(async {
        // Near and far: on every level of the wheel, and beyond it.
        let waits = [7, 3, 3_600_000, 64, 1, 86_400_000, 65, 4096, 2, 63];
        let tasks: Vec<_> = waits
            .into_iter()
            .map(|wait| {
                let log = log.clone();
                spawn(async move {
                    sleep(wait * MS).await;
                    log.borrow_mut().push(wait);
                })
            })
            .collect();
        join_all(tasks).await;
    });
    assert_eq!(*log.borrow(), [1, 2, 3, 7, 63, 64, 65, 4096, 3_600_000, 86_400_000]);
}

// contract 42; fault 71
#[test]
fn very_many_timers_of_one_instant_fire_in_order_and_let_sockets_in_between() {
    let count = scaled(200_000);
    block_on_paused(async {
        let (near, far) = pair().await;
        let echo = spawn(async move {
            let mut byte = [0];
            while far.read(&mut byte).await.unwrap() == 1 {
                far.write_all(&byte).await.unwrap();
            }
        });
        let fired = Rc::new(Cell::new(0));
        let deadline = time::now() + 50 * MS;
        let tasks: Vec<_> = (0..count)
            .map(|n| {
                let fired = fired.clone();
                spawn(async move {
                    sleep_until(deadline).await;
                    assert_eq!(fired.replace(n + 1), n, "out of order");
                })
            })
            .collect();
        while stats().timers < count {
            yield_now().await;
        }
        let due = spawn(time::advance(50 * MS));
        let mut between = 0;
        while fired.get() < count {
            near.write_all(b"x").await.unwrap();
            near.read_exact(&mut [0]).await.unwrap();
            between += usize::from((1..count).contains(&fired.get()));
        }
        for task in tasks {
            task.await.unwrap();
        }
        due.await.unwrap();
        assert!(between >= count / 10_000, "{between} echoes while {count} timers fired");
        assert_eq!(stats().timers, 0);
        drop(near);
        soon(echo).await.unwrap();
    });
}

// contract 43; fault 72
#[test]
fn times_that_cannot_be_represented_never_come_and_can_be_cancelled() {
    block_on_paused(async {
        let far = time::now() + Duration::from_secs(400 * 365 * 86_400);
        for wait in [Duration::MAX, Duration::from_millis(u64::MAX), Duration::MAX - MS] {
            assert!(timeout(Duration::from_secs(3600), sleep(wait)).await.is_err());
            assert_eq!(timeout(wait, async { 1 }).await, Ok(1));
            let slow = timeout(wait, sleep(MS)).await;
            assert!(slow.is_ok());
        }
        assert!(timeout(MS, sleep_until(far)).await.is_err());
        let mut interval = interval(Duration::MAX);
        interval.tick().await;
        assert!(timeout(MS, interval.tick()).await.is_err());
        assert_eq!(stats().timers, 1, "the interval's");
    });
}

// contract 43; fault 72
#[test]
fn a_sleep_that_never_ends_does_not_disturb_the_real_clock() {
    block_on(async {
        let forever = spawn(sleep(Duration::MAX));
        sleep(MS).await;
        assert!(!forever.is_finished());
        assert!(forever.cancel().await.unwrap_err().is_cancelled());
    });
}

// contract 44
#[test]
fn a_sleep_takes_few_turns_and_never_spins() {
    block_on(async {
        let before = stats().turns;
        for _ in 0..20 {
            sleep(Duration::from_micros(1_300)).await;
        }
        let turns = stats().turns - before;
        assert!(turns <= 60, "{turns} turns for 20 sleeps");
    });
}

// contract 44
#[test]
fn a_deadline_that_is_now_has_come() {
    block_on_paused(async {
        let start = time::now();
        sleep_until(start + 5 * MS).await;
        assert_eq!(time::now(), start + 5 * MS);
        soon(sleep_until(start + 5 * MS)).await;
        assert_eq!(time::now(), start + 5 * MS);
    });
}

// contract 24
#[test]
fn a_sleep_that_begins_after_a_long_stretch_counts_from_its_own_beginning() {
    block_on(async {
        std::thread::sleep(20 * MS);
        let began = Instant::now();
        let sleep = sleep(5 * MS);
        assert!(sleep.deadline() >= began + 5 * MS);
        sleep.await;
        assert!(began.elapsed() >= 5 * MS);
    });
}

// fault 73
#[test]
fn a_zero_sleep_and_a_past_deadline_complete() {
    block_on(async {
        let before = stats().turns;
        sleep(Duration::ZERO).await;
        assert!(stats().turns > before, "a zero sleep lets a turn pass");
        let past = Instant::now() - MS;
        assert!(poll_once(sleep_until(past)).await.is_ready());
        assert!(timeout(Duration::ZERO, std::future::pending::<()>()).await.is_err());
    });
}

// fault 73
#[test]
#[should_panic(expected = "the period of an interval must not be zero")]
fn an_interval_of_zero_is_refused() {
    block_on(async { drop(interval(Duration::ZERO)) });
}

// contract 26; fault 74
#[test]
fn sleeps_of_zero_one_after_the_other_keep_no_socket_waiting() {
    block_on(async {
        let (near, far) = pair().await;
        let spinning = spawn(async {
            loop {
                sleep(Duration::ZERO).await;
            }
        });
        for _ in 0..100 {
            near.write_all(b"x").await.unwrap();
            soon(far.read_exact(&mut [0])).await.unwrap();
        }
        drop(spinning.cancel());
    });
}

// fault 75
#[test]
fn a_sleep_that_is_reset_fires_at_its_new_deadline_only() {
    block_on_paused(async {
        let start = time::now();
        let mut slept = sleep(10 * MS);
        assert!(poll_once(&mut slept).await.is_pending());
        slept.reset(start + 30 * MS);
        sleep(20 * MS).await;
        assert!(!slept.is_elapsed());
        (&mut slept).await;
        assert_eq!(time::now(), start + 30 * MS);
        // Again, after it has fired; and to an earlier time than it was set to.
        slept.reset(start + 90 * MS);
        assert!(poll_once(&mut slept).await.is_pending());
        slept.reset(start + 40 * MS);
        (&mut slept).await;
        assert_eq!(time::now(), start + 40 * MS);
    });
}

#[test]
fn a_timeout_asks_its_future_first() {
    block_on_paused(async {
        assert_eq!(timeout(Duration::ZERO, async { 1 }).await, Ok(1));
        // Both are due at one instant, the limit first in order.
        let deadline = time::now() + 5 * MS;
        let mut polled = 0;
        let future = std::future::poll_fn(|_| {
            polled += 1;
            if time::now() >= deadline { Poll::Ready(7) } else { Poll::Pending }
        });
        assert_eq!(time::timeout_at(deadline, future).await, Ok(7));
        assert_eq!(polled, 2);
    });
}

#[test]
fn a_timeout_is_an_error_of_the_kind_timed_out() {
    block_on_paused(async {
        let elapsed = timeout(MS, std::future::pending::<()>()).await.unwrap_err();
        assert_eq!(elapsed.to_string(), "the deadline has passed");
        assert_eq!(std::io::Error::from(elapsed).kind(), std::io::ErrorKind::TimedOut);
    });
}

// contract 27
#[test]
fn a_future_that_is_always_busy_still_meets_its_limit() {
    block_on(async {
        let (near, far) = pair().await;
        let busy = async {
            loop {
                near.write_all(b"x").await.unwrap();
                far.read_exact(&mut [0]).await.unwrap();
            }
        };
        assert!(timeout(5 * MS, busy).await.is_err());
    });
}

/// Ticks as times since the start, after the first tick was followed by 25 ms of something else.
async fn ticks_after_25_ms(behavior: MissedTickBehavior) -> Vec<(u128, u128)> {
    let start = time::now();
    let mut interval = interval(10 * MS);
    interval.set_missed_tick_behavior(behavior);
    interval.tick().await;
    time::advance(25 * MS).await;
    let mut seen = Vec::new();
    for _ in 0..4 {
        let due = interval.tick().await;
        seen.push(((due - start).as_millis(), (time::now() - start).as_millis()));
    }
    seen
}

#[test]
fn a_tick_that_is_due_at_once_does_not_wait_for_a_turn() {
    let at_once = async || {
        let mut fresh = interval(3600 * 1000 * MS);
        assert!(poll!(pin!(fresh.tick())).is_ready(), "the first");
        assert!(poll!(pin!(fresh.tick())).is_pending(), "the second");
        fresh.reset_immediately();
        fresh.tick().await;
        fresh.reset_immediately();
        assert!(poll!(pin!(fresh.tick())).is_ready(), "after it was reset");
        let mut late = interval_at(time::now(), MS);
        assert!(poll!(pin!(late.tick())).is_ready(), "due when it was made");
        assert_eq!(stats().timers, 0);
    };
    block_on(at_once());
    block_on_paused(at_once());
}

#[test]
fn an_interval_makes_up_for_missed_ticks_as_it_was_told() {
    block_on_paused(async {
        let burst = ticks_after_25_ms(MissedTickBehavior::Burst).await;
        assert_eq!(burst, [(10, 25), (20, 25), (30, 30), (40, 40)]);
        let delay = ticks_after_25_ms(MissedTickBehavior::Delay).await;
        assert_eq!(delay, [(10, 25), (35, 35), (45, 45), (55, 55)]);
        let skip = ticks_after_25_ms(MissedTickBehavior::Skip).await;
        assert_eq!(skip, [(10, 25), (30, 30), (40, 40), (50, 50)]);
    });
}

// contract 40
#[test]
fn a_tick_that_was_given_up_is_not_lost() {
    block_on_paused(async {
        let start = time::now();
        let mut interval = interval_at(start + 10 * MS, 10 * MS);
        for _ in 0..9 {
            assert!(timeout(MS, interval.tick()).await.is_err());
        }
        assert_eq!(interval.tick().await, start + 10 * MS);
        yield_now().await;
        interval.reset();
        assert_eq!(interval.tick().await, start + 20 * MS);
        interval.reset_after(3 * MS);
        assert_eq!(interval.tick().await, start + 23 * MS);
        interval.reset_immediately();
        assert_eq!(interval.tick().await, start + 23 * MS);
    });
}

// contract 42; fault 71
#[test]
fn all_that_is_due_at_the_start_of_a_turn_fires_in_it() {
    let mut event_loop = support::paused::<u32>();
    let handle = event_loop.handle();
    for _ in 0..1_000 {
        handle.spawn(async move {
            sleep(MS).await;
            handle.with(|fired| *fired += 1);
        });
    }
    let mut fired = 0;
    event_loop.turn(&mut fired, Duration::ZERO).unwrap();
    event_loop.turn(&mut fired, MS).unwrap();
    assert_eq!(fired, 1_000);
    support::closes_clean(event_loop);
}

#[test]
fn a_sleep_has_elapsed_as_of_the_turn_s_time() {
    block_on_paused(async {
        let sleep = sleep(MS);
        let mut advance = pin!(time::advance(MS));
        assert!(poll!(&mut advance).is_pending() && !sleep.is_elapsed());
        advance.await;
        assert!(sleep.is_elapsed());
    });
}

#[test]
fn a_period_that_is_late_by_just_one_more_fires_at_once_only_to_catch_up() {
    use MissedTickBehavior::{Burst, Delay, Skip};
    for (missed, next) in [(Burst, MS), (Delay, 2 * MS), (Skip, 2 * MS)] {
        block_on_paused(async {
            let start = time::now();
            let mut ticks = interval_at(start, MS);
            ticks.set_missed_tick_behavior(missed);
            time::advance(MS).await;
            assert_eq!(ticks.tick().await, start);
            assert_eq!(ticks.tick().await, start + next, "{missed:?}");
        });
    }
}
