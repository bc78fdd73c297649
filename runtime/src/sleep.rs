//! Futures of time: `Sleep`, and what the other timed types share, `Alarm`.

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use crate::budget;
use crate::clock::{NEVER, Nanos, nanos, system_now};
use crate::current::{with_current, with_loop};
use crate::shared::{Life, Shared};
use crate::timers::TimerKey;
use crate::wake;

/// A deadline on one loop, armed when it is first waited for.
///
/// Holds numbers only; the loop's timers never point back here.
pub(crate) struct Alarm {
    loop_id: u64,
    deadline: Nanos,
    key: Option<TimerKey>,
    /// !Send: the loop is found by way of this thread.
    _thread: PhantomData<*const ()>,
}

impl Alarm {
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
                _thread: PhantomData,
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
    pub(crate) fn poll(&mut self, cx: &Context<'_>) -> Poll<()> {
        with_loop(self.loop_id, |shared| {
            let Some(shared) = shared.filter(|shared| shared.life.get() != Life::Gone) else {
                panic!("the event loop of this timer is gone: nothing would ever wake it");
            };
            match self.key {
                None if self.deadline < shared.clock.now() => return Poll::Ready(()),
                None => {
                    let waker = wake::copy(cx.waker());
                    let key = shared.timers.borrow_mut().insert(self.deadline, waker);
                    self.key = Some(key);
                    shared.notify_outside_turn();
                }
                Some(key) if shared.timers.borrow().is_fired(key) => return Poll::Ready(()),
                Some(key) => {
                    let waker = wake::copy(cx.waker());
                    let old = shared.timers.borrow_mut().set_waker(key, waker);
                    drop(old);
                }
            }
            Poll::Pending
        })
    }

    /// Sets another deadline, by the loop's clock.
    pub(crate) fn reset(&mut self, deadline: Nanos) {
        self.deadline = deadline;
        let Some(key) = self.key else { return };
        with_loop(self.loop_id, |shared| {
            let Some(shared) = shared else { return };
            if shared.timers.borrow().is_fired(key) {
                // Its waker is gone: arm anew at the next poll.
                self.key = None;
                let waker = shared.timers.borrow_mut().remove(key);
                drop(waker);
            } else {
                shared.timers.borrow_mut().reset(key, deadline);
                shared.notify_outside_turn();
            }
        });
    }

    /// Reads the loop's clock; a gone loop's stands at its end.
    pub(crate) fn read_clock(&self) -> Nanos {
        with_loop(self.loop_id, |shared| shared.map_or(NEVER, |shared| shared.clock.read()))
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        let Some(key) = self.key else { return };
        with_loop(self.loop_id, |shared| {
            if let Some(shared) = shared {
                let waker = shared.timers.borrow_mut().remove(key);
                drop(waker);
            }
        });
    }
}

impl fmt::Debug for Alarm {
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
        let at = with_loop(self.alarm.loop_id, |shared| {
            shared.map_or(NEVER, |shared| shared.clock.nanos(deadline))
        });
        self.alarm.reset(at);
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
