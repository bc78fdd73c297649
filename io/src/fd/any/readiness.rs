//! `Async`: the waits for readiness, which return guards.

use std::io;
use std::os::fd::AsFd;
use std::task::{Context, Poll, ready};

use super::super::guard::{AsyncReadyGuard, AsyncReadyMutGuard};
use super::{Async, Waiting};
use crate::adapter::watch::Keys;
use crate::interest::Interest;

impl<T: AsFd> Async<T> {
    /// Waits until a read is worth trying.
    ///
    /// # Errors
    ///
    /// If the descriptor cannot be registered, is with another loop, or its loop is gone.
    ///
    /// # Cancel safety
    ///
    /// Strict.
    pub async fn readable(&self) -> io::Result<AsyncReadyGuard<'_, T>> {
        self.ready(Interest::READABLE).await
    }

    /// Waits until a write is worth trying.
    ///
    /// # Errors
    ///
    /// As [`Async::readable`].
    ///
    /// # Cancel safety
    ///
    /// Strict.
    pub async fn writable(&self) -> io::Result<AsyncReadyGuard<'_, T>> {
        self.ready(Interest::WRITABLE).await
    }

    /// Waits until priority data is there, such as TCP's urgent byte, or none will come.
    ///
    /// # Errors
    ///
    /// As [`Async::readable`].
    ///
    /// # Cancel safety
    ///
    /// Strict.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    pub async fn priority(&self) -> io::Result<AsyncReadyGuard<'_, T>> {
        self.ready(Interest::PRIORITY).await
    }

    /// Waits until any of this is ready; the guard says what.
    ///
    /// # Errors
    ///
    /// As [`Async::readable`]; and if it is not what this was made for.
    ///
    /// # Cancel safety
    ///
    /// Strict.
    pub async fn ready(&self, interest: Interest) -> io::Result<AsyncReadyGuard<'_, T>> {
        let told = Waiting::new(self, interest).await?;
        Ok(AsyncReadyGuard::new(self, told))
    }

    /// As [`Async::readable`], with a guard that lends the descriptor to be changed.
    ///
    /// # Errors
    ///
    /// As [`Async::readable`].
    ///
    /// # Cancel safety
    ///
    /// Strict.
    pub async fn readable_mut(&mut self) -> io::Result<AsyncReadyMutGuard<'_, T>> {
        self.ready_mut(Interest::READABLE).await
    }

    /// As [`Async::writable`], with a guard that lends the descriptor to be changed.
    ///
    /// # Errors
    ///
    /// As [`Async::readable`].
    ///
    /// # Cancel safety
    ///
    /// Strict.
    pub async fn writable_mut(&mut self) -> io::Result<AsyncReadyMutGuard<'_, T>> {
        self.ready_mut(Interest::WRITABLE).await
    }

    /// As [`Async::ready`], with a guard that lends the descriptor to be changed.
    ///
    /// # Errors
    ///
    /// As [`Async::ready`].
    ///
    /// # Cancel safety
    ///
    /// Strict.
    pub async fn ready_mut(&mut self, interest: Interest) -> io::Result<AsyncReadyMutGuard<'_, T>> {
        let told = Waiting::new(self, interest).await?;
        Ok(AsyncReadyMutGuard::new(self, told))
    }

    /// Polls [`Async::readable`]. Of those who poll, the last one is woken.
    ///
    /// # Errors
    ///
    /// As [`Async::readable`].
    pub fn poll_read_ready(
        &self,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<AsyncReadyGuard<'_, T>>> {
        let told = ready!(self.poll_told(Interest::READABLE, &mut Keys::last_poller(), cx))?;
        Poll::Ready(Ok(AsyncReadyGuard::new(self, told)))
    }

    /// As [`Async::poll_read_ready`], with a guard that lends the descriptor to be changed.
    ///
    /// # Errors
    ///
    /// As [`Async::readable`].
    pub fn poll_read_ready_mut(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<AsyncReadyMutGuard<'_, T>>> {
        let told = ready!(self.poll_told(Interest::READABLE, &mut Keys::last_poller(), cx))?;
        Poll::Ready(Ok(AsyncReadyMutGuard::new(self, told)))
    }

    /// Polls [`Async::writable`]. Of those who poll, the last one is woken.
    ///
    /// # Errors
    ///
    /// As [`Async::readable`].
    pub fn poll_write_ready(
        &self,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<AsyncReadyGuard<'_, T>>> {
        let told = ready!(self.poll_told(Interest::WRITABLE, &mut Keys::last_poller(), cx))?;
        Poll::Ready(Ok(AsyncReadyGuard::new(self, told)))
    }

    /// As [`Async::poll_write_ready`], with a guard that lends the descriptor to be changed.
    ///
    /// # Errors
    ///
    /// As [`Async::readable`].
    pub fn poll_write_ready_mut(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<AsyncReadyMutGuard<'_, T>>> {
        let told = ready!(self.poll_told(Interest::WRITABLE, &mut Keys::last_poller(), cx))?;
        Poll::Ready(Ok(AsyncReadyMutGuard::new(self, told)))
    }
}
