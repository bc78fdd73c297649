//! What `#[main]` and `#[test]` expand to a call of.

use std::future::Future;

use crate::chance::{fresh_seed, seed_from_environment};
use crate::clock::Clock;
use crate::event_loop::EventLoop;

/// Runs the future of an `async fn main`. An error of the event loop is printed, and ends the process
/// with status 1.
#[track_caller]
pub fn main<F: Future>(future: F) -> F::Output {
    // Without closures, which would hide the caller's place from the report of a deadlock.
    let error = match EventLoop::<()>::new() {
        Ok(mut event_loop) => match event_loop.block_on(future) {
            Ok(output) => return output,
            Err(error) => error.into(),
        },
        Err(error) => error,
    };
    eprintln!("error: {error}");
    std::process::exit(1)
}

/// What a `#[test]` asked for.
#[derive(Clone, Copy, Debug, Default)]
pub struct TestOptions {
    start_paused: bool,
    /// Outer: whether to shuffle; inner: by which seed.
    shuffle: Option<Option<u64>>,
}

impl TestOptions {
    /// Asks for nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Starts with a paused clock.
    #[must_use]
    pub fn start_paused(mut self, paused: bool) -> Self {
        self.start_paused = paused;
        self
    }

    /// Permutes order that is not promised, by the seed given, else by `LOOPLINE_SEED`, else by a
    /// fresh one.
    #[must_use]
    pub fn shuffle(mut self, seed: Option<u64>) -> Self {
        self.shuffle = Some(seed);
        self
    }
}

/// Runs the future of an `async` test on an event loop of its own.
#[track_caller]
pub fn test<F: Future>(make: impl FnOnce() -> F, options: TestOptions) -> F::Output {
    let mut builder = EventLoop::<()>::builder();
    if options.start_paused {
        builder = builder.clock(Clock::Paused);
    }
    if let Some(seed) = options.shuffle {
        builder = builder.seed(seed.or_else(seed_from_environment).unwrap_or_else(fresh_seed));
    }
    let mut event_loop = match builder.build() {
        Ok(event_loop) => event_loop,
        Err(error) => panic!("no event loop could be made: {error}"),
    };
    if let Some(seed) = event_loop.handle().seed() {
        // Captured by the test harness, and shown when the test fails.
        eprintln!("order shuffled by LOOPLINE_SEED={seed}");
    }
    match event_loop.block_on(async { make().await }) {
        Ok(output) => output,
        Err(error) => panic!("{error}"),
    }
}
