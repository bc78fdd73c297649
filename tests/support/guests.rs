//! The tests' loops as guests: with `LOOPLINE_TEST_GUEST` set, whatever runs a loop of `support` hands it to
//! a host that knows `poll(2)` and the guest's descriptor, and nothing else: no timeout, no deadline.
//!
//! The library does the same with the loops that it makes for `#[loopline::test]` and `block_on`.
//! `EventLoop::turn` stays what it is, and so do runs of loops that a test took out of its guard.

use std::os::fd::{AsFd, AsRawFd};
use std::sync::OnceLock;

use loopline::{CurrentError, Guest, Handle, RunError, Turn};

use super::TestLoop;

/// The process that the tests began in.
static PROCESS: OnceLock<u32> = OnceLock::new();

/// Whether loops are run as guests. Looked up once: that allocates, and some tests count allocations.
pub fn run_as_guests() -> bool {
    static ASKED: OnceLock<bool> = OnceLock::new();
    PROCESS.get_or_init(std::process::id);
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

/// Whether a guest asks for a turn.
pub fn is_readable<S>(guest: &Guest<S>) -> bool {
    poll_readable(guest, 0)
}

/// Waits for the descriptor and runs a turn.
pub fn host_once<S>(guest: &Guest<S>, state: &mut S) -> Turn {
    wait_readable(guest);
    guest.turn(state).unwrap()
}

/// Runs turns as long as the descriptor asks for them; returns how many.
pub fn host_until_quiet<S>(guest: &Guest<S>, state: &mut S) -> usize {
    let mut turns = 0;
    while is_readable(guest) {
        guest.turn(state).unwrap();
        turns += 1;
        assert!(turns < 10_000, "a guest that is never quiet");
    }
    turns
}

/// A loop of a test while it is a guest; it goes back into its guard, whatever happens.
struct Hosted<'a, S: 'static> {
    guard: &'a mut TestLoop<S>,
    guest: Option<Guest<S>>,
}

impl<'a, S> Hosted<'a, S> {
    fn begin(guard: &'a mut TestLoop<S>) -> Result<Self, RunError> {
        // A run inside a turn is an error of `run`; turns inside turns of others are not. A turn that was
        // left behind in the parent process does not count.
        let inside = Handle::<()>::try_current() != Err(CurrentError::NoLoop);
        if inside && std::process::id() == *PROCESS.get_or_init(std::process::id) {
            return Err(RunError::Nested);
        }
        let guest = guard.event_loop.take().map(|event_loop| event_loop.into_guest());
        let mut hosted = Self { guard, guest };
        // An error in a forked child, where the host would wait for its parent's events.
        hosted.guest().absorb().map_err(failed)?;
        Ok(hosted)
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

/// What a failed turn is to the caller of a run.
fn failed(error: std::io::Error) -> RunError {
    match error.to_string().contains("forked") {
        true => RunError::Forked,
        false => RunError::Io(error),
    }
}

#[track_caller]
pub fn run<S>(guard: &mut TestLoop<S>, state: &mut S) -> Result<(), RunError> {
    let mut hosted = Hosted::begin(guard)?;
    let guest = hosted.guest();
    while !guest.is_finished() {
        wait_readable(guest);
        if guest.turn(state).map_err(failed)?.stopped {
            break;
        }
    }
    Ok(())
}

#[track_caller]
pub fn run_until<S, F: Future>(
    guard: &mut TestLoop<S>,
    state: &mut S,
    future: F,
) -> Result<F::Output, RunError> {
    let mut hosted = Hosted::begin(guard)?;
    let mut turns = hosted.guest().until(future);
    loop {
        wait_readable(&turns);
        let (turn, output) = turns.turn(state).map_err(failed)?;
        if let Some(output) = output {
            return Ok(output);
        }
        if turn.stopped {
            turns.drop_with(state);
            return Err(RunError::Stopped);
        }
    }
}
