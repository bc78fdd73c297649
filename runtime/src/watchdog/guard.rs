//! The watchdog's thread: looks at what the loop does, and reports what stays the same for too long.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use super::pulse::{MAIL, NOTHING, POLL, Pulse, Seen, WAKER};
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
        if self.watchdog.report.is_none() {
            leave_descriptors();
        }
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
            if let Some((whom, held, times)) = watched.look(seen, system_now() - before) {
                self.report(whom, held, times);
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

/// Has the loop share its descriptors with one thread less: alone, each of its system calls on one is some
/// 60 ns cheaper. Where the system cannot do that, they stay shared.
fn leave_descriptors() {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    let _ = crate::kernel::keep_standard_error_only();
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
    /// The poll that goes on, whatever happens inside it: it may cancel thousands of items, each in no time.
    poll: Count,
    /// What happens inside it, or outside any: a destructor, the poll of a scope's child.
    inside: Count,
}

impl Watched {
    fn new(limit: Duration, step: Duration) -> Self {
        Self { limit, step, poll: Count::default(), inside: Count::default() }
    }

    /// Nothing is under way.
    fn forget(&mut self) {
        self.poll.seen = None;
        self.inside.seen = None;
    }

    /// Takes in what was seen after a wait. Returns what to report, for how long and how often, if it is time.
    fn look(&mut self, seen: Seen, waited: Duration) -> Option<(Seen, Duration, u32)> {
        // A thread that overslept by far was stopped, and so was the loop: by a signal, a debugger, or a
        // machine that has too much to do. That counts as one step.
        let time = if waited > self.step * 2 { self.step } else { waited };
        let is_inside = seen.mark != POLL && seen.mark != NOTHING;
        self.poll.note(seen.around(), time);
        self.inside.note(is_inside.then_some(seen), time);
        if let Some(report) = self.inside.report(self.limit) {
            // It was inside, all the time; and is told from what the poll does afterwards.
            self.poll.seen = None;
            return Some(report);
        }
        if self.inside.held * 2 >= self.poll.held {
            // That is what takes the time: its turn comes, or it ends.
            return None;
        }
        self.poll.report(self.limit)
    }
}

/// How long one thing has gone on.
#[derive(Default)]
struct Count {
    seen: Option<Seen>,
    /// As far as the thread was there to see.
    held: Duration,
    /// The time of the next report, once there was one.
    next: Option<Duration>,
    times: u32,
}

impl Count {
    /// It goes on, or another thing does.
    fn note(&mut self, seen: Option<Seen>, time: Duration) {
        if self.seen == seen && seen.is_some() {
            self.held += time;
        } else {
            *self = Self { seen, ..Self::default() };
        }
    }

    /// Returns what to report, if it is time.
    fn report(&mut self, limit: Duration) -> Option<(Seen, Duration, u32)> {
        let (seen, next) = (self.seen?, self.next.unwrap_or(limit));
        if self.held < next {
            return None;
        }
        let mut next = next;
        while next <= self.held {
            next = next.saturating_mul(2);
        }
        self.next = Some(next);
        self.times += 1;
        Some((seen, self.held, self.times))
    }
}

#[cfg(test)]
mod tests;
