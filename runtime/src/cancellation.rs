//! `CancellationToken`: asks any number of tasks to stop, in groups inside groups.
//!
//! Whoever holds a token decides when to look at it, unlike an item that is cancelled by its handle and
//! just ends.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use self::tree::Node;
use crate::waiters::Key;

mod guard;
mod tree;

pub use self::guard::{DropGuard, DropGuardRef};

/// Tells tasks that they are to stop. Clones are the same token.
///
/// A [`child_token`](Self::child_token) is cancelled with its parent, not the other way round. Who waits
/// is woken parents before children, elder children before younger ones, and first in, first out at one
/// token; by then all of them are cancelled. A token costs nothing once its last clone is dropped; its
/// children then belong to its parent.
///
/// # Examples
///
/// ```
/// # loopline_runtime::block_on(async {
/// use loopline_runtime::{CancellationToken, time::sleep};
/// use std::time::Duration;
///
/// let shutdown = CancellationToken::new();
/// let connection = shutdown.child_token();
/// let task = loopline_runtime::spawn(async move {
///     let served = async { sleep(Duration::from_secs(3600)).await };
///     connection.run_until_cancelled(served).await
/// });
/// loopline_runtime::yield_now().await;
/// shutdown.cancel();
/// assert_eq!(task.await.unwrap(), None);
/// # });
/// ```
///
/// It stays on its thread:
///
/// ```compile_fail,E0277
/// let token = loopline_runtime::CancellationToken::new();
/// std::thread::spawn(move || token.cancel());
/// ```
///
/// ```
/// # loopline_runtime::block_on(async {
/// let token = loopline_runtime::CancellationToken::new();
/// loopline_runtime::spawn(async move { token.cancel() });
/// # });
/// ```
#[derive(Clone)]
pub struct CancellationToken {
    node: Rc<Node>,
}

/// No panic leaves a token half cancelled.
impl UnwindSafe for CancellationToken {}
impl RefUnwindSafe for CancellationToken {}

impl CancellationToken {
    /// Makes a token that is not cancelled.
    #[must_use]
    pub fn new() -> Self {
        Self { node: Node::root() }
    }

    /// Makes a token that is cancelled when this one is; at once, if this one is already.
    #[must_use]
    pub fn child_token(&self) -> Self {
        Self { node: self.node.child() }
    }

    /// Cancels this token and all children of it, and wakes who waits for that. Does nothing the second
    /// time.
    pub fn cancel(&self) {
        self.node.cancel();
    }

    /// Whether the token is cancelled.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.node.is_cancelled()
    }

    /// Waits until the token is cancelled.
    ///
    /// # Cancel safety
    ///
    /// Strict.
    pub fn cancelled(&self) -> WaitForCancellationFuture<'_> {
        WaitForCancellationFuture { token: self, key: None }
    }

    /// As [`CancellationToken::cancelled`], with a future that borrows nothing.
    ///
    /// # Cancel safety
    ///
    /// Strict.
    pub fn cancelled_owned(self) -> WaitForCancellationFutureOwned {
        WaitForCancellationFutureOwned { token: self, key: None }
    }

    /// Makes a guard that cancels the token when it is dropped.
    pub fn drop_guard(self) -> DropGuard {
        DropGuard::new(self)
    }

    /// As [`CancellationToken::drop_guard`], with a guard that borrows the token.
    pub fn drop_guard_ref(&self) -> DropGuardRef<'_> {
        DropGuardRef::new(self)
    }

    /// Runs a future until the token is cancelled; then drops it and gives `None`. It is not polled any
    /// more once the token is cancelled.
    ///
    /// # Cancel safety
    ///
    /// That of the future.
    pub fn run_until_cancelled<F: Future>(
        &self,
        fut: F,
    ) -> impl Future<Output = Option<F::Output>> + use<'_, F> {
        RunUntilCancelled { cancelled: self.cancelled(), future: fut }
    }

    /// As [`CancellationToken::run_until_cancelled`], with a future that does not borrow the token.
    ///
    /// # Cancel safety
    ///
    /// That of the future.
    pub fn run_until_cancelled_owned<F: Future>(
        self,
        fut: F,
    ) -> impl Future<Output = Option<F::Output>> + use<F> {
        RunUntilCancelled { cancelled: self.cancelled_owned(), future: fut }
    }

    fn poll_cancelled(&self, key: &mut Option<Key>, cx: &mut Context<'_>) -> Poll<()> {
        let cancelled = || self.is_cancelled().then_some(());
        self.node.waits.poll_until(key, cx, "a cancellation (CancellationToken)", cancelled)
    }
}

impl Default for CancellationToken {
    fn default() -> Self {
        Self::new()
    }
}

impl PartialEq for CancellationToken {
    /// Whether one is a clone of the other.
    fn eq(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.node, &other.node)
    }
}

impl Eq for CancellationToken {}

impl Hash for CancellationToken {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Rc::as_ptr(&self.node).hash(state);
    }
}

impl fmt::Debug for CancellationToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CancellationToken").field("is_cancelled", &self.is_cancelled()).finish()
    }
}

/// Waits for a token to be cancelled; see [`CancellationToken::cancelled`].
#[derive(Debug)]
#[must_use = "futures do nothing unless awaited"]
pub struct WaitForCancellationFuture<'a> {
    token: &'a CancellationToken,
    key: Option<Key>,
}

/// Waits for a token to be cancelled; see [`CancellationToken::cancelled_owned`].
#[derive(Debug)]
#[must_use = "futures do nothing unless awaited"]
pub struct WaitForCancellationFutureOwned {
    token: CancellationToken,
    key: Option<Key>,
}

macro_rules! wait {
    ($($wait:ty),*) => {$(
        impl Future for $wait {
            type Output = ();

            fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
                let this = &mut *self;
                this.token.poll_cancelled(&mut this.key, cx)
            }
        }

        impl Drop for $wait {
            fn drop(&mut self) {
                self.token.node.waits.leave(&mut self.key);
            }
        }
    )*};
}

wait!(WaitForCancellationFuture<'_>, WaitForCancellationFutureOwned);

pin_project! {
    /// A future that ends early if `cancelled` does first.
    #[must_use = "futures do nothing unless awaited"]
    struct RunUntilCancelled<C, F> {
        cancelled: C,
        #[pin]
        future: F,
    }
}

impl<C: Future<Output = ()> + Unpin, F: Future> Future for RunUntilCancelled<C, F> {
    type Output = Option<F::Output>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if Pin::new(this.cancelled).poll(cx).is_ready() {
            return Poll::Ready(None);
        }
        this.future.poll(cx).map(Some)
    }
}
