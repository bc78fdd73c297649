//! Futures of time: `Sleep`, and what the other timed types share, `Alarm`.

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use crate::budget;
use crate::clock::{LoopClock, NEVER, Nanos, nanos, system_now};
use crate::current::{in_turn_of, with_current, with_loop};
use crate::shared::{Life, Shared};
use crate::timers::{TimerKey, Waiter};
use crate::{waits, wake};

/// Keeps what holds it on its thread, where its loop is.
pub(crate) type OnThread = *const ();

/// A deadline on one loop, armed when it is first waited for.
///
/// Holds numbers only; the loop's timers never point back here. So it would be sound on any thread, but
/// finds its loop only on that loop's own: hence !Send, save for `SendSleep`, which `Place` is `()` for.
pub(crate) struct Alarm<Place = OnThread> {
    loop_id: u64,
    deadline: Nanos,
    key: Option<TimerKey>,
    _place: PhantomData<Place>,
}

impl<Place> Alarm<Place> {
    /// Makes an alarm on the current loop; the deadline is computed from its clock.
    #[track_caller]
    pub(crate) fn new(deadline: impl FnOnce(&Shared) -> Nanos) -> Self {
        match Self::try_new(deadline) {
            Some(alarm) => alarm,
            None => panic!(
                "no event loop runs on this thread: use timers inside block_on, run or a #[main] function"
            ),
        }
    }

    pub(crate) fn try_new(deadline: impl FnOnce(&Shared) -> Nanos) -> Option<Self> {
        with_current(|shared| {
            shared.map(|shared| Self {
                loop_id: shared.id,
                deadline: deadline(shared),
                key: None,
                _place: PhantomData,
            })
        })
    }

    pub(crate) fn loop_id(&self) -> u64 {
        self.loop_id
    }

    pub(crate) fn deadline(&self) -> Nanos {
        self.deadline
    }

    /// Returns the deadline as users see it.
    pub(crate) fn instant(&self) -> Instant {
        with_loop(self.loop_id, |shared| match shared {
            Some(shared) => shared.clock.instant(self.deadline),
            None => system_now(),
        })
    }

    /// Ready once the deadline has passed; stays ready until it is reset. Panics on a loop that is gone.
    #[inline]
    pub(crate) fn poll(&mut self, cx: &Context<'_>) -> Poll<()> {
        self.poll_unless(cx, |deadline, clock| deadline < clock.now())
    }

    /// As `poll`, but a deadline that has come by a look at the clock need not wait for a turn, nor does it
    /// keep the order of deadlines: for what cannot come due again and again in one turn.
    pub(crate) fn poll_at_once(&mut self, cx: &Context<'_>) -> Poll<()> {
        self.poll_unless(cx, |deadline, clock| deadline <= clock.read())
    }

    #[inline]
    fn poll_unless(
        &mut self,
        cx: &Context<'_>,
        has_come: impl Fn(Nanos, &LoopClock) -> bool,
    ) -> Poll<()> {
        // Nearly all polls: in a turn of its loop; the first, by an item and not due, or one that has fired.
        let polled = in_turn_of(self.loop_id, |shared| {
            if shared.life.get() == Life::Gone {
                return None;
            }
            if let Some(key) = self.key {
                return shared.timers.borrow().is_fired(key).then_some(Poll::Ready(()));
            }
            if has_come(self.deadline, &shared.clock) {
                return None;
            }
            let word = wake::word_of(cx.waker())?;
            self.key = Some(shared.timers.borrow_mut().insert_item(self.deadline, word));
            Some(Poll::Pending)
        });
        match polled {
            Some(Some(polled)) => polled,
            _ => self.poll_any(cx, has_come),
        }
    }

    /// `poll_unless`, in all other cases.
    #[inline(never)]
    fn poll_any(
        &mut self,
        cx: &Context<'_>,
        has_come: impl Fn(Nanos, &LoopClock) -> bool,
    ) -> Poll<()> {
        with_loop(self.loop_id, |shared| {
            let Some(shared) = shared.filter(|shared| shared.life.get() != Life::Gone) else {
                panic!(
                    "the event loop of this timer is gone, or is another thread's: nothing would \
                     ever wake it"
                );
            };
            match &mut self.key {
                None if has_come(self.deadline, &shared.clock) => return Poll::Ready(()),
                None => {
                    let waiter = waiter(cx);
                    let key = shared.timers.borrow_mut().insert(self.deadline, waiter);
                    self.key = Some(key);
                    shared.tell_deadline(self.deadline);
                }
                Some(key) if shared.timers.borrow().is_fired(*key) => return Poll::Ready(()),
                Some(key) => {
                    let waiter = waiter(cx);
                    let old = shared.timers.borrow_mut().set_waiter(key, waiter);
                    drop(old);
                }
            }
            if self.deadline == NEVER {
                waits::note("a timer that is never due");
            }
            Poll::Pending
        })
    }

    /// Sets another deadline, by the loop's clock.
    pub(crate) fn reset(&mut self, deadline: Nanos) {
        self.deadline = deadline;
        if self.key.is_some() {
            with_loop(self.loop_id, |shared| {
                shared.into_iter().for_each(|shared| self.reset_on(shared, deadline));
            });
        }
    }

    /// Sets another deadline, as users say it; nothing where its loop is not, or is no more.
    pub(crate) fn reset_to(&mut self, deadline: Instant) {
        with_loop(self.loop_id, |shared| {
            if let Some(shared) = shared {
                self.reset_on(shared, shared.clock.nanos(deadline));
            }
        });
    }

    fn reset_on(&mut self, shared: &Shared, deadline: Nanos) {
        self.deadline = deadline;
        let Some(key) = self.key else { return };
        let mut timers = shared.timers.borrow_mut();
        if !timers.is_fired(key) {
            timers.reset(key, deadline);
            drop(timers);
            return shared.tell_deadline(deadline);
        }
        // Its waker is gone: arm anew at the next poll.
        self.key = None;
        let leaves = timers.leave(key);
        drop(timers);
        if !leaves {
            remove_now(self.loop_id, key);
        }
    }

    /// Ends the wait; the next poll begins another.
    pub(crate) fn disarm(&mut self) {
        if let Some(key) = self.key.take() {
            remove_now(self.loop_id, key);
        }
    }

    /// Reads the loop's clock; a gone loop's stands at its end.
    pub(crate) fn read_clock(&self) -> Nanos {
        with_loop(self.loop_id, |shared| shared.map_or(NEVER, |shared| shared.clock.read()))
    }
}

impl<Place> Drop for Alarm<Place> {
    #[inline]
    fn drop(&mut self) {
        let Some(key) = self.key else { return };
        let leaves = in_turn_of(self.loop_id, |shared| shared.timers.borrow_mut().leave(key));
        if leaves != Some(true) {
            remove_now(self.loop_id, key);
        }
    }
}

/// Removes a timer that has a foreign waker, or follows many others; or whose loop is not in its turn, and
/// who knows when the next one is.
#[inline(never)]
fn remove_now(loop_id: u64, key: TimerKey) {
    with_loop(loop_id, |shared| {
        if let Some(shared) = shared {
            let waker = shared.timers.borrow_mut().remove(key);
            drop(waker);
        }
    });
}

/// Who is to be woken: one of ours is copied without a call.
#[inline]
fn waiter(cx: &Context<'_>) -> Waiter {
    match wake::word_of(cx.waker()) {
        Some(word) => Waiter::Item(word),
        None => Waiter::Foreign(cx.waker().clone()),
    }
}

impl<Place> fmt::Debug for Alarm<Place> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Alarm").field("deadline", &self.deadline).finish_non_exhaustive()
    }
}

/// Waits for a deadline; made by [`sleep`] and [`sleep_until`].
///
/// It counts from its creation and starts its timer when first polled. Dropping it frees the timer.
///
/// # Cancel safety
///
/// Strict: the deadline stays what it is; only the wait is lost.
#[must_use = "a sleep does nothing unless it is awaited"]
#[derive(Debug)]
pub struct Sleep {
    alarm: Alarm,
}

impl Sleep {
    /// Returns the deadline.
    #[must_use]
    pub fn deadline(&self) -> Instant {
        self.alarm.instant()
    }

    /// Whether the deadline has passed as of the turn's time.
    #[must_use]
    pub fn is_elapsed(&self) -> bool {
        with_loop(self.alarm.loop_id, |shared| {
            shared.is_some_and(|shared| self.alarm.deadline <= shared.clock.now())
        })
    }

    /// Sets another deadline, without a new timer.
    pub fn reset(&mut self, deadline: Instant) {
        self.alarm.reset_to(deadline);
    }

    /// Makes it [`Send`] and [`Sync`], for traits that demand that; it still works on this thread only.
    pub fn into_send(mut self) -> SendSleep {
        let Alarm { loop_id, deadline, ref mut key, .. } = self.alarm;
        let alarm = Alarm { loop_id, deadline, key: key.take(), _place: PhantomData };
        SendSleep { alarm }
    }
}

/// A [`Sleep`] whose type is [`Send`] and [`Sync`]; made by [`Sleep::into_send`].
///
/// For libraries whose timer traits demand that, while what holds the timer stays on its thread. It holds
/// numbers only, and finds its event loop by them on that loop's thread alone. Dropped on another one, it
/// leaves its timer on the loop.
///
/// # Panics
///
/// When polled on another thread, or once its event loop is gone.
///
/// # Cancel safety
///
/// Strict: the deadline stays what it is; only the wait is lost.
///
/// # Examples
///
/// ```
/// # loopline_runtime::block_on(async {
/// use loopline_runtime::time::sleep;
/// use std::future::Future;
/// use std::pin::Pin;
/// use std::time::Duration;
///
/// let boxed: Pin<Box<dyn Future<Output = ()> + Send + Sync>> =
///     Box::pin(sleep(Duration::from_micros(50)).into_send());
/// boxed.await;
/// # });
/// ```
#[must_use = "a sleep does nothing unless it is awaited"]
#[derive(Debug)]
pub struct SendSleep {
    alarm: Alarm<()>,
}

impl SendSleep {
    /// Sets another deadline, without a new timer. Does nothing on another thread than the loop's.
    pub fn reset(&mut self, deadline: Instant) {
        self.alarm.reset_to(deadline);
    }
}

impl Future for SendSleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let permit = ready!(budget::poll_proceed(cx));
        ready!(self.alarm.poll(cx));
        permit.spend();
        Poll::Ready(())
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let permit = ready!(budget::poll_proceed(cx));
        ready!(self.alarm.poll(cx));
        permit.spend();
        Poll::Ready(())
    }
}

/// Waits until `duration` has passed. Never early; up to one timer slack of the kernel late (50 us on
/// Linux unless set, whole milliseconds on Windows).
///
/// A zero duration waits for the next turn. One too long to be represented never ends.
///
/// # Panics
///
/// If no event loop runs on this thread.
///
/// # Cancel safety
///
/// Strict.
///
/// # Examples
///
/// ```
/// # loopline_runtime::block_on(async {
/// use loopline_runtime::time::sleep;
/// use std::time::Duration;
///
/// sleep(Duration::from_micros(50)).await;
/// # });
/// ```
///
/// A sleep stays on its thread, where its loop is:
///
/// ```compile_fail,E0277
/// # loopline_runtime::block_on(async {
/// let sleep = loopline_runtime::time::sleep(std::time::Duration::ZERO);
/// std::thread::spawn(move || drop(sleep));
/// # });
/// ```
///
/// ```
/// # loopline_runtime::block_on(async {
/// let sleep = loopline_runtime::time::sleep(std::time::Duration::ZERO);
/// loopline_runtime::spawn(async move { drop(sleep) });
/// # });
/// ```
#[track_caller]
pub fn sleep(duration: Duration) -> Sleep {
    let wait = nanos(duration);
    Sleep { alarm: Alarm::new(|shared| shared.clock.read().saturating_add(wait)) }
}

/// Waits until `deadline` has passed. One that has passed already is ready at once.
///
/// Under a paused clock, deadlines are reckoned from [`crate::time::now`].
///
/// # Panics
///
/// If no event loop runs on this thread.
///
/// # Cancel safety
///
/// Strict.
#[track_caller]
pub fn sleep_until(deadline: Instant) -> Sleep {
    Sleep { alarm: Alarm::new(|shared| shared.clock.nanos(deadline)) }
}
