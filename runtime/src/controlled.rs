//! `controlled`: a source that others than its callback change while it is inserted.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, Waker};

use futures_core::Stream;

use crate::wake;

/// Makes a source that is inserted as usual, and a control that changes it from elsewhere on its thread.
///
/// For what is inserted [`Handle::insert`](crate::Handle::insert) returns a control that pauses, resumes and
/// cancels; this one is for what else the source itself has: a timer's deadline, a descriptor's interest,
/// a child to be asked after, or the whole source to be replaced.
///
/// # Examples
///
/// ```
/// use loopline_runtime::{EventLoop, callback::{self, Next}, time::Timer};
/// use std::time::Duration;
///
/// let mut event_loop = EventLoop::<u32>::new()?;
/// let handle = event_loop.handle();
/// let (timer, control) = callback::controlled(Timer::after(Duration::from_secs(3600)));
/// handle.insert(timer, |_tick, _timer, fired| { *fired += 1; Next::Keep })?;
/// handle.spawn(async move {
///     control.with(|timer| timer.set_after(Duration::from_millis(1))); // sooner
/// });
/// let mut fired = 0;
/// event_loop.run(&mut fired)?;
/// assert_eq!(fired, 1);
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn controlled<Src>(source: Src) -> (Controlled<Src>, SourceControl<Src>) {
    let place = Rc::new(Place {
        source: RefCell::new(Some(source)),
        waker: RefCell::new(None),
        taken: Cell::new(false),
    });
    let control = SourceControl { place: Rc::downgrade(&place) };
    (Controlled { place }, control)
}

/// Where a source is while it is neither polled nor changed.
struct Place<Src> {
    /// Taken out for a poll and for a change, so that neither can meet the other.
    source: RefCell<Option<Src>>,
    /// Of who polled last.
    waker: RefCell<Option<Waker>>,
    /// Whether its control took the source out for good.
    taken: Cell<bool>,
}

impl<Src> Place<Src> {
    /// Has the source polled again, by whoever polled it last.
    fn wake(&self) {
        let waker = self.waker.borrow_mut().take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Says why the source is not there.
    #[cold]
    #[track_caller]
    fn missing(&self) -> ! {
        panic!("{}", if self.taken.get() { TAKEN } else { IN_USE })
    }

    /// Calls `f` with the source, if it is not in use; puts it back also on unwind.
    fn with<R>(&self, f: impl FnOnce(&mut Src) -> R) -> Option<R> {
        struct Back<'a, Src>(&'a Place<Src>, Option<Src>);
        impl<Src> Drop for Back<'_, Src> {
            fn drop(&mut self) {
                *self.0.source.borrow_mut() = self.1.take();
            }
        }
        let mut back = Back(self, Some(self.source.borrow_mut().take()?));
        back.1.as_mut().map(f)
    }
}

/// A source that a [`SourceControl`] changes; made by [`controlled`].
#[must_use = "a source does nothing unless it is inserted or awaited"]
pub struct Controlled<Src> {
    place: Rc<Place<Src>>,
}

impl<Src> Controlled<Src> {
    /// Calls `f` with the source, for its callback.
    ///
    /// # Panics
    ///
    /// Inside the source's own poll, or inside another call of this or of [`SourceControl::with`]; and after
    /// [`SourceControl::take`].
    #[track_caller]
    pub fn with<R>(&self, f: impl FnOnce(&mut Src) -> R) -> R {
        match self.place.with(f) {
            Some(result) => result,
            None => self.place.missing(),
        }
    }

    /// Gives the source back; its controls do nothing from then on.
    ///
    /// # Panics
    ///
    /// Inside a call of [`SourceControl::with`], and after [`SourceControl::take`].
    #[track_caller]
    pub fn into_inner(self) -> Src {
        let source = self.place.source.borrow_mut().take();
        match source {
            Some(source) => source,
            None => self.place.missing(),
        }
    }
}

impl<Src: Stream + Unpin> Controlled<Src> {
    /// Waits for the next event.
    ///
    /// # Cancel safety
    ///
    /// As the source's own.
    pub async fn next(&mut self) -> Option<Src::Item> {
        poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }
}

const IN_USE: &str = "the source is in use: it is being polled, or changed already";
const TAKEN: &str = "the source was taken out by its control";

impl<Src> Unpin for Controlled<Src> {}

impl<Src: Stream + Unpin> Stream for Controlled<Src> {
    type Item = Src::Item;

    #[track_caller]
    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Src::Item>> {
        let waker = wake::copy(cx.waker());
        let old = self.place.waker.replace(Some(waker));
        drop(old);
        if self.place.taken.get() {
            return Poll::Ready(None);
        }
        self.place.with(|source| Pin::new(source).poll_next(cx)).expect(IN_USE)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.place.source.borrow().as_ref().map_or((0, None), Stream::size_hint)
    }
}

/// Changes a [`Controlled`] source from elsewhere on its thread; cheap to clone. It keeps nothing alive.
pub struct SourceControl<Src> {
    place: Weak<Place<Src>>,
}

impl<Src> SourceControl<Src> {
    /// Calls `f` with the source, and has it polled again, so that the change counts. `None` if the source
    /// is gone: dropped, as with its item, or taken out. One that its item gave back, to the
    /// [`JoinHandle`](crate::JoinHandle), is still there, and its control goes with it wherever it is
    /// inserted next.
    ///
    /// # Panics
    ///
    /// Inside the source's own poll, or inside another call of this.
    #[track_caller]
    pub fn with<R>(&self, f: impl FnOnce(&mut Src) -> R) -> Option<R> {
        let place = self.place.upgrade().filter(|place| !place.taken.get())?;
        let result = place.with(f).expect(IN_USE);
        place.wake();
        Some(result)
    }

    /// Puts another source in the place of this one, which comes back. `Err` gives the new one back if the
    /// old one is gone.
    ///
    /// # Errors
    ///
    /// See above.
    ///
    /// # Panics
    ///
    /// As [`SourceControl::with`].
    #[track_caller]
    pub fn replace(&self, source: Src) -> Result<Src, Src> {
        let mut source = Some(source);
        let old = self.with(|old| source.take().map(|new| std::mem::replace(old, new))).flatten();
        match (old, source) {
            (Some(old), _) => Ok(old),
            (None, Some(new)) => Err(new),
            (None, None) => unreachable!("it went into the place of the old one"),
        }
    }

    /// Takes the source out: its item hears of no event any more, and ends; one that is paused, when it is
    /// resumed. `None` if the source is gone.
    ///
    /// # Panics
    ///
    /// As [`SourceControl::with`].
    ///
    /// # Examples
    ///
    /// ```
    /// use loopline_runtime::{EventLoop, callback::{self, Next}};
    ///
    /// let mut event_loop = EventLoop::<Vec<u32>>::new()?;
    /// let (sender, messages) = callback::channel();
    /// let (messages, control) = callback::controlled(messages);
    /// event_loop.handle().insert(messages, |n, _source, seen| { seen.push(n); Next::Keep })?;
    /// sender.send(1).unwrap();
    /// let mut messages = control.take().expect("it is inserted");
    /// let mut seen = Vec::new();
    /// event_loop.run(&mut seen)?; // nothing is left on it
    /// assert!(seen.is_empty());
    /// assert_eq!(messages.try_next(), Some(1)); // to be inserted again, or read to the end
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[track_caller]
    pub fn take(&self) -> Option<Src> {
        let place = self.place.upgrade().filter(|place| !place.taken.get())?;
        let source = place.source.borrow_mut().take().expect(IN_USE);
        place.taken.set(true);
        place.wake();
        Some(source)
    }
}

impl<Src> Clone for SourceControl<Src> {
    fn clone(&self) -> Self {
        Self { place: self.place.clone() }
    }
}

impl<Src: fmt::Debug> fmt::Debug for Controlled<Src> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Controlled").field("source", &self.place.source).finish()
    }
}

impl<Src> fmt::Debug for SourceControl<Src> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = self.place.upgrade();
        let gone = place.is_none_or(|place| place.taken.get());
        f.debug_struct("SourceControl").field("gone", &gone).finish()
    }
}
