//! Tasks: polled when they are woken, spawned on the loop that is meant, told apart.

mod support;

use std::cell::{Cell, RefCell};
use std::future::{Future, pending, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures::task::LocalSpawnExt;
use loopline::{Handle, InsertErrorKind, spawn, yield_now};
use support::{block_on, built, closes_clean, event_loop, scaled};

/// A list that tasks write what they do to.
type Log = Rc<RefCell<Vec<String>>>;

fn say(log: &Log, text: impl Into<String>) {
    log.borrow_mut().push(text.into());
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
