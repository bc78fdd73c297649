//! Scopes against a plain model: random spawns, wakes, cancels, pauses and errors, in order.

mod support;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::task::{Poll, Waker};

use loopline::{Child, Scope, try_scope, yield_now};
use support::block_on;

/// xorshift64.
struct Random(Cell<u64>);

impl Random {
    fn below(&self, end: usize) -> usize {
        let mut x = self.0.get();
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        self.0.set(x);
        ((x >> 8) % end as u64) as usize
    }
}

/// What a child does when it is polled next.
#[derive(Clone, Copy, Debug)]
enum Action {
    Finish,
    Fail,
    CancelSelf,
    Cancel(usize),
    Spawn,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Event {
    Polled(usize),
    Dropped(usize),
}

/// What both sides are told to do, and what really happened.
#[derive(Default)]
struct World<'s, 'e> {
    actions: RefCell<BTreeMap<usize, Action>>,
    handles: RefCell<BTreeMap<usize, Child<'s, 'e, (), usize>>>,
    wakers: RefCell<BTreeMap<usize, Waker>>,
    spawned: Cell<usize>,
}

struct Noted<'a>(&'a RefCell<Vec<Event>>, usize);

impl Drop for Noted<'_> {
    fn drop(&mut self) {
        self.0.borrow_mut().push(Event::Dropped(self.1));
    }
}

fn start<'s, 'e>(
    s: &'s Scope<'s, 'e, usize>,
    world: &std::rc::Rc<World<'s, 'e>>,
    log: &'e RefCell<Vec<Event>>,
) {
    let number = world.spawned.replace(world.spawned.get() + 1);
    let (noted, inside) = (Noted(log, number), world.clone());
    let child = s.try_spawn(poll_fn(move |cx| {
        let _noted = &noted;
        log.borrow_mut().push(Event::Polled(number));
        inside.wakers.borrow_mut().entry(number).or_insert_with(|| cx.waker().clone());
        let action = inside.actions.borrow_mut().remove(&number);
        let handle = |n| inside.handles.borrow_mut().remove(&n);
        match action {
            None => {}
            Some(Action::Finish) => return Poll::Ready(Ok(())),
            Some(Action::Fail) => return Poll::Ready(Err(number)),
            Some(Action::CancelSelf) => handle(number).into_iter().for_each(Child::cancel),
            Some(Action::Cancel(other)) => handle(other).into_iter().for_each(Child::cancel),
            Some(Action::Spawn) => start(s, &inside, log),
        }
        Poll::Pending
    }));
    world.handles.borrow_mut().insert(number, child);
}

/// The reference: who lives, and what must have happened.
#[derive(Default)]
struct Model {
    /// By number; whether it is paused, and woken meanwhile.
    live: BTreeMap<usize, (bool, bool)>,
    log: Vec<Event>,
    spawned: usize,
    /// Called at once: new ones, and those whose item was cancelled.
    called: Vec<usize>,
    gone: Vec<usize>,
    woken: Vec<usize>,
    failed: Option<usize>,
}

impl Model {
    fn spawn(&mut self) {
        self.live.insert(self.spawned, (false, false));
        self.called.push(self.spawned);
        self.spawned += 1;
    }

    fn end(&mut self, number: usize) {
        if self.live.remove(&number).is_some() {
            self.log.push(Event::Dropped(number));
        }
    }

    fn settle(&mut self, actions: &BTreeMap<usize, Action>) {
        loop {
            let mut queue = std::mem::take(&mut self.called);
            queue.append(&mut self.woken);
            if queue.is_empty() || self.failed.is_some() {
                return;
            }
            for number in queue {
                self.run(number, actions);
            }
        }
    }

    fn run(&mut self, number: usize, actions: &BTreeMap<usize, Action>) {
        let Some(paused) = self.live.get_mut(&number) else { return };
        if self.failed.is_some() {
            return;
        }
        if self.gone.contains(&number) {
            return self.end(number);
        }
        if paused.0 {
            paused.1 = true;
            return;
        }
        self.log.push(Event::Polled(number));
        match actions.get(&number) {
            None => {}
            Some(Action::Finish | Action::CancelSelf) => self.end(number),
            Some(Action::Cancel(other)) => self.end(*other),
            Some(Action::Spawn) => self.spawn(),
            Some(Action::Fail) => {
                self.end(number);
                self.failed = Some(number);
                while let Some(&newest) = self.live.keys().next_back() {
                    self.end(newest);
                }
            }
        }
    }
}

/// Does one step of random doings on both sides. Each child is touched once, and a step either calls
/// children at once or wakes them by way of the loop, so that the order of both is plain.
fn step<'s, 'e>(
    random: &Random,
    model: &mut Model,
    s: &'s Scope<'s, 'e, usize>,
    world: &std::rc::Rc<World<'s, 'e>>,
    log: &'e RefCell<Vec<Event>>,
) -> BTreeMap<usize, Action> {
    let mut untouched: Vec<usize> = model.live.keys().copied().collect();
    let calls = random.below(3) == 0 || untouched.is_empty();
    for _ in 0..1 + random.below(6) {
        if calls && (untouched.is_empty() || random.below(3) != 0) {
            start(s, world, log);
            model.spawn();
            continue;
        }
        if untouched.is_empty() {
            break;
        }
        let number = untouched.swap_remove(random.below(untouched.len()));
        let control = world.handles.borrow()[&number].control();
        let state = model.live.get_mut(&number).unwrap();
        match if calls { random.below(2) } else { 2 + random.below(8) } {
            0 => {
                let child = world.handles.borrow_mut().remove(&number);
                child.unwrap().cancel();
                model.end(number);
            }
            1 => {
                assert!(control.cancel());
                model.gone.push(number);
                model.called.push(number);
            }
            2 if state.0 => {
                assert!(control.resume());
                state.0 = false;
                if std::mem::take(&mut state.1) {
                    model.woken.push(number);
                }
            }
            2 => {
                assert!(control.pause());
                state.0 = true;
            }
            3.. => {
                let action = match random.below(20) {
                    0..4 => Some(Action::Finish),
                    4 => Some(Action::Fail),
                    5..7 => Some(Action::CancelSelf),
                    7..10 if !untouched.is_empty() => {
                        let other = untouched.swap_remove(random.below(untouched.len()));
                        Some(Action::Cancel(other))
                    }
                    10..14 => Some(Action::Spawn),
                    _ => None,
                };
                if state.0 {
                    // Remembered until the pause ends; without an action, which might be stale then.
                    state.1 = true;
                } else {
                    action.map(|action| world.actions.borrow_mut().insert(number, action));
                    model.woken.push(number);
                }
                world.wakers.borrow()[&number].wake_by_ref();
            }
        }
    }
    world.actions.borrow().clone()
}

#[test]
fn a_scope_does_what_a_plain_model_does() {
    let seed = std::env::var("LOOPLINE_SEED").ok().and_then(|text| text.parse().ok());
    let seed: u64 = seed.unwrap_or(0x5c0_9e5);
    eprintln!("LOOPLINE_SEED={seed}");
    let random = Random(Cell::new(seed | 1));
    let failures = Cell::new(0);
    for case in 0..support::scaled(400) {
        let (log, model) = (RefCell::default(), RefCell::new(Model::default()));
        let ended = block_on(try_scope(async |s| {
            let world = std::rc::Rc::new(World::default());
            for step_number in 0..40 {
                let actions = step(&random, &mut model.borrow_mut(), s, &world, &log);
                model.borrow_mut().settle(&actions);
                for _ in 0..8 {
                    yield_now().await;
                }
                let model = model.borrow();
                assert_eq!(*log.borrow(), model.log, "case {case}, step {step_number}");
                assert_eq!(s.len(), model.live.len(), "case {case}, step {step_number}");
            }
            // The rest ends in whatever order it likes.
            for number in model.borrow().live.keys() {
                world.handles.borrow()[number].control().resume();
                world.actions.borrow_mut().insert(*number, Action::Finish);
                if let Some(waker) = world.wakers.borrow().get(number) {
                    waker.wake_by_ref();
                }
            }
            Ok(())
        }));
        let model = model.into_inner();
        match ended {
            Ok(()) => assert!(model.failed.is_none(), "case {case}"),
            Err(number) => {
                failures.set(failures.get() + 1);
                assert_eq!(model.failed, Some(number), "case {case}");
                assert_eq!(log.into_inner(), model.log, "case {case}");
            }
        }
    }
    assert!(failures.get() > 0 || support::scaled(400) < 100, "no case failed: no test of it");
}
