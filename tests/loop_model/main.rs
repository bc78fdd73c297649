//! The whole loop against a plain model: random spawns, wakes, cancels, inserts, messages, timers,
//! descriptors, duplicates, pauses, panics and stops; what runs, and in which order, is the same.
//!
//! `LOOPLINE_TEST_OPERATIONS` says how many operations (a million in `.ci/deep`), `LOOPLINE_SEED` which
//! sequence alone to run.
#![cfg(all(unix, feature = "net"))]

mod model;
mod real;
#[path = "../support/mod.rs"]
mod support;

use std::cell::Cell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::time::Duration;

use loopline::time;
use model::{Kind, Message, Model, Step};
use real::{Home, Seen, World};
use support::{closes_clean, operations, paused};

/// Operations of one loop, from its making to its end.
const A_LOOP: usize = 2_000;

/// Items alive at most.
const MOST: usize = 120;

/// A generator of numbers that a seed determines.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % n
    }

    /// Short waits mostly, so that instants are shared; zero too.
    fn wait(&mut self) -> u64 {
        [0, 10, 20, 1_000, 5_000_000, 7_000_000_000][self.below(6)]
    }
}

/// What descriptors should have seen.
#[derive(Clone, Copy, Default)]
struct Written {
    bytes: usize,
    half_closed: bool,
}

/// Does the same to the loop and to the model, inside a task.
struct Script {
    random: Random,
    model: Model,
    next_id: usize,
    written: BTreeMap<usize, Written>,
    /// Set when a stop was asked for, cleared by the turn that says so.
    stop_asked: Rc<Cell<bool>>,
}

impl Script {
    fn new_id(&mut self) -> usize {
        self.next_id += 1;
        self.next_id
    }

    /// An item, alive or not so long gone.
    fn any(&mut self) -> usize {
        self.next_id.saturating_sub(self.random.below(60))
    }

    /// One that is alive, if there is one.
    fn alive(&mut self) -> usize {
        let nth = self.random.below(self.model.items.len().max(1));
        self.model.items.keys().nth(nth).copied().unwrap_or_default()
    }

    fn operation(&mut self, handle: Home, world: &mut World) {
        match self.random.below(20) {
            0..=3 if self.model.items.len() < MOST => self.make(handle, world),
            0..=4 => {
                let id = self.alive();
                self.model.remove(id);
                world.cancel(id);
            }
            5..=7 => {
                let id = self.any();
                if world.wakers.contains_key(&id) {
                    self.model.wake(id);
                    world.wake(id);
                }
            }
            8 | 9 => self.tell(world),
            10..=12 => {
                let (id, message) = (self.any(), self.message(world));
                let Some(sender) = world.senders.get(&id) else { return };
                let sent = sender.send(message).is_ok();
                assert_eq!(sent, self.model.items.contains_key(&id), "whether {id} is there");
                self.model.send(id, message);
            }
            13 => {
                let (id, after) = (self.alive(), self.random.wait());
                if let Some(timer) = world.timers.get(&id) {
                    let set = timer.with(|timer| timer.set_after(Duration::from_nanos(after)));
                    assert_eq!(set.is_some(), self.model.items.contains_key(&id));
                    self.model.set_timer(id, after);
                }
            }
            14 | 15 => self.write(world),
            16 => {
                let id = self.alive();
                let Some(control) = world.controls.get(&id) else { return };
                control.pause();
                self.model.pause(id);
            }
            17 | 18 => {
                let id = self.alive();
                let Some(control) = world.controls.get(&id) else { return };
                control.resume();
                self.model.resume(id);
            }
            _ => {
                if self.random.below(10) == 0 {
                    handle.stop();
                    self.stop_asked.set(true);
                } else {
                    world.duplicates.pop_front();
                }
            }
        }
    }

    fn make(&mut self, handle: Home, world: &mut World) {
        let id = self.new_id();
        match self.random.below(4) {
            0 => {
                self.model.spawn(id);
                real::spawn(handle, world, id);
            }
            1 => {
                self.model.insert(id, Kind::Channel(VecDeque::new()));
                real::insert_channel(handle, world, id);
            }
            2 => {
                let after = self.random.wait();
                let again: VecDeque<u64> =
                    (0..self.random.below(3)).map(|_| self.random.wait()).collect();
                let (set, again_too) = (Some(after), again.clone());
                let kind = Kind::Timer { set, armed: None, fired: false, again: again_too };
                self.model.insert(id, kind);
                real::insert_timer(handle, world, id, after, again);
            }
            _ => {
                self.model.insert(id, Kind::Fd);
                self.written.insert(id, Written::default());
                let duplicate = self.random.below(3) == 0;
                real::insert_fd(handle, world, id, duplicate);
            }
        }
    }

    fn tell(&mut self, world: &mut World) {
        let id = self.any();
        let is_task =
            matches!(self.model.items.get(&id), Some(item) if matches!(item.kind, Kind::Task));
        if !is_task || !world.wakers.contains_key(&id) {
            return;
        }
        let step = match self.random.below(12) {
            0..=3 => Step::WakeSelf,
            4..=6 => Step::Wake(self.task(world)),
            7 | 8 => Step::Finish,
            9 => Step::Panic,
            _ => Step::Cancel(self.other(id)),
        };
        self.model.steps.insert(id, step);
        world.steps.insert(id, step);
        self.model.wake(id);
        world.wake(id);
    }

    /// A task that has been polled: who else would have a waker.
    fn task(&mut self, world: &World) -> usize {
        let nth = self.random.below(world.wakers.len());
        *world.wakers.keys().nth(nth).expect("asked after one was found")
    }

    /// An item that is no descriptor, whose end inside a round no order is promised for.
    fn other(&mut self, than: usize) -> usize {
        let id = self.alive();
        let fd = matches!(self.model.items.get(&id), Some(item) if matches!(item.kind, Kind::Fd));
        if fd || id == than { 0 } else { id }
    }

    fn message(&mut self, world: &World) -> Message {
        match self.random.below(24) {
            0 => Message::Pause,
            1 => Message::Stop,
            2 if self.random.below(4) == 0 => Message::Panic,
            3 => Message::Cancel(self.other(0)),
            4 => Message::Spawn(self.new_id()),
            5 if !world.wakers.is_empty() => Message::Wake(self.task(world)),
            n => Message::Plain(n as u32),
        }
    }

    fn write(&mut self, world: &World) {
        let id = self.any();
        let Some(written) = self.written.get_mut(&id).filter(|written| !written.half_closed) else {
            return;
        };
        if self.random.below(8) == 0 {
            written.half_closed = true;
            real::half_close(world, id);
        } else {
            let len = 1 + self.random.below(40);
            written.bytes += len;
            real::write(world, id, len);
        }
    }

    /// What descriptors saw, against what was written to those that are there and not paused. `before` is
    /// what the others saw then, and see still.
    fn compare_fds(&mut self, world: &World, before: &BTreeMap<usize, Seen>, seed: u64) {
        for (id, written) in &self.written {
            let seen = world.seen.get(id).copied().unwrap_or_default();
            let wanted = match self.model.items.get(id) {
                Some(item) if !item.paused => {
                    Seen { bytes: written.bytes, ended: written.half_closed }
                }
                _ => before.get(id).copied().unwrap_or_default(),
            };
            assert_eq!(seen, wanted, "descriptor {id}, LOOPLINE_SEED={seed}");
            if wanted.ended {
                self.model.remove(*id);
            }
        }
    }

    async fn run(mut self, handle: Home, seed: u64) {
        handle.with(|world| world.start = Some(time::now()));
        let mut left = A_LOOP;
        while left > 0 {
            let batch = (1 + self.random.below(20)).min(left);
            left -= batch;
            let before = handle.with(|world| {
                (0..batch).for_each(|_| self.operation(handle, world));
                world.seen.clone()
            });
            self.settle(handle, &before, seed).await;
            if self.random.below(2) == 0 {
                let by = self.random.wait();
                self.model.advance(by);
                time::advance(Duration::from_nanos(by)).await;
                let before = handle.with(|world| world.seen.clone());
                self.settle(handle, &before, seed).await;
            }
            handle.with(|world| self.forget(world));
        }
        handle.with(|world| {
            self.model.items.keys().for_each(|id| world.cancel(*id));
            world.duplicates.clear();
        });
    }

    async fn settle(&mut self, handle: Home, before: &BTreeMap<usize, Seen>, seed: u64) {
        // A source that is new is polled in the first turn, its registration brings an event in the second,
        // which it reads in that; and what the last of those wakes runs in rounds of the same turn.
        for _ in 0..4 {
            handle.next_turn(|_| ()).await.unwrap();
        }
        self.model.settle();
        handle.with(|world| {
            let (log, wanted) =
                (std::mem::take(&mut world.log), std::mem::take(&mut self.model.log));
            assert_eq!(log, wanted, "LOOPLINE_SEED={seed}");
            self.compare_fds(world, before, seed);
        });
        // And this task.
        assert_eq!(handle.stats().items, self.model.items.len() + 1, "LOOPLINE_SEED={seed}");
    }

    /// Forgets the oldest of those that are gone, so that looking among them stays short.
    fn forget(&mut self, world: &mut World) {
        let old = self.next_id.saturating_sub(300);
        let gone = |id: &usize| *id < old && !self.model.items.contains_key(id);
        self.written.retain(|id, _| !gone(id));
        world.seen.retain(|id, _| !gone(id));
        world.far_ends.retain(|id, _| !gone(id));
        world.wakers.retain(|id, _| !gone(id));
        world.senders.retain(|id, _| !gone(id));
        world.timers.retain(|id, _| !gone(id));
        world.controls.retain(|id, _| !gone(id));
    }
}

/// Runs one loop by a sequence of operations, from its making to its end.
fn sequence(seed: u64) {
    let mut event_loop = paused::<World>();
    let handle = event_loop.handle();
    let stop_asked = Rc::new(Cell::new(false));
    let script = Script {
        random: Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1),
        model: Model::default(),
        next_id: 0,
        written: BTreeMap::new(),
        stop_asked: stop_asked.clone(),
    };
    let script = handle.spawn(script.run(handle, seed));
    let mut world = World::default();
    let mut idle = 0;
    while !script.is_finished() {
        let turn = event_loop.turn(&mut world, Duration::ZERO).unwrap();
        assert_eq!(turn.stopped, stop_asked.replace(false), "LOOPLINE_SEED={seed}");
        // It waits for the next turn, or for a timer that is due.
        idle = if turn.left { 0 } else { idle + 1 };
        assert!(idle < 3, "the script waits, LOOPLINE_SEED={seed}");
    }
    // A failure of the script's is the test's.
    event_loop.run_until(&mut world, script).unwrap().unwrap();
    drop(world);
    closes_clean(event_loop);
}

// contract 12, 13, 16, 17, 22, 26, 29, 34, 39, 42; fault 48, 51, 78, 80
#[test]
fn random_operations_on_a_loop_do_what_the_model_does() {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if info.payload().downcast_ref::<&str>() != Some(&"the test's own") {
            hook(info);
        }
    }));
    if let Some(seed) = std::env::var("LOOPLINE_SEED").ok().and_then(|seed| seed.parse().ok()) {
        return sequence(seed);
    }
    for seed in 1..=(operations(100_000) / A_LOOP).max(1) {
        sequence(seed as u64);
    }
}
