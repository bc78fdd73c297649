//! Handles to items: await the output, cancel, control.

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

use crate::budget;
use crate::counted::Counted;
use crate::current::with_owner;
use crate::item::{Header, Payload, TaskId, Unseen, drop_payload};
use crate::panics::report;
use crate::shared::Shared;
use crate::straggler::Straggler;
use crate::task::Joinable;
use crate::{waits, wake};

pub use self::error::JoinError;

mod error;

/// Awaits an item's output. Dropping it detaches: the item goes on.
///
/// Awaiting gives `Ok(output)`, or [`JoinError`] if the item was cancelled or panicked. The output can
/// also be awaited after the event loop that ran the item is gone, on another loop of the same thread.
///
/// # Cancel safety
///
/// Strict: dropping a pending await of `&mut handle` loses nothing.
///
/// # Examples
///
/// ```
/// # loopline_runtime::block_on(async {
/// let task = loopline_runtime::spawn(async { 6 * 7 });
/// assert_eq!(task.await.unwrap(), 42);
/// # });
/// ```
///
/// A handle stays on its thread; [`RemoteJoin`](crate::RemoteJoin) is the one that does not:
///
/// ```compile_fail,E0277
/// # loopline_runtime::block_on(async {
/// let task = loopline_runtime::spawn(async { 6 * 7 });
/// std::thread::spawn(move || task.is_finished());
/// # });
/// ```
///
/// ```
/// # loopline_runtime::block_on(async {
/// let task = loopline_runtime::spawn(async { 6 * 7 });
/// loopline_runtime::spawn(async move { task.is_finished() });
/// # });
/// ```
pub struct JoinHandle<T> {
    /// Nothing else, so that it travels in registers; measured, 10 % of a spawn.
    task: Counted<dyn Joinable<T>>,
}

/// A task's own panics are kept in it, and no other leaves it half changed.
impl<T> UnwindSafe for JoinHandle<T> {}
impl<T> RefUnwindSafe for JoinHandle<T> {}

impl<T> JoinHandle<T> {
    pub(crate) fn new(task: Counted<dyn Joinable<T>>) -> Self {
        Self { task }
    }

    /// Returns the item's id.
    #[must_use]
    pub fn id(&self) -> TaskId {
        self.task.header().id
    }

    /// Whether the item has ended: its output, its panic or its cancellation can be awaited at once.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.task.header().is_finished()
    }

    /// What is known of the item whatever its type.
    pub(crate) fn header(&self) -> &Header {
        self.task.header()
    }

    /// Names the item, for who reports that it is still there.
    pub(crate) fn straggler(&self) -> Straggler {
        Straggler::of(self.task.header())
    }

    /// Cancels the item: its future is dropped before this returns, unless this is called by more than
    /// 32 destructors of cancelled futures inside each other; then the outermost sees to it.
    ///
    /// If the item is being polled, because it cancels itself or one it called does, it ends as that
    /// poll returns. An item that has ended already keeps its output. Awaiting the value returned
    /// tells how it ended; dropping that value is fine.
    pub fn cancel(self) -> Cancelled<T> {
        self.control().cancel();
        Cancelled(self)
    }

    /// Takes the output if there is one; the handle must not be polled afterwards.
    pub(crate) fn take(&self) -> Option<Result<T, JoinError>> {
        let result = self.task.take()?;
        Some(result.map_err(|payload| JoinError::new(self.id(), payload)))
    }

    /// Returns a copyable control of this item.
    #[must_use]
    pub fn control(&self) -> Control {
        let header = self.task.header();
        Control::new(header.loop_number, header.slot(), header.id)
    }
}

impl<T> Future for JoinHandle<T> {
    type Output = Result<T, JoinError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let permit = ready!(budget::poll_proceed(cx));
        let header = self.task.header();
        // Asked first, as most are polled once before they end: it needs no call by way of the task's type.
        if !header.is_finished() && waits(header, cx.waker()) {
            waits::note("the end of another item (JoinHandle)");
            return Poll::Pending;
        }
        permit.spend();
        Poll::Ready(self.take().expect("it has ended"))
    }
}

/// Stores who waits for the end of an item, which has not come yet. Returns whether it still has not.
#[inline]
fn waits(header: &Header, waker: &Waker) -> bool {
    let Some(ours) = wake::copy_ours(waker) else { return foreign_waits(header, waker) };
    // Ours costs no more to store than to compare.
    match header.set_waiter(ours) {
        None => true,
        Some(old) => forget(header, old),
    }
}

#[inline(never)] // so that the usual way saves no registers for it
fn foreign_waits(header: &Header, waker: &Waker) -> bool {
    if header.is_awaited_by(waker) {
        return true;
    }
    // The new one's clone or the old one's drop may cancel the item.
    match header.set_waiter(waker.clone()) {
        None => !header.is_finished(),
        Some(old) => forget(header, old),
    }
}

#[inline(never)] // as above
fn forget(header: &Header, old: Waker) -> bool {
    drop(old);
    !header.is_finished()
}

impl<T> Unpin for JoinHandle<T> {}

impl<T> Drop for JoinHandle<T> {
    #[inline]
    fn drop(&mut self) {
        if !self.task.header().can_be_detached() {
            self.let_go();
        }
    }
}

impl<T> JoinHandle<T> {
    /// Gives up an output that was not taken.
    #[inline(never)] // the drop of a handle that was awaited, or cancelled, is a comparison
    fn let_go(&self) {
        let header = self.task.header();
        drop(header.take_waiter());
        if !header.is_finished() {
            return;
        }
        if let Some(Unseen::Item(payload) | Unseen::Output(payload)) = self.task.drop_output() {
            report_unseen(header, payload);
        }
    }
}

#[cold]
fn report_unseen(header: &Header, payload: Payload) {
    with_owner(header.loop_number, header.id, |shared| match shared {
        Some(shared) => shared.unobserved(&header.to_string(), payload),
        None => {
            report(None, &header.to_string(), &payload);
            drop_payload(payload);
        }
    });
}

impl<T> fmt::Debug for JoinHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let header = self.task.header();
        f.debug_struct("JoinHandle")
            .field("id", &header.id.0)
            .field("label", &header.label())
            .field("place", &format_args!("{}", header.place))
            .field("finished", &header.is_finished())
            .finish()
    }
}

/// How a cancelled item ended; returned by [`JoinHandle::cancel`].
///
/// Awaiting it gives `Err` with [`JoinError::is_cancelled`], or the output or panic of an item that
/// ended first. It may be dropped without a thought.
///
/// # Cancel safety
///
/// As [`JoinHandle`].
pub struct Cancelled<T>(JoinHandle<T>);

impl<T> Cancelled<T> {
    /// Whether the item has ended. `false` only while it cancels itself.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.0.is_finished()
    }
}

impl<T> Future for Cancelled<T> {
    type Output = Result<T, JoinError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(cx)
    }
}

impl<T> fmt::Debug for Cancelled<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Cancelled").field(&self.0).finish()
    }
}

/// Controls an item from anywhere on its thread, its own callback included.
///
/// A plain number: it keeps nothing alive and does nothing once the item has ended. Each method says
/// whether the item was there.
///
/// # Examples
///
/// ```
/// use loopline_runtime::{EventLoop, callback::Next, time::{Timer, sleep}};
/// use std::time::Duration;
///
/// let mut event_loop = EventLoop::<u32>::new()?;
/// let handle = event_loop.handle();
/// let every = Timer::every(Duration::from_millis(1));
/// let ticks = handle.insert(every, |_tick, _timer, ticks| { *ticks += 1; Next::Keep })?.control();
/// handle.spawn(async move {
///     assert!(ticks.pause());
///     sleep(Duration::from_millis(5)).await;
///     assert_eq!(handle.with(|ticks| *ticks), 0);
///     assert!(ticks.resume()); // what came due meanwhile comes now
///     while handle.with(|ticks| *ticks) == 0 {
///         loopline_runtime::yield_now().await;
///     }
///     assert!(ticks.cancel());
///     assert!(!ticks.resume(), "it is gone");
/// });
/// event_loop.run(&mut 0)?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Control {
    id: TaskId,
    /// Where to look, `id` decides: the slot, and above it the loop's number (see `current::with_owner`). In one
    /// word, as two words travel in registers.
    whereabouts: u64,
    /// !Send: the loop is found by way of this thread.
    _thread: PhantomData<*const ()>,
}

impl Control {
    pub(crate) fn new(loop_number: u16, slot: u32, id: TaskId) -> Self {
        let whereabouts = u64::from(loop_number) << u32::BITS | u64::from(slot);
        Self { id, whereabouts, _thread: PhantomData }
    }

    fn slot(self) -> u32 {
        self.whereabouts as u32
    }

    fn with_loop<R>(self, f: impl FnOnce(Option<&Shared>) -> R) -> R {
        with_owner((self.whereabouts >> u32::BITS) as u16, self.id, f)
    }

    /// Returns the item's id.
    #[must_use]
    pub fn id(self) -> TaskId {
        self.id
    }

    /// Whether the item has ended, or its loop is gone.
    #[must_use]
    pub fn is_finished(self) -> bool {
        !self.with_loop(|shared| shared.is_some_and(|s| s.holds(self.slot(), self.id)))
    }

    /// Cancels the item: at once, or as its poll returns if it is being polled.
    pub fn cancel(self) -> bool {
        self.with_loop(|shared| shared.is_some_and(|s| s.cancel(self.slot(), self.id)))
    }

    /// Has the item polled once more: a source that was changed from outside, through an `Rc` say, looks at
    /// itself again. A paused item is polled once it goes on.
    pub fn wake(self) -> bool {
        self.with_loop(|shared| match shared {
            Some(shared) if shared.holds(self.slot(), self.id) => {
                shared.home.queue.wake_any(self.slot());
                shared.notify_outside_turn();
                true
            }
            _ => false,
        })
    }

    /// Lets `run` end while the item is alive, or has it wait for the item again: what
    /// [`ItemBuilder::background`](crate::ItemBuilder::background) says from the start. Not for a child of a
    /// scope, which its scope waits for.
    ///
    /// # Examples
    ///
    /// ```
    /// use loopline_runtime::{EventLoop, callback::Next, time::Timer};
    /// use std::time::Duration;
    ///
    /// let mut event_loop = EventLoop::<()>::new()?;
    /// let beat = Timer::every(Duration::from_secs(3600));
    /// let beat = event_loop.handle().insert(beat, |_, _, ()| Next::Keep)?;
    /// beat.control().set_background(true);
    /// event_loop.run(&mut ())?; // nothing else is there to wait for
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn set_background(self, background: bool) -> bool {
        self.with_loop(|shared| {
            shared.is_some_and(|s| s.set_background(self.slot(), self.id, background))
        })
    }

    /// Stops polling the item until [`Control::resume`]. Wakes and events are remembered meanwhile. One that is
    /// queued already keeps its place while others stand before it there; after that it is queued anew.
    pub fn pause(self) -> bool {
        self.with_loop(|shared| match shared {
            Some(shared) if shared.holds(self.slot(), self.id) => {
                shared.home.queue.pause(self.slot());
                true
            }
            _ => false,
        })
    }

    /// Whether the item is paused, by [`Control::pause`] or by [`Next::Pause`](crate::callback::Next::Pause).
    #[must_use]
    pub fn is_paused(self) -> bool {
        self.with_loop(|shared| {
            shared.is_some_and(|s| {
                s.holds(self.slot(), self.id) && s.home.queue.is_paused(self.slot())
            })
        })
    }

    /// Ends a pause: what woke the item meanwhile queues it now.
    pub fn resume(self) -> bool {
        self.with_loop(|shared| match shared {
            Some(shared) if shared.holds(self.slot(), self.id) => {
                shared.home.queue.resume(self.slot());
                shared.notify_outside_turn();
                true
            }
            _ => false,
        })
    }
}

impl fmt::Debug for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Control").field("id", &self.id.0).finish_non_exhaustive()
    }
}
