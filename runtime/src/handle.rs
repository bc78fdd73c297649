//! The front door on the loop's thread: `Handle`.

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::panic::Location;
use std::time::Instant;

use futures_core::Stream;
use futures_task::{FutureObj, LocalFutureObj, LocalSpawn, SpawnError};

use crate::callback::Next;
use crate::clock::system_now;
use crate::config::Stats;
use crate::current::{CurrentError, with_current, with_loop};
use crate::insert_error::InsertError;
use crate::item::Meta;
use crate::item_builder::ItemBuilder;
use crate::items::Start;
use crate::join::{Control, JoinHandle};
use crate::shared::{Life, Shared};
use crate::state::StateError;

/// The way to an event loop from anywhere on its thread: a plain number, `Copy` and not `Send`.
///
/// It keeps nothing alive; once the loop is gone its methods say so.
///
/// # Examples
///
/// ```
/// use loopline_runtime::EventLoop;
///
/// let mut event_loop = EventLoop::<u32>::new()?;
/// let handle = event_loop.handle();
/// handle.spawn(async move {
///     handle.with(|count| *count += 1);
/// });
/// let mut count = 0;
/// event_loop.run(&mut count)?;
/// assert_eq!(count, 1);
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// A handle does not leave its thread:
///
/// ```compile_fail,E0277
/// let event_loop = loopline_runtime::EventLoop::<()>::new().unwrap();
/// let handle = event_loop.handle();
/// std::thread::spawn(move || handle.stop());
/// ```
///
/// A [`Remote`](crate::Remote) does:
///
/// ```
/// let event_loop = loopline_runtime::EventLoop::<()>::new().unwrap();
/// let remote = event_loop.handle().remote();
/// std::thread::spawn(move || remote.stop());
/// ```
pub struct Handle<S> {
    loop_id: u64,
    /// Invariant in S: the loop stores exactly an S. Neither Send nor Sync.
    _state: PhantomData<*mut S>,
}

impl<S> Clone for Handle<S> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<S> Copy for Handle<S> {}

impl<S> fmt::Debug for Handle<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").field("loop_id", &self.loop_id).finish()
    }
}

impl<S> PartialEq for Handle<S> {
    fn eq(&self, other: &Self) -> bool {
        self.loop_id == other.loop_id
    }
}

impl<S> Eq for Handle<S> {}

impl<S> std::hash::Hash for Handle<S> {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.loop_id.hash(state);
    }
}

impl<S: 'static> Handle<S> {
    pub(crate) fn new(loop_id: u64) -> Self {
        Self { loop_id, _state: PhantomData }
    }

    /// Returns the handle of the innermost event loop that runs on this thread.
    ///
    /// # Errors
    ///
    /// If none runs, or if its state is not an `S`.
    pub fn try_current() -> Result<Self, CurrentError> {
        with_current(|shared| match shared {
            None => Err(CurrentError::NoLoop),
            Some(shared) if shared.state.holds::<S>() => Ok(Self::new(shared.id)),
            Some(_) => Err(CurrentError::OtherState),
        })
    }

    /// Returns the loop's number: never reused, the same for all handles of one loop.
    #[must_use]
    pub fn id(self) -> u64 {
        self.loop_id
    }

    /// Spawns a task. It first runs in the next round.
    ///
    /// If the loop is gone, shutting down or full, the future is dropped and the handle says
    /// cancelled; [`Handle::try_spawn`] gives the future back instead.
    #[track_caller]
    pub fn spawn<F>(self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + 'static,
    {
        self.item().spawn(future)
    }

    /// Spawns a task, or gives the future back.
    ///
    /// # Errors
    ///
    /// If the loop is gone, shutting down or full.
    #[track_caller]
    pub fn try_spawn<F>(self, future: F) -> Result<JoinHandle<F::Output>, InsertError<F>>
    where
        F: Future + 'static,
    {
        self.item().try_spawn(future)
    }

    /// Runs a closure that blocks on another thread; as [`spawn_blocking`](crate::spawn_blocking), also
    /// outside a turn.
    ///
    /// If the loop is gone, shutting down or full, the closure is dropped and the handle says cancelled.
    #[track_caller]
    pub fn spawn_blocking<F, T>(self, f: F) -> JoinHandle<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        self.item().spawn_blocking(f)
    }

    /// Calls `callback` with each event of `source`, from the next turn on.
    ///
    /// The callback gets the event, the source itself (to answer, to change it, to replace it), and
    /// the state given to `run`. The handle returned gives the source back when the callback says
    /// [`Next::Stop`] or the source ends.
    ///
    /// # Errors
    ///
    /// Gives the source back if the loop is gone, shutting down or full.
    #[track_caller]
    pub fn insert<Src, F>(
        self,
        source: Src,
        callback: F,
    ) -> Result<JoinHandle<Src>, InsertError<Src>>
    where
        Src: Stream + Unpin + 'static,
        F: FnMut(Src::Item, &mut Src, &mut S) -> Next + 'static,
    {
        self.item().insert(source, callback)
    }

    /// Starts an item with a label or as background.
    #[track_caller]
    pub fn item(self) -> ItemBuilder<S> {
        let meta = Meta::new(Location::caller());
        ItemBuilder::new(self.loop_id, meta)
    }

    /// Calls `f` with the state at the head of the next round, behind what was deferred before.
    #[track_caller]
    pub fn defer<T: 'static>(self, f: impl FnOnce(&mut S) -> T + 'static) -> JoinHandle<T> {
        self.item().start(async move { self.with(f) }, Start::Head)
    }

    /// Calls `f` with the state in the next turn, after the poller was looked at.
    #[track_caller]
    pub fn next_turn<T: 'static>(self, f: impl FnOnce(&mut S) -> T + 'static) -> JoinHandle<T> {
        self.item().start(async move { self.with(f) }, Start::NextTurn)
    }

    /// Lends the state to a closure.
    ///
    /// # Panics
    ///
    /// If the loop is not running, or the state is lent already: inside a callback, or inside another
    /// `with`. [`Handle::try_with`] returns an error instead; use it in `Drop`.
    #[track_caller]
    pub fn with<R>(self, f: impl FnOnce(&mut S) -> R) -> R {
        match self.try_with(f) {
            Ok(result) => result,
            Err(error) => panic!("{error}"),
        }
    }

    /// Lends the state to a closure, if it can be lent.
    ///
    /// # Errors
    ///
    /// See [`StateError`].
    pub fn try_with<R>(self, f: impl FnOnce(&mut S) -> R) -> Result<R, StateError> {
        with_loop(self.loop_id, |shared| match shared {
            Some(shared) => shared.state.with(f),
            None => Err(StateError::LoopGone),
        })
    }

    /// Ends `run` after this turn, or after one turn if called before it; `run_until` and `shutdown` too, with
    /// [`RunError::Stopped`](crate::RunError::Stopped). Who drives the turns is told by
    /// [`Turn::stopped`](crate::Turn::stopped). Does nothing once the loop is gone.
    pub fn stop(self) {
        self.with_shared(|shared| shared.stop());
    }

    /// Returns the loop's counters; all zero once it is gone.
    #[must_use]
    pub fn stats(self) -> Stats {
        self.with_shared(Shared::stats).unwrap_or_default()
    }

    /// Returns the control of the item that is being polled, callback or task.
    ///
    /// `None` outside items: in the root future of `run_until`, and outside a turn.
    #[must_use]
    pub fn current(self) -> Option<Control> {
        self.with_shared(|shared| {
            let (slot, id) = shared.running()?;
            Some(Control::new(shared.number(), slot, id))
        })
        .flatten()
    }

    /// Returns the turn's time: read once after each wait and after long stretches of items.
    ///
    /// Cheaper than reading the clock, and up to a turn late. [`Instant::now`] once the loop is gone.
    #[must_use]
    pub fn now(self) -> Instant {
        self.with_shared(|shared| shared.clock.instant(shared.clock.now()))
            .unwrap_or_else(system_now)
    }

    /// Returns the seed of this loop's order, if it has one.
    #[must_use]
    pub fn seed(self) -> Option<u64> {
        self.with_shared(|shared| shared.chance.seed()).flatten()
    }

    fn with_shared<R>(self, f: impl FnOnce(&Shared) -> R) -> Option<R> {
        with_loop(self.loop_id, |shared| shared.map(f))
    }
}

impl<S: 'static> LocalSpawn for Handle<S> {
    fn spawn_local_obj(&self, future: LocalFutureObj<'static, ()>) -> Result<(), SpawnError> {
        self.try_spawn(future).map(drop).map_err(|_| SpawnError::shutdown())
    }

    fn status_local(&self) -> Result<(), SpawnError> {
        match self.with_shared(|shared| shared.life.get()) {
            Some(Life::Open) => Ok(()),
            _ => Err(SpawnError::shutdown()),
        }
    }
}

impl<S: 'static> futures_task::Spawn for Handle<S> {
    fn spawn_obj(&self, future: FutureObj<'static, ()>) -> Result<(), SpawnError> {
        self.spawn_local_obj(future.into())
    }

    fn status(&self) -> Result<(), SpawnError> {
        self.status_local()
    }
}
