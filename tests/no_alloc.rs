//! What a warmed-up loop does all day allocates nothing: wakes, dispatch of events, timers that fire.
//! A file of its own, because it counts every allocation of its thread.
#![cfg(unix)] // descriptors and their options

#[path = "support/counting.rs"]
mod counting;
#[path = "support/net.rs"]
mod net;
mod support;

use std::cell::Cell;
use std::future::poll_fn;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Duration;

use counting::allocations;
use loopline::callback::{Next, channel, ping};
use loopline::io::{FdSource, Interest};
use loopline::sync::remote;
use loopline::time::{self, Timer, interval, sleep};
use loopline::{spawn, yield_now};
use net::pair;
use support::{block_on, block_on_paused, closes_clean, event_loop};

/// Whether every loop of this process permutes orders, which takes memory.
fn is_seeded() -> bool {
    std::env::var_os("LOOPLINE_SEED").is_some()
}

/// Runs a step again and again, and returns what the runs after the first ones allocated.
async fn allocations_of(mut step: impl AsyncFnMut()) -> u64 {
    // The first timer that a turn's end leaves pending for more than a millisecond makes room for itself; a
    // guest's turn may end anywhere. So does the first that is over, as the turn after it begins; that may be
    // any, as a poll that has used up its budget may end its turn.
    sleep(Duration::from_millis(3)).await;
    sleep(Duration::from_millis(3)).await;
    for _ in 0..100 {
        step().await;
    }
    let before = allocations();
    for _ in 0..1000 {
        step().await;
    }
    if is_seeded() { 0 } else { allocations() - before }
}

#[test]
fn the_counter_counts() {
    let taken = block_on(allocations_of(async || drop(std::hint::black_box(Box::new(1)))));
    assert_eq!(taken, if is_seeded() { 0 } else { 1000 });
}

// fault 9
#[test]
fn a_wake_allocates_nothing() {
    block_on(async {
        // A task that sleeps until it is woken by its number, and wakes back.
        let waiting: Rc<Cell<Option<Waker>>> = Rc::default();
        let theirs = waiting.clone();
        let other = spawn(poll_fn(move |cx| {
            theirs.set(Some(cx.waker().clone()));
            Poll::<()>::Pending
        }));
        let taken = allocations_of(async || {
            let waker = waiting.take();
            waker.into_iter().for_each(Waker::wake);
            yield_now().await;
        });
        assert_eq!(taken.await, 0);
        drop(other.cancel());
    });
}

// fault 9
#[test]
fn a_wake_from_another_thread_allocates_nothing_on_the_loops_thread() {
    block_on(async {
        let (pinger, mut pings) = ping();
        let (asked, questions) = std::sync::mpsc::sync_channel::<()>(1);
        let thread = std::thread::spawn(move || {
            while questions.recv().is_ok() {
                pinger.ping();
            }
        });
        let taken = allocations_of(async || {
            asked.send(()).unwrap();
            pings.next().await.unwrap();
        });
        assert_eq!(taken.await, 0);
        drop(asked);
        thread.join().unwrap();
    });
}

// fault 9
#[test]
fn an_event_of_a_socket_allocates_nothing() {
    block_on(async {
        let (a, b) = pair().await;
        let (a, b) = (Rc::new(a), Rc::new(b));
        let far = b.clone();
        let echo = spawn(async move {
            let mut buf = [0; 64];
            while let n @ 1.. = far.read(&mut buf).await.unwrap() {
                far.write_all(&buf[..n]).await.unwrap();
            }
        });
        let mut buf = [0; 64];
        let taken = allocations_of(async || {
            a.write_all(b"there and back").await.unwrap();
            assert_eq!(a.read(&mut buf).await.unwrap(), 14);
        });
        assert_eq!(taken.await, 0);
        drop(echo.cancel());
    });
}

// fault 9
#[test]
fn an_event_of_a_callback_allocates_nothing() {
    let (near, mut far) = UnixStream::pair().unwrap();
    near.set_nonblocking(true).unwrap();
    let mut event_loop = event_loop::<u32>();
    let source = FdSource::new(near, Interest::READABLE);
    let insert = event_loop.handle().insert(source, |event, source, seen| {
        event.unwrap();
        if source.try_io(|mut near| near.read(&mut [0; 8])).is_ok() {
            *seen += 1;
        }
        Next::Keep
    });
    let control = insert.unwrap().control();
    let mut seen = 0;
    let mut before = 0;
    for round in 0..1100 {
        if round == 100 {
            before = allocations();
        }
        far.write_all(b"x").unwrap();
        event_loop.turn(&mut seen, Duration::from_secs(10)).unwrap();
    }
    assert!(is_seeded() || allocations() == before, "{} allocations", allocations() - before);
    assert!(seen >= 1000, "only {seen} events");
    control.cancel();
    closes_clean(event_loop);
}

// fault 9
#[test]
fn a_timer_that_is_set_and_fires_allocates_nothing() {
    block_on_paused(async {
        let sleeping = allocations_of(async || sleep(Duration::from_millis(3)).await).await;
        assert_eq!(sleeping, 0);
        let start = time::now();
        let mut interval = interval(Duration::from_secs(3600));
        let ticking = allocations_of(async || assert!(interval.tick().await >= start)).await;
        assert_eq!(ticking, 0);
        let mut timer = Timer::every(Duration::from_micros(10));
        let firing = allocations_of(async || assert!(timer.next().await.is_some())).await;
        assert_eq!(firing, 0);
    });
}

// fault 9
#[test]
fn a_timeout_that_is_set_and_cancelled_allocates_nothing() {
    block_on(async {
        let taken = allocations_of(async || {
            time::timeout(Duration::from_secs(60), yield_now()).await.unwrap();
        });
        // Of a thousand. Their bucket grows, up to 64, when a turn has more of them than any before it; where a
        // turn ends is the clock's affair, or the host's; and a slow machine comes to the next bucket.
        assert!(taken.await <= 10);
    });
}

// fault 9; contract 45
#[test]
fn a_million_dropped_waits_of_remote_channels_allocate_nothing() {
    block_on(async {
        let (sender, mut receiver) = remote::mpsc::channel(1);
        let (_never, mut message) = remote::oneshot::channel::<u32>();
        let mut context = std::task::Context::from_waker(Waker::noop());
        let waits = support::scaled(900);
        let taken = allocations_of(async || {
            for _ in 0..waits {
                assert!(pin!(receiver.recv()).poll(&mut context).is_pending());
                assert!(Pin::new(&mut message).poll(&mut context).is_pending());
            }
            sender.try_send(0).unwrap();
            for _ in 0..waits {
                let mut one = pin!(sender.send(1));
                let mut two = pin!(sender.send(2));
                assert!(one.as_mut().poll(&mut context).is_pending());
                assert!(two.as_mut().poll(&mut context).is_pending());
            }
            assert_eq!(receiver.try_recv(), Ok(0));
            assert_eq!(sender.capacity(), 1, "nobody is left in line");
        });
        assert_eq!(taken.await, 0);
    });
}

// fault 9
#[test]
fn a_message_of_a_channel_allocates_nothing() {
    block_on(async {
        let (sender, mut receiver) = channel();
        let taken = allocations_of(async || {
            sender.send(1).unwrap();
            assert_eq!(receiver.next().await, Some(1));
        });
        assert_eq!(taken.await, 0);
    });
}
