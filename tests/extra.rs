//! futures-lite's traits and helpers, on this loop: woken once, in order, within the budget.
#![cfg(feature = "extra")]

mod support;

use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use loopline::callback::{Next, channel};
use loopline::extra::io::{BufReader, copy};
use loopline::extra::{
    AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWriteExt, FutureExt, StreamExt, future, stream,
};
use loopline::net::{TcpListener, TcpStream};
use loopline::task::consume_budget;
use loopline::time::{Timer, interval, now, sleep};
use loopline::{JoinSet, spawn, yield_now};
use support::{block_on, block_on_paused, closes_clean, event_loop};

async fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (near, far) =
        future::try_zip(TcpStream::connect(address), listener.accept()).await.unwrap();
    (near, far.0)
}

#[test]
fn readers_and_writers_carry_a_stream_through() {
    block_on(async {
        let (near, far) = pair().await;
        let echo = spawn(async move { copy(&far, &far).await.unwrap() });
        let sent = "line\n".repeat(support::scaled(100_000));
        let writing = async {
            // The trait's, on purpose: for a stream itself the inherent one would be called.
            AsyncWriteExt::write_all(&mut &near, sent.as_bytes()).await.unwrap();
            near.shutdown().await.unwrap();
        };
        let reading = async {
            let mut lines = BufReader::new(&near).lines();
            let mut count = 0;
            while let Some(line) = lines.try_next().await.unwrap() {
                assert_eq!(line, "line");
                count += 1;
            }
            count
        };
        let ((), count) = future::zip(writing, reading).await;
        assert_eq!(count * 5, sent.len());
        assert_eq!(echo.await.unwrap(), sent.len() as u64);
        let mut rest = Vec::new();
        (&near).read_to_end(&mut rest).await.unwrap();
        assert!(rest.is_empty());
    });
}

#[test]
fn streams_of_the_loop_are_combined() {
    block_on_paused(async {
        let started = now();
        let ticks = interval(Duration::from_secs(1)).map(|_| "tick");
        let bell = Timer::after(Duration::from_millis(1500)).map(|_| "bell");
        let heard: Vec<_> = stream::or(bell, ticks).take(4).collect().await;
        assert_eq!(heard, ["tick", "tick", "bell", "tick"]);
        assert_eq!(now() - started, Duration::from_secs(2));

        let (sender, numbers) = channel();
        (0..10).try_for_each(|n| sender.send(n)).unwrap();
        drop(sender);
        assert_eq!(numbers.filter(|n| n % 2 == 0).fold(0, |sum, n| sum + n).await, 20);

        let tasks: JoinSet<u64> = [2, 1]
            .map(|n| async move {
                sleep(Duration::from_secs(n)).await;
                n
            })
            .into_iter()
            .collect();
        let ended: Vec<u64> = tasks.map(Result::unwrap).collect().await;
        assert_eq!(ended, [1, 2]);
    });
}

#[test]
fn the_future_that_is_written_first_wins_and_a_panic_is_caught() {
    block_on_paused(async {
        let hour = sleep(Duration::from_secs(3600));
        assert_eq!(async { 1 }.or(async { 2 }).await, 1);
        assert_eq!(
            async {
                hour.await;
                1
            }
            .or(async { 2 })
            .await,
            2
        );
        assert_eq!(future::poll_once(yield_now()).await, None);
        let caught = std::panic::AssertUnwindSafe(async { panic!("on purpose") });
        assert!(FutureExt::catch_unwind(caught).await.is_err());
    });
}

#[test]
fn leaves_inside_keep_the_budget() {
    let mut event_loop = event_loop::<()>();
    let handle = event_loop.handle();
    let others = Rc::new(Cell::new(0));
    let end = Rc::new(Cell::new(false));
    let (counted, ended) = (others.clone(), end.clone());
    handle.spawn(async move {
        while !ended.get() {
            counted.set(counted.get() + 1);
            yield_now().await;
        }
    });
    let (sender, numbers) = channel();
    (0..1280).try_for_each(|n| sender.send(n)).unwrap();
    drop(sender);
    handle.spawn(async move {
        assert_eq!(numbers.count().await, 1280);
        stream::iter(0..1280).then(|_| consume_budget()).count().await;
        end.set(true);
    });
    event_loop.run(&mut ()).unwrap();
    // 2,561 operations, 128 a poll.
    assert_eq!(others.get(), 20 + 1);
    closes_clean(event_loop);
}

/// A connection that breaks within a line.
struct Breaks {
    gave: bool,
}

impl AsyncRead for Breaks {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        if std::mem::replace(&mut self.gave, true) {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        buf[..2].copy_from_slice(b"li");
        Poll::Ready(Ok(2))
    }
}

/// The guide says so; should this fail, futures-lite is mended, and the guide need not.
#[test]
fn lines_of_a_connection_that_breaks_within_one_panic_in_a_debug_build() {
    let mut event_loop = event_loop::<()>();
    let handle = event_loop.handle();
    let lines = BufReader::new(Breaks { gave: false }).lines();
    let callback = handle
        .insert(lines, |line, _lines, ()| {
            assert_eq!(line.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
            Next::Stop
        })
        .unwrap();
    let ended = event_loop.block_on(callback).unwrap();
    assert_eq!(ended.is_err(), cfg!(debug_assertions));
    closes_clean(event_loop);
}
