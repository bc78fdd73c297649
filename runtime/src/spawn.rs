//! Spawning: into a loop if there is one, else a handle that is cancelled from the start.

use std::future::Future;
use std::panic::Location;

use crate::current::with_current;
use crate::insert_error::InsertErrorKind;
use crate::item::{Item, ItemCell, Meta, TaskId};
use crate::items::Start;
use crate::join::JoinHandle;
use crate::run_queue::{NONE, Place};
use crate::shared::Shared;
use crate::task::{self, Task};

/// Inserts into the loop if there is one.
#[inline]
pub(crate) fn insert<F: Future + 'static>(
    shared: Option<&Shared>,
    future: F,
    meta: Meta,
    start: Start,
) -> Result<JoinHandle<F::Output>, (F, InsertErrorKind, Meta)> {
    let Some(shared) = shared else {
        return Err((future, InsertErrorKind::LoopGone, meta));
    };
    let task = shared.insert(future, meta, start)?;
    Ok(JoinHandle::new(task::joinable(task)))
}

/// Inserts into a slot of the loop that was just taken.
#[inline]
pub(crate) fn insert_into<F: Future + 'static>(
    shared: &Shared,
    place: Place<'_, ItemCell>,
    future: F,
    meta: Meta,
    start: Start,
) -> JoinHandle<F::Output> {
    JoinHandle::new(task::joinable(shared.insert_into(place, future, meta, start)))
}

/// Spawns a task on the event loop that runs on this thread, the innermost if they nest.
///
/// # Panics
///
/// If no event loop runs on this thread; [`Handle::spawn`](crate::Handle::spawn) works outside a turn too.
///
/// # Examples
///
/// ```
/// # loopline_runtime::block_on(async {
/// use std::{cell::Cell, rc::Rc};
///
/// let count = Rc::new(Cell::new(0)); // no Send, no Arc
/// let tasks: Vec<_> = (0..3)
///     .map(|n| {
///         let count = count.clone();
///         loopline_runtime::spawn(async move { count.set(count.get() + n) })
///     })
///     .collect();
/// for task in tasks {
///     task.await.unwrap();
/// }
/// assert_eq!(count.get(), 3);
/// # });
/// ```
#[track_caller]
#[inline]
pub fn spawn<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future + 'static,
{
    let meta = Meta::new(Location::caller());
    let inserted = with_current(|shared| {
        shared.map(|shared| insert(Some(shared), future, meta, Start::Queue))
    });
    match inserted {
        Some(inserted) => inserted.unwrap_or_else(refused),
        None => panic!("no event loop runs on this thread; use Handle::spawn"),
    }
}

/// Spawns a background task on the event loop that runs on this thread, the innermost if they nest: for
/// sources that have something left to do when they are dropped. `run` ends without it.
///
/// # Errors
///
/// Gives the future back if no event loop runs on this thread, or if it is shutting down or full.
#[track_caller]
pub fn try_spawn_background<F>(future: F) -> Result<JoinHandle<F::Output>, F>
where
    F: Future + 'static,
{
    let meta =
        Meta { label: None, place: Location::caller(), background: true, child: false, lane: 0 };
    with_current(|shared| insert(shared, future, meta, Start::Queue))
        .map_err(|(future, _, _)| future)
}

/// Makes the handle of a task that no loop took: cancelled from the start.
#[cold]
pub(crate) fn refused<F: Future + 'static>(
    (future, _, meta): (F, InsertErrorKind, Meta),
) -> JoinHandle<F::Output> {
    let task = Task::new(future, TaskId(0), NONE, 0, meta);
    // A panic of the future's destructor goes to the handle.
    task.cancel();
    JoinHandle::new(task::joinable(task))
}
