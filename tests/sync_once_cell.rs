//! Cells that are set once: one makes the value, the others wait, and another begins anew if it is gone.

#[path = "support/locks.rs"]
mod locks;
mod support;

use std::cell::Cell;
use std::future::{pending, ready};
use std::panic::resume_unwind;
use std::rc::Rc;

use locks::{Random, Waiting, waiting};
use loopline::sync::{OnceCell, SetError};
use loopline::{spawn, yield_now};
use support::{block_on, scaled};

#[test]
fn one_makes_the_value_and_the_others_wait_for_it() {
    block_on(async {
        let (cell, made) = (Rc::new(OnceCell::new()), Rc::new(Cell::new(0)));
        let tasks: Vec<_> = (0..10)
            .map(|n| {
                let (cell, made) = (cell.clone(), made.clone());
                spawn(async move {
                    let make = async || {
                        made.set(made.get() + 1);
                        yield_now().await;
                        n
                    };
                    *cell.get_or_init(make).await
                })
            })
            .collect();
        for task in tasks {
            assert_eq!(task.await.unwrap(), 0);
        }
        assert_eq!((made.get(), cell.get(), cell.initialized()), (1, Some(&0), true));
    });
}

// contract 40
#[test]
fn one_that_is_dropped_while_it_makes_the_value_lets_the_next_begin() {
    block_on(async {
        let cell = OnceCell::new();
        let first = waiting(cell.get_or_init(pending::<u8>));
        let (mut second, mut third) =
            (waiting(cell.get_or_init(|| ready(2))), waiting(cell.get_or_init(|| ready(3))));
        assert!(!cell.initialized());
        drop(first);
        assert!(second.is_woken() && !third.is_woken());
        assert_eq!((second.ready(), third.is_woken(), third.ready()), (&2, true, &2));
        // One that was its turn, dropped before it looked, passes it on.
        let cell = OnceCell::new();
        let first = waiting(cell.get_or_init(pending::<u8>));
        let (second, mut third) =
            (waiting(cell.get_or_init(|| ready(2))), waiting(cell.get_or_init(|| ready(3))));
        drop((first, second));
        assert_eq!(third.ready(), &3);
    });
}

#[test]
fn one_that_fails_or_panics_lets_the_next_begin() {
    block_on(async {
        let cell = Rc::new(OnceCell::new());
        let theirs = cell.clone();
        let task = spawn(async move {
            let make = async || {
                yield_now().await;
                resume_unwind(Box::new("on purpose"));
            };
            theirs.get_or_init(make).await;
        });
        yield_now().await;
        let fails = async || {
            yield_now().await;
            Err("no")
        };
        let (ours, theirs) = (cell.clone(), cell.clone());
        let fails = spawn(async move { ours.get_or_try_init(fails).await.copied() });
        let makes =
            spawn(async move { *theirs.get_or_try_init(async || Ok::<_, ()>(())).await.unwrap() });
        task.await.unwrap_err();
        assert_eq!(fails.await.unwrap(), Err("no"));
        makes.await.unwrap();
        assert_eq!(cell.get_or_try_init(async || Err("late")).await, Ok(&()));
    });
}

#[test]
fn a_value_is_set_once() {
    block_on(async {
        let cell = OnceCell::new();
        let making = waiting(cell.get_or_init(pending));
        let error = cell.set(1).unwrap_err();
        assert!(error.is_initializing_err() && error == SetError::InitializingError(1));
        assert_eq!(error.to_string(), "the value of the cell is being made");
        drop(making);
        cell.set(2).unwrap();
        let error = cell.set(3).unwrap_err();
        assert!(error.is_already_init_err() && error == SetError::AlreadyInitializedError(3));
        assert_eq!(error.to_string(), "the cell has a value already");
        assert_eq!(cell.get_or_init(|| ready(4)).await, &2);
        assert_eq!(format!("{cell:?}"), "OnceCell { value: Some(2) }");
    });
}

#[test]
fn one_owner_takes_changes_and_clones() {
    block_on(async {
        let mut cell = OnceCell::new_with(Some(1));
        *cell.get_mut().unwrap() += 1;
        let copy = cell.clone();
        assert!(copy == cell && copy.initialized() && copy.set(9).is_err());
        assert_eq!((cell.take(), cell.take()), (Some(2), None));
        assert_eq!(cell.get(), None);
        assert_ne!(copy, cell);
        cell.set(3).unwrap();
        assert_eq!((cell.into_inner(), copy.into_inner()), (Some(3), Some(2)));
        assert_eq!(OnceCell::<u8>::default(), OnceCell::new_with(None));
        thread_local! {
            static EMPTY: OnceCell<u8> = const { OnceCell::new() };
        }
        assert!(!EMPTY.with(OnceCell::initialized) && OnceCell::from(1).initialized());
    });
}

// contract 40
#[test]
fn whoever_is_dropped_when_the_value_is_made_once_by_the_first_that_is_left() {
    block_on(async {
        let mut random = Random::new();
        for _ in 0..scaled(3000) {
            yield_now().await;
            let cell = OnceCell::new();
            let mut waits = Vec::new();
            for n in 0..6 {
                let polls = random.below(4);
                let make = async move || {
                    for _ in 0..polls {
                        futures::pending!();
                    }
                    n
                };
                waits.push((n, Waiting::new(cell.get_or_init(make))));
            }
            let (mut polled, mut made) = (Vec::new(), None);
            for _ in 0..40 {
                if waits.is_empty() {
                    break;
                }
                let at = random.below(waits.len());
                let number = waits[at].0;
                if random.below(6) == 0 {
                    drop(waits.remove(at));
                    polled.retain(|n| *n != number);
                    continue;
                }
                if !polled.contains(&number) {
                    polled.push(number);
                }
                if let std::task::Poll::Ready(value) = waits[at].1.poll() {
                    let first = *made.get_or_insert(*value);
                    assert_eq!(*value, first);
                    if number == first {
                        assert_eq!(polled[0], number, "the first in line made it");
                    }
                    polled.retain(|n| *n != number);
                    drop(waits.remove(at));
                }
            }
            assert_eq!(cell.get().copied(), made);
        }
    });
}
