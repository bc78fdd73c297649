//! `Notify`: wakes tasks that wait for something to look at.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::marker::PhantomData;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::rc::Rc;

use crate::waiters::{WaitList, wake};

mod notified;

pub use self::notified::{Notifications, Notified, OwnedNotified};

/// Tells one task, or all that wait, that there is something to look at; carries no value.
///
/// If nobody waits, [`notify_one`](Notify::notify_one) leaves one permit, which the next wait takes at
/// once; more calls leave no more. [`notify_waiters`](Notify::notify_waiters) leaves none.
///
/// # Examples
///
/// ```
/// # loopline_runtime::block_on(async {
/// use loopline_runtime::sync::Notify;
/// use std::{cell::RefCell, rc::Rc};
///
/// let (lines, more) = (Rc::new(RefCell::new(Vec::new())), Rc::new(Notify::new()));
/// let (theirs, notify) = (lines.clone(), more.clone());
/// loopline_runtime::spawn(async move {
///     theirs.borrow_mut().push("hello");
///     notify.notify_one();
/// });
/// while lines.borrow().is_empty() {
///     more.notified().await;
/// }
/// assert_eq!(lines.take(), ["hello"]);
/// # });
/// ```
///
/// It stays on its thread; [`callback::ping`](crate::callback::ping) is for the way between threads:
///
/// ```compile_fail,E0277
/// let notify = loopline_runtime::sync::Notify::new();
/// std::thread::spawn(move || notify.notify_one());
/// ```
///
/// ```
/// # loopline_runtime::block_on(async {
/// let notify = loopline_runtime::sync::Notify::new();
/// loopline_runtime::spawn(async move { notify.notify_one() });
/// # });
/// ```
pub struct Notify {
    permit: Cell<bool>,
    /// Calls of `notify_waiters`; wraps.
    calls: Cell<usize>,
    /// Who waits. One from before the last of `calls` is notified, reached or not.
    waiters: RefCell<WaitList<Wait>>,
    /// !Send: it is of the tasks of one thread.
    _thread: PhantomData<*const ()>,
}

// Nothing in it can be seen half changed.
impl UnwindSafe for Notify {}
impl RefUnwindSafe for Notify {}

/// One wait in the list.
#[derive(Debug)]
struct Wait {
    /// `calls` as it got in line.
    since: usize,
    /// Set when it was reached as the one of its end; passed on if nobody looks.
    given: Option<End>,
}

/// An end of the line.
#[derive(Clone, Copy, Debug)]
enum End {
    First,
    Last,
}

impl Notify {
    /// Makes one without a permit.
    #[must_use]
    #[doc(alias = "const_new")]
    pub const fn new() -> Self {
        Self {
            permit: Cell::new(false),
            calls: Cell::new(0),
            waiters: RefCell::new(WaitList::new()),
            _thread: PhantomData,
        }
    }

    /// Waits to be notified, or takes the permit.
    ///
    /// The future is in line for [`notify_one`](Notify::notify_one) once it was polled or
    /// [enabled](Notified::enable), and hears of every [`notify_waiters`](Notify::notify_waiters) after
    /// it was made.
    ///
    /// # Cancel safety
    ///
    /// Strict: only the place in line is lost. Dropped after `notify_one` reached it, it passes that on.
    pub fn notified(&self) -> Notified<'_> {
        Notified::new(self)
    }

    /// As [`Notify::notified`], with a future that borrows nothing.
    ///
    /// # Cancel safety
    ///
    /// Strict, as that of [`Notify::notified`].
    pub fn notified_owned(self: Rc<Self>) -> OwnedNotified {
        OwnedNotified::new(self)
    }

    /// Makes a stream of notifications, for a callback: one item each time it is notified.
    ///
    /// It never ends. Between two items it hears of `notify_waiters`, and of `notify_one` by way of the
    /// permit; what comes while an item is not yet taken is one item.
    ///
    /// # Examples
    ///
    /// ```
    /// use loopline_runtime::{EventLoop, callback::Next, sync::Notify};
    /// use std::rc::Rc;
    ///
    /// let mut event_loop = EventLoop::<u32>::new()?;
    /// let notify = Rc::new(Notify::new());
    /// event_loop.handle().insert(notify.clone().notifications(), |(), _source, seen| {
    ///     *seen += 1;
    ///     Next::Stop
    /// })?;
    /// notify.notify_one();
    /// let mut seen = 0;
    /// event_loop.run(&mut seen)?;
    /// assert_eq!(seen, 1);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn notifications(self: Rc<Self>) -> Notifications {
        Notifications::new(self)
    }

    /// Notifies the one that has waited longest, or leaves the permit.
    #[inline]
    pub fn notify_one(&self) {
        self.notify(End::First);
    }

    /// Notifies the one that came last, or leaves the permit.
    #[inline]
    pub fn notify_last(&self) {
        self.notify(End::Last);
    }

    /// Notifies all [`Notified`]s that were made before this, polled or not. Leaves no permit.
    pub fn notify_waiters(&self) {
        self.calls.set(self.calls.get().wrapping_add(1));
        self.let_through();
    }

    #[inline]
    fn notify(&self, end: End) {
        if self.waiters.borrow().is_empty() {
            self.permit.set(true);
        } else {
            self.notify_waiter(end);
        }
    }

    fn notify_waiter(&self, end: End) {
        // Called by a foreign waker inside `notify_waiters`: those it is for are not in line any more.
        self.let_through();
        let mut waiters = self.waiters.borrow_mut();
        let reached = match end {
            End::First => waiters.reach(),
            End::Last => waiters.reach_last(),
        };
        let Some((wait, waker)) = reached else { return self.permit.set(true) };
        wait.given = Some(end);
        drop(waiters);
        wake(waker);
    }

    /// Wakes who has waited since before the last call of `notify_waiters`; later ones are behind them.
    fn let_through(&self) {
        loop {
            let mut waiters = self.waiters.borrow_mut();
            if waiters.first().is_none_or(|wait| wait.since == self.calls.get()) {
                return;
            }
            let reached = waiters.reach().map(|(_, waker)| waker);
            drop(waiters);
            reached.into_iter().for_each(wake);
        }
    }
}

impl Default for Notify {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Notify {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Notify")
            .field("permit", &self.permit.get())
            .field("waiting", &self.waiters.borrow().len())
            .finish_non_exhaustive()
    }
}
