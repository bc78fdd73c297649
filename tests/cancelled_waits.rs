//! Waits that are begun and dropped, by the hundred thousand for each primitive, leave memory as it was.
//! `LOOPLINE_TEST_WAITS` sets another number; `.ci/deep` takes ten million. A file of its own, because it
//! counts what its thread takes from the allocator.

#[path = "support/counting.rs"]
mod counting;
mod support;

use std::future::{Future, pending, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::sync::OnceLock;
use std::task::Poll;
use std::time::{Duration, Instant};

use counting::bytes_held;
use loopline::sync::{Barrier, Mutex, Notify, OnceCell, RwLock, Semaphore};
use loopline::sync::{broadcast, mpsc, oneshot, remote, watch};
use loopline::task::CancellationToken;
use loopline::time::{interval, sleep, timeout};
use loopline::{JoinSet, callback, closing, join, scope, select, spawn, yield_now};
use support::{block_on, scaled};

/// So many steps between two rounds.
const PIECE: usize = 4096;

/// How many waits of each kind.
fn times() -> usize {
    static TIMES: OnceLock<usize> = OnceLock::new();
    *TIMES.get_or_init(|| match std::env::var("LOOPLINE_TEST_WAITS") {
        Ok(text) => text.parse().expect("LOOPLINE_TEST_WAITS is a number"),
        Err(_) => scaled(100_000),
    })
}

/// Polls a wait of this task once, and drops it.
async fn dropped(wait: impl Future) {
    let mut wait = pin!(wait);
    poll_fn(|cx| {
        assert!(wait.as_mut().poll(cx).is_pending());
        Poll::Ready(())
    })
    .await;
}

/// Takes a step many times, and asserts that not a byte more is held than after the first ones.
async fn flat(what: &str, mut step: impl AsyncFnMut()) {
    // The first timer that a turn's end leaves pending makes room for itself; a guest's turn may end anywhere.
    sleep(Duration::from_millis(1)).await;
    // With a whole budget, and as many steps as below between two rounds: the slots of cancelled items are
    // free again after the round.
    yield_now().await;
    for _ in 0..PIECE {
        step().await;
    }
    yield_now().await;
    let (before, began) = (bytes_held(), Instant::now());
    for n in 0..times() {
        step().await;
        if n % PIECE == 0 {
            yield_now().await;
        }
    }
    let (each, more) = (began.elapsed() / times() as u32, bytes_held() - before);
    println!("{what}: {} times, {each:?} each, {more} bytes more", times());
    assert_eq!(more, 0, "bytes held after waits for {what}");
}

// contract 40
#[test]
fn waits_for_locks_and_notices() {
    block_on(async {
        let semaphore = Rc::new(Semaphore::new(1));
        let permit = semaphore.acquire().await.unwrap();
        flat("a permit", async || dropped(semaphore.acquire()).await).await;
        flat("permits, owned", async || {
            dropped(semaphore.clone().acquire_many_owned(2)).await;
        })
        .await;
        drop(permit);
        let mutex = Mutex::new(());
        let guard = mutex.lock().await;
        flat("a mutex", async || dropped(mutex.lock()).await).await;
        drop(guard);
        let lock = RwLock::new(());
        let guard = lock.read().await;
        flat("writing", async || dropped(lock.write()).await).await;
        drop(guard);
        let guard = lock.write().await;
        flat("reading", async || dropped(lock.read()).await).await;
        drop(guard);
        let notify = Notify::new();
        flat("a notification", async || dropped(notify.notified()).await).await;
        let barrier = Barrier::new(3);
        flat("a barrier", async || dropped(join_two(barrier.wait(), barrier.wait())).await).await;
        let cell = OnceCell::<u8>::new();
        let fill = || cell.get_or_init(pending);
        flat("a cell", async || dropped(join_two(fill(), fill())).await).await;
    });
}

async fn join_two(one: impl Future, other: impl Future) {
    join!(one, other);
}

// contract 40
#[test]
fn waits_at_channels_of_one_thread() {
    block_on(async {
        let (sender, mut receiver) = mpsc::channel(1);
        flat("a message", async || dropped(receiver.recv()).await).await;
        sender.send(0).await.unwrap();
        flat("room for a message", async || dropped(sender.send(1)).await).await;
        flat("a place", async || dropped(sender.reserve()).await).await;
        flat("a receiver's end", async || dropped(sender.closed()).await).await;
        let (mut answer, mut answered) = oneshot::channel::<u8>();
        flat("an answer", async || dropped(&mut answered).await).await;
        flat("an asker's end", async || dropped(answer.closed()).await).await;
        let (sender, mut receiver) = broadcast::channel::<u8>(2);
        flat("a broadcast", async || dropped(receiver.recv()).await).await;
        flat("all receivers' end", async || dropped(sender.closed()).await).await;
        let (sender, mut receiver) = watch::channel(0);
        flat("a change", async || dropped(receiver.changed()).await).await;
        flat("a value", async || dropped(receiver.wait_for(|value| *value == 1)).await).await;
        flat("all watchers' end", async || dropped(sender.closed()).await).await;
    });
}

// contract 40
#[test]
fn waits_for_other_threads() {
    block_on(async {
        let (sender, mut receiver) = remote::mpsc::channel(1);
        flat("a remote message", async || dropped(receiver.recv()).await).await;
        sender.send(0).await.unwrap();
        flat("room for a remote message", async || dropped(sender.send(1)).await).await;
        flat("a remote receiver's end", async || dropped(sender.closed()).await).await;
        let (mut answer, mut answered) = remote::oneshot::channel::<u8>();
        flat("a remote answer", async || dropped(&mut answered).await).await;
        flat("a remote asker's end", async || dropped(answer.closed()).await).await;
        let (_sender, mut messages) = callback::channel::<u8>();
        flat("a callback's message", async || dropped(messages.next()).await).await;
        let (_ping, mut pings) = callback::ping();
        flat("a ping", async || dropped(pings.next()).await).await;
    });
}

// contract 40, 45; fault 76
#[test]
fn waits_for_time_and_for_ends() {
    block_on(async {
        let long = Duration::from_secs(3600);
        flat("a sleep", async || dropped(sleep(long)).await).await;
        flat("a timeout", async || dropped(timeout(long, pending::<()>())).await).await;
        let mut ticks = interval(long);
        ticks.tick().await;
        flat("a tick", async || dropped(ticks.tick()).await).await;
        drop(ticks);
        let mut task = spawn(pending::<()>());
        flat("a task", async || dropped(&mut task).await).await;
        drop(task.cancel());
        let mut set: JoinSet<()> = [pending()].into_iter().collect();
        flat("a set's task", async || dropped(set.join_next()).await).await;
        set.shutdown().await;
        flat("a wait of the loop", async || dropped(callback::before_park().next()).await).await;
        flat("an idle moment", async || dropped(callback::idle().next()).await).await;
        flat("the shutdown", async || dropped(closing()).await).await;
        let token = CancellationToken::new();
        flat("a cancellation", async || dropped(token.cancelled()).await).await;
        flat("a child's cancellation", async || {
            dropped(token.child_token().cancelled_owned()).await;
        })
        .await;
        flat("the first of two", async || {
            dropped(async {
                select! {
                    () = token.cancelled() => {}
                    () = sleep(long) => {}
                }
            })
            .await;
        })
        .await;
    });
}

// contract 40, 45
#[test]
fn tasks_and_children_and_scopes_that_are_cancelled() {
    block_on(async {
        flat("a cancelled task", async || {
            let task = spawn(pending::<()>());
            drop(task.cancel());
        })
        .await;
        scope(async |s| {
            let mut child = s.spawn(pending::<()>());
            flat("a child", async || dropped(&mut child).await).await;
            flat("the scope's end", async || dropped(s.closing()).await).await;
            flat("a cancelled child", async || s.spawn(pending::<()>()).cancel()).await;
            child.cancel();
        })
        .await;
        flat("a dropped scope", async || {
            dropped(scope(async |s| drop(s.spawn(pending::<()>())))).await;
        })
        .await;
    });
}
