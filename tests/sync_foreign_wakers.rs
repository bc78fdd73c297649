//! Locks and wakers of other libraries: whatever those do in their clone, wake and drop, panics too, no
//! permit is lost and nobody waits for ever.

#[path = "support/locks.rs"]
mod locks;
mod support;

use std::cell::RefCell;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use futures::FutureExt;
use locks::{Waiting, waiting};
use loopline::sync::{Barrier, Mutex, Notify, OnceCell, RwLock, Semaphore};
use support::block_on;

type Hook = RefCell<Option<Box<dyn FnOnce()>>>;

fn panics(hook: &Hook) {
    *hook.borrow_mut() = Some(Box::new(|| panic!("on purpose")));
}

fn does(hook: &Hook, act: impl FnOnce() + 'static) {
    *hook.borrow_mut() = Some(Box::new(act));
}

fn caught<T>(act: impl FnOnce() -> T) {
    assert!(catch_unwind(AssertUnwindSafe(act)).is_err());
}

/// Wakers that panic in each of their three functions, at a lock that is had by `lock` and waited for
/// in the order of asking.
async fn contains_panics<G, F: Future<Output = G>>(lock: impl Fn() -> F) {
    // In the clone: that wait is gone (an `async fn` that panicked is not polled again), its place too.
    let held = lock().await;
    let mut first = Waiting::new(lock());
    panics(&first.acts.on_clone);
    caught(|| first.poll().is_ready());
    let mut second = waiting(lock());
    drop(held);
    let held = second.ready();
    // In the clone of another waker, while it is in line.
    let mut first = waiting(lock());
    let old = std::mem::take(&mut first.acts);
    panics(&first.acts.on_clone);
    caught(|| first.poll().is_ready());
    assert_eq!((old.wakes.get(), Rc::strong_count(&old)), (0, 1));
    // In the wake: who gives back and who is next do not see it.
    let (mut first, mut second) = (waiting(lock()), waiting(lock()));
    panics(&first.acts.on_wake);
    panics(&second.acts.on_wake);
    drop(held);
    assert_eq!((first.acts.wakes.get(), second.acts.wakes.get()), (1, 0));
    drop(first.ready());
    let held = second.ready();
    // In the drop, as a new waker takes its place, and as the wait is dropped.
    let mut first = waiting(lock());
    let old = std::mem::take(&mut first.acts);
    panics(&old.on_drop);
    caught(|| first.poll().is_ready());
    let first = waiting(lock());
    let mut second = waiting(lock());
    let acts = first.acts.clone();
    panics(&acts.on_drop);
    caught(|| drop(first));
    drop(held);
    drop(second.ready());
    drop(lock().now_or_never().expect("nothing was lost"));
}

// contract 4, 35; fault 58
#[test]
fn a_waker_that_panics_costs_a_lock_nothing() {
    block_on(async {
        let semaphore = Semaphore::new(1);
        contains_panics(|| semaphore.acquire()).await;
        let semaphore = Semaphore::new(3);
        contains_panics(|| semaphore.acquire_many(3)).await;
        assert_eq!(semaphore.available_permits(), 3);
        let mutex = Rc::new(Mutex::new(()));
        contains_panics(|| mutex.lock()).await;
        contains_panics(|| mutex.clone().lock_owned()).await;
        let lock = Rc::new(RwLock::new(()));
        contains_panics(|| lock.write()).await;
        contains_panics(|| lock.clone().write_owned()).await;
        let readers = RwLock::with_max_readers((), 1);
        contains_panics(|| readers.read()).await;
    });
}

// fault 58
#[test]
fn a_wait_for_many_that_is_dropped_gives_back_though_its_waker_panics() {
    block_on(async {
        let semaphore = Semaphore::new(2);
        let many = waiting(semaphore.acquire_many(3));
        assert_eq!(semaphore.available_permits(), 0);
        let acts = many.acts.clone();
        panics(&acts.on_drop);
        caught(|| drop(many));
        assert_eq!(semaphore.available_permits(), 2);
    });
}

// contract 4; fault 58
#[test]
fn a_waker_that_gives_back_in_its_clone_is_served_by_that_poll() {
    block_on(async {
        for (held, wanted) in [(1, 1), (3, 2), (2, 3)] {
            let semaphore = Rc::new(Semaphore::new(held));
            let permit = semaphore.clone().acquire_many_owned(held as u32).await.unwrap();
            let mut wait = Waiting::new(semaphore.acquire_many(wanted));
            does(&wait.acts.on_clone, move || drop(permit));
            assert_eq!(wait.poll().is_ready(), wanted <= held as u32);
            drop(wait);
            assert_eq!(semaphore.available_permits(), held);
        }
        // And while it is in line: the new waker is of no use any more.
        let semaphore = Rc::new(Semaphore::new(1));
        let permit = semaphore.clone().acquire_owned().await.unwrap();
        let mut wait = waiting(semaphore.acquire());
        wait.acts = Rc::default();
        does(&wait.acts.on_clone, move || drop(permit));
        drop(wait.ready().unwrap());
        // A drop that takes the panic's way loses nothing either.
        let permit = semaphore.clone().acquire_owned().await.unwrap();
        let mut wait = Waiting::new(semaphore.acquire());
        let acts = wait.acts.clone();
        does(&wait.acts.on_clone, move || {
            drop(permit);
            panics(&acts.on_drop);
        });
        caught(|| wait.poll().is_ready());
        drop(wait);
        assert_eq!(semaphore.available_permits(), 1);
    });
}

// fault 58
#[test]
fn a_semaphore_closed_by_a_wakers_clone_refuses_that_wait() {
    block_on(async {
        let semaphore = Rc::new(Semaphore::new(0));
        let mut wait = Waiting::new(semaphore.acquire());
        let theirs = semaphore.clone();
        does(&wait.acts.on_clone, move || theirs.close());
        wait.ready().unwrap_err();
    });
}

// contract 4; fault 58
#[test]
fn wakers_that_use_the_lock_again_find_it_free_to_use() {
    block_on(async {
        let semaphore = Rc::new(Semaphore::new(0));
        let (first, second) = (waiting(semaphore.acquire()), waiting(semaphore.acquire()));
        let theirs = semaphore.clone();
        does(&first.acts.on_wake, move || theirs.add_permits(1));
        semaphore.add_permits(1);
        assert!(first.is_woken() && second.is_woken());
        // A close that wakes, which gives back: who is closed out gets none.
        let (first, mut last) = (waiting(semaphore.acquire()), waiting(semaphore.acquire()));
        let theirs = semaphore.clone();
        does(&first.acts.on_wake, move || theirs.add_permits(1));
        semaphore.close();
        assert_eq!(semaphore.available_permits(), 1);
        last.ready().unwrap_err();
    });
}

// contract 4, 35; fault 58
#[test]
fn a_waker_that_panics_costs_a_notify_nothing() {
    block_on(async {
        let notify = Notify::new();
        let mut first = Waiting::new(notify.notified());
        panics(&first.acts.on_clone);
        caught(|| first.poll().is_ready());
        notify.notify_one();
        first.ready();

        let mut all = [waiting(notify.notified()), waiting(notify.notified())];
        panics(&all[0].acts.on_wake);
        notify.notify_waiters();
        assert!(all.iter().all(Waiting::is_woken));
        all.iter_mut().for_each(Waiting::ready);

        let (first, second) = (waiting(notify.notified()), waiting(notify.notified()));
        let acts = first.acts.clone();
        panics(&acts.on_drop);
        caught(|| drop(first));
        notify.notify_one();
        assert!(second.is_woken());
    });
}

// contract 4; fault 58
#[test]
fn wakers_that_notify_do_it_as_anybody_would() {
    block_on(async {
        let notify = Rc::new(Notify::new());
        // In the clone: that poll takes it.
        let mut wait = Waiting::new(notify.notified());
        let theirs = notify.clone();
        does(&wait.acts.on_clone, move || theirs.notify_one());
        wait.ready();
        // In the wake, inside `notify_waiters`: those it is for are served by that.
        let (first, second) = (waiting(notify.notified()), waiting(notify.notified()));
        let (theirs, later) = (notify.clone(), Rc::new(RefCell::new(None)));
        let kept = later.clone();
        does(&first.acts.on_wake, move || {
            *kept.borrow_mut() = Some(waiting(theirs.clone().notified_owned()));
            theirs.notify_one();
        });
        notify.notify_waiters();
        assert!(first.is_woken() && second.is_woken());
        let mut later = later.borrow_mut().take().unwrap();
        assert!(later.is_woken(), "it was made after, and notified by itself");
        later.ready();
        assert!(notify.notified().now_or_never().is_none());
        // In the drop.
        let mut wait = waiting(notify.notified());
        let theirs = notify.clone();
        does(&std::mem::take(&mut wait.acts).on_drop, move || theirs.notify_waiters());
        wait.ready();
    });
}

// contract 4, 35; fault 58
#[test]
fn a_waker_that_panics_costs_a_barrier_nothing() {
    block_on(async {
        let barrier = Rc::new(Barrier::new(3));
        let mut first = Waiting::new(barrier.wait());
        panics(&first.acts.on_clone);
        caught(|| first.poll().is_ready());
        let gone = waiting(barrier.wait());
        let acts = gone.acts.clone();
        panics(&acts.on_drop);
        caught(|| drop(gone));
        let (mut first, mut second) = (waiting(barrier.wait()), waiting(barrier.wait()));
        assert!(first.is_pending() && second.is_pending(), "two of three have come");
        panics(&first.acts.on_wake);
        assert!(barrier.wait().await.is_leader());
        assert!(second.is_woken());
        assert!(!first.ready().is_leader() && !second.ready().is_leader());
        // A waker whose clone is the last to come.
        let barrier = Rc::new(Barrier::new(2));
        let (mut first, theirs) = (Waiting::new(barrier.wait()), barrier.clone());
        let other = Rc::new(RefCell::new(None));
        let kept = other.clone();
        does(&first.acts.on_clone, move || {
            *kept.borrow_mut() = Some(waiting(async move { theirs.wait().await.is_leader() }));
        });
        assert!(first.ready().is_leader());
        assert!(!other.borrow_mut().take().unwrap().ready());
    });
}

// fault 58
#[test]
fn a_waker_that_panics_costs_a_once_cell_nothing() {
    block_on(async {
        let cell = OnceCell::new();
        let making = waiting(cell.get_or_init(std::future::pending));
        let (mut first, mut second) =
            (waiting(cell.get_or_init(async || 1)), waiting(cell.get_or_init(async || 2)));
        panics(&first.acts.on_wake);
        drop(making);
        panics(&second.acts.on_wake);
        assert_eq!((first.ready(), second.ready()), (&1, &1));
    });
}
