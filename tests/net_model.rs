//! Unix streams, datagrams and limits against plain models: random operations, waits and cancellations.
#![cfg(unix)]

#[path = "support/net.rs"]
mod net;
mod support;
#[path = "support/unix.rs"]
mod unix;

use std::collections::VecDeque;
use std::io::{ErrorKind, IoSlice, IoSliceMut};
use std::net::Ipv4Addr;
use std::task::Poll;
use std::time::Duration;

use loopline::net::{Limited, UdpSocket, UnixDatagram, UnixListener, UnixStream};
use loopline::time::sleep;
use net::{poll_once, small_buffers, soon};
use support::{block_on, scaled};
use unix::Folder;

/// A generator of numbers that a seed determines.
struct Random(u64);

impl Random {
    fn new() -> Self {
        let seed = std::env::var("LOOPLINE_SEED").ok().and_then(|text| text.parse().ok());
        let seed = seed.unwrap_or(0x9e37_79b9);
        println!("LOOPLINE_SEED={seed}");
        Self(seed | 1)
    }

    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % n
    }

    fn bytes(&mut self, most: usize) -> Vec<u8> {
        (0..self.below(most)).map(|_| self.below(256) as u8).collect()
    }
}

/// What an operation that may wait did: nothing, if it was given up.
fn now<T>(polled: Poll<std::io::Result<T>>) -> Option<T> {
    match polled {
        Poll::Ready(done) => Some(done.unwrap()),
        Poll::Pending => None,
    }
}

/// As `now`, of an operation that does not wait.
fn tried<T>(done: std::io::Result<T>) -> Option<T> {
    match done {
        Ok(done) => Some(done),
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::WouldBlock);
            None
        }
    }
}

// contract 2, 40
#[test]
fn a_stream_is_a_queue_of_bytes_whatever_is_waited_for_and_given_up() {
    let mut random = Random::new();
    block_on(async {
        let (a, b) = UnixStream::pair().unwrap();
        small_buffers(&a);
        let mut queue: VecDeque<u8> = VecDeque::new();
        let mut buf = vec![0; 3000];
        for _ in 0..scaled(20_000) {
            // Sometimes the poller speaks, sometimes only operations do.
            if random.below(3) == 0 {
                sleep(Duration::ZERO).await;
            }
            let bytes = random.bytes(2000);
            let half = bytes.len() / 2;
            let parts = [IoSlice::new(&bytes[..half]), IoSlice::new(&bytes[half..])];
            let wrote = match random.below(8) {
                0 | 1 => now(poll_once(a.write(&bytes)).await),
                2 => tried(a.try_write(&bytes)),
                3 => now(poll_once(a.write_vectored(&parts)).await),
                _ => None,
            };
            queue.extend(&bytes[..wrote.unwrap_or(0)]);
            let want = 1 + random.below(buf.len() - 1);
            let (one, two) = buf[..want].split_at_mut(want / 2);
            let got = match random.below(8) {
                0 => now(poll_once(b.read(&mut buf[..want])).await),
                1 => tried(b.try_read(&mut buf[..want])),
                2 => {
                    let mut parts = [IoSliceMut::new(one), IoSliceMut::new(two)];
                    now(poll_once(b.read_vectored(&mut parts)).await)
                }
                3 if !queue.is_empty() => {
                    soon(b.readable()).await.unwrap();
                    // Something is there, whatever was believed before.
                    Some(soon(b.read(&mut buf[..want])).await.unwrap())
                }
                4 if queue.len() >= want => {
                    Some(soon(b.read_exact(&mut buf[..want])).await.unwrap())
                }
                _ => None,
            };
            for (n, byte) in buf[..got.unwrap_or(0)].iter().enumerate() {
                assert_eq!(Some(*byte), queue.pop_front(), "byte {n} of {got:?}");
            }
            if got.is_none() && queue.is_empty() {
                assert!(poll_once(b.read(&mut buf)).await.is_pending());
            }
        }
        drop(a);
        let mut rest: Vec<u8> = Vec::new();
        while let n @ 1.. = soon(b.read(&mut buf)).await.unwrap() {
            rest.extend(&buf[..n]);
        }
        assert_eq!(rest, Vec::from(queue));
    });
}

/// Random sends and receives by these functions, against a queue of datagrams.
macro_rules! datagrams_against_a_queue {
    ($a:expr, $b:expr, $most:expr) => {{
        let (mut random, a, b) = (Random::new(), $a, $b);
        let mut queue: VecDeque<Vec<u8>> = VecDeque::new();
        let mut buf = vec![0; 64];
        for _ in 0..scaled(20_000) {
            if random.below(3) == 0 {
                sleep(Duration::ZERO).await;
            }
            let bytes = random.bytes(40);
            let sent = match random.below(4) {
                _ if queue.len() == $most => None,
                0 => now(poll_once(a.send(&bytes)).await),
                1 => tried(a.try_send(&bytes)),
                _ => None,
            };
            if let Some(n) = sent {
                assert_eq!(n, bytes.len());
                queue.push_back(bytes);
            }
            // Now and then too short for what comes.
            let room = 1 + random.below(60);
            let got = match random.below(5) {
                0 => now(poll_once(b.recv(&mut buf[..room])).await),
                1 => tried(b.try_recv(&mut buf[..room])),
                2 => tried(b.try_recv_from(&mut buf[..room])).map(|(n, _)| n),
                3 if !queue.is_empty() => Some(soon(b.recv(&mut buf[..room])).await.unwrap()),
                _ => None,
            };
            if let Some(n) = got {
                let mut wanted = queue.pop_front().expect("one that was sent");
                wanted.truncate(room);
                assert_eq!(buf[..n], wanted);
            } else if queue.is_empty() {
                assert!(poll_once(b.recv(&mut buf)).await.is_pending());
            }
        }
        while let Some(mut wanted) = queue.pop_front() {
            wanted.truncate(buf.len());
            let n = soon(b.recv(&mut buf)).await.unwrap();
            assert_eq!(buf[..n], wanted);
        }
    }};
}

// contract 2, 40, 50
#[test]
fn unix_datagrams_are_a_queue() {
    block_on(async {
        let (a, b) = UnixDatagram::pair().unwrap();
        datagrams_against_a_queue!(a, b, usize::MAX);
    });
}

// contract 2, 40, 50
#[test]
fn udp_datagrams_on_the_loopback_are_a_queue_as_long_as_they_fit() {
    block_on(async {
        let a = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let b = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        a.connect(b.local_addr().unwrap()).await.unwrap();
        // What does not fit is dropped without a word.
        datagrams_against_a_queue!(a, b, 64);
    });
}

// contract 40
#[test]
fn a_limit_counts_right_whatever_ends_when() {
    let mut random = Random::new();
    let folder = Folder::new("limit-model");
    block_on(async {
        let path = folder.path("socket");
        let mut most = 5;
        let mut incoming = UnixListener::bind(&path).unwrap().into_incoming().limit(most);
        let (mut queued, mut live): (usize, Vec<(Limited<UnixStream>, UnixStream)>) = (0, vec![]);
        let mut clients = VecDeque::new();
        for _ in 0..scaled(5000) {
            match random.below(6) {
                0 | 1 if queued < 50 => {
                    clients.push_back(soon(UnixStream::connect(&path)).await.unwrap());
                    queued += 1;
                }
                2 if !live.is_empty() => {
                    let n = random.below(live.len());
                    drop(live.swap_remove(n));
                }
                3 if random.below(10) == 0 => {
                    most = random.below(8);
                    incoming.set_limit(most);
                }
                _ => {}
            }
            if random.below(2) == 0 {
                sleep(Duration::ZERO).await;
            }
            if queued > 0 && live.len() < most {
                let stream = soon(incoming.next()).await.unwrap().unwrap();
                live.push((stream, clients.pop_front().unwrap()));
                queued -= 1;
            } else {
                assert!(poll_once(incoming.next()).await.is_pending());
            }
            assert_eq!(incoming.live(), live.len());
        }
        // Each is the one that connected when it did.
        for (server, client) in &live {
            soon(client.write_all(b"!")).await.unwrap();
            soon(server.read_exact(&mut [0])).await.unwrap();
        }
    });
}
