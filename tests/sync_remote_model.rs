//! The bounded channel of `sync::remote` against a plain one, by random operations.

mod support;

use std::collections::VecDeque;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use loopline::sync::remote::mpsc;
use support::scaled;

/// Polls once with a waker that does nothing.
fn poll_once<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

/// A plain channel, in one thread: what the real one must do.
struct Model {
    room: usize,
    queue: VecDeque<u32>,
    /// Sends in line, and those of them that have room.
    line: VecDeque<u32>,
    has_room: Vec<u32>,
}

impl Model {
    fn free_one(&mut self) {
        match self.line.pop_front() {
            Some(first) => self.has_room.push(first),
            None => self.room += 1,
        }
    }

    fn begin(&mut self, n: u32) -> bool {
        if self.room == 0 {
            return false;
        }
        self.room -= 1;
        self.queue.push_back(n);
        true
    }

    /// Polls or drops a send. Returns whether it is done.
    fn go_on(&mut self, n: u32) -> bool {
        let Some(at) = self.has_room.iter().position(|known| *known == n) else { return false };
        self.has_room.remove(at);
        self.queue.push_back(n);
        true
    }

    fn give_up(&mut self, n: u32) {
        if let Some(at) = self.has_room.iter().position(|known| *known == n) {
            self.has_room.remove(at);
            self.free_one();
        }
        self.line.retain(|known| *known != n);
    }

    fn receive(&mut self) -> Option<u32> {
        let n = self.queue.pop_front()?;
        self.free_one();
        Some(n)
    }
}

fn seed() -> u64 {
    let seed = std::env::var("LOOPLINE_SEED").ok().and_then(|text| text.parse().ok());
    let seed = seed.unwrap_or(20_261_122);
    println!("LOOPLINE_SEED={seed}");
    seed
}

// contract 40
#[test]
fn sends_and_waits_dropped_at_any_point_leave_what_a_plain_model_leaves() {
    let mut state = seed() | 1;
    let mut random = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below as u64) as usize
    };
    for capacity in 1..4 {
        let (sender, mut receiver) = mpsc::channel(capacity);
        let mut model = Model {
            room: capacity,
            queue: VecDeque::new(),
            line: VecDeque::new(),
            has_room: Vec::new(),
        };
        let mut pending = Vec::new();
        for n in 0..scaled(20_000) as u32 {
            match random(6) {
                0 => assert_eq!(sender.try_send(n).is_ok(), model.begin(n)),
                1 => {
                    let mut send = Box::pin(sender.send(n));
                    let done = poll_once(send.as_mut()).is_ready();
                    assert_eq!(done, model.begin(n));
                    if !done {
                        model.line.push_back(n);
                        pending.push((n, send));
                    }
                }
                2 if !pending.is_empty() => {
                    let at = random(pending.len());
                    let (n, send) = &mut pending[at];
                    let done = poll_once(send.as_mut()).is_ready();
                    assert_eq!(done, model.go_on(*n));
                    if done {
                        drop(pending.swap_remove(at));
                    }
                }
                3 if !pending.is_empty() => {
                    let (n, send) = pending.swap_remove(random(pending.len()));
                    drop(send);
                    model.give_up(n);
                }
                4 => match poll_once(pin!(receiver.recv())) {
                    Poll::Ready(got) => assert_eq!(got, model.receive()),
                    // Dropped: it has taken nothing.
                    Poll::Pending => assert_eq!(model.receive(), None),
                },
                _ => {
                    let (limit, mut got) = (1 + random(3), Vec::new());
                    let ready = poll_once(pin!(receiver.recv_many(&mut got, limit))).is_ready();
                    assert_eq!(ready, !got.is_empty());
                    let expected: Vec<_> = (0..limit).map_while(|_| model.receive()).collect();
                    assert_eq!(got, expected);
                }
            }
            assert_eq!((sender.capacity(), receiver.len()), (model.room, model.queue.len()));
        }
    }
}
