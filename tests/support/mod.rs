//! The only place where the tests make loops, and the helper that every test ends with.
#![allow(dead_code, unreachable_pub)] // each test file is a crate and uses a part

use loopline::{Clock, EventLoop};

/// Makes a loop as a user would.
pub fn event_loop<S>() -> EventLoop<S> {
    EventLoop::new().expect("an event loop")
}

/// Makes a loop whose clock is paused.
pub fn paused<S>() -> EventLoop<S> {
    EventLoop::builder().clock(Clock::Paused).build().expect("an event loop")
}

/// Makes a loop that permutes by a seed what is not promised.
pub fn seeded<S>(seed: u64) -> EventLoop<S> {
    EventLoop::builder().seed(seed).build().expect("an event loop")
}

/// Asserts that nothing is left on the loop, by its own counters: no item, timer or registration.
#[track_caller]
pub fn closes_clean<S>(event_loop: EventLoop<S>) {
    let handle = event_loop.handle();
    let stats = handle.stats();
    assert_eq!(
        (stats.items, stats.timers, stats.registrations),
        (0, 0, 0),
        "items, timers and registrations left on the loop"
    );
    drop(event_loop);
    assert_eq!(handle.stats(), loopline::Stats::default(), "a dropped loop has no counters");
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
    let scale = std::env::var("LOOPLINE_TEST_SCALE").ok().and_then(|text| text.parse().ok());
    (size / scale.unwrap_or(1).max(1)).max(1)
}
