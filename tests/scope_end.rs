//! How scopes end: errors, panics, cancellation, limits; children newest first, nothing left.

mod support;

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::future::{Future, pending, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::FutureExt;
use loopline::time::{self, sleep};
use loopline::{EventLoop, PanicPolicy, Scope, scope, spawn, try_scope, yield_now};
use support::{
    block_on, block_on_paused, built, closes_clean, ends_with_items, event_loop, paused,
};

type Log = RefCell<Vec<String>>;

/// Calls a closure when it is dropped.
struct OnDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

/// Panics when it is dropped, and counts how often that was.
struct Bomb<'a>(&'a Cell<u32>);

impl Drop for Bomb<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() + 1);
        panic!("bomb");
    }
}

/// Panics with a value whose type is not known to be diverging.
fn explode<T>(payload: impl Any + Send) -> T {
    panic_any(payload)
}

/// A child that waits until it is dropped, and says so then.
fn waits(log: &Log, name: impl ToString) -> impl Future<Output = ()> {
    let name = name.to_string();
    let on_drop = OnDrop(move || log.borrow_mut().push(name.clone()));
    async move {
        let _on_drop = on_drop;
        pending::<()>().await;
    }
}

/// Runs a future to its panic on a loop of its own, and returns the text.
#[track_caller]
fn panic_of<F: Future>(future: F) -> String {
    let mut event_loop = event_loop::<()>();
    let ended = catch_unwind(AssertUnwindSafe(|| event_loop.block_on(future).map(drop)));
    closes_clean(event_loop);
    ended.unwrap_err().downcast_ref::<&str>().expect("a text").to_string()
}

// contract 38
#[test]
fn an_error_of_a_child_cancels_the_rest_newest_first_and_is_returned() {
    block_on(async {
        let log = Log::default();
        let ended = try_scope(async |s| {
            for n in 0..5 {
                s.spawn(waits(&log, n));
            }
            s.try_spawn(async {
                yield_now().await;
                Err::<(), _>("first")
            });
            s.try_spawn(async {
                yield_now().await;
                log.borrow_mut().push("polled after the failure".into());
                Err::<(), _>("second")
            });
            let _of_body = OnDrop(|| log.borrow_mut().push("body".into()));
            pending::<()>().await;
            Ok(())
        })
        .await;
        assert_eq!(ended, Err("first"));
        assert_eq!(log.into_inner(), ["4", "3", "2", "1", "0", "body"]);
    });
}

#[test]
fn an_error_of_the_closure_cancels_children_that_were_woken_too() {
    block_on(async {
        let polls = Cell::new(0);
        let ended = try_scope(async |s| {
            s.try_spawn(async {
                loop {
                    polls.set(polls.get() + 1);
                    yield_now().await;
                }
                #[expect(unreachable_code)]
                Ok(())
            });
            yield_now().await;
            yield_now().await;
            Err::<(), _>(polls.get())
        })
        .await;
        assert_eq!(ended, Err(polls.get()));
    });
}

#[test]
fn an_output_of_a_child_that_may_fail_comes_by_its_handle() {
    block_on(async {
        let ended: Result<u32, String> = try_scope(async |s| {
            let parsed = s.try_spawn(async { "7".parse().map_err(|_| String::from("no number")) });
            let other = s.spawn(async { Err::<u32, _>("its own business") });
            assert_eq!(other.await.unwrap(), Err("its own business"));
            Ok(parsed.await.unwrap())
        })
        .await;
        assert_eq!(ended, Ok(7));
    });
}

// contract 39
#[test]
fn a_panic_of_a_child_cancels_the_rest_and_goes_on_in_the_scope() {
    let log = Log::default();
    let text = panic_of(async {
        let _after = OnDrop(|| log.borrow_mut().push("frame".into()));
        scope(async |s| {
            s.spawn(waits(&log, "older"));
            let _handle = s.spawn(async { explode::<()>("on purpose") });
            s.spawn(waits(&log, "newer"));
            yield_now().await;
            pending::<()>().await;
        })
        .await
    });
    assert_eq!(text, "on purpose");
    assert_eq!(log.into_inner(), ["newer", "older", "frame"]);
}

// contract 39
#[test]
fn a_function_that_spawns_and_panics_before_it_has_a_future_leaves_no_child() {
    fn begin<'scope>(s: &'scope Scope<'scope, '_, ()>) -> std::future::Pending<Result<(), ()>> {
        let witness = WITNESS.take().unwrap();
        s.spawn(poll_fn(move |_| match Rc::strong_count(&witness) {
            0 => Poll::Ready(()),
            _ => Poll::Pending,
        }));
        explode("early")
    }
    thread_local!(static WITNESS: Cell<Option<Rc<()>>> = const { Cell::new(None) });
    let witness = Rc::new(());
    WITNESS.set(Some(witness.clone()));
    assert_eq!(panic_of(try_scope(begin)), "early");
    assert_eq!(Rc::strong_count(&witness), 1, "the child was dropped");
}

#[test]
fn a_panic_of_the_closure_cancels_children_first() {
    let log = Log::default();
    let text = panic_of(async {
        scope(async |s| {
            s.spawn(waits(&log, "child"));
            yield_now().await;
            explode::<()>("of the closure")
        })
        .await
    });
    assert_eq!(text, "of the closure");
    assert_eq!(log.into_inner(), ["child"]);
}

// contract 39; fault 85
#[test]
fn destructors_that_panic_as_a_scope_fails_hide_nothing_and_harm_nobody() {
    let (drops, log) = (Cell::new(0), Log::default());
    let text = panic_of(async {
        scope(async |s| {
            s.spawn(waits(&log, "first"));
            for _ in 0..3 {
                s.spawn(async {
                    let _bomb = Bomb(&drops);
                    pending::<()>().await;
                });
            }
            s.spawn(waits(&log, "last"));
            let _bomb = Bomb(&drops);
            yield_now().await;
            s.spawn(async { explode::<()>("on purpose") });
            pending::<()>().await;
        })
        .await
    });
    assert_eq!((text.as_str(), drops.get()), ("on purpose", 4));
    assert_eq!(log.into_inner(), ["last", "first"]);
}

// contract 39; fault 85
#[test]
fn outputs_and_errors_that_panic_in_drop_do_not_abort() {
    let drops = Cell::new(0);
    // The output of the closure, which nobody will have: a child panics after it.
    let text = panic_of(async {
        scope(async |s| {
            s.spawn(async {
                yield_now().await;
                yield_now().await;
                explode::<()>("later")
            });
            Bomb(&drops)
        })
        .await
    });
    assert_eq!((text.as_str(), drops.get()), ("later", 1));
    // The output of a child whose handle is gone, and of one that is cancelled with it.
    let mut event_loop = built::<()>(|builder| builder.panic_policy(PanicPolicy::Continue));
    let ended = event_loop.block_on(async {
        scope(async |s| {
            drop(s.spawn(async { Bomb(&drops) }));
            let never = s.spawn(async { Bomb(&drops) });
            never.cancel();
        })
        .await;
    });
    ended.unwrap();
    closes_clean(event_loop);
    assert_eq!(drops.get(), 2);
    // A future that panics in drop after it ended fails the scope, as it fails a task.
    struct ReadyThenBomb<'a>(#[expect(dead_code)] Bomb<'a>);
    impl Future for ReadyThenBomb<'_> {
        type Output = ();
        fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
            Poll::Ready(())
        }
    }
    let text = panic_of(scope(async |s| {
        s.spawn(ReadyThenBomb(Bomb(&drops)));
    }));
    assert_eq!((text.as_str(), drops.get()), ("bomb", 3));
}

// contract 38
#[test]
fn a_dropped_scope_cancels_newest_first_before_its_closure() {
    block_on(async {
        let log = Rc::new(Log::default());
        let kept = log.clone();
        let task = spawn(async move {
            scope(async |s| {
                let _body = OnDrop(|| kept.borrow_mut().push(String::from("body")));
                for n in 0..3 {
                    s.spawn(waits(&kept, n));
                }
                pending::<()>().await;
            })
            .await;
        });
        yield_now().await;
        yield_now().await;
        drop(task.cancel());
        assert_eq!(*log.borrow(), ["2", "1", "0", "body"]);
    });
}

#[test]
fn a_child_may_cancel_the_task_its_scope_runs_in() {
    block_on(async {
        let reached = Rc::new(Cell::new(false));
        let (inside, control) = (reached.clone(), Rc::new(Cell::new(None)));
        let own = control.clone();
        let task = spawn(async move {
            scope(async |s| {
                s.spawn(async {
                    let control: loopline::Control = own.take().unwrap();
                    assert!(control.cancel());
                    inside.set(true);
                });
                pending::<()>().await;
            })
            .await;
        });
        control.set(Some(task.control()));
        assert!(task.await.unwrap_err().is_cancelled());
        assert!(reached.get());
    });
}

// contract 37
#[test]
fn the_scope_can_be_used_in_destructors_of_children_at_its_end() {
    /// Looks at the scope, cancels a sibling and spawns, all while it is dropped.
    struct Busy<'s, 'e>(&'s Scope<'s, 'e, &'e str>, Option<loopline::Child<'s, 'e, (), &'e str>>);
    impl Drop for Busy<'_, '_> {
        fn drop(&mut self) {
            if let Some(sibling) = self.1.take() {
                sibling.cancel();
            }
            let witness = Rc::new(());
            let inside = witness.clone();
            let refused = self.0.item().label("late").spawn(async move { drop(inside) });
            assert!(refused.is_finished() && Rc::strong_count(&witness) == 1);
            assert!(!refused.control().cancel() && !refused.control().pause());
            refused.cancel();
            self.0.close();
            assert!(self.0.is_closing() && format!("{:?}", self.0).contains("children"));
        }
    }
    block_on(async {
        let ended = try_scope(async |s| {
            for _ in 0..3 {
                let sibling = s.spawn(pending::<()>());
                let busy = Busy(s, Some(sibling));
                s.spawn(async move {
                    let _busy = busy;
                    pending::<()>().await;
                });
            }
            yield_now().await;
            Err::<(), _>("over")
        })
        .await;
        assert_eq!(ended, Err("over"));
    });
}

// contract 37; fault 68
#[test]
fn a_long_chain_of_children_that_cancel_each_other_does_not_recurse() {
    /// Cancels the next one when dropped.
    struct Next<'s, 'e>(Option<loopline::Child<'s, 'e, (), std::convert::Infallible>>);
    impl Drop for Next<'_, '_> {
        fn drop(&mut self) {
            if let Some(child) = self.0.take() {
                child.cancel();
            }
        }
    }
    block_on(async {
        scope(async |s| {
            let mut next = Next(None);
            for _ in 0..support::scaled(100_000) {
                let owned = next;
                next = Next(Some(s.spawn(async move {
                    let _owned = owned;
                    pending::<()>().await;
                })));
            }
            drop(next);
            assert!(s.is_empty());
        })
        .await;
    });
}

#[test]
fn a_limit_names_who_did_not_end_oldest_first_and_cancels_newest_first() {
    block_on_paused(async {
        let (log, began) = (Log::default(), time::now());
        let ended = scope(async |s| {
            s.item().label("older").spawn(waits(&log, "older"));
            s.spawn(async {
                s.closing().await;
                sleep(Duration::from_millis(2)).await;
                log.borrow_mut().push("said goodbye".into());
            });
            s.item().label("newer").spawn(waits(&log, "newer"));
            sleep(Duration::from_millis(10)).await;
            assert!(!s.is_closing());
            7
        })
        .grace(Duration::from_millis(5))
        .await;
        assert_eq!((ended.output, time::now() - began), (7, Duration::from_millis(15)));
        let labels: Vec<_> = ended.stragglers.iter().map(|s| s.label.as_deref()).collect();
        assert_eq!(labels, [Some("older"), Some("newer")]);
        let text = ended.stragglers[0].to_string();
        assert!(text.contains("`older` made at") && text.contains("scope_end.rs"), "{text}");
        assert_eq!(log.into_inner(), ["said goodbye", "newer", "older"]);
    });
}

#[test]
fn a_limit_is_not_waited_for_when_all_have_ended() {
    block_on_paused(async {
        let began = time::now();
        let ended = scope(async |s| drop(s.spawn(async { s.closing().await })))
            .grace(Duration::from_secs(3600))
            .await;
        assert!(ended.stragglers.is_empty() && time::now() == began);
        let failed = try_scope(async |s| {
            s.try_spawn(async { Err::<(), _>("failed") });
            s.spawn(pending::<()>());
            Ok(())
        })
        .grace(Duration::from_secs(3600))
        .await;
        assert_eq!((failed.output, failed.stragglers.len()), (Err("failed"), 0));
    });
}

#[test]
fn closing_can_be_asked_by_anyone_and_waited_for_by_many() {
    block_on(async {
        let told = Cell::new(0);
        scope(async |s| {
            for _ in 0..200 {
                s.spawn(async {
                    let mut given_up = Box::pin(s.closing());
                    poll_fn(|cx| Poll::Ready(given_up.as_mut().poll(cx).is_pending())).await;
                    drop(given_up);
                    s.closing().await;
                    told.set(told.get() + 1);
                });
            }
            yield_now().await;
            s.spawn(async { s.close() });
        })
        .await;
        assert_eq!(told.get(), 200);
    });
}

// contract 38; fault 67
#[test]
fn a_loop_dropped_with_scopes_alive_drops_their_children() {
    struct Respawns<'s, 'e>(&'s Scope<'s, 'e, std::convert::Infallible>, &'e Cell<u32>);
    impl Drop for Respawns<'_, '_> {
        fn drop(&mut self) {
            self.1.set(self.1.get() + 1);
            // A timer still works, a child is refused.
            drop(sleep(Duration::from_secs(1)));
            assert!(self.0.spawn(pending::<()>()).is_finished());
        }
    }
    let drops = Rc::new(Cell::new(0));
    let mut event_loop = event_loop::<()>();
    let counted = drops.clone();
    event_loop.handle().spawn(async move {
        scope(async |s| {
            for _ in 0..3 {
                let respawns = Respawns(s, &counted);
                s.spawn(async move {
                    let _respawns = respawns;
                    pending::<()>().await;
                });
            }
        })
        .await;
    });
    settle(&mut event_loop);
    ends_with_items(event_loop, 4);
    assert_eq!(drops.get(), 3);
}

fn settle(event_loop: &mut EventLoop<()>) {
    while event_loop.turn(&mut (), Duration::ZERO).unwrap().left {}
}

#[test]
fn a_wait_on_a_loop_that_ends_is_over_when_the_scope_is_cancelled_under_a_timer() {
    let mut event_loop = paused::<()>();
    let task = event_loop.handle().spawn(async {
        scope(async |s| {
            s.spawn(sleep(Duration::from_secs(1)));
            s.spawn(s.closing());
        })
        .grace(Duration::from_secs(9))
        .await
    });
    event_loop.turn(&mut (), Duration::ZERO).unwrap();
    drop(task.cancel());
    closes_clean(event_loop);
}

#[test]
fn a_child_that_gave_its_output_does_not_say_that_it_was_cancelled() {
    block_on(async {
        let again = scope(async |s| {
            let mut child = s.spawn(async { 1 });
            assert_eq!((&mut child).await.unwrap(), 1);
            AssertUnwindSafe(child).catch_unwind().await.map(drop)
        })
        .await;
        let text = *again.unwrap_err().downcast::<&str>().unwrap();
        assert!(text.contains("after it had given its output"), "{text}");
    });
}
