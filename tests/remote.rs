//! Remotes: what other threads may ask of a loop, and how they hear of it.

mod support;

use std::cell::RefCell;
use std::future::{Future, pending};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::{Arc, Barrier, mpsc};
use std::task::{Context, Waker};
use std::thread;
use std::time::Duration;

use loopline::callback::{self};
use loopline::{Handle, InsertErrorKind, Remote, WaitError, yield_now};
use support::{block_on, closes_clean, ends_with_items, event_loop, scaled};

/// A value of a type that is not Send.
type Local = Rc<RefCell<Vec<u32>>>;

// contract 29
#[test]
fn the_closure_crosses_threads_and_the_future_does_not() {
    let mut event_loop = event_loop::<Local>();
    let remote = event_loop.handle().remote();
    let home = thread::current().id();
    let worker = thread::spawn(move || {
        let join = remote
            .spawn(move |handle| {
                assert_eq!(thread::current().id(), home);
                let local = Rc::new(7);
                async move {
                    yield_now().await;
                    handle.with(|state| state.borrow_mut().push(*local));
                    assert_eq!(thread::current().id(), home);
                    *local
                }
            })
            .unwrap();
        join.wait().unwrap()
    });
    let mut state = Local::default();
    event_loop.run(&mut state).unwrap();
    assert_eq!(worker.join().unwrap(), 7);
    assert_eq!(*state.borrow(), [7]);
    closes_clean(event_loop);
}

// contract 29
#[test]
fn items_of_one_sender_start_in_the_order_in_which_they_were_sent() {
    const SENDERS: u32 = 4;
    let each = u32::try_from(scaled(5_000)).unwrap();
    let mut event_loop = event_loop::<Vec<(u32, u32)>>();
    let remote = event_loop.handle().remote();
    let start = Arc::new(Barrier::new(SENDERS as usize));
    let senders: Vec<_> = (0..SENDERS)
        .map(|sender| {
            let (remote, start) = (remote.clone(), start.clone());
            thread::spawn(move || {
                start.wait();
                for n in 0..each {
                    let push = move |handle: Handle<Vec<(u32, u32)>>| async move {
                        handle.with(|all| all.push((sender, n)));
                    };
                    drop(remote.spawn(push).unwrap());
                }
            })
        })
        .collect();
    drop(remote);
    let mut all = Vec::new();
    event_loop.run(&mut all).unwrap();
    senders.into_iter().for_each(|sender| sender.join().unwrap());
    for sender in 0..SENDERS {
        let own = all.iter().filter(|(from, _)| *from == sender).map(|(_, n)| *n);
        assert!(own.eq(0..each), "the items of sender {sender} are out of order");
    }
    closes_clean(event_loop);
}

// contract 29
#[test]
fn messages_of_one_sender_arrive_in_order() {
    let each = u32::try_from(scaled(20_000)).unwrap();
    let (sender, mut receiver) = callback::channel::<(u32, u32)>();
    let threads: Vec<_> = (0..4)
        .map(|from| {
            let sender = sender.clone();
            thread::spawn(move || (0..each).try_for_each(|n| sender.send((from, n))).unwrap())
        })
        .collect();
    drop(sender);
    let next = block_on(async {
        let mut next = [0; 4];
        while let Some((from, n)) = receiver.next().await {
            assert_eq!(n, next[from as usize]);
            next[from as usize] += 1;
        }
        next
    });
    assert_eq!(next, [each; 4]);
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}

// contract 23
#[test]
fn wake_ends_the_wait_of_a_turn() {
    let mut event_loop = event_loop::<()>();
    let remote = event_loop.handle().remote();
    // Remembered when it comes between turns: this would wait for ever.
    remote.wake();
    remote.wake();
    let turn = event_loop.turn(&mut (), None).unwrap();
    assert_eq!((turn.ran, turn.stopped), (0, false));
    // Once, however often it was called.
    let turn = event_loop.turn(&mut (), Duration::from_millis(1)).unwrap();
    assert!(!turn.left);
    // From a thread, at whatever moment.
    let (go, goes) = mpsc::channel::<()>();
    let thread = thread::spawn(move || {
        for () in goes {
            remote.wake();
        }
    });
    for _ in 0..scaled(500) {
        go.send(()).unwrap();
        event_loop.turn(&mut (), None).unwrap();
    }
    drop(go);
    thread.join().unwrap();
    closes_clean(event_loop);
}

// contract 22; fault 82
#[test]
fn stop_from_a_thread_ends_the_run() {
    let mut event_loop = event_loop::<()>();
    let remote = event_loop.handle().remote();
    let waits = event_loop.handle().spawn(pending::<()>());
    let thread = thread::spawn(move || remote.stop());
    event_loop.run(&mut ()).unwrap();
    thread.join().unwrap();
    drop(waits.cancel());
    closes_clean(event_loop);
}

// contract 22; fault 82
#[test]
fn stop_from_a_thread_before_the_run_is_remembered() {
    let mut event_loop = event_loop::<()>();
    let remote = event_loop.handle().remote();
    thread::spawn(move || {
        remote.stop();
        remote.stop();
    })
    .join()
    .unwrap();
    let waits = event_loop.handle().spawn(pending::<()>());
    event_loop.run(&mut ()).unwrap();
    assert!(!waits.is_finished());
    // Both were one.
    drop(waits.cancel());
    assert!(!event_loop.turn(&mut (), Duration::ZERO).unwrap().stopped);
    closes_clean(event_loop);
}

// contract 22
#[test]
fn a_run_without_items_waits_for_its_last_remote() {
    let mut event_loop = event_loop::<Vec<&str>>();
    let remote = event_loop.handle().remote();
    let (go, goes) = mpsc::channel::<()>();
    let thread = thread::spawn(move || {
        goes.recv().unwrap_err();
        let copy = remote.clone();
        drop(remote);
        // What was sent before the drop is still done.
        drop(copy.spawn(|handle| async move { handle.with(|log| log.push("last")) }).unwrap());
    });
    let mut log = Vec::new();
    drop(go);
    event_loop.run(&mut log).unwrap();
    assert_eq!(log, ["last"]);
    thread.join().unwrap();
    closes_clean(event_loop);
}

// contract 41
#[test]
fn a_remote_join_is_awaited_on_another_loop() {
    let (give, given) = mpsc::channel::<Remote<u32>>();
    let worker = thread::spawn(move || {
        let mut event_loop = event_loop::<u32>();
        give.send(event_loop.handle().remote()).unwrap();
        drop(give);
        let mut state = 40;
        event_loop.run(&mut state).unwrap();
        closes_clean(event_loop);
        state
    });
    let remote = given.recv().unwrap();
    let outputs = block_on(async move {
        let add = |handle: Handle<u32>| async move {
            yield_now().await;
            handle.with(|n| {
                *n += 1;
                *n
            })
        };
        let (first, second) = (remote.spawn(add).unwrap(), remote.spawn(add).unwrap());
        (first.await.unwrap(), second.await.unwrap())
    });
    assert_eq!(outputs, (41, 42));
    assert_eq!(worker.join().unwrap(), 42);
}

// contract 41
#[test]
fn a_remote_join_is_awaited_on_a_foreign_executor() {
    let mut event_loop = event_loop::<()>();
    let remote = event_loop.handle().remote();
    let worker = thread::spawn(move || {
        futures::executor::block_on(async {
            let mut sum = 0;
            for n in 0..100 {
                sum += remote.spawn(move |_| async move { n }).unwrap().await.unwrap();
            }
            sum
        })
    });
    event_loop.run(&mut ()).unwrap();
    assert_eq!(worker.join().unwrap(), 4_950);
    closes_clean(event_loop);
}

// contract 28
#[test]
fn wait_on_the_loops_own_thread_gives_the_join_back() {
    let mut event_loop = event_loop::<()>();
    let remote = event_loop.handle().remote();
    let join = remote.spawn(|_| async { 5 }).unwrap();
    // Outside a turn it would be for ever too.
    let Err(WaitError::OwnThread(join)) = join.wait() else { panic!("this is the loop's thread") };
    drop(remote);
    let output = event_loop.block_on(async move {
        match join.wait() {
            Err(error @ WaitError::OwnThread(_)) => {
                let text = error.to_string();
                assert!(text.contains("await the join instead"), "{text}");
                let WaitError::OwnThread(join) = error else { unreachable!() };
                join.await.unwrap()
            }
            _ => panic!("this is the loop's thread"),
        }
    });
    assert_eq!(output.unwrap(), 5);
    closes_clean(event_loop);
}

// contract 28
#[test]
fn wait_on_the_loops_own_thread_gives_what_is_there_already() {
    let mut event_loop = event_loop::<()>();
    let remote = event_loop.handle().remote();
    let join = remote.spawn(|_| async { 5 }).unwrap();
    drop(remote);
    event_loop.run(&mut ()).unwrap();
    assert!(join.is_finished());
    assert_eq!(join.wait().unwrap(), 5);
    closes_clean(event_loop);
}

// contract 38
#[test]
fn a_remote_of_a_loop_that_is_gone_gives_the_closure_back() {
    let event_loop = event_loop::<()>();
    let handle = event_loop.handle();
    let (before, text) = (handle.remote(), String::from("mine"));
    closes_clean(event_loop);
    for remote in [before, handle.remote()] {
        remote.wake();
        remote.stop();
        let text = text.clone();
        let error = remote.spawn(move |_| async move { text }).unwrap_err();
        assert_eq!(error.kind(), InsertErrorKind::LoopGone);
        let make = error.into_inner();
        let mut other = support::event_loop::<()>();
        let future = make(other.handle());
        assert_eq!(other.block_on(future).unwrap(), "mine");
        closes_clean(other);
    }
}

// contract 38
#[test]
fn a_loop_that_ends_cancels_what_it_had_accepted() {
    let mut event_loop = event_loop::<()>();
    let remote = event_loop.handle().remote();
    let witness = Arc::new(());
    let held = |witness: Arc<()>| {
        move |_: Handle<()>| async move {
            let _witness = witness;
            pending::<()>().await;
        }
    };
    let begun = remote.spawn(held(witness.clone())).unwrap();
    event_loop.turn(&mut (), Duration::ZERO).unwrap();
    let never_taken = remote.spawn(held(witness.clone())).unwrap();
    let waiting = thread::spawn(move || begun.wait());
    ends_with_items(event_loop, 1);
    assert_eq!(Arc::strong_count(&witness), 1);
    let Err(WaitError::Join(error)) = waiting.join().unwrap() else { panic!("it cannot be done") };
    assert!(error.is_cancelled());
    never_taken.cancel();
    assert!(block_on(never_taken).unwrap_err().is_cancelled());
}

// contract 33
#[test]
fn the_result_of_a_dropped_join_is_dropped() {
    let mut event_loop = event_loop::<()>();
    let remote = event_loop.handle().remote();
    let witness = Arc::new(());
    for before in [true, false] {
        let output = witness.clone();
        let join = remote.spawn(move |_| async move { output }).unwrap();
        if before {
            drop(join);
            event_loop.turn(&mut (), None).unwrap();
        } else {
            event_loop.turn(&mut (), None).unwrap();
            assert_eq!(Arc::strong_count(&witness), 2);
            thread::spawn(move || drop(join)).join().unwrap();
        }
        assert_eq!(Arc::strong_count(&witness), 1);
    }
    closes_clean(event_loop);
}

// contract 40
#[test]
fn a_dropped_await_of_a_remote_join_loses_nothing() {
    let mut event_loop = event_loop::<()>();
    let remote = event_loop.handle().remote();
    let mut join = remote.spawn(|_| async { 5 }).unwrap();
    drop(remote);
    for _ in 0..3 {
        let mut context = Context::from_waker(Waker::noop());
        assert!(Pin::new(&mut join).poll(&mut context).is_pending());
    }
    event_loop.run(&mut ()).unwrap();
    assert_eq!(block_on(join).unwrap(), 5);
    closes_clean(event_loop);
}

// contract 34
#[test]
fn a_remote_join_polled_after_it_gave_its_output_panics_with_a_reason() {
    let mut event_loop = event_loop::<()>();
    let remote = event_loop.handle().remote();
    let mut join = remote.spawn(|_| async { 5 }).unwrap();
    event_loop.block_on(async { assert_eq!((&mut join).await.unwrap(), 5) }).unwrap();
    let again = catch_unwind(AssertUnwindSafe(|| futures::executor::block_on(&mut join).unwrap()));
    let text = again.unwrap_err();
    assert_eq!(
        *text.downcast::<String>().unwrap(),
        "a RemoteJoin was polled after it gave its output"
    );
    closes_clean(event_loop);
}

// contract 35; fault 66
#[test]
fn cancel_is_asked_from_anywhere_and_done_at_home() {
    let mut event_loop = event_loop::<()>();
    let remote = event_loop.handle().remote();
    let witness = Arc::new(());
    let inside = witness.clone();
    let join = remote
        .spawn(move |_| async move {
            let _inside = inside;
            pending::<()>().await;
        })
        .unwrap();
    event_loop.turn(&mut (), None).unwrap();
    join.cancel();
    // Not at once: the future is of another thread.
    assert_eq!(Arc::strong_count(&witness), 2);
    event_loop.turn(&mut (), None).unwrap();
    assert_eq!(Arc::strong_count(&witness), 1);
    assert!(join.is_finished());
    // An item that has ended keeps its output.
    let done = remote.spawn(|_| async { 5 }).unwrap();
    event_loop.turn(&mut (), None).unwrap();
    done.cancel();
    event_loop.turn(&mut (), None).unwrap();
    assert_eq!(done.wait().unwrap(), 5);
    drop(remote);
    closes_clean(event_loop);
}

// contract 35; fault 66
#[test]
fn a_remote_item_that_cancels_itself_or_is_cancelled_at_home_says_so() {
    let mut event_loop = event_loop::<()>();
    let remote = event_loop.handle().remote();
    let itself = remote
        .spawn(|handle| async move {
            assert!(handle.current().unwrap().cancel());
            pending::<()>().await;
        })
        .unwrap();
    let (give, given) = mpsc::channel::<()>();
    let by_other = remote
        .spawn(|handle| async move {
            let own = handle.current().unwrap();
            handle.spawn(async move { own.cancel() });
            give.send(()).unwrap();
            pending::<()>().await;
        })
        .unwrap();
    drop(remote);
    event_loop.run(&mut ()).unwrap();
    given.recv().unwrap();
    for join in [itself, by_other] {
        assert!(block_on(join).unwrap_err().is_cancelled());
    }
    closes_clean(event_loop);
}

// contract 29
#[test]
fn a_remote_item_made_by_its_own_thread_runs_too() {
    let mut event_loop = event_loop::<u32>();
    let handle = event_loop.handle();
    let output = event_loop.run_until(&mut 1, async move {
        let remote = handle.remote();
        let join = remote.spawn(|handle| async move { handle.with(|n| *n + 1) }).unwrap();
        join.await.unwrap()
    });
    assert_eq!(output.unwrap(), 2);
    closes_clean(event_loop);
}

#[test]
fn a_run_goes_on_as_long_as_any_of_several_remotes_lives() {
    let mut event_loop = event_loop::<()>();
    let handle = event_loop.handle();
    let first = handle.remote();
    drop(handle.remote());
    assert!(!event_loop.is_finished());
    drop(first);
    assert!(event_loop.is_finished());
    event_loop.run(&mut ()).unwrap();
    closes_clean(event_loop);
}
