//! Semaphores: permits go out first in, first out, and none is lost, whatever is dropped when.

#[path = "support/locks.rs"]
mod locks;
mod support;

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use locks::{Held, Waiting, compare, use_up_the_budget, waiting};
use loopline::sync::{Semaphore, TryAcquireError};
use loopline::{spawn, yield_now};
use support::block_on;

#[test]
fn permits_go_out_in_the_order_of_asking() {
    block_on(async {
        let (semaphore, log) = (Rc::new(Semaphore::new(1)), Rc::new(RefCell::new(Vec::new())));
        let tasks: Vec<_> = (0..5)
            .map(|n| {
                let (semaphore, log) = (semaphore.clone(), log.clone());
                spawn(async move {
                    for round in 0..3 {
                        let _permit = semaphore.acquire().await.unwrap();
                        log.borrow_mut().push((round, n));
                        yield_now().await;
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        let expected: Vec<_> = (0..3).flat_map(|round| (0..5).map(move |n| (round, n))).collect();
        assert_eq!(log.take(), expected);
    });
}

// contract 40
#[test]
fn a_line_is_served_as_its_model_says_whatever_is_dropped_when() {
    block_on(async {
        let semaphore = Rc::new(Semaphore::new(5));
        let (ours, theirs) = (&semaphore, semaphore.clone());
        compare(
            5,
            &[1, 1, 2, 3, 5],
            |n, owned| {
                let n = n as u32;
                match owned {
                    true => {
                        let wait = ours.clone().acquire_many_owned(n);
                        Box::pin(async { Box::new(wait.await.unwrap()) as Box<dyn Held> })
                    }
                    false => {
                        let wait = ours.acquire_many(n);
                        Box::pin(async { Box::new(wait.await.unwrap()) as Box<dyn Held> })
                    }
                }
            },
            |n, owned| match owned {
                true => Some(Box::new(ours.clone().try_acquire_many_owned(n as u32).ok()?)),
                false => Some(Box::new(ours.try_acquire_many(n as u32).ok()?)),
            },
            || Some(theirs.available_permits()),
        )
        .await;
    });
}

#[test]
fn one_that_wants_many_is_not_overtaken() {
    block_on(async {
        let semaphore = Semaphore::new(2);
        let one = semaphore.acquire().await.unwrap();
        let mut many = waiting(semaphore.acquire_many(3));
        let mut few = waiting(semaphore.acquire());
        assert_eq!(semaphore.available_permits(), 0, "the first in line has what there is");
        assert_eq!(semaphore.try_acquire().unwrap_err(), TryAcquireError::NoPermits);
        drop(one);
        assert!(!few.is_woken() && many.is_pending());
        semaphore.add_permits(1);
        assert_eq!(many.ready().unwrap().num_permits(), 3);
        assert_eq!(few.ready().unwrap().num_permits(), 1);
    });
}

// contract 40
#[test]
fn a_wait_that_is_dropped_passes_on_what_it_had() {
    block_on(async {
        let semaphore = Semaphore::new(2);
        // Some of what it wants, and all of it.
        for added in [0, 1] {
            let many = waiting(semaphore.acquire_many(3));
            let mut next = waiting(semaphore.acquire());
            semaphore.add_permits(added);
            assert_eq!((many.is_woken(), next.is_woken()), (added == 1, false));
            drop(many);
            assert!(next.is_woken());
            drop(next.ready());
            assert_eq!(semaphore.available_permits(), 2 + added);
        }
        // And of those that were never polled there is nothing to pass on.
        drop(semaphore.acquire());
        assert_eq!(semaphore.available_permits(), 3);
    });
}

#[test]
fn a_closed_semaphore_refuses_who_waits_and_who_comes() {
    block_on(async {
        let semaphore = Rc::new(Semaphore::new(2));
        let held = semaphore.acquire().await.unwrap();
        let (mut many, mut next) =
            (waiting(semaphore.acquire_many(2)), waiting(semaphore.acquire()));
        semaphore.close();
        assert!(semaphore.is_closed() && many.is_woken() && next.is_woken());
        assert_eq!(many.ready().unwrap_err().to_string(), "the semaphore is closed");
        next.ready().unwrap_err();
        semaphore.acquire().await.unwrap_err();
        semaphore.clone().acquire_owned().await.unwrap_err();
        assert_eq!(semaphore.try_acquire().unwrap_err(), TryAcquireError::Closed);
        assert_eq!(semaphore.try_acquire_many(0).unwrap_err(), TryAcquireError::Closed);
        drop(held);
        assert_eq!(semaphore.available_permits(), 2, "what the first in line had came back");
    });
}

#[test]
fn permits_split_merge_and_are_forgotten() {
    block_on(async {
        let semaphore = Rc::new(Semaphore::new(10));
        let mut one = semaphore.acquire_many(4).await.unwrap();
        assert!(one.split(5).is_none());
        let other = one.split(3).unwrap();
        assert_eq!((one.num_permits(), other.num_permits()), (1, 3));
        one.merge(other);
        one.split(2).unwrap().forget();
        assert!(std::ptr::eq(one.semaphore(), &*semaphore));
        drop(one);
        assert_eq!(semaphore.available_permits(), 8);

        let mut one = semaphore.clone().acquire_many_owned(4).await.unwrap();
        one.merge(semaphore.clone().try_acquire_owned().unwrap());
        drop(one.split(0).unwrap());
        one.split(5).unwrap().forget();
        assert_eq!(one.num_permits(), 0);
        drop(one);
        assert_eq!(semaphore.available_permits(), 3);
        assert_eq!((semaphore.forget_permits(2), semaphore.forget_permits(2)), (2, 1));
        assert_eq!(semaphore.available_permits(), 0);
    });
}

#[test]
fn permits_of_two_semaphores_do_not_merge() {
    block_on(async {
        let (one, other) = (Rc::new(Semaphore::new(1)), Rc::new(Semaphore::new(1)));
        let mut permit = one.clone().try_acquire_owned().unwrap();
        let foreign = other.clone().try_acquire_owned().unwrap();
        catch_unwind(AssertUnwindSafe(|| permit.merge(foreign))).unwrap_err();
        let mut permit = (permit, one.try_acquire().is_err());
        assert!(permit.1 && other.try_acquire().is_ok(), "the foreign one went back");
        drop(permit.0.split(1));
        assert_eq!(one.available_permits(), 1);
    });
}

#[test]
fn there_is_a_most_of_permits() {
    block_on(async {
        let most = Semaphore::MAX_PERMITS;
        let semaphore = Semaphore::new(most);
        catch_unwind(|| Semaphore::new(most + 1)).unwrap_err();
        catch_unwind(|| semaphore.add_permits(1)).unwrap_err();
        catch_unwind(|| semaphore.add_permits(usize::MAX)).unwrap_err();
        assert_eq!(semaphore.available_permits(), most);
        // A permit that comes back does not panic in its drop.
        let permit = semaphore.acquire().await.unwrap();
        semaphore.add_permits(1);
        drop(permit);
    });
}

#[test]
fn a_task_without_a_budget_left_keeps_its_place() {
    block_on(async {
        let semaphore = Semaphore::new(1);
        let held = semaphore.acquire().await.unwrap();
        use_up_the_budget().await;
        let mut first = waiting(semaphore.acquire());
        let second = waiting(semaphore.acquire());
        drop(held);
        assert!(first.is_woken() && !second.is_woken());
        assert!(first.is_pending(), "no budget");
        yield_now().await;
        drop(first.ready());
        assert!(second.is_woken());
        // One that was served in a poll with no budget gives it back if it is dropped then.
        drop(second);
        use_up_the_budget().await;
        let third = waiting(semaphore.acquire());
        assert_eq!(semaphore.available_permits(), 0);
        drop(third);
        assert_eq!(semaphore.available_permits(), 1);
    });
}

#[test]
fn a_wait_woken_by_a_new_waker_forgets_the_old_one() {
    block_on(async {
        let semaphore = Semaphore::new(0);
        let mut wait = waiting(semaphore.acquire());
        let old = std::mem::take(&mut wait.acts);
        assert!(wait.is_pending() && wait.is_pending());
        assert_eq!(wait.acts.clones.get(), 1, "the same waker again is not a new one");
        semaphore.add_permits(1);
        assert_eq!((old.wakes.get(), wait.is_woken()), (0, true));
        assert_eq!(Rc::strong_count(&old), 1);
        drop(wait.ready());
    });
}

#[test]
fn a_permit_dropped_by_a_panic_goes_back() {
    block_on(async {
        let semaphore = Rc::new(Semaphore::new(1));
        let theirs = semaphore.clone();
        let task = spawn(async move {
            let _permit = theirs.acquire().await.unwrap();
            std::panic::resume_unwind(Box::new("on purpose"));
        });
        let mut next = Waiting::new(semaphore.acquire());
        task.await.unwrap_err();
        assert!(next.poll().is_ready());
    });
}
