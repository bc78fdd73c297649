//! `scope` and `try_scope`, and the futures they return.

use std::cell::Cell;
use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use super::{Scope, run};
use crate::straggler::Straggler;

type Boxed<'a, O> = Pin<Box<dyn Future<Output = (O, Vec<Straggler>)> + 'a>>;

/// Runs children that may borrow from this frame, and returns when the closure's future and all of them
/// have ended.
///
/// Should one of them panic, or the closure, the rest is cancelled, newest first, and the panic goes on
/// here. Children are cancelled too when this is dropped. [`try_scope`] also ends early on errors.
///
/// # Cancel safety
///
/// Dropping it cancels all children, newest first; what they had done is done.
///
/// # Examples
///
/// ```
/// # loopline_runtime::block_on(async {
/// use loopline_runtime::{scope, sync::Semaphore};
///
/// let words = vec!["one", "two", "three"]; // borrowed: no Rc, no clone
/// let limit = Semaphore::new(2);
/// let lengths = scope(async |s| {
///     let measured: Vec<_> = words
///         .iter()
///         .map(|word| {
///             let limit = &limit;
///             s.spawn(async move {
///                 let _permit = limit.acquire().await;
///                 word.len()
///             })
///         })
///         .collect();
///     let mut lengths = Vec::new();
///     for length in measured {
///         lengths.push(length.await.unwrap());
///     }
///     lengths
/// })
/// .await;
/// assert_eq!(lengths, [3, 3, 5]);
/// # });
/// ```
pub fn scope<'env, 'a, F, T>(f: F) -> Scoped<'a, T>
where
    F: for<'scope> AsyncFnOnce(&'scope Scope<'scope, 'env, Infallible>) -> T + 'a,
    T: 'a,
    'env: 'a,
{
    let grace = Rc::new(Cell::new(None));
    let limit = grace.clone();
    let future = Box::pin(async move {
        let (Ok(output), stragglers) = run(async move |s| Ok(f(s).await), limit).await;
        (output, stragglers)
    });
    Scoped { future, grace }
}

/// As [`scope`], for work that may fail: the first error, of the closure or of a child spawned by
/// [`Scope::try_spawn`], cancels the rest, newest first, and is returned.
///
/// # Errors
///
/// The first error.
///
/// # Cancel safety
///
/// As [`scope`].
///
/// # Examples
///
/// ```
/// # loopline_runtime::block_on(async {
/// use loopline_runtime::try_scope;
///
/// let all = try_scope(async |s| {
///     for text in ["1", "2", "x", "4"] {
///         s.try_spawn(async move { text.parse::<u32>() });
///     }
///     s.spawn(std::future::pending::<()>()); // cancelled by the error
///     Ok("all were numbers")
/// })
/// .await;
/// assert!(all.is_err());
/// # });
/// ```
pub fn try_scope<'env, 'a, F, T, E>(f: F) -> Scoped<'a, Result<T, E>>
where
    F: for<'scope> AsyncFnOnce(&'scope Scope<'scope, 'env, E>) -> Result<T, E> + 'a,
    T: 'a,
    E: 'env,
    'env: 'a,
{
    let grace = Rc::new(Cell::new(None));
    Scoped { future: Box::pin(run(f, grace.clone())), grace }
}

/// Runs a scope; made by [`scope`] and [`try_scope`].
///
/// # Cancel safety
///
/// As [`scope`].
#[must_use = "a scope does nothing unless it is awaited"]
pub struct Scoped<'a, O> {
    future: Boxed<'a, O>,
    grace: Rc<Cell<Option<Duration>>>,
}

impl<'a, O> Scoped<'a, O> {
    /// Gives the children a limit: when the closure is done, [`Scope::closing`] tells them to come to an end,
    /// and those that have not after `grace` are cancelled, newest first, and named in the output.
    ///
    /// # Examples
    ///
    /// ```
    /// # loopline_runtime::block_on(async {
    /// use loopline_runtime::scope;
    /// use std::time::Duration;
    ///
    /// let ended = scope(async |s| {
    ///     s.spawn(async { s.closing().await });
    ///     s.item().label("stubborn").spawn(std::future::pending::<()>());
    /// })
    /// .grace(Duration::from_millis(5))
    /// .await;
    /// assert_eq!(ended.stragglers.len(), 1);
    /// assert_eq!(ended.stragglers[0].label.as_deref(), Some("stubborn"));
    /// # });
    /// ```
    pub fn grace(self, grace: Duration) -> Graced<'a, O> {
        self.grace.set(Some(grace));
        Graced { future: self.future }
    }
}

impl<O> Future for Scoped<'_, O> {
    type Output = O;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<O> {
        self.future.as_mut().poll(cx).map(|(output, _)| output)
    }
}

/// Runs a scope with a limit on its end; made by [`Scoped::grace`].
///
/// # Cancel safety
///
/// As [`scope`].
#[must_use = "a scope does nothing unless it is awaited"]
pub struct Graced<'a, O> {
    future: Boxed<'a, O>,
}

impl<O> Future for Graced<'_, O> {
    type Output = Graceful<O>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Graceful<O>> {
        let ended = self.future.as_mut().poll(cx);
        ended.map(|(output, stragglers)| Graceful { output, stragglers })
    }
}

/// How a scope with a limit ended.
#[derive(Debug)]
#[non_exhaustive]
pub struct Graceful<O> {
    /// What the closure returned.
    pub output: O,
    /// The children that had to be cancelled, oldest first.
    pub stragglers: Vec<Straggler>,
}

impl<O> fmt::Debug for Scoped<'_, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scoped").finish_non_exhaustive()
    }
}

impl<O> fmt::Debug for Graced<'_, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Graced").finish_non_exhaustive()
    }
}
