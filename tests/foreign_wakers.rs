//! Wakers of other libraries: cloned, woken and dropped as agreed, and contained if they panic.

mod support;

use std::future::{Future, pending, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll, RawWaker, RawWakerVTable, Waker};
use std::time::Duration;

use futures::Stream;
use loopline::callback;
use loopline::time::sleep;
use loopline::{Clock, yield_now};
use support::{built, closes_clean, ends_with_items, event_loop};

/// Longer than any test.
const FAR: Duration = Duration::from_secs(1_000);

/// What a waker of our own making does, and what was done to it.
#[derive(Default)]
struct Custom {
    clones: AtomicUsize,
    wakes: AtomicUsize,
    drops: AtomicUsize,
    panics_in_clone: AtomicBool,
    panics_in_wake: AtomicBool,
    panics_in_drop: AtomicBool,
}

static KEPT: Mutex<Vec<&'static Custom>> = Mutex::new(Vec::new());

static CUSTOM: RawWakerVTable = RawWakerVTable::new(clone, wake, wake_by_ref, release);

fn custom(data: *const ()) -> &'static Custom {
    // SAFETY: every waker of this table is made of a leaked `Custom`.
    unsafe { &*data.cast::<Custom>() }
}

fn count(counter: &AtomicUsize, panics: &AtomicBool, text: &'static str) {
    counter.fetch_add(1, Ordering::SeqCst);
    if panics.load(Ordering::SeqCst) {
        panic!("{text} on purpose");
    }
}

unsafe fn clone(data: *const ()) -> RawWaker {
    count(&custom(data).clones, &custom(data).panics_in_clone, "clone");
    RawWaker::new(data, &CUSTOM)
}

unsafe fn wake(data: *const ()) {
    count(&custom(data).wakes, &custom(data).panics_in_wake, "wake");
    count(&custom(data).drops, &custom(data).panics_in_drop, "drop");
}

unsafe fn wake_by_ref(data: *const ()) {
    count(&custom(data).wakes, &custom(data).panics_in_wake, "wake");
}

unsafe fn release(data: *const ()) {
    count(&custom(data).drops, &custom(data).panics_in_drop, "drop");
}

/// Makes one, and the waker that does what it says.
fn custom_waker() -> (&'static Custom, Waker) {
    let custom: &'static Custom = Box::leak(Box::default());
    // Known to be kept, for a leak checker.
    KEPT.lock().unwrap_or_else(PoisonError::into_inner).push(custom);
    // SAFETY: the functions of CUSTOM only look at the leaked `Custom`, which is Sync.
    (custom, unsafe { Waker::new(std::ptr::from_ref(custom).cast(), &CUSTOM) })
}

fn poll_with<F: Future + Unpin>(future: &mut F, waker: &Waker) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(waker))
}

// contract 35, 4; fault 58
#[test]
fn a_foreign_waiter_is_cloned_once_woken_once_and_dropped() {
    let mut event_loop = event_loop::<()>();
    let (custom, waker) = custom_waker();
    let mut task = event_loop.handle().spawn(async { yield_now().await });
    for _ in 0..3 {
        assert!(poll_with(&mut task, &waker).is_pending());
    }
    assert_eq!(custom.clones.load(Ordering::SeqCst), 1, "the same waiter again is not a new one");
    event_loop.run(&mut ()).unwrap();
    assert_eq!(custom.wakes.load(Ordering::SeqCst), 1);
    assert!(poll_with(&mut task, &waker).is_ready());
    drop((task, waker));
    assert_eq!(custom.drops.load(Ordering::SeqCst), 2);
    closes_clean(event_loop);
}

// contract 4; fault 58
#[test]
fn the_last_waiter_to_poll_a_handle_is_the_one_that_is_woken() {
    let mut event_loop = event_loop::<()>();
    let ((first, first_waker), (last, last_waker)) = (custom_waker(), custom_waker());
    let mut task = event_loop.handle().spawn(async {});
    assert!(poll_with(&mut task, &first_waker).is_pending());
    assert!(poll_with(&mut task, &last_waker).is_pending());
    assert_eq!(first.drops.load(Ordering::SeqCst), 1);
    event_loop.run(&mut ()).unwrap();
    assert_eq!(first.wakes.load(Ordering::SeqCst), 0);
    assert_eq!(last.wakes.load(Ordering::SeqCst), 1);
    closes_clean(event_loop);
}

// contract 35; fault 58
#[test]
fn a_waiter_whose_wake_panics_costs_nobody_else_anything() {
    let mut event_loop = event_loop::<()>();
    let (custom, waker) = custom_waker();
    custom.panics_in_wake.store(true, Ordering::SeqCst);
    let mut task = event_loop.handle().spawn(async { 5 });
    let other = event_loop.handle().spawn(async { 6 });
    assert!(poll_with(&mut task, &waker).is_pending());
    event_loop.run(&mut ()).unwrap();
    assert_eq!(custom.wakes.load(Ordering::SeqCst), 1);
    assert!(matches!(poll_with(&mut task, &waker), Poll::Ready(Ok(5))));
    assert_eq!(event_loop.block_on(other).unwrap().unwrap(), 6);
    closes_clean(event_loop);
}

// contract 35; fault 58
#[test]
fn a_waiter_whose_wake_panics_as_its_task_is_cancelled_is_contained_too() {
    let mut event_loop = event_loop::<()>();
    let (custom, waker) = custom_waker();
    custom.panics_in_wake.store(true, Ordering::SeqCst);
    let mut cancelled = event_loop.handle().spawn(pending::<()>());
    let control = cancelled.control();
    assert!(poll_with(&mut cancelled, &waker).is_pending());
    assert!(control.cancel());
    // And as the loop is dropped.
    let mut left = event_loop.handle().spawn(pending::<()>());
    assert!(poll_with(&mut left, &waker).is_pending());
    event_loop.turn(&mut (), Duration::ZERO).unwrap();
    ends_with_items(event_loop, 1);
    assert_eq!(custom.wakes.load(Ordering::SeqCst), 2);
    assert!(matches!(poll_with(&mut cancelled, &waker), Poll::Ready(Err(_))));
    assert!(matches!(poll_with(&mut left, &waker), Poll::Ready(Err(_))));
}

// contract 35, 45; fault 58
#[test]
fn a_cancelled_sleep_drops_a_foreign_waker_at_once() {
    let mut event_loop = event_loop::<()>();
    let ((first, first_waker), (last, last_waker)) = (custom_waker(), custom_waker());
    let drops = |custom: &Custom| custom.drops.load(Ordering::SeqCst);
    let all = async {
        let (mut replaced, mut cancelled) = (sleep(FAR), sleep(FAR));
        assert!(poll_with(&mut replaced, &first_waker).is_pending());
        assert!(poll_with(&mut replaced, Waker::noop()).is_pending());
        assert_eq!(drops(first), 1, "another waits now");
        assert!(poll_fn(|cx| Poll::Ready(Pin::new(&mut cancelled).poll(cx))).await.is_pending());
        for dropped in 0..3 {
            assert!(poll_with(&mut cancelled, &last_waker).is_pending());
            assert_eq!(drops(last), dropped);
        }
        drop(cancelled);
        assert_eq!(drops(last), 3);
        drop(replaced);
    };
    event_loop.block_on(all).unwrap();
    assert_eq!(last.wakes.load(Ordering::SeqCst), 0);
    drop((first_waker, last_waker));
    closes_clean(event_loop);
}

// contract 35; fault 58
#[test]
fn a_waiter_whose_clone_panics_leaves_the_handle_as_it_was() {
    let mut event_loop = event_loop::<()>();
    let (custom, waker) = custom_waker();
    custom.panics_in_clone.store(true, Ordering::SeqCst);
    let mut task = event_loop.handle().spawn(async { 5 });
    let polled = catch_unwind(AssertUnwindSafe(|| poll_with(&mut task, &waker)));
    assert!(polled.is_err());
    custom.panics_in_clone.store(false, Ordering::SeqCst);
    assert!(poll_with(&mut task, &waker).is_pending());
    event_loop.run(&mut ()).unwrap();
    assert_eq!(custom.wakes.load(Ordering::SeqCst), 1);
    assert!(matches!(poll_with(&mut task, &waker), Poll::Ready(Ok(5))));
    closes_clean(event_loop);
}

// contract 35; fault 58
#[test]
fn a_waiter_whose_drop_panics_leaves_task_and_loop_as_they_were() {
    let mut event_loop = event_loop::<()>();
    let (custom, waker) = custom_waker();
    let waker = std::mem::ManuallyDrop::new(waker);
    custom.panics_in_drop.store(true, Ordering::SeqCst);
    // Replaced by another waiter, dropped with the handle, dropped after its wake.
    let mut replaced = event_loop.handle().spawn(async { 5 });
    assert!(poll_with(&mut replaced, &waker).is_pending());
    let again = catch_unwind(AssertUnwindSafe(|| poll_with(&mut replaced, Waker::noop())));
    assert!(again.is_err(), "it is the caller's own waker that panicked");
    let mut detached = event_loop.handle().spawn(async { 6 });
    assert!(poll_with(&mut detached, &waker).is_pending());
    assert!(catch_unwind(AssertUnwindSafe(move || drop(detached))).is_err());
    let mut woken = event_loop.handle().spawn(async { 7 });
    assert!(poll_with(&mut woken, &waker).is_pending());
    event_loop.run(&mut ()).unwrap();
    assert_eq!(custom.drops.load(Ordering::SeqCst), 3);
    assert!(matches!(poll_with(&mut replaced, Waker::noop()), Poll::Ready(Ok(5))));
    assert!(matches!(poll_with(&mut woken, Waker::noop()), Poll::Ready(Ok(7))));
    closes_clean(event_loop);
}

// contract 32; fault 58
#[test]
fn a_foreign_waker_of_a_timer_that_panics_leaves_the_other_timers() {
    let mut event_loop = support::paused::<()>();
    let (custom, waker) = custom_waker();
    custom.panics_in_wake.store(true, Ordering::SeqCst);
    event_loop
        .block_on(async {
            let mut bad = sleep(Duration::from_secs(1));
            assert!(poll_with(&mut bad, &waker).is_pending());
            sleep(Duration::from_secs(1)).await;
            sleep(Duration::from_secs(1)).await;
            assert_eq!(custom.wakes.load(Ordering::SeqCst), 1);
            assert!(poll_with(&mut bad, &waker).is_ready());
        })
        .unwrap();
    closes_clean(event_loop);
}

// contract 35; fault 58
#[test]
fn a_remote_waiter_whose_functions_panic_leaves_the_item_and_the_loop_as_they_were() {
    let mut event_loop = event_loop::<()>();
    let remote = event_loop.handle().remote();
    let (custom, waker) = custom_waker();
    custom.panics_in_wake.store(true, Ordering::SeqCst);
    let mut join = remote.spawn(|_| async { 5 }).unwrap();
    assert!(poll_with(&mut join, &waker).is_pending());
    let mut cancelled = remote.spawn(|_| pending::<()>()).unwrap();
    assert!(poll_with(&mut cancelled, &waker).is_pending());
    cancelled.cancel();
    drop(remote);
    event_loop.run(&mut ()).unwrap();
    assert_eq!(custom.wakes.load(Ordering::SeqCst), 2);
    assert!(matches!(poll_with(&mut join, &waker), Poll::Ready(Ok(5))));
    assert!(matches!(poll_with(&mut cancelled, &waker), Poll::Ready(Err(_))));

    // On the thread of the waiter: clone.
    custom.panics_in_clone.store(true, Ordering::SeqCst);
    let remote = event_loop.handle().remote();
    let mut join = remote.spawn(|_| async { 6 }).unwrap();
    assert!(catch_unwind(AssertUnwindSafe(|| poll_with(&mut join, &waker))).is_err());
    drop(remote);
    event_loop.run(&mut ()).unwrap();
    assert!(matches!(poll_with(&mut join, Waker::noop()), Poll::Ready(Ok(6))));
    closes_clean(event_loop);
}

// contract 25, 42
#[test]
fn no_more_foreign_wakers_of_timers_are_called_in_a_turn_than_items_may_run_in_it() {
    let mut event_loop = built::<()>(|builder| builder.clock(Clock::Paused).items_per_turn(3));
    let (custom, waker) = custom_waker();
    let sleeps = event_loop.block_on(async {
        let mut sleeps: Vec<_> = (0..10).map(|_| sleep(Duration::from_millis(1))).collect();
        sleeps.iter_mut().for_each(|sleep| assert!(poll_with(sleep, &waker).is_pending()));
        sleeps
    });
    let mut sleeps = sleeps.unwrap();
    let mut called = 0;
    while called < 10 {
        event_loop.turn(&mut (), None).unwrap();
        let now = custom.wakes.load(Ordering::SeqCst);
        assert!(now - called <= 3, "{} in one turn", now - called);
        called = now;
    }
    sleeps.iter_mut().for_each(|sleep| assert!(poll_with(sleep, &waker).is_ready()));
    drop(sleeps);
    closes_clean(event_loop);
}

/// A waker whose wake and drop use the event loop, as the last owner of something may.
struct Busy(loopline::Handle<()>, std::rc::Rc<std::cell::Cell<u32>>);

impl Busy {
    fn acts(&self) {
        let mut sleep = Box::pin(sleep(FAR));
        assert!(poll_with(&mut sleep, Waker::noop()).is_pending());
        drop(sleep);
        self.0.defer(|()| ());
        self.1.set(self.1.get() + 1);
    }

    fn waker(self) -> Waker {
        static TABLE: RawWakerVTable = RawWakerVTable::new(
            |data| {
                // SAFETY: `data` came from `Rc::into_raw`, on this thread.
                unsafe { std::rc::Rc::increment_strong_count(data.cast::<Busy>()) };
                RawWaker::new(data, &TABLE)
            },
            |data| {
                // SAFETY: as above; takes the waker's own reference.
                unsafe { std::rc::Rc::from_raw(data.cast::<Busy>()) }.acts();
            },
            // SAFETY: as above; the waker lives.
            |data| unsafe { &*data.cast::<Busy>() }.acts(),
            // SAFETY: as above; takes the waker's own reference.
            |data| unsafe { std::rc::Rc::from_raw(data.cast::<Busy>()) }.acts(),
        );
        let data = std::rc::Rc::into_raw(std::rc::Rc::new(self));
        // SAFETY: never leaves this thread.
        unsafe { Waker::from_raw(RawWaker::new(data.cast(), &TABLE)) }
    }
}

// contract 16, 37
#[test]
fn a_waker_that_uses_the_loop_may_be_replaced_dropped_and_woken_by_it() {
    let mut event_loop = event_loop::<()>();
    let handle = event_loop.handle();
    let acted = std::rc::Rc::new(std::cell::Cell::new(0));
    let busy = || Busy(handle, acted.clone()).waker();
    event_loop
        .block_on(async {
            let mut slept = sleep(FAR);
            let (ping, mut pings) = callback::ping();
            let mut before = callback::before_park();
            for _ in 0..2 {
                let waker = busy();
                let mut cx = Context::from_waker(&waker);
                assert!(Pin::new(&mut slept).poll(&mut cx).is_pending());
                assert!(Pin::new(&mut pings).poll_next(&mut cx).is_pending());
                assert!(Pin::new(&mut before).poll_next(&mut cx).is_pending());
            }
            let replaced = acted.get();
            ping.ping();
            assert!(acted.get() > replaced);
            drop((slept, before, pings));
            // One that is called as it is due.
            let waker = busy();
            let mut soon = sleep(Duration::from_millis(1));
            assert!(poll_with(&mut soon, &waker).is_pending());
            let before = acted.get();
            while acted.get() == before {
                sleep(Duration::from_millis(1)).await;
            }
        })
        .unwrap();
    event_loop.run(&mut ()).unwrap();
    assert!(acted.get() >= 8);
    closes_clean(event_loop);
}
