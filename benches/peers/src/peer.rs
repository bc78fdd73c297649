//! What a runtime offers to be measured. Not every one offers all of it.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::time::{Duration, Instant};

/// Tasks. `Copy`: a handle.
///
/// The work runs in a spawned task, never in the root future of `block_on`: tokio polls its root only
/// after a look at the poller, and others poll theirs apart from the queue too.
pub trait Peer: Copy + 'static {
    /// Runs the future that `make` returns in a spawned task, until it is done. `long_turns`: no turn is
    /// ended by time, because the program is slowed down to count its instructions.
    fn run<F: Future<Output = ()> + 'static>(long_turns: bool, make: impl FnOnce(Self) -> F);

    /// Spawns a task; the future returned awaits its output.
    fn spawn<F: Future<Output = u64> + 'static>(self, future: F) -> impl Future + 'static;

    /// Spawns a task nobody awaits.
    fn detach<F: Future<Output = u64> + 'static>(self, future: F);
}

/// Timers as futures.
pub trait Sleeps: Peer {
    type Sleep: Future + 'static;

    fn sleep(self, duration: Duration) -> Self::Sleep;
    fn sleep_until(self, deadline: Instant) -> Self::Sleep;
}

/// Timers that can be set anew.
pub trait Resets: Sleeps {
    fn reset(sleep: Pin<&mut Self::Sleep>, deadline: Instant);
}

/// Sets of tasks.
pub trait Sets: Peer {
    type Set: Default;

    fn add<F: Future<Output = u64> + 'static>(self, set: &mut Self::Set, future: F);
    fn next(set: &mut Self::Set) -> impl Future<Output = Option<u64>>;
}

/// A channel into the loop from other threads.
pub trait Crosses {
    type Sender: Send + 'static;

    fn send(sender: &Self::Sender, item: u64);

    /// Makes a loop and a channel into it, gives the sender to `start` on the loop's thread just before
    /// the loop runs, calls `received` there for each item, and ends when that returns true.
    fn receive(
        long_turns: bool,
        start: impl FnOnce(Self::Sender),
        received: impl FnMut(u64) -> bool + 'static,
    );
}

/// An echo server.
pub trait Echo {
    /// Serves for ever, with that many bytes of buffer for a connection.
    fn serve<const BUFFER: usize>() -> io::Result<()>;
}
