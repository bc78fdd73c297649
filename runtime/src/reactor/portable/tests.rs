//! Claims, under a poller that says nothing of a second registration: as kqueue does.

use std::cell::Cell;
use std::io::{self, ErrorKind};

use mio::{Registry, Token};

use crate::EventLoop;
use crate::registration::Registration;

/// What a silent poller says to every registration.
fn silent(_: &Registry, _: Token) -> io::Result<()> {
    Ok(())
}

/// Registers a descriptor, by its number alone.
fn registered(number: i32) -> io::Result<Registration> {
    let registration = Registration::new();
    registration.register(Some(number), &mut silent)?;
    Ok(registration)
}

// contract 15; fault 49
#[test]
fn a_descriptor_is_registered_once_at_a_time_where_the_poller_says_nothing() {
    let mut event_loop = EventLoop::<()>::new().unwrap();
    let handle = event_loop.handle();
    event_loop
        .block_on(async {
            let first = registered(7).unwrap();
            let other = registered(8).unwrap();
            // Refused before the poller is asked: it would send the first one's events astray.
            let asked = Cell::new(false);
            let second = Registration::new();
            let refused = second.register(Some(7), &mut |_, _| {
                asked.set(true);
                Ok(())
            });
            assert_eq!(refused.unwrap_err().kind(), ErrorKind::AlreadyExists);
            assert!(!asked.get() && !second.is_registered());
            assert_eq!(handle.stats().registrations, 2);
            // Who was refused takes nothing with it.
            drop(second);
            assert_eq!(registered(7).unwrap_err().kind(), ErrorKind::AlreadyExists);
            // Free again once it was closed, and once it was deregistered.
            drop(first);
            let third = registered(7).unwrap();
            third.end(Some(&mut |_| Ok(()))).unwrap();
            let fourth = registered(7).unwrap();
            // The end of one that has ended is not the end of its successor.
            drop(third);
            assert_eq!(registered(7).unwrap_err().kind(), ErrorKind::AlreadyExists);
            drop((fourth, other));
        })
        .unwrap();
    assert_eq!(handle.stats().registrations, 0);
}

// contract 15
#[test]
fn a_registration_that_fails_leaves_its_descriptor_free() {
    let mut event_loop = EventLoop::<()>::new().unwrap();
    event_loop
        .block_on(async {
            let refused = Registration::new();
            let error =
                refused.register(Some(7), &mut |_, _| Err(ErrorKind::PermissionDenied.into()));
            assert_eq!(error.unwrap_err().kind(), ErrorKind::PermissionDenied);
            drop(registered(7).unwrap());
        })
        .unwrap();
}

// contract 14, 15
#[test]
fn a_descriptor_belongs_to_one_loop_and_is_free_for_others() {
    let mut first = EventLoop::<()>::new().unwrap();
    let mut second = EventLoop::<()>::new().unwrap();
    let here = first.block_on(async { registered(7).unwrap() }).unwrap();
    let there = second.block_on(async { registered(7).unwrap() }).unwrap();
    // And the end of a loop is the end of its claims, in whatever order the rest goes.
    drop(first);
    drop(here);
    assert!(second.block_on(async { registered(7).is_err() }).unwrap());
    drop(there);
    assert!(second.block_on(async { registered(7).is_ok() }).unwrap());
}
