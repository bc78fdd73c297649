//! Tasks: the order they run in, and what their handles say.

mod support;

use std::cell::{Cell, RefCell};
use std::future::{Future, pending, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures::task::LocalSpawnExt;
use loopline::callback::{self, Next};
use loopline::{Handle, InsertErrorKind, JoinHandle, spawn, yield_now};
use support::{
    block_on, block_on_paused, built, closes_clean, ends_with_items, event_loop, scaled,
};

/// A list that tasks write what they do to.
type Log = Rc<RefCell<Vec<String>>>;

fn say(log: &Log, text: impl Into<String>) {
    log.borrow_mut().push(text.into());
}

/// Polls by hand, with a waker that does nothing.
fn poll_once<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(Waker::noop()))
}

// contract 26
#[test]
fn tasks_run_in_the_order_in_which_they_were_spawned() {
    let log = Log::default();
    block_on({
        let log = log.clone();
        async move {
            let tasks: Vec<_> = (0..5)
                .map(|n| {
                    let log = log.clone();
                    spawn(async move { say(&log, n.to_string()) })
                })
                .collect();
            futures::future::join_all(tasks).await;
        }
    });
    assert_eq!(*log.borrow(), ["0", "1", "2", "3", "4"]);
}

// contract 26
#[test]
fn a_task_that_yields_goes_behind_all_that_is_queued() {
    let log = Log::default();
    let mut event_loop = event_loop::<()>();
    for name in ["a", "b", "c"] {
        let log = log.clone();
        event_loop.handle().spawn(async move {
            for step in 1..=3 {
                say(&log, format!("{name}{step}"));
                yield_now().await;
            }
        });
    }
    event_loop.run(&mut ()).unwrap();
    assert_eq!(*log.borrow(), ["a1", "b1", "c1", "a2", "b2", "c2", "a3", "b3", "c3"]);
    closes_clean(event_loop);
}

// contract 26
#[test]
fn a_task_spawned_by_a_task_runs_in_the_next_round() {
    let log = Log::default();
    let mut event_loop = event_loop::<()>();
    let handle = event_loop.handle();
    let inner = log.clone();
    handle.spawn(async move {
        say(&inner, "parent");
        let child = inner.clone();
        handle.spawn(async move { say(&child, "child") });
        yield_now().await;
        say(&inner, "parent again");
    });
    let other = log.clone();
    handle.spawn(async move {
        say(&other, "other");
        yield_now().await;
        say(&other, "other again");
    });
    event_loop.run(&mut ()).unwrap();
    assert_eq!(*log.borrow(), ["parent", "other", "child", "parent again", "other again"]);
    closes_clean(event_loop);
}

// contract 17
#[test]
fn a_source_inserted_by_a_task_runs_in_the_next_turn_and_a_task_in_this_one() {
    let mut event_loop = event_loop::<()>();
    let handle = event_loop.handle();
    let log = Rc::new(RefCell::new(Vec::new()));
    let inner = log.clone();
    handle.spawn(async move {
        let (ping, source) = callback::ping();
        ping.ping();
        let seen = inner.clone();
        handle
            .insert(source, move |(), _source, ()| {
                seen.borrow_mut().push(("source", handle.stats().turns));
                Next::Stop
            })
            .unwrap();
        let seen = inner.clone();
        handle.spawn(async move {
            yield_now().await;
            seen.borrow_mut().push(("task", handle.stats().turns));
        });
    });
    event_loop.run(&mut ()).unwrap();
    assert_eq!(*log.borrow(), [("task", 1), ("source", 2)]);
    closes_clean(event_loop);
}

// contract 26
#[test]
fn the_root_future_stands_in_the_same_queue_as_the_tasks() {
    let log = Log::default();
    block_on(async {
        for name in ["a", "b"] {
            let log = log.clone();
            spawn(async move {
                say(&log, format!("{name}1"));
                yield_now().await;
                say(&log, format!("{name}2"));
            });
        }
        say(&log, "root1");
        yield_now().await;
        say(&log, "root2");
        yield_now().await;
        say(&log, "root3");
    });
    assert_eq!(*log.borrow(), ["root1", "a1", "b1", "root2", "a2", "b2", "root3"]);
}

// contract 26
#[test]
fn an_item_runs_once_a_round_also_when_it_cancels_another_of_that_round() {
    let log = Log::default();
    let mut event_loop = event_loop::<()>();
    let handle = event_loop.handle();
    let victims: Vec<JoinHandle<()>> = Vec::new();
    let victims = Rc::new(RefCell::new(victims));
    let (inner, doomed) = (log.clone(), victims.clone());
    handle.spawn(async move {
        say(&inner, "a1");
        doomed.borrow_mut().drain(..).for_each(|victim| drop(victim.cancel()));
        // Of the round after this one, which has not begun.
        let deferred = inner.clone();
        handle.defer(move |()| say(&deferred, "deferred"));
        yield_now().await;
        say(&inner, "a2");
    });
    let victim = || handle.spawn(async { unreachable!("cancelled before its turn came") });
    victims.borrow_mut().extend([victim(), victim()]);
    let inner = log.clone();
    handle.spawn(async move {
        say(&inner, "b1");
        yield_now().await;
        say(&inner, "b2");
    });
    event_loop.run(&mut ()).unwrap();
    assert_eq!(*log.borrow(), ["a1", "b1", "deferred", "a2", "b2"]);
    closes_clean(event_loop);
}

// contract 26
#[test]
fn what_was_deferred_runs_at_the_head_of_the_next_round_in_order() {
    let mut event_loop = event_loop::<Vec<&str>>();
    let handle = event_loop.handle();
    handle.spawn(async move {
        handle.with(|log| log.push("a"));
        handle.spawn(async move { handle.with(|log| log.push("spawned")) });
        handle.defer(|log| log.push("deferred 1"));
        handle.defer(|log| log.push("deferred 2"));
    });
    handle.spawn(async move { handle.with(|log| log.push("b")) });
    let mut log = Vec::new();
    event_loop.run(&mut log).unwrap();
    assert_eq!(log, ["a", "b", "deferred 1", "deferred 2", "spawned"]);
    closes_clean(event_loop);
}

// contract 26
#[test]
fn what_is_deferred_by_a_deferred_closure_waits_one_more_round() {
    let mut event_loop = event_loop::<Vec<&str>>();
    let handle = event_loop.handle();
    handle.defer(move |log| {
        log.push("first");
        handle.defer(|log| log.push("third"));
    });
    handle.spawn(async move { handle.with(|log| log.push("second")) });
    let mut log = Vec::new();
    event_loop.run(&mut log).unwrap();
    assert_eq!(log, ["first", "second", "third"]);
    closes_clean(event_loop);
}

// contract 17
#[test]
fn next_turn_waits_for_a_look_at_the_poller_however_much_is_queued() {
    let mut event_loop = event_loop::<Vec<(&str, u64)>>();
    let handle = event_loop.handle();
    handle.spawn(async move {
        handle.next_turn(move |log| log.push(("next turn", handle.stats().turns)));
        for _ in 0..3 {
            yield_now().await;
        }
        handle.with(|log| log.push(("three rounds on", handle.stats().turns)));
    });
    let mut log = Vec::new();
    event_loop.run(&mut log).unwrap();
    assert_eq!(log, [("three rounds on", 1), ("next turn", 2)]);
    closes_clean(event_loop);
}

// contract 17
#[test]
fn deferred_closures_and_next_turns_give_their_results_to_their_handles() {
    let mut event_loop = event_loop::<u32>();
    let handle = event_loop.handle();
    let result = event_loop
        .run_until(&mut 5, async move {
            let deferred = handle.defer(|n| *n + 1).await.unwrap();
            deferred + handle.next_turn(|n| *n * 10).await.unwrap()
        })
        .unwrap();
    assert_eq!(result, 56);
    closes_clean(event_loop);
}

// contract 34
#[test]
fn a_task_woken_twice_is_polled_once() {
    let polls = Rc::new(Cell::new(0));
    block_on({
        let polls = polls.clone();
        async move {
            let waker = Rc::new(RefCell::new(None::<Waker>));
            let (count, stored) = (polls.clone(), waker.clone());
            spawn(poll_fn(move |cx| {
                count.set(count.get() + 1);
                stored.replace(Some(cx.waker().clone()));
                if count.get() == 2 { Poll::Ready(()) } else { Poll::Pending }
            }));
            yield_now().await;
            let waker = waker.take().unwrap();
            waker.wake_by_ref();
            waker.wake_by_ref();
            let copy = waker.clone();
            copy.wake();
            yield_now().await;
            assert_eq!(polls.get(), 2);
            // Done: a wake means nothing.
            waker.wake();
            yield_now().await;
        }
    });
    assert_eq!(polls.get(), 2);
}

// contract 34; fault 55
#[test]
fn a_stale_waker_does_not_poll_the_task_that_got_its_slot() {
    let polls = Rc::new(Cell::new(0));
    let mut event_loop = event_loop::<()>();
    event_loop
        .block_on(async {
            let first = spawn(poll_fn(|cx| Poll::Ready(cx.waker().clone())));
            let stale = first.await.unwrap();
            let count = polls.clone();
            let second = spawn(poll_fn(move |_| {
                count.set(count.get() + 1);
                Poll::<()>::Pending
            }));
            for _ in 0..3 {
                yield_now().await;
                stale.wake_by_ref();
            }
            yield_now().await;
            drop(second.cancel());
        })
        .unwrap();
    assert_eq!(polls.get(), 1);
    closes_clean(event_loop);
}

// contract 34
#[test]
fn a_task_woken_while_it_is_polled_is_polled_again() {
    let mut event_loop = event_loop::<()>();
    let mut polls = 0;
    let task = event_loop.handle().spawn(poll_fn(move |cx| {
        polls += 1;
        cx.waker().wake_by_ref();
        cx.waker().wake_by_ref();
        if polls == 3 { Poll::Ready(polls) } else { Poll::Pending }
    }));
    assert_eq!(event_loop.block_on(task).unwrap().unwrap(), 3);
    closes_clean(event_loop);
}

// contract 34
#[test]
fn a_task_that_is_not_woken_is_not_polled() {
    let mut event_loop = event_loop::<()>();
    let polls = Rc::new(Cell::new(0));
    let count = polls.clone();
    let task = event_loop.handle().spawn(poll_fn(move |_| {
        count.set(count.get() + 1);
        Poll::<()>::Pending
    }));
    for _ in 0..10 {
        event_loop.turn(&mut (), Duration::ZERO).unwrap();
    }
    assert_eq!(polls.get(), 1);
    drop(task.cancel());
    closes_clean(event_loop);
}

// contract 35
#[test]
fn the_future_is_dropped_before_its_handle_is_told() {
    struct Noisy(Log);
    impl Drop for Noisy {
        fn drop(&mut self) {
            say(&self.0, "future dropped");
        }
    }
    let log = Log::default();
    block_on({
        let log = log.clone();
        async move {
            let noisy = Noisy(log.clone());
            let inner = log.clone();
            let task = spawn(async move {
                let _noisy = noisy;
                yield_now().await;
                say(&inner, "body done");
            });
            task.await.unwrap();
            say(&log, "handle told");
        }
    });
    assert_eq!(*log.borrow(), ["body done", "future dropped", "handle told"]);
}

// contract 35
#[test]
fn what_a_future_captured_but_never_moved_is_dropped_before_its_handle_is_told() {
    struct Owns(Rc<()>);
    impl Future for Owns {
        type Output = usize;
        fn poll(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<usize> {
            Poll::Ready(Rc::strong_count(&self.0))
        }
    }
    block_on(async {
        let owned = Rc::new(());
        let task = spawn(Owns(owned.clone()));
        assert_eq!(task.await.unwrap(), 2);
        assert_eq!(Rc::strong_count(&owned), 1);
    });
}

// contract 36
#[test]
fn a_task_goes_on_when_its_handle_is_dropped() {
    let mut event_loop = event_loop::<()>();
    let done = Rc::new(Cell::new(false));
    let inner = done.clone();
    drop(event_loop.handle().spawn(async move {
        for _ in 0..5 {
            yield_now().await;
        }
        inner.set(true);
    }));
    event_loop.run(&mut ()).unwrap();
    assert!(done.get());
    closes_clean(event_loop);
}

// contract 36
#[test]
fn the_loop_keeps_a_task_that_nothing_else_knows() {
    let mut event_loop = event_loop::<()>();
    let witness = Rc::new(());
    let inside = witness.clone();
    event_loop.handle().spawn(async move {
        // No waker is kept anywhere.
        pending::<()>().await;
        drop(inside);
    });
    for _ in 0..3 {
        event_loop.turn(&mut (), Duration::ZERO).unwrap();
    }
    assert_eq!(Rc::strong_count(&witness), 2);
    assert_eq!(event_loop.handle().stats().items, 1);
    ends_with_items(event_loop, 1);
    assert_eq!(Rc::strong_count(&witness), 1);
}

// contract 36
#[test]
fn dropping_the_handle_of_a_finished_task_drops_its_output() {
    let mut event_loop = event_loop::<()>();
    let witness = Rc::new(());
    let output = witness.clone();
    let task = event_loop.handle().spawn(async move { output });
    event_loop.turn(&mut (), Duration::ZERO).unwrap();
    assert!(task.is_finished());
    assert_eq!(Rc::strong_count(&witness), 2);
    drop(task);
    assert_eq!(Rc::strong_count(&witness), 1);
    closes_clean(event_loop);
}

// contract 36
#[test]
fn the_output_of_a_detached_task_is_dropped_as_it_ends() {
    let mut event_loop = event_loop::<()>();
    let witness = Rc::new(());
    let output = witness.clone();
    drop(event_loop.handle().spawn(async move { output }));
    event_loop.turn(&mut (), Duration::ZERO).unwrap();
    assert_eq!(Rc::strong_count(&witness), 1);
    closes_clean(event_loop);
}

// contract 41
#[test]
fn a_handle_can_be_awaited_in_a_later_run_of_its_loop() {
    let mut event_loop = event_loop::<()>();
    let (finished, unfinished) = event_loop
        .block_on(async {
            let finished = spawn(async { "first" });
            let unfinished = spawn(async {
                for _ in 0..5 {
                    yield_now().await;
                }
                "second"
            });
            yield_now().await;
            (finished, unfinished)
        })
        .unwrap();
    assert!(finished.is_finished() && !unfinished.is_finished());
    assert_eq!(event_loop.block_on(finished).unwrap().unwrap(), "first");
    assert_eq!(event_loop.block_on(unfinished).unwrap().unwrap(), "second");
    closes_clean(event_loop);
}

// contract 41
#[test]
fn a_handle_that_was_polled_in_one_run_is_woken_in_the_next() {
    let mut event_loop = event_loop::<()>();
    let (release, gate) = futures::channel::oneshot::channel::<u32>();
    let mut task = event_loop.handle().spawn(gate);
    // Leaves the waker of this root future behind.
    let early = event_loop.block_on(poll_fn(|cx| Poll::Ready(Pin::new(&mut task).poll(cx))));
    assert!(early.unwrap().is_pending());
    let output = event_loop.block_on(async {
        spawn(async move { release.send(3).unwrap() });
        task.await.unwrap()
    });
    assert_eq!(output.unwrap(), Ok(3));
    closes_clean(event_loop);
}

// contract 41
#[test]
fn a_handle_can_be_awaited_on_another_loop_of_the_thread() {
    let mut made_on = event_loop::<()>();
    let mut awaited_on = event_loop::<()>();
    let task = made_on.handle().spawn(async {
        yield_now().await;
        7
    });
    // The waiting loop is woken from the other one's turn.
    let mut task = task;
    let polled = awaited_on.block_on(poll_fn(|cx| Poll::Ready(Pin::new(&mut task).poll(cx))));
    assert!(polled.unwrap().is_pending());
    let waiting = awaited_on.handle().spawn(task);
    awaited_on.turn(&mut (), Duration::ZERO).unwrap();
    assert!(!waiting.is_finished());
    made_on.run(&mut ()).unwrap();
    awaited_on.turn(&mut (), None).unwrap();
    assert!(waiting.is_finished());
    assert_eq!(awaited_on.block_on(waiting).unwrap().unwrap().unwrap(), 7);
    closes_clean(made_on);
    closes_clean(awaited_on);
}

// contract 35
#[test]
fn a_handle_says_when_its_task_has_ended() {
    let mut event_loop = event_loop::<()>();
    let handle = event_loop.handle();
    let done = handle.spawn(async {});
    let cancelled = handle.spawn(pending::<()>());
    let panicked = handle.spawn(async { panic!("on purpose") });
    let running = handle.spawn(pending::<()>());
    assert!(!done.is_finished() && !cancelled.is_finished() && !panicked.is_finished());
    let cancelled = cancelled.cancel();
    event_loop.turn(&mut (), Duration::ZERO).unwrap();
    assert!(done.is_finished() && cancelled.is_finished() && panicked.is_finished());
    assert!(!running.is_finished());
    assert!(event_loop.block_on(panicked).unwrap().unwrap_err().is_panic());
    assert!(running.cancel().is_finished());
    closes_clean(event_loop);
}

// contract 13
#[test]
fn ids_grow_and_are_not_used_again() {
    let mut event_loop = event_loop::<()>();
    let handle = event_loop.handle();
    let mut last = None;
    for _ in 0..scaled(1_000) {
        // Slots are used again; ids are not.
        let task = handle.spawn(async move { handle.current().unwrap().id() });
        let (id, control) = (task.id(), task.control());
        assert!(last < Some(id));
        last = Some(id);
        assert_eq!(control.id(), id);
        assert_eq!(event_loop.block_on(task).unwrap().unwrap(), id);
        assert!(!control.cancel(), "a control of an ended item reaches no other");
        assert!(!control.pause() && !control.resume());
    }
    closes_clean(event_loop);
}

// contract 34
#[test]
fn a_handle_polled_after_it_gave_its_output_panics_with_a_reason() {
    let mut event_loop = event_loop::<()>();
    let mut task = event_loop.handle().spawn(async {});
    event_loop.run(&mut ()).unwrap();
    assert!(poll_once(&mut task).is_ready());
    let again = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| poll_once(&mut task)));
    let text = *again.unwrap_err().downcast::<&str>().unwrap();
    assert_eq!(text, "a JoinHandle was polled after it had given its output");
    assert!(task.is_finished());
    closes_clean(event_loop);
}

// contract 34
#[test]
fn a_task_that_awaits_itself_waits_and_can_be_cancelled() {
    let mut event_loop = event_loop::<()>();
    let own: Rc<RefCell<Option<JoinHandle<()>>>> = Rc::default();
    let inner = own.clone();
    let control = {
        let task = event_loop.handle().spawn(async move {
            let me = inner.take().unwrap();
            assert!(!me.is_finished());
            let _ = me.await;
            unreachable!("it cannot have ended before it ended");
        });
        let control = task.control();
        own.replace(Some(task));
        control
    };
    for _ in 0..3 {
        event_loop.turn(&mut (), Duration::ZERO).unwrap();
    }
    assert_eq!(event_loop.handle().stats().items, 1);
    assert!(control.cancel());
    closes_clean(event_loop);
}

// contract 34
#[test]
fn a_task_that_holds_its_own_handle_is_freed_when_it_ends() {
    let mut event_loop = event_loop::<()>();
    let witness = Rc::new(());
    let own: Rc<RefCell<Option<JoinHandle<Rc<()>>>>> = Rc::default();
    let (inner, inside) = (own.clone(), witness.clone());
    let task = event_loop.handle().spawn(async move {
        let _me = inner.take();
        yield_now().await;
        inside
    });
    own.replace(Some(task));
    event_loop.run(&mut ()).unwrap();
    assert_eq!(Rc::strong_count(&witness), 1);
    closes_clean(event_loop);
}

// contract 40
#[test]
fn a_dropped_await_of_a_handle_loses_nothing() {
    block_on_paused(async {
        let mut task = spawn(async {
            loopline::time::sleep(Duration::from_secs(10)).await;
            "output"
        });
        let early = loopline::time::timeout(Duration::from_secs(1), &mut task).await;
        assert!(early.is_err());
        assert_eq!(task.await.unwrap(), "output");
    });
}

// contract 28
#[test]
fn spawn_without_a_loop_says_what_to_do() {
    let refused = std::panic::catch_unwind(|| drop(spawn(async {})));
    let text = *refused.unwrap_err().downcast::<&str>().unwrap();
    assert_eq!(text, "no event loop runs on this thread; use Handle::spawn");

    // One that exists but is not in a turn does not count.
    let event_loop = event_loop::<()>();
    assert!(std::panic::catch_unwind(|| drop(spawn(async {}))).is_err());
    closes_clean(event_loop);
}

// contract 38
#[test]
fn try_spawn_on_a_loop_that_is_gone_gives_the_future_back() {
    struct Mine(Rc<Cell<bool>>);
    impl Future for Mine {
        type Output = ();
        fn poll(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<()> {
            self.0.set(true);
            Poll::Ready(())
        }
    }
    let gone = event_loop::<()>();
    let handle = gone.handle();
    closes_clean(gone);
    let polled = Rc::new(Cell::new(false));
    let error = handle.try_spawn(Mine(polled.clone())).unwrap_err();
    assert_eq!(error.kind(), InsertErrorKind::LoopGone);
    assert_eq!(error.to_string(), "the event loop of this handle was dropped");
    // It is whole: another loop runs it.
    block_on(error.into_inner());
    assert!(polled.get());
}

// contract 38
#[test]
fn spawn_on_a_loop_that_is_gone_drops_the_future_and_says_cancelled() {
    let gone = event_loop::<()>();
    let handle = gone.handle();
    closes_clean(gone);
    let witness = Rc::new(());
    let inside = witness.clone();
    let task = handle.spawn(async move { drop(inside) });
    assert_eq!(Rc::strong_count(&witness), 1);
    assert!(task.is_finished());
    assert!(!task.control().cancel());
    assert!(block_on(task).unwrap_err().is_cancelled());
    assert!(block_on(handle.defer(|()| 1)).unwrap_err().is_cancelled());
    assert!(block_on(handle.next_turn(|()| 1)).unwrap_err().is_cancelled());
}

// contract 36
#[test]
fn spawn_goes_to_the_innermost_running_loop() {
    let mut outer = event_loop::<()>();
    let ids = outer
        .block_on(async {
            let mut inner = event_loop::<u8>();
            let inner_handle = inner.handle();
            inner_handle.spawn(async move {
                assert_eq!(Handle::<u8>::try_current(), Ok(inner_handle));
                spawn(async {});
                assert_eq!(inner_handle.stats().items, 2);
            });
            inner.turn(&mut 0, Duration::ZERO).unwrap();
            closes_clean(inner);
            let outer = Handle::<()>::try_current().unwrap();
            spawn(async {}).await.unwrap();
            (inner_handle.id(), outer.id())
        })
        .unwrap();
    assert_ne!(ids.0, ids.1);
    assert_eq!(outer.handle().id(), ids.1);
    closes_clean(outer);
}

// contract 28
#[test]
fn the_current_handle_is_found_by_its_state() {
    use loopline::CurrentError;
    assert_eq!(Handle::<()>::try_current(), Err(CurrentError::NoLoop));
    let mut event_loop = event_loop::<String>();
    let handle = event_loop.handle();
    let found = event_loop
        .run_until(&mut String::new(), async {
            assert_eq!(Handle::<()>::try_current(), Err(CurrentError::OtherState));
            Handle::<String>::try_current()
        })
        .unwrap();
    assert_eq!(found, Ok(handle));
    assert_eq!(Handle::<String>::try_current(), Err(CurrentError::NoLoop));
    closes_clean(event_loop);
}

// contract 36
#[test]
fn items_say_their_label_and_the_place_they_were_made_at() {
    let event_loop = event_loop::<()>();
    let handle = event_loop.handle();
    let line = line!() + 1;
    let named = handle.item().label("acceptor").spawn(pending::<()>());
    let plain = handle.spawn(pending::<()>());
    let place = format!("{}:{line}", file!());
    let text = format!("{named:?}");
    assert!(text.contains("acceptor") && text.contains(&place), "{text}");
    let text = format!("{plain:?}");
    assert!(text.contains(&format!("{}:{}", file!(), line + 1)), "{text}");
    let owned = handle.item().label(format!("number {}", 5)).spawn(pending::<()>());
    assert!(format!("{owned:?}").contains("number 5"));
    for task in [named, plain, owned] {
        drop(task.cancel());
    }
    closes_clean(event_loop);
}

// contract 36
#[test]
fn a_handle_is_a_spawner_for_the_futures_crate() {
    let mut event_loop = event_loop::<()>();
    let handle = event_loop.handle();
    let joined = handle.spawn_local_with_handle(async { 5 }).unwrap();
    assert_eq!(event_loop.block_on(joined).unwrap(), 5);
    handle.spawn_local(async {}).unwrap();
    event_loop.run(&mut ()).unwrap();
    closes_clean(event_loop);
    assert!(handle.spawn_local(async {}).unwrap_err().is_shutdown());
}

// contract 36; fault 69
#[test]
fn many_tasks_spawned_woken_and_ended_leave_nothing() {
    let mut event_loop = event_loop::<()>();
    let handle = event_loop.handle();
    let ended = Rc::new(Cell::new(0));
    let many = scaled(100_000);
    for _ in 0..many {
        let ended = ended.clone();
        handle.spawn(async move {
            yield_now().await;
            ended.set(ended.get() + 1);
        });
    }
    assert_eq!(handle.stats().items, many);
    event_loop.run(&mut ()).unwrap();
    assert_eq!(ended.get(), many);
    closes_clean(event_loop);
}

// contract 27
#[test]
fn a_task_that_awaits_only_finished_handles_still_yields() {
    let mut event_loop = built::<()>(|b| b.operations_per_poll(4));
    let handle = event_loop.handle();
    let finished: Vec<_> = (0..100).map(|n| handle.spawn(async move { n })).collect();
    event_loop.run(&mut ()).unwrap();
    let log = Log::default();
    let inner = log.clone();
    let greedy = handle.spawn(async move {
        for task in finished {
            task.await.unwrap();
        }
        say(&inner, "greedy");
    });
    let inner = log.clone();
    handle.spawn(async move { say(&inner, "modest") });
    let before = handle.stats().items_run;
    event_loop.run(&mut ()).unwrap();
    assert_eq!(*log.borrow(), ["modest", "greedy"]);
    assert!(greedy.is_finished());
    // Four a poll, and one poll of the modest one.
    assert_eq!(handle.stats().items_run - before, 25 + 1);
    closes_clean(event_loop);
}
