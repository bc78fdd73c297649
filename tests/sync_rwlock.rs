//! Read-write locks: readers together, a writer alone, in the order in which they asked.

#[path = "support/locks.rs"]
mod locks;
mod support;

use std::cell::Cell;
use std::panic::{catch_unwind, resume_unwind};
use std::rc::Rc;

use locks::{Held, compare, use_up_the_budget, waiting};
use loopline::sync::{
    OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock, RwLockMappedWriteGuard, RwLockReadGuard,
    RwLockWriteGuard,
};
use loopline::{spawn, yield_now};
use support::{block_on, closes_clean, scaled, seeded};

#[test]
fn a_waiting_writer_keeps_later_readers_back() {
    block_on(async {
        let lock = RwLock::new(1);
        let reads = (lock.read().await, lock.read().await);
        let mut writer = waiting(lock.write());
        let (mut early, mut late) = (waiting(lock.read()), waiting(lock.write()));
        assert!(lock.try_read().is_err() && lock.try_write().is_err());
        drop(reads.0);
        assert!(!writer.is_woken());
        drop(reads.1);
        assert!(writer.is_woken() && !early.is_woken());
        let mut write = writer.ready();
        *write += 1;
        drop(write);
        assert!(early.is_woken() && !late.is_woken());
        let read = early.ready();
        assert_eq!(*read, 2);
        assert!(lock.try_read().is_err(), "another writer waits");
        drop(read);
        drop(late.ready());
        assert!(lock.try_read().is_ok());
    });
}

#[test]
fn readers_in_line_after_each_other_are_served_together() {
    block_on(async {
        let lock = Rc::new(RwLock::new(()));
        let write = lock.write().await;
        let mut readers = [waiting(lock.read()), waiting(lock.read())];
        let mut owned = waiting(lock.clone().read_owned());
        let writer = waiting(lock.write());
        drop(write);
        assert!(readers.iter().all(|reader| reader.is_woken()) && owned.is_woken());
        assert!(!writer.is_woken());
        let guards = (readers.each_mut().map(|reader| reader.ready()), owned.ready());
        drop(guards);
        assert!(writer.is_woken());
    });
}

// contract 40
#[test]
fn a_line_is_served_as_its_model_says_whatever_is_dropped_when() {
    const READERS: usize = 3;
    block_on(async {
        let lock = Rc::new(RwLock::with_max_readers((), READERS as u32));
        compare(
            READERS,
            &[1, 1, READERS],
            |n, owned| match (n, owned) {
                (1, false) => {
                    let wait = lock.read();
                    Box::pin(async { Box::new(wait.await) as Box<dyn Held> })
                }
                (1, true) => {
                    let wait = lock.clone().read_owned();
                    Box::pin(async { Box::new(wait.await) as Box<dyn Held> })
                }
                (_, false) => {
                    let wait = lock.write();
                    Box::pin(async { Box::new(wait.await) as Box<dyn Held> })
                }
                (_, true) => {
                    let wait = lock.clone().write_owned();
                    Box::pin(async { Box::new(wait.await) as Box<dyn Held> })
                }
            },
            |n, owned| match (n, owned) {
                (1, false) => Some(Box::new(lock.try_read().ok()?)),
                (1, true) => Some(Box::new(lock.clone().try_read_owned().ok()?)),
                (_, false) => Some(Box::new(lock.try_write().ok()?)),
                (_, true) => Some(Box::new(lock.clone().try_write_owned().ok()?)),
            },
            || None,
        )
        .await;
    });
}

#[test]
fn a_writer_is_alone_over_its_awaits() {
    for seed in 0..4 {
        let mut event_loop = seeded::<()>(seed);
        let run = event_loop.block_on(async {
            let (lock, most) = (Rc::new(RwLock::new(0)), Rc::new(Cell::new(0)));
            let inside = Rc::new(Cell::new(0));
            let tasks: Vec<_> = (0..12)
                .map(|n| {
                    let (lock, inside, most) = (lock.clone(), inside.clone(), most.clone());
                    spawn(async move {
                        for _ in 0..scaled(30) {
                            if n % 4 == 0 {
                                let mut guard = lock.write().await;
                                assert_eq!(inside.get(), 0);
                                let read = *guard;
                                yield_now().await;
                                *guard = read + 1;
                                assert_eq!(inside.get(), 0);
                            } else {
                                let guard = lock.clone().read_owned().await;
                                let read = *guard;
                                inside.set(inside.get() + 1);
                                most.set(most.get().max(inside.get()));
                                yield_now().await;
                                inside.set(inside.get() - 1);
                                assert_eq!(*guard, read);
                            }
                        }
                    })
                })
                .collect();
            for task in tasks {
                task.await.unwrap();
            }
            assert!(most.get() > 1, "readers were together");
            Rc::into_inner(lock).unwrap().into_inner()
        });
        assert_eq!(run.unwrap(), 3 * scaled(30));
        closes_clean(event_loop);
    }
}

// contract 40
#[test]
fn a_dropped_wait_to_write_lets_the_readers_behind_it_in() {
    block_on(async {
        let lock = RwLock::new(());
        let read = lock.read().await;
        let (writer, mut reader) = (waiting(lock.write()), waiting(lock.read()));
        drop(writer);
        assert!(reader.is_woken());
        drop((read, reader.ready()));
        // Served, and dropped before it could look.
        let write = lock.write().await;
        let (first, second) = (waiting(lock.read()), waiting(lock.write()));
        drop(write);
        assert!(first.is_woken() && !second.is_woken());
        drop(first);
        assert!(second.is_woken());
        drop(second);
        use_up_the_budget().await;
        drop(waiting(lock.write()));
        assert!(lock.try_write().is_ok());
    });
}

#[test]
fn a_writer_becomes_a_reader_with_nobody_between() {
    block_on(async {
        let lock = Rc::new(RwLock::new(1));
        let mut write = lock.write().await;
        let (mut reader, writer) = (waiting(lock.read()), waiting(lock.write()));
        *write = 2;
        let read = write.downgrade();
        assert!(reader.is_woken() && !writer.is_woken());
        assert_eq!((*read, *reader.ready()), (2, 2));
        drop(read);
        assert!(writer.is_woken());
        drop(writer);

        let mut write = lock.clone().write_owned().await;
        *write = 3;
        let (mut reader, writer) = (waiting(lock.read()), waiting(lock.write()));
        let read = write.downgrade();
        assert!(reader.is_woken() && !writer.is_woken());
        assert_eq!((*read, *reader.ready()), (3, 3));
        drop((read, writer));

        // With a writer first in line.
        let write = lock.write().await;
        let writer = waiting(lock.write());
        let read = write.downgrade();
        assert!(!writer.is_woken());
        drop(read);
        assert!(writer.is_woken());
        drop(writer);
        let write = lock.clone().try_write_owned().unwrap();
        let writer = waiting(lock.write());
        let read = write.downgrade();
        assert!(!writer.is_woken());
        drop((read, writer));
        assert!(lock.try_write().is_ok());
    });
}

#[test]
fn owned_and_borrowed_readers_share_the_value() {
    block_on(async {
        let lock = Rc::new(RwLock::new(String::from("a")));
        let (borrowed, owned) = (lock.read().await, lock.clone().read_owned().await);
        let tried = (lock.try_read().unwrap(), lock.clone().try_read_owned().unwrap());
        assert_eq!(format!("{borrowed}{owned}{:?}{:?}", tried.0, tried.1), "aa\"a\"\"a\"");
        assert!(Rc::ptr_eq(OwnedRwLockReadGuard::rwlock(&owned), &lock));
        lock.clone().try_write_owned().unwrap_err();
        drop((borrowed, owned, tried));
        let mut write = lock.clone().try_write_owned().unwrap();
        write.push('b');
        assert!(Rc::ptr_eq(OwnedRwLockWriteGuard::rwlock(&write), &lock));
        assert_eq!(
            (format!("{write}{write:?}"), format!("{lock:?}")),
            ("ab\"ab\"".into(), "RwLock { data: <locked> }".into())
        );
        drop(write);
        assert_eq!(Rc::into_inner(lock).unwrap().into_inner(), "ab");
    });
}

#[test]
fn a_guard_of_a_part_holds_the_lock() {
    block_on(async {
        let lock = RwLock::new((1, Some(2)));
        let read = RwLockReadGuard::map(lock.read().await, |pair| &pair.1);
        let read = RwLockReadGuard::try_map(read, Option::as_ref).unwrap();
        let read = RwLockReadGuard::try_map(read, |_| None::<&u8>).unwrap_err();
        assert!(*read == 2 && lock.try_write().is_err());
        drop(read);

        let write = RwLockWriteGuard::map(lock.write().await, |pair| &mut pair.1);
        let mut write = RwLockMappedWriteGuard::try_map(write, Option::as_mut).unwrap();
        *write += 1;
        assert!(lock.try_read().is_err());
        drop(RwLockMappedWriteGuard::map(write, |n| n));

        let write = RwLockWriteGuard::try_map(lock.write().await, |_| None::<&mut u8>).unwrap_err();
        let write = RwLockWriteGuard::try_downgrade_map(write, |_| None::<&u8>).unwrap_err();
        assert!(lock.try_read().is_err(), "given back as it was");
        let write = RwLockWriteGuard::into_mapped(write);
        let write = RwLockMappedWriteGuard::try_map(write, |_| None::<&mut u8>).unwrap_err();
        drop(write);

        let one = RwLockWriteGuard::downgrade_map(lock.write().await, |pair| &pair.0);
        assert_eq!((*one, *lock.try_read().unwrap()), (1, (1, Some(3))));
        drop(one);
        let write = lock.write().await;
        let three = RwLockWriteGuard::try_downgrade_map(write, |pair| pair.1.as_ref()).unwrap();
        assert!(*three == 3 && lock.try_read().is_ok() && lock.try_write().is_err());
    });
}

#[test]
fn a_panic_unlocks_and_poisons_nothing() {
    block_on(async {
        let lock = Rc::new(RwLock::new(1));
        let theirs = lock.clone();
        let task = spawn(async move {
            let _one = theirs.clone().write_owned().await.downgrade();
            let _other = theirs.read().await;
            resume_unwind(Box::new("on purpose"));
        });
        task.await.unwrap_err();
        assert_eq!(*lock.try_write().unwrap(), 1);
        let theirs = lock.clone();
        let task = spawn(async move {
            let _write = theirs.write_owned().await;
            resume_unwind(Box::new("on purpose"));
        });
        task.await.unwrap_err();
        assert_eq!(*lock.try_write().unwrap(), 1);
    });
}

#[test]
fn who_has_the_lock_for_itself_needs_no_guard() {
    block_on(async {
        let mut lock = RwLock::from(1);
        *lock.get_mut() += 1;
        assert_eq!(
            format!("{lock:?} {:?}", RwLock::<u8>::default()),
            "RwLock { data: 2 } RwLock { data: 0 }"
        );
        assert_eq!(lock.into_inner(), 2);
        catch_unwind(|| RwLock::with_max_readers(1, 0)).map(drop).unwrap_err();
        catch_unwind(|| RwLock::with_max_readers(1, u32::MAX)).map(drop).unwrap_err();
        let lock = RwLock::with_max_readers(1, 1);
        let _read = lock.read().await;
        lock.try_read().unwrap_err();
    });
}
