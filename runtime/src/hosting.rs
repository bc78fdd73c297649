//! What a guest owes its host: the host's wait ends whenever a turn would run something.
//!
//! The loop is between turns here, and counts as parked. The host sleeps on the poller's own descriptor, so
//! there are two ways to end its sleep: the notifier, which also is how a turn tells that it left work, and
//! an alarm inside the poller for the next deadline. Neither is ever read: the next turn's look at the poller
//! takes the event, and that is all it takes to be quiet again.

use std::io;

use crate::clock::{LAST_JUMP, NEVER, Nanos};
use crate::phases::Phase;
use crate::reactor::poller::TELLS_TIME;
use crate::shared::{Hosting, Shared};

static HOSTING: Hosting = Hosting { settle: Shared::settle, tell_deadline: Shared::tell_host };

impl Shared {
    /// Lets somebody else do the waiting from now on, or no more.
    pub(crate) fn set_hosted(&self, hosted: bool) {
        self.hosting.set(hosted.then_some(&HOSTING));
        self.host.asks.set(false);
        // Who knows what ran last.
        self.host.before_park.set(hosted);
        if hosted && self.reactor.stamp().is_foreign() {
            // Its turns are errors.
        } else if hosted {
            // Notifier and alarm alone must not fill the buffer: there would always seem to be more.
            self.reactor.poller().make_room(3);
            // If that fails it is tried again when it is needed, and then the turn says so.
            let _ = self.reactor.make_alarm();
            self.settle();
        } else {
            self.home.number.inbox().set_host(None);
            self.host.error.take();
            self.reactor.end_alarm();
        }
    }

    /// Has the host's wait end when there is something to do: called as the loop leaves a turn, parked already,
    /// so that what other threads wake from here on ends the wait by itself.
    pub(crate) fn settle(&self) {
        let host = &self.host;
        if self.reactor.stamp().is_foreign() {
            // Notifier and alarm are the parent's too.
            return;
        }
        let deadline = self.next_deadline();
        host.left.set(self.would_run(deadline));
        host.told.set(deadline);
        if host.asks.get() {
            return;
        }
        if host.left.get() {
            // The alarm can wait for the turn that follows.
            self.home.number.inbox().notify_parked();
        } else if let Err(error) = self.set_alarm(deadline) {
            // The turn says so, or the next one. That comes at once, and so do those after it: nothing else
            // would tell the host when it is time.
            host.error.replace(Some(error));
            self.home.number.inbox().notify_parked();
        }
    }

    /// A deadline was set. Outside a turn, whoever waits has to know.
    pub(crate) fn tell_deadline(&self, at: Nanos) {
        if self.in_turn.get() {
            return;
        }
        match self.hosting.get() {
            Some(hosting) if !self.clock.is_paused() => (hosting.tell_deadline)(self, at),
            _ => self.notify_outside_turn(),
        }
    }

    /// `tell_deadline` between turns, where a host waits.
    fn tell_host(&self, at: Nanos) {
        let host = &self.host;
        // It waits no longer than until what it was told. And the alarm is the parent's too.
        if at >= host.told.get() || self.reactor.stamp().is_foreign() {
            return;
        }
        host.told.set(at);
        if !TELLS_TIME || host.asks.get() {
            return self.notify_outside_turn();
        }
        let inbox = self.home.number.inbox();
        match self.set_alarm(at) {
            Ok(()) => inbox.tell_host(),
            // The turn that follows will say why.
            Err(_) => inbox.notify_parked(),
        }
    }

    /// Whether a turn that does not wait would run something, as far as can be told without a look at the poller.
    pub(crate) fn would_run(&self, deadline: Nanos) -> bool {
        self.has_work()
            || self.stop.get()
            || self.phases.any(Phase::Idle)
            || self.host.before_park.get() && self.phases.any(Phase::BeforePark)
            || self.clock.is_paused() && self.fires_paused(deadline)
    }

    /// Whether a turn reaches this deadline, though the clock stands still.
    fn fires_paused(&self, deadline: Nanos) -> bool {
        deadline <= self.clock.read() || self.clock.may_jump() && deadline <= LAST_JUMP
    }

    /// Returns when the next timer is due, or a little earlier; or never.
    pub(crate) fn next_deadline(&self) -> Nanos {
        self.timers.borrow_mut().next_deadline().unwrap_or(NEVER)
    }

    /// `next_deadline`, for a host that waits no longer than until then.
    pub(crate) fn tells_deadline(&self) -> Nanos {
        let deadline = self.next_deadline();
        // Later than before, perhaps, after a timer was cancelled. The alarm stays as it is: early enough.
        self.host.told.set(deadline);
        deadline
    }

    fn set_alarm(&self, deadline: Nanos) -> io::Result<()> {
        if deadline == NEVER {
            // One that is set is left as it is: that costs one turn for nothing, and saves two calls for each
            // timeout that is set and cancelled.
            return Ok(());
        }
        match self.clock.on_system(deadline) {
            Some(at) => self.reactor.set_alarm(at, || self.clock.time_until(at)),
            // A clock that stands still jumps, or waits for the world outside.
            None => Ok(()),
        }
    }
}
