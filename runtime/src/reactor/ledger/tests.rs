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
}

impl Waiting {
    fn waker(&self) -> Waker {
        self.count.clone().into()
    }

    fn wait(&mut self, ledger: &Ledger, direction: Direction) {
        let waker = self.waker();
        drop(ledger.wait(direction, &mut self.key, &waker));
    }

    fn woken(&self) -> usize {
        self.count.0.load(Relaxed)
    }
}

fn mark(ledger: &Ledger, bits: u8) {
    ledger.mark(Ready(bits), &mut Waker::wake);
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
    let mut patient: [Waiting; 2] = Default::default();
    patient.iter_mut().for_each(|waiting| waiting.wait(&ledger, Direction::Read));
    ledger.keys.set(KEYS);
    let mut late: [Waiting; 3] = Default::default();
    late.iter_mut().for_each(|waiting| waiting.wait(&ledger, Direction::Read));
    mark(&ledger, Ready::READABLE);
    assert!(patient.iter().chain(&late).all(|waiting| waiting.woken() == 1));
}

#[test]
fn would_block_in_one_direction_leaves_the_others_what_they_know() {
    // contract 3
    let ledger = Ledger::new(0);
    let hangup = Ready::READ_CLOSED | Ready::PRIORITY_CLOSED | Ready::WRITE_CLOSED;
    mark(&ledger, Ready::READABLE | Ready::WRITABLE | Ready::PRIORITY | hangup);
    ledger.clear_closed(Direction::Priority);
    assert!(!ledger.is_ready(Direction::Priority) && !ledger.is_closed(Direction::Priority));
    assert!(ledger.is_closed(Direction::Read) && ledger.is_closed(Direction::Write));
    // A short read clears readiness, and end-of-file is still to be read.
    ledger.clear(Direction::Read);
    assert!(ledger.is_ready(Direction::Read) && ledger.is_ready(Direction::Write));
    ledger.clear_closed(Direction::Read);
    assert!(!ledger.is_ready(Direction::Read) && ledger.is_ready(Direction::Write));
}

#[test]
fn any_sequence_of_calls_agrees_with_a_plain_model() {
    let seed = std::env::var("LOOPLINE_SEED").ok().and_then(|text| text.parse().ok());
    let seed: u64 = seed.unwrap_or(0x5eed_1ed6_e25e_ed01);
    eprintln!("LOOPLINE_SEED={seed}");
    let mut random = seed | 1;
    let mut below = move |end: usize| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        (random >> 8) as usize % end
    };
    const FUTURES: usize = 6;
    let ledger = Ledger::new(0);
    // By direction: the futures, and one slot that polls by `WaitKey::last_poller()`.
    let mut futures: [[Waiting; FUTURES]; 3] = Default::default();
    let polled: [Arc<Count>; 2] = Default::default();
    // Who waits, by (direction, future); FUTURES stands for `POLL` and maps to which of the two.
    let mut waits: BTreeMap<(usize, usize), usize> = BTreeMap::new();
    let mut expected: BTreeMap<(usize, usize), usize> = BTreeMap::new();
    let mut polls = [0; 2];
    let mut bits = 0_u8;
    for step in 0..300_000 {
        let (d, n) = (below(3), below(FUTURES));
        let direction = DIRECTIONS[d];
        match below(8) {
            0..=2 => {
                futures[d][n].wait(&ledger, direction);
                waits.insert((d, n), 0);
            }
            3 => {
                let which = below(2);
                drop(ledger.wait(
                    direction,
                    &mut WaitKey::last_poller(),
                    &polled[which].clone().into(),
                ));
                waits.insert((d, FUTURES), which);
            }
            4 | 5 if below(4) != 0 => {
                let old = ledger.unwait(direction, &mut futures[d][n].key);
                assert_eq!(old.is_some(), waits.remove(&(d, n)).is_some(), "step {step}");
            }
            4 | 5 => {
                let old = ledger.unwait(direction, &mut WaitKey::last_poller());
                assert_eq!(old.is_some(), waits.remove(&(d, FUTURES)).is_some(), "step {step}");
            }
            6 => {
                let event = 1 << below(6);
                let event = if event == Ready::READ_CLOSED { 0b10_1000 } else { event };
                mark(&ledger, event);
                bits |= event;
                waits.retain(|&(d, n), which| {
                    let woken = event & Ready::mask(DIRECTIONS[d]) != 0;
                    if woken && n == FUTURES {
                        polls[*which] += 1;
                    } else if woken {
                        *expected.entry((d, n)).or_default() += 1;
                    }
                    !woken
                });
            }
            _ if below(2) == 0 => {
                ledger.clear(direction);
                bits &= !Ready::clearable(direction);
            }
            _ => {
                ledger.clear_closed(direction);
                bits &= !Ready::mask(direction);
            }
        }
        assert_eq!(ledger.is_ready(direction), bits & Ready::mask(direction) != 0, "step {step}");
        if step % 64 == 0 || step < 1000 {
            for (d, row) in futures.iter().enumerate() {
                for (n, waiting) in row.iter().enumerate() {
                    let wakes = expected.get(&(d, n)).copied().unwrap_or(0);
                    assert_eq!(waiting.woken(), wakes, "step {step}, {d} {n}");
                }
            }
            assert_eq!(polled.each_ref().map(|count| count.0.load(Relaxed)), polls, "step {step}");
        }
    }
}
