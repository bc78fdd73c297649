//! A loop that nothing can wake any more says so, and only then.

mod support;

use std::cell::Cell;
use std::future::{pending, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Duration;

use futures::{FutureExt, StreamExt, poll};
use loopline::callback::{self, Next};
use loopline::sync::{Semaphore, remote};
use loopline::{Deadlock, EventLoop, RunError, spawn};
use support::{built, closes_clean, ends_with_items, event_loop};

/// Runs the future to what must be a deadlock of so many items besides.
#[track_caller]
fn deadlock_of<F: Future<Output = ()>>(items: usize, make: impl FnOnce() -> F) -> Deadlock {
    let mut event_loop = event_loop::<()>();
    let ended = event_loop.block_on(async { make().await });
    let Err(RunError::Deadlock(deadlock)) = ended else { panic!("no deadlock but {ended:?}") };
    match items {
        0 => closes_clean(event_loop),
        items => ends_with_items(event_loop, items),
    }
    deadlock
}

#[test]
fn a_run_that_nothing_can_wake_returns_who_waits_for_what_and_where_it_was_made() {
    let line = Cell::new(0);
    let deadlock = deadlock_of(1, || async {
        let permits = Rc::new(Semaphore::new(0));
        line.set(line!() + 1);
        let task = spawn(async move { drop(permits.acquire().await) });
        task.await.unwrap();
    });
    let [root, task] = deadlock.waits() else { panic!("{deadlock}") };
    assert_eq!((root.id, task.id.is_some()), (None, true));
    assert_eq!(root.waits_for, ["the end of another item (JoinHandle)"]);
    assert_eq!(task.waits_for, ["a permit (Semaphore)"]);
    assert_eq!((task.place.file(), task.place.line()), (file!(), line.get()));
    let text = deadlock.to_string();
    assert!(text.contains("tests/deadlock.rs") && text.contains("a permit (Semaphore)"), "{text}");
}

#[test]
fn run_reports_callbacks_and_labels_and_paused_items() {
    let mut event_loop = event_loop::<()>();
    let handle = event_loop.handle();
    let paused = handle.item().label("paused").spawn(pending::<()>()).control();
    let tick = Box::pin(futures::stream::pending::<()>());
    let source = handle.item().label("source").insert(tick, |(), _, _| Next::Keep).unwrap();
    paused.pause();
    let ended = event_loop.run(&mut ());
    let Err(RunError::Deadlock(deadlock)) = ended else { panic!("{ended:?}") };
    let labels: Vec<_> = deadlock.waits().iter().map(|wait| wait.label.as_deref()).collect();
    assert_eq!(labels, [Some("paused"), Some("source")]);
    assert_eq!(deadlock.waits()[0].waits_for, ["its pause to end (Control::resume)"]);
    // The loop can be used again.
    assert!(paused.cancel() && source.control().cancel());
    drop(source);
    event_loop.run(&mut ()).unwrap();
    closes_clean(event_loop);
}

#[test]
fn a_oneshot_that_a_plain_thread_completes_is_no_deadlock() {
    let mut event_loop = event_loop::<()>();
    let (sender, receiver) = futures::channel::oneshot::channel();
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let thread = std::thread::spawn(move || {
        wait.recv().unwrap();
        sender.send(7)
    });
    let handle = event_loop.handle();
    let got = event_loop.block_on(async move {
        // The thread begins only when the loop has gone to sleep at least once, or is about to.
        handle.next_turn(move |_| go.send(()).unwrap());
        receiver.await
    });
    assert_eq!(got.unwrap(), Ok(7));
    thread.join().unwrap().unwrap();
    closes_clean(event_loop);
}

#[test]
fn a_channel_that_kept_the_waker_of_an_earlier_loop_is_no_deadlock() {
    // It asks for no other waker if the one it has seems to be the same.
    let (sender, mut receiver) = futures::channel::mpsc::unbounded::<u8>();
    for _ in 0..3 {
        for _ in 0..2 {
            let mut event_loop = event_loop::<()>();
            let look = event_loop.block_on(async { futures::poll!(receiver.next()).is_pending() });
            assert!(look.unwrap());
            closes_clean(event_loop);
        }
        let mut event_loop = event_loop::<()>();
        let (go, wait) = std::sync::mpsc::channel::<()>();
        let sender = sender.clone();
        let thread = std::thread::spawn(move || {
            wait.recv().unwrap();
            sender.unbounded_send(7)
        });
        let handle = event_loop.handle();
        let got = event_loop.block_on(async {
            handle.next_turn(move |_| go.send(()).unwrap());
            receiver.next().await
        });
        assert_eq!(got.unwrap(), Some(7));
        thread.join().unwrap().unwrap();
        closes_clean(event_loop);
    }
}

/// A leaf that hands a clone of its waker to a thread, which wakes it once told to.
fn woken_by_a_thread(clone_abroad: bool) {
    let mut event_loop = event_loop::<()>();
    let (give, take) = std::sync::mpsc::channel::<Waker>();
    let woken = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let flag = woken.clone();
    let thread = std::thread::spawn(move || {
        let waker = take.recv().unwrap();
        // Late, so that the loop has gone to sleep; were it not, the test would only prove less.
        std::thread::sleep(Duration::from_millis(20));
        flag.store(true, std::sync::atomic::Ordering::SeqCst);
        waker.wake();
    });
    let mut give = Some(give);
    event_loop
        .block_on(poll_fn(|cx| {
            if let Some(give) = give.take() {
                let waker = match clone_abroad {
                    false => cx.waker().clone(),
                    true => {
                        let waker = cx.waker();
                        std::thread::scope(|s| s.spawn(|| waker.clone()).join().unwrap())
                    }
                };
                give.send(waker).unwrap();
            }
            match woken.load(std::sync::atomic::Ordering::SeqCst) {
                true => Poll::Ready(()),
                false => Poll::Pending,
            }
        }))
        .unwrap();
    thread.join().unwrap();
    closes_clean(event_loop);
}

#[test]
fn a_waker_cloned_by_others_keeps_the_loop_waiting() {
    woken_by_a_thread(false);
}

#[test]
fn a_waker_cloned_on_another_thread_keeps_the_loop_waiting() {
    woken_by_a_thread(true);
}

#[test]
fn an_escaped_waker_counts_until_its_item_ends() {
    let kept = Rc::new(Cell::new(None));
    let keep = kept.clone();
    let cloned_later = kept.clone();
    let deadlock = deadlock_of(0, || async move {
        let task = spawn(poll_fn(move |cx| {
            // However many there are.
            drop(cx.waker().clone());
            keep.set(Some(cx.waker().clone()));
            Poll::Ready(())
        }));
        task.await.unwrap();
        // A clone of what is stale wakes nobody either.
        let stale: Option<Waker> = cloned_later.take();
        cloned_later.set(stale.clone());
        pending::<()>().await;
    });
    assert_eq!(deadlock.waits().len(), 1);
    assert!(kept.take().is_some());
}

#[test]
fn a_timer_a_remote_a_ping_and_a_channel_keep_the_loop_waiting() {
    // Each is ended by a thread that waits for the loop's own word that it has begun.
    let mut event_loop = event_loop::<()>();
    let remote = event_loop.handle().remote();
    let (ping, mut pings) = callback::ping();
    let (sender, mut messages) = callback::channel::<u8>();
    event_loop
        .block_on(async {
            loopline::time::sleep(Duration::from_millis(1)).await;
            let thread = std::thread::spawn(move || ping.ping());
            assert_eq!(pings.next().await, Some(()));
            thread.join().unwrap();
            let thread = std::thread::spawn(move || sender.send(1));
            assert_eq!((messages.next().await, messages.next().await), (Some(1), None));
            thread.join().unwrap().unwrap();
            let thread = std::thread::spawn(move || {
                let join = remote.spawn(|_| async { 5 }).unwrap();
                join.wait().unwrap()
            });
            let (done, told) = futures::channel::oneshot::channel::<u8>();
            std::thread::spawn(move || done.send(thread.join().unwrap()));
            assert_eq!(told.await, Ok(5));
        })
        .unwrap();
    closes_clean(event_loop);
}

#[test]
fn a_channel_whose_senders_are_gone_does_not_hide_a_deadlock() {
    let deadlock = deadlock_of(0, || async {
        let (sender, mut messages) = callback::channel::<u8>();
        let thread = std::thread::spawn(move || sender.send(1));
        while messages.next().await.is_some() {}
        thread.join().unwrap().unwrap();
        pending::<()>().await;
    });
    assert_eq!(deadlock.waits().len(), 1);
}

#[test]
fn a_source_whose_pings_are_gone_does_not_hide_a_deadlock() {
    let deadlock = deadlock_of(0, || async {
        let (ping, mut pings) = callback::ping();
        let thread = std::thread::spawn(move || ping.ping());
        while pings.next().await.is_some() {}
        thread.join().unwrap();
        // It is there still, and nobody can fire it.
        pending::<()>().await;
        drop(pings);
    });
    assert_eq!(deadlock.waits().len(), 1);
}

#[test]
fn an_embedder_can_turn_it_off() {
    let run = |detect: bool| {
        let mut event_loop = built::<()>(|builder| builder.detect_deadlock(detect));
        // A copy from an earlier run, which this run cannot know of.
        let earlier: Result<Waker, _> =
            event_loop.block_on(poll_fn(|cx| Poll::Ready(cx.waker().clone())));
        let waker = earlier.unwrap();
        let (begun, told) = std::sync::mpsc::channel::<()>();
        let thread = std::thread::spawn(move || {
            told.recv().unwrap();
            waker.wake();
        });
        let mut begun = (!detect).then_some(begun);
        let ended = event_loop.block_on(poll_fn(|_| match begun.take() {
            Some(begun) => {
                begun.send(()).unwrap();
                Poll::Pending
            }
            None if detect => Poll::Pending,
            None => Poll::Ready(()),
        }));
        drop(begun);
        assert_eq!(thread.join().is_ok(), !detect);
        closes_clean(event_loop);
        ended
    };
    assert!(matches!(run(true), Err(RunError::Deadlock(_))));
    assert!(matches!(run(false), Ok(())));
}

#[test]
fn a_turn_never_reports_it() {
    let mut event_loop = event_loop::<()>();
    let task = event_loop.handle().spawn(pending::<()>());
    for _ in 0..3 {
        let turn = event_loop.turn(&mut (), Duration::ZERO).unwrap();
        assert!(!turn.left);
    }
    drop(task.cancel());
    closes_clean(event_loop);
}

#[test]
fn a_future_that_goes_on_when_asked_is_no_deadlock() {
    // It looks without being woken, as a spurious poll lets it.
    let mut event_loop = event_loop::<()>();
    let mut polls = 0;
    let polled = event_loop.block_on(poll_fn(|_| {
        polls += 1;
        if polls == 2 { Poll::Ready(polls) } else { Poll::Pending }
    }));
    assert!(matches!(polled, Ok(2)), "{polled:?}");
    closes_clean(event_loop);
}

/// Calls `f` on a thread once the run of this loop is about to sleep.
fn once_asleep<T: Send + 'static>(
    event_loop: &EventLoop<()>,
    f: impl FnOnce() -> T + Send + 'static,
) -> std::thread::JoinHandle<T> {
    let (go, wait) = std::sync::mpsc::channel::<()>();
    event_loop.handle().next_turn(move |()| go.send(()).unwrap());
    std::thread::spawn(move || {
        wait.recv().unwrap();
        f()
    })
}

#[test]
fn every_end_of_a_remote_channel_that_waits_is_no_deadlock() {
    let mut event_loop = event_loop::<()>();
    let (sender, mut receiver) = remote::mpsc::channel::<u8>(1);
    // Waited for in a loop that is gone, then here.
    assert!(support::block_on(async { poll!(pin!(receiver.recv())).is_pending() }));
    let given = sender.clone();
    let thread = once_asleep(&event_loop, move || given.blocking_send(1));
    assert_eq!(event_loop.block_on(receiver.recv()).unwrap(), Some(1));
    thread.join().unwrap().unwrap();
    sender.try_send(2).unwrap();
    let thread = once_asleep(&event_loop, move || (receiver.blocking_recv(), receiver));
    event_loop.block_on(async { sender.send(3).await.unwrap() }).unwrap();
    let (got, receiver) = thread.join().unwrap();
    assert_eq!(got, Some(2));
    let thread = once_asleep(&event_loop, move || drop(receiver));
    event_loop.block_on(sender.closed()).unwrap();
    thread.join().unwrap();

    let (mut answer, answered) = remote::oneshot::channel::<u8>();
    let thread = once_asleep(&event_loop, move || drop(answered));
    event_loop.block_on(answer.closed()).unwrap();
    thread.join().unwrap();
    let (answer, answered) = remote::oneshot::channel::<u8>();
    let thread = once_asleep(&event_loop, move || drop(answer));
    assert!(event_loop.block_on(answered).unwrap().is_err());
    thread.join().unwrap();
    // And when both ends are here, nobody else can end the wait.
    let (_sender, mut receiver) = remote::mpsc::channel::<u8>(1);
    let unsure = event_loop.block_on(async {
        loopline::time::timeout(Duration::from_millis(1), receiver.recv()).await
    });
    assert!(unsure.unwrap().is_err());
    closes_clean(event_loop);
}

#[test]
fn a_wait_of_a_child_or_through_others_that_a_thread_ends_is_no_deadlock() {
    let mut event_loop = event_loop::<()>();
    let (sender, receiver) = futures::channel::oneshot::channel();
    let thread = once_asleep(&event_loop, move || sender.send(7));
    let scoped = loopline::scope(async |s| {
        let child = s.spawn(receiver);
        s.spawn(async { assert_eq!(child.await.unwrap(), Ok(7)) });
    });
    event_loop.block_on(scoped).unwrap();
    thread.join().unwrap().unwrap();
    // The waker that was given away is of a task that has ended since.
    let (sender, receiver) = futures::channel::oneshot::channel();
    let shared = receiver.shared();
    let first = event_loop.handle().spawn(shared.clone());
    event_loop.turn(&mut (), Duration::ZERO).unwrap();
    drop(first.cancel());
    let thread = once_asleep(&event_loop, move || sender.send(8));
    assert_eq!(event_loop.block_on(shared).unwrap(), Ok(8));
    thread.join().unwrap().unwrap();
    // A job of the pool, waited for by another task than its own.
    let job = event_loop.handle().spawn_blocking(|| 9);
    let waits = event_loop.handle().spawn(async move { job.await.unwrap() });
    assert_eq!(event_loop.block_on(waits).unwrap().unwrap(), 9);
    closes_clean(event_loop);
}
