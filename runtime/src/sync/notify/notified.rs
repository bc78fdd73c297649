//! The waits of a `Notify`: borrowed, owned, and as a stream.

use std::fmt;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use futures_core::Stream;

use super::{End, Notify, Wait};
use crate::budget;
use crate::waiters::Key;
use crate::waits;
use crate::wake::copy;

/// Waits to be notified; made by [`Notify::notified`].
///
/// Once ready it stays so.
#[must_use = "it waits when it is awaited"]
pub struct Notified<'a> {
    notify: &'a Notify,
    place: Place,
}

/// Waits to be notified, and borrows nothing; made by [`Notify::notified_owned`].
///
/// Once ready it stays so.
#[must_use = "it waits when it is awaited"]
pub struct OwnedNotified {
    notify: Rc<Notify>,
    place: Place,
}

/// One item each time a [`Notify`] notifies; made by [`Notify::notifications`]. Never ends.
#[must_use = "it waits when it is polled"]
pub struct Notifications {
    wait: OwnedNotified,
}

/// Where a wait stands.
enum Place {
    /// Not in line. Holds the calls of `notify_waiters` that were before it.
    New(usize),
    InLine(Key),
    Done,
}

impl Place {
    fn new(notify: &Notify) -> Self {
        Self::New(notify.calls.get())
    }

    /// Whether it is notified.
    fn is_due(&self, notify: &Notify) -> bool {
        match self {
            Self::New(since) => notify.permit.get() || *since != notify.calls.get(),
            Self::InLine(key) => {
                let mut waiters = notify.waiters.borrow_mut();
                !waiters.is_waiting(key) || waiters.value(key).since != notify.calls.get()
            }
            Self::Done => true,
        }
    }

    /// Takes what is due. It is used then, not passed on.
    fn take_due(&mut self, notify: &Notify) {
        // A permit is for another if this one has heard of `notify_waiters`.
        if matches!(self, Self::New(since) if *since == notify.calls.get()) {
            notify.permit.set(false);
        }
        self.leave(notify);
    }

    /// Whether it is notified; gets in line if not. Without a waker of its own if `waker` is `None`.
    fn look(&mut self, notify: &Notify, waker: Option<&Waker>) -> bool {
        if self.is_due(notify) {
            self.take_due(notify);
            return true;
        }
        match self {
            Self::New(since) => {
                let since = *since;
                let own = copy(waker.unwrap_or(Waker::noop()));
                if self.is_due(notify) {
                    // A foreign waker's clone notified.
                    drop(own);
                    return self.look(notify, waker);
                }
                let wait = Wait { since, given: None };
                *self = Self::InLine(notify.waiters.borrow_mut().push(wait, own));
                return false;
            }
            Self::InLine(key) => waker.into_iter().for_each(|waker| keep_waker(notify, key, waker)),
            Self::Done => {}
        }
        // The clone or drop of a foreign waker may have notified.
        let due = self.is_due(notify);
        if due {
            self.take_due(notify);
        }
        due
    }

    /// Takes its node out, and returns what it was given.
    fn leave(&mut self, notify: &Notify) -> Option<End> {
        let Self::InLine(key) = std::mem::replace(self, Self::Done) else { return None };
        let (wait, waker) = notify.waiters.borrow_mut().take(key);
        drop(waker);
        wait.given
    }

    /// As the wait is dropped.
    #[inline]
    fn give_up(&mut self, notify: &Notify) {
        if matches!(self, Self::InLine(_)) {
            if let Some(end) = self.leave(notify) {
                notify.notify(end);
            }
        }
    }

    fn poll(&mut self, notify: &Notify, cx: &mut Context<'_>) -> Poll<()> {
        // Asked only when there is something to take: who has used up its budget gets in line.
        if self.is_due(notify) {
            let permit = ready!(budget::poll_proceed(cx));
            self.take_due(notify);
            permit.spend();
            return Poll::Ready(());
        }
        if self.look(notify, Some(cx.waker())) {
            return Poll::Ready(());
        }
        waits::note("a notification (Notify)");
        Poll::Pending
    }
}

/// Gives a wait in line the waker of the poll that runs.
fn keep_waker(notify: &Notify, key: &Key, waker: &Waker) {
    if notify.waiters.borrow().wakes(key, waker) {
        return;
    }
    let new = copy(waker);
    let old = notify.waiters.borrow_mut().set_waker(key, new);
    drop(old);
}

impl<'a> Notified<'a> {
    pub(super) fn new(notify: &'a Notify) -> Self {
        Self { notify, place: Place::new(notify) }
    }
}

impl OwnedNotified {
    pub(super) fn new(notify: Rc<Notify>) -> Self {
        Self { place: Place::new(&notify), notify }
    }
}

macro_rules! notified {
    ($($notified:ty),*) => {$(
        impl $notified {
            /// Gets in line without being polled. Returns whether it is notified already: then it is
            /// ready at once.
            ///
            /// For a look that follows: what [`Notify::notify_one`] says between this and the await is
            /// for this wait.
            pub fn enable(mut self: Pin<&mut Self>) -> bool {
                let this = &mut *self;
                this.place.look(&this.notify, None)
            }
        }

        impl Future for $notified {
            type Output = ();

            fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
                let this = &mut *self;
                this.place.poll(&this.notify, cx)
            }
        }

        impl Drop for $notified {
            #[inline]
            fn drop(&mut self) {
                self.place.give_up(&self.notify);
            }
        }

        impl fmt::Debug for $notified {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct("Notified").field("notify", &*self.notify).finish_non_exhaustive()
            }
        }
    )*};
}

notified!(Notified<'_>, OwnedNotified);

impl Notifications {
    pub(super) fn new(notify: Rc<Notify>) -> Self {
        Self { wait: OwnedNotified::new(notify) }
    }

    /// Waits to be notified.
    ///
    /// # Cancel safety
    ///
    /// Strict.
    pub async fn next(&mut self) -> Option<()> {
        std::future::poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }
}

impl Stream for Notifications {
    type Item = ();

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<()>> {
        ready!(Pin::new(&mut self.wait).poll(cx));
        self.wait.place = Place::new(&self.wait.notify);
        Poll::Ready(Some(()))
    }
}

impl fmt::Debug for Notifications {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Notifications").field("notify", &*self.wait.notify).finish()
    }
}
