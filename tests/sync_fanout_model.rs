//! `broadcast`, `watch` and `CancellationToken` against plain references: random operations, a seed each.

mod support;

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};

use futures::Stream;
use loopline::sync::broadcast::error::{Lagged, TryRecvError};
use loopline::sync::{broadcast, watch};
use loopline::task::{CancellationToken, WaitForCancellationFutureOwned};
use support::scaled;

/// xorshift, printed so that a failure can be repeated.
struct Random(u64);

impl Random {
    fn new(round: u64) -> Self {
        let seed = std::env::var("LOOPLINE_SEED").ok().and_then(|text| text.parse().ok());
        let seed =
            seed.unwrap_or(0x5eed_u64).wrapping_add(round.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        println!("round {round}, state {seed}");
        Self(seed | 1)
    }

    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) as usize % n.max(1)
    }
}

/// Writes down who was woken, in order.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<usize>>>);

struct Entry(usize, Log);

impl Wake for Entry {
    fn wake(self: Arc<Self>) {
        self.1.0.lock().unwrap().push(self.0);
    }
}

impl Log {
    fn waker(&self, number: usize) -> Waker {
        Waker::from(Arc::new(Entry(number, self.clone())))
    }

    fn take(&self) -> Vec<usize> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

fn poll_item<S: Stream + Unpin>(stream: &mut S, waker: &Waker) -> Poll<Option<S::Item>> {
    Pin::new(stream).poll_next(&mut Context::from_waker(waker))
}

/// Polls a future some times and drops it.
fn poll_and_drop<F: Future>(future: F, times: usize) -> Option<F::Output> {
    let mut future = Box::pin(future);
    for _ in 0..times {
        let cx = &mut Context::from_waker(Waker::noop());
        if let Poll::Ready(output) = future.as_mut().poll(cx) {
            return Some(output);
        }
    }
    None
}

/// A receiver of the model: how much of what was sent it has read.
struct Reader {
    number: usize,
    receiver: broadcast::Receiver<u64>,
    next: u64,
    waker: Waker,
}

/// What the reference says: a value, a number missed, or nothing now. Positions are the values.
fn expected(next: &mut u64, sent: u64, capacity: u64) -> Option<Result<u64, u64>> {
    let missed = (sent - *next).saturating_sub(capacity);
    *next += missed;
    if missed != 0 {
        return Some(Err(missed));
    }
    (*next < sent).then(|| {
        *next += 1;
        Ok(*next - 1)
    })
}

#[test]
fn broadcast_does_what_a_list_of_all_values_does() {
    for round in 0..scaled(200) as u64 {
        broadcast_round(&mut Random::new(round));
    }
}

fn broadcast_round(random: &mut Random) {
    let capacity = 1 << random.below(5);
    let sender = broadcast::Sender::new(capacity);
    let (mut sent, mut made, log) = (0, 0, Log::default());
    let mut readers: Vec<Reader> = Vec::new();
    // Who waits, in order; and the values that are unread, by how many.
    let mut waiting: VecDeque<usize> = VecDeque::new();
    for _ in 0..1000 {
        let at = random.below(readers.len());
        match random.below(10) {
            0 if readers.len() < 6 => {
                let receiver = match readers.get(at) {
                    Some(reader) if random.below(2) == 0 => reader.receiver.resubscribe(),
                    _ => sender.subscribe(),
                };
                readers.push(Reader { number: made, receiver, next: sent, waker: log.waker(made) });
                made += 1;
            }
            1 if !readers.is_empty() && random.below(4) == 0 => {
                let gone = readers.swap_remove(at);
                waiting.retain(|number| *number != gone.number);
            }
            2..=4 => match sender.send(sent) {
                Ok(receivers) => {
                    assert_eq!(receivers, readers.len());
                    sent += 1;
                    assert_eq!(log.take(), waiting.drain(..).collect::<Vec<_>>(), "all, in order");
                }
                Err(error) => assert!(readers.is_empty() && error.0 == sent),
            },
            5 | 6 if !readers.is_empty() => {
                let reader = &mut readers[at];
                let wanted = expected(&mut reader.next, sent, capacity as u64);
                let wanted = wanted.map_or(Err(TryRecvError::Empty), |wanted| {
                    wanted.map_err(TryRecvError::Lagged)
                });
                assert_eq!(reader.receiver.try_recv(), wanted);
            }
            7 if !readers.is_empty() => {
                let reader = &mut readers[at];
                let times = random.below(4);
                let got = poll_and_drop(reader.receiver.recv(), times);
                if times != 0 {
                    let wanted = expected(&mut reader.next, sent, capacity as u64);
                    let wanted = wanted.map(|w| w.map_err(broadcast::error::RecvError::Lagged));
                    assert_eq!(got, wanted);
                }
            }
            8 | 9 if !readers.is_empty() => {
                let reader = &mut readers[at];
                match expected(&mut reader.next, sent, capacity as u64) {
                    None => {
                        assert!(poll_item(&mut reader.receiver, &reader.waker).is_pending());
                        if !waiting.contains(&reader.number) {
                            waiting.push_back(reader.number);
                        }
                    }
                    Some(wanted) => {
                        let wanted = Poll::Ready(Some(wanted.map_err(Lagged)));
                        assert_eq!(poll_item(&mut reader.receiver, &reader.waker), wanted);
                    }
                }
            }
            _ => {}
        }
        let oldest = readers.iter().map(|reader| reader.next).min().unwrap_or(sent);
        assert_eq!(sender.len() as u64, (sent - oldest).min(capacity as u64));
        assert!(readers.iter().all(|r| r.receiver.len() as u64 == sent - r.next));
    }
    drop(sender);
    assert_eq!(log.take(), waiting.drain(..).collect::<Vec<_>>(), "the end, to all");
    for Reader { mut receiver, mut next, waker, .. } in readers {
        while let Some(wanted) = expected(&mut next, sent, capacity as u64) {
            let wanted = Poll::Ready(Some(wanted.map_err(Lagged)));
            assert_eq!(poll_item(&mut receiver, &waker), wanted);
        }
        assert_eq!(poll_item(&mut receiver, &waker), Poll::Ready(None));
    }
}

/// A receiver of the model: the number of changes when it last looked.
struct Looker {
    number: usize,
    receiver: watch::Receiver<u64>,
    seen: Option<u64>,
    waker: Waker,
}

#[test]
fn watch_does_what_a_value_and_a_count_do() {
    for round in 0..scaled(200) as u64 {
        watch_round(&mut Random::new(round));
    }
}

fn watch_round(random: &mut Random) {
    let sender = watch::Sender::new(0);
    // The value, and how often it changed with word of it.
    let (mut value, mut changes, mut made, log) = (0, 0, 0, Log::default());
    let mut lookers: Vec<Looker> = Vec::new();
    let mut waiting: VecDeque<usize> = VecDeque::new();
    for step in 1..1000 {
        let at = random.below(lookers.len());
        let mut told = false;
        match random.below(12) {
            0 if lookers.len() < 6 => {
                let (receiver, seen) = match lookers.get(at) {
                    Some(other) if random.below(2) == 0 => (other.receiver.clone(), other.seen),
                    _ => (sender.subscribe(), Some(changes)),
                };
                lookers.push(Looker { number: made, receiver, seen, waker: log.waker(made) });
                made += 1;
            }
            1 if !lookers.is_empty() && random.below(4) == 0 => {
                let gone = lookers.swap_remove(at);
                waiting.retain(|number| *number != gone.number);
            }
            2 => {
                let held = (random.below(2) == 0).then(|| sender.borrow());
                told = sender.send(step).is_ok();
                assert_eq!(told, !lookers.is_empty());
                assert!(held.is_none_or(|held| *held == value), "a Ref stays as it is");
                value = if told { step } else { value };
            }
            3 => {
                told = random.below(2) == 0;
                assert_eq!(
                    sender.send_if_modified(|inside| {
                        *inside = step;
                        told
                    }),
                    told
                );
                value = step;
            }
            4 => {
                assert_eq!(sender.send_replace(step), value);
                (told, value) = (true, step);
            }
            n @ 5..=11 if !lookers.is_empty() => {
                let looker = &mut lookers[at];
                let changed = looker.seen != Some(changes);
                assert_eq!(looker.receiver.has_changed(), Ok(changed));
                let seen = looker.seen.replace(changes);
                match n {
                    5 => looker.receiver.mark_unchanged(),
                    6 => {
                        looker.receiver.mark_changed();
                        looker.seen = None;
                    }
                    7 => assert_eq!(looker.receiver.borrow_and_update().has_changed(), changed),
                    8 => {
                        let times = random.below(4);
                        let got = poll_and_drop(looker.receiver.changed(), times);
                        assert_eq!(got, (changed && times != 0).then_some(Ok(())));
                        looker.seen = if times == 0 { seen } else { looker.seen };
                    }
                    9 => {
                        let fits = random.below(2) == 0;
                        let got = poll_and_drop(looker.receiver.wait_for(|_| fits), 2);
                        assert_eq!(got.map(|found| *found.unwrap()), fits.then_some(value));
                    }
                    _ if changed => {
                        let got = poll_item(&mut looker.receiver, &looker.waker);
                        assert_eq!(got, Poll::Ready(Some(value)));
                        // It waited, and was marked meanwhile.
                        waiting.retain(|number| *number != looker.number);
                    }
                    _ => {
                        assert!(poll_item(&mut looker.receiver, &looker.waker).is_pending());
                        if !waiting.contains(&looker.number) {
                            waiting.push_back(looker.number);
                        }
                    }
                }
            }
            _ => {}
        }
        let woken = if told { waiting.drain(..).collect() } else { Vec::new() };
        changes += u64::from(told);
        assert_eq!(log.take(), woken, "all, in order, when it changed");
        assert!(lookers.iter().all(|looker| *looker.receiver.borrow() == value));
    }
    drop(sender);
    assert_eq!(log.take(), waiting.drain(..).collect::<Vec<_>>(), "the end, to all");
}

/// A token of the model.
#[derive(Default)]
struct Node {
    parent: Option<usize>,
    /// In order; those of a node that is gone take its place.
    children: Vec<usize>,
    tokens: Vec<CancellationToken>,
    waits: Vec<(usize, Pin<Box<WaitForCancellationFutureOwned>>)>,
    cancelled: bool,
}

#[test]
fn tokens_do_what_a_tree_with_parents_does() {
    for round in 0..scaled(300) as u64 {
        token_round(&mut Random::new(round));
    }
}

/// Takes a node that has no tokens out of the tree.
fn remove(nodes: &mut [Node], at: usize) {
    let children = std::mem::take(&mut nodes[at].children);
    let parent = nodes[at].parent.take();
    for child in &children {
        nodes[*child].parent = parent;
    }
    if let Some(parent) = parent {
        let siblings = &mut nodes[parent].children;
        let place = siblings.iter().position(|child| *child == at).unwrap();
        siblings.splice(place..=place, children);
    }
}

/// Cancels in the model; returns who is woken, in order.
fn cancel(nodes: &mut [Node], at: usize) -> Vec<usize> {
    if nodes[at].cancelled {
        return Vec::new();
    }
    if let Some(parent) = nodes[at].parent.take() {
        nodes[parent].children.retain(|child| *child != at);
    }
    let (mut woken, mut todo) = (Vec::new(), vec![at]);
    while let Some(at) = todo.pop() {
        let node = &mut nodes[at];
        (node.cancelled, node.parent) = (true, None);
        woken.extend(node.waits.iter().map(|(number, _)| *number));
        todo.extend(std::mem::take(&mut node.children).into_iter().rev());
    }
    woken
}

fn token_round(random: &mut Random) {
    let root = Node { tokens: vec![CancellationToken::new()], ..Node::default() };
    let (mut nodes, mut waits, log) = (vec![root], 0, Log::default());
    for _ in 0..400 {
        let living: Vec<usize> =
            (0..nodes.len()).filter(|n| !nodes[*n].tokens.is_empty()).collect();
        let Some(at) = living.get(random.below(living.len())).copied() else { return };
        let mut woken = Vec::new();
        match random.below(20) {
            0..=6 => {
                let (child, below) = (nodes[at].tokens[0].child_token(), nodes.len());
                let cancelled = nodes[at].cancelled;
                let parent = (!cancelled).then_some(at);
                nodes.push(Node { parent, tokens: vec![child], cancelled, ..Node::default() });
                if !cancelled {
                    nodes[at].children.push(below);
                }
            }
            7 => {
                let token = nodes[at].tokens[0].clone();
                nodes[at].tokens.push(token);
            }
            8..=12 => {
                // A wait holds a token of its own, so it goes with the last.
                drop(nodes[at].tokens.pop());
                if nodes[at].tokens.is_empty() {
                    nodes[at].waits.clear();
                    remove(&mut nodes, at);
                }
            }
            13..=16 => {
                let mut wait = Box::pin(nodes[at].tokens[0].clone().cancelled_owned());
                let polled = wait.as_mut().poll(&mut Context::from_waker(&log.waker(waits)));
                assert_eq!(polled.is_ready(), nodes[at].cancelled);
                if polled.is_pending() {
                    nodes[at].waits.push((waits, wait));
                }
                waits += 1;
            }
            17 | 18 if !nodes[at].waits.is_empty() => {
                let which = random.below(nodes[at].waits.len());
                drop(nodes[at].waits.remove(which));
            }
            19 => {
                woken = cancel(&mut nodes, at);
                nodes[at].tokens[0].cancel();
            }
            _ => {}
        }
        assert_eq!(log.take(), woken);
        for node in &mut nodes {
            assert!(node.tokens.iter().all(|token| token.is_cancelled() == node.cancelled));
            if node.cancelled {
                node.waits.clear();
            }
        }
    }
}
