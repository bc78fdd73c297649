//! Lanes of the run queue, without items.

use super::super::{MAIL, RunQueue};

type Queue = RunQueue<()>;

fn take(queue: &Queue, lane: u8) -> u32 {
    let (slot, _) = queue.allocate().unwrap();
    queue.put_in_lane(slot, lane);
    slot
}

#[test]
fn items_that_end_before_they_run_use_no_slots_up() {
    let queue = Queue::new(5);
    let lanes = [0, queue.add_lane(10, 10).unwrap(), queue.add_lane(10, 10).unwrap()];
    for turn in 0..10_000 {
        queue.begin_turn();
        let slot = take(&queue, lanes[turn % 3]);
        match turn % 4 {
            0 => queue.wake_any(slot),
            1 => queue.defer(slot),
            2 => queue.next_turn(slot),
            _ => queue.enqueue(slot),
        }
        queue.free(slot);
        assert!(queue.pop_fair().is_none() && queue.due() == 0);
    }
    assert!(queue.used() < MAIL + 6, "{} slots for one item at a time", queue.used());
}

#[test]
fn a_slot_used_again_is_in_the_lane_of_its_new_item() {
    let queue = Queue::new(5);
    let lane = queue.add_lane(10, 10).unwrap();
    let first = take(&queue, lane);
    queue.wake_any(first);
    assert_eq!(queue.pop_fair().map(|entry| (entry.slot, entry.lane())), Some((first, 1)));
    queue.free(first);
    let second = take(&queue, 0);
    assert_eq!(first, second);
    queue.wake_any(second);
    assert_eq!(queue.pop_fair().map(|entry| (entry.slot, entry.lane())), Some((second, 0)));
}

#[test]
fn a_lane_in_debt_waits_for_the_others_to_use_as_much_and_no_longer() {
    let queue = Queue::new(5);
    let lane = queue.add_lane(10, 10).unwrap();
    let slots = [take(&queue, 0), take(&queue, lane)];
    slots.iter().for_each(|&slot| queue.wake_any(slot));
    let mut used = [0_u64; 2];
    for _ in 0..10_000 {
        let entry = queue.pop_fair().unwrap();
        let lane = entry.lane();
        // One item is a thousand times as long as the other, and as a share.
        let time = [10_000, 10][lane];
        used[lane] += time;
        queue.wake_any(entry.slot);
        queue.charge(lane, time);
    }
    assert!(used[0].abs_diff(used[1]) <= 10_020, "{used:?}");
}
