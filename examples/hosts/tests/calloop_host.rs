//! calloop as the host of a loop: in each of its modes, with nothing but the guest's descriptor.

#[path = "../../../tests/support/mod.rs"]
mod support;
#[path = "../../../tests/support/work.rs"]
mod work;

use std::rc::Rc;
use std::thread;
use std::time::Duration;

use calloop::generic::Generic;
use calloop::timer::{TimeoutAction, Timer};
use calloop::{Interest, Mode, PostAction};
use loopline::Guest;
use std::os::fd::{AsFd, BorrowedFd};
use support::{TestLoop, closes_clean, event_loop, scaled};
use work::workload;

/// The guest stays with the test, which ends it.
struct Shared(Rc<Guest<usize>>);

impl AsFd for Shared {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Drives a guest to the end of all its work; `left_out` is how many milliseconds calloop may wait by itself.
fn hosted(mode: Mode) {
    let event_loop = event_loop::<usize>();
    let (expected, outside) = workload(event_loop.handle(), scaled(20_000));
    let guest = Rc::new(event_loop.lend());
    let mut host = calloop::EventLoop::<usize>::try_new().unwrap();
    let source = Generic::new(Shared(guest.clone()), Interest::READ, mode);
    let inserted = host.handle().insert_source(source, move |_, guest, count: &mut usize| {
        guest.0.turn(count)?;
        Ok(match mode {
            _ if guest.0.is_finished() => PostAction::Remove,
            Mode::OneShot => PostAction::Reregister,
            _ => PostAction::Continue,
        })
    });
    inserted.unwrap();
    let (mut count, outside) = (0, thread::spawn(outside));
    while !guest.is_finished() {
        host.dispatch(None, &mut count).unwrap();
    }
    outside.join().unwrap();
    assert_eq!(count, expected);
    drop(host);
    closes_clean(TestLoop::take_back(Rc::into_inner(guest).unwrap()));
}

// contract 23, 57
#[test]
fn calloop_drives_a_guest_by_level() {
    hosted(Mode::Level);
}

// contract 23, 57
#[test]
fn calloop_drives_a_guest_by_edge() {
    hosted(Mode::Edge);
}

// contract 23, 57
#[test]
fn calloop_drives_a_guest_by_one_event_at_a_time() {
    hosted(Mode::OneShot);
}

#[test]
fn an_idle_guest_does_not_wake_calloop() {
    let guest = Rc::new(event_loop::<usize>().lend());
    let mut host = calloop::EventLoop::<usize>::try_new().unwrap();
    let source = Generic::new(Shared(guest.clone()), Interest::READ, Mode::Level);
    let inserted = host.handle().insert_source(source, |_, guest, turns: &mut usize| {
        *turns += 1;
        guest.0.turn(&mut 0)?;
        Ok(PostAction::Continue)
    });
    inserted.unwrap();
    let timer = Timer::from_duration(Duration::from_millis(100));
    host.handle().insert_source(timer, |_, (), _| TimeoutAction::Drop).unwrap();
    let mut turns = 0;
    host.dispatch(None, &mut turns).unwrap();
    assert_eq!(turns, 0);
    drop(host);
    closes_clean(TestLoop::take_back(Rc::into_inner(guest).unwrap()));
}
