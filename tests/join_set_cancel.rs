//! `JoinSet`: what was cancelled does not run on, whoever cancels it, and the newest goes first.

mod support;

use std::cell::{Cell, RefCell};
use std::future::{Future, pending};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use loopline::{Control, Handle, JoinSet, spawn, yield_now};
use support::{block_on, ends_with_items, event_loop, scaled};

type Log<T> = Rc<RefCell<Vec<T>>>;

/// Says its name when it is dropped.
struct Tell<T: Copy>(T, Log<T>);

impl<T: Copy> Drop for Tell<T> {
    fn drop(&mut self) {
        self.1.borrow_mut().push(self.0);
    }
}

/// Waits as many turns of the queue.
async fn rounds(n: u32) {
    for _ in 0..n {
        yield_now().await;
    }
}

/// A set of tasks that never end, and tell when they are dropped.
fn endless(log: &Log<u32>, n: u32) -> JoinSet<()> {
    let mut set = JoinSet::new();
    for n in 0..n {
        let tell = Tell(n, log.clone());
        set.spawn(async move {
            let _tell = tell;
            pending().await
        });
    }
    set
}

// contract 35
#[test]
fn cancel_all_shutdown_and_drop_cancel_the_newest_first() {
    block_on(async {
        let log = Log::default();
        let mut set = endless(&log, 10);
        set.cancel_all();
        assert_eq!(log.take(), Vec::from_iter((0..10).rev()));
        assert_eq!(set.len(), 10);
        let mut cancelled = 0;
        while let Some(result) = set.join_next().await {
            assert!(result.unwrap_err().is_cancelled());
            cancelled += 1;
        }
        assert_eq!(cancelled, 10);

        let mut set = endless(&log, 10);
        rounds(2).await;
        set.shutdown().await;
        assert!(set.is_empty());
        assert_eq!(log.take(), Vec::from_iter((0..10).rev()));

        drop(endless(&log, 10));
        assert_eq!(log.take(), Vec::from_iter((0..10).rev()));
    });
}

#[test]
fn age_not_place_decides_which_is_cancelled_first() {
    block_on(async {
        let log = Log::default();
        let mut set = JoinSet::new();
        let add = |set: &mut JoinSet<()>, n| {
            let tell = Tell(n, log.clone());
            set.spawn(async move {
                let _tell = tell;
                pending().await
            })
        };
        let first = add(&mut set, 0);
        add(&mut set, 1);
        first.cancel();
        set.join_next().await.unwrap().unwrap_err();
        add(&mut set, 2); // where the first was
        drop(set);
        assert_eq!(log.take(), [0, 2, 1]);
    });
}

#[test]
fn detached_tasks_go_on_and_do_not_come_back() {
    block_on(async {
        let log = Log::default();
        let mut set = JoinSet::new();
        for n in 0..4 {
            let tell = Tell(n, log.clone());
            set.spawn(async move {
                rounds(n).await;
                drop(tell);
                n
            });
        }
        rounds(2).await;
        set.detach_all();
        assert!(set.is_empty() && set.try_join_next().is_none());
        // In the places of tasks that ended before, and of some that end now.
        for n in [15, 10, 5] {
            set.spawn(async move {
                rounds(n).await;
                n
            });
        }
        assert_eq!(set.join_all().await, [5, 10, 15]);
        assert_eq!(log.take(), [0, 1, 2, 3]);
    });
}

// contract 35; fault 66
#[test]
fn one_outcome_each_however_a_task_is_cancelled() {
    type Make = fn(Rc<Cell<Option<Control>>>) -> Pin<Box<dyn Future<Output = ()>>>;
    fn own(control: &Cell<Option<Control>>) -> Control {
        control.get().expect("spawned before it runs")
    }
    // (what the task does, how often it is cancelled from outside, whether it ends by itself)
    let cases: [(&str, Make, u32, bool); 6] = [
        ("ends", |_| Box::pin(async {}), 0, true),
        ("cancelled at rest", |_| Box::pin(pending()), 1, false),
        ("cancelled twice", |_| Box::pin(pending()), 2, false),
        (
            "cancels itself",
            |c| {
                Box::pin(async move {
                    assert!(own(&c).cancel());
                    pending().await
                })
            },
            0,
            false,
        ),
        (
            "cancels itself, then ends",
            |c| {
                Box::pin(async move {
                    own(&c).cancel();
                })
            },
            0,
            true,
        ),
        ("cancelled after its end", |_| Box::pin(async {}), 1, true),
    ];
    block_on(async {
        for (case, make, cancels, ends) in cases {
            let (log, control) = (Log::default(), Rc::new(Cell::new(None)));
            let mut set = JoinSet::new();
            let (future, tell) = (make(control.clone()), Tell((), log.clone()));
            control.set(Some(set.spawn(async move {
                let _tell = tell;
                future.await;
            })));
            rounds(2).await;
            for _ in 0..cancels {
                own(&control).cancel();
            }
            let result = set.join_next().await.unwrap();
            assert_eq!(result.is_ok(), ends, "{case}");
            assert_eq!(log.borrow().len(), 1, "{case}: dropped once");
            assert!(set.join_next().await.is_none(), "{case}: one outcome");
        }
    });
}

// contract 35, 37
#[test]
fn a_task_may_drop_or_cancel_the_set_it_is_in() {
    for dropped in [true, false] {
        block_on(async {
            let log = Log::default();
            let set = Rc::new(RefCell::new(Some(endless(&log, 3))));
            let (own, told) = (set.clone(), Tell(7, log.clone()));
            let task = set.borrow_mut().as_mut().unwrap().spawn(async move {
                let _told = told;
                if dropped {
                    drop(own.take());
                } else {
                    own.borrow_mut().as_mut().unwrap().cancel_all();
                }
                assert_eq!(*_told.1.borrow(), [2, 1, 0], "this one ends as its poll returns");
                pending().await
            });
            rounds(2).await;
            assert_eq!(log.take(), [2, 1, 0, 7]);
            assert!(!task.cancel());
            let rest = set.take().map_or(0, |set| set.len());
            assert_eq!(rest, if dropped { 0 } else { 4 });
        });
    }
}

// contract 37
#[test]
fn destructors_may_cancel_and_spawn_and_a_long_chain_of_sets_does_not_recurse() {
    block_on(async {
        let log = Log::default();
        struct CancelOther(Control, Log<u32>);
        impl Drop for CancelOther {
            fn drop(&mut self) {
                self.0.cancel();
                let log = self.1.clone();
                spawn(async move { log.borrow_mut().push(9) });
            }
        }
        let mut set = endless(&log, 2);
        let victim = set.spawn(pending());
        let guard = CancelOther(victim, log.clone());
        set.spawn(async move {
            let _guard = guard;
            pending().await
        });
        rounds(1).await;
        drop(set);
        rounds(1).await;
        assert_eq!(log.take(), [1, 0, 9]);

        let ends = Rc::new(Cell::new(0));
        fn link(left: usize, ends: Rc<Cell<usize>>) -> Pin<Box<dyn Future<Output = ()>>> {
            let end = End(ends.clone());
            Box::pin(async move {
                let _end = end;
                let mut set = JoinSet::new();
                if left != 0 {
                    set.spawn(link(left - 1, ends));
                }
                pending().await
            })
        }
        struct End(Rc<Cell<usize>>);
        impl Drop for End {
            fn drop(&mut self) {
                self.0.set(self.0.get() + 1);
            }
        }
        let deep = scaled(100_000);
        let mut set = JoinSet::new();
        set.spawn(link(deep, ends.clone()));
        while Handle::<()>::try_current().unwrap().stats().items < deep + 1 {
            yield_now().await;
        }
        drop(set);
        assert_eq!(ends.get(), deep + 1);
    });
}

#[test]
fn a_loop_that_is_gone_or_shuts_down_cancels_what_it_is_given() {
    let mut event_loop = event_loop::<()>();
    let handle = event_loop.handle();
    let mut set = JoinSet::new();
    set.spawn_on(pending::<u32>(), handle);
    event_loop.turn(&mut (), Duration::ZERO).unwrap();
    struct AddsMore(Rc<RefCell<JoinSet<u32>>>, Handle<()>);
    impl Drop for AddsMore {
        fn drop(&mut self) {
            self.0.borrow_mut().spawn_on(async { 4 }, self.1);
        }
    }
    let late = Rc::new(RefCell::new(JoinSet::new()));
    let adds = AddsMore(late.clone(), handle);
    handle.spawn(async move {
        let _adds = adds;
        pending::<()>().await
    });
    ends_with_items(event_loop, 2);
    set.spawn_on(async { 5 }, handle);
    assert_eq!((set.len(), late.borrow().len()), (2, 1));
    block_on(async {
        for _ in 0..2 {
            assert!(set.join_next().await.unwrap().unwrap_err().is_cancelled());
        }
        let mut late = late.take();
        assert!(late.try_join_next().unwrap().unwrap_err().is_cancelled());
        assert!(late.try_join_next().is_none());
    });
    let without_loop = catch_unwind(AssertUnwindSafe(|| set.spawn(async { 6 })));
    let text = *without_loop.unwrap_err().downcast::<&str>().unwrap();
    assert!(text.contains("no event loop runs on this thread"), "{text}");
    assert!(set.is_empty() && set.try_join_next().is_none());
}
