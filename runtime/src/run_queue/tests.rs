//! Tests of the run queue, and random calls compared with a model that is too simple to be wrong.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::*;

type Queue = RunQueue<()>;

/// Takes a slot for a new item.
fn take(queue: &Queue) -> u32 {
    queue.allocate(|_| ()).expect("slots are left").slot
}

fn at(queue: &Queue, slot: u32) -> Place<'_, ()> {
    queue.place(slot).expect("it was used")
}

/// Ends the use of a slot, whosever it is.
fn free(queue: &Queue, slot: u32) {
    if slot == ROOT { queue.free_root() } else { queue.free(at(queue, slot)) }
}

fn pop(queue: &Queue) -> Option<u32> {
    queue.pop_of_round().map(|entry| entry.place.slot)
}

fn wake(queue: &Queue, slot: u32) {
    wake_as(queue, slot, queue.generation(slot));
}

/// Wakes a slot by a waker of this generation.
fn wake_as(queue: &Queue, slot: u32, generation: u32) {
    queue.wake(queue.word(slot, generation)).expect("its own loop's");
}

/// Runs one round and returns what it polled.
fn round(queue: &Queue) -> Vec<u32> {
    queue.begin_round();
    std::iter::from_fn(|| pop(queue)).collect()
}

#[test]
fn what_is_woken_during_a_round_runs_in_the_next_one() {
    let queue = Queue::new(5, 0);
    let slots = [(); 3].map(|()| take(&queue));
    slots.iter().for_each(|&slot| wake(&queue, slot));
    assert!(queue.begin_round());
    assert_eq!(pop(&queue), Some(slots[0]));
    wake(&queue, slots[0]);
    // One of the round ends before its turn: what was woken meanwhile does not take its place.
    queue.free(at(&queue, slots[1]));
    assert_eq!((pop(&queue), pop(&queue)), (Some(slots[2]), None));
    assert_eq!(round(&queue), [slots[0]]);
}

#[test]
fn what_is_deferred_runs_at_the_head_of_the_next_round_in_order() {
    let queue = Queue::new(5, 0);
    let slots = [(); 4].map(|()| take(&queue));
    wake(&queue, slots[0]);
    wake(&queue, slots[1]);
    queue.begin_round();
    assert_eq!(pop(&queue), Some(slots[0]));
    queue.defer(at(&queue, slots[2]));
    queue.defer(at(&queue, slots[3]));
    // The turn ends here, in the middle of the round.
    assert_eq!(round(&queue), [slots[2], slots[3], slots[1]]);
}

#[test]
fn what_waits_for_the_next_turn_runs_in_no_round_of_this_one() {
    // contract 17
    let queue = Queue::new(5, 0);
    let slots = [(); 2].map(|()| take(&queue));
    queue.next_turn(at(&queue, slots[0]));
    wake(&queue, slots[0]);
    wake(&queue, slots[1]);
    assert_eq!(round(&queue), [slots[1]]);
    assert_eq!((round(&queue), queue.has_due()), (vec![], true));
    queue.begin_turn();
    assert_eq!(round(&queue), [slots[0]]);
}

#[test]
fn a_slot_freed_while_listed_is_used_again_only_after_it_left_its_list() {
    // Listed Once
    let queue = Queue::new(5, 0);
    let first = take(&queue);
    wake(&queue, first);
    queue.free(at(&queue, first));
    let second = take(&queue);
    assert_ne!(first, second);
    assert!(!queue.has_due());
    assert_eq!(take(&queue), first);
}

#[test]
fn items_that_end_before_they_run_use_no_slots_up() {
    let queue = Queue::new(5, 0);
    for turn in 0..10_000 {
        queue.begin_turn();
        let slot = take(&queue);
        match turn % 3 {
            0 => wake(&queue, slot),
            1 => queue.defer(at(&queue, slot)),
            _ => queue.next_turn(at(&queue, slot)),
        }
        queue.free(at(&queue, slot));
        assert_eq!((round(&queue), queue.has_due()), (vec![], false));
    }
    assert!(queue.used() < MAIL + 5, "{} slots for one item at a time", queue.used());
}

#[test]
fn the_root_future_of_a_later_run_may_still_be_listed_from_an_earlier_one() {
    let queue = Queue::new(5, 0);
    for run in 0..4 {
        queue.revive(ROOT);
        let generation = queue.generation(ROOT);
        wake_as(&queue, ROOT, generation);
        assert!(queue.has_due());
        assert_eq!(round(&queue), [ROOT]);
        wake_as(&queue, ROOT, generation);
        queue.free_root();
        wake_as(&queue, ROOT, generation);
        assert!(run % 2 == 0 || !queue.has_due());
    }
}

#[test]
fn the_entry_of_an_earlier_root_future_leaves_no_gap_wherever_it_stands() {
    for begun in [false, true] {
        for place in 0..3 {
            let queue = Queue::new(5, 0);
            let mut order = [(); 2].map(|()| take(&queue)).to_vec();
            let others = order.clone();
            order.insert(place, ROOT);
            queue.revive(ROOT);
            order.iter().for_each(|&slot| wake(&queue, slot));
            if begun {
                queue.begin_round();
            }
            queue.free_root();
            queue.revive(ROOT);
            wake(&queue, ROOT);
            let rest: Vec<u32> = std::iter::from_fn(|| pop(&queue)).collect();
            assert_eq!(rest.len(), if begun { 2 } else { 0 });
            assert_eq!([rest, round(&queue)].concat(), [others[0], others[1], ROOT]);
        }
    }
}

#[test]
fn what_is_set_and_cancelled_between_turns_leaves_no_entry() {
    let queue = Queue::new(5, 0);
    let slot = take(&queue);
    for _ in 0..10 {
        queue.next_turn(at(&queue, slot));
        queue.withdraw(at(&queue, slot));
        queue.free(at(&queue, slot));
        assert_eq!(take(&queue), slot);
    }
}

#[test]
fn a_word_of_another_loop_is_given_back() {
    let queue = Queue::new(5, 0);
    let slot = take(&queue);
    let other = Queue::new(6, 0).word(slot, 0);
    assert_eq!((queue.wake(other), queue.has_due()), (Err(()), false));
    let far = Queue::new(6, 0).word(1 << 18, 0);
    assert_eq!(queue.wake(far), Err(()));
}

#[test]
fn generations_wrap_and_a_listed_slot_stays_listed_once() {
    // contract 43, fault 50
    let queue = Queue::new(5, 0);
    let slot = take(&queue);
    let last = (1 << GENERATION_BITS) - 1;
    queue.slots.get(slot).unwrap().state.set(queue.word(0, last) | LIVE);
    wake_as(&queue, slot, 0);
    assert!(!queue.has_due(), "a stale generation");
    wake_as(&queue, slot, last);
    queue.free(at(&queue, slot));
    wake_as(&queue, slot, last);
    wake_as(&queue, slot, 0);
    assert_eq!((queue.generation(slot), queue.has_due()), (0, false));
    assert_eq!(take(&queue), slot);
    wake_as(&queue, slot, last);
    assert!(!queue.has_due());
    wake_as(&queue, slot, 0);
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
    in_turn: bool,
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

    /// Whether anything is due; drops the stale entries that are looked at on the way.
    fn has_due(&mut self) -> bool {
        let mut dropped = Vec::new();
        let mut due = false;
        for which in 0..4 {
            if which == 3 && self.in_turn {
                // What is paused keeps its place until the turn that it waits for.
                due = self.later.iter().any(|&slot| self.runs(slot));
                break;
            }
            while let Some(slot) = self.list_of(which).front().copied() {
                due = self.runs(slot);
                if due {
                    break;
                }
                self.list_of(which).pop_front();
                dropped.push(slot);
            }
            if due {
                break;
            }
        }
        dropped.into_iter().for_each(|slot| self.drop_stale(slot));
        due
    }

    fn list_of(&mut self, which: usize) -> &mut VecDeque<u32> {
        match which {
            0 => &mut self.round,
            1 => &mut self.queue,
            2 => &mut self.deferred,
            _ => &mut self.later,
        }
    }

    fn drop_stale(&mut self, slot: u32) {
        if !self.live.contains_key(&slot) && slot != ROOT {
            self.free.insert(slot);
        }
    }

    fn list(&mut self, slot: u32) {
        if !self.listed(slot) {
            self.queue.push_back(slot);
        }
    }

    fn begin(&mut self, slot: u32, generation: u32) {
        if slot == ROOT {
            // That of an earlier run may be listed still.
            [&mut self.round, &mut self.queue].into_iter().for_each(|l| l.retain(|s| *s != ROOT));
        }
        assert!(!self.listed(slot), "slot {slot} given out while listed");
        assert_eq!(generation, self.generations.get(&slot).copied().unwrap_or(0));
        assert!(self.live.insert(slot, generation).is_none(), "slot {slot} given out twice");
        self.free.remove(&slot);
    }

    fn wake(&mut self, slot: u32, generation: u32) {
        let woken = self.live.get(&slot) == Some(&generation) && self.woken.insert(slot);
        if woken && !self.paused.contains(&slot) {
            self.list(slot);
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

    fn withdraw(&mut self, slot: u32) {
        if self.later.front() == Some(&slot) {
            self.later.pop_front();
        }
    }

    fn pop(&mut self) -> Option<u32> {
        while let Some(slot) = self.round.pop_front() {
            if self.runs(slot) {
                self.woken.remove(&slot);
                assert!(self.ran.insert((slot, self.live[&slot])), "slot {slot} twice in a round");
                return Some(slot);
            }
            self.drop_stale(slot);
        }
        None
    }

    fn begin_round(&mut self) -> bool {
        self.ran.clear();
        let mut round = std::mem::take(&mut self.deferred);
        round.append(&mut self.round);
        round.append(&mut self.queue);
        self.round = round;
        !self.round.is_empty()
    }
}

/// The queue, its model, and what its users hold.
struct Pair {
    queue: Queue,
    model: Model,
    /// Wakers in the hands of users, stale ones too.
    wakers: Vec<(u32, u32)>,
    random: u64,
}

impl Pair {
    /// xorshift64.
    fn below(&mut self, end: usize) -> usize {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random >> 8) as usize % end
    }

    fn any(&mut self) -> Option<u32> {
        let live: Vec<u32> = self.model.live.keys().copied().collect();
        if live.is_empty() { None } else { Some(live[self.below(live.len())]) }
    }

    fn insert(&mut self) {
        let slot = if self.below(8) == 0 && !self.model.live.contains_key(&ROOT) {
            self.queue.revive(ROOT);
            ROOT
        } else {
            let reuses = !self.model.free.is_empty();
            // As an item gets one.
            let slot =
                self.queue.allocate_near().map_or_else(|| take(&self.queue), |place| place.slot);
            assert_eq!(reuses, self.model.free.contains(&slot), "a slot is lost");
            slot
        };
        let generation = self.queue.generation(slot);
        self.model.begin(slot, generation);
        let how = self.below(4);
        match how {
            // The root future is not placed but woken, as `run_until` does.
            3 => {}
            _ if slot == ROOT => self.wake(slot, generation),
            0 => self.queue.defer(at(&self.queue, slot)),
            1 => self.queue.next_turn(at(&self.queue, slot)),
            _ => self.queue.enqueue(at(&self.queue, slot)),
        }
        if how != 3 && slot != ROOT {
            self.model.woken.insert(slot);
            let model = &mut self.model;
            [&mut model.deferred, &mut model.later, &mut model.queue][how].push_back(slot);
        }
        if self.wakers.len() < 100 {
            self.wakers.push((slot, generation));
        } else {
            let place = self.below(100);
            self.wakers[place] = (slot, generation);
        }
    }

    fn wake(&mut self, slot: u32, generation: u32) {
        wake_as(&self.queue, slot, generation);
        self.model.wake(slot, generation);
    }

    /// Changes a live item.
    fn change(&mut self, slot: u32) {
        let (queue, model) = (&self.queue, &mut self.model);
        match (self.random >> 40) % 7 {
            0 => {
                // As items that are cancelled, or as those that end.
                if (self.random >> 50) % 2 == 0 {
                    queue.withdraw(at(queue, slot));
                    model.withdraw(slot);
                }
                free(queue, slot);
                model.free(slot);
            }
            1 | 2 => {
                queue.pause(slot);
                model.paused.insert(slot);
            }
            3 | 4 => {
                queue.resume(slot);
                if model.paused.remove(&slot) && model.woken.contains(&slot) {
                    model.list(slot);
                }
            }
            5 => {
                let taken = queue.take_out_of_order(slot).is_some();
                assert_eq!(taken, !model.paused.contains(&slot));
                model.woken.remove(&slot);
                if !taken {
                    model.woken.insert(slot);
                }
            }
            _ => {
                queue.request_cancel(slot);
                model.cancelled.insert(slot);
            }
        }
    }

    fn step(&mut self) {
        match self.below(20) {
            0..=3 if self.model.live.len() < 24 => self.insert(),
            4..=7 if !self.wakers.is_empty() => {
                let held = self.below(self.wakers.len());
                let (slot, generation) = self.wakers[held];
                self.wake(slot, generation);
            }
            8 if !self.wakers.is_empty() => {
                let held = self.below(self.wakers.len());
                let slot = self.wakers[held].0;
                self.queue.wake_any(slot);
                let generation = self.model.live.get(&slot).copied();
                generation.into_iter().for_each(|generation| self.model.wake(slot, generation));
            }
            9..=13 => {
                if let Some(slot) = self.any() {
                    self.change(slot);
                }
            }
            14 => {
                let model = &mut self.model;
                model.in_turn = !model.in_turn;
                if model.in_turn {
                    self.queue.begin_turn();
                    // The round of the turn before is over, wherever it was.
                    model.round.append(&mut model.queue);
                    model.round.append(&mut model.later);
                    model.queue.append(&mut model.round);
                } else {
                    self.queue.end_turn();
                }
            }
            15 | 16 => assert_eq!(self.queue.begin_round(), self.model.begin_round()),
            _ => assert_eq!(pop(&self.queue), self.model.pop()),
        }
        if self.below(2) == 0 {
            assert_eq!(self.queue.has_due(), self.model.has_due());
        }
        if let Some(slot) = self.any() {
            let wants = self.model.cancelled.contains(&slot) || self.model.paused.contains(&slot);
            assert_eq!(self.queue.wants_to_stop(slot), wants);
        }
    }
}

#[test]
fn any_sequence_of_calls_agrees_with_a_plain_model() {
    let seed = std::env::var("LOOPLINE_SEED").ok().and_then(|text| text.parse().ok());
    let seed: u64 = seed.unwrap_or(0x5eed_0f4e_0e0e_0001);
    eprintln!("LOOPLINE_SEED={seed}");
    let (queue, model) = (Queue::new(5, 0), Model::default());
    let mut pair = Pair { queue, model, wakers: Vec::new(), random: seed | 1 };
    let mut most = 0;
    for _ in 0..300_000 {
        pair.step();
        most = most.max(pair.queue.used());
    }
    // Everything ends, and nothing stays behind.
    while let Some(slot) = pair.any() {
        free(&pair.queue, slot);
        pair.model.free(slot);
    }
    pair.queue.begin_turn();
    assert!(!pair.queue.has_due());
    for _ in MAIL + 1..most {
        assert!(take(&pair.queue) < most, "a slot was lost");
    }
}
