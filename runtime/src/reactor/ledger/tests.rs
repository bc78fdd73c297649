//! Tests of the ledger, and random calls compared with a model that is too simple to be wrong.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::task::{Wake, Waker};

use super::*;

const DIRECTIONS: [Direction; 3] = [Direction::Read, Direction::Write, Direction::Priority];

/// Counts its wakes. A waker of another library, as the ledger sees it.
#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Relaxed);
    }
}

/// One future that waits.
#[derive(Default)]
struct Waiting {
    count: Arc<Count>,
    key: WaitKey,
    /// Waits as an item of a loop of ours, whose word this is.
    word: Option<Word>,
}

impl Waiting {
    fn waker(&self) -> Waker {
        match self.word {
            Some(word) => Waker::clone(&wake::waker(word)),
            None => self.count.clone().into(),
        }
    }

    fn wait(&mut self, ledger: &Ledger, direction: Direction) {
        let waker = self.waker();
        drop(ledger.wait(direction, &mut self.key, &waker));
    }

    fn woken(&self) -> usize {
        self.count.0.load(Relaxed)
    }
}

/// Marks as the reactor does. Returns whom to wake.
fn marked(ledger: &Ledger, bits: u8) -> Vec<Waker> {
    match ledger.mark_for_one(Ready(bits)) {
        Ok(word) => word.map(|word| Waker::clone(&wake::waker(word))).into_iter().collect(),
        Err(()) => {
            let mut woken = Vec::new();
            ledger.mark(Ready(bits), &mut woken);
            woken
        }
    }
}

fn mark(ledger: &Ledger, bits: u8) {
    marked(ledger, bits).into_iter().for_each(Waker::wake);
}

#[test]
fn all_who_wait_for_a_direction_are_woken_once() {
    // contract 4
    let ledger = Ledger::new(0);
    let mut readers: [Waiting; 5] = Default::default();
    let mut writer = Waiting::default();
    readers.iter_mut().for_each(|reader| reader.wait(&ledger, Direction::Read));
    writer.wait(&ledger, Direction::Write);
    mark(&ledger, Ready::READABLE);
    mark(&ledger, Ready::READABLE);
    assert_eq!(readers.each_ref().map(Waiting::woken), [1; 5]);
    assert_eq!(writer.woken(), 0);
}

#[test]
fn removing_the_first_waiter_promotes_another() {
    // fault 52
    let ledger = Ledger::new(0);
    let mut readers: [Waiting; 3] = Default::default();
    readers.iter_mut().for_each(|reader| reader.wait(&ledger, Direction::Read));
    drop(ledger.unwait(Direction::Read, &mut readers[0].key));
    mark(&ledger, Ready::READABLE);
    assert_eq!(readers.each_ref().map(Waiting::woken), [0, 1, 1]);
}

#[test]
fn a_waker_that_was_replaced_is_not_woken() {
    let ledger = Ledger::new(0);
    let (mut first, second) = (Waiting::default(), Waiting::default());
    for key in [&mut first.key, &mut WaitKey::last_poller()] {
        drop(ledger.wait(Direction::Read, key, &first.count.clone().into()));
        let old = ledger.wait(Direction::Read, key, &second.waker());
        assert!(old.is_some_and(|old| old.will_wake(&first.count.clone().into())));
    }
    mark(&ledger, Ready::READABLE);
    assert_eq!((first.woken(), second.woken()), (0, 2));
}

#[test]
fn a_key_is_not_given_again_while_it_waits() {
    // contract 43
    let ledger = Ledger::new(0);
    let mut waiting: [Waiting; 5] = Default::default();
    waiting.iter_mut().for_each(|waiting| waiting.wait(&ledger, Direction::Read));
    drop(ledger.unwait(Direction::Read, &mut waiting[0].key));
    waiting[0].wait(&ledger, Direction::Read);
    mark(&ledger, Ready::READABLE);
    assert!(waiting.iter().all(|waiting| waiting.woken() == 1));
}

#[test]
fn would_block_in_one_direction_leaves_the_others_what_they_know() {
    // contract 3
    let ledger = Ledger::new(0);
    let hangup = Ready::READ_CLOSED | Ready::PRIORITY_CLOSED | Ready::WRITE_CLOSED;
    mark(&ledger, Ready::READABLE | Ready::WRITABLE | Ready::PRIORITY | hangup);
    ledger.clear_closed(Direction::Priority);
    assert!(!ledger.is_ready(Direction::Priority) && !ledger.closed().has(Direction::Priority));
    assert!(ledger.closed().has(Direction::Read) && ledger.closed().has(Direction::Write));
    // A short read clears readiness, and end-of-file is still to be read.
    ledger.clear(Direction::Read.into());
    assert!(ledger.is_ready(Direction::Read) && ledger.is_ready(Direction::Write));
    ledger.clear_closed(Direction::Read);
    assert!(!ledger.is_ready(Direction::Read) && ledger.is_ready(Direction::Write));
}

const FUTURES: usize = 6;

/// The ledger, futures that wait on it, and what must come of that.
struct Model {
    ledger: Ledger,
    /// By direction.
    futures: [[Waiting; FUTURES]; 3],
    /// Two that poll in turns by the key of the last poller.
    pollers: [Arc<Count>; 2],
    /// Who waits, by direction and future; `FUTURES` is the last poller: which of the two.
    waits: BTreeMap<(usize, usize), usize>,
    /// How often each was woken.
    woken: BTreeMap<(usize, usize), usize>,
    polled: [usize; 2],
    bits: u8,
    random: u64,
}

impl Model {
    fn below(&mut self, end: usize) -> usize {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random >> 8) as usize % end
    }

    fn step(&mut self) {
        let (d, n, which) = (self.below(3), self.below(FUTURES), self.below(2));
        let direction = DIRECTIONS[d];
        let last = &mut WaitKey::last_poller();
        match self.below(16) {
            0..=5 => {
                self.futures[d][n].wait(&self.ledger, direction);
                self.waits.insert((d, n), 0);
            }
            6 | 7 => {
                let waker = self.pollers[which].clone().into();
                drop(self.ledger.wait(direction, last, &waker));
                self.waits.insert((d, FUTURES), which);
            }
            8..=10 => {
                let old = self.ledger.unwait(direction, &mut self.futures[d][n].key);
                assert_eq!(old.is_some(), self.waits.remove(&(d, n)).is_some());
            }
            11 => {
                let old = self.ledger.unwait(direction, last);
                assert_eq!(old.is_some(), self.waits.remove(&(d, FUTURES)).is_some());
            }
            12 | 13 => self.mark(),
            14 => {
                self.ledger.clear(direction.into());
                self.bits &= !Ready::clearable(direction);
            }
            _ => {
                self.ledger.clear_closed(direction);
                self.bits &= !Ready::mask(direction);
            }
        }
        let ready = self.bits & Ready::mask(direction) != 0;
        assert_eq!(self.ledger.is_ready(direction), ready);
    }

    fn mark(&mut self) {
        let event = [
            Ready::READABLE,
            Ready::WRITABLE,
            Ready::PRIORITY,
            Ready::READ_CLOSED | Ready::PRIORITY_CLOSED,
            Ready::WRITE_CLOSED,
        ][self.below(5)];
        for waker in marked(&self.ledger, event) {
            if wake::is_ours(&waker) {
                let word = waker.data().addr();
                self.futures[word / FUTURES][word % FUTURES].count.0.fetch_add(1, Relaxed);
            } else {
                waker.wake();
            }
        }
        self.bits |= event;
        self.waits.retain(|&(d, n), which| {
            let woken = event & Ready::mask(DIRECTIONS[d]) != 0;
            if woken && n == FUTURES {
                self.polled[*which] += 1;
            } else if woken {
                *self.woken.entry((d, n)).or_default() += 1;
            }
            !woken
        });
    }

    fn compare(&self) {
        for (d, row) in self.futures.iter().enumerate() {
            for (n, waiting) in row.iter().enumerate() {
                let wakes = self.woken.get(&(d, n)).copied().unwrap_or(0);
                assert_eq!(waiting.woken(), wakes, "direction {d}, future {n}");
            }
        }
        assert_eq!(self.pollers.each_ref().map(|count| count.0.load(Relaxed)), self.polled);
    }
}

#[test]
fn any_sequence_of_calls_agrees_with_a_plain_model() {
    let seed = std::env::var("LOOPLINE_SEED").ok().and_then(|text| text.parse().ok());
    let seed: u64 = seed.unwrap_or(0x5eed_1ed6_e25e_ed01);
    eprintln!("LOOPLINE_SEED={seed}");
    let mut model = Model {
        ledger: Ledger::new(0),
        futures: Default::default(),
        pollers: Default::default(),
        waits: BTreeMap::new(),
        woken: BTreeMap::new(),
        polled: [0; 2],
        bits: 0,
        random: seed | 1,
    };
    for (d, row) in model.futures.iter_mut().enumerate() {
        // Half of them ours, half of another library.
        for n in (0..FUTURES).step_by(2) {
            row[n].word = Some(d * FUTURES + n);
        }
    }
    for step in 0..300_000 {
        model.step();
        if step % 16 == 0 {
            model.compare();
        }
    }
}
