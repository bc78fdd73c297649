//! Copying one way and both ways: every byte, each end by itself, nothing held back, nobody held up.
#![cfg(unix)] // descriptors and their options

#[path = "support/net.rs"]
mod net;
mod support;

use std::cell::Cell;
use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::io::{AsyncRead, AsyncWrite, BufReader, BufWriter, Cursor};
use loopline::io::{copy, copy_bidirectional, copy_buf};
use loopline::net::TcpStream;
use loopline::time::{now, sleep};
use loopline::{join, spawn, yield_now};
use net::{fill, pair, poll_once, reset, small_buffers, soon, with_peer};
use support::{block_on, block_on_paused, closes_clean, event_loop, scaled};

#[test]
fn all_is_copied_and_flushed_and_the_writer_stays_open() {
    block_on(async {
        let bytes: Vec<u8> = (0..100_000_u32).map(|n| n as u8).collect();
        let mut to = BufWriter::with_capacity(1 << 20, Cursor::new(Vec::new()));
        assert_eq!(copy(&mut Cursor::new(&bytes), &mut to).await.unwrap(), 100_000);
        assert_eq!(to.get_ref().get_ref(), &bytes, "flushed");
        let mut to = Vec::new();
        let mut from = BufReader::new(Cursor::new(&bytes));
        assert_eq!(copy_buf(&mut from, &mut to).await.unwrap(), 100_000);
        assert_eq!(to, bytes);
        assert_eq!(copy(&mut Cursor::new([]), &mut Vec::new()).await.unwrap(), 0);
        let mut short = Cursor::new(vec![0_u8; 10].into_boxed_slice());
        let error = copy(&mut Cursor::new(&bytes), &mut short).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::WriteZero);
    });
}

/// Whether what was read reaches the far end of a buffered writer while the reader waits for more.
async fn passes_on<F>(copy: impl FnOnce(TcpStream, BufWriter<Far>) -> F) -> bool
where
    F: Future<Output = ()> + 'static,
{
    let (near, mut peer) = with_peer().await;
    let far = Far::default();
    let task = spawn(copy(near, BufWriter::with_capacity(1024, far.clone())));
    peer.write_all(b"question").unwrap();
    for _ in 0..50 {
        sleep(Duration::from_millis(1)).await;
    }
    let arrived = far.0.get() == 8;
    drop(peer);
    soon(task).await.unwrap();
    arrived
}

/// Counts what is written to it.
#[derive(Clone, Default)]
struct Far(Rc<Cell<usize>>);

impl AsyncWrite for Far {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, b: &[u8]) -> Poll<io::Result<usize>> {
        self.0.set(self.0.get() + b.len());
        Poll::Ready(Ok(b.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[test]
fn a_buffered_writer_holds_nothing_back_while_the_reader_waits() {
    block_on(async {
        assert!(passes_on(async |from, mut to| drop(copy(&mut &from, &mut to).await)).await);
        let buffered = passes_on(async |from, mut to| {
            let _ = copy_buf(&mut BufReader::new(&from), &mut to).await;
        });
        assert!(buffered.await);
        // Why ours is not that of futures, which is here to say when it becomes so.
        let theirs = passes_on(async |from, mut to| {
            let _ = futures::io::copy(&from, &mut to).await;
        });
        assert!(!theirs.await, "futures' copy flushes now");
    });
}

/// Runs a future beside a task that counts how often it gets its turn, and returns that.
fn turns_of_another(future: impl Future<Output = ()> + 'static) -> usize {
    let mut event_loop = event_loop::<()>();
    let handle = event_loop.handle();
    let (others, end) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(false)));
    let (counted, ended) = (others.clone(), end.clone());
    handle.spawn(async move {
        while !ended.get() {
            counted.set(counted.get() + 1);
            yield_now().await;
        }
    });
    handle.spawn(async move {
        future.await;
        end.set(true);
    });
    event_loop.run(&mut ()).unwrap();
    closes_clean(event_loop);
    others.get()
}

/// A reader that is always ready.
struct Zeros(usize);

impl AsyncRead for Zeros {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let n = buf.len().min(self.0);
        self.0 -= n;
        Poll::Ready(Ok(n))
    }
}

// contract 27
#[test]
fn ends_that_never_wait_do_not_hold_up_the_loop() {
    const PIECES: usize = 1280;
    let all = || Zeros(PIECES * 8 * 1024);
    assert_eq!(
        turns_of_another(async move { drop(copy(&mut all(), &mut Far::default()).await) }),
        10
    );
    let mut buffered = BufReader::with_capacity(8 * 1024, all());
    let turns = turns_of_another(async move {
        copy_buf(&mut buffered, &mut Far::default()).await.unwrap();
    });
    assert_eq!(turns, 11, "the end counts too");
    // Another reason why they are not those of futures, which know no budget.
    let theirs = turns_of_another(async move {
        futures::io::copy(all(), &mut Far::default()).await.unwrap();
    });
    assert_eq!(theirs, 1);
}

/// Two ends that blocking code holds, with a proxy between them.
async fn proxied() -> (TcpStream, TcpStream, std::net::TcpStream, std::net::TcpStream) {
    let ((a, left), (b, right)) = (with_peer().await, with_peer().await);
    (a, b, left, right)
}

// fault 17
#[test]
fn each_direction_ends_by_itself() {
    for left_first in [true, false] {
        block_on(async {
            let (mut a, mut b, left, right) = proxied().await;
            let proxy = spawn(async move { copy_bidirectional(&mut a, &mut b).await });
            let (mut one, mut two) = if left_first { (left, right) } else { (right, left) };
            let peers = loopline::spawn_blocking(move || {
                let mut text = String::new();
                one.write_all(b"question").unwrap();
                one.shutdown(Shutdown::Write).unwrap();
                two.read_to_string(&mut text).unwrap();
                assert_eq!(text, "question", "and its end, while the other direction is open");
                two.write_all(b"the answer").unwrap();
                drop(two);
                text.clear();
                one.read_to_string(&mut text).unwrap();
                assert_eq!(text, "the answer");
            });
            soon(peers).await.unwrap();
            let counts = soon(proxy).await.unwrap().unwrap();
            assert_eq!(counts, if left_first { (8, 10) } else { (10, 8) });
        });
    }
}

#[test]
fn the_first_error_ends_both_directions() {
    block_on(async {
        let (mut a, mut b, left, mut right) = proxied().await;
        let proxy = spawn(async move { copy_bidirectional(&mut a, &mut b).await });
        yield_now().await;
        reset(left);
        assert_eq!(soon(proxy).await.unwrap().unwrap_err().kind(), ErrorKind::ConnectionReset);
        assert_eq!(right.read(&mut [0]).unwrap(), 0, "the other end was dropped");
    });
}

#[test]
fn nothing_is_read_that_cannot_be_written() {
    block_on(async {
        let (mut a, mut b, left, right) = proxied().await;
        let (sender, _far) = pair().await;
        drop(sender);
        let proxy = spawn(async move { copy_bidirectional(&mut a, &mut b).await });
        let left = TcpStream::from_std(left).unwrap();
        small_buffers(&right);
        // It ends: both sockets of the proxy and its buffer are full.
        fill(&left).await;
        assert!(poll_once(left.writable()).await.is_pending());
        proxy.cancel().await.unwrap_err();
        drop(right);
    });
}

#[test]
fn the_idle_timeout_counts_from_the_last_byte_in_either_direction() {
    block_on_paused(async {
        let (mut a, mut b, mut left, mut right) = proxied().await;
        let limit = Duration::from_secs(10);
        let started = now();
        let proxy = spawn(async move {
            let result = copy_bidirectional(&mut a, &mut b).idle_timeout(limit).await;
            (result, now())
        });
        for n in 1..=4 {
            sleep(Duration::from_secs(9)).await;
            if n % 2 == 0 { left.write_all(b"x") } else { right.write_all(b"y") }.unwrap();
        }
        let (result, ended) = proxy.await.unwrap();
        assert_eq!(result.unwrap_err().kind(), ErrorKind::TimedOut);
        assert_eq!(ended - started, Duration::from_secs(4 * 9 + 10));
    });
}

#[test]
fn random_pieces_through_a_small_buffer_arrive_byte_by_byte() {
    let seed = std::env::var("LOOPLINE_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed: u64 = seed.unwrap_or(0x5eed);
    println!("LOOPLINE_SEED={seed}");
    block_on(async {
        let ((near, mut a), (far, mut b)) = (pair().await, pair().await);
        let proxy =
            spawn(
                async move { copy_bidirectional(&mut a, &mut b).buffer_size(1000).await.unwrap() },
            );
        let total = scaled(1_000_000);
        let ((), (), there, back) = join!(
            send(&near, seed, total),
            send(&far, !seed, total / 2),
            receive(&far, seed),
            receive(&near, !seed),
        );
        assert_eq!((there, back), (total, total / 2));
        assert_eq!(proxy.await.unwrap(), (total as u64, total as u64 / 2));
    });
}

/// The next number of a generator (splitmix64).
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed ^ (mixed >> 31)
}

async fn send(to: &TcpStream, seed: u64, total: usize) {
    let (mut bytes, mut pieces) = (seed, seed ^ 1);
    let mut left = total;
    while left != 0 {
        let n = (next(&mut pieces) as usize % 4000 + 1).min(left);
        let piece: Vec<u8> = (0..n).map(|_| next(&mut bytes) as u8).collect();
        to.write_all(&piece).await.unwrap();
        left -= n;
        if n % 7 == 0 {
            yield_now().await;
        }
    }
    to.shutdown().await.unwrap();
}

async fn receive(from: &TcpStream, seed: u64) -> usize {
    let (mut bytes, mut sizes) = (seed, seed ^ 2);
    let (mut total, mut buf) = (0, vec![0; 3000]);
    loop {
        let size = next(&mut sizes) as usize % 3000 + 1;
        let n = from.read(&mut buf[..size]).await.unwrap();
        if n == 0 {
            return total;
        }
        for (at, byte) in buf[..n].iter().enumerate() {
            assert_eq!(*byte, next(&mut bytes) as u8, "byte {}", total + at);
        }
        total += n;
    }
}
