//! Scopes: children that may borrow from the frame around them, and end before it does.
//!
//! A child's future is kept by the scope and polled only by the scope's own poll, so its borrows are as
//! safe as those of any future inside another. What the loop has of a child is a [`Proxy`]: an item with
//! the child's label and waker, which when woken tells the scope whom to poll, and which borrows nothing.
//! So a scope that is forgotten leaves proxies that nobody listens to, and children nobody polls.
//!
//! Invariant (Emptied): the children are dropped by whoever ends the scope's future, at the latest by
//! `Emptied`. The scope itself has no destructor for them: children may hold references to it.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::{Future, poll_fn};
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::panic::{Location, resume_unwind};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use self::calls::Calls;
pub use self::child::Child;
use self::child::Failure;
use self::children::{Children, Emptied, drop_caught};
pub use self::future::{Graced, Graceful, Scoped, scope, try_scope};
pub use self::spawn::ChildBuilder;
use crate::closing::Closing;
use crate::closing_wait::ClosingWait;
use crate::sleep::{Sleep, sleep};
use crate::straggler::Straggler;
use crate::waiters::wake;
use crate::waits;

mod calls;
mod child;
mod children;
mod future;
mod spawn;

/// The place where children are spawned; lent to the closure of [`scope`] or [`try_scope`].
///
/// A reference to it may be given to children, which then spawn siblings, and to nobody else:
///
/// ```compile_fail
/// # loopline_runtime::block_on(async {
/// let mut escaped = None;
/// loopline_runtime::scope(async |s| {
///     escaped = Some(s);
/// })
/// .await;
/// # });
/// ```
///
/// ```
/// # loopline_runtime::block_on(async {
/// let mut count = 0;
/// loopline_runtime::scope(async |s| {
///     s.spawn(async {
///         s.spawn(async { count += 1 });
///     });
/// })
/// .await;
/// assert_eq!(count, 1);
/// # });
/// ```
///
/// Children may borrow what lives longer than the scope, which the closure's own variables do not:
///
/// ```compile_fail,E0373
/// # loopline_runtime::block_on(async {
/// loopline_runtime::scope(async |s| {
///     let count = std::cell::Cell::new(0);
///     s.spawn(async { count.set(1) });
/// })
/// .await;
/// # });
/// ```
///
/// ```
/// # loopline_runtime::block_on(async {
/// let count = std::cell::Cell::new(0);
/// loopline_runtime::scope(async |s| {
///     s.spawn(async { count.set(1) });
/// })
/// .await;
/// # });
/// ```
///
/// A scope and its children stay on their thread:
///
/// ```compile_fail,E0277
/// # loopline_runtime::block_on(async {
/// loopline_runtime::scope(async |s| {
///     std::thread::scope(|threads| {
///         threads.spawn(|| s.close());
///     });
/// })
/// .await;
/// # });
/// ```
///
/// ```compile_fail,E0277
/// # loopline_runtime::block_on(async {
/// loopline_runtime::scope(async |s| {
///     let child = s.spawn(async {});
///     std::thread::scope(|threads| {
///         threads.spawn(|| child.is_finished());
///     });
/// })
/// .await;
/// # });
/// ```
///
/// ```compile_fail,E0277
/// # loopline_runtime::block_on(async {
/// let scoped = loopline_runtime::scope(async |_| ());
/// std::thread::spawn(move || drop(scoped));
/// # });
/// ```
///
/// ```
/// # loopline_runtime::block_on(async {
/// let scoped = loopline_runtime::scope(async |s| {
///     let child = s.spawn(async {});
///     s.close();
///     assert!(!child.is_finished());
/// });
/// loopline_runtime::spawn(async move { drop(scoped) });
/// # });
/// ```
pub struct Scope<'scope, 'env: 'scope, E: 'env> {
    children: ManuallyDrop<RefCell<Children<'scope, E>>>,
    calls: Rc<Calls>,
    closing: Closing,
    /// Why it ends early, once it does.
    failure: Cell<Option<Failure<E>>>,
    failed: Cell<bool>,
    /// Set when no child may be added any more.
    ended: Cell<bool>,
    /// How many destructors of cancelled children run inside each other now.
    depth: Cell<u32>,
    /// Both invariant, as std's scoped threads have them.
    _scope: PhantomData<&'scope mut &'scope ()>,
    _env: PhantomData<&'env mut &'env ()>,
}

impl<'scope, 'env, E: 'env> Scope<'scope, 'env, E> {
    fn new() -> Self {
        Self {
            children: ManuallyDrop::new(RefCell::new(Children::new())),
            calls: Rc::new(Calls::new()),
            closing: Closing::new(),
            failure: Cell::new(None),
            failed: Cell::new(false),
            ended: Cell::new(false),
            depth: Cell::new(0),
            _scope: PhantomData,
            _env: PhantomData,
        }
    }

    /// Spawns a child, which may borrow what the scope's frame holds. It first runs in the next round.
    ///
    /// It has its own waker and budget, and the lane of the task around it; its panic ends the scope. Once the
    /// scope or the event loop is ending, the future is dropped and the child says cancelled.
    ///
    /// # Panics
    ///
    /// If no event loop runs on this thread.
    #[track_caller]
    pub fn spawn<F>(&'scope self, future: F) -> Child<'scope, 'env, F::Output, E>
    where
        F: Future + 'scope,
    {
        self.item().spawn(future)
    }

    /// Spawns a child whose error ends the scope: all others are cancelled, newest first, and [`try_scope`]
    /// returns it.
    ///
    /// # Panics
    ///
    /// If no event loop runs on this thread.
    #[track_caller]
    pub fn try_spawn<F, T>(&'scope self, future: F) -> Child<'scope, 'env, T, E>
    where
        F: Future<Output = Result<T, E>> + 'scope,
        T: 'scope,
    {
        self.item().try_spawn(future)
    }

    /// Starts a child with a label.
    #[track_caller]
    pub fn item(&'scope self) -> ChildBuilder<'scope, 'env, E> {
        ChildBuilder::new(self, Location::caller())
    }

    /// Asks the children to come to an end: [`Scope::closing`] is ready from now on.
    pub fn close(&self) {
        self.closing.ask(wake);
    }

    /// Waits until the scope is to come to an end: by [`Scope::close`], by [`Scoped::grace`] once the closure
    /// is done, or by [`Handle::shutdown`](crate::Handle::shutdown). Ready at once after that.
    ///
    /// # Cancel safety
    ///
    /// Strict.
    pub fn closing(&self) -> impl Future<Output = ()> + use<'_, E> {
        ClosingWait::new(Some(&self.closing))
    }

    /// Whether the scope was asked to come to an end.
    #[must_use]
    pub fn is_closing(&self) -> bool {
        self.closing.is_asked() || ClosingWait::is_loop_closing()
    }

    /// Returns how many children live.
    #[must_use]
    pub fn len(&self) -> usize {
        self.children.borrow().entries.len()
    }

    /// Whether no child lives.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<E> fmt::Debug for Scope<'_, '_, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scope")
            .field("children", &self.len())
            .field("closing", &self.is_closing())
            .finish()
    }
}

/// Runs the closure's future and all children to their end.
async fn run<'env, F, T, E>(
    f: F,
    grace: Rc<Cell<Option<Duration>>>,
) -> (Result<T, E>, Vec<Straggler>)
where
    F: for<'scope> AsyncFnOnce(&'scope Scope<'scope, 'env, E>) -> Result<T, E>,
    E: 'env,
{
    let scope = Scope::new();
    // A function that is no async closure may spawn and panic before there is a future.
    let emptied = Emptied(&scope);
    let mut body = pin!(Some(f(&scope)));
    // Dropped before the body, and that before the scope: children first, newest first.
    let emptied = emptied;
    let mut output = None;
    let mut limit: Option<Sleep> = None;
    let stragglers = poll_fn(|cx| {
        // Those spawned in this poll run in the next one, which is the next round's.
        scope.poll_children(scope.calls.len());
        if let Some(future) = body.as_mut().as_pin_mut().filter(|_| !scope.failed.get()) {
            if let Poll::Ready(result) = future.poll(cx) {
                body.set(None);
                match result {
                    Ok(value) => output = Some(value),
                    Err(error) => scope.fail(Failure::Error(error)),
                }
                limit = grace.get().map(|grace| {
                    scope.close();
                    sleep(grace)
                });
            }
        }
        if scope.failed.get() || output.is_some() && scope.is_empty() {
            return Poll::Ready(Vec::new());
        }
        scope.calls.wait(cx);
        if output.is_some() {
            waits::note("its children to end (scope)");
        }
        match limit.as_mut().map(|limit| Pin::new(limit).poll(cx)) {
            Some(Poll::Ready(())) => Poll::Ready(scope.stragglers()),
            _ => Poll::Pending,
        }
    })
    .await;
    drop(emptied);
    // The first failure counts: none of these destructors may get in its way.
    drop_caught("the future of a scope's closure", Dropped(body));
    match (scope.failure.take(), output) {
        (None, Some(value)) => (Ok(value), stragglers),
        (None, None) => unreachable!("a scope ends with a failure or after its closure"),
        (Some(failure), output) => {
            drop_caught("the output of a scope's closure", output);
            match failure {
                Failure::Panic(payload) => resume_unwind(payload),
                Failure::Error(error) => (Err(error), stragglers),
            }
        }
    }
}

/// Drops what is pinned, in its place.
struct Dropped<'a, T>(Pin<&'a mut Option<T>>);

impl<T> Drop for Dropped<'_, T> {
    fn drop(&mut self) {
        self.0.set(None);
    }
}
