//! The timers against a model: random calls, compared with an ordered map after each.

use std::collections::BTreeMap;

use super::super::{NEVER, TimerKey, Timers};
use super::{GRAIN, Log};

/// The same timers, in a map that is too simple to be wrong.
struct Model {
    timers: Timers,
    /// What must fire, in order; names the entry of `alive`.
    order: BTreeMap<(u64, u64), usize>,
    /// By name: the key and, while it is armed, the place in `order` (or `NEVER`'s).
    alive: BTreeMap<usize, (TimerKey, Option<(u64, u64)>)>,
    log: Log,
    seq: u64,
    now: u64,
    names: usize,
    random: u64,
}

impl Model {
    fn new(seed: u64) -> Self {
        let (order, alive, log) = (BTreeMap::new(), BTreeMap::new(), Log::default());
        Self { timers: Timers::new(), order, alive, log, seq: 0, now: 0, names: 0, random: seed }
    }

    /// xorshift64.
    fn random(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random
    }

    fn below(&mut self, end: u64) -> u64 {
        (self.random() >> 8) % end
    }

    /// A number of up to `bits` bits, each length as likely as another.
    fn magnitude(&mut self, bits: u64) -> u64 {
        let length = self.below(bits + 1);
        self.random() & ((1 << length) - 1)
    }

    fn deadline(&mut self, bits: u64) -> u64 {
        match self.below(16) {
            0 => NEVER,
            1 | 2 => self.now.saturating_sub(self.random % (4 * GRAIN)),
            3 | 4 => {
                let nth = self.random as usize % self.order.len().max(1);
                self.order.keys().nth(nth).map_or(self.now, |rank| rank.0)
            }
            5..=7 => {
                let width = 20 + 6 * self.below(bits.saturating_sub(14) / 6);
                let slot = (self.now >> width) + 1 + self.below(66);
                (slot << width).wrapping_add(self.below(3)).wrapping_sub(1)
            }
            _ => self.now.saturating_add(self.magnitude(bits)),
        }
    }

    /// The place of what is inserted or reset now.
    fn arm(&mut self, name: usize, deadline: u64) -> Option<(u64, u64)> {
        let rank = (deadline, self.seq);
        self.seq += 1;
        if deadline != NEVER {
            self.order.insert(rank, name);
        }
        Some(rank)
    }

    fn insert(&mut self, bits: u64) {
        let deadline = self.deadline(bits);
        let name = self.names;
        self.names += 1;
        let key = self.timers.insert(deadline, self.log.waiter(name));
        let rank = self.arm(name, deadline);
        self.alive.insert(name, (key, rank));
    }

    /// Some living timer, disarmed in the model.
    fn pick(&mut self) -> Option<(usize, TimerKey)> {
        let nth = self.random() as usize % self.alive.len().max(1);
        let (&name, &(key, rank)) = self.alive.iter().nth(nth)?;
        assert_eq!(self.timers.is_fired(key), rank.is_none(), "{name} fired");
        rank.map(|rank| self.order.remove(&rank));
        Some((name, key))
    }

    fn remove(&mut self) {
        if let Some((name, key)) = self.pick() {
            let armed = !self.timers.is_fired(key);
            let foreign = name % 2 == 1;
            if self.below(4) == 0 || !self.timers.leave(key) {
                assert_eq!(self.timers.remove(key).is_some(), armed && foreign, "{name}'s waker");
            }
            self.alive.remove(&name);
        }
    }

    fn reset(&mut self, bits: u64) {
        if let Some((name, mut key)) = self.pick() {
            let deadline = self.deadline(bits);
            self.timers.reset(key, deadline);
            self.timers.set_waiter(&mut key, self.log.waiter(name));
            let rank = self.arm(name, deadline);
            self.alive.insert(name, (key, rank));
        }
    }

    fn change(&mut self, bits: u64) {
        match self.below(8) {
            0..=2 if self.alive.len() < 300 => self.insert(bits),
            0..=4 => self.remove(),
            _ => self.reset(bits),
        }
    }

    /// Checks `next_deadline` and returns it.
    fn next_deadline(&mut self) -> Option<u64> {
        let next = self.timers.next_deadline();
        let first = self.order.keys().next().map(|rank| rank.0);
        assert_eq!(next.is_some(), first.is_some(), "next {next:?}, first {first:?}");
        assert!(next <= first, "next {next:?}, first {first:?}");
        next
    }

    /// One turn; `busy` ones set and cancel timers in between.
    fn turn(&mut self, now: u64, busy: bool) {
        self.now = self.now.max(now);
        let mark = self.timers.mark();
        assert_eq!(mark, self.seq);
        let due = self.order.keys().next().is_some_and(|rank| rank.0 <= self.now);
        assert_eq!(self.timers.is_due(now), due);
        loop {
            let mut due = self.order.range(..=(self.now, u64::MAX));
            let expected = due.find(|(rank, _)| rank.1 < mark).map(|(&rank, &name)| (rank, name));
            let waiter = self.timers.pop_due(now, mark);
            waiter.into_iter().for_each(|waiter| self.log.wake(waiter));
            let fired = self.log.take();
            assert_eq!(fired, Vec::from_iter(expected.map(|(_, name)| name)), "at {}", self.now);
            let Some((rank, name)) = expected else { break };
            self.order.remove(&rank);
            self.alive.get_mut(&name).unwrap().1 = None;
            if busy && self.below(2) == 0 {
                self.change(30);
                if self.below(8) == 0 {
                    self.next_deadline();
                }
            }
        }
        if !busy {
            assert!(self.next_deadline().is_none_or(|next| next > self.now), "the loop spins");
        }
    }

    /// Steps by `next_deadline` alone until all is over.
    fn finish(&mut self) {
        let mut steps = 0;
        while let Some(next) = self.next_deadline() {
            self.turn(next, false);
            steps += 1;
            assert!(steps < 10_000, "time does not get on");
        }
        assert!(self.order.is_empty());
        while !self.alive.is_empty() {
            self.remove();
        }
        assert_eq!(self.timers.len(), 0);
    }
}

// contract 42, 45
#[test]
fn any_sequence_of_calls_agrees_with_an_ordered_map() {
    const SEED: u64 = 0x9E37_79B9_7F4A_7C15;
    let mut seed = SEED;
    for round in 0..60 {
        println!("round {round}, seed {seed:#x}"); // the test runner shows it on failure
        let mut model = Model::new(seed);
        let bits = 22 + round % 41; // the farthest deadline: from 4 ms to 2^62 ns
        for _ in 0..5_000 {
            match model.below(16) {
                0 => {
                    let step = model.magnitude(bits.min(50)); // up to 13 days
                    model.turn(model.now.saturating_add(step), step % 2 == 0);
                }
                1 => {
                    let next = model.next_deadline().unwrap_or(0);
                    model.turn(next.saturating_sub(model.random % 2), false);
                }
                2 => model.turn(model.now.saturating_sub(model.random % 2_000_000), true),
                _ => model.change(bits),
            }
            assert_eq!(model.timers.len(), model.alive.len());
        }
        model.finish();
        seed = model.random;
    }
}
