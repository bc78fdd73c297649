//! hyper 1.x on the loop: its traits for our streams, spawning without `Send`, and time.
//!
//! Servers and clients of HTTP/1 and HTTP/2 need nothing else: a [`TcpStream`] goes to hyper as it is,
//! [`LoopExecutor`] where HTTP/2 asks for one, [`LoopTimer`] where a limit in time is wanted. Services and
//! bodies need not be `Send`. The [guide to bridges](https://docs.rs/loopline/latest/loopline/bridges)
//! has whole programs.
//!
//! ```
//! use loopline_io::hyper_rt::{LoopExecutor, LoopTimer};
//! use loopline_io::net::TcpStream;
//!
//! fn fits<S, E, T>()
//! where
//!     S: hyper::rt::Read + hyper::rt::Write + Unpin,
//!     E: hyper::rt::Executor<std::future::Ready<std::rc::Rc<()>>>,
//!     T: hyper::rt::Timer + Send + Sync,
//! {
//! }
//! fits::<TcpStream, LoopExecutor, LoopTimer>();
//! fits::<&TcpStream, LoopExecutor, LoopTimer>();
//! ```

use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures_io::{AsyncRead, AsyncWrite};
use hyper::rt::{Executor, Read, ReadBufCursor, Sleep, Timer, Write};
use loopline_runtime::time::{self, SendSleep};

use crate::here::Here;
use crate::net::TcpStream;
use crate::scratch;

pin_project_lite::pin_project! {
    /// Any stream with the traits of futures-io, such as one of TLS, as hyper wants it.
    ///
    /// Our own streams need it not.
    ///
    /// ```
    /// use hyper::rt::{Read, Write};
    /// use loopline_io::hyper_rt::Io;
    /// use loopline_io::net::TcpStream;
    ///
    /// fn serve(stream: impl Read + Write) {}
    ///
    /// fn serve_tls(tls: impl futures_io::AsyncRead + futures_io::AsyncWrite) {
    ///     serve(Io::new(tls));
    /// }
    /// ```
    #[derive(Clone, Copy, Debug, Default)]
    pub struct Io<T> {
        #[pin]
        inner: T,
    }
}

impl<T> Io<T> {
    /// Wraps a stream.
    pub const fn new(inner: T) -> Self {
        Self { inner }
    }

    /// Returns the stream.
    pub const fn get_ref(&self) -> &T {
        &self.inner
    }

    /// Returns the stream, to be changed.
    pub const fn get_mut(&mut self) -> &mut T {
        &mut self.inner
    }

    /// Unwraps the stream.
    pub fn into_inner(self) -> T {
        self.inner
    }
}

/// Gives a type hyper's traits by those of futures-io, from a pinned reference to what has them.
macro_rules! hyper_io {
    ($($stream:ty),+) => {$(
        hyper_io!(impl [] for $stream: |stream| Pin::new(&mut &*stream));
        hyper_io!(impl [] for &$stream: |stream| stream);
    )+};
    (impl [$($bound:tt)*] for $for:ty: |$stream:ident| $inner:expr) => {
        impl<$($bound)*> Read for $for {
            #[inline]
            fn poll_read(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                mut buf: ReadBufCursor<'_>,
            ) -> Poll<io::Result<()>> {
                let $stream = self;
                let wanted = buf.remaining();
                scratch::poll_read($inner, cx, wanted, |read| buf.put_slice(read))
            }
        }

        impl<$($bound)*> Write for $for {
            #[inline]
            fn poll_write(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buf: &[u8],
            ) -> Poll<io::Result<usize>> {
                let $stream = self;
                futures_io::AsyncWrite::poll_write($inner, cx, buf)
            }

            #[inline]
            fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                let $stream = self;
                futures_io::AsyncWrite::poll_flush($inner, cx)
            }

            fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                let $stream = self;
                scratch::poll_close($inner, cx)
            }

            fn is_write_vectored(&self) -> bool {
                true
            }

            #[inline]
            fn poll_write_vectored(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                bufs: &[IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                let $stream = self;
                futures_io::AsyncWrite::poll_write_vectored($inner, cx, bufs)
            }
        }
    };
}

hyper_io!(TcpStream);
#[cfg(unix)]
hyper_io!(crate::net::UnixStream);
hyper_io!(impl [T: AsyncRead + AsyncWrite] for Io<T>: |stream| stream.project().inner);
hyper_io!(impl [T: AsyncRead + AsyncWrite + Unpin] for Here<T>: |stream| stream);

/// Spawns what hyper wants spawned (each request of HTTP/2, each connection of a client) on the event
/// loop that runs on the thread. Nothing need be `Send`.
///
/// # Panics
///
/// When used where no event loop runs.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct LoopExecutor;

impl LoopExecutor {
    /// Makes one; they are all the same.
    #[must_use]
    pub const fn new() -> Self {
        Self
    }
}

impl<F: Future + 'static> Executor<F> for LoopExecutor {
    fn execute(&self, future: F) {
        drop(loopline_runtime::spawn(future));
    }
}

/// Tells hyper the time by the clock of the loop: a paused one, in tests, ends its limits at once.
///
/// hyper wants its timers `Send`, though nothing here leaves the thread; see [`SendSleep`] for what
/// happens if one does.
///
/// # Panics
///
/// When used where no event loop runs.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct LoopTimer;

impl LoopTimer {
    /// Makes one; they are all the same.
    #[must_use]
    pub const fn new() -> Self {
        Self
    }
}

impl Timer for LoopTimer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Sleep>> {
        Box::pin(LoopSleep(time::sleep(duration).into_send()))
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn Sleep>> {
        Box::pin(LoopSleep(time::sleep_until(deadline).into_send()))
    }

    fn now(&self) -> Instant {
        time::now()
    }

    fn reset(&self, sleep: &mut Pin<Box<dyn Sleep>>, deadline: Instant) {
        match sleep.as_mut().downcast_mut_pin::<LoopSleep>() {
            Some(mut known) => known.0.reset(deadline),
            None => *sleep = self.sleep_until(deadline),
        }
    }
}

/// What `LoopTimer` makes.
struct LoopSleep(SendSleep);

impl Future for LoopSleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.0).poll(cx)
    }
}

impl Sleep for LoopSleep {}
