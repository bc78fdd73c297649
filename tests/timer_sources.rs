//! `Timer`: a timer with a callback, which changes it by the reference it gets.

mod support;

use std::time::{Duration, Instant};

use loopline::callback::Next;
use loopline::time::{self, MissedTickBehavior, Timer, interval_at, sleep};
use loopline::{Control, Handle};
use support::{TestLoop, block_on_paused, closes_clean, event_loop, paused};

const MS: Duration = Duration::from_millis(1);

/// What fired, and when: in milliseconds of the paused clock.
type Log = Vec<(&'static str, u128)>;

/// Makes a loop, and its start as its own clock shows it.
fn start() -> (TestLoop<Log>, Handle<Log>, Instant) {
    let mut event_loop = paused::<Log>();
    let handle = event_loop.handle();
    let start = event_loop.run_until(&mut Log::new(), async { time::now() }).unwrap();
    (event_loop, handle, start)
}

fn run(mut event_loop: TestLoop<Log>) -> Log {
    let mut log = Log::new();
    event_loop.run(&mut log).unwrap();
    closes_clean(event_loop);
    log
}

fn at(start: Instant) -> u128 {
    (time::now() - start).as_millis()
}

// contract 42
#[test]
fn timers_of_all_kinds_fire_when_they_are_due() {
    let (event_loop, handle, start) = start();
    let insert = |name, timer: Timer, times: usize| {
        let mut left = times;
        let join = handle.insert(timer, move |tick, _, log: &mut Log| {
            assert_eq!(tick.late(), Duration::ZERO);
            log.push((name, at(start)));
            left -= 1;
            if left == 0 { Next::Stop } else { Next::Keep }
        });
        drop(join.unwrap());
    };
    insert("every", Timer::every(4 * MS), 3);
    insert("from", Timer::every_from(start + MS, 5 * MS), 2);
    insert("after", Timer::after(7 * MS), 1);
    insert("at", Timer::at(start + 2 * MS), 1);
    insert("past", Timer::at(start), 1);
    let wanted = [
        ("past", 0),
        ("from", 1),
        ("at", 2),
        ("every", 4),
        ("from", 6),
        ("after", 7),
        ("every", 8),
        ("every", 12),
    ];
    assert_eq!(run(event_loop), wanted);
}

// contract 42
#[test]
fn what_was_due_before_the_loop_was_made_keeps_its_deadline_and_its_rhythm() {
    let (event_loop, handle, start) = start();
    let before = start - 7 * MS;
    let insert = |name, timer: Timer| {
        let mut due = [before, before + 10 * MS, before + 20 * MS].into_iter();
        let join = handle.insert(timer, move |tick, _, log: &mut Log| {
            assert_eq!(Some(tick.deadline), due.next());
            log.push((name, at(start)));
            if due.len() == 0 { Next::Stop } else { Next::Keep }
        });
        drop(join.unwrap());
    };
    insert("once", Timer::at(before));
    insert("from", Timer::every_from(before, 10 * MS));
    handle.spawn(async move {
        let mut interval = interval_at(before, 10 * MS);
        for round in 0..3 {
            assert_eq!(interval.tick().await, before + round * 10 * MS);
            handle.with(|log| log.push(("interval", at(start))));
        }
    });
    let wanted = [
        ("interval", 0),
        ("once", 0),
        ("from", 0),
        ("interval", 3),
        ("from", 3),
        ("interval", 13),
        ("from", 13),
    ];
    assert_eq!(run(event_loop), wanted);
}

#[test]
fn a_timer_that_fires_once_ends_by_itself_unless_it_is_set_again() {
    let (event_loop, handle, start) = start();
    let insert = handle.insert(Timer::after(3 * MS), move |_, timer, log: &mut Log| {
        log.push(("fired", at(start)));
        match log.len() {
            1 => timer.set_after(10 * MS),
            2 => timer.set_at(start + 50 * MS),
            _ => {}
        }
        Next::Keep
    });
    drop(insert.unwrap());
    assert_eq!(run(event_loop), [("fired", 3), ("fired", 13), ("fired", 50)]);
}

#[test]
fn the_period_of_a_timer_can_change_and_end() {
    let (event_loop, handle, start) = start();
    let insert = handle.insert(Timer::every(10 * MS), move |_, timer, log: &mut Log| {
        log.push(("fired", at(start)));
        match log.len() {
            // From the next time on: that one is set already.
            2 => timer.set_period(Some(MS)),
            4 => timer.set_period(None),
            _ => {}
        }
        Next::Keep
    });
    drop(insert.unwrap());
    let times: Vec<_> = run(event_loop).into_iter().map(|(_, at)| at).collect();
    assert_eq!(times, [10, 20, 30, 31, 32]);
}

#[test]
fn a_timer_makes_up_for_missed_periods_as_it_was_told() {
    for (behavior, wanted) in [
        (MissedTickBehavior::Burst, [(10, 35), (20, 35), (30, 35), (40, 40)]),
        (MissedTickBehavior::Delay, [(10, 35), (45, 45), (55, 55), (65, 65)]),
        (MissedTickBehavior::Skip, [(10, 35), (40, 40), (50, 50), (60, 60)]),
    ] {
        let (mut event_loop, handle, start) = start();
        let timer = Timer::every(10 * MS).missed_tick_behavior(behavior);
        let mut seen = Vec::new();
        let insert = handle.insert(timer, move |tick, _, log: &mut Log| {
            assert_eq!(tick.late(), tick.now - tick.deadline);
            seen.push(((tick.deadline - start).as_millis(), at(start)));
            if seen.len() == 4 {
                assert_eq!(seen, wanted, "{behavior:?}");
                log.push(("seen", 0));
                return Next::Stop;
            }
            Next::Keep
        });
        drop(insert.unwrap());
        let mut log = Log::new();
        // Armed, and then 35 ms pass in one step.
        let missed = async {
            sleep(Duration::ZERO).await;
            time::advance(35 * MS).await;
        };
        event_loop.run_until(&mut log, missed).unwrap();
        event_loop.run(&mut log).unwrap();
        assert_eq!(log.len(), 1);
        closes_clean(event_loop);
    }
}

// contract 16, 17; fault 75
#[test]
fn a_timer_cancelled_by_another_of_the_same_instant_never_fires() {
    struct State {
        log: Vec<usize>,
        controls: Vec<Control>,
    }
    let mut event_loop = paused::<State>();
    let handle = event_loop.handle();
    let mut state = State { log: Vec::new(), controls: Vec::new() };
    for n in 0..10 {
        let join = handle.insert(Timer::after(5 * MS), move |_, _, state: &mut State| {
            state.log.push(n);
            if n == 2 {
                assert!(state.controls[5].cancel());
                assert!(!state.controls[1].cancel(), "that one has fired and ended");
            }
            Next::Stop
        });
        state.controls.push(join.unwrap().control());
    }
    event_loop.run(&mut state).unwrap();
    assert_eq!(state.log, [0, 1, 2, 3, 4, 6, 7, 8, 9]);
    closes_clean(event_loop);
}

// contract 26; fault 74
#[test]
fn a_zero_timer_set_again_in_its_callback_fires_in_the_next_turn() {
    let mut event_loop = event_loop::<u32>();
    let insert = event_loop.handle().insert(Timer::after(Duration::ZERO), |_, timer, fired| {
        *fired += 1;
        timer.set_after(Duration::ZERO);
        if *fired == 50 { Next::Stop } else { Next::Keep }
    });
    drop(insert.unwrap());
    let mut fired = 0;
    while event_loop.handle().stats().items > 0 {
        let before = fired;
        event_loop.turn(&mut fired, 10 * MS).unwrap();
        assert!(fired - before <= 1, "{} times in one turn", fired - before);
    }
    assert_eq!(fired, 50);
    closes_clean(event_loop);
}

#[test]
fn a_period_that_is_over_was_missed_however_short_it_is() {
    for (behavior, wanted) in [
        (MissedTickBehavior::Burst, [(1, 4), (2, 4), (3, 4), (4, 4), (5, 5)]),
        (MissedTickBehavior::Delay, [(1, 4), (5, 5), (6, 6), (7, 7), (8, 8)]),
        (MissedTickBehavior::Skip, [(1, 4), (5, 5), (6, 6), (7, 7), (8, 8)]),
    ] {
        let (mut event_loop, _handle, start) = start();
        let ticks = async {
            let mut timer = Timer::every(MS).missed_tick_behavior(behavior);
            let mut interval = interval_at(start + MS, MS);
            interval.set_missed_tick_behavior(behavior);
            assert!(time::timeout(Duration::ZERO, timer.next()).await.is_err()); // armed
            time::advance(4 * MS).await;
            let mut seen = Vec::new();
            for _ in wanted {
                let tick = timer.next().await.unwrap();
                seen.push(((tick.deadline - start).as_millis(), at(start)));
                assert_eq!(interval.tick().await, tick.deadline, "{behavior:?}");
            }
            seen
        };
        assert_eq!(event_loop.run_until(&mut Log::new(), ticks).unwrap(), wanted, "{behavior:?}");
        closes_clean(event_loop);
    }
}

// fault 73
#[test]
#[should_panic(expected = "the period of a timer must not be zero")]
fn a_timer_of_zero_period_is_refused() {
    let _ = Timer::every(Duration::ZERO);
}

// contract 43; fault 72
#[test]
fn a_timer_that_is_never_due_can_be_set_to_one_that_is() {
    let (event_loop, handle, start) = start();
    for never in [Timer::after(Duration::MAX), Timer::every(Duration::MAX)] {
        let mut never = Some(never);
        let insert = handle.insert(Timer::after(MS), move |_, timer, log: &mut Log| {
            log.push(("fired", at(start)));
            match never.take() {
                Some(never) => *timer = never,
                None => return Next::Stop,
            }
            Next::Keep
        });
        let control = insert.unwrap().control();
        handle.spawn(async move {
            sleep(Duration::from_secs(86_400)).await;
            assert!(control.cancel(), "it has ended");
        });
    }
    assert_eq!(run(event_loop), [("fired", 1), ("fired", 1)]);
}

#[test]
fn a_timer_is_awaited_as_well() {
    block_on_paused(async {
        let start = time::now();
        let mut timer = Timer::after(5 * MS);
        assert_eq!(timer.next().await.unwrap().deadline, start + 5 * MS);
        assert!(timer.next().await.is_none());
        timer.set_after(MS);
        assert_eq!(timer.next().await.unwrap().deadline, start + 6 * MS);
    });
}

// contract 26
#[test]
fn a_timer_that_its_callback_sets_to_the_past_fires_once_a_turn() {
    let (mut event_loop, handle, start) = start();
    let past = start - MS;
    let timer = handle.insert(Timer::at(past), move |tick, timer, log: &mut Log| {
        log.push(("past", (tick.deadline - past).as_millis()));
        timer.set_at(past);
        Next::Keep
    });
    for _ in 0..5 {
        let mut log = Log::new();
        event_loop.turn(&mut log, Duration::ZERO).unwrap();
        assert_eq!(log, [("past", 0)]);
    }
    drop(timer.unwrap().cancel());
    closes_clean(event_loop);
}

#[test]
fn what_is_said_of_a_timer_after_its_first_poll_leaves_its_deadline() {
    let mut event_loop = paused::<()>();
    let ticks = async {
        let start = time::now();
        let mut timer = Timer::every(10 * MS);
        assert!(time::timeout(MS, timer.next()).await.is_err());
        let mut timer = timer.slack(MS).missed_tick_behavior(MissedTickBehavior::Skip);
        assert_eq!(timer.deadline(), Some(start + 10 * MS));
        let mut ticks = Vec::new();
        for _ in 0..2 {
            ticks.push(timer.next().await.unwrap().deadline - start);
        }
        ticks
    };
    assert_eq!(event_loop.run_until(&mut (), ticks).unwrap(), [10 * MS, 20 * MS]);
    closes_clean(event_loop);
}

// contract 24, 42
#[test]
fn a_timer_that_is_set_after_a_long_stretch_counts_from_then() {
    support::block_on(async {
        std::thread::sleep(20 * MS); // a stretch without a look at the clock
        let began = Instant::now();
        let mut timer = Timer::after(5 * MS);
        timer.next().await.unwrap();
        assert!(began.elapsed() >= 5 * MS);
        std::thread::sleep(20 * MS);
        let began = Instant::now();
        timer.set_after(5 * MS);
        timer.next().await.unwrap();
        assert!(began.elapsed() >= 5 * MS);
    });
}

// contract 43; fault 72
#[test]
fn a_timer_tells_when_it_is_due_if_it_ever_is() {
    block_on_paused(async {
        let hour = Duration::from_secs(3600);
        let at = time::now() + hour;
        let mut timer = Timer::at(at);
        assert_eq!(timer.deadline(), Some(at));
        let mut never = Timer::after(Duration::MAX);
        // It counts from the first poll.
        assert_eq!(never.deadline(), None);
        for timer in [&mut timer, &mut never] {
            let _hold = time::hold();
            assert!(time::timeout(Duration::ZERO, timer.next()).await.is_err());
        }
        assert_eq!((timer.deadline(), never.deadline()), (Some(at), None));
        never.set_after(hour);
        never.next().await;
        assert_eq!(time::now(), at);
    });
}

// contract 43; fault 73
#[test]
fn slack_counts_also_for_what_was_due_before_the_loop_began() {
    block_on_paused(async {
        let Some(long_ago) = Instant::now().checked_sub(Duration::from_secs(1 << 40)) else {
            return; // this system has no such instant
        };
        let start = time::now();
        Timer::at(long_ago).slack(MS).next().await;
        assert_eq!(time::now(), start);
    });
}
