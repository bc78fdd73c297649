//! Lanes of the run queue, without items.

use super::super::{MAIL, Place, RunQueue};

type Queue = RunQueue<()>;

fn take(queue: &Queue, lane: u8) -> u32 {
    let place = queue.allocate(|_| ()).unwrap();
    queue.put_in_lane(place, lane);
    place.slot
}

fn at(queue: &Queue, slot: u32) -> Place<'_, ()> {
    queue.place(slot).unwrap()
}

#[test]
fn items_that_end_before_they_run_use_no_slots_up() {
    let queue = Queue::new(5, 0);
    let lanes = [0, queue.add_lane(10, 10).unwrap(), queue.add_lane(10, 10).unwrap()];
    for turn in 0..10_000 {
        queue.begin_turn();
        let slot = take(&queue, lanes[turn % 3]);
        match turn % 4 {
            0 => queue.wake_any(slot),
            1 => queue.defer(at(&queue, slot)),
            2 => queue.next_turn(at(&queue, slot)),
            _ => queue.enqueue(at(&queue, slot)),
        }
        queue.free(at(&queue, slot));
        assert!(queue.pop_fair().is_none() && !queue.has_due());
    }
    assert!(queue.used() < MAIL + 6, "{} slots for one item at a time", queue.used());
}

#[test]
fn a_slot_used_again_is_in_the_lane_of_its_new_item() {
    let queue = Queue::new(5, 0);
    let lane = queue.add_lane(10, 10).unwrap();
    let first = take(&queue, lane);
    queue.wake_any(first);
    assert_eq!(
        queue.pop_fair().map(|entry| (entry.place.slot, entry.place.lane())),
        Some((first, 1))
    );
    queue.free(at(&queue, first));
    let second = take(&queue, 0);
    assert_eq!(first, second);
    queue.wake_any(second);
    assert_eq!(
        queue.pop_fair().map(|entry| (entry.place.slot, entry.place.lane())),
        Some((second, 0))
    );
}

#[test]
fn a_lane_in_debt_waits_for_the_others_to_use_as_much_and_no_longer() {
    let queue = Queue::new(5, 0);
    let lane = queue.add_lane(10, 10).unwrap();
    let slots = [take(&queue, 0), take(&queue, lane)];
    slots.iter().for_each(|&slot| queue.wake_any(slot));
    let mut used = [0_u64; 2];
    for _ in 0..10_000 {
        let entry = queue.pop_fair().unwrap();
        let lane = entry.place.lane();
        // One item is a thousand times as long as the other, and as a share.
        let time = [10_000, 10][lane];
        used[lane] += time;
        queue.wake_any(entry.place.slot);
        queue.charge(lane, time);
    }
    assert!(used[0].abs_diff(used[1]) <= 10_020, "{used:?}");
}

#[test]
fn stale_entries_of_a_lane_with_nothing_to_run_go_while_another_is_busy() {
    let queue = Queue::new(5, 0);
    let (busy, idle) = (queue.add_lane(1_000_000, 10).unwrap(), queue.add_lane(10, 10).unwrap());
    let always = take(&queue, busy);
    queue.wake_any(always);
    // Its share is not used up: no other lane is visited.
    for _ in 0..10_000 {
        queue.begin_turn();
        let slot = take(&queue, idle);
        queue.enqueue(at(&queue, slot));
        queue.free(at(&queue, slot));
        queue.drop_stale_of_idle_lanes();
        assert_eq!(queue.pop_fair().map(|entry| entry.place.slot), Some(always));
        queue.wake_any(always);
        queue.charge(usize::from(busy), 1);
    }
    assert!(queue.used() < MAIL + 6, "{} slots for two items at a time", queue.used());
}

#[test]
fn a_lane_whose_items_are_cancelled_saves_no_time_up() {
    let queue = Queue::new(5, 0);
    let (first, second) = (queue.add_lane(100, 100).unwrap(), queue.add_lane(100, 100).unwrap());
    let (other, saves) = (take(&queue, second), take(&queue, first));
    queue.wake_any(other);
    for _ in 0..1_000 {
        // Runs for a moment; what else it had to run is gone before it comes on again.
        queue.wake_any(saves);
        let gone = take(&queue, first);
        queue.enqueue(at(&queue, gone));
        while queue.pop_fair().is_some_and(|entry| {
            queue.wake_any(other);
            queue.charge(entry.place.lane(), 1);
            if entry.place.slot == saves {
                queue.free(at(&queue, gone));
            }
            entry.place.slot != saves
        }) {}
        let next = queue.pop_fair().unwrap();
        assert_eq!(next.place.slot, other);
        queue.wake_any(other);
        queue.charge(next.place.lane(), 1);
    }
    // However long that went on, now it has its share and no more before the other runs.
    let mut used = 0;
    queue.wake_any(saves);
    loop {
        let entry = queue.pop_fair().unwrap();
        queue.wake_any(entry.place.slot);
        let lane = entry.place.lane();
        queue.charge(lane, 1);
        match (entry.place.slot == saves, used) {
            (true, _) => used += 1,
            (false, 0) => {}
            (false, _) => break,
        }
    }
    assert!(used <= 100, "{used} of a share of 100");
}

#[test]
fn what_a_turn_left_of_a_lane_s_round_comes_behind_what_was_deferred_since() {
    let queue = Queue::new(5, 0);
    let lane = queue.add_lane(1_000, 10).unwrap();
    let slots = [(); 3].map(|()| take(&queue, lane));
    queue.wake_any(slots[0]);
    queue.wake_any(slots[1]);
    queue.begin_turn();
    assert_eq!(queue.pop_fair().map(|entry| entry.place.slot), Some(slots[0]));
    queue.defer(at(&queue, slots[2]));
    // The turn ends here, in the middle of the round.
    queue.begin_turn();
    let order = std::iter::from_fn(|| queue.pop_fair().map(|entry| entry.place.slot));
    assert_eq!(order.collect::<Vec<_>>(), [slots[2], slots[1]]);
}

/// Deficit round robin as the books have it: one visit after the other.
struct Plain {
    quanta: Vec<i64>,
    credits: Vec<i64>,
    current: usize,
}

impl Plain {
    fn choose(&mut self) -> usize {
        while self.credits[self.current] <= 0 {
            self.current = (self.current + 1) % self.quanta.len();
            let (quantum, credit) = (self.quanta[self.current], &mut self.credits[self.current]);
            *credit = (*credit + quantum).min(quantum);
        }
        self.current
    }
}

#[test]
fn busy_lanes_take_turns_as_if_each_visit_was_made_by_itself() {
    let mut random = 0x1a9e_5eed_u64;
    let mut below = |end: u64| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        (random >> 8) % end
    };
    for _ in 0..100 {
        let queue = Queue::new(5, 0);
        let quanta: Vec<u64> = (0..2 + below(6)).map(|_| 1 + below(20)).collect();
        for quantum in &quanta[1..] {
            queue.add_lane(*quantum, quanta[0]).unwrap();
        }
        // Round numbers, so that credits come to be just nothing.
        let longest: Vec<u64> = quanta.iter().map(|_| [1, 10, 100][below(3) as usize]).collect();
        let slots: Vec<u32> = (0..quanta.len()).map(|lane| take(&queue, lane as u8)).collect();
        slots.iter().for_each(|slot| queue.wake_any(*slot));
        let quanta: Vec<i64> = quanta.into_iter().map(|quantum| quantum as i64).collect();
        let mut plain = Plain { credits: vec![0; quanta.len()], quanta, current: 0 };
        for _ in 0..1_000 {
            let lane = plain.choose();
            let entry = queue.pop_fair().expect("all have something to run");
            assert_eq!(entry.place.slot, slots[lane]);
            let took = below(longest[lane] + 1);
            queue.wake_any(slots[lane]);
            queue.charge(lane, took);
            plain.credits[lane] -= took as i64;
        }
    }
}

#[test]
fn a_lane_that_comes_to_rest_owes_nothing_and_keeps_nothing() {
    let queue = Queue::new(5, 0);
    let lane = queue.add_lane(10, 10).unwrap();
    let (busy, rests) = (take(&queue, 0), take(&queue, lane));
    for took in [1, 1_000_000] {
        queue.wake_any(rests);
        while queue.pop_fair().expect("one is woken").place.slot != rests {
            queue.wake_any(busy);
            queue.charge(0, 10);
        }
        // It has nothing more to run.
        queue.charge(usize::from(lane), took);
        // The other uses its share, and then its turn comes again.
        queue.wake_any(busy);
        let first = queue.pop_fair().unwrap().place.slot;
        assert_eq!(first, busy, "after {took} it had some time left");
        queue.wake_any(rests);
        queue.wake_any(busy);
        queue.charge(0, 10);
        let next = queue.pop_fair().unwrap().place.slot;
        assert_eq!(next, rests, "after {took} it had a debt to pay");
        queue.wake_any(busy);
        queue.charge(usize::from(lane), 1);
    }
}
