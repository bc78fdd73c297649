//! Timers by the boot clock, which goes on while the machine is suspended; and slack.
#![cfg(any(target_os = "linux", target_os = "android"))]

mod support;

use std::time::{Duration, Instant};

use loopline::Handle;
use loopline::callback::{self, Next};
use loopline::time::{self, MissedTickBehavior, Timer, timeout};
use support::{block_on, block_on_paused, closes_clean, paused};

const HOUR: Duration = Duration::from_secs(3600);

/// Whether the timer fires without any time passing.
async fn fires(timer: &mut Timer) -> bool {
    let _hold = time::hold();
    timeout(Duration::ZERO, timer.next()).await.is_ok()
}

// contract 46; fault 38
#[test]
fn time_suspended_counts_for_a_timer_of_the_boot_clock_and_for_no_other() {
    block_on_paused(async {
        let start = time::now();
        let (mut boot, mut plain) = (Timer::after(HOUR).boot_clock(), Timer::after(HOUR));
        let mut sleep = Box::pin(time::sleep(HOUR));
        assert!(!fires(&mut boot).await && !fires(&mut plain).await);
        assert!(timeout(Duration::ZERO, &mut sleep).await.is_err());
        time::suspend(HOUR / 2);
        assert!(!fires(&mut boot).await, "half of it is left");
        assert_eq!(boot.next().await.unwrap().late(), Duration::ZERO);
        assert_eq!(time::now() - start, HOUR / 2);
        assert!(!fires(&mut plain).await);
        plain.next().await;
        sleep.await;
        assert_eq!(time::now() - start, HOUR);
    });
}

// contract 46; fault 38
#[test]
fn a_suspension_wakes_the_callback_whose_deadline_it_passed_and_says_how_late_it_is() {
    let mut event_loop = paused::<Vec<Duration>>();
    let handle = event_loop.handle();
    let timer = Timer::after(HOUR).boot_clock();
    let insert = handle.insert(timer, |tick, _, late: &mut Vec<Duration>| {
        late.push(tick.late());
        Next::Keep
    });
    drop(insert.unwrap());
    let mut late = Vec::new();
    let slept = event_loop.run_until(&mut late, async {
        let start = time::now();
        let _hold = time::hold();
        // Armed in the next turn.
        time::advance(Duration::ZERO).await;
        time::suspend(3 * HOUR);
        time::advance(Duration::ZERO).await;
        time::now() - start
    });
    assert_eq!(slept.unwrap(), Duration::ZERO);
    assert_eq!(late, [2 * HOUR]);
    closes_clean(event_loop);
}

// contract 46; fault 38
#[test]
fn a_period_of_the_boot_clock_makes_up_for_what_it_slept_through_as_it_was_told() {
    for (behavior, wanted) in [
        (MissedTickBehavior::Burst, vec![3, 2, 1, 0]),
        (MissedTickBehavior::Delay, vec![3]),
        (MissedTickBehavior::Skip, vec![3]),
    ] {
        block_on_paused(async move {
            let timer = Timer::every(HOUR).boot_clock();
            let mut timer = timer.missed_tick_behavior(behavior);
            assert!(!fires(&mut timer).await);
            time::suspend(4 * HOUR);
            let start = time::now();
            let mut late = Vec::new();
            let hold = time::hold();
            while let Ok(tick) = timeout(Duration::ZERO, timer.next()).await {
                late.push(tick.unwrap().late().as_secs() / 3600);
            }
            drop(hold);
            assert_eq!(late, wanted, "{behavior:?}");
            let next = timer.next().await.unwrap();
            assert_eq!(next.late(), Duration::ZERO);
            assert_eq!(time::now() - start, HOUR, "{behavior:?}");
        });
    }
}

// contract 46
#[test]
fn a_period_of_the_boot_clock_that_is_behind_says_when_its_next_tick_was_due() {
    block_on_paused(async {
        let second = Duration::from_secs(1);
        let mut timer = Timer::every(second).boot_clock();
        assert!(!fires(&mut timer).await);
        let start = time::now();
        time::advance(second * 3).await;
        assert_eq!(timer.next().await.unwrap().deadline, start + second);
        assert_eq!(timer.deadline(), Some(start + second * 2));
    });
}

// contract 42, 46
#[test]
fn while_nothing_is_suspended_both_clocks_keep_the_same_time() {
    block_on(async {
        let start = Instant::now();
        let wait = Duration::from_millis(3);
        let mut timer = Timer::every(wait).boot_clock();
        for periods in 1..4 {
            let tick = timer.next().await.unwrap();
            assert!(start.elapsed() >= wait * periods);
            assert!(tick.deadline <= tick.now);
        }
        // Set anew, by an instant; and never.
        let mut once = Timer::at(Instant::now() + wait).boot_clock();
        once.next().await;
        assert!(once.next().await.is_none());
        once.set_after(Duration::ZERO);
        assert!(once.next().await.is_some());
        once.set_after(Duration::MAX);
        assert!(timeout(wait, once.next()).await.is_err());
    });
}

// contract 46
#[test]
fn a_clock_paused_or_resumed_while_a_timer_of_the_boot_clock_waits_loses_no_time_and_invents_none()
{
    block_on(async {
        let wait = Duration::from_millis(4);
        let mut timer = Timer::every(wait).boot_clock();
        timer.next().await.unwrap();
        time::pause();
        let start = time::now();
        // Set by the system's clock, and due by the paused one.
        assert_eq!(timer.next().await.unwrap().late(), Duration::ZERO);
        assert!(time::now() - start <= wait);
        assert_eq!(timer.next().await.unwrap().late(), Duration::ZERO);
        time::suspend(HOUR);
        time::resume();
        // And the other way: an hour that was only played is no missed period any more.
        let tick = timer.next().await.unwrap();
        assert!(tick.late() < HOUR / 2, "{:?}", tick.late());
    });
}

// contract 42
#[test]
fn timers_with_slack_fire_together_late_by_no_more_than_it_and_never_early() {
    block_on_paused(async {
        let start = time::now();
        let slack = Duration::from_millis(100);
        let mut instants = Vec::new();
        for n in 0..50u32 {
            let due = Duration::from_millis(1000) + Duration::from_micros(1017) * n;
            let mut timer = Timer::at(start + due).slack(slack);
            let join = loopline::spawn(async move {
                let tick = timer.next().await.unwrap();
                assert_eq!(tick.deadline, start + due);
                assert!(tick.late() <= slack);
                tick.now
            });
            instants.push(join);
        }
        let mut seen = std::collections::BTreeSet::new();
        for join in instants {
            seen.insert(join.await.unwrap());
        }
        assert!(seen.len() <= 2, "{} wake-ups for 50 timers", seen.len());
    });
}

#[test]
fn slack_does_not_add_up_over_periods() {
    block_on_paused(async {
        let start = time::now();
        let slack = Duration::from_millis(30);
        let timer = Timer::every(Duration::from_millis(40)).slack(slack);
        let mut timer = timer.missed_tick_behavior(MissedTickBehavior::Delay);
        for n in 1..200 {
            let tick = timer.next().await.unwrap();
            assert_eq!(tick.deadline, start + Duration::from_millis(40) * n);
            assert!(tick.late() <= slack);
        }
    });
}

// contract 16
#[test]
fn a_timer_is_set_from_outside_by_its_control() {
    let mut event_loop = paused::<Vec<u64>>();
    let handle = event_loop.handle();
    let (timer, control) = callback::controlled(Timer::after(HOUR));
    let start = event_loop.run_until(&mut Vec::new(), async { time::now() }).unwrap();
    let insert = handle.insert(timer, move |tick, timer, seconds: &mut Vec<u64>| {
        seconds.push((tick.now - start).as_secs());
        if seconds.len() == 1 {
            timer.with(|timer| timer.set_after(Duration::from_secs(5)));
        }
        Next::Keep
    });
    let join = insert.unwrap();
    let again = control.clone();
    handle.spawn(async move {
        time::sleep(Duration::from_secs(10)).await;
        again.with(|timer| timer.set_after(Duration::from_secs(10))).unwrap();
    });
    let mut seconds = Vec::new();
    event_loop.run(&mut seconds).unwrap();
    assert_eq!(seconds, [20, 25]);
    drop(event_loop.run_until(&mut seconds, join).unwrap().unwrap().into_inner());
    assert!(control.with(|_| ()).is_none(), "the source is gone, the control says so");
    closes_clean(event_loop);
}

#[test]
fn a_timer_of_the_boot_clock_that_its_callback_sets_to_what_is_due_fires_once_a_turn() {
    let mut event_loop = paused::<u32>();
    let handle = event_loop.handle();
    let past = handle.now() - HOUR;
    let sets: [fn(&mut Timer, Instant); 2] =
        [|timer, past| timer.set_at(past), |timer, _| timer.set_after(Duration::ZERO)];
    for set in sets {
        let timer =
            handle.insert(Timer::at(past).boot_clock(), move |_, timer, fired: &mut u32| {
                *fired += 1;
                set(timer, past);
                Next::Keep
            });
        let timer = timer.unwrap().control();
        let mut fired = 0;
        for _ in 0..5 {
            let before = fired;
            event_loop.turn(&mut fired, Some(Duration::ZERO)).unwrap();
            assert!(fired <= before + 1, "{} times in a turn", fired - before);
        }
        assert!(fired > 2 && timer.cancel());
    }
    closes_clean(event_loop);
}

#[test]
fn a_timer_that_waits_already_goes_by_the_boot_clock_from_when_it_is_told_to() {
    block_on_paused(async {
        let mut timer = Timer::every(HOUR);
        assert!(!fires(&mut timer).await);
        let mut timer = timer.boot_clock();
        assert!(!fires(&mut timer).await);
        let _hold = time::hold();
        for _ in 0..3 {
            time::suspend(HOUR);
            assert!(fires(&mut timer).await);
        }
    });
    // And where nothing is paused.
    block_on(async {
        let mut timer = Timer::every(Duration::from_millis(1));
        // It waits, unless the machine is so slow that it is due already.
        let _ = timeout(Duration::ZERO, timer.next()).await;
        let mut timer = timer.boot_clock();
        for _ in 0..3 {
            assert!(timeout(HOUR / 60, timer.next()).await.is_ok(), "it never fires again");
        }
    });
}

#[test]
fn a_start_in_the_past_counts_by_the_boot_clock_as_it_does_by_the_other() {
    use MissedTickBehavior::{Burst, Delay, Skip};
    block_on_paused(async {
        for behavior in [Burst, Delay, Skip] {
            let start = time::now() - HOUR * 7 / 2;
            let timer = || Timer::every_from(start, HOUR).missed_tick_behavior(behavior);
            let (mut plain, mut boot) = (timer(), timer().boot_clock());
            for _ in 0..6 {
                assert_eq!(boot.next().await, plain.next().await, "{behavior:?}");
            }
        }
    });
}

// contract 45, 46
#[test]
fn a_timer_that_a_suspension_made_fire_leaves_no_alarm_behind() {
    block_on_paused(async {
        let handle = Handle::<()>::try_current().unwrap();
        let mut lease = Timer::after(HOUR).boot_clock();
        assert!(!fires(&mut lease).await);
        assert_eq!(handle.stats().timers, 1);
        time::suspend(2 * HOUR);
        assert_eq!(lease.next().await.unwrap().late(), HOUR);
        assert_eq!(handle.stats().timers, 0);
        assert!(lease.next().await.is_none());
    });
}

#[test]
fn a_timer_that_is_never_due_has_no_use_for_a_descriptor() {
    block_on(async {
        let handle = Handle::<()>::try_current().unwrap();
        let mut never = Timer::after(Duration::MAX).boot_clock();
        assert!(timeout(Duration::ZERO, never.next()).await.is_err());
        assert_eq!(handle.stats().registrations, 0);
        let mut lease = Timer::after(HOUR).boot_clock();
        assert!(timeout(Duration::ZERO, lease.next()).await.is_err());
        assert_eq!(handle.stats().registrations, 1);
    });
}
