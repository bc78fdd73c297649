//! `Async`: operations that are tried once, or awaited.

use std::future::poll_fn;
use std::io;
use std::ops::Deref;
use std::os::fd::AsFd;
use std::task::{Context, Poll, ready};

use loopline_runtime::budget::{self, Permit};
use loopline_runtime::registration::Direction;

use super::{Async, Waiting, not_asked};
use crate::adapter::watch::Keys;
use crate::interest::{Interest, Ready};
use crate::sys::loop_runs_here;

impl<T: AsFd> Async<T> {
    /// Tries an operation that must not block, without waiting. It is not called if the system did not
    /// say that the descriptor is ready. That it would block is remembered in all directions asked for,
    /// until their next event: ask for those that the operation is in.
    ///
    /// # Errors
    ///
    /// What the operation returns; `WouldBlock`: wait for it.
    pub fn try_io<R>(
        &self,
        interest: Interest,
        op: impl FnOnce(&T) -> io::Result<R>,
    ) -> io::Result<R> {
        self.expect_ready(interest)?;
        let result = op(self.get_ref());
        self.note(interest, &result);
        result
    }

    /// As [`Async::try_io`], with a descriptor that the operation may change.
    ///
    /// # Errors
    ///
    /// As [`Async::try_io`].
    pub fn try_io_mut<R>(
        &mut self,
        interest: Interest,
        op: impl FnOnce(&mut T) -> io::Result<R>,
    ) -> io::Result<R> {
        self.expect_ready(interest)?;
        let result = op(self.get_mut());
        self.note(interest, &result);
        result
    }

    fn expect_ready(&self, interest: Interest) -> io::Result<()> {
        if self.interest.is_some_and(|asked| !asked.holds(interest)) {
            return Err(not_asked());
        }
        let registration = self.registration();
        let unknown = |direction: Direction| !registration.is_watched(direction);
        let tries = !self.remembers()
            || interest.directions().any(unknown)
            || !Ready::of(registration, interest).is_empty();
        if tries { Ok(()) } else { Err(io::ErrorKind::WouldBlock.into()) }
    }

    fn note<R>(&self, interest: Interest, result: &io::Result<R>) {
        if matches!(result, Err(error) if error.kind() == io::ErrorKind::WouldBlock) {
            self.clear(interest);
            if loop_runs_here() {
                // From now on it is known. A failure is told to who waits.
                let _ = self.begin(interest);
            }
        }
    }

    /// Reads by an operation, and waits each time it would block.
    ///
    /// # Errors
    ///
    /// What the operation returns; or as [`Async::readable`].
    ///
    /// # Cancel safety
    ///
    /// Strict: between waits the operation was not called, or would have blocked.
    pub async fn read_with<R>(&self, op: impl FnMut(&T) -> io::Result<R>) -> io::Result<R> {
        self.async_io(Interest::READABLE, op).await
    }

    /// As [`Async::read_with`], with a descriptor that the operation may change.
    ///
    /// # Errors
    ///
    /// As [`Async::read_with`].
    ///
    /// # Cancel safety
    ///
    /// Strict.
    pub async fn read_with_mut<R>(
        &mut self,
        op: impl FnMut(&mut T) -> io::Result<R>,
    ) -> io::Result<R> {
        self.async_io_mut(Interest::READABLE, op).await
    }

    /// Writes by an operation, and waits each time it would block.
    ///
    /// # Errors
    ///
    /// What the operation returns; or as [`Async::writable`].
    ///
    /// # Cancel safety
    ///
    /// Strict.
    pub async fn write_with<R>(&self, op: impl FnMut(&T) -> io::Result<R>) -> io::Result<R> {
        self.async_io(Interest::WRITABLE, op).await
    }

    /// As [`Async::write_with`], with a descriptor that the operation may change.
    ///
    /// # Errors
    ///
    /// As [`Async::write_with`].
    ///
    /// # Cancel safety
    ///
    /// Strict.
    pub async fn write_with_mut<R>(
        &mut self,
        op: impl FnMut(&mut T) -> io::Result<R>,
    ) -> io::Result<R> {
        self.async_io_mut(Interest::WRITABLE, op).await
    }

    /// Does an operation, and waits each time it would block.
    ///
    /// # Errors
    ///
    /// What the operation returns; or as [`Async::ready`].
    ///
    /// # Cancel safety
    ///
    /// Strict.
    pub async fn async_io<R>(
        &self,
        interest: Interest,
        mut op: impl FnMut(&T) -> io::Result<R>,
    ) -> io::Result<R> {
        operate(self, interest, |this| op(this.get_ref())).await
    }

    /// As [`Async::async_io`], with a descriptor that the operation may change.
    ///
    /// # Errors
    ///
    /// As [`Async::async_io`].
    ///
    /// # Cancel safety
    ///
    /// Strict.
    pub async fn async_io_mut<R>(
        &mut self,
        interest: Interest,
        mut op: impl FnMut(&mut T) -> io::Result<R>,
    ) -> io::Result<R> {
        operate(self, interest, |this| op(this.get_mut())).await
    }

    /// Polls a flush, which is tried before it is waited for: nearly always there is nothing to flush.
    pub(in crate::fd) fn poll_flushed<S: Deref<Target = Self>>(
        mut this: S,
        cx: &mut Context<'_>,
        mut op: impl FnMut(&mut S) -> io::Result<()>,
    ) -> Poll<io::Result<()>> {
        let result = op(&mut this);
        match this.take_result(Interest::WRITABLE, result) {
            Some(result) => Poll::Ready(result),
            None => Self::poll_with(this, Interest::WRITABLE, cx, op),
        }
    }

    /// Polls an operation.
    pub(in crate::fd) fn poll_with<S: Deref<Target = Self>, R>(
        mut this: S,
        interest: Interest,
        cx: &mut Context<'_>,
        mut op: impl FnMut(&mut S) -> io::Result<R>,
    ) -> Poll<io::Result<R>> {
        let mut known = this.remembers();
        loop {
            if known {
                ready!(this.poll_told(interest, &mut Keys::last_poller(), cx))?;
            } else {
                ready!(budget::poll_proceed(cx)).spend();
            }
            let result = op(&mut this);
            if let Some(result) = this.take_result(interest, result) {
                return Poll::Ready(result);
            }
            known = true;
        }
    }

    /// Sorts out the results that are none: it would block, or was interrupted by a signal.
    fn take_result<R>(&self, interest: Interest, result: io::Result<R>) -> Option<io::Result<R>> {
        match result {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.clear(interest),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return Some(result),
        }
        None
    }
}

/// Does an operation of a descriptor that is lent as it was.
async fn operate<S: Deref<Target = Async<T>>, T: AsFd, R>(
    mut this: S,
    interest: Interest,
    mut op: impl FnMut(&mut S) -> io::Result<R>,
) -> io::Result<R> {
    // Where readiness is not remembered, what is left from before can only be found by trying.
    let mut known = this.remembers();
    loop {
        if known {
            Waiting::new(&this, interest).await?;
        } else {
            poll_fn(|cx| budget::poll_proceed(cx).map(Permit::spend)).await;
        }
        let result = op(&mut this);
        if let Some(result) = this.take_result(interest, result) {
            return result;
        }
        known = true;
    }
}
