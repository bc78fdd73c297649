//! Streams of the phases around the run phase: before park, after park, idle.

use std::future::poll_fn;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_core::Stream;

use crate::budget;
use crate::current::{with_current, with_loop};
use crate::phases::{Key, Phase};
use crate::shared::Shared;

/// A stream's place in a loop's phase; bound at the first poll.
#[derive(Debug)]
struct Place {
    phase: Phase,
    /// The loop and the key in it.
    bound: Option<(u64, Key)>,
    /// !Send: the loop is found by way of this thread.
    _thread: PhantomData<*const ()>,
}

impl Place {
    fn new(phase: Phase) -> Self {
        Self { phase, bound: None, _thread: PhantomData }
    }

    /// Ready when the phase came since the last call, with what `told` reads of the loop.
    #[track_caller]
    fn poll<T>(
        &mut self,
        cx: &mut Context<'_>,
        told: impl FnOnce(&Shared) -> T,
    ) -> Poll<Option<T>> {
        let permit = ready!(budget::poll_proceed(cx));
        let phase = self.phase;
        let bound = self.bound.or_else(|| {
            with_current(|shared| shared.map(|shared| (shared.id, shared.phases.add(phase))))
        });
        let Some((loop_id, key)) = bound else {
            panic!(
                "no event loop runs on this thread: insert the source, or await it inside block_on"
            )
        };
        self.bound = bound;
        with_loop(loop_id, |shared| {
            let Some(shared) = shared else { return Poll::Ready(None) };
            let item = shared.home.word_in(shared.running_slot.get());
            match shared.phases.poll(phase, key, item, &shared.polled_children, cx.waker()) {
                Ok(()) => {
                    permit.spend();
                    Poll::Ready(Some(told(shared)))
                }
                Err(old) => {
                    drop(old);
                    Poll::Pending
                }
            }
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some((loop_id, key)) = self.bound else { return };
        with_loop(loop_id, |shared| {
            if let Some(shared) = shared {
                drop(shared.phases.remove(self.phase, key));
            }
        });
    }
}

/// Fires before every wait of the loop, a wait of zero length too; made by [`before_park`].
#[derive(Debug)]
#[must_use = "a source does nothing unless it is inserted or awaited"]
pub struct BeforePark(Place);

/// Makes a source that fires before every wait of the loop.
///
/// What the callback queues, its own wake included, makes that wait a mere look. Flush buffers here:
/// nothing else of the program runs between this and the wait but other such callbacks, in the order
/// in which they were first polled. While its item is paused, neither this nor [`after_park`] fires, so one that
/// another such callback pauses does not hear of the wait's end, and keeps what it took until it is resumed.
///
/// A source composed of this and others is polled as a whole at that moment. One that takes something
/// here which [`after_park`] gives back has to return `Pending` until then, whatever else it has: its
/// other parts are polled again after the wait. A combinator that wakes itself whenever it has polled all it
/// has, as futures' `FuturesUnordered` does, keeps the loop from waiting: put such a source into an item, or
/// a child of a scope, of its own.
pub fn before_park() -> BeforePark {
    BeforePark(Place::new(Phase::BeforePark))
}

/// Fires after every wait of the loop, before all other user code; made by [`after_park`].
#[derive(Debug)]
#[must_use = "a source does nothing unless it is inserted or awaited"]
pub struct AfterPark(Place);

/// Makes a source that fires after every wait of the loop, also one that was interrupted or failed.
///
/// Several fire in the reverse of the order in which they were first polled: nested like brackets with
/// the sources of [`before_park`].
pub fn after_park() -> AfterPark {
    AfterPark(Place::new(Phase::AfterPark))
}

/// Fires when the loop has nothing else to do; made by [`idle`] and [`idle_once`].
#[derive(Debug)]
#[must_use = "a source does nothing unless it is inserted or awaited"]
pub struct Idle {
    place: Place,
    once: bool,
    done: bool,
}

/// What an idle callback is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct IdleTime {
    /// How long it is until the next timer; `None` if there is none. Events and other threads may
    /// come sooner.
    pub left: Option<Duration>,
}

/// Makes a source that fires at the end of every turn that left nothing queued.
///
/// While it waits the loop does not sleep: it looks at the poller and fires again. So do a small piece
/// of work each time, and pause or stop the item when there is no more. A paused clock does jump
/// meanwhile: once a turn, after the source has fired.
pub fn idle() -> Idle {
    Idle { place: Place::new(Phase::Idle), once: false, done: false }
}

/// Makes a source that fires once, when the loop first has nothing else to do.
pub fn idle_once() -> Idle {
    Idle { once: true, ..idle() }
}

impl Stream for BeforePark {
    type Item = ();

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<()>> {
        self.0.poll(cx, |_| ())
    }
}

impl Stream for AfterPark {
    type Item = ();

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<()>> {
        self.0.poll(cx, |_| ())
    }
}

impl Stream for Idle {
    type Item = IdleTime;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<IdleTime>> {
        if self.done {
            return Poll::Ready(None);
        }
        let polled = self.place.poll(cx, |shared| {
            let until = shared.phases.idle_until.get();
            let left = until.map(|at| at.saturating_sub(shared.clock.read()));
            IdleTime { left: left.map(Duration::from_nanos) }
        });
        self.done = self.once && polled.is_ready();
        polled
    }
}

macro_rules! next {
    ($($stream:ty => $item:ty),*) => {$(
        impl $stream {
            /// Waits for the next time; `None` once there is none.
            ///
            /// # Cancel safety
            ///
            /// Strict.
            pub async fn next(&mut self) -> Option<$item> {
                poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
            }
        }
    )*};
}

next!(BeforePark => (), AfterPark => (), Idle => IdleTime);
