//! Shutdown: the order in which a dropped loop ends what is on it, and what survives it.

mod support;

use std::cell::{Cell, RefCell};
use std::future::pending;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::mpsc;
use std::task::Poll;
use std::thread;
use std::time::Duration;

use loopline::callback::{self, Next};
use loopline::time::sleep;
use loopline::{
    EventLoop, Handle, InsertErrorKind, JoinHandle, StateError, TaskId, spawn, yield_now,
};
use support::{block_on, closes_clean, ends_with_items, event_loop, nothing_left_here};

type Log = Rc<RefCell<Vec<String>>>;

fn say(log: &Log, text: impl Into<String>) {
    log.borrow_mut().push(text.into());
}

/// Calls a closure when it is dropped.
struct OnDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

/// A task that does nothing until it is dropped, and then this.
fn at_end(handle: Handle<()>, end: impl FnMut() + 'static) -> JoinHandle<()> {
    let on_drop = OnDrop(end);
    handle.spawn(async move {
        let _on_drop = on_drop;
        pending::<()>().await;
    })
}

// contract 38
#[test]
fn items_end_newest_first() {
    let mut event_loop = event_loop::<()>();
    let handle = event_loop.handle();
    let log = Log::default();
    // Some slots are used again, so that the order is not that of slots.
    let filler: Vec<_> = (0..4).map(|_| handle.spawn(async {})).collect();
    event_loop.run(&mut ()).unwrap();
    drop(filler);
    for n in 0..3 {
        let inner = log.clone();
        at_end(handle, move || say(&inner, format!("task {n}")));
        let inner = log.clone();
        let on_drop = OnDrop(move || say(&inner, format!("source {n}")));
        let source = futures::stream::poll_fn(move |_| {
            let _owned = &on_drop;
            Poll::<Option<()>>::Pending
        });
        handle.insert(source, |(), _, ()| Next::Keep).unwrap();
    }
    event_loop.turn(&mut (), Duration::ZERO).unwrap();
    ends_with_items(event_loop, 6);
    assert_eq!(*log.borrow(), ["source 2", "task 2", "source 1", "task 1", "source 0", "task 0"]);
}

// contract 38
#[test]
fn items_that_never_ran_end_too() {
    let event_loop = event_loop::<()>();
    let handle = event_loop.handle();
    let witness = Rc::new(());
    for _ in 0..3 {
        let (spawned, deferred, later) = (witness.clone(), witness.clone(), witness.clone());
        handle.spawn(async move { drop(spawned) });
        handle.defer(move |()| drop(deferred));
        handle.next_turn(move |()| drop(later));
    }
    assert_eq!(Rc::strong_count(&witness), 10);
    ends_with_items(event_loop, 9);
    assert_eq!(Rc::strong_count(&witness), 1);
}

// contract 38
#[test]
fn handles_and_timers_work_while_futures_are_dropped() {
    let mut event_loop = event_loop::<()>();
    let handle = event_loop.handle();
    let log = Log::default();
    let (inner, older) = (log.clone(), at_end(handle, || ()));
    let control = older.control();
    at_end(handle, move || {
        // The loop is the current one.
        assert_eq!(Handle::<()>::try_current(), Ok(handle));
        assert!(handle.stats().items >= 1);
        // A timer can be made, armed and dropped.
        let mut armed = sleep(Duration::from_secs(3600));
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(std::pin::Pin::new(&mut armed).poll(&mut context).is_pending());
        assert_eq!(handle.stats().timers, 1);
        drop(armed);
        assert_eq!(handle.stats().timers, 0);
        // No state is lent: nobody runs the loop.
        assert_eq!(handle.try_with(|()| ()), Err(StateError::NotRunning));
        handle.stop();
        // Others can still be ended by hand.
        assert!(control.cancel());
        say(&inner, "checked");
    });
    event_loop.turn(&mut (), Duration::ZERO).unwrap();
    ends_with_items(event_loop, 2);
    assert_eq!(*log.borrow(), ["checked"]);
    assert!(older.is_finished());
}

// contract 38; fault 67
#[test]
fn what_is_inserted_during_shutdown_comes_back() {
    let mut event_loop = event_loop::<()>();
    let handle = event_loop.handle();
    let done = Rc::new(Cell::new(false));
    let flag = done.clone();
    at_end(handle, move || {
        let owned = String::from("mine");
        let error = handle.try_spawn(async move { owned }).unwrap_err();
        assert_eq!(error.kind(), InsertErrorKind::ShuttingDown);
        let (ping, source) = callback::ping();
        let error = handle.insert(source, |(), _, ()| Next::Keep).unwrap_err();
        assert_eq!(error.kind(), InsertErrorKind::ShuttingDown);
        assert!(error.to_string().contains("shutting down"));
        drop((ping, error.into_inner()));
        // A witness that the refused future is dropped at once.
        let witness = Rc::new(());
        let inside = witness.clone();
        let refused = handle.spawn(async move { drop(inside) });
        assert!(refused.is_finished());
        assert_eq!(Rc::strong_count(&witness), 1);
        assert!(spawn(async {}).is_finished());
        assert!(handle.defer(|()| ()).is_finished());
        let text = handle.remote().spawn(|_| async {}).map(drop).unwrap_err().to_string();
        assert!(text.contains("dropped") || text.contains("shutting down"), "{text}");
        flag.set(true);
    });
    event_loop.turn(&mut (), Duration::ZERO).unwrap();
    ends_with_items(event_loop, 1);
    assert!(done.get());
}

/// Spawns itself anew each time it is dropped, if it still may.
struct Phoenix(Handle<()>, Rc<Cell<u32>>, u32);

impl Drop for Phoenix {
    fn drop(&mut self) {
        self.1.set(self.1.get() + 1);
        if self.2 > 0 {
            let again = Self(self.0, self.1.clone(), self.2 - 1);
            self.0.spawn(async move {
                let _again = again;
                pending::<()>().await;
            });
        }
    }
}

/// As `Phoenix` without end, by `try_spawn`.
struct Eternal(Handle<()>, Rc<Cell<u32>>, Rc<Cell<bool>>);

impl Drop for Eternal {
    fn drop(&mut self) {
        self.1.set(self.1.get() + 1);
        if self.2.get() {
            return;
        }
        let again = Self(self.0, self.1.clone(), self.2.clone());
        let task = self.0.try_spawn(async move {
            let _again = again;
            pending::<()>().await;
        });
        if let Err(refused) = task {
            assert_eq!(refused.kind(), InsertErrorKind::ShuttingDown);
            // Dropping it would try once more, and so without end.
            self.2.set(true);
            drop(refused);
        }
    }
}

// contract 38; fault 67
#[test]
fn a_task_that_spawns_itself_anew_in_its_drop_does_not_keep_the_loop() {
    let mut event_loop = event_loop::<()>();
    let handle = event_loop.handle();
    let drops = Rc::new(Cell::new(0));
    // While the loop lives, each cancel makes another.
    let eternal = Eternal(handle, drops.clone(), Rc::default());
    let task = handle.spawn(async move {
        let _eternal = eternal;
        pending::<()>().await;
    });
    drop(task.cancel());
    assert_eq!((drops.get(), handle.stats().items), (1, 1));
    let phoenix = Phoenix(handle, drops.clone(), 50);
    handle.spawn(async move {
        let _phoenix = phoenix;
        pending::<()>().await;
    });
    event_loop.turn(&mut (), Duration::ZERO).unwrap();
    ends_with_items(event_loop, 2);
    // The last eternal one, the one that was refused, and each refused phoenix at once.
    assert_eq!(drops.get(), 3 + 51);
}

// contract 38
#[test]
fn the_handle_of_a_task_outlives_its_loop() {
    let mut event_loop = event_loop::<()>();
    let handle = event_loop.handle();
    let (done, waits) = (handle.spawn(async { "output" }), handle.spawn(pending::<()>()));
    let dropped_later = handle.spawn(async { Rc::new(()) });
    event_loop.turn(&mut (), Duration::ZERO).unwrap();
    let control = waits.control();
    ends_with_items(event_loop, 1);
    assert!(done.is_finished() && waits.is_finished() && dropped_later.is_finished());
    assert!(!control.cancel() && !control.pause() && !control.resume());
    assert!(format!("{waits:?}").contains("finished: true"));
    drop(dropped_later);
    assert_eq!(block_on(done).unwrap(), "output");
    let id: TaskId = waits.id();
    let error = block_on(waits.cancel()).unwrap_err();
    assert!(error.is_cancelled() && error.id() == id);
}

// contract 38, 35
#[test]
fn a_task_of_another_loop_that_awaits_an_item_is_told_of_the_end() {
    let ending = event_loop::<()>();
    let mut other = event_loop::<()>();
    let item = ending.handle().spawn(pending::<()>());
    let waiting = other.handle().spawn(item);
    other.turn(&mut (), Duration::ZERO).unwrap();
    assert!(!waiting.is_finished());
    ends_with_items(ending, 1);
    assert!(other.block_on(waiting).unwrap().unwrap().unwrap_err().is_cancelled());
    closes_clean(other);
}

// contract 38
#[test]
fn futures_left_by_block_on_are_dropped_inside_their_loop() {
    let log = Log::default();
    loopline::block_on(async {
        let inner = log.clone();
        let on_drop = OnDrop(move || {
            let current = Handle::<()>::try_current();
            say(&inner, if current.is_ok() { "inside" } else { "outside" });
        });
        spawn(async move {
            let _on_drop = on_drop;
            pending::<()>().await;
        });
        yield_now().await;
    });
    assert_eq!(*log.borrow(), ["inside"]);
}

// contract 38
#[test]
fn a_loop_dropped_in_the_turn_of_another_leaves_that_one_current() {
    let mut outer = event_loop::<()>();
    let handle = outer.handle();
    let log = Log::default();
    let inner_log = log.clone();
    outer
        .block_on(async move {
            let inner = event_loop::<()>();
            let inner_handle = inner.handle();
            at_end(inner_handle, move || {
                assert_eq!(Handle::<()>::try_current(), Ok(inner_handle));
                // The outer loop is there, and takes items.
                let ran = inner_log.clone();
                handle.spawn(async move { say(&ran, "spawned from the other's end") });
            });
            ends_with_items(inner, 1);
            assert_eq!(Handle::<()>::try_current(), Ok(handle));
            yield_now().await;
        })
        .unwrap();
    assert_eq!(*log.borrow(), ["spawned from the other's end"]);
    closes_clean(outer);
}

// contract 38
#[test]
fn a_loop_whose_owner_panics_is_shut_down_by_the_unwinding() {
    let witness = Rc::new(());
    let inside = witness.clone();
    let unwound = catch_unwind(AssertUnwindSafe(|| {
        let mut event_loop = event_loop::<()>();
        event_loop.handle().spawn(async move {
            let _inside = inside;
            pending::<()>().await;
        });
        event_loop.block_on(async {
            yield_now().await;
            panic!("on purpose");
        })
    }));
    assert!(unwound.map(|_: Result<(), _>| ()).is_err());
    assert_eq!(Rc::strong_count(&witness), 1);
}

thread_local! {
    static KEPT: RefCell<Option<EventLoop<()>>> = const { RefCell::new(None) };
}

// contract 38; fault 89
#[test]
fn a_loop_in_a_thread_local_is_shut_down_as_its_thread_ends() {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        // Registered first, so destroyed after the thread's list of loops.
        KEPT.with(|_| {});
        let mut event_loop = event_loop::<()>();
        let handle = event_loop.handle();
        for n in 0..3 {
            let sender = sender.clone();
            at_end(handle, move || {
                // Timers, spawns and handles in the destructor of a thread-local.
                let refused = handle.try_spawn(async {}).map(drop).unwrap_err();
                let armed = sleep(Duration::from_secs(1));
                drop(armed);
                sender.send((n, refused.kind(), handle.stats().items)).unwrap();
            });
        }
        event_loop.turn(&mut (), Duration::ZERO).unwrap();
        KEPT.set(Some(event_loop.unguarded()));
    })
    .join()
    .unwrap();
    let ended: Vec<_> = receiver.iter().collect();
    let kind = InsertErrorKind::ShuttingDown;
    assert_eq!(ended, [(2, kind, 2), (1, kind, 1), (0, kind, 0)]);
}

// contract 38; fault 89
#[test]
fn a_loop_made_in_the_destructor_of_a_thread_local_works() {
    struct RunsLate(mpsc::Sender<u32>);
    impl Drop for RunsLate {
        fn drop(&mut self) {
            // Found by its handle only while it runs: the thread's list of loops is gone.
            let mut event_loop = event_loop::<()>().unguarded();
            let output = event_loop.block_on(async {
                let task = spawn(async {
                    yield_now().await;
                    sleep(Duration::from_millis(1)).await;
                    7
                });
                let output = task.await.unwrap();
                nothing_left_here();
                output
            });
            self.0.send(output.unwrap()).unwrap();
        }
    }
    thread_local! {
        static LATE: RefCell<Option<RunsLate>> = const { RefCell::new(None) };
    }
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        LATE.with(|_| {});
        // The list of loops is used after LATE, so it is gone before it.
        block_on(async {});
        LATE.set(Some(RunsLate(sender)));
    })
    .join()
    .unwrap();
    assert_eq!(receiver.recv(), Ok(7));
}

// contract 38; fault 89
#[test]
fn process_exit_inside_a_task_does_not_deadlock() {
    let me = "process_exit_inside_a_task_does_not_deadlock";
    if std::env::var("LOOPLINE_TEST_CHILD").is_ok_and(|name| name == me) {
        KEPT.set(Some(event_loop::<()>().unguarded()));
        block_on(async {
            at_end(Handle::<()>::try_current().unwrap(), || ());
            let task = spawn(async { std::process::exit(42) });
            let _: Result<(), _> = task.await;
        });
    }
    let mut child = std::process::Command::new(std::env::current_exe().unwrap());
    child.args([me, "--exact", "--test-threads=1"]).env("LOOPLINE_TEST_CHILD", me);
    assert_eq!(child.output().unwrap().status.code(), Some(42));
}

// contract 38
#[test]
fn a_closed_loop_leaves_its_state_with_its_owner() {
    let mut state = vec![1];
    let mut event_loop = event_loop::<Vec<u32>>();
    let handle = event_loop.handle();
    handle.spawn(async move {
        handle.with(|state| state.push(2));
        pending::<()>().await;
    });
    event_loop.turn(&mut state, Duration::ZERO).unwrap();
    ends_with_items(event_loop, 1);
    state.push(3);
    assert_eq!(state, [1, 2, 3]);
}
