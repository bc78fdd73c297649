//! Tests of the run queue, and random calls compared with a model that is too simple to be wrong.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::*;

type Queue = RunQueue<()>;

fn pop(queue: &Queue) -> Option<u32> {
    queue.pop().map(|entry| entry.slot)
}

fn wake(queue: &Queue, slot: u32) {
    queue.wake(slot, queue.generation(slot));
}

/// Runs one round and returns what it polled.
fn round(queue: &Queue) -> Vec<u32> {
    queue.begin_round();
    std::iter::from_fn(|| pop(queue)).collect()
}

#[test]
fn what_is_woken_during_a_round_runs_in_the_next_one() {
    let queue = Queue::new();
    let slots = [(); 3].map(|()| queue.allocate().unwrap());
    slots.iter().for_each(|&slot| wake(&queue, slot));
    assert!(queue.begin_round());
    assert_eq!(pop(&queue), Some(slots[0]));
    wake(&queue, slots[0]);
    // One of the round ends before its turn: what was woken meanwhile does not take its place.
    queue.free(slots[1]);
    assert_eq!((pop(&queue), pop(&queue)), (Some(slots[2]), None));
    assert_eq!(round(&queue), [slots[0]]);
}

#[test]
fn what_is_deferred_runs_at_the_head_of_the_next_round_in_order() {
    let queue = Queue::new();
    let slots = [(); 4].map(|()| queue.allocate().unwrap());
    wake(&queue, slots[0]);
    wake(&queue, slots[1]);
    queue.begin_round();
    assert_eq!(pop(&queue), Some(slots[0]));
    queue.defer(slots[2]);
    queue.defer(slots[3]);
    // The turn ends here, in the middle of the round.
    assert_eq!(round(&queue), [slots[2], slots[3], slots[1]]);
}

#[test]
fn what_waits_for_the_next_turn_runs_in_no_round_of_this_one() {
    // contract 17
    let queue = Queue::new();
    let slots = [(); 2].map(|()| queue.allocate().unwrap());
    queue.next_turn(slots[0]);
    wake(&queue, slots[0]);
    wake(&queue, slots[1]);
    assert_eq!(round(&queue), [slots[1]]);
    assert_eq!((round(&queue), queue.due()), (vec![], 1));
    queue.begin_turn();
    assert_eq!(round(&queue), [slots[0]]);
}

#[test]
fn a_slot_freed_while_listed_is_used_again_only_after_it_left_its_list() {
    // Listed Once
    let queue = Queue::new();
    let first = queue.allocate().unwrap();
    wake(&queue, first);
    queue.free(first);
    let second = queue.allocate().unwrap();
    assert_ne!(first, second);
    assert!(!queue.begin_round());
    assert_eq!(queue.allocate(), Some(first));
}

#[test]
fn items_that_end_before_they_run_use_no_slots_up() {
    let queue = Queue::new();
    for turn in 0..10_000 {
        queue.begin_turn();
        let slot = queue.allocate().unwrap();
        match turn % 3 {
            0 => wake(&queue, slot),
            1 => queue.defer(slot),
            _ => queue.next_turn(slot),
        }
        queue.free(slot);
        assert_eq!((round(&queue), queue.due()), (vec![], 0));
    }
    assert!(queue.used() < MAIL + 5, "{} slots for one item at a time", queue.used());
}

#[test]
fn the_root_future_of_a_later_run_may_still_be_listed_from_an_earlier_one() {
    let queue = Queue::new();
    for _ in 0..3 {
        queue.revive(ROOT);
        let generation = queue.generation(ROOT);
        queue.wake(ROOT, generation);
        assert_eq!(queue.due(), 1);
        assert_eq!(round(&queue), [ROOT]);
        queue.wake(ROOT, generation);
        queue.free(ROOT);
        queue.wake(ROOT, generation);
        assert_eq!(queue.due(), 0);
    }
}

#[test]
fn generations_wrap_and_a_listed_slot_stays_listed_once() {
    // contract 43, fault 50
    let queue = Queue::new();
    let slot = queue.allocate().unwrap();
    let last = (1 << GENERATION_BITS) - 1;
    queue.slots.get(slot).unwrap().state.set(last << SHIFT | LIVE);
    queue.wake(slot, 0);
    assert_eq!(queue.due(), 0, "a stale generation");
    queue.wake(slot, last);
    queue.free(slot);
    queue.wake(slot, last);
    queue.wake(slot, 0);
    assert_eq!((queue.generation(slot), queue.due()), (0, 0));
    assert!(!queue.begin_round());
    assert_eq!(queue.allocate(), Some(slot));
    queue.wake(slot, last);
    assert_eq!(queue.due(), 0);
    queue.wake(slot, 0);
    assert_eq!(round(&queue), [slot]);
}

/// The same, in collections.
#[derive(Default)]
struct Model {
    live: BTreeMap<u32, u32>,
    woken: BTreeSet<u32>,
    paused: BTreeSet<u32>,
    cancelled: BTreeSet<u32>,
    /// By slot, freed ones too.
    generations: BTreeMap<u32, u32>,
    /// Freed, and in no list.
    free: BTreeSet<u32>,
    round: VecDeque<u32>,
    queue: VecDeque<u32>,
    deferred: VecDeque<u32>,
    later: VecDeque<u32>,
    /// What the round has polled, by slot and generation.
    ran: BTreeSet<(u32, u32)>,
}

impl Model {
    fn listed(&self, slot: u32) -> bool {
        [&self.round, &self.queue, &self.deferred, &self.later].iter().any(|l| l.contains(&slot))
    }

    fn runs(&self, slot: u32) -> bool {
        self.live.contains_key(&slot) && self.woken.contains(&slot) && !self.paused.contains(&slot)
    }

    fn due(&self) -> usize {
        let lists = [&self.round, &self.queue, &self.deferred, &self.later];
        lists.iter().flat_map(|list| list.iter()).filter(|&&slot| self.runs(slot)).count()
    }

    fn list(&mut self, slot: u32) {
        if !self.listed(slot) {
            self.queue.push_back(slot);
        }
    }

    fn begin(&mut self, slot: u32, generation: u32) {
        assert!(!self.listed(slot) || slot == ROOT, "slot {slot} given out while listed");
        assert_eq!(generation, self.generations.get(&slot).copied().unwrap_or(0));
        assert!(self.live.insert(slot, generation).is_none(), "slot {slot} given out twice");
        self.free.remove(&slot);
    }

    fn wake(&mut self, slot: u32, generation: u32) {
        if self.live.get(&slot) == Some(&generation) && self.woken.insert(slot) {
            if !self.paused.contains(&slot) {
                self.list(slot);
            }
        }
    }

    fn free(&mut self, slot: u32) {
        let generation = self.live.remove(&slot).unwrap();
        self.generations.insert(slot, (generation + 1) % (1 << GENERATION_BITS));
        for set in [&mut self.woken, &mut self.paused, &mut self.cancelled] {
            set.remove(&slot);
        }
        if !self.listed(slot) && slot != ROOT {
            self.free.insert(slot);
        }
    }

    fn pop(&mut self) -> Option<u32> {
        while let Some(slot) = self.round.pop_front() {
            if self.runs(slot) {
                self.woken.remove(&slot);
                assert!(self.ran.insert((slot, self.live[&slot])), "slot {slot} twice in a round");
                return Some(slot);
            }
            if !self.live.contains_key(&slot) && slot != ROOT {
                self.free.insert(slot);
            }
        }
        None
    }

    fn begin_round(&mut self) -> bool {
        self.ran.clear();
        let mut round = std::mem::take(&mut self.deferred);
        round.append(&mut self.round);
        round.append(&mut self.queue);
        self.round = round;
        let due = self.round.iter().any(|&slot| self.runs(slot));
        if !due {
            assert_eq!(self.pop(), None);
        }
        due
    }
}

#[test]
fn any_sequence_of_calls_agrees_with_a_plain_model() {
    let seed = std::env::var("LOOPLINE_SEED").ok().and_then(|text| text.parse().ok());
    let seed: u64 = seed.unwrap_or(0x5eed_0f4e_0e0e_0001);
    eprintln!("LOOPLINE_SEED={seed}");
    let mut random = seed | 1;
    let mut below = move |end: usize| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        (random >> 8) as usize % end
    };
    let (queue, mut model) = (Queue::new(), Model::default());
    // Wakers in the hands of users, stale ones too.
    let mut wakers: Vec<(u32, u32)> = Vec::new();
    let mut most = 0;
    for step in 0..300_000 {
        let live: Vec<u32> = model.live.keys().copied().collect();
        let any = (!live.is_empty()).then(|| live[below(live.len().max(1))]);
        match (below(20), any) {
            (0..=2, _) if live.len() < 24 => {
                let slot = if below(8) == 0 && !model.live.contains_key(&ROOT) {
                    queue.revive(ROOT);
                    ROOT
                } else {
                    let reuses = !model.free.is_empty();
                    let slot = queue.allocate().unwrap();
                    assert_eq!(reuses, model.free.contains(&slot), "step {step}: a slot is lost");
                    slot
                };
                let generation = queue.generation(slot);
                model.begin(slot, generation);
                match below(4) {
                    // A listed root may not be placed; it is woken, as `run_until` does.
                    0 if slot != ROOT => {
                        queue.defer(slot);
                        model.woken.insert(slot);
                        model.deferred.push_back(slot);
                    }
                    1 if slot != ROOT => {
                        queue.next_turn(slot);
                        model.woken.insert(slot);
                        model.later.push_back(slot);
                    }
                    _ => {
                        queue.wake(slot, generation);
                        model.wake(slot, generation);
                    }
                }
                if wakers.len() < 100 {
                    wakers.push((slot, generation));
                } else {
                    let place = below(100);
                    wakers[place] = (slot, generation);
                }
            }
            (3..=6, _) if !wakers.is_empty() => {
                let (slot, generation) = wakers[below(wakers.len())];
                queue.wake(slot, generation);
                model.wake(slot, generation);
            }
            (7, _) if !wakers.is_empty() => {
                let (slot, _) = wakers[below(wakers.len())];
                queue.wake_any(slot);
                let generation = model.live.get(&slot).copied();
                generation.into_iter().for_each(|generation| model.wake(slot, generation));
            }
            (8, Some(slot)) => {
                queue.free(slot);
                model.free(slot);
            }
            (9, Some(slot)) => {
                queue.pause(slot);
                model.paused.insert(slot);
            }
            (10 | 11, Some(slot)) => {
                queue.resume(slot);
                if model.paused.remove(&slot) && model.woken.contains(&slot) {
                    model.list(slot);
                }
            }
            (12, Some(slot)) => {
                let taken = queue.take_out_of_order(slot).is_some();
                assert_eq!(taken, !model.paused.contains(&slot), "step {step}");
                if taken {
                    model.woken.remove(&slot);
                } else {
                    model.woken.insert(slot);
                }
            }
            (13, Some(slot)) => {
                queue.request_cancel(slot);
                model.cancelled.insert(slot);
            }
            (14, _) => {
                queue.begin_turn();
                let mut later = std::mem::take(&mut model.later);
                model.queue.append(&mut later);
            }
            (15 | 16, _) => assert_eq!(queue.begin_round(), model.begin_round(), "step {step}"),
            _ => assert_eq!(pop(&queue), model.pop(), "step {step}"),
        }
        assert_eq!(queue.due(), model.due(), "step {step}: Counted");
        if let Some(slot) = any {
            let wants = model.cancelled.contains(&slot) || model.paused.contains(&slot);
            assert_eq!(queue.wants_to_stop(slot), wants, "step {step}");
        }
        most = most.max(queue.used());
    }
    // Everything runs or ends, and nothing stays behind.
    for slot in model.live.keys().copied().collect::<Vec<_>>() {
        queue.free(slot);
        model.free(slot);
    }
    queue.begin_turn();
    assert!(!queue.begin_round() && queue.due() == 0);
    for _ in MAIL + 1..most {
        assert!(queue.allocate().is_some_and(|slot| slot < most), "a slot was lost");
    }
}
