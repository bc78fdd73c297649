//! Limits on connections: how many live at once, and none while the loop is late.

use std::cell::Cell;
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::ops::{Deref, DerefMut};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_core::Stream;
use loopline_runtime::sync::{Notifications, Notify};
use loopline_runtime::time::lag;

use super::incoming::{Incoming, Listener};

impl<L: Listener> Incoming<L> {
    /// Accepts while less than so many of the connections made from this are alive, and else leaves
    /// them in the listener's queue. See [`Limit`].
    pub fn limit(self, most: usize) -> Limit<Self> {
        Limit::new(self, most)
    }

    /// Closes connections at once that come while the loop is later than this. See [`Shed`].
    pub fn shed_above(self, lag: Duration) -> Shed<Self, L::Stream> {
        Shed { incoming: self, most: lag, shed: 0, refuse: drop }
    }
}

/// A source of connections of which so many are alive at most: while there are, none is accepted, and
/// those that come wait in the listener's queue, as many as fit. Made by [`Incoming::limit`].
///
/// Each is a [`Limited`], which is used as the stream it holds and counts until it is dropped.
///
/// # Examples
///
/// ```no_run
/// # async fn example() -> std::io::Result<()> {
/// use loopline_io::net::TcpListener;
///
/// let listener = TcpListener::bind("127.0.0.1:7000").await?;
/// let mut incoming = listener.into_incoming().limit(1000);
/// while let Some(stream) = incoming.next().await {
///     let stream = stream?;
///     loopline_runtime::spawn(async move {
///         // The place is free again when the stream is dropped, at the end of the task.
///         stream.write_all(b"hello").await
///     });
/// }
/// # Ok(())
/// # }
/// ```
#[must_use = "a source does nothing unless it is inserted or awaited"]
pub struct Limit<I> {
    incoming: I,
    places: Rc<Places>,
    /// Tells when a place is free again.
    freed: Notifications,
}

/// What a limit shares with the places that are taken.
struct Places {
    most: Cell<usize>,
    taken: Cell<usize>,
    freed: Rc<Notify>,
}

impl<I> Limit<I> {
    fn new(incoming: I, most: usize) -> Self {
        let freed = Rc::new(Notify::new());
        let places = Places { most: Cell::new(most), taken: Cell::new(0), freed: freed.clone() };
        Self { incoming, places: Rc::new(places), freed: freed.notifications() }
    }

    /// Returns how many are alive.
    #[must_use]
    pub fn live(&self) -> usize {
        self.places.taken.get()
    }

    /// Changes how many may be alive at once. Those that are stay.
    pub fn set_limit(&mut self, most: usize) {
        self.places.most.set(most);
        // Waiting for a place, it looks again.
        self.places.freed.notify_one();
    }

    /// Returns what this accepts from.
    #[must_use]
    pub fn get_ref(&self) -> &I {
        &self.incoming
    }

    /// Gives back what this accepts from. Live connections are not counted any more.
    #[must_use]
    pub fn into_inner(self) -> I {
        self.incoming
    }
}

impl<I, T> Limit<I>
where
    I: Stream<Item = io::Result<T>> + Unpin,
{
    /// Waits for the next connection, and for a place for it. Never `None`.
    ///
    /// # Errors
    ///
    /// As the source inside.
    ///
    /// # Cancel safety
    ///
    /// Strict.
    pub async fn next(&mut self) -> Option<io::Result<Limited<T>>> {
        poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }
}

impl<I, T> Stream for Limit<I>
where
    I: Stream<Item = io::Result<T>> + Unpin,
{
    type Item = io::Result<Limited<T>>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        while this.places.taken.get() >= this.places.most.get() {
            // Bounded: of frees that nobody waited for, one is remembered.
            ready!(Pin::new(&mut this.freed).poll_next(cx));
        }
        let next = ready!(Pin::new(&mut this.incoming).poll_next(cx));
        Poll::Ready(next.map(|accepted| {
            accepted.map(|stream| Limited { stream, place: Place::take(&this.places) })
        }))
    }
}

impl<I: fmt::Debug> fmt::Debug for Limit<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Limit")
            .field("incoming", &self.incoming)
            .field("live", &self.places.taken.get())
            .field("most", &self.places.most.get())
            .finish()
    }
}

/// A connection's place under a [`Limit`], free again when this is dropped.
#[must_use = "dropped, the place is free again"]
pub struct Place {
    places: Rc<Places>,
}

impl Place {
    fn take(places: &Rc<Places>) -> Self {
        places.taken.set(places.taken.get() + 1);
        Self { places: places.clone() }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let (taken, most) = (self.places.taken.get(), self.places.most.get());
        self.places.taken.set(taken - 1);
        if taken == most {
            self.places.freed.notify_one();
        }
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Place").finish_non_exhaustive()
    }
}

/// A connection that counts under a [`Limit`] until it is dropped. It is used as what it holds: by its
/// methods, and by the traits of futures-io.
///
/// Where an extension trait of these is in scope, its methods come before those of what this holds:
/// there, write `(*stream).read(..)` for these.
#[derive(Debug)]
pub struct Limited<T> {
    // Dropped first: the descriptor is free before the place is.
    stream: T,
    place: Place,
}

impl<T> Limited<T> {
    /// Takes it apart: the place may stay with what serves the connection, or be dropped before it.
    pub fn into_parts(self) -> (T, Place) {
        (self.stream, self.place)
    }
}

impl<T> Deref for Limited<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.stream
    }
}

impl<T> DerefMut for Limited<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.stream
    }
}

/// A source of connections that closes those at once, and counts them, that come while the loop is
/// late: so the ones it has are served. Made by [`Incoming::shed_above`].
///
/// Late by [`lag`]: what is ready has waited so long for its turn. Nothing is shed under a paused clock.
///
/// The peer reads the end at once; `by_reset`, with the feature `socket`, has it read an error, and
/// leaves nothing behind in the system (TIME_WAIT). To have a limit too, put it behind:
/// `incoming.shed_above(lag).limit(most)`.
#[derive(Debug)]
#[must_use = "a source does nothing unless it is inserted or awaited"]
pub struct Shed<I, T> {
    incoming: I,
    /// Later than this, it is.
    most: Duration,
    shed: u64,
    refuse: fn(T),
}

impl<I, T> Shed<I, T> {
    /// Returns how many it has closed.
    #[must_use]
    pub fn shed(&self) -> u64 {
        self.shed
    }

    /// As [`Incoming::limit`], of those that are not closed.
    pub fn limit(self, most: usize) -> Limit<Self> {
        Limit::new(self, most)
    }

    /// Returns what this accepts from.
    #[must_use]
    pub fn get_ref(&self) -> &I {
        &self.incoming
    }

    /// Gives back what this accepts from.
    #[must_use]
    pub fn into_inner(self) -> I {
        self.incoming
    }
}

#[cfg(feature = "socket")]
impl<I> Shed<I, super::TcpStream> {
    /// Has connections reset in place of closed. Feature `socket`.
    pub fn by_reset(self) -> Self {
        fn reset(stream: super::TcpStream) {
            // One that is reset already needs none.
            let _ = stream.set_zero_linger();
        }
        Self { refuse: reset, ..self }
    }
}

impl<I, T> Shed<I, T>
where
    I: Stream<Item = io::Result<T>> + Unpin,
{
    /// Waits for the next connection that is not closed. Never `None`.
    ///
    /// # Errors
    ///
    /// As the source inside.
    ///
    /// # Cancel safety
    ///
    /// Strict.
    pub async fn next(&mut self) -> Option<io::Result<T>> {
        poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }
}

impl<I, T> Stream for Shed<I, T>
where
    I: Stream<Item = io::Result<T>> + Unpin,
{
    type Item = io::Result<T>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        loop {
            match ready!(Pin::new(&mut this.incoming).poll_next(cx)) {
                // The budget bounds this loop.
                Some(Ok(stream)) if lag() > this.most => {
                    this.shed += 1;
                    (this.refuse)(stream);
                }
                other => return Poll::Ready(other),
            }
        }
    }
}
