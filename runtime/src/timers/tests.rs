//! What the timers promise. Time is stepped by hand: nothing here sleeps or reads a clock.

use std::sync::{Arc, Mutex};
use std::task::Wake;

use super::{KEPT, NEVER, SPARSE, TimerKey, Timers, Waiter};

/// One grain of the wheel.
const GRAIN: u64 = 1 << 20;

/// Writes its name to the log when it is woken.
struct Name(usize, Arc<Mutex<Vec<usize>>>);

impl Wake for Name {
    fn wake(self: Arc<Self>) {
        self.1.lock().unwrap().push(self.0);
    }
}

/// Makes those who wait and reads what they wrote.
#[derive(Default)]
struct Log(Arc<Mutex<Vec<usize>>>);

impl Log {
    /// Somebody of that name: every other one is foreign.
    fn waiter(&self, name: usize) -> Waiter {
        if name % 2 == 0 { Waiter::Item(name) } else { self.foreign(name).0 }
    }

    fn foreign(&self, name: usize) -> (Waiter, Arc<Name>) {
        let name = Arc::new(Name(name, self.0.clone()));
        (Waiter::Foreign(name.clone().into()), name)
    }

    fn wake(&self, waiter: Waiter) {
        match waiter {
            Waiter::Item(name) => self.0.lock().unwrap().push(name),
            Waiter::Foreign(waker) => waker.wake(),
        }
    }

    fn take(&self) -> Vec<usize> {
        core::mem::take(&mut self.0.lock().unwrap())
    }

    /// Runs a turn at `now` and returns who was woken.
    fn turn(&self, timers: &mut Timers, now: u64) -> Vec<usize> {
        let mark = timers.mark();
        while let Some(waiter) = timers.pop_due(now, mark) {
            self.wake(waiter);
        }
        self.take()
    }
}

fn nobody() -> Waiter {
    Waiter::Item(0)
}

/// As the owner does.
fn cancel(timers: &mut Timers, key: TimerKey) {
    if !timers.leave(key) {
        drop(timers.remove(key));
    }
}

/// All instants at which the wheel does something, one nanosecond before and after included.
fn borders() -> impl Iterator<Item = u64> {
    (0..8)
        .flat_map(|level| [1, 2, 3, 63, 64, 65].map(|slot: u64| slot.checked_shl(20 + 6 * level)))
        .flatten()
        .flat_map(|border| [border.wrapping_sub(1), border, border.wrapping_add(1)])
        .filter(|&instant| instant > 1 && instant < NEVER)
}

// contract 42
#[test]
fn equal_deadlines_fire_in_insertion_order() {
    for deadline in [0, 5, GRAIN, 1 << 30, 1 << 40, 1 << 60] {
        let (log, mut timers) = (Log::default(), Timers::new());
        for name in 0..100 {
            timers.insert(deadline, log.waiter(name));
        }
        assert_eq!(log.turn(&mut timers, deadline), Vec::from_iter(0..100));
    }
}

// contract 42, 44
#[test]
fn a_timer_fires_at_its_very_nanosecond_and_not_before() {
    for deadline in borders() {
        let mut timers = Timers::new();
        timers.insert(deadline, nobody());
        let mark = timers.mark();
        assert!(timers.pop_due(deadline - 1, mark).is_none(), "{deadline} is early");
        assert!(!timers.is_due(deadline - 1) && timers.is_due(deadline));
        assert!(timers.pop_due(deadline, mark).is_some(), "{deadline} is late");
    }
}

#[test]
fn a_timer_is_exact_from_wherever_the_wheel_stands() {
    for start in borders() {
        for deadline in borders().filter(|&deadline| deadline > start) {
            let mut timers = Timers::new();
            timers.advance_to(start);
            timers.insert(deadline, nobody());
            let mark = timers.mark();
            assert!(timers.pop_due(deadline - 1, mark).is_none(), "{start}: {deadline} is early");
            assert_eq!(timers.next_deadline(), Some(deadline), "from {start}");
            assert!(timers.pop_due(deadline, mark).is_some(), "{start}: {deadline} is late");
        }
    }
}

// contract 42
#[test]
fn a_turn_fires_only_timers_set_before_its_mark() {
    let (log, mut timers) = (Log::default(), Timers::new());
    timers.insert(10, log.waiter(0));
    let reset = timers.insert(10, log.waiter(1));
    let mark = timers.mark();
    timers.insert(10, log.waiter(2));
    timers.reset(reset, 9);
    let turn = |timers: &mut Timers, mark| {
        while let Some(waiter) = timers.pop_due(10, mark) {
            log.wake(waiter);
        }
        log.take()
    };
    assert_eq!(turn(&mut timers, mark), [0]);
    assert!(timers.is_due(10));
    assert_eq!(timers.next_deadline(), Some(9));
    assert_eq!(turn(&mut timers, mark), []);
    let mark = timers.mark();
    assert_eq!(turn(&mut timers, mark), [1, 2]);
}

#[test]
fn a_past_deadline_set_again_in_every_turn_hides_no_later_one() {
    let (log, mut timers) = (Log::default(), Timers::new());
    let mut greedy = timers.insert(1, log.waiter(0));
    timers.insert(50, log.waiter(1));
    let mark = timers.mark();
    log.wake(timers.pop_due(100, mark).unwrap());
    timers.reset(greedy, 1);
    timers.set_waiter(&mut greedy, log.waiter(0));
    log.wake(timers.pop_due(100, mark).expect("the timer at 50 is due and older than the mark"));
    assert_eq!(log.take(), [0, 1]);
    assert!(timers.pop_due(100, mark).is_none());
    assert_eq!(log.turn(&mut timers, 100), [0]);
}

// fault 75
#[test]
fn a_timer_cancelled_or_reset_by_one_of_its_own_instant_does_not_fire_then() {
    let (log, mut timers) = (Log::default(), Timers::new());
    let keys = Vec::from_iter((0..6).map(|name| timers.insert(GRAIN * 3, log.waiter(name))));
    let mark = timers.mark();
    log.wake(timers.pop_due(GRAIN * 3, mark).unwrap());
    timers.remove(keys[1]);
    timers.reset(keys[3], GRAIN * 3);
    timers.reset(keys[4], GRAIN * 9);
    while let Some(waiter) = timers.pop_due(GRAIN * 3, mark) {
        log.wake(waiter);
    }
    assert_eq!(log.take(), [0, 2, 5]);
    timers.remove(keys[3]); // set aside for the next turn: cancelled there too
    assert_eq!(log.turn(&mut timers, GRAIN * 3), []);
    assert_eq!(log.turn(&mut timers, GRAIN * 9), [4]);
}

// fault 71
#[test]
fn a_million_timers_at_one_instant_fire_in_order_and_leave_no_memory() {
    let mut timers = Timers::new();
    let keys = Vec::from_iter((0..1_000_000).map(|_| timers.insert(1 << 40, nobody())));
    let mark = timers.mark();
    for &key in &keys {
        assert!(!timers.is_fired(key));
        assert!(timers.pop_due(1 << 40, mark).is_some());
        assert!(timers.is_fired(key));
    }
    assert!(timers.pop_due(1 << 40, mark).is_none());
    assert!(timers.heap.capacity() <= KEPT, "an empty heap keeps no burst's memory");
    for key in keys {
        assert!(timers.remove(key).is_none());
    }
    assert!(timers.nodes.capacity() <= KEPT && timers.wheel.capacity() == (0, 0));
}

// contract 43, fault 72
#[test]
fn the_end_of_time_never_comes_and_wakes_nobody() {
    let mut timers = Timers::new();
    let waiting = timers.insert(NEVER, nobody());
    let later = timers.insert(5, nobody());
    timers.reset(later, NEVER);
    assert_eq!(timers.next_deadline(), None);
    let mark = timers.mark();
    assert!(timers.pop_due(NEVER, mark).is_none());
    assert!(!timers.is_due(NEVER) && !timers.is_fired(waiting));
    timers.reset(later, NEVER - 1);
    assert_eq!(timers.next_deadline(), Some(NEVER - 1));
    assert!(timers.is_due(NEVER));
    timers.remove(waiting);
    timers.remove(later);
    assert_eq!(timers.len(), 0);
}

// contract 43
#[test]
fn insertion_order_outlives_32_bits() {
    let (log, mut timers) = (Log::default(), Timers::new());
    timers.seq = u64::from(u32::MAX) - 1;
    for name in 0..5 {
        timers.insert(7, log.waiter(name));
    }
    assert_eq!(log.turn(&mut timers, 7), [0, 1, 2, 3, 4]);
}

// contract 45
#[test]
fn a_cancelled_timer_leaves_its_memory_and_its_waker_at_once() {
    let log = Log::default();
    for deadline in [0, 1 << 30, 1 << 50, NEVER] {
        let mut timers = Timers::new();
        let (waiter, name) = log.foreign(0);
        let first = timers.insert(deadline, waiter);
        drop(timers.remove(first));
        assert_eq!(Arc::strong_count(&name), 1, "the waker is gone");
        assert_eq!(timers.len(), 0);
        assert_eq!(timers.insert(7, nobody()).node(), first.node(), "the next has the memory");
        assert_eq!(timers.len(), 1);
    }
}

// contract 17, 45
#[test]
fn a_timer_that_is_leaving_neither_counts_nor_fires_nor_sets_a_deadline() {
    for (distance, others) in [(0, 3), (GRAIN, 3), (1 << 40, 3), (1 << 40, 100), (NEVER, 3)] {
        let (log, mut timers) = (Log::default(), Timers::new());
        let keys = Vec::from_iter((0..others).map(|n| timers.insert(distance, log.waiter(n))));
        let stays = timers.insert(distance.saturating_add(2 * GRAIN), log.waiter(others));
        keys.into_iter().for_each(|key| cancel(&mut timers, key));
        assert_eq!(timers.len(), 1);
        assert!(!timers.is_due(distance));
        assert_eq!(log.turn(&mut timers, distance), []);
        let next = distance.checked_add(2 * GRAIN);
        assert_eq!(timers.next_deadline(), next);
        assert_eq!(
            log.turn(&mut timers, next.unwrap_or(NEVER)),
            Vec::from_iter(next.map(|_| others))
        );
        timers.remove(stays);
        assert_eq!((timers.next_deadline(), timers.len()), (None, 0));
    }
}

// contract 45
#[test]
fn few_timers_are_leaving_at_a_time_and_none_once_a_turn_began() {
    let mut timers = Timers::new();
    let keys = Vec::from_iter((0..10_000).map(|_| timers.insert(1 << 40, nobody())));
    for (nth, key) in keys.into_iter().enumerate() {
        cancel(&mut timers, key);
        assert!(timers.nodes.len() <= timers.len() + 32);
        if nth % 50 == 0 {
            timers.begin_turn(5);
            assert_eq!(timers.nodes.len(), timers.len());
        }
    }
}

// contract 45
#[test]
fn the_last_of_a_burst_to_be_cancelled_takes_its_memory_along() {
    for others in [0, 1, 31, 32, 33, 1_000] {
        let mut timers = Timers::new();
        let stay = Vec::from_iter((0..others).map(|_| timers.insert(1 << 41, nobody())));
        let keys = Vec::from_iter((0..10_000).map(|_| timers.insert(1 << 40, nobody())));
        keys.into_iter().chain(stay).for_each(|key| cancel(&mut timers, key));
        assert_eq!((timers.nodes.len(), timers.nodes.capacity()), (0, 0));
        assert_eq!(timers.wheel.capacity(), (0, 0));
    }
}

// contract 45, fault 76
#[test]
fn a_million_timers_cancelled_one_by_one_use_no_memory() {
    for (distance, alive) in [(0, 1), (GRAIN, 1), (30_000_000_000, 1), (30_000_000_000, 100)] {
        let mut timers = Timers::new();
        let mut keys = std::collections::VecDeque::new();
        for now in (0..1_000_000).map(|nth| nth * 5_000) {
            keys.push_back(timers.insert(now + distance, nobody()));
            if keys.len() > alive {
                cancel(&mut timers, keys.pop_front().unwrap());
            }
            if now % 64_000 == 0 {
                timers.next_deadline();
                timers.advance_to(now);
            }
        }
        assert!(timers.nodes.capacity() <= 256 && timers.heap.capacity() <= 128);
        assert!(
            timers.wheel.capacity().1 <= 1_024,
            "a cancelled timer's entry serves the next one"
        );
    }
}

#[test]
fn a_fired_timer_stays_without_its_waker_until_it_is_reset_or_removed() {
    let (log, mut timers) = (Log::default(), Timers::new());
    let (waiter, name) = log.foreign(3);
    let mut key = timers.insert(10, waiter);
    assert_eq!(log.turn(&mut timers, 10), [3]);
    assert_eq!(Arc::strong_count(&name), 1);
    assert!(timers.is_fired(key) && timers.len() == 1);
    assert_eq!(timers.next_deadline(), None);
    timers.reset(key, 20);
    assert!(!timers.is_fired(key));
    timers.set_waiter(&mut key, log.waiter(4));
    assert_eq!(log.turn(&mut timers, 19), []);
    assert_eq!(log.turn(&mut timers, 20), [4]);
    assert!(timers.remove(key).is_none() && timers.len() == 0);
}

#[test]
fn a_due_timer_without_a_waker_is_marked_and_passed_over() {
    let (log, mut timers) = (Log::default(), Timers::new());
    let key = timers.insert(1, log.waiter(0));
    log.turn(&mut timers, 1);
    timers.reset(key, 2);
    timers.insert(3, log.waiter(1));
    assert_eq!(log.turn(&mut timers, 3), [1]);
    assert!(timers.is_fired(key));
}

#[test]
fn set_waiter_hands_back_the_foreign_waker_that_it_replaces() {
    let (log, mut timers) = (Log::default(), Timers::new());
    let (waiter, name) = log.foreign(1);
    let mut key = timers.insert(10, nobody());
    assert!(timers.set_waiter(&mut key, waiter).is_none());
    let (other, _) = log.foreign(2);
    drop(timers.set_waiter(&mut key, other));
    assert_eq!(Arc::strong_count(&name), 1);
    assert!(timers.set_waiter(&mut key, Waiter::Item(4)).is_some());
    assert!(timers.set_waiter(&mut key, Waiter::Item(6)).is_none());
    assert_eq!(log.turn(&mut timers, 10), [6]);
}

#[test]
fn a_lone_timer_costs_one_wakeup_however_far_it_is() {
    for deadline in borders() {
        let mut timers = Timers::new();
        timers.insert(deadline, nobody());
        assert_eq!(timers.next_deadline(), Some(deadline));
    }
}

#[test]
fn a_crowded_bucket_stays_in_the_wheel_until_its_time() {
    let mut timers = Timers::new();
    let deadline = (5 << 26) + 17; // level 1, slot 5
    for _ in 0..=SPARSE {
        timers.insert(deadline, nobody());
    }
    assert_eq!(timers.next_deadline(), Some(5 << 26));
    assert!(timers.heap.first().is_none());
    let mark = timers.mark();
    assert!(timers.pop_due(5 << 26, mark).is_none());
    assert_eq!(timers.next_deadline(), Some(deadline));
}

// contract 42, 45
#[test]
fn a_bucket_whose_holes_are_filled_out_of_order_fires_in_order() {
    for width in [20, 26, 32] {
        let (log, mut timers) = (Log::default(), Timers::new());
        let deadline = (5 << width) + 17;
        let mut keys = Vec::from_iter((0..100).map(|n| timers.insert(deadline, log.waiter(n))));
        let capacity = timers.wheel.capacity();
        let mut expected = Vec::from_iter(0..100);
        for (nth, name) in (100..1_000).enumerate() {
            let gone = nth * 37 % keys.len();
            timers.remove(keys.swap_remove(gone));
            timers.remove(keys.swap_remove(gone / 2));
            expected.swap_remove(gone);
            expected.swap_remove(gone / 2);
            for name in [2 * name, 2 * name + 1] {
                keys.push(timers.insert(deadline, log.waiter(name)));
                expected.push(name);
            }
        }
        assert_eq!(timers.wheel.capacity(), capacity, "holes are filled");
        expected.sort_unstable();
        assert_eq!(log.turn(&mut timers, deadline - 1), []);
        assert_eq!(log.turn(&mut timers, deadline), expected);
    }
}

#[test]
fn an_empty_bucket_keeps_no_bursts_memory() {
    let mut timers = Timers::new();
    let last = timers.insert(1 << 50, nobody());
    for fires in [false, true] {
        let keys = Vec::from_iter((0..10_000).map(|_| timers.insert(1 << 40, nobody())));
        assert!(timers.wheel.capacity().1 >= 10_000);
        if fires {
            timers.advance_to(1 << 40);
        }
        for key in keys {
            timers.remove(key);
        }
        assert!(timers.wheel.capacity().1 <= 128);
    }
    timers.remove(last);
}

#[test]
fn a_later_reset_moves_nothing_and_is_still_exact() {
    let (log, mut timers) = (Log::default(), Timers::new());
    let key = timers.insert(1_000, log.waiter(0));
    timers.insert(70_000_000, log.waiter(1));
    timers.reset(key, 70_000_000);
    assert_eq!(timers.next_deadline(), Some(1_000), "one early wakeup is the price");
    assert_eq!(log.turn(&mut timers, 1_000), []);
    assert_eq!(timers.next_deadline(), Some(70_000_000));
    assert_eq!(log.turn(&mut timers, 69_999_999), []);
    assert_eq!(log.turn(&mut timers, 70_000_000), [1, 0]);
}

#[test]
fn time_that_goes_back_counts_as_the_latest_seen() {
    let mut timers = Timers::new();
    timers.advance_to(1 << 40);
    timers.insert((1 << 40) - 5, nobody());
    let mark = timers.mark();
    assert!(timers.is_due(3));
    assert!(timers.pop_due(3, mark).is_some());
}

#[test]
fn no_timers_cost_no_memory() {
    let mut timers = Timers::new();
    timers.advance_to(1 << 50);
    assert_eq!(timers.next_deadline(), None);
    assert!(!timers.is_due(1 << 51) && timers.pop_due(1 << 52, 0).is_none());
    assert_eq!(timers.nodes.capacity() + timers.heap.capacity(), 0);
    assert_eq!(timers.wheel.capacity(), (0, 0));
}

#[test]
#[should_panic(expected = "timer removed twice")]
fn removing_twice_is_a_bug_of_the_caller() {
    let mut timers = Timers::new();
    let key = timers.insert(NEVER, nobody());
    timers.remove(key);
    timers.remove(key);
}

mod model;
