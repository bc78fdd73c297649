//! Mutexes: one at a time, over awaits, in order, and unlocked however the guard goes.

#[path = "support/locks.rs"]
mod locks;
mod support;

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;

use locks::{Held, compare, use_up_the_budget, waiting};
use loopline::sync::{MappedMutexGuard, Mutex, MutexGuard, OwnedMutexGuard};
use loopline::{spawn, yield_now};
use support::{block_on, closes_clean, scaled, seeded};

#[test]
fn nobody_comes_between_the_awaits_of_one_that_has_the_lock() {
    for seed in 0..4 {
        let mut event_loop = seeded::<()>(seed);
        let total = event_loop.block_on(async {
            let mutex = Rc::new(Mutex::new(0));
            let tasks: Vec<_> = (0..20)
                .map(|n| {
                    let mutex = mutex.clone();
                    spawn(async move {
                        for round in 0..scaled(50) {
                            let mut guard = mutex.lock().await;
                            let read = *guard;
                            for _ in 0..(n + round) % 3 {
                                yield_now().await;
                            }
                            *guard = read + 1;
                        }
                    })
                })
                .collect();
            for task in tasks {
                task.await.unwrap();
            }
            Rc::into_inner(mutex).unwrap().into_inner()
        });
        assert_eq!(total.unwrap(), 20 * scaled(50));
        closes_clean(event_loop);
    }
}

// contract 40
#[test]
fn a_line_is_served_as_its_model_says_whatever_is_dropped_when() {
    block_on(async {
        let mutex = Rc::new(Mutex::new(()));
        compare(
            1,
            &[1],
            |_, owned| match owned {
                true => {
                    let wait = mutex.clone().lock_owned();
                    Box::pin(async { Box::new(wait.await) as Box<dyn Held> })
                }
                false => {
                    let wait = mutex.lock();
                    Box::pin(async { Box::new(wait.await) as Box<dyn Held> })
                }
            },
            |_, owned| match owned {
                true => Some(Box::new(mutex.clone().try_lock_owned().ok()?)),
                false => Some(Box::new(mutex.try_lock().ok()?)),
            },
            || None,
        )
        .await;
    });
}

#[test]
fn the_lock_goes_to_who_waits_not_to_who_comes() {
    block_on(async {
        let mutex = Mutex::new(1);
        let guard = mutex.try_lock().unwrap();
        assert_eq!(
            mutex.try_lock().unwrap_err().to_string(),
            "others have the lock, or wait for it"
        );
        let (mut first, mut second) = (waiting(mutex.lock()), waiting(mutex.lock()));
        drop(guard);
        assert!(first.is_woken() && !second.is_woken());
        mutex.try_lock().unwrap_err();
        let mut guard = first.ready();
        *guard += 1;
        assert!(second.is_pending());
        drop(guard);
        assert_eq!(*second.ready(), 2);
        assert!(mutex.try_lock().is_ok());
    });
}

// contract 40
#[test]
fn a_wait_that_was_served_and_is_dropped_passes_the_lock_on() {
    block_on(async {
        let mutex = Rc::new(Mutex::new(()));
        let guard = mutex.lock().await;
        let (first, mut second) = (waiting(mutex.lock()), waiting(mutex.clone().lock_owned()));
        drop(guard);
        assert!(first.is_woken() && !second.is_woken());
        drop(first);
        assert!(second.is_woken());
        drop(second.ready());
        // One that had no budget left for it, too.
        use_up_the_budget().await;
        drop(waiting(mutex.lock()));
        assert!(mutex.try_lock().is_ok());
    });
}

// contract 40
#[test]
fn a_task_that_is_cancelled_at_any_of_its_awaits_leaves_the_lock() {
    block_on(async {
        let mutex = Rc::new(Mutex::new(0));
        for rounds in 0..8 {
            let (ours, theirs) = (mutex.clone(), mutex.clone());
            let holder = spawn(async move {
                let _guard = ours.lock().await;
                yield_now().await;
                yield_now().await;
            });
            let task = spawn(async move {
                let mut guard = theirs.lock_owned().await;
                *guard += 1;
                yield_now().await;
                yield_now().await;
            });
            for _ in 0..rounds {
                yield_now().await;
            }
            task.cancel().await.ok();
            holder.await.unwrap();
            assert!(mutex.try_lock().is_ok(), "after {rounds} rounds");
        }
    });
}

#[test]
fn a_panic_unlocks_and_poisons_nothing() {
    block_on(async {
        let mutex = Rc::new(Mutex::new(1));
        for owned in [false, true] {
            let theirs = mutex.clone();
            let task = spawn(async move {
                match owned {
                    true => *theirs.lock_owned().await += 1,
                    false => {
                        let mut guard = theirs.lock().await;
                        *guard += 1;
                        resume_unwind(Box::new("on purpose"));
                    }
                }
            });
            assert_eq!(task.await.is_err(), !owned);
        }
        assert_eq!(*mutex.lock().await, 3);
        let guard = mutex.clone().lock_owned().await;
        catch_unwind(AssertUnwindSafe(move || {
            let _guard = guard;
            resume_unwind(Box::new("on purpose"));
        }))
        .unwrap_err();
        assert_eq!(*mutex.try_lock().unwrap(), 3);
    });
}

#[test]
fn an_owned_guard_keeps_the_mutex_and_gives_the_value_back() {
    block_on(async {
        let mutex = Rc::new(Mutex::new(String::from("a")));
        let mut guard: OwnedMutexGuard<String> = mutex.clone().lock_owned().await;
        guard.push('b');
        assert_eq!((format!("{guard} {guard:?}"), guard.len()), ("ab \"ab\"".into(), 2));
        assert!(Rc::ptr_eq(OwnedMutexGuard::mutex(&guard), &mutex));
        assert_eq!(format!("{mutex:?}"), "Mutex { data: <locked> }");
        mutex.clone().try_lock_owned().unwrap_err();
        let weak = Rc::downgrade(&mutex);
        drop(mutex);
        assert!(weak.upgrade().is_some());
        let mutex = weak.upgrade().unwrap();
        drop(guard);
        assert_eq!(Rc::into_inner(mutex).unwrap().into_inner(), "ab");
        assert!(weak.upgrade().is_none());
    });
}

#[test]
fn a_guard_of_a_part_holds_the_lock() {
    block_on(async {
        let mutex = Mutex::new((1, Some(2)));
        let part = MutexGuard::map(mutex.lock().await, |pair| &mut pair.1);
        let mut part = MappedMutexGuard::try_map(part, Option::as_mut).unwrap();
        *part += 1;
        assert_eq!(format!("{part} {part:?}"), "3 3");
        mutex.try_lock().unwrap_err();
        drop(MappedMutexGuard::map(part, |n| n));
        let guard = mutex.try_lock().unwrap();
        let guard = MutexGuard::try_map(guard, |_| None::<&mut u8>).unwrap_err();
        assert!(std::ptr::eq(MutexGuard::mutex(&guard), &mutex));
        let part = MutexGuard::map(guard, |pair| &mut pair.1);
        let part = MappedMutexGuard::try_map(part, |_| None::<&mut u8>).unwrap_err();
        mutex.try_lock().unwrap_err();
        drop(part);
        // A closure that panics unlocks.
        let guard = mutex.try_lock().unwrap();
        let map =
            || MutexGuard::map(guard, |_| -> &mut u8 { resume_unwind(Box::new("on purpose")) });
        catch_unwind(AssertUnwindSafe(map)).map(drop).unwrap_err();
        assert_eq!(*mutex.try_lock().unwrap(), (1, Some(3)));
    });
}

#[test]
fn who_has_the_mutex_for_itself_needs_no_lock() {
    block_on(async {
        let mut mutex = Mutex::from(1);
        *mutex.get_mut() += 1;
        assert_eq!(
            format!("{mutex:?} {:?}", Mutex::<u8>::default()),
            "Mutex { data: 2 } Mutex { data: 0 }"
        );
        assert_eq!(mutex.into_inner(), 2);
        thread_local! {
            static EMPTY: Mutex<Vec<u8>> = const { Mutex::new(Vec::new()) };
        }
        assert!(EMPTY.with(|mutex| mutex.try_lock().unwrap().is_empty()));
    });
}

#[test]
fn a_value_is_dropped_once_with_its_mutex_or_its_last_guard() {
    block_on(async {
        let (dropped, log) = (Rc::new(RefCell::new(0)), |count: &Rc<RefCell<i32>>| *count.borrow());
        struct Counts(Rc<RefCell<i32>>);
        impl Drop for Counts {
            fn drop(&mut self) {
                *self.0.borrow_mut() += 1;
            }
        }
        drop(Mutex::new(Counts(dropped.clone())));
        assert_eq!(log(&dropped), 1);
        let guard = Rc::new(Mutex::new(Counts(dropped.clone()))).lock_owned().await;
        assert_eq!(log(&dropped), 1);
        drop(guard);
        assert_eq!(log(&dropped), 2);
    });
}
