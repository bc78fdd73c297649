//! A graceful end: no new work, everybody asked, a limit, and then the rest cancelled and named.

mod support;

use std::cell::{Cell, RefCell};
use std::future::{Future, pending};
use std::rc::Rc;
use std::task::{Context, Waker};
use std::time::Duration;

use loopline::callback::{self, Next};
use loopline::net::{TcpListener, TcpStream};
use loopline::time::{self, Timer, sleep};
use loopline::{
    Handle, InsertErrorKind, PanicPolicy, RunError, Straggler, closing, scope, spawn, yield_now,
};
use support::{block_on, built, closes_clean, event_loop, paused, shuts_down};

type Log = Rc<RefCell<Vec<String>>>;

fn say(log: &Log, text: impl ToString) {
    log.borrow_mut().push(text.to_string());
}

/// Calls a closure when it is dropped.
struct OnDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

/// Waits until it is dropped, and does this then.
fn at_end(end: impl FnMut()) -> impl Future<Output = ()> {
    let on_drop = OnDrop(end);
    async move {
        let _on_drop = on_drop;
        pending::<()>().await;
    }
}

fn labels(stragglers: &[Straggler]) -> Vec<&str> {
    stragglers.iter().map(|straggler| straggler.label.as_deref().unwrap_or("-")).collect()
}

const GRACE: Duration = Duration::from_millis(50);

// contract 38
#[test]
fn the_loop_asks_all_waits_and_cancels_the_rest_newest_first() {
    let mut event_loop = paused::<Vec<&'static str>>();
    let (handle, log) = (event_loop.handle(), Log::default());
    for name in ["older", "newer"] {
        let inner = log.clone();
        handle.item().label(name).spawn(at_end(move || say(&inner, name)));
    }
    let inner = log.clone();
    handle.item().background().spawn(at_end(move || say(&inner, "background")));
    let inner = log.clone();
    handle.spawn(async move {
        closing().await;
        sleep(GRACE / 2).await;
        handle.with(|state| state.push("goodbye"));
        say(&inner, "goodbye");
    });
    event_loop.turn(&mut Vec::new(), Duration::ZERO).unwrap();
    let mut state = Vec::new();
    let left = shuts_down(event_loop, &mut state, GRACE).unwrap();
    assert_eq!(labels(&left), ["older", "newer"]);
    assert!(left[0].to_string().contains("shutdown_grace.rs"));
    assert_eq!(state, ["goodbye"]);
    assert_eq!(*log.borrow(), ["goodbye", "background", "newer", "older"]);
}

// contract 38
#[test]
fn an_end_that_all_heed_takes_no_longer_than_they_do() {
    let mut event_loop = paused::<()>();
    let handle = event_loop.handle();
    for n in 1..=3 {
        handle.spawn(async move {
            closing().await;
            sleep(Duration::from_millis(n)).await;
        });
    }
    // Callbacks of a source that ends, and one that is background.
    let soon = Timer::after(Duration::from_millis(1));
    handle.insert(soon, |_, _, ()| Next::Stop).unwrap();
    let every = Timer::every(Duration::from_millis(1));
    handle.item().background().insert(every, |_, _, ()| Next::Keep).unwrap();
    let took = event_loop
        .block_on(async move {
            let began = time::now();
            assert!(handle.shutdown(Duration::from_secs(3600)).await.is_empty());
            assert_eq!(handle.stats().items, 0);
            time::now() - began
        })
        .unwrap();
    assert_eq!(took, Duration::from_millis(3));
    closes_clean(event_loop);
}

// contract 38
#[test]
fn a_task_that_asks_for_the_end_goes_on_after_it() {
    let mut event_loop = paused::<()>();
    let handle = event_loop.handle();
    let done = Rc::new(Cell::new(false));
    let flag = done.clone();
    handle.item().label("polite").spawn(closing());
    handle.item().label("stubborn").spawn(pending::<()>());
    handle.item().label("asks").spawn(async move {
        let left = handle.shutdown(GRACE).await;
        assert_eq!(labels(&left), ["stubborn"]);
        assert_eq!(handle.stats().items, 1);
        sleep(GRACE).await;
        flag.set(true);
    });
    // `run` ends by itself, also while somebody could still send.
    let remote = handle.remote();
    event_loop.run(&mut ()).unwrap();
    assert!(done.get() && remote.spawn(|_| async {}).is_err());
    closes_clean(event_loop);
}

// contract 38
#[test]
fn a_scope_body_that_asks_waits_for_the_children_and_names_them() {
    let mut event_loop = paused::<()>();
    let handle = event_loop.handle();
    let log = Log::default();
    event_loop
        .block_on(async {
            scope(async |s| {
                s.item().label("polite").spawn(async {
                    s.closing().await;
                    sleep(GRACE / 2).await;
                    say(&log, "polite");
                });
                s.item().label("older").spawn(at_end(|| say(&log, "older")));
                s.item().label("newer").spawn(at_end(|| say(&log, "newer")));
                yield_now().await;
                let left = handle.shutdown(GRACE).await;
                assert_eq!(labels(&left), ["older", "newer"]);
                assert!(s.is_closing() && s.spawn(async {}).is_finished());
                while !s.is_empty() {
                    yield_now().await;
                }
                assert_eq!(*log.borrow(), ["polite", "newer", "older"]);
            })
            .await;
        })
        .unwrap();
    closes_clean(event_loop);
}

// contract 38
#[test]
fn a_child_that_asks_is_neither_waited_for_nor_cancelled() {
    let mut event_loop = paused::<()>();
    let handle = event_loop.handle();
    let task = handle.item().label("task").spawn(async move {
        scope(async |outer| {
            outer.item().label("sibling").spawn(outer.closing());
            outer
                .item()
                .label("outer")
                .spawn(async {
                    scope(async |inner| {
                        inner.item().label("stubborn").spawn(pending::<()>());
                        let asks = inner.item().label("inner").spawn(async {
                            yield_now().await;
                            let began = time::now();
                            let left = handle.shutdown(GRACE).await;
                            (left, time::now() - began)
                        });
                        asks.await.unwrap()
                    })
                    .await
                })
                .await
                .unwrap()
        })
        .await
    });
    event_loop.run(&mut ()).unwrap();
    let (left, took) = event_loop.block_on(task).unwrap().unwrap();
    assert_eq!((labels(&left), took), (vec!["stubborn"], GRACE));
    closes_clean(event_loop);
}

#[test]
fn two_that_ask_do_not_wait_for_each_other() {
    let mut event_loop = paused::<()>();
    let handle = event_loop.handle();
    let ended = Rc::new(Cell::new(0));
    for _ in 0..2 {
        let ended = ended.clone();
        handle.spawn(async move {
            let began = time::now();
            assert!(handle.shutdown(Duration::from_secs(3600)).await.is_empty());
            assert_eq!(time::now() - began, GRACE);
            ended.set(ended.get() + 1);
        });
    }
    handle.spawn(sleep_of(GRACE));
    event_loop.run(&mut ()).unwrap();
    assert_eq!(ended.get(), 2);
    closes_clean(event_loop);
}

async fn sleep_of(duration: Duration) {
    sleep(duration).await;
}

// contract 38; fault 67
#[test]
fn nothing_is_taken_in_from_the_first_moment_on() {
    let mut event_loop = event_loop::<()>();
    let handle = event_loop.handle();
    let (remote, dropped) = (handle.remote(), std::sync::Arc::new(()));
    let inside = dropped.clone();
    event_loop
        .block_on(async move {
            // Sent and not taken: dropped.
            let sent = remote.spawn(move |_| async move { drop(inside) }).unwrap();
            let mut ending = Box::pin(handle.shutdown(GRACE));
            let cx = &mut Context::from_waker(Waker::noop());
            assert!(ending.as_mut().poll(cx).is_ready(), "nobody is there to wait for");
            assert!(handle.spawn(async {}).is_finished() && spawn(async {}).is_finished());
            let refused = handle.try_spawn(async {}).unwrap_err();
            assert_eq!(refused.kind(), InsertErrorKind::ShuttingDown);
            let refused = handle.insert(callback::ping().1, |(), _, ()| Next::Keep).unwrap_err();
            assert_eq!(refused.kind(), InsertErrorKind::ShuttingDown);
            assert!(handle.defer(|()| ()).is_finished());
            assert!(remote.spawn(|_| async {}).is_err());
            assert!(sent.await.unwrap_err().is_cancelled());
            closing().await;
        })
        .unwrap();
    assert_eq!(std::sync::Arc::strong_count(&dropped), 1);
    closes_clean(event_loop);
}

/// Spawns itself anew each time it is dropped.
struct Phoenix(Handle<()>, Rc<Cell<u32>>, u32);

impl Drop for Phoenix {
    fn drop(&mut self) {
        self.1.set(self.1.get() + 1);
        if self.2 > 0 {
            let again = Self(self.0, self.1.clone(), self.2 - 1);
            let task = self.0.spawn(async move {
                let _again = again;
                pending::<()>().await;
            });
            assert!(task.is_finished());
        }
    }
}

// contract 38; fault 67
#[test]
fn a_task_that_spawns_itself_in_its_drop_does_not_keep_the_end() {
    let event_loop = event_loop::<()>();
    let handle = event_loop.handle();
    let drops = Rc::new(Cell::new(0));
    let phoenix = Phoenix(handle, drops.clone(), 100);
    handle.spawn(async move {
        let _phoenix = phoenix;
        pending::<()>().await;
    });
    assert_eq!(shuts_down(event_loop, &mut (), GRACE).unwrap().len(), 1);
    assert_eq!(drops.get(), 101);
}

// contract 38
#[test]
fn timers_sockets_and_state_work_while_the_rest_is_cancelled() {
    let event_loop = event_loop::<u32>();
    let handle = event_loop.handle();
    handle.spawn(async move {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (ours, theirs) = (TcpStream::connect(address).await.unwrap(), listener.accept().await);
        let theirs = theirs.unwrap().0;
        let at_drop = OnDrop(move || {
            let cx = &mut Context::from_waker(Waker::noop());
            let mut timer = Box::pin(sleep(Duration::from_secs(1)));
            assert!(timer.as_mut().poll(cx).is_pending());
            assert_eq!(handle.stats().timers, 2);
            // Written at once, and read by its peer.
            let mut write = std::pin::pin!(ours.write_all(b"bye"));
            assert!(write.as_mut().poll(cx).is_ready());
            let mut buf = [0; 8];
            let read = std::pin::pin!(theirs.read(&mut buf)).poll(cx);
            assert!(matches!(read, std::task::Poll::Ready(Ok(3))), "{read:?}");
            handle.try_with(|state| *state += 1).unwrap();
            assert_eq!(Handle::<u32>::try_current(), Ok(handle));
        });
        let _at_drop = at_drop;
        pending::<()>().await;
    });
    let mut state = 0;
    assert_eq!(shuts_down(event_loop, &mut state, GRACE).unwrap().len(), 1);
    assert_eq!(state, 1);
}

// contract 39; fault 85
#[test]
fn destructors_that_panic_as_they_are_cancelled_stop_nobody() {
    let event_loop = built::<()>(|builder| builder.panic_policy(PanicPolicy::Continue));
    let (handle, log) = (event_loop.handle(), Log::default());
    for n in 0..3 {
        let inner = log.clone();
        handle.spawn(at_end(move || {
            say(&inner, n);
            panic!("bomb");
        }));
    }
    assert_eq!(shuts_down(event_loop, &mut (), GRACE).unwrap().len(), 3);
    assert_eq!(*log.borrow(), ["2", "1", "0"]);
}

// contract 37; fault 68
#[test]
fn a_chain_of_tasks_that_own_each_other_is_cancelled_without_recursion() {
    /// Cancels what it owns.
    struct Owner(Option<loopline::task::JoinHandle<()>>);
    impl Drop for Owner {
        fn drop(&mut self) {
            if let Some(task) = self.0.take() {
                drop(task.cancel());
            }
        }
    }
    let event_loop = event_loop::<()>();
    let handle = event_loop.handle();
    let (mut next, count) = (Owner(None), support::scaled(100_000));
    for _ in 0..count {
        let owned = next;
        next = Owner(Some(handle.spawn(async move {
            let _owned = owned;
            pending::<()>().await;
        })));
    }
    assert_eq!(shuts_down(event_loop, &mut (), GRACE).unwrap().len(), count);
    drop(next);
}

#[test]
fn a_stop_during_the_end_is_an_error_and_all_is_cancelled() {
    let event_loop = event_loop::<()>();
    let handle = event_loop.handle();
    let log = Log::default();
    let inner = log.clone();
    handle.spawn(at_end(move || say(&inner, "dropped")));
    handle.spawn(async move {
        closing().await;
        handle.stop();
        pending::<()>().await;
    });
    let ended = shuts_down(event_loop, &mut (), Duration::from_secs(3600));
    assert!(matches!(ended, Err(RunError::Stopped)), "{ended:?}");
    assert_eq!((log.borrow().len(), handle.stats().items), (1, 0));
}

#[test]
fn an_end_asked_for_inside_a_turn_of_another_loop_is_refused() {
    block_on(async {
        let refused = shuts_down(event_loop::<()>(), &mut (), GRACE);
        assert!(matches!(refused, Err(RunError::Nested)), "{refused:?}");
    });
}

#[test]
fn an_end_that_is_given_up_leaves_the_loop_closed_and_the_items_running() {
    let mut event_loop = paused::<()>();
    let handle = event_loop.handle();
    let task = handle.spawn(sleep_of(GRACE));
    event_loop
        .block_on(async move {
            let ending = time::timeout(GRACE / 2, handle.shutdown(GRACE * 9)).await;
            assert!(ending.is_err() && !task.is_finished() && spawn(async {}).is_finished());
            // The one that gave up is waited for like any other from now on.
            task.await.unwrap();
            assert!(handle.shutdown(GRACE).await.is_empty());
        })
        .unwrap();
    closes_clean(event_loop);
}

#[test]
fn the_handle_of_a_loop_that_is_gone_ends_nothing() {
    let gone = event_loop::<()>();
    let handle = gone.handle();
    closes_clean(gone);
    assert!(block_on(handle.shutdown(GRACE)).is_empty());
}

// contract 22
#[test]
fn a_stop_from_before_the_end_is_not_meant_for_it() {
    let event_loop = event_loop::<u32>();
    let handle = event_loop.handle();
    handle.spawn(async move {
        closing().await;
        // In a later turn than the first.
        sleep(Duration::from_millis(1)).await;
        handle.with(|n| *n += 1);
    });
    handle.stop();
    let mut n = 0;
    assert!(shuts_down(event_loop, &mut n, GRACE).unwrap().is_empty());
    assert_eq!(n, 1);
}

// contract 38
#[test]
fn children_that_have_ended_are_not_waited_for() {
    let mut event_loop = paused::<()>();
    let handle = event_loop.handle();
    let waited = event_loop.block_on(async move {
        scope(async |s| s.spawn(async {}).await.unwrap()).await;
        let start = time::now();
        assert!(handle.shutdown(Duration::from_secs(3600)).await.is_empty());
        time::now() - start
    });
    assert_eq!(waited.unwrap(), Duration::ZERO);
    closes_clean(event_loop);
}

// contract 38
#[test]
fn who_gave_up_asking_is_waited_for_and_named_as_others_are() {
    let mut event_loop = paused::<()>();
    let handle = event_loop.handle();
    handle.item().label("gave up").spawn(async move {
        assert!(time::timeout(Duration::ZERO, handle.shutdown(GRACE)).await.is_err());
        pending::<()>().await;
    });
    handle.item().label("first").spawn(pending::<()>());
    let left = event_loop.block_on(async move {
        yield_now().await;
        sleep(Duration::from_millis(1)).await;
        handle.shutdown(GRACE).await
    });
    assert_eq!(labels(&left.unwrap()), ["gave up", "first"]);
    closes_clean(event_loop);
}

// contract 38
#[test]
fn who_asks_twice_and_gives_one_of_them_up_does_not_wait_for_itself() {
    let mut event_loop = paused::<()>();
    let handle = event_loop.handle();
    let task = handle.spawn(async move {
        let start = time::now();
        let (done, is_done) = loopline::sync::oneshot::channel();
        spawn(is_done);
        let mut first = std::pin::pin!(handle.shutdown(Duration::from_secs(3600)));
        assert!(time::timeout(Duration::ZERO, first.as_mut()).await.is_err());
        let second = handle.shutdown(Duration::from_secs(3600));
        assert!(time::timeout(Duration::ZERO, second).await.is_err());
        done.send(()).unwrap();
        assert!(first.await.is_empty());
        time::now() - start
    });
    assert_eq!(event_loop.block_on(task).unwrap().unwrap(), Duration::ZERO);
    closes_clean(event_loop);
}
