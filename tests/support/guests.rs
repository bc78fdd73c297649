//! The tests' loops as guests: with `LOOPLINE_TEST_GUEST` set, whatever runs a loop of `support` hands it to
//! a host that knows `poll(2)` and the guest's descriptor, and nothing else: no timeout, no deadline.
//!
//! The library does the same with the loops that it makes for `#[loopline::test]` and `block_on`.
//! `EventLoop::turn` stays what it is, and so do runs of loops that a test took out of its guard.

use std::os::fd::{AsFd, AsRawFd};
use std::sync::OnceLock;

use loopline::{CurrentError, Guest, Handle, RunError};

use super::TestLoop;

/// Whether loops are run as guests. Looked up once: that allocates, and some tests count allocations.
pub fn run_as_guests() -> bool {
    static ASKED: OnceLock<bool> = OnceLock::new();
    *ASKED.get_or_init(|| std::env::var_os("LOOPLINE_TEST_GUEST").is_some())
}

/// Waits until a descriptor is readable, for as long as it takes.
pub fn wait_readable(fd: &impl AsFd) {
    assert!(poll_readable(fd, -1));
}

/// Whether a descriptor is, or becomes, readable within that time.
pub fn poll_readable(fd: &impl AsFd, milliseconds: i32) -> bool {
    let mut host = libc::pollfd { fd: fd.as_fd().as_raw_fd(), events: libc::POLLIN, revents: 0 };
    loop {
        // SAFETY: one entry, which is borrowed for the time of the call.
        match unsafe { libc::poll(&raw mut host, 1, milliseconds) } {
            -1 => {
                let error = std::io::Error::last_os_error();
                assert_eq!(error.kind(), std::io::ErrorKind::Interrupted, "{error}");
            }
            found => {
                assert_eq!(host.revents & !libc::POLLIN, 0, "a descriptor in order");
                return found == 1;
            }
        }
    }
}

/// A loop of a test while it is a guest; it goes back into its guard, whatever happens.
struct Hosted<'a, S: 'static> {
    guard: &'a mut TestLoop<S>,
    guest: Option<Guest<S>>,
}

impl<'a, S> Hosted<'a, S> {
    fn begin(guard: &'a mut TestLoop<S>) -> Result<Self, RunError> {
        // A run inside a turn is an error of `run`; turns inside turns of others are not.
        if Handle::<()>::try_current() != Err(CurrentError::NoLoop) {
            return Err(RunError::Nested);
        }
        let guest = guard.event_loop.take().map(|event_loop| event_loop.into_guest());
        Ok(Self { guard, guest })
    }

    fn guest(&mut self) -> &mut Guest<S> {
        self.guest.as_mut().expect("a guest that has not ended")
    }
}

impl<S> Drop for Hosted<'_, S> {
    fn drop(&mut self) {
        self.guard.event_loop = self.guest.take().map(Guest::into_event_loop);
    }
}

pub fn run<S>(guard: &mut TestLoop<S>, state: &mut S) -> Result<(), RunError> {
    let mut hosted = Hosted::begin(guard)?;
    let guest = hosted.guest();
    while !guest.is_finished() {
        wait_readable(guest);
        if guest.turn(state).map_err(RunError::Io)?.stopped {
            break;
        }
    }
    Ok(())
}

pub fn run_until<S, F: Future>(
    guard: &mut TestLoop<S>,
    state: &mut S,
    future: F,
) -> Result<F::Output, RunError> {
    let mut hosted = Hosted::begin(guard)?;
    let mut turns = hosted.guest().until(future);
    loop {
        wait_readable(&turns);
        let (turn, output) = turns.turn(state).map_err(RunError::Io)?;
        if let Some(output) = output {
            return Ok(output);
        }
        if turn.stopped {
            return Err(RunError::Stopped);
        }
    }
}
