//! `JoinSet`: a group of tasks that one owner awaits and cancels together.
//!
//! Each task of a set is wrapped in a [`Member`], whose guard is dropped right after the task's future,
//! however that ended, and puts the task's index into the set's line of [`Ended`]. So joining one of ten
//! thousand looks at one, and nothing is allocated for a task but the task.
//!
//! The output is in its place a moment after the guard: an index may stand in the line before its handle
//! has anything to give, and then waits at the head of it.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::future::{Future, poll_fn};
use std::panic::{RefUnwindSafe, resume_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use futures_core::Stream;
use pin_project_lite::pin_project;
use slab::Slab;

use crate::budget;
use crate::current::with_current;
use crate::handle::Handle;
use crate::item::TaskId;
use crate::item_builder::ItemBuilder;
use crate::join::{Control, JoinError, JoinHandle};
use crate::spawn::spawn;
use crate::waiters::wake;
use crate::waits;
use crate::wake::copy;

mod blocking;
mod collect;

/// A set that was larger gives its memory back when it is empty.
const KEPT: usize = 64;

/// A group of tasks with the same type of output, on the event loop of this thread.
///
/// Outputs come in the order in which the tasks ended. Dropping the set cancels all tasks in it, the
/// newest first.
///
/// It is a [`Stream`] too, of what [`JoinSet::join_next`] gives: awaited, combined, or inserted with a
/// callback.
///
/// # Examples
///
/// ```
/// # loopline_runtime::block_on(async {
/// use loopline_runtime::{JoinSet, time::sleep};
/// use std::time::Duration;
///
/// let mut set = JoinSet::new();
/// for n in [3, 1, 2] {
///     set.spawn(async move {
///         sleep(Duration::from_millis(2 * n)).await;
///         n
///     });
/// }
/// let mut ended = Vec::new();
/// while let Some(result) = set.join_next().await {
///     ended.push(result.unwrap());
/// }
/// assert_eq!(ended, [1, 2, 3]);
/// # });
/// ```
///
/// A set stays on its thread, as its tasks do:
///
/// ```compile_fail,E0277
/// let mut set = loopline_runtime::JoinSet::<()>::new();
/// std::thread::spawn(move || set.cancel_all());
/// ```
///
/// ```
/// let mut set = loopline_runtime::JoinSet::<()>::new();
/// std::thread::spawn(|| loopline_runtime::JoinSet::<()>::new().cancel_all());
/// set.cancel_all();
/// ```
#[must_use = "dropping a set cancels its tasks"]
pub struct JoinSet<T> {
    /// The tasks that were not joined, by their index.
    handles: Slab<JoinHandle<T>>,
    ended: Rc<Ended>,
}

/// Which tasks of a set have ended, in order, and who waits for one.
#[derive(Default)]
struct Ended {
    line: RefCell<VecDeque<usize>>,
    waiter: Cell<Option<Waker>>,
}

impl RefUnwindSafe for Ended {} // each part of it is changed in one step

/// Dropped when the future of its task was, it tells the set.
struct Guard {
    ended: Rc<Ended>,
    index: usize,
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.ended.line.borrow_mut().push_back(self.index);
        if let Some(waiter) = self.ended.waiter.take() {
            wake(waiter);
        }
    }
}

pin_project! {
    /// The future of a task in a set.
    struct Member<F> {
        #[pin]
        future: F,
        // The last field: dropped after the future.
        guard: Guard,
    }
}

impl<F: Future> Future for Member<F> {
    type Output = F::Output;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        self.project().future.poll(cx)
    }
}

impl<T> JoinSet<T> {
    /// Makes an empty set.
    pub fn new() -> Self {
        Self { handles: Slab::new(), ended: Rc::default() }
    }

    /// Returns how many tasks were not joined yet, ended or not.
    #[must_use]
    pub fn len(&self) -> usize {
        self.handles.len()
    }

    /// Whether all tasks were joined.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.handles.is_empty()
    }

    /// Waits for the next task to end; `None` if the set is empty, `Err` if it was cancelled or panicked.
    ///
    /// # Cancel safety
    ///
    /// Strict: a wait that is dropped has taken no task out of the set.
    pub async fn join_next(&mut self) -> Option<Result<T, JoinError>> {
        poll_fn(|cx| self.poll_join_next(cx)).await
    }

    /// As [`JoinSet::join_next`], with the task's id.
    ///
    /// # Cancel safety
    ///
    /// Strict.
    pub async fn join_next_with_id(&mut self) -> Option<Result<(TaskId, T), JoinError>> {
        poll_fn(|cx| self.poll_join_next_with_id(cx)).await
    }

    /// Takes the output of the next task that has ended; `None` if none has, or the set is empty.
    pub fn try_join_next(&mut self) -> Option<Result<T, JoinError>> {
        self.try_join_next_with_id().map(|result| result.map(|(_, output)| output))
    }

    /// As [`JoinSet::try_join_next`], with the task's id.
    pub fn try_join_next_with_id(&mut self) -> Option<Result<(TaskId, T), JoinError>> {
        let index = self.ended.line.borrow_mut().pop_front()?;
        let Some(result) = self.handles[index].take() else {
            // A foreign waker that polls as it is woken: the output comes next.
            self.ended.line.borrow_mut().push_front(index);
            return None;
        };
        let id = self.handles.remove(index).id();
        if self.handles.is_empty() && self.handles.capacity() > KEPT {
            self.handles = Slab::new();
            self.ended.line.replace(VecDeque::new());
        }
        Some(result.map(|output| (id, output)))
    }

    /// The `poll_` form of [`JoinSet::join_next`]; the last one to poll is woken.
    pub fn poll_join_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<T, JoinError>>> {
        let next = ready!(self.poll_join_next_with_id(cx));
        Poll::Ready(next.map(|result| result.map(|(_, output)| output)))
    }

    /// As [`JoinSet::poll_join_next`], with the task's id.
    pub fn poll_join_next_with_id(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<(TaskId, T), JoinError>>> {
        let permit = ready!(budget::poll_proceed(cx));
        if self.is_empty() {
            permit.spend();
            return Poll::Ready(None);
        }
        if let Some(result) = self.try_join_next_with_id() {
            permit.spend();
            return Poll::Ready(Some(result));
        }
        let first = self.ended.line.borrow().front().copied();
        if let Some(index) = first {
            // Its output is not in place yet. Its handle has the waiter woken when it is.
            let polled = Pin::new(&mut self.handles[index]).poll(cx);
            debug_assert!(polled.is_pending(), "it had nothing to give just now");
            return Poll::Pending;
        }
        if self.wait(cx) {
            waits::note("the end of a task (JoinSet)");
            return Poll::Pending;
        }
        self.poll_join_next_with_id(cx)
    }

    /// Stores who waits. Returns whether there still is nothing to take.
    fn wait(&self, cx: &Context<'_>) -> bool {
        let old = self.ended.waiter.take();
        if old.as_ref().is_some_and(|old| old.will_wake(cx.waker())) {
            self.ended.waiter.set(old);
            return true;
        }
        let new = copy(cx.waker());
        drop(old);
        drop(self.ended.waiter.replace(Some(new)));
        // A foreign waker's clone or drop may have cancelled a task.
        self.ended.line.borrow().is_empty()
    }

    /// Cancels all tasks, the newest first. They stay in the set, to be joined.
    pub fn cancel_all(&mut self) {
        let mut tasks: Vec<_> = self.handles.iter().map(|(_, handle)| handle.control()).collect();
        tasks.sort_unstable_by_key(|task| task.id());
        for task in tasks.into_iter().rev() {
            task.cancel();
        }
    }

    /// Cancels all tasks and waits until they have ended, whose outputs and panics are dropped.
    ///
    /// # Cancel safety
    ///
    /// Partial: all tasks are cancelled at the first poll; which were joined by then is lost.
    pub async fn shutdown(&mut self) {
        self.cancel_all();
        while self.join_next().await.is_some() {}
    }

    /// Takes all tasks out of the set and lets them go on.
    pub fn detach_all(&mut self) {
        // What the guards of these tasks say is no news to anybody any more.
        drop(std::mem::take(&mut self.ended));
        drop(std::mem::take(&mut self.handles));
    }

    /// Waits for all tasks and returns their outputs, in the order in which they ended.
    ///
    /// # Panics
    ///
    /// With what a task panicked with, or if one was cancelled; the others are then cancelled.
    ///
    /// # Cancel safety
    ///
    /// None: dropping it cancels all tasks.
    pub async fn join_all(mut self) -> Vec<T> {
        let mut outputs = Vec::with_capacity(self.len());
        while let Some(result) = self.join_next().await {
            match result.map_err(JoinError::try_into_panic) {
                Ok(output) => outputs.push(output),
                Err(Ok(payload)) => resume_unwind(payload),
                Err(Err(error)) => panic!("{error}"),
            }
        }
        outputs
    }
}

impl<T: 'static> JoinSet<T> {
    /// Spawns a task of the set on the event loop that runs on this thread, as [`spawn`].
    ///
    /// The control returned cancels or pauses this one task. Its output is got by joining.
    ///
    /// # Panics
    ///
    /// If no event loop runs on this thread; [`JoinSet::spawn_on`] works outside a turn too.
    #[track_caller]
    pub fn spawn<F>(&mut self, future: F) -> Control
    where
        F: Future<Output = T> + 'static,
    {
        // Asked first: a guard that is dropped by unwinding would stand in the line for nobody.
        assert!(
            with_current(|shared| shared.is_some()),
            "no event loop runs on this thread; use JoinSet::spawn_on"
        );
        let member = self.member(future);
        self.add(spawn(member))
    }

    /// Spawns a task of the set on the loop of a handle. A loop that is gone, shutting down or full
    /// cancels it at once, which joining tells.
    #[track_caller]
    pub fn spawn_on<F, S: 'static>(&mut self, future: F, handle: Handle<S>) -> Control
    where
        F: Future<Output = T> + 'static,
    {
        self.spawn_with(handle.item(), future)
    }

    /// Spawns a task of the set with a label, or as background; otherwise as [`JoinSet::spawn_on`].
    ///
    /// # Examples
    ///
    /// ```
    /// # use loopline_runtime::{EventLoop, JoinSet};
    /// # let mut event_loop = EventLoop::<()>::new()?;
    /// let handle = event_loop.handle();
    /// let mut set = JoinSet::new();
    /// set.spawn_with(handle.item().label("resolver"), async { 5 });
    /// assert_eq!(event_loop.block_on(set.join_all())?, [5]);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn spawn_with<F, S: 'static>(&mut self, item: ItemBuilder<S>, future: F) -> Control
    where
        F: Future<Output = T> + 'static,
    {
        let member = self.member(future);
        self.add(item.spawn(member))
    }

    #[inline]
    fn member<F>(&self, future: F) -> Member<F> {
        let guard = Guard { ended: self.ended.clone(), index: self.handles.vacant_key() };
        Member { future, guard }
    }

    #[inline]
    fn add(&mut self, handle: JoinHandle<T>) -> Control {
        let control = handle.control();
        // At the key its guard has: nothing but this, which has the set to itself, adds any.
        self.handles.insert(handle);
        control
    }
}

/// Cancels all tasks, the newest first.
impl<T> Drop for JoinSet<T> {
    fn drop(&mut self) {
        self.cancel_all();
    }
}

impl<T> Unpin for JoinSet<T> {}

impl<T> Stream for JoinSet<T> {
    type Item = Result<T, JoinError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_join_next(cx)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.len(), Some(self.len()))
    }
}

impl<T> Default for JoinSet<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> fmt::Debug for JoinSet<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinSet").field("len", &self.len()).finish()
    }
}
