//! A waker is a number: it may outlive its task, its loop and its thread, and keeps none alive.

mod support;

use std::cell::{Cell, RefCell};
use std::future::{Future, pending, poll_fn};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Poll, Waker};
use std::thread::{self, ThreadId};
use std::time::Duration;

use loopline::spawn;
use support::{closes_clean, ends_with_items, event_loop, scaled};

/// Gives the waker of the task that awaits this.
fn my_waker() -> impl Future<Output = Waker> {
    poll_fn(|cx| Poll::Ready(cx.waker().clone()))
}

fn assert_send_sync<T: Send + Sync>(_: &T) {}

// contract 31; fault 55
#[test]
fn a_waker_kept_past_the_end_of_its_task_does_nothing() {
    let mut event_loop = event_loop::<()>();
    let waker = event_loop.block_on(async { spawn(my_waker()).await.unwrap() }).unwrap();
    let before = event_loop.handle().stats().items_run;
    waker.wake_by_ref();
    thread::scope(|scope| scope.spawn(|| waker.wake_by_ref()).join().unwrap());
    event_loop.turn(&mut (), Duration::ZERO).unwrap();
    assert_eq!(event_loop.handle().stats().items_run, before);
    closes_clean(event_loop);
}

// contract 31; fault 55
#[test]
fn a_waker_outlives_its_loop_at_home_and_abroad() {
    let mut event_loop = event_loop::<()>();
    let (root, task) = event_loop
        .block_on(async { (my_waker().await, spawn(my_waker()).await.unwrap()) })
        .unwrap();
    assert_send_sync(&root);
    closes_clean(event_loop);
    for waker in [root, task] {
        waker.wake_by_ref();
        let copy = waker.clone();
        assert!(copy.will_wake(&waker));
        thread::spawn(move || {
            copy.wake_by_ref();
            copy.wake();
        })
        .join()
        .unwrap();
        waker.wake();
    }
}

// contract 31; fault 55
#[test]
fn a_stale_waker_costs_a_later_loop_no_more_than_a_spurious_poll() {
    let mut first = event_loop::<()>();
    let stale = first.block_on(async { spawn(my_waker()).await.unwrap() }).unwrap();
    closes_clean(first);
    // Gets the number of the first loop, if nobody was faster, and the slot of its task.
    let mut second = event_loop::<()>();
    let polls = Rc::new(Cell::new(0));
    let count = polls.clone();
    let task = second.handle().spawn(poll_fn(move |_| {
        count.set(count.get() + 1);
        Poll::<()>::Pending
    }));
    second.turn(&mut (), Duration::ZERO).unwrap();
    stale.wake();
    second.turn(&mut (), Duration::ZERO).unwrap();
    assert!(polls.get() <= 2);
    drop(task.cancel());
    closes_clean(second);
}

// contract 31, 32; fault 56
#[test]
fn eight_threads_wake_while_loops_are_made_and_dropped() {
    let shelf: Arc<[Mutex<Option<Waker>>; 8]> = Arc::default();
    let stop = Arc::new(AtomicBool::new(false));
    let threads: Vec<_> = (0..8)
        .map(|n| {
            let (shelf, stop) = (shelf.clone(), stop.clone());
            thread::spawn(move || {
                let mut wakes = 0_u64;
                while !stop.load(Ordering::Relaxed) {
                    let waker = shelf[n].lock().unwrap().clone();
                    if let Some(waker) = waker {
                        (0..16).for_each(|_| waker.wake_by_ref());
                        wakes += 16;
                    }
                    thread::yield_now();
                }
                wakes
            })
        })
        .collect();
    for _ in 0..scaled(10_000) {
        let mut event_loop = event_loop::<()>();
        let tasks: Vec<_> = (0..8)
            .map(|n| {
                let shelf = shelf.clone();
                event_loop.handle().spawn(poll_fn(move |cx| {
                    shelf[n].lock().unwrap().replace(cx.waker().clone());
                    Poll::<()>::Pending
                }))
            })
            .collect();
        event_loop.turn(&mut (), Duration::ZERO).unwrap();
        tasks.into_iter().for_each(|task| drop(task.cancel()));
        closes_clean(event_loop);
    }
    stop.store(true, Ordering::Relaxed);
    let wakes: u64 = threads.into_iter().map(|thread| thread.join().unwrap()).sum();
    assert!(wakes > 0);
}

/// Wakes when its thread's locals are destroyed, and says so.
struct WakesLate(Waker, mpsc::Sender<()>);

impl Drop for WakesLate {
    fn drop(&mut self) {
        let copy = self.0.clone();
        self.0.wake_by_ref();
        copy.wake();
        self.1.send(()).unwrap();
    }
}

thread_local! {
    static EARLY: RefCell<Option<WakesLate>> = const { RefCell::new(None) };
    static LATE: RefCell<Option<WakesLate>> = const { RefCell::new(None) };
}

// contract 31; fault 57
#[test]
fn a_wake_in_the_destructor_of_another_threads_local_arrives() {
    let mut event_loop = event_loop::<()>();
    let (said, says) = mpsc::channel();
    let mut polls = 0;
    event_loop
        .block_on(poll_fn(|cx| {
            polls += 1;
            if polls == 1 {
                let (late, said) = (cx.waker().clone(), said.clone());
                thread::spawn(|| EARLY.set(Some(WakesLate(late, said)))).join().unwrap();
                return Poll::Pending;
            }
            Poll::Ready(())
        }))
        .unwrap();
    assert!(says.try_recv().is_ok());
    closes_clean(event_loop);
}

// contract 31; fault 57
#[test]
fn a_wake_in_the_destructor_of_the_loops_own_threads_local_does_nothing() {
    let (said, says) = mpsc::channel();
    thread::spawn(move || {
        // Destroyed in the reverse order of first use: one after the loop's locals, one before.
        LATE.with(|_| {});
        let mut event_loop = event_loop::<()>();
        let waker = event_loop.block_on(my_waker()).unwrap();
        EARLY.set(Some(WakesLate(waker.clone(), said.clone())));
        LATE.set(Some(WakesLate(waker, said)));
        closes_clean(event_loop);
    })
    .join()
    .unwrap();
    assert_eq!(says.iter().count(), 2);
}

// contract 31, 38; fault 57, 89
#[test]
fn a_loop_in_a_thread_local_is_woken_and_dropped_as_its_thread_ends() {
    thread_local! {
        static LOOP: RefCell<Option<loopline::EventLoop<()>>> = const { RefCell::new(None) };
    }
    struct WakesOther(Waker, Arc<AtomicUsize>);
    impl Drop for WakesOther {
        fn drop(&mut self) {
            self.0.wake_by_ref();
            self.1.fetch_add(1, Ordering::Relaxed);
        }
    }
    let drops = Arc::new(AtomicUsize::new(0));
    let seen = drops.clone();
    thread::spawn(move || {
        LOOP.with(|_| {});
        let mut event_loop = event_loop::<()>();
        let waker = event_loop.block_on(my_waker()).unwrap();
        for _ in 0..3 {
            let wakes = WakesOther(waker.clone(), seen.clone());
            event_loop.handle().spawn(async move {
                let _wakes = wakes;
                pending::<()>().await;
            });
        }
        LOOP.set(Some(event_loop.unguarded()));
    })
    .join()
    .unwrap();
    assert_eq!(drops.load(Ordering::Relaxed), 3);
}

/// Sends the thread it is dropped on.
struct DroppedOn(Rc<()>, mpsc::Sender<ThreadId>);

impl Drop for DroppedOn {
    fn drop(&mut self) {
        self.1.send(thread::current().id()).unwrap();
    }
}

// contract 33; fault 59
#[test]
fn the_last_waker_dropped_abroad_does_not_drop_the_future_there() {
    let (sender, dropped_on) = mpsc::channel();
    let (give, taken) = mpsc::channel::<Waker>();
    let (end, ended) = mpsc::channel::<()>();
    let abroad = thread::spawn(move || {
        let wakers: Vec<Waker> = taken.iter().collect();
        ended.recv().unwrap_err();
        wakers.into_iter().for_each(Waker::wake);
    });
    let mut event_loop = event_loop::<()>();
    for _ in 0..10 {
        let (here, give) = (DroppedOn(Rc::new(()), sender.clone()), give.clone());
        event_loop.handle().spawn(async move {
            let here = here;
            give.send(my_waker().await).unwrap();
            drop(give);
            pending::<()>().await;
            drop(here.0.clone());
        });
    }
    drop((give, sender));
    event_loop.turn(&mut (), Duration::ZERO).unwrap();
    ends_with_items(event_loop, 10);
    drop(end);
    abroad.join().unwrap();
    assert_eq!(dropped_on.iter().collect::<Vec<_>>(), [thread::current().id(); 10]);
}

// contract 31; fault 60
#[test]
fn the_loops_end_drops_a_future_whose_waker_was_leaked() {
    let mut event_loop = event_loop::<()>();
    let witness = Rc::new(());
    let inside = witness.clone();
    event_loop.handle().spawn(async move {
        std::mem::forget(my_waker().await);
        pending::<()>().await;
        drop(inside);
    });
    event_loop.turn(&mut (), Duration::ZERO).unwrap();
    assert_eq!(Rc::strong_count(&witness), 2);
    ends_with_items(event_loop, 1);
    assert_eq!(Rc::strong_count(&witness), 1);
}
