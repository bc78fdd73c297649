//! `spawn_blocking`: work that would stall the loop, on a thread of the loop's pool.
//!
//! Such a job is two things: a closure in the `pool`, and a task here that waits for its outcome. So
//! the handle, cancelling, labels, panics and the order of a shutdown are those of any task.

use std::future::Future;
use std::io;
use std::panic::{AssertUnwindSafe, Location, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use crate::current::{with_current, with_loop};
use crate::insert_error::InsertErrorKind;
use crate::item::{Meta, Payload, drop_payload};
use crate::items::Start;
use crate::join::JoinHandle;
use crate::pool::{Job, Jobs, Pool};
use crate::shared::Shared;
use crate::spawn;
use crate::sync::remote::oneshot::{self, Receiver, Sender};

/// Runs a closure that blocks, or computes for long, on another thread.
///
/// The threads belong to the event loop that runs on this thread, the innermost if they nest. There is
/// none until the first job; a job that finds all of them busy gets a new one, up to
/// [`Builder::blocking_threads`](crate::Builder::blocking_threads), and above that waits in line. Jobs
/// begin in the order in which they were spawned.
///
/// The handle is that of any task: [`run`](crate::EventLoop::run) waits for it, and a panic of the
/// closure goes to it. While a job is out, a paused clock does not jump.
///
/// # Cancelling
///
/// [`JoinHandle::cancel`] takes a job that has not begun out of the line, and drops the closure here,
/// before it returns. A job that has begun cannot be stopped from outside: the handle says cancelled at
/// once, the closure goes on, and its output is dropped on its thread. Give a long one something to
/// look at, such as [`oneshot::Sender::is_closed`](crate::sync::remote::oneshot::Sender::is_closed).
///
/// The same happens to all jobs when the loop is dropped. It waits for none: a thread that is stuck in a
/// call ends with the process at the latest.
///
/// # There is no `block_in_place`
///
/// It would have to give the other items to another thread for a while, and they cannot leave this one.
/// What to do instead: a call that blocks goes into `spawn_blocking`; a computation too, or it stays and
/// awaits [`yield_now`](crate::yield_now) every 10 us or so, as the loop may let
/// [`items_per_check`](crate::Builder::items_per_check) such pieces pass before it looks at its timers;
/// what blocks for as long as the program
/// runs, as reading standard input does, gets a thread of its own and a channel of
/// [`sync::remote`](crate::sync::remote), since here it would keep a place in the pool.
///
/// # Errors
///
/// If the system gives no thread, the job waits for one that is there. If there is none, the handle
/// says that it panicked, with the system's error as text; the closure has been dropped then.
///
/// # Panics
///
/// If no event loop runs on this thread; [`Handle::spawn_blocking`](crate::Handle::spawn_blocking)
/// works outside a turn too.
///
/// # Examples
///
/// ```
/// # loopline_runtime::block_on(async {
/// use loopline_runtime::spawn_blocking;
///
/// let sum = spawn_blocking(|| (1..=1_000_000_u64).sum::<u64>()).await.unwrap();
/// assert_eq!(sum, 500_000_500_000);
/// # });
/// ```
///
/// The closure and its output cross threads, so both are `Send`:
///
/// ```compile_fail,E0277
/// # loopline_runtime::block_on(async {
/// let text = std::rc::Rc::new(String::from("local"));
/// loopline_runtime::spawn_blocking(move || text.len()).await.unwrap();
/// # });
/// ```
///
/// ```
/// # loopline_runtime::block_on(async {
/// let text = std::sync::Arc::new(String::from("shared"));
/// loopline_runtime::spawn_blocking(move || text.len()).await.unwrap();
/// # });
/// ```
#[track_caller]
pub fn spawn_blocking<F, T>(f: F) -> JoinHandle<T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    let meta = Meta::new(Location::caller());
    let inserted = with_current(|shared| shared.map(|shared| insert(Some(shared), f, meta)));
    match inserted {
        Some(inserted) => inserted.unwrap_or_else(refused),
        None => panic!("no event loop runs on this thread; use Handle::spawn_blocking"),
    }
}

/// A job that no loop took, with the future that was to wait for it.
pub(crate) struct Refused<F, W> {
    f: F,
    waiting: W,
    kind: InsertErrorKind,
    meta: Meta,
}

/// Inserts the task, then hands the closure to the pool.
pub(crate) fn insert<F, T>(
    shared: Option<&Shared>,
    f: F,
    meta: Meta,
) -> Result<JoinHandle<T>, Refused<F, Waiting<T>>>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    insert_as(shared, f, meta, |waiting| waiting)
}

/// As `insert`, with the task's future inside of another one.
pub(crate) fn insert_as<F, T, W>(
    shared: Option<&Shared>,
    f: F,
    meta: Meta,
    wrap: impl FnOnce(Waiting<T>) -> W,
) -> Result<JoinHandle<T>, Refused<F, W>>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
    W: Future<Output = T> + 'static,
{
    let (sender, outcome) = oneshot::channel();
    let Some(shared) = shared else {
        // Never polled. No loop has this number.
        let waiting = wrap(Waiting { outcome, number: 0, loop_id: u64::MAX });
        return Err(Refused { f, waiting, kind: InsertErrorKind::LoopGone, meta });
    };
    shared.clock.hold();
    let pool = pool_of(shared);
    let waiting = Waiting { outcome, number: pool.take_number(), loop_id: shared.id };
    let number = waiting.number;
    match spawn::insert(Some(shared), wrap(waiting), meta, Start::Queue) {
        Ok(handle) => {
            pool.submit(number, Box::new(Work { f, outcome: sender }));
            Ok(handle)
        }
        Err((waiting, kind, meta)) => Err(Refused { f, waiting, kind, meta }),
    }
}

/// Returns the loop's pool, made with its first job.
fn pool_of(shared: &Shared) -> &dyn Jobs {
    let (threads, idle) = (shared.config.blocking_threads, shared.config.blocking_idle);
    &**shared.pool.get_or_init(|| Box::new(Pool::new(threads, idle)))
}

/// Makes the handle of a job that no loop took: cancelled from the start.
#[cold]
pub(crate) fn refused<F, W>(refused: Refused<F, W>) -> JoinHandle<W::Output>
where
    F: 'static,
    W: Future + 'static,
{
    let Refused { f, waiting, kind, meta } = refused;
    // Never polled: a future, so that a panic of the closure's destructor goes to the handle.
    let future = async move {
        drop(f);
        waiting.await
    };
    spawn::refused((future, kind, meta))
}

/// The closure, as the pool has it.
struct Work<F, T> {
    f: F,
    outcome: Sender<Result<T, Payload>>,
}

impl<F, T> Job for Work<F, T>
where
    F: FnOnce() -> T + Send,
    T: Send,
{
    fn run(self: Box<Self>) {
        let Self { f, outcome } = *self;
        match outcome.send(catch_unwind(AssertUnwindSafe(f))) {
            // Given back: nobody waits for it any more.
            Err(Ok(output)) => drop(output),
            Err(Err(payload)) => drop_payload(payload),
            Ok(()) => {}
        }
    }

    fn refuse(self: Box<Self>, error: &io::Error) {
        let Self { f, outcome } = *self;
        if let Err(payload) = catch_unwind(AssertUnwindSafe(|| drop(f))) {
            drop_payload(payload);
        }
        let text = format!("no thread could be started for a blocking job: {error}");
        // Given back: its task was cancelled by the closure's destructor.
        let _ = outcome.send(Err(Box::new(text)));
    }
}

/// The task: waits for the outcome, and takes the job back if it is dropped first.
pub(crate) struct Waiting<T> {
    outcome: Receiver<Result<T, Payload>>,
    /// The job's number in the pool.
    number: u64,
    loop_id: u64,
}

impl<T> Future for Waiting<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        match ready!(Pin::new(&mut self.outcome).poll(cx)) {
            Ok(Ok(output)) => Poll::Ready(output),
            Ok(Err(payload)) => resume_unwind(payload),
            Err(_) => unreachable!("a job sends its outcome, whatever it is"),
        }
    }
}

impl<T> Drop for Waiting<T> {
    fn drop(&mut self) {
        let job = with_loop(self.loop_id, |shared| {
            let shared = shared?;
            shared.clock.release();
            // As the end of any hold.
            shared.notify_outside_turn();
            shared.pool.get()?.take_back(self.number)
        });
        // With no lock held: its destructor is user code.
        drop(job);
    }
}
