//! The handle of a task: it tells once the future is gone, in any run, on any loop of its thread.

mod support;

use std::cell::{Cell, RefCell};
use std::future::{Future, pending, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use loopline::{JoinHandle, spawn, yield_now};
use support::{block_on, block_on_paused, closes_clean, ends_with_items, event_loop};

/// A list that tasks write what they do to.
type Log = Rc<RefCell<Vec<String>>>;

fn say(log: &Log, text: impl Into<String>) {
    log.borrow_mut().push(text.into());
}

/// Polls by hand, with a waker that does nothing.
fn poll_once<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(Waker::noop()))
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

#[test]
fn a_handle_may_cross_catch_unwind_and_what_is_behind_it_may() {
    fn is_unwind_safe<T: std::panic::UnwindSafe + std::panic::RefUnwindSafe>() {}
    is_unwind_safe::<JoinHandle<Rc<Cell<u8>>>>();
    is_unwind_safe::<loopline::JoinSet<Cell<u8>>>();
    is_unwind_safe::<loopline::net::TcpListener>();
    is_unwind_safe::<loopline::net::TcpStream>();
    is_unwind_safe::<loopline::net::UdpSocket>();
}
