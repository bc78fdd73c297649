//! Callbacks: a callback is a task whose future is `ForEach`, which awaits events of a source and
//! calls a closure with each. And the sources that come with the loop.
//!
//! Any stream is a source: composition is a `poll_next` of one's own, or any combinator. One that is not
//! `Unpin` is, behind `Box::pin`.
//!
//! A source that waits for time, a descriptor, a signal or a phase belongs to the event loop that polls it
//! first; one that other threads feed follows whoever polls it.
//!
//! | source | made by | changed by its callback | and from elsewhere |
//! |---|---|---|---|
//! | timer | [`Timer`](crate::time::Timer) | `set_after`, `set_at`, `set_period` | by its control: [`controlled`] |
//! | channel, many threads | [`channel`], [`sync_channel`] | `try_next` | clones of the sender |
//! | ping | [`ping`] | | clones of the [`Ping`] |
//! | any future | [`once`] | | by the other end of what it awaits |
//! | before and after each wait, idle | [`before_park`], [`after_park`], [`idle`] | | |
//! | messages on this thread | the receivers in [`sync`](crate::sync) | `close`, `try_recv` | clones of the sender |
//! | descriptor, connections, signals, child | `io::FdSource`, `into_incoming`, `signal`, `into_exit` of `loopline` | each its own | by its control |
//! | lines, frames | a codec over a stream: any that is a `Stream` | `try_write` on the stream inside | by its control |
//! | anything else | any `Stream` | as it is | by its control |
//!
//! Whatever it is, the item can be paused, resumed and cancelled by its [`Control`](crate::Control), and
//! what happens while it is paused is not lost.

use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

pub use futures_core::Stream;

pub use crate::channel::{
    Channel, Ping, PingSource, SendError, Sender, SyncSender, TryRecvError, channel, ping,
    sync_channel,
};
pub use crate::controlled::{Controlled, SourceControl, controlled};
pub use crate::once::{Once, once};
pub use crate::phase::{
    AfterPark, BeforePark, Idle, IdleTime, after_park, before_park, idle, idle_once,
};

use crate::clock::Nanos;
use crate::current::with_current;
use crate::shared::Shared;
use crate::turn::leaves_rest;

/// What a callback wants next.
///
/// # Examples
///
/// ```
/// use loopline_runtime::{EventLoop, callback::{Next, channel}};
///
/// let mut event_loop = EventLoop::<u32>::new()?;
/// let (sender, numbers) = channel();
/// event_loop.handle().insert(numbers, |n, _channel, sum| {
///     *sum += n;
///     if n == 0 { Next::Stop } else { Next::Keep }
/// })?;
/// for n in [1, 2, 3, 0, 4] {
///     sender.send(n).unwrap();
/// }
/// let mut sum = 0;
/// event_loop.run(&mut sum)?;
/// assert_eq!(sum, 6);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// The next event.
    Keep,
    /// No events until [`Control::resume`](crate::Control::resume); what happens meanwhile is remembered by
    /// the source.
    Pause,
    /// No more: the item ends, and its handle gives the source back.
    Stop,
}

/// The future of a callback: gives the source back when it ends.
pub(crate) struct ForEach<Src, F, S> {
    /// Before the source, so dropped before it if the item is cancelled, as where it ends and gives the source back.
    callback: F,
    source: Option<Src>,
    /// Events one poll may deliver, also of sources that keep no budget themselves.
    events: u32,
    state: PhantomData<fn(&mut S)>,
}

/// Nothing in it is pinned: the source is Unpin, the closure is only called.
impl<Src, F, S> Unpin for ForEach<Src, F, S> {}

/// After how many events of one poll the clock is read, to see whether it has used a turn's share; then after
/// twice as many, and so on. A turn counts polls, and one of these may be the work of 128 slow callbacks.
const FIRST_LOOK: u32 = 8;

impl<Src, F, S> ForEach<Src, F, S> {
    pub(crate) fn new(source: Src, callback: F, events: u32) -> Self {
        Self { source: Some(source), callback, events, state: PhantomData }
    }
}

impl<Src, F, S> Future for ForEach<Src, F, S>
where
    Src: Stream + Unpin,
    F: FnMut(Src::Item, &mut Src, &mut S) -> Next,
    S: 'static,
{
    type Output = Src;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Src> {
        let this = self.get_mut();
        // Items are polled inside turns of their loop only.
        with_current(|shared| {
            this.poll_in(shared.expect("a callback runs inside a turn of its loop"), cx)
        })
    }
}

impl<Src, F, S> ForEach<Src, F, S>
where
    Src: Stream + Unpin,
    F: FnMut(Src::Item, &mut Src, &mut S) -> Next,
    S: 'static,
{
    #[inline(always)] // one call
    fn poll_in(&mut self, shared: &Shared, cx: &mut Context<'_>) -> Poll<Src> {
        let Some(source) = self.source.as_mut() else {
            unreachable!("a task is not polled after it gave its output");
        };
        let (mut told, mut look) = (0, self.events.min(FIRST_LOOK));
        let mut since = None;
        loop {
            let Some(event) = ready!(Pin::new(&mut *source).poll_next(cx)) else {
                return Poll::Ready(take(&mut self.source));
            };
            match deliver(shared, event, source, &mut self.callback) {
                Some(Next::Keep) => {}
                Some(Next::Stop) => return Poll::Ready(take(&mut self.source)),
                Some(Next::Pause) | None => break,
            }
            told += 1;
            if told == look {
                if is_enough(shared, told, self.events, &mut since) {
                    break;
                }
                look = told.saturating_mul(2).min(self.events);
            }
        }
        // The source was not polled to Pending, so nothing of it would wake this item; while it is
        // paused the wake is remembered.
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

/// Whether a poll that has told so many events leaves the rest of those it may tell for the next round.
#[cold]
#[inline(never)]
fn is_enough(shared: &Shared, told: u32, most: u32, since: &mut Option<Nanos>) -> bool {
    leaves_rest(shared, since) || told == most
}

fn take<Src>(source: &mut Option<Src>) -> Src {
    source.take().expect("checked at the start of the poll")
}

/// Calls the closure with the state lent. `None`: it cancelled its own item by a control.
#[inline(always)] // one call
fn deliver<Src: Stream, S: 'static>(
    shared: &Shared,
    event: Src::Item,
    source: &mut Src,
    callback: &mut impl FnMut(Src::Item, &mut Src, &mut S) -> Next,
) -> Option<Next> {
    if !shared.state.is_here::<S>() {
        // Apart, and with the event: nobody else has to drop it, so it stays in registers.
        not_lent(event);
    }
    let next = shared.state.with(|state| callback(event, source, state)).expect("it is here");
    let slot = shared.running_slot.get();
    match next {
        Next::Keep if shared.home.queue.wants_to_stop(slot) => None,
        Next::Pause => {
            shared.home.queue.pause(slot);
            Some(Next::Pause)
        }
        next => Some(next),
    }
}

/// A turn lends the state, and `with` gives it back: so who polls the source keeps it.
#[cold]
fn not_lent<Event>(_event: Event) -> ! {
    panic!("the state is lent while a source is polled")
}
