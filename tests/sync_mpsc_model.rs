//! `mpsc` against a plain model: random sends, reservations, receives, cancellations and closings.

#[path = "support/polled.rs"]
mod polled;
mod support;

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::task::Poll;

use loopline::spawn;
use loopline::sync::mpsc::error::{SendError, TryRecvError, TrySendError};
use loopline::sync::mpsc::{self, OwnedPermit, Receiver, Sender};
use polled::Polled;
use support::{block_on, scaled};

/// A generator of numbers that a seed determines.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % n
    }
}

fn seed() -> u64 {
    let seed = std::env::var("LOOPLINE_SEED").ok().and_then(|text| text.parse().ok());
    let seed = seed.unwrap_or(0x9e37_79b9);
    println!("LOOPLINE_SEED={seed}");
    seed | 1
}

type Sending = Pin<Box<dyn Future<Output = Result<(), SendError<u32>>>>>;
type Reserving = Pin<Box<dyn Future<Output = Result<OwnedPermit<u32>, SendError<()>>>>>;

/// A wait for capacity, for real.
enum Wait {
    Send(Polled<Sending>),
    Reserve(Polled<Reserving>),
}

impl Wait {
    fn wakes(&self) -> usize {
        match self {
            Self::Send(sending) => sending.wakes(),
            Self::Reserve(reserving) => reserving.wakes(),
        }
    }
}

/// The plain reference: what is in the channel and who waits for it, by number of the wait.
struct Model {
    capacity: usize,
    queue: VecDeque<u32>,
    /// Permits that are out.
    permits: usize,
    line: VecDeque<u32>,
    /// Reached, and not polled since.
    granted: Vec<u32>,
    closed: bool,
}

impl Model {
    fn free(&self) -> usize {
        self.capacity - self.queue.len() - self.permits - self.granted.len()
    }

    /// Gives what is free to those in line.
    fn settle(&mut self) {
        while !self.closed && self.free() > 0 {
            let Some(first) = self.line.pop_front() else { return };
            self.granted.push(first);
        }
    }

    fn leave(&mut self, wait: u32) {
        self.line.retain(|other| *other != wait);
        self.granted.retain(|other| *other != wait);
    }
}

struct Run {
    model: Model,
    sender: Sender<u32>,
    receiver: Receiver<u32>,
    waits: Vec<(u32, Wait)>,
    permits: Vec<OwnedPermit<u32>>,
    next: u32,
}

impl Run {
    fn new(capacity: usize) -> Self {
        let (sender, receiver) = mpsc::channel(capacity);
        let model = Model {
            capacity,
            queue: VecDeque::new(),
            permits: 0,
            line: VecDeque::new(),
            granted: Vec::new(),
            closed: false,
        };
        Self { model, sender, receiver, waits: Vec::new(), permits: Vec::new(), next: 0 }
    }

    fn number(&mut self) -> u32 {
        self.next += 1;
        self.next
    }

    /// Begins a wait and polls it once.
    fn begin(&mut self, reserve: bool) {
        let n = self.number();
        let sender = self.sender.clone();
        let wait = if reserve {
            let future: Reserving = Box::pin(sender.reserve_owned());
            Wait::Reserve(Polled::new(future))
        } else {
            let future: Sending = Box::pin(async move { sender.send(n).await });
            Wait::Send(Polled::new(future))
        };
        if !self.model.closed {
            self.model.line.push_back(n);
        }
        self.model.settle();
        self.waits.push((n, wait));
        self.poll(self.waits.len() - 1);
    }

    fn poll(&mut self, index: usize) {
        let (n, wait) = &mut self.waits[index];
        let n = *n;
        let waits = self.model.line.contains(&n) && !self.model.closed;
        let granted = self.model.granted.contains(&n) && !self.model.closed;
        match wait {
            Wait::Send(sending) => match sending.poll() {
                Poll::Pending => return assert!(waits, "send {n} waits"),
                Poll::Ready(sent) => {
                    assert_eq!(sent.is_ok(), granted, "send {n}");
                    if granted {
                        self.model.queue.push_back(n);
                    }
                }
            },
            Wait::Reserve(reserving) => match reserving.poll() {
                Poll::Pending => return assert!(waits, "reservation {n} waits"),
                Poll::Ready(reserved) => {
                    assert_eq!(reserved.is_ok(), granted, "reservation {n}");
                    if let Ok(permit) = reserved {
                        self.model.permits += 1;
                        self.permits.push(permit);
                    }
                }
            },
        }
        self.model.leave(n);
        drop(self.waits.remove(index));
        self.model.settle();
    }

    fn step(&mut self, random: &mut Random) {
        match random.below(12) {
            0..3 => self.begin(random.below(2) == 0),
            3..5 if !self.waits.is_empty() => self.poll(random.below(self.waits.len())),
            5 if !self.waits.is_empty() => {
                let (n, wait) = self.waits.remove(random.below(self.waits.len()));
                drop(wait);
                self.model.leave(n);
                self.model.settle();
            }
            6 if !self.permits.is_empty() => {
                let permit = self.permits.remove(random.below(self.permits.len()));
                let n = self.number();
                drop(permit.send(n));
                self.model.permits -= 1;
                self.model.queue.push_back(n);
            }
            7 if !self.permits.is_empty() => {
                drop(self.permits.remove(random.below(self.permits.len())));
                self.model.permits -= 1;
                self.model.settle();
            }
            8 => {
                let n = self.number();
                let expected = match (self.model.closed, self.model.free()) {
                    (true, _) => Err(TrySendError::Closed(n)),
                    (false, 0) => Err(TrySendError::Full(n)),
                    (false, _) => {
                        self.model.queue.push_back(n);
                        Ok(())
                    }
                };
                assert_eq!(self.sender.try_send(n), expected);
            }
            9 if random.below(200) == 0 => {
                self.receiver.close();
                self.model.closed = true;
            }
            _ => self.receive(random.below(3)),
        }
        self.compare();
    }

    fn receive(&mut self, how: usize) {
        let first = self.model.queue.front().copied();
        let ended = self.model.closed && self.model.permits == 0 && self.model.granted.is_empty();
        match how {
            0 => {
                let none = if ended { TryRecvError::Disconnected } else { TryRecvError::Empty };
                assert_eq!(self.receiver.try_recv(), first.ok_or(none));
                self.model.queue.pop_front();
            }
            1 => {
                let expected = match first {
                    None if !ended => Poll::Pending,
                    first => Poll::Ready(first),
                };
                assert_eq!(Polled::new(self.receiver.recv()).poll(), expected);
                self.model.queue.pop_front();
            }
            _ => {
                let mut buffer = Vec::new();
                let taken = Polled::new(self.receiver.recv_many(&mut buffer, 3)).poll();
                let expected: Vec<_> = self.model.queue.iter().copied().take(3).collect();
                self.model.queue.drain(..expected.len());
                let pending = expected.is_empty() && !ended;
                assert_eq!(buffer, expected);
                assert_eq!(taken, if pending { Poll::Pending } else { Poll::Ready(buffer.len()) });
            }
        }
        self.model.settle();
    }

    fn compare(&self) {
        assert_eq!(self.receiver.len(), self.model.queue.len());
        assert_eq!(self.sender.capacity(), self.model.free());
        assert_eq!(self.sender.is_closed(), self.model.closed);
        for (n, wait) in &self.waits {
            let woken = self.model.granted.contains(n) || self.model.closed;
            assert_eq!(wait.wakes(), usize::from(woken), "wait {n}");
        }
    }

    /// Ends everything, and sees that the whole capacity is there and all is received.
    fn end(mut self) {
        self.waits.clear();
        self.permits.clear();
        let (model, receiver) = (&mut self.model, &mut self.receiver);
        while let Some(expected) = model.queue.pop_front() {
            assert_eq!(receiver.try_recv(), Ok(expected));
        }
        assert_eq!(receiver.capacity(), model.capacity);
        drop(self.sender);
        assert_eq!(receiver.try_recv(), Err(TryRecvError::Disconnected));
        assert_eq!(receiver.sender_strong_count(), 0);
    }
}

// contract 29, 40
#[test]
fn the_channel_does_what_the_model_does() {
    let mut random = Random(seed());
    for _ in 0..scaled(300) {
        let mut run = Run::new(1 + random.below(4));
        for _ in 0..300 {
            run.step(&mut random);
        }
        run.end();
    }
}

/// Polls a future `n` times, each after all others could run, then drops it.
async fn cancelled_after(n: usize, future: impl Future) -> bool {
    let mut future = Polled::new(future);
    for _ in 0..n {
        if future.poll().is_ready() {
            return false;
        }
        loopline::yield_now().await;
    }
    true
}

// contract 40
#[test]
fn tasks_cancelled_at_every_await_lose_and_repeat_nothing() {
    for (capacity, polls) in [(1, 1), (1, 2), (1, 3), (2, 1), (2, 2), (3, 4)] {
        block_on(async move {
            let (sender, mut receiver) = mpsc::channel(capacity);
            let senders: Vec<_> = (0..3_u32)
                .map(|me| {
                    let sender = sender.clone();
                    spawn(async move {
                        let mut sent = Vec::new();
                        for n in 0..200 {
                            let cancelled = cancelled_after(polls, sender.send((me, n))).await;
                            if !cancelled {
                                sent.push(n);
                            }
                            // The reservation that is cancelled keeps nothing.
                            cancelled_after(polls, sender.reserve()).await;
                        }
                        sent
                    })
                })
                .collect();
            drop(sender);
            let mut received = [const { Vec::new() }; 3];
            loop {
                // A receive that waits is given up once: nothing is lost by that.
                let first = Polled::new(receiver.recv()).poll();
                let message = match first {
                    Poll::Ready(message) => message,
                    Poll::Pending => receiver.recv().await,
                };
                let Some((from, n)) = message else { break };
                received[from as usize].push(n);
            }
            for (me, sender) in senders.into_iter().enumerate() {
                assert_eq!(received[me], sender.await.unwrap(), "of {me}, {capacity}, {polls}");
            }
        });
    }
}
