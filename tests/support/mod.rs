//! The only place where the tests make loops, and the helpers that every test ends with.
#![allow(dead_code, unreachable_pub)] // each test file is a crate and uses a part

use std::fmt;
use std::io::Write;
use std::ops::{Deref, DerefMut};
use std::panic::Location;
use std::sync::OnceLock;
use std::time::Duration;

use loopline::{
    Builder, Clock, EventLoop, Guest, Handle, PanicPolicy, RunError, StateError, Stats, Straggler,
};

#[cfg(all(target_os = "linux", not(loopline_portable_park)))]
pub mod guests;
#[cfg(not(all(target_os = "linux", not(loopline_portable_park))))]
#[path = "owned.rs"]
pub mod guests;

/// Files whose loops do their own waiting, also where loops are run as guests; besides the tests that say
/// `never_a_guest`, or call the library's own `block_on`.
const NEVER_GUESTS: &[(&str, &str)] = &[
    ("tests/deadlock.rs", "a guest never reports a deadlock: something of its host's may wake it"),
    ("tests/deadlock_cases.rs", "the same"),
];

/// Files in which items panic on purpose and nobody awaits them. In all others that is an assertion that failed,
/// in a callback or a task whose handle was dropped: it unwinds out of the run.
const PANIC_ON_PURPOSE: &[&str] = &[
    "tests/compose_display.rs",
    "tests/foreign_wakers.rs",
    "tests/loop_model/main.rs",
    "tests/panic_policy.rs",
    "tests/panics.rs",
    "tests/panics_in_drops.rs",
    "tests/sync_foreign_wakers.rs",
];

/// An event loop of a test. It ends in [`closes_clean`] or [`ends_with_items`]; one that is merely
/// dropped ends the process, because a panic could be contained by another loop whose task owns it.
pub struct TestLoop<S: 'static> {
    /// Taken by what ends it.
    event_loop: Option<EventLoop<S>>,
    made_at: &'static Location<'static>,
    /// Whether it may be run as a guest.
    may_be_guest: bool,
}

impl<S> TestLoop<S> {
    #[track_caller]
    fn new(event_loop: std::io::Result<EventLoop<S>>) -> Self {
        let event_loop = event_loop.expect("an event loop");
        let made_at = Location::caller();
        let may_be_guest = !NEVER_GUESTS.iter().any(|(file, _)| made_at.file() == *file);
        Self { event_loop: Some(event_loop), made_at, may_be_guest }
    }

    /// Has the loop do its own waiting, whatever is asked for: in tests of a deadlock, which a guest never
    /// reports, because something of its host's may wake it; and in a forked child, whose host would wait
    /// for the parent's descriptor.
    pub fn never_a_guest(mut self) -> Self {
        self.may_be_guest = false;
        self
    }

    fn runs_as_guest(&self) -> bool {
        self.may_be_guest && guests::run_as_guests()
    }

    /// Makes a guest of the loop; [`TestLoop::take_back`] ends that.
    pub fn lend(mut self) -> Guest<S> {
        self.event_loop.take().expect("a loop that has not ended").into_guest()
    }

    #[track_caller]
    pub fn take_back(guest: Guest<S>) -> Self {
        Self::new(Ok(guest.into_event_loop()))
    }

    /// Gives the loop away, to whom its end is up then; tests/tidy.rs asks each user for a reason.
    pub fn unguarded(mut self) -> EventLoop<S> {
        self.event_loop.take().expect("a loop that has not ended")
    }
}

/// In the place of the loop's own: see [`guests`].
impl<S> TestLoop<S> {
    #[track_caller]
    pub fn run(&mut self, state: &mut S) -> Result<(), RunError> {
        match self.runs_as_guest() {
            true => guests::run(self, state),
            false => (**self).run(state),
        }
    }

    #[track_caller]
    pub fn run_until<F: Future>(
        &mut self,
        state: &mut S,
        future: F,
    ) -> Result<F::Output, RunError> {
        match self.runs_as_guest() {
            true => guests::run_until(self, state, future),
            false => (**self).run_until(state, future),
        }
    }
}

impl TestLoop<()> {
    #[track_caller]
    pub fn block_on<F: Future>(&mut self, future: F) -> Result<F::Output, RunError> {
        self.run_until(&mut (), future)
    }
}

impl<S> Deref for TestLoop<S> {
    type Target = EventLoop<S>;

    fn deref(&self) -> &EventLoop<S> {
        self.event_loop.as_ref().expect("a loop that has not ended")
    }
}

impl<S> DerefMut for TestLoop<S> {
    fn deref_mut(&mut self) -> &mut EventLoop<S> {
        self.event_loop.as_mut().expect("a loop that has not ended")
    }
}

impl<S> Drop for TestLoop<S> {
    fn drop(&mut self) {
        // A test that fails, or that has a loop's owner panic, says so itself.
        if self.event_loop.is_some() && !std::thread::panicking() {
            let place = self.made_at;
            // Past the harness, which would keep it to itself.
            let _ = writeln!(
                std::io::stderr(),
                "the loop made at {place} was dropped: end with closes_clean or ends_with_items"
            );
            std::process::abort();
        }
    }
}

impl<S> fmt::Debug for TestLoop<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.event_loop.fmt(f)
    }
}

/// Makes a loop.
#[track_caller]
pub fn event_loop<S>() -> TestLoop<S> {
    built(|builder| builder)
}

/// Makes a loop with settings.
#[track_caller]
pub fn built<S>(set: impl FnOnce(Builder<S>) -> Builder<S>) -> TestLoop<S> {
    let mut builder = EventLoop::builder();
    if !PANIC_ON_PURPOSE.contains(&Location::caller().file()) {
        builder = builder.panic_policy(PanicPolicy::Unwind);
    }
    TestLoop::new(set(builder).build())
}

/// Makes a loop whose clock is paused.
#[track_caller]
pub fn paused<S>() -> TestLoop<S> {
    built(|builder| builder.clock(Clock::Paused))
}

/// Makes a loop that permutes by a seed what is not promised.
#[track_caller]
pub fn seeded<S>(seed: u64) -> TestLoop<S> {
    built(|builder| builder.seed(seed))
}

/// Asserts that nothing is left on the loop, by its own counters: no item, timer or registration.
#[track_caller]
pub fn closes_clean<S>(event_loop: TestLoop<S>) {
    let event_loop = event_loop.unguarded();
    let handle = event_loop.handle();
    nothing_left(handle);
    drop(event_loop);
    is_gone(handle);
}

/// Ends a loop with items on it, for tests of just that; asserts how many, and that none outlives it.
#[track_caller]
pub fn ends_with_items<S>(event_loop: TestLoop<S>, items: usize) {
    ends_with(event_loop, items, 0);
}

/// Ends a loop without items before a source that is registered with it.
#[track_caller]
pub fn ends_with_registrations<S>(event_loop: TestLoop<S>, registrations: usize) {
    ends_with(event_loop, 0, registrations);
}

/// Ends a loop with items on it that wait for sources.
#[track_caller]
pub fn ends_with_waiting<S>(event_loop: TestLoop<S>, items: usize, registrations: usize) {
    ends_with(event_loop, items, registrations);
}

#[track_caller]
fn ends_with<S>(event_loop: TestLoop<S>, items: usize, registrations: usize) {
    ends_with_timers(event_loop, items, 0, registrations);
}

/// Ends a loop with items on it that wait for timers and for sources.
#[track_caller]
pub fn ends_with_timers<S>(
    event_loop: TestLoop<S>,
    items: usize,
    timers: usize,
    registrations: usize,
) {
    assert_ne!(items + registrations, 0, "closes_clean is for loops that have nothing left");
    let event_loop = event_loop.unguarded();
    let handle = event_loop.handle();
    let stats = handle.stats();
    assert_eq!(
        (stats.items, stats.timers, stats.registrations),
        (items, timers, registrations),
        "items, timers and registrations left on the loop"
    );
    drop(event_loop);
    is_gone(handle);
}

/// Ends a loop by its own graceful end, and asserts that nothing outlives it.
#[track_caller]
pub fn shuts_down<S>(
    event_loop: TestLoop<S>,
    state: &mut S,
    grace: Duration,
) -> Result<Vec<Straggler>, RunError> {
    let event_loop = event_loop.unguarded();
    let handle = event_loop.handle();
    let ended = event_loop.shutdown(state, grace);
    is_gone(handle);
    ended
}

/// As `shuts_down`, of a guest.
#[track_caller]
pub fn shuts_down_guest<S>(
    guest: Guest<S>,
    state: &mut S,
    grace: Duration,
) -> Result<Vec<Straggler>, RunError> {
    let handle = guest.handle();
    let ended = guest.shutdown(state, grace);
    is_gone(handle);
    ended
}

/// Asserts that the loop that runs has nothing but its root future: the last line of a
/// `#[loopline::test]`, whose loop is made and dropped by the library.
#[track_caller]
pub fn nothing_left_here() {
    nothing_left(Handle::<()>::try_current().expect("a loop that runs"));
}

#[track_caller]
fn nothing_left<S: 'static>(handle: Handle<S>) {
    // The counters of a loop that is gone are zero: they would say nothing.
    assert_ne!(handle.try_with(|_| ()), Err(StateError::LoopGone));
    let stats = handle.stats();
    assert_eq!(
        (stats.items, stats.timers, stats.registrations),
        (0, 0, 0),
        "items, timers and registrations left on the loop"
    );
}

/// Asserts that the loop's end reached all who ask for it.
#[track_caller]
pub fn is_gone<S: 'static>(handle: Handle<S>) {
    assert_eq!(handle.stats(), Stats::default(), "a dropped loop has no counters");
    assert_eq!(handle.try_with(|_| ()), Err(StateError::LoopGone));
}

/// Runs a future on a loop of its own, and asserts that the loop closes clean.
#[track_caller]
pub fn block_on<F: Future>(future: F) -> F::Output {
    let mut event_loop = event_loop::<()>();
    let output = event_loop.block_on(future).expect("a run to the end");
    closes_clean(event_loop);
    output
}

/// As `block_on`, under a paused clock.
#[track_caller]
pub fn block_on_paused<F: Future>(future: F) -> F::Output {
    let mut event_loop = paused::<()>();
    let output = event_loop.block_on(future).expect("a run to the end");
    closes_clean(event_loop);
    output
}

/// Divides the size of big tests, for runs under slow tools: `LOOPLINE_TEST_SCALE`.
pub fn scaled(size: usize) -> usize {
    // Looked up once: that allocates, and some tests count allocations.
    static SCALE: OnceLock<usize> = OnceLock::new();
    let scale = SCALE.get_or_init(|| {
        let text = std::env::var("LOOPLINE_TEST_SCALE").ok();
        text.and_then(|text| text.parse().ok()).unwrap_or(1).max(1)
    });
    (size / scale).max(1)
}

/// How many operations a long random test does: as many as `LOOPLINE_TEST_OPERATIONS` says, else `short`,
/// scaled.
pub fn operations(short: usize) -> usize {
    let text = std::env::var("LOOPLINE_TEST_OPERATIONS").ok();
    text.and_then(|text| text.parse().ok()).unwrap_or_else(|| scaled(short))
}
