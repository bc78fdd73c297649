//! Wakers: from any thread, at any time, in any number, of anybody's making.

mod support;

use std::cell::{Cell, RefCell};
use std::future::{Future, pending, poll_fn};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex, mpsc};
use std::task::{Poll, Waker};
use std::thread::{self, ThreadId};
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use loopline::{JoinHandle, spawn, yield_now};
use support::{block_on, block_on_paused, closes_clean, ends_with_items, event_loop, scaled};

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

// contract 23, 32; fault 63
#[test]
fn of_a_million_wakes_from_eight_threads_none_is_lost() {
    const THREADS: usize = 8;
    let each = scaled(125_000);
    let mut event_loop = event_loop::<()>();
    let handle = event_loop.handle();
    let seen = Arc::new(AtomicUsize::new(0));
    let start = Arc::new(Barrier::new(THREADS + 1));
    let (give, taken) = mpsc::channel::<Waker>();
    let feeder = {
        let (seen, start) = (seen.clone(), start.clone());
        thread::spawn(move || {
            let waker = taken.recv().unwrap();
            let threads: Vec<_> = (0..THREADS)
                .map(|_| {
                    let (waker, seen, start) = (waker.clone(), seen.clone(), start.clone());
                    thread::spawn(move || {
                        start.wait();
                        for _ in 0..each {
                            seen.fetch_add(1, Ordering::Relaxed);
                            waker.wake_by_ref();
                        }
                    })
                })
                .collect();
            start.wait();
            threads.into_iter().for_each(|thread| thread.join().unwrap());
        })
    };
    let mut polls = 0_u64;
    // If the last wake were lost, this would wait for ever: nothing else wakes it.
    event_loop
        .block_on(poll_fn(|cx| {
            if polls == 0 {
                give.send(cx.waker().clone()).unwrap();
            }
            polls += 1;
            if seen.load(Ordering::Relaxed) == THREADS * each {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        }))
        .unwrap();
    feeder.join().unwrap();
    // A turn is at most one wait, a wait ends by at most one notification, and each brought a poll or
    // was the late notice of a wake that had been seen: so the wakes were coalesced. That one wait
    // costs at most one write is counted with strace by .ci/deep.
    let stats = handle.stats();
    assert!(stats.turns <= 2 * polls + 2, "{} turns for {polls} polls", stats.turns);
    closes_clean(event_loop);
}

// contract 23
#[test]
fn a_wake_that_comes_as_the_loop_goes_to_sleep_is_not_lost() {
    let rounds = scaled(50_000);
    let mut event_loop = event_loop::<()>();
    let (asked, answered) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (give, taken) = mpsc::channel::<Waker>();
    let other = {
        let (asked, answered) = (asked.clone(), answered.clone());
        thread::spawn(move || {
            let waker = taken.recv().unwrap();
            for round in 1..=rounds {
                let mut spins = 0_u32;
                while asked.load(Ordering::Acquire) != round {
                    spins += 1;
                    if spins % 1_000 == 0 { thread::yield_now() } else { std::hint::spin_loop() }
                }
                // Later by a little each time: somewhere there the loop checks, announces and checks.
                (0..round % 300).for_each(|_| std::hint::spin_loop());
                answered.store(round, Ordering::Release);
                waker.wake_by_ref();
            }
        })
    };
    event_loop
        .block_on(poll_fn(|cx| {
            let answers = answered.load(Ordering::Acquire);
            if answers == rounds {
                return Poll::Ready(());
            }
            if asked.swap(answers + 1, Ordering::AcqRel) == 0 {
                give.send(cx.waker().clone()).unwrap();
            }
            Poll::Pending
        }))
        .unwrap();
    other.join().unwrap();
    closes_clean(event_loop);
}

// contract 31, 34
#[test]
fn a_waker_of_one_loop_used_in_the_turn_of_another_works() {
    let mut outer = event_loop::<()>();
    let woken = outer
        .block_on(async {
            let waker = my_waker().await;
            let mut inner = event_loop::<()>();
            inner.handle().spawn(async move { waker.wake() });
            inner.turn(&mut (), Duration::ZERO).unwrap();
            closes_clean(inner);
            // Nothing but that wake lets this go on.
            let mut polled = false;
            poll_fn(|_| {
                if std::mem::replace(&mut polled, true) { Poll::Ready(true) } else { Poll::Pending }
            })
            .await
        })
        .unwrap();
    assert!(woken);
    closes_clean(outer);
}

// contract 31, 34
#[test]
fn tasks_of_two_loops_on_one_thread_wake_each_other() {
    let (mut left, mut right) = (event_loop::<()>(), event_loop::<()>());
    let (to_right, mut from_left) = loopline::callback::channel::<u32>();
    let (to_left, mut from_right) = loopline::callback::channel::<u32>();
    let there = left.handle().spawn(async move {
        to_right.send(0).unwrap();
        let mut last = 0;
        while let Some(n) = from_right.next().await {
            last = n;
            if n >= 100 {
                break;
            }
            to_right.send(n + 1).unwrap();
        }
        last
    });
    let back = right.handle().spawn(async move {
        while let Some(n) = from_left.next().await {
            if to_left.send(n + 1).is_err() {
                break;
            }
        }
    });
    // Each sleeps until the other has sent: a lost wake would hang here.
    while !there.is_finished() {
        left.turn(&mut (), None).unwrap();
        if !there.is_finished() {
            right.turn(&mut (), None).unwrap();
        }
    }
    right.run(&mut ()).unwrap();
    assert!(back.is_finished());
    assert_eq!(left.block_on(there).unwrap().unwrap(), 101);
    closes_clean(left);
    closes_clean(right);
}

// contract 31; fault 90
#[test]
fn a_sleep_of_one_loop_awaited_on_another_is_woken_by_its_own() {
    let (mut timing, mut waiting) = (support::paused::<()>(), event_loop::<()>());
    let wait = Duration::from_secs(3600);
    let asleep = timing.block_on(poll_fn(|_| Poll::Ready(loopline::time::sleep(wait)))).unwrap();
    let task = waiting.handle().spawn(asleep);
    waiting.turn(&mut (), Duration::ZERO).unwrap();
    assert_eq!((timing.handle().stats().timers, waiting.handle().stats().timers), (1, 0));
    assert!(timing.turn(&mut (), Duration::ZERO).unwrap().deadline.is_some());
    timing.turn(&mut (), wait).unwrap();
    waiting.turn(&mut (), None).unwrap();
    assert!(task.is_finished());
    closes_clean(timing);
    closes_clean(waiting);
}

// contract 22, 23
#[test]
fn a_wake_at_home_between_turns_ends_the_next_wait() {
    let mut event_loop = event_loop::<()>();
    let waker = Rc::new(RefCell::new(None::<Waker>));
    let (stored, polls) = (waker.clone(), Rc::new(Cell::new(0)));
    let count = polls.clone();
    let task = event_loop.handle().spawn(poll_fn(move |cx| {
        count.set(count.get() + 1);
        stored.replace(Some(cx.waker().clone()));
        Poll::<()>::Pending
    }));
    event_loop.turn(&mut (), None).unwrap();
    for n in 2..10 {
        waker.borrow().as_ref().unwrap().wake_by_ref();
        let turn = event_loop.turn(&mut (), None).unwrap();
        assert_eq!((turn.ran, polls.get()), (1, n));
    }
    // So do a spawn, a cancel's waiter and a resume.
    let spawned = event_loop.handle().spawn(async {});
    event_loop.turn(&mut (), None).unwrap();
    assert!(spawned.is_finished());
    let control = task.control();
    let waiting = event_loop.handle().spawn(task);
    event_loop.turn(&mut (), None).unwrap();
    control.pause();
    waker.borrow().as_ref().unwrap().wake_by_ref();
    event_loop.turn(&mut (), Duration::ZERO).unwrap();
    control.resume();
    event_loop.turn(&mut (), None).unwrap();
    assert_eq!(polls.get(), 10);
    control.cancel();
    event_loop.turn(&mut (), None).unwrap();
    assert!(waiting.is_finished());
    closes_clean(event_loop);
}

// contract 30
#[test]
fn tasks_woken_from_outside_all_get_their_turn_however_many_are() {
    let mut event_loop = event_loop::<()>();
    // Wakes between turns stand in the inbox in order of slots, and are drained in portions.
    let many = 5_000;
    let ran: Rc<Vec<Cell<u32>>> = Rc::new((0..many).map(|_| Cell::new(0)).collect());
    let wakers: Rc<RefCell<Vec<Waker>>> = Rc::default();
    for n in 0..many {
        let (ran, wakers) = (ran.clone(), wakers.clone());
        event_loop.handle().spawn(poll_fn(move |cx| {
            if ran[n].get() == 0 {
                wakers.borrow_mut().push(cx.waker().clone());
            }
            ran[n].set(ran[n].get() + 1);
            Poll::<()>::Pending
        }));
    }
    while event_loop.turn(&mut (), Duration::ZERO).unwrap().left {}
    assert_eq!(wakers.borrow().len(), many);
    // All of them, again and again.
    for _ in 0..1_000 {
        wakers.borrow().iter().for_each(Waker::wake_by_ref);
        event_loop.turn(&mut (), Duration::ZERO).unwrap();
        if ran.iter().all(|ran| ran.get() >= 2) {
            break;
        }
    }
    let least = ran.iter().map(Cell::get).min();
    assert!(least >= Some(2), "an item waited for 1,000 turns");
    ends_with_items(event_loop, many);
}

// contract 34
#[test]
fn futures_unordered_runs_here() {
    let outputs = block_on_paused(async {
        let mut all: FuturesUnordered<_> = (0..100_u64)
            .map(|n| async move {
                loopline::time::sleep(Duration::from_millis(100 - n)).await;
                yield_now().await;
                n
            })
            .collect();
        let mut outputs = Vec::new();
        while let Some(n) = all.next().await {
            outputs.push(n);
        }
        outputs
    });
    assert_eq!(outputs, (0..100).rev().collect::<Vec<_>>());
}

// contract 34, 27
#[test]
fn futures_unordered_of_handles_runs_here() {
    let sum = block_on(async {
        let all: FuturesUnordered<JoinHandle<usize>> = (0..scaled(10_000))
            .map(|n| {
                spawn(async move {
                    yield_now().await;
                    n
                })
            })
            .collect();
        all.fold(0, async |sum, n| sum + n.unwrap()).await
    });
    let many = scaled(10_000);
    assert_eq!(sum, many * (many - 1) / 2);
}

// contract 34
#[test]
fn join_all_and_select_run_here() {
    block_on_paused(async {
        let sleeps = (1..=10).map(|n| async move {
            loopline::time::sleep(Duration::from_secs(n)).await;
            n
        });
        assert_eq!(futures::future::join_all(sleeps).await, (1..=10).collect::<Vec<_>>());

        let slow = Box::pin(loopline::time::sleep(Duration::from_secs(2)));
        let task = spawn(async {
            loopline::time::sleep(Duration::from_secs(1)).await;
            "task"
        });
        match futures::future::select(slow, task).await {
            futures::future::Either::Left(_) => panic!("the shorter one comes first"),
            futures::future::Either::Right((output, slow)) => {
                assert_eq!(output.unwrap(), "task");
                slow.await;
            }
        }

        let mut first =
            Box::pin(futures::FutureExt::fuse(loopline::time::sleep(Duration::from_secs(1))));
        let mut second =
            Box::pin(futures::FutureExt::fuse(loopline::time::sleep(Duration::from_secs(2))));
        let mut order = Vec::new();
        loop {
            futures::select! {
                () = first => order.push("first"),
                () = second => order.push("second"),
                complete => break,
            }
        }
        assert_eq!(order, ["first", "second"]);
    });
}
