//! The watchdog's thread: looks at what the loop does, and reports what stays the same for too long.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use super::pulse::{MAIL, NOTHING, Pulse, Seen, WAKER};
use super::{Blocked, Watchdog};
use crate::clock::system_now;
use crate::item::{TaskId, drop_payload};

/// The thread's own part.
pub(super) struct Guard {
    pulse: Arc<Pulse>,
    watchdog: Watchdog,
    loop_label: Option<String>,
}

impl Guard {
    pub(super) fn new(pulse: Arc<Pulse>, watchdog: Watchdog, loop_label: Option<String>) -> Self {
        Self { pulse, watchdog, loop_label }
    }

    /// The life of the thread.
    pub(super) fn run(self) {
        let step = step_of(self.watchdog.limit);
        let mut watched = Watched::new(self.watchdog.limit, step);
        loop {
            let before = system_now();
            thread::park_timeout(step);
            if self.is_closed() {
                return;
            }
            if !self.pulse.is_running() {
                watched.forget();
                self.sleep();
                continue;
            }
            let seen = self.pulse.look();
            if let Some((held, times)) = watched.look(seen, system_now() - before) {
                self.report(seen, held, times);
            }
        }
    }

    fn is_closed(&self) -> bool {
        self.pulse.closed.load(Ordering::Relaxed)
    }

    /// Sleeps while the loop does: an idle program has nothing that wakes up now and then.
    fn sleep(&self) {
        let asleep = &self.pulse.asleep;
        // SeqCst: No Lost Sleeper.
        asleep.store(true, Ordering::SeqCst);
        while asleep.load(Ordering::SeqCst) && !self.pulse.is_running() && !self.is_closed() {
            thread::park();
        }
        asleep.store(false, Ordering::Relaxed);
    }

    fn report(&self, seen: Seen, held: Duration, times: u32) {
        let Some((id, label, place)) = self.pulse.describe(seen) else { return };
        if times == 1 {
            self.pulse.blocked.fetch_add(1, Ordering::Relaxed);
        }
        let blocked = Blocked {
            loop_label: self.loop_label.clone(),
            id: (id != 0 && id != NOTHING).then_some(TaskId(id)),
            label,
            place,
            in_destructor: seen.is_destructor(),
            held,
            times,
            other: match seen.mark {
                WAKER => "a waker of another library",
                MAIL => "a message from another thread",
                _ => "the future that the loop runs for,",
            },
        };
        // `eprintln` panics if nobody reads standard error any more; the report may do what it likes.
        let reported = catch_unwind(AssertUnwindSafe(|| match &self.watchdog.report {
            Some(report) => report(&blocked),
            None => eprintln!("{blocked}"),
        }));
        if let Err(payload) = reported {
            drop_payload(payload);
        }
    }
}

/// How long the thread waits between two looks. Not below a millisecond: it should cost less than what it
/// watches.
fn step_of(limit: Duration) -> Duration {
    (limit / 4).max(Duration::from_millis(1))
}

/// What the thread saw so far, and for how long. Time is an argument here.
struct Watched {
    limit: Duration,
    step: Duration,
    seen: Option<Seen>,
    /// How long it has been the same, as far as the thread was there to see.
    held: Duration,
    /// The time of the next report.
    next: Duration,
    times: u32,
}

impl Watched {
    fn new(limit: Duration, step: Duration) -> Self {
        Self { limit, step, seen: None, held: Duration::ZERO, next: limit, times: 0 }
    }

    /// Nothing is under way.
    fn forget(&mut self) {
        self.seen = None;
    }

    /// Takes in what was seen after a wait. Returns for how long and how often to report it, if it is time.
    fn look(&mut self, seen: Seen, waited: Duration) -> Option<(Duration, u32)> {
        if self.seen != Some(seen) {
            *self = Self::new(self.limit, self.step);
            self.seen = Some(seen);
            return None;
        }
        // A thread that overslept by far was stopped, and so was the loop: by a signal, a debugger, or a
        // machine that has too much to do. That counts as one step.
        self.held += if waited > self.step * 2 { self.step } else { waited };
        if seen.mark == NOTHING || self.held < self.next {
            return None;
        }
        while self.next <= self.held {
            self.next = self.next.saturating_mul(2);
        }
        self.times += 1;
        Some((self.held, self.times))
    }
}

#[cfg(test)]
mod tests;
