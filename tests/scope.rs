//! Scopes: children borrow from the frame, run as tasks do, and the scope ends after the last of them.

mod support;

use std::cell::{Cell, RefCell};
use std::future::{Future, pending, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures::stream::{FuturesUnordered, StreamExt};
use loopline::sync::Semaphore;
use loopline::task::budget;
use loopline::time::sleep;
use loopline::{Handle, Scope, scope, spawn, yield_now};
use support::{block_on, block_on_paused, closes_clean, ends_with_items, event_loop, paused};

/// Polls a future once.
async fn once<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    poll_fn(|cx| Poll::Ready(Pin::new(&mut *future).poll(cx))).await
}

#[test]
fn children_borrow_from_the_frame_and_it_has_them_back() {
    block_on(async {
        let words = [String::from("a"), String::from("b")];
        let mut sum = 0;
        let seen = RefCell::new(Vec::new());
        let returned = scope(async |s| {
            for word in &words {
                s.spawn(async {
                    yield_now().await;
                    seen.borrow_mut().push(word.as_str());
                });
            }
            s.spawn(async { sum += 5 });
            "returned"
        })
        .await;
        sum += 1;
        assert_eq!((returned, sum, seen.into_inner()), ("returned", 6, vec!["a", "b"]));
    });
}

#[test]
fn children_run_in_the_next_round_in_order_with_the_tasks_between_them() {
    let mut event_loop = event_loop::<Vec<&str>>();
    let handle = event_loop.handle();
    let push = move |name| handle.with(|log: &mut Vec<&str>| log.push(name));
    let mut log = Vec::new();
    event_loop
        .run_until(&mut log, async move {
            scope(async |s| {
                s.spawn(async { push("child 1") });
                s.spawn(async {
                    push("child 2");
                    yield_now().await;
                    push("child 2 again");
                });
                let task = spawn(async move { push("task") });
                push("body");
                task.await.unwrap();
            })
            .await;
            push("after");
        })
        .unwrap();
    assert_eq!(log[0], "body");
    assert!(log.ends_with(&["child 2 again", "after"]), "{log:?}");
    log[1..4].sort_unstable();
    assert_eq!(log[1..4], ["child 1", "child 2", "task"]);
    closes_clean(event_loop);
}

#[test]
fn outputs_come_by_the_handles_in_whatever_order_they_are_awaited() {
    block_on(async {
        scope(async |s| {
            let slow = s.spawn(async {
                yield_now().await;
                "slow"
            });
            let mut quick = s.spawn(async { Rc::new("quick") });
            // A wait that is given up loses nothing.
            assert!(once(&mut quick).await.is_pending());
            assert_eq!(slow.await.unwrap(), "slow");
            assert!(quick.is_finished());
            assert_eq!(**quick.await.as_ref().unwrap(), "quick");
            // Siblings await each other, and handles may be dropped.
            let first = s.spawn(async { 20 });
            let second = s.spawn(async move { first.await.unwrap() + 1 });
            drop(s.spawn(async { yield_now().await }));
            assert_eq!(second.await.unwrap(), 21);
            assert_eq!(s.len(), 1);
        })
        .await;
    });
}

#[test]
fn a_child_spawns_siblings_as_long_as_the_scope_lives() {
    fn descend<'s, 'e>(
        s: &'s Scope<'s, 'e, std::convert::Infallible>,
        count: &'s Cell<u32>,
        n: u32,
    ) {
        count.set(count.get() + 1);
        if n > 0 {
            for _ in 0..2 {
                s.spawn(async move { descend(s, count, n - 1) });
            }
        }
    }
    block_on(async {
        let count = Cell::new(0);
        scope(async |s| descend(s, &count, 9)).await;
        assert_eq!(count.get(), (1 << 10) - 1);
    });
}

#[test]
fn scopes_nest_and_inner_children_borrow_from_outer_ones() {
    block_on(async {
        let total = Cell::new(0);
        scope(async |outer| {
            for n in 1..=3 {
                let total = &total;
                outer.spawn(async move {
                    let local = Cell::new(0);
                    scope(async |inner| {
                        for _ in 0..n {
                            inner.spawn(async {
                                yield_now().await;
                                local.set(local.get() + 1);
                            });
                        }
                    })
                    .await;
                    total.set(total.get() + local.get());
                });
            }
        })
        .await;
        assert_eq!(total.get(), 6);
    });
}

#[test]
fn a_child_has_a_budget_of_its_own() {
    let spent = |operations: u32| async move {
        let mut done = 0;
        while done < operations {
            poll_fn(|cx| budget::poll_proceed(cx).map(budget::Permit::spend)).await;
            done += 1;
        }
    };
    let mut event_loop = event_loop::<()>();
    let handle = event_loop.handle();
    let polls = event_loop
        .block_on(async {
            scope(async |s| {
                let before = handle.stats().items_run;
                let children: Vec<_> = (0..20).map(|_| s.spawn(spent(100))).collect();
                for child in children {
                    child.await.unwrap();
                }
                handle.stats().items_run - before
            })
            .await
        })
        .unwrap();
    // With one budget for all it would take one poll for each 128 operations.
    assert!(polls <= 4, "{polls} polls");
    closes_clean(event_loop);
}

#[test]
fn hundreds_of_children_woken_at_once_all_run_and_others_run_between_them() {
    block_on(async {
        let (gate, ran) = (Semaphore::new(0), Cell::new(0));
        let seen = Rc::new(RefCell::new(Vec::new()));
        scope(async |s| {
            for _ in 0..500 {
                s.spawn(async {
                    gate.acquire().await.unwrap().forget();
                    ran.set(ran.get() + 1);
                });
            }
            while s.len() < 500 || gate.available_permits() > 0 {
                yield_now().await;
            }
            for _ in 0..30 {
                yield_now().await;
            }
            gate.add_permits(500);
            while !s.is_empty() {
                seen.borrow_mut().push(ran.get());
                yield_now().await;
            }
            seen.borrow_mut().push(ran.get());
        })
        .await;
        assert_eq!(ran.get(), 500);
        let longest = seen.borrow().windows(2).map(|pair| pair[1] - pair[0]).max();
        assert!(longest <= Some(64), "{longest:?} children ran in one poll of their scope");
    });
}

#[test]
fn a_child_is_cancelled_at_once_by_its_handle_and_by_itself_as_its_poll_ends() {
    block_on(async {
        let witness = Rc::new(());
        scope(async |s| {
            let held = witness.clone();
            let child = s.spawn(async move {
                let _held = held;
                pending::<()>().await;
            });
            yield_now().await;
            child.cancel();
            assert_eq!((Rc::strong_count(&witness), s.len()), (1, 0));

            let (own, reached) = (Rc::new(Cell::new(None)), Rc::new(Cell::new(false)));
            let (mine, held, done) = (own.clone(), witness.clone(), reached.clone());
            let child = s.spawn(async move {
                let _held = held;
                yield_now().await;
                let child: loopline::Child<'_, '_, (), _> = mine.take().unwrap();
                child.cancel();
                done.set(true);
                pending::<()>().await;
            });
            own.set(Some(child));
            while !s.is_empty() {
                yield_now().await;
            }
            assert!(reached.get());
            assert_eq!(Rc::strong_count(&witness), 1);
        })
        .await;
    });
}

#[test]
fn a_cancelled_child_says_so_to_who_awaits_it() {
    block_on(async {
        scope(async |s| {
            let child = s.spawn(pending::<u32>());
            let (id, control) = (child.id(), child.control());
            s.spawn(async move { assert!(control.cancel()) });
            let error = child.await.unwrap_err();
            assert!(error.is_cancelled() && error.id() == id && !control.cancel());
            assert!(s.is_empty());
        })
        .await;
    });
}

#[test]
fn a_paused_child_is_not_polled_until_it_is_resumed_and_loses_no_wake() {
    block_on(async {
        let (gate, ran) = (Semaphore::new(0), Cell::new(0));
        scope(async |s| {
            let child = s.spawn(async {
                ran.set(1);
                gate.acquire().await.unwrap().forget();
                ran.set(2);
            });
            let control = child.control();
            assert!(control.pause());
            for _ in 0..5 {
                yield_now().await;
            }
            assert_eq!(ran.get(), 0);
            assert!(control.resume());
            while ran.get() == 0 {
                yield_now().await;
            }
            control.pause();
            gate.add_permits(1);
            for _ in 0..5 {
                yield_now().await;
            }
            assert_eq!(ran.get(), 1);
            control.resume();
            child.await.unwrap();
        })
        .await;
        assert_eq!(ran.get(), 2);
    });
}

#[test]
fn a_scope_works_inside_combinators_with_wakers_of_their_own() {
    block_on_paused(async {
        let count = Cell::new(0);
        let mut all: FuturesUnordered<_> = (1..=20_u64)
            .map(|n| {
                let count = &count;
                scope(async move |s| {
                    for _ in 0..n {
                        s.spawn(async move {
                            sleep(Duration::from_millis(n)).await;
                            count.set(count.get() + 1);
                        });
                    }
                    sleep(Duration::from_millis(1)).await;
                    n
                })
            })
            .collect();
        let mut ended = Vec::new();
        while let Some(n) = all.next().await {
            ended.push(n);
        }
        assert_eq!(ended, (1..=20).collect::<Vec<_>>());
        assert_eq!(count.get(), 210);
        // Cancelled by the loser's drop.
        let dropped = Rc::new(());
        let forever = Box::pin(scope(async |s| {
            s.spawn(async {
                let _held = dropped.clone();
                pending::<()>().await;
            });
        }));
        drop(futures::future::select(forever, pin!(sleep(Duration::from_millis(1)))).await);
        assert_eq!(Rc::strong_count(&dropped), 1);
    });
}

#[test]
fn a_scope_that_is_polled_seldom_polls_a_child_once_for_many_wakes() {
    block_on(async {
        let (polls, waker) = (Cell::new(0), RefCell::new(None::<Waker>));
        let mut left = Box::pin(scope(async |s| {
            s.spawn(poll_fn(|cx| {
                polls.set(polls.get() + 1);
                *waker.borrow_mut() = Some(cx.waker().clone());
                if polls.get() < 4 { Poll::Pending } else { Poll::Ready(()) }
            }));
        }));
        for expected in 0..4 {
            assert!(once(&mut left).await.is_pending());
            assert_eq!(polls.get(), expected);
            for _ in 0..100 {
                if let Some(waker) = &*waker.borrow() {
                    waker.wake_by_ref();
                }
                yield_now().await;
            }
        }
        assert!(once(&mut left).await.is_ready());
        assert_eq!(polls.get(), 4);
    });
}

#[test]
fn a_forgotten_scope_leaves_items_that_do_nothing_and_end_with_the_loop() {
    let mut event_loop = event_loop::<()>();
    let handle = event_loop.handle();
    let ran = Rc::new(Cell::new(0));
    let seen = ran.clone();
    event_loop
        .block_on(async move {
            let mut left = scope(async move |s| {
                for _ in 0..3 {
                    let ran = seen.clone();
                    s.spawn(async move {
                        loop {
                            ran.set(ran.get() + 1);
                            yield_now().await;
                        }
                    });
                }
            });
            while handle.stats().items < 3 || ran.get() < 9 {
                assert!(once(&mut left).await.is_pending());
                yield_now().await;
            }
            std::mem::forget(left);
            let before = ran.get();
            for _ in 0..10 {
                yield_now().await;
            }
            assert_eq!(ran.get(), before);
        })
        .unwrap();
    // They are background items: nothing is left to run for.
    event_loop.run(&mut ()).unwrap();
    ends_with_items(event_loop, 3);
}

#[test]
fn a_scope_goes_on_on_another_loop_and_ends_children_whose_loop_is_gone() {
    let mut first = event_loop::<()>();
    let mut second = event_loop::<()>();
    let (gate, log) = (Semaphore::new(0), RefCell::new(Vec::new()));
    let mut moved = Box::pin(scope(async |s| {
        let of_first = s.spawn(pending::<()>());
        let through = s.spawn(async {
            gate.acquire().await.unwrap().forget();
            log.borrow_mut().push("through");
        });
        through.await.unwrap();
        let of_second = s.spawn(async { yield_now().await });
        of_second.await.unwrap();
        log.borrow_mut().push("of the second");
        let lost = of_first.await.unwrap_err();
        assert!(lost.is_cancelled());
    }));
    first
        .block_on(async {
            for _ in 0..4 {
                assert!(once(&mut moved).await.is_pending());
                yield_now().await;
            }
        })
        .unwrap();
    second
        .block_on(async {
            assert!(once(&mut moved).await.is_pending());
            gate.add_permits(1);
            first.turn(&mut (), Duration::ZERO).unwrap();
            while log.borrow().len() < 2 {
                assert!(once(&mut moved).await.is_pending());
                yield_now().await;
            }
            ends_with_items(first, 1);
            moved.as_mut().await;
        })
        .unwrap();
    assert_eq!(*log.borrow(), ["through", "of the second"]);
    closes_clean(second);
}

#[test]
fn a_scope_whose_loop_is_gone_drops_its_children_with_itself() {
    let mut event_loop = event_loop::<()>();
    let witness = Rc::new(());
    let held = witness.clone();
    let mut kept = Box::pin(scope(async move |s| {
        s.spawn(async move {
            let _held = held;
            pending::<()>().await;
        });
        pending::<()>().await;
    }));
    event_loop.block_on(async { assert!(once(&mut kept).await.is_pending()) }).unwrap();
    ends_with_items(event_loop, 1);
    assert_eq!(Rc::strong_count(&witness), 2);
    drop(kept);
    assert_eq!(Rc::strong_count(&witness), 1);
    // One that was never polled has none.
    drop(scope(async |s| drop(s.spawn(async {}))));
}

#[test]
fn a_child_runs_in_the_lane_of_the_task_around_it() {
    let mut event_loop = paused::<Vec<u32>>();
    let handle = event_loop.handle();
    let lane = handle.add_lane(1).unwrap();
    // The first lane is full of work that takes 1 ms a poll.
    let flood: Vec<_> = (0..20)
        .map(|_| {
            handle.spawn(async {
                loop {
                    let advance = pin!(loopline::time::advance(Duration::from_millis(1)));
                    let cx = &mut Context::from_waker(Waker::noop());
                    assert!(advance.poll(cx).is_pending());
                    yield_now().await;
                }
            })
        })
        .collect();
    let task = handle.item().lane(lane).spawn(async {
        scope(async |s| {
            for _ in 0..20 {
                let began = loopline::time::now();
                s.spawn(async { yield_now().await }).await.unwrap();
                let took = loopline::time::now() - began;
                // Each of its steps waits for one item of the other lane, not for twenty.
                assert!(took <= Duration::from_millis(8), "{took:?}");
            }
        })
        .await;
    });
    let mut log = Vec::new();
    event_loop.run_until(&mut log, async { task.await.unwrap() }).unwrap();
    flood.into_iter().for_each(|task| drop(task.cancel()));
    closes_clean(event_loop);
}

#[test]
#[should_panic = "no event loop runs on this thread: spawn inside one"]
fn to_poll_a_scope_that_spawns_without_a_loop_is_a_clear_panic() {
    let lost = pin!(scope(async |s| drop(s.spawn(async {}))));
    let _ = lost.poll(&mut Context::from_waker(Waker::noop()));
    assert!(Handle::<()>::try_current().is_err());
}
