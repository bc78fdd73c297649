//! The futures of the adapter: one operation, a repeated one, and a wait without any.

use std::future::Future;
use std::io;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use loopline_runtime::budget;
use loopline_runtime::registration::{Direction, Registration, WaitKey};

use super::{Adapter, Way};
use crate::sys::Pollable;

/// An operation being awaited.
pub(crate) struct Op<'a, T: Pollable, W: Way, F> {
    pub(super) adapter: &'a Adapter<T>,
    pub(super) key: WaitKey,
    pub(super) op: F,
    pub(super) way: PhantomData<W>,
}

/// Nothing in it is pinned: the closure is only called.
impl<T: Pollable, W: Way, F> Unpin for Op<'_, T, W, F> {}

impl<T, W, R, F> Future for Op<'_, T, W, F>
where
    T: Pollable,
    W: Way,
    F: FnMut(&T, &Registration) -> io::Result<R>,
{
    type Output = io::Result<R>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let registration = this.adapter.registration();
        this.adapter
            .poll_io(W::DIRECTION, &mut this.key, cx, |source| (this.op)(source, registration))
    }
}

impl<T: Pollable, W: Way, F> Drop for Op<'_, T, W, F> {
    #[inline]
    fn drop(&mut self) {
        if self.key != WaitKey::new() {
            self.adapter.registration.unwait(W::DIRECTION, &mut self.key);
        }
    }
}

/// An operation being awaited until all of it is done.
pub(crate) struct Repeat<'a, T: Pollable, W: Way, R, F> {
    pub(super) op: Op<'a, T, W, F>,
    /// The result, if there was nothing to do.
    pub(super) done: Option<R>,
}

/// Nothing in it is pinned.
impl<T: Pollable, W: Way, R, F> Unpin for Repeat<'_, T, W, R, F> {}

impl<T, W, R, F> Future for Repeat<'_, T, W, R, F>
where
    T: Pollable,
    W: Way,
    F: FnMut(&T, &Registration) -> io::Result<Option<R>>,
{
    type Output = io::Result<R>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        if let Some(done) = this.done.take() {
            return match poll_nothing(cx) {
                Poll::Ready(()) => Poll::Ready(Ok(done)),
                Poll::Pending => {
                    this.done = Some(done);
                    Poll::Pending
                }
            };
        }
        match ready!(Pin::new(&mut this.op).poll(cx)) {
            Ok(Some(done)) => Poll::Ready(Ok(done)),
            Ok(None) => poll_rest(&mut this.op, cx),
            Err(error) => Poll::Ready(Err(error)),
        }
    }
}

/// Does nothing, which counts as well: a loop of it would never yield.
#[cold]
fn poll_nothing(cx: &mut Context<'_>) -> Poll<()> {
    ready!(budget::poll_proceed(cx)).spend();
    Poll::Ready(())
}

/// Goes on after the first operation, which nearly always was all.
#[cold]
fn poll_rest<R, F>(mut this: &mut F, cx: &mut Context<'_>) -> Poll<io::Result<R>>
where
    F: Future<Output = io::Result<Option<R>>> + Unpin,
{
    loop {
        // The budget bounds this loop.
        match ready!(Pin::new(&mut this).poll(cx)) {
            Ok(None) => {}
            Ok(Some(done)) => return Poll::Ready(Ok(done)),
            Err(error) => return Poll::Ready(Err(error)),
        }
    }
}

/// A wait without an operation.
pub(crate) struct Readied<'a, T: Pollable> {
    pub(super) adapter: &'a Adapter<T>,
    pub(super) direction: Direction,
    pub(super) key: WaitKey,
}

impl<T: Pollable> Future for Readied<'_, T> {
    type Output = io::Result<()>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        this.adapter.poll_ready(this.direction, &mut this.key, cx)
    }
}

impl<T: Pollable> Drop for Readied<'_, T> {
    fn drop(&mut self) {
        self.adapter.registration.unwait(self.direction, &mut self.key);
    }
}
