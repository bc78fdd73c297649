//! `Lane`: what users say to keep one kind of work from delaying another.

use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use crate::clock::{Nanos, nanos};
use crate::current::with_loop;
use crate::handle::Handle;
use crate::item_builder::ItemBuilder;
use crate::shared::Shared;
use crate::turn::TIMED;

/// A queue of its own for some items of an event loop; made by [`Handle::add_lane`].
///
/// Lanes take turns by the time they use: each may run items for its weight times 100 us
/// ([`Builder::lane_time`](crate::Builder::lane_time)) before the next one does, and what its last item took
/// beyond that it pays back the next time. Within a lane all is as without: first in, first out, each item
/// at most once a round. A lane with nothing to do costs and keeps nothing.
///
/// **The worst delay.** An item woken while its lane has nothing else to run waits for the others at most
/// the sum, over the other lanes, of their shares and of their longest single polls:
/// [`Handle::longest_wait`] computes it. However full another lane is, the bound holds; only a poll that
/// takes long itself can stretch it.
///
/// An event loop has one lane, in which every item is that was put into no other, and then pays nothing for
/// the rest. With more, the clock is read once for each poll (25 ns).
///
/// # Examples
///
/// ```
/// use loopline_runtime::{EventLoop, yield_now};
///
/// let mut event_loop = EventLoop::<()>::new()?;
/// let handle = event_loop.handle();
/// let bulk = handle.add_lane(1)?;
/// for _ in 0..1000 {
///     handle.item().lane(bulk).background().spawn(async { loop { yield_now().await } });
/// }
/// // Answers in time, whatever the bulk work does.
/// event_loop.block_on(async {
///     for _ in 0..3 {
///         yield_now().await;
///     }
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Lane {
    loop_id: u64,
    number: u8,
    /// !Send: the loop is found by way of this thread.
    _thread: PhantomData<*const ()>,
}

impl fmt::Debug for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lane")
            .field("loop_id", &self.loop_id)
            .field("number", &self.number)
            .finish()
    }
}

/// Why no lane could be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LaneError {
    /// The event loop has eight lanes already.
    TooMany,
    /// The event loop is gone.
    LoopGone,
}

impl fmt::Display for LaneError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooMany => "an event loop has eight lanes at most: share one",
            Self::LoopGone => "the event loop of this handle was dropped",
        })
    }
}

impl std::error::Error for LaneError {}

impl From<LaneError> for std::io::Error {
    fn from(error: LaneError) -> Self {
        Self::other(error)
    }
}

fn share(shared: &Shared, weight: u32) -> Nanos {
    shared.config.lane_time.saturating_mul(u64::from(weight.max(1)))
}

impl<S: 'static> Handle<S> {
    /// Returns the lane in which all items are that were put into no other. Its weight is 1.
    #[must_use]
    pub fn first_lane(self) -> Lane {
        Lane { loop_id: self.id(), number: 0, _thread: PhantomData }
    }

    /// Makes a lane; its share of time under load is its weight, at least 1, among those of all lanes. It
    /// stays as long as the loop.
    ///
    /// # Errors
    ///
    /// If the loop has eight lanes already, or is gone.
    pub fn add_lane(self, weight: u32) -> Result<Lane, LaneError> {
        with_loop(self.id(), |shared| {
            let shared = shared.ok_or(LaneError::LoopGone)?;
            let added = shared.home.queue.add_lane(share(shared, weight), share(shared, 1));
            let number = added.ok_or(LaneError::TooMany)?;
            shared.ways.set(&TIMED);
            // A turn that runs without lanes ends with this round, and the next one is fair.
            shared.over.set(true);
            Ok(Lane { loop_id: self.id(), number, _thread: PhantomData })
        })
    }

    /// Changes the weight of a lane; of the first one too, once there is another. Returns whether it is a
    /// lane of this loop.
    pub fn set_weight(self, lane: Lane, weight: u32) -> bool {
        with_loop(self.id(), |shared| {
            let Some(shared) = shared.filter(|_| lane.loop_id == self.id()) else { return false };
            shared.home.queue.set_share(lane.number, share(shared, weight));
            true
        })
    }

    /// Returns how long an item of this lane waits at most, from being queued while its lane has nothing
    /// else to run until it is polled, if no item of the loop takes longer than `longest` a poll. That is the
    /// lane's own loop, whoever is asked; zero once it is gone.
    #[must_use]
    pub fn longest_wait(self, lane: Lane, longest: Duration) -> Duration {
        let wait = with_loop(lane.loop_id, |shared| {
            shared.map_or(0, |s| s.home.queue.longest_wait(lane.number, nanos(longest)))
        });
        Duration::from_nanos(wait)
    }
}

impl<S: 'static> ItemBuilder<S> {
    /// Puts the item into a lane.
    ///
    /// # Panics
    ///
    /// If the lane is of another event loop.
    #[track_caller]
    pub fn lane(mut self, lane: Lane) -> Self {
        assert!(lane.loop_id == self.loop_id, "the lane is of another event loop");
        self.meta.lane = lane.number;
        self
    }
}
