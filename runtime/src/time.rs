//! Time: sleeping, limits, periods, and the clock that tests can hold still.
//!
//! All of it is reckoned by the clock of the loop. The default one is the system's monotonic clock,
//! which no change of the wall clock moves and which stops while the machine is suspended; a [`Timer`] may
//! go by the boot clock, which does not. In tests
//! the clock can be paused: it then stands still, and jumps to the next deadline when nothing is
//! runnable and a look at the poller found nothing.
//!
//! ```
//! use loopline_runtime::{Clock, EventLoop, time};
//! use std::time::Duration;
//!
//! let mut event_loop = EventLoop::<()>::builder().clock(Clock::Paused).build()?;
//! event_loop.block_on(async {
//!     let start = time::now();
//!     time::sleep(Duration::from_secs(86_400)).await; // takes no time at all
//!     assert_eq!(time::now() - start, Duration::from_secs(86_400));
//! })?;
//! # Ok::<(), std::io::Error>(())
//! ```

use std::marker::PhantomData;
use std::task::Waker;
use std::time::Instant;

pub use std::time::Duration;

pub use crate::interval::{Interval, MissedTickBehavior, interval, interval_at};
pub use crate::sleep::{SendSleep, Sleep, sleep, sleep_until};
pub use crate::timeout::{Elapsed, Timeout, timeout, timeout_at};
pub use crate::timer::{Tick, Timer};

use crate::clock::nanos;
use crate::current::{with_current, with_loop};
use crate::shared::Shared;
use crate::sleep::Sleep as SleepFuture;

/// Calls `f` with the running loop.
#[track_caller]
fn current<R>(f: impl FnOnce(&Shared) -> R) -> R {
    let result = with_current(|shared| shared.map(f));
    match result {
        Some(result) => result,
        None => panic!(
            "no event loop runs on this thread: call this inside block_on, run or a #[main] function"
        ),
    }
}

/// Reads the clock of the loop that runs on this thread.
///
/// # Panics
///
/// If none runs.
#[must_use]
#[track_caller]
pub fn now() -> Instant {
    current(|shared| shared.clock.read_instant())
}

/// Returns how late the running loop is now: for how long what is ready may have waited for items to
/// come to an end. Of this turn so far, or the one before if that is longer; zero under a paused clock.
///
/// [`Stats::lag`](crate::Stats::lag) is the most it ever was.
///
/// # Panics
///
/// If none runs.
///
/// # Examples
///
/// ```
/// use loopline_runtime::time::lag;
/// use std::time::Duration;
///
/// loopline_runtime::block_on(async {
///     std::thread::sleep(Duration::from_millis(5)); // which a task should not do
///     assert!(lag() >= Duration::from_millis(5));
/// });
/// ```
#[must_use]
#[track_caller]
pub fn lag() -> Duration {
    current(|shared| Duration::from_nanos(shared.lag()))
}

/// Stops the clock of the running loop. From then on it moves only by [`advance`], or by jumping to
/// the next deadline when nothing else can go on.
///
/// # Panics
///
/// If no event loop runs on this thread, or its clock is paused already.
#[track_caller]
pub fn pause() {
    let paused = current(|shared| shared.clock.is_paused());
    assert!(!paused, "the clock is paused already");
    current(|shared| shared.clock.pause());
}

/// Lets a paused clock run on from what it shows.
///
/// # Panics
///
/// If no event loop runs on this thread, or its clock is not paused.
#[track_caller]
pub fn resume() {
    let paused = current(|shared| shared.clock.is_paused());
    assert!(paused, "the clock is not paused");
    current(|shared| shared.clock.resume());
}

/// Moves a paused clock forward, and returns after what became due has run, in order of deadlines.
///
/// # Panics
///
/// If no event loop runs on this thread, or its clock is not paused.
///
/// # Cancel safety
///
/// None: the clock has moved once it was polled.
pub async fn advance(duration: Duration) {
    let paused = current(|shared| shared.clock.is_paused());
    assert!(paused, "the clock is not paused: call time::pause() first");
    current(|shared| {
        shared.clock.advance_to(shared.clock.read().saturating_add(nanos(duration)));
    });
    // Fires behind every deadline that has just been passed.
    let done: SleepFuture = sleep(Duration::ZERO);
    done.await;
}

/// Does as if the machine had been suspended: moves the boot clock of a paused clock, and not the clock
/// itself. Timers that go by the boot clock ([`Timer`]'s `boot_clock`) and came due meanwhile fire in the
/// next round; all others have as long to go as before.
///
/// # Panics
///
/// If no event loop runs on this thread, or its clock is not paused.
#[track_caller]
pub fn suspend(duration: Duration) {
    let paused = current(|shared| shared.clock.is_paused());
    assert!(paused, "the clock is not paused: call time::pause() first");
    let sleepers = current(|shared| shared.clock.suspend(nanos(duration)));
    sleepers.into_iter().for_each(Waker::wake);
}

/// Keeps a paused clock from jumping by itself until the guard is dropped; [`advance`] still moves it.
///
/// For the time in which another thread, or a process, is going to do something.
///
/// # Panics
///
/// If no event loop runs on this thread.
#[track_caller]
pub fn hold() -> Hold {
    current(|shared| {
        shared.clock.hold();
        Hold { loop_id: shared.id, _thread: PhantomData }
    })
}

/// Keeps a paused clock from jumping; made by [`hold`].
#[derive(Debug)]
#[must_use = "the clock is held until this is dropped"]
pub struct Hold {
    loop_id: u64,
    _thread: PhantomData<*const ()>,
}

impl Drop for Hold {
    fn drop(&mut self) {
        with_loop(self.loop_id, |shared| {
            if let Some(shared) = shared {
                shared.clock.release();
                shared.notify_outside_turn();
            }
        });
    }
}
