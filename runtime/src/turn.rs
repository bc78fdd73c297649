//! One turn: park, collect, run, idle. The diagram is in the crate's documentation.
//!
//! User code runs in `run`, and for streams that wait for a phase in `around`; both call `poll`, which
//! is the root future or `Shared::poll_item`.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use self::around::run_phase;
pub(crate) use self::run::{PLAIN, TIMED, WATCHED, leaves_rest, should_yield};
use crate::clock::{LAST_JUMP, NEVER, Nanos, nanos};
use crate::config::{add, raise};
use crate::phases::Phase;
use crate::run_queue::MAIL;
use crate::shared::{Life, Root, Shared};
use crate::wake;

mod around;
mod run;

/// Numbers drained from the inbox, and messages taken from the mailbox, in one turn.
const COLLECT_LIMIT: usize = 1024;

/// How long a turn may wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Limit {
    /// Until something happens.
    None,
    /// That long at most.
    Time(Duration),
    /// Not at all.
    Look,
    /// Not at all, because a host waits instead: so a paused clock jumps as if this had waited.
    Host,
}

/// Runs one turn.
///
/// Inside `Shared::enter`. On an error of the poller everything else of the turn has run; in a forked
/// process nothing.
pub(crate) fn turn(shared: &Shared, root: &mut Root<'_>, limit: Limit) -> io::Result<()> {
    shared.reactor.stamp().check()?;
    shared.unwind();
    add(&shared.counters.turns, 1);
    // First: what the phases around the wait insert is for the turn after this one.
    shared.home.queue.begin_turn();
    let mut limit = limit;
    if shared.phases.any(Phase::BeforePark) {
        let was_over = is_over(shared);
        run_phase(shared, root, Phase::BeforePark);
        if !was_over && is_over(shared) && limit != Limit::Host {
            // What the run goes on for ended just now: nobody may ever end this wait.
            limit = Limit::Look;
        }
    }
    let parked = park(shared, limit);
    let began = shared.clock.now();
    let mark = shared.timers.borrow_mut().begin_turn(began);
    collect_events(shared);
    if shared.phases.any(Phase::AfterPark) {
        run_phase(shared, root, Phase::AfterPark);
    }
    if let Some(mark) = mark {
        fire_timers(shared, began, mark);
    }
    collect_inbox(shared);
    (shared.ways.get().rounds)(shared, root, began);
    shared.rest();
    if shared.phases.any(Phase::Idle) && !shared.has_work() {
        shared.phases.idle_until.set(shared.timers.borrow_mut().next_deadline());
        run_phase(shared, root, Phase::Idle);
    }
    shared.unwind();
    parked
}

/// Whether nothing is left that a run without a future of its own should go on for.
pub(crate) fn is_over(shared: &Shared) -> bool {
    shared.regroup();
    // In this order: a remote sends before it drops. After a graceful end none can bring anything.
    shared.foreground() == 0
        && (shared.life.get() != Life::Open || !shared.remotes.any() && shared.mailbox.is_empty())
}

/// Notes how long items ran since the last look at the poller, up to a wait or the next look.
fn note_lag(shared: &Shared, before: Nanos, now: Nanos) {
    if shared.clock.is_paused() {
        // Its time is no measure of anything.
        return;
    }
    let stretch = now.saturating_sub(before);
    raise(&shared.counters.lag, stretch);
    shared.counters.last_stretch.set(stretch);
    shared.counters.last_done.set(now);
    raise(&shared.counters.longest_item, now.saturating_sub(shared.last_check.get()));
}

/// Waits for the poller: not at all if there is work, else until the next deadline or the limit. The
/// clock is refreshed when this returns.
fn park(shared: &Shared, limit: Limit) -> io::Result<()> {
    let reactor = &shared.reactor;
    let paused = shared.clock.is_paused();
    let looks = match limit {
        Limit::Look => true,
        // What ran before the host's wait was noted by `end_hosted`.
        Limit::Host if !paused => return harvest(shared),
        Limit::Host => false,
        Limit::None | Limit::Time(_) => !paused && shared.phases.any(Phase::Idle),
    };
    if looks || shared.has_work() || shared.stop.get() {
        return look(shared);
    }
    let entered = shared.clock.read();
    if paused {
        shared.timers.borrow_mut().is_due(entered); // files anew what was set to later
    }
    let deadline = shared.timers.borrow_mut().next_deadline();
    let until = match limit {
        Limit::Time(limit) => deadline.unwrap_or(NEVER).min(entered.saturating_add(nanos(limit))),
        _ if deadline.is_none() && shared.is_stuck() => {
            shared.stuck.set(true);
            return look(shared);
        }
        _ => deadline.unwrap_or(NEVER),
    };
    if until <= entered {
        return look(shared);
    }
    if paused {
        let waited = park_paused(shared, until, limit);
        shared.clock.refresh();
        return waited;
    }
    shared.asked.set(0);
    note_lag(shared, shared.clock.now(), entered);
    let inbox = shared.home.number.inbox();
    let waited = if inbox.park() { wait_until(shared, until, entered) } else { look(shared) };
    shared.awake();
    shared.more_events.set(reactor.saturated());
    add(&shared.counters.parked, shared.clock.refresh().saturating_sub(entered));
    waited
}

/// Waits until the deadline, for the rest of the time after each interruption by a signal.
#[inline(always)] // measured, as `collect_events`: together 5 % of a turn
fn wait_until(shared: &Shared, until: Nanos, mut now: Nanos) -> io::Result<()> {
    loop {
        let timeout = (until != NEVER).then(|| Duration::from_nanos(until.saturating_sub(now)));
        match shared.reactor.park(timeout) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => now = shared.clock.read(),
            other => return other,
        }
    }
}

/// Looks at the poller without waiting, and refreshes the clock. Items ran up to here.
fn look(shared: &Shared) -> io::Result<()> {
    let before = shared.clock.now();
    let looked = harvest(shared);
    note_lag(shared, before, shared.clock.now());
    looked
}

/// Looks at the poller without waiting, and refreshes the clock.
fn harvest(shared: &Shared) -> io::Result<()> {
    loop {
        match shared.reactor.look() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => {
                shared.more_events.set(shared.reactor.saturated());
                shared.clock.refresh();
                return other;
            }
        }
    }
}

/// Ends a turn after which a host waits: items ran up to here.
pub(crate) fn end_hosted(shared: &Shared) {
    note_lag(shared, shared.clock.now(), shared.clock.read());
}

/// Parks under a paused clock: time jumps to the deadline if nothing is there now. With no deadline
/// that it can jump to, or while it is held, only the outside world can go on, so this waits for it.
fn park_paused(shared: &Shared, until: Nanos, limit: Limit) -> io::Result<()> {
    look(shared)?;
    let hosted = limit == Limit::Host;
    let found = match hosted {
        // Not what merely had the host call this turn.
        true => shared.reactor.any_harvested_source(),
        false => shared.reactor.harvested() != 0,
    };
    if found || shared.home.number.inbox().pending() {
        return Ok(());
    }
    if until <= LAST_JUMP && shared.clock.may_jump() {
        let last = match limit {
            Limit::Time(limit) => shared.clock.read().saturating_add(nanos(limit)),
            _ => LAST_JUMP,
        };
        jump(shared, until, last);
        return Ok(());
    }
    if hosted || shared.phases.any(Phase::Idle) {
        // Not for idle streams, which run again at the end of this turn.
        return Ok(());
    }
    let inbox = shared.home.number.inbox();
    let waited = match limit {
        _ if !inbox.park() => Ok(()),
        // In real time, which a paused clock cannot reckon; so an interruption just ends it.
        Limit::Time(limit) => match shared.reactor.park(Some(limit)) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(()),
            other => other,
        },
        _ => wait_until(shared, NEVER, 0),
    };
    shared.awake();
    shared.more_events.set(shared.reactor.saturated());
    waited
}

/// Moves a paused clock to the next deadline, which is `next` or a little later; not beyond `last`.
fn jump(shared: &Shared, mut next: Nanos, last: Nanos) {
    let mut timers = shared.timers.borrow_mut();
    // Bounded: what was told too early is told better then. A stop there would be seen by streams around the wait.
    loop {
        shared.clock.advance_to(next);
        if next >= last || timers.is_due(next) {
            return;
        }
        let later = timers.next_deadline().filter(|&at| next < at && at <= LAST_JUMP);
        let Some(later) = later else { return };
        next = later.min(last);
    }
}

/// How often in a row `absorb` looks again because its buffer was full.
const MOST_LOOKS: u32 = 16;

/// Takes in, inside a turn, what the poller has to say: it is queued, and nothing runs.
pub(crate) fn absorb(shared: &Shared) -> io::Result<()> {
    for _ in 0..MOST_LOOKS {
        match shared.reactor.look() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            other => other?,
        }
        shared.more_events.set(shared.reactor.saturated());
        collect_events(shared);
        if !shared.more_events.get() {
            break;
        }
    }
    Ok(())
}

/// Turns events into readiness and queued items.
#[inline(always)] // see `wait_until`
fn collect_events(shared: &Shared) {
    if shared.reactor.harvested() == 0 {
        return;
    }
    if shared.chance.is_seeded() {
        shared.reactor.shuffle(|order| shared.chance.shuffle(order));
    }
    if shared.reactor.dispatch(|word| shared.home.wake_word(word)) {
        // Unborrowed Call: a foreign waker runs code of its own.
        let mut rest = shared.reactor.take_rest();
        rest.drain(..).for_each(|waiter| shared.wake_waiter(waiter));
        shared.reactor.recycle(rest);
    }
}

/// Wakes who waits for a deadline that is due at the turn's start and was set before the mark, in order.
fn fire_timers(shared: &Shared, now: Nanos, mark: u64) {
    if shared.timers.borrow_mut().is_due(now) {
        fire_due(shared, now, mark);
    }
}

/// How many timers `fire_due` takes at a time.
const TOGETHER: usize = 16;

/// First takes timers, then wakes who waits. Of many hardly a slot or an item is in the cache; and what is
/// asked for in a short loop, by one after the other, comes at once. (100,000 timers: a sixth less.)
#[inline(never)]
fn fire_due(shared: &Shared, now: Nanos, mark: u64) {
    let mut left = shared.config.turn_items;
    // Bounded: each round takes a timer, or is the last one.
    while left != 0 {
        let mut words = [0; TOGETHER];
        let words = &mut words[..TOGETHER.min(left)];
        let (taken, foreign) = shared.timers.borrow_mut().fire(now, mark, words);
        let is_last = taken < words.len();
        left -= taken;
        words[..taken].iter().for_each(|&word| shared.home.wake_word(word));
        if taken > 1 {
            words[..taken].iter().for_each(|&word| shared.fetch(wake::slot_of(word)));
        }
        match foreign {
            // Unborrowed Call: it runs code of its own, which may change the timers after it.
            Some(waiter) => {
                left -= 1;
                shared.wake_waiter(waiter);
            }
            None if is_last => return,
            None => {}
        }
    }
}

/// Queues what other threads woke, and takes what they sent.
fn collect_inbox(shared: &Shared) {
    let inbox = shared.home.number.inbox();
    if !inbox.pending() {
        return;
    }
    let mut mail = false;
    let mut seeded = Vec::new();
    inbox.drain(COLLECT_LIMIT, |slot| match slot {
        MAIL => mail = true,
        slot if shared.chance.is_seeded() => seeded.push(slot),
        slot => shared.home.queue.wake_any(slot),
    });
    shared.chance.shuffle(&mut seeded);
    seeded.into_iter().for_each(|slot| shared.home.queue.wake_any(slot));
    if mail {
        collect_mail(shared);
    }
}

fn collect_mail(shared: &Shared) {
    for _ in 0..COLLECT_LIMIT {
        let Some(message) = shared.mailbox.receive() else { return };
        if let Some(watch) = &shared.watch {
            watch.takes_mail();
        }
        // It runs no user code but destructors, of what was cancelled, and wakers.
        if let Err(payload) = catch_unwind(AssertUnwindSafe(|| message(shared))) {
            shared.unobserved("a message from another thread", payload);
        }
    }
    // More may be there: look again next turn, after the poller.
    shared.home.number.inbox().wake(MAIL);
}

#[cfg(test)]
mod tests;
