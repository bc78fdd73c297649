//! What `#[main]` and `#[test]` expand to a call of, and `block_on`: a loop is made for one future.

use std::fmt;
use std::future::Future;

use crate::chance::{fresh_seed, seed_from_environment};
use crate::clock::Clock;
use crate::current::loop_runs_here;
use crate::event_loop::{EventLoop, RunError, failed};

/// Runs the future of an `async fn main`. An error of the event loop is printed, and ends the process
/// with status 1.
///
/// Never as a guest, as `run_for` does: so that no program has a host in it that only tests ask for.
#[track_caller]
pub fn main<F: Future>(future: F) -> F::Output {
    // Without closures, which would hide the caller's place from the report of a deadlock.
    let mut event_loop = match EventLoop::<()>::new() {
        Ok(event_loop) => event_loop,
        Err(error) => fail(&error),
    };
    let result = event_loop.block_on(future);
    drop(event_loop);
    match result {
        Ok(output) => output,
        Err(error) => fail(&error),
    }
}

/// Ends the program.
#[cold]
fn fail(error: &dyn fmt::Display) -> ! {
    eprintln!("error: {error}");
    std::process::exit(1)
}

/// Runs a future on an event loop of its own, and returns its output.
///
/// Tasks that are left when the future is done are cancelled.
///
/// # Panics
///
/// If the event loop cannot be made or its poller fails, if an event loop runs on this thread
/// already, or if something stops the loop; with the text of that error. [`EventLoop::block_on`]
/// returns it instead.
///
/// # Examples
///
/// ```
/// let answer = loopline_runtime::block_on(async { 6 * 7 });
/// assert_eq!(answer, 42);
/// ```
#[track_caller]
pub fn block_on<F: Future>(future: F) -> F::Output {
    let event_loop = match EventLoop::<()>::new() {
        Ok(event_loop) => event_loop,
        Err(error) => panic!("no event loop could be made: {error}"),
    };
    match run_to_end(event_loop, future) {
        Ok(output) => output,
        Err(error) => panic!("{error}"),
    }
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
    let event_loop = match builder.build() {
        Ok(event_loop) => event_loop,
        Err(error) => panic!("no event loop could be made: {error}"),
    };
    if let Some(seed) = event_loop.handle().seed() {
        // Captured by the test harness, and shown when the test fails.
        eprintln!("order shuffled by LOOPLINE_SEED={seed}");
    }
    match run_to_end(event_loop, async { make().await }) {
        Ok(output) => output,
        Err(error) => panic!("{error}"),
    }
}

/// Runs a loop for a future, and drops it.
#[track_caller]
fn run_to_end<F: Future>(event_loop: EventLoop<()>, future: F) -> Result<F::Output, RunError> {
    run_for(event_loop, future).1
}

/// Runs a loop for a future, and gives it back.
///
/// With `LOOPLINE_TEST_GUEST` set, as the guest of a host that knows nothing but `poll(2)`: for tests, to see
/// that they hold for loops inside others too.
#[track_caller]
pub(crate) fn run_for<F: Future>(
    mut event_loop: EventLoop<()>,
    future: F,
) -> (EventLoop<()>, Result<F::Output, RunError>) {
    if std::env::var_os("LOOPLINE_TEST_GUEST").is_some() {
        return run_as_guest(event_loop, future);
    }
    let result = event_loop.block_on(future);
    (event_loop, result)
}

fn run_as_guest<F: Future>(
    event_loop: EventLoop<()>,
    future: F,
) -> (EventLoop<()>, Result<F::Output, RunError>) {
    if loop_runs_here() {
        return (event_loop, Err(RunError::Nested));
    }
    let mut guest = event_loop.into_guest();
    let mut turns = guest.until(future);
    let result = loop {
        match turns.await_readable().and_then(|()| turns.turn(&mut ())) {
            Ok((_, Some(output))) => break Ok(output),
            Ok((turn, None)) if turn.stopped => break Err(RunError::Stopped),
            Ok(_) => {}
            Err(error) => break Err(failed(error)),
        }
    };
    drop(turns);
    (guest.into_event_loop(), result)
}
