//! Children of scopes: when each first runs, and that none is taken for another.

#[path = "support/locks.rs"]
mod locks;
mod support;

use std::cell::{Cell, RefCell};
use std::future::pending;
use std::rc::Rc;
use std::time::Duration;

use locks::waiting;
use loopline::{Control, scope, spawn, try_scope, yield_now};
use support::{block_on, block_on_paused, closes_clean, event_loop};

type Log = Rc<RefCell<Vec<&'static str>>>;

fn say(log: &Log, text: &'static str) {
    log.borrow_mut().push(text);
}

// contract 17
#[test]
fn a_child_that_a_child_spawns_first_runs_in_the_next_round() {
    let log = Log::default();
    block_on(async {
        let (outer, other) = (log.clone(), log.clone());
        let scoped = spawn(scope(async move |s| {
            s.spawn(async move {
                say(&outer, "child");
                s.spawn(async move { say(&outer, "child of the child") });
            });
        }));
        // The scope's task runs, and is called for its child: both are in the second round.
        let other = spawn(async move {
            yield_now().await;
            say(&other, "other");
        });
        scoped.await.unwrap();
        other.await.unwrap();
    });
    assert_eq!(*log.borrow(), ["child", "other", "child of the child"]);
}

#[test]
fn when_a_child_has_failed_the_closure_is_polled_no_more() {
    block_on(async {
        let (polls, last) = (Cell::new(0), Cell::new(0));
        let ended = try_scope(async |s| {
            s.try_spawn(async {
                for _ in 0..3 {
                    yield_now().await;
                }
                last.set(polls.get());
                Err::<(), u8>(7)
            });
            loop {
                polls.set(polls.get() + 1);
                yield_now().await;
            }
            #[allow(unreachable_code)]
            Ok::<(), u8>(())
        })
        .await;
        assert_eq!(ended, Err(7));
        assert_eq!(polls.get(), last.get());
    });
}

// contract 13
#[test]
fn a_child_that_has_ended_is_not_taken_for_the_one_in_its_place() {
    block_on(async {
        scope(async |s| {
            let first = s.spawn(async {});
            while !first.is_finished() {
                yield_now().await;
            }
            let second = s.spawn(async {
                yield_now().await;
                5
            });
            first.cancel();
            assert_eq!(second.await.unwrap(), 5);
        })
        .await;
    });
}

#[test]
fn children_that_are_left_are_named_oldest_first_whatever_places_they_have() {
    block_on_paused(async {
        let graceful = scope(async |s| {
            let gone = s.spawn(async {});
            s.item().label("old").spawn(pending::<()>());
            gone.await.unwrap();
            // In the place of the one that has ended.
            s.item().label("new").spawn(pending::<()>());
        })
        .grace(Duration::from_secs(1))
        .await;
        let names: Vec<_> = graceful.stragglers.iter().map(|left| left.label.as_deref()).collect();
        assert_eq!(names, [Some("old"), Some("new")]);
    });
}

// contract 16, 37
#[test]
fn whoever_is_called_for_a_child_may_cancel_another_one() {
    block_on(async {
        let controls: Rc<RefCell<Vec<Control>>> = Rc::default();
        let kept = controls.clone();
        let mut wait = waiting(scope(async move |s| {
            let children = [(); 2].map(|()| s.spawn(pending::<()>()));
            kept.borrow_mut().extend(children.iter().map(|child| child.control()));
            for child in children {
                assert!(child.await.unwrap_err().is_cancelled());
            }
        }));
        // They are spawned, and have run once.
        assert!(wait.poll().is_pending());
        let [first, second] = controls.take().try_into().unwrap();
        *wait.acts.on_wake.borrow_mut() = Some(Box::new(move || assert!(second.cancel())));
        assert!(first.cancel());
        assert!(wait.is_woken());
        let mut polls = 0;
        while wait.poll().is_pending() {
            polls += 1;
            assert!(polls < 10, "nobody is left");
        }
    });
}

// contract 41; fault 90
#[test]
fn a_child_is_not_taken_for_a_paused_item_of_another_loop() {
    let (mut first, mut second) = (event_loop::<()>(), event_loop::<()>());
    let mut scoped = Box::pin(scope(async |s| s.spawn(async { 5 }).await.unwrap()));
    let began = first.block_on(async { futures::poll!(&mut scoped).is_pending() });
    assert!(began.unwrap());
    // One of them has the number there that the child has here.
    let paused: Vec<_> = (0..10).map(|_| second.handle().spawn(pending::<()>())).collect();
    assert!(paused.iter().all(|item| item.control().pause()));
    assert_eq!(second.block_on(scoped).unwrap(), 5);
    paused.into_iter().for_each(|item| drop(item.cancel()));
    closes_clean(second);
    closes_clean(first);
}
