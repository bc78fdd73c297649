//! One turn: park, collect, run, idle. The diagram is in the crate's documentation.
//!
//! User code runs in `run_rounds`, and for streams that wait for a phase in `run_phase`; both call
//! `poll` below, which is the root future or `Shared::poll_item`.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::{Context, Poll};
use std::time::Duration;

use crate::budget;
use crate::clock::{LAST_JUMP, NEVER, Nanos, nanos};
use crate::config::{add, raise};
use crate::item::ItemCell;
use crate::phases::Phase;
use crate::run_queue::{Entry, MAIL, NONE, ROOT};
use crate::shared::Shared;
use crate::wake::{self, Word};

/// The root future of `run_until`, polled in the same queue as the items; Ready once.
pub(crate) type Root<'a> = dyn FnMut(&mut Context<'_>) -> Poll<()> + 'a;

/// Numbers drained from the inbox, and messages taken from the mailbox, in one turn.
const COLLECT_LIMIT: usize = 1024;

/// Runs one turn that waits `limit` at most (`None`: until something happens).
///
/// Inside `Shared::enter`. On an error of the poller everything else of the turn has run; in a forked
/// process nothing.
pub(crate) fn turn(
    shared: &Shared,
    root: &mut Root<'_>,
    limit: Option<Duration>,
) -> io::Result<()> {
    shared.reactor.stamp().check()?;
    add(&shared.counters.turns, 1);
    // First: what the phases around the wait insert is for the turn after this one.
    shared.home.queue.begin_turn();
    if shared.phases.any(Phase::BeforePark) {
        run_phase(shared, root, Phase::BeforePark);
    }
    let parked = park(shared, limit);
    let began = shared.clock.now();
    let mark = shared.timers.borrow().mark();
    collect_events(shared);
    if shared.phases.any(Phase::AfterPark) {
        run_phase(shared, root, Phase::AfterPark);
    }
    fire_timers(shared, began, mark);
    collect_inbox(shared);
    if shared.home.queue.has_lanes() {
        run_lanes(shared, root, began);
    } else {
        run_rounds(shared, root, began);
    }
    if shared.phases.any(Phase::Idle) && !has_work(shared) {
        shared.phases.idle_until.set(shared.timers.borrow_mut().next_deadline());
        run_phase(shared, root, Phase::Idle);
    }
    parked
}

/// Whether the next turn would find something to run without waiting for the system.
pub(crate) fn has_work(shared: &Shared) -> bool {
    shared.home.queue.due() != 0 || shared.home.number.inbox().pending() || shared.more_events.get()
}

/// Notes how long items ran since the last look at the poller, up to a wait or the next look.
fn note_lag(shared: &Shared, before: Nanos, now: Nanos) {
    if shared.clock.is_paused() {
        // Its time is no measure of anything.
        return;
    }
    raise(&shared.counters.lag, now.saturating_sub(before));
    raise(&shared.counters.longest_item, now.saturating_sub(shared.last_check.get()));
}

/// Waits for the poller: not at all if there is work, else until the next deadline or the limit. The
/// clock is refreshed when this returns.
fn park(shared: &Shared, limit: Option<Duration>) -> io::Result<()> {
    let reactor = &shared.reactor;
    let idle = shared.phases.any(Phase::Idle);
    let paused = shared.clock.is_paused();
    if limit == Some(Duration::ZERO) || has_work(shared) || shared.stop.get() || idle && !paused {
        return look(shared);
    }
    let deadline = shared.timers.borrow_mut().next_deadline();
    let entered = shared.clock.read();
    let until = match (deadline, limit) {
        (None, None) if shared.is_stuck() => {
            shared.stuck.set(true);
            return look(shared);
        }
        (None, None) => NEVER,
        (deadline, limit) => {
            let limit = limit.map_or(NEVER, |limit| entered.saturating_add(nanos(limit)));
            deadline.unwrap_or(NEVER).min(limit)
        }
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
    inbox.unpark();
    shared.more_events.set(reactor.saturated());
    add(&shared.counters.parked, shared.clock.refresh().saturating_sub(entered));
    waited
}

/// Waits until the deadline, for the rest of the time after each interruption by a signal.
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
    loop {
        match shared.reactor.park(Some(Duration::ZERO)) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => {
                shared.more_events.set(shared.reactor.saturated());
                let before = shared.clock.now();
                note_lag(shared, before, shared.clock.refresh());
                return other;
            }
        }
    }
}

/// Parks under a paused clock: time jumps to the deadline if nothing is there now. With no deadline
/// that it can jump to, or while it is held, only the outside world can go on, so this waits for it.
fn park_paused(shared: &Shared, until: Nanos, limit: Option<Duration>) -> io::Result<()> {
    look(shared)?;
    if shared.reactor.harvested() != 0 || shared.home.number.inbox().pending() {
        return Ok(());
    }
    if until <= LAST_JUMP && shared.clock.may_jump() {
        shared.clock.advance_to(until);
        return Ok(());
    }
    if shared.phases.any(Phase::Idle) {
        // Not for idle streams, which run again at the end of this turn.
        return Ok(());
    }
    let inbox = shared.home.number.inbox();
    let waited = match limit {
        _ if !inbox.park() => Ok(()),
        None => wait_until(shared, NEVER, 0),
        // In real time, which a paused clock cannot reckon; so an interruption just ends it.
        Some(limit) => match shared.reactor.park(Some(limit)) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(()),
            other => other,
        },
    };
    inbox.unpark();
    shared.more_events.set(shared.reactor.saturated());
    waited
}

/// Turns events into readiness and queued items.
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
    for _ in 0..shared.config.turn_items {
        let due = shared.timers.borrow_mut().pop_due(now, mark);
        let Some(waiter) = due else { return };
        shared.wake_waiter(waiter);
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
        // It runs no user code but destructors, of what was cancelled, and wakers.
        if let Err(payload) = catch_unwind(AssertUnwindSafe(|| message(shared))) {
            shared.unobserved("a message from another thread", payload);
        }
    }
    // More may be there: look again next turn, after the poller.
    shared.home.number.inbox().wake(MAIL);
}

/// Runs rounds until nothing is queued or the turn has had its share.
#[inline(never)] // a loop of its own: it needs all registers
fn run_rounds(shared: &Shared, root: &mut Root<'_>, began: Nanos) {
    shared.last_check.set(began);
    shared.over.set(false);
    let queue = &shared.home.queue;
    let most = shared.config.turn_items;
    let mut ran = 0;
    // How many more to run before the next check; the one number that the loop counts.
    let mut batch = shared.pace.get().min(most);
    let mut left = batch;
    // A round is what was queued when it began, so an item runs at most once in it.
    // With a lane made meanwhile this goes on in the next turn, fairly.
    'turn: while !queue.has_lanes() && queue.begin_round() {
        while let Some(entry) = queue.pop() {
            let done = poll(shared, root, &entry);
            left -= 1;
            if done {
                break 'turn;
            }
            if left == 0 {
                ran += batch;
                // With nothing left there is no need to ask: the turn ends by itself.
                let over = queue.due() != 0 && turn_is_over(shared, began, batch);
                batch = shared.pace.get().min(most - ran);
                left = batch;
                if batch == 0 || over {
                    break 'turn;
                }
            }
        }
        if shared.over.get() {
            break;
        }
    }
    add(&shared.counters.items_run, (ran + batch - left) as u64);
}

/// Runs items of all lanes until nothing is queued or the turn has had its share. The clock is read for
/// each, to charge its lane.
#[cold]
fn run_lanes(shared: &Shared, root: &mut Root<'_>, began: Nanos) {
    shared.last_check.set(began);
    shared.over.set(false);
    let queue = &shared.home.queue;
    let (every, most) = (shared.config.check_every, shared.config.turn_items);
    queue.drop_stale_of_idle_lanes();
    let mut before = shared.clock.read();
    let mut ran = 0;
    while ran < most {
        let Some(entry) = queue.pop_fair() else { break };
        let lane = entry.lane();
        let done = poll(shared, root, &entry);
        let after = shared.clock.read();
        queue.charge(lane, after.saturating_sub(before));
        before = after;
        ran += 1;
        if done || shared.over.get() {
            break;
        }
        if ran % every == 0 && queue.due() != 0 && turn_is_over(shared, began, every) {
            break;
        }
    }
    add(&shared.counters.items_run, ran as u64);
}

/// Whether a turn that has work left should look at the poller now. So many items ran since the last
/// time this was asked.
fn turn_is_over(shared: &Shared, began: Nanos, items: usize) -> bool {
    if shared.clock.is_paused() || shared.chance.is_seeded() {
        // A run that can be repeated does not depend on how fast it was.
        return false;
    }
    let now = shared.clock.read();
    let took = now.saturating_sub(shared.last_check.replace(now));
    raise(&shared.counters.longest_item, took);
    set_pace(shared, took / items as u64);
    has_used_its_share(shared, began, now)
}

/// Sets how many items run before the next check: as many as were said, unless they take so long each
/// that timers would be late by more than a few shares of a turn.
fn set_pace(shared: &Shared, each: Nanos) {
    let (share, most) = (shared.config.turn_time, shared.config.check_every);
    let is_slow = each > share / 4;
    shared.pace.set(if is_slow { ((share / each) as usize).clamp(1, most) } else { most });
}

fn has_used_its_share(shared: &Shared, began: Nanos, now: Nanos) -> bool {
    now.saturating_sub(began) >= shared.config.turn_time || shared.timers.borrow_mut().is_due(now)
}

/// Whether the item that runs should yield; then the turn ends with this round, or where there are lanes
/// with this item.
pub(crate) fn should_yield(shared: &Shared) -> bool {
    if shared.clock.is_paused() || shared.chance.is_seeded() {
        // As in `turn_is_over`.
        return false;
    }
    let over = has_used_its_share(shared, shared.clock.now(), shared.clock.read());
    if over {
        // Or the item would be run again, and yield again, until the next check.
        shared.over.set(true);
    }
    over
}

/// Runs the streams that wait for a phase, each in its item, now.
fn run_phase(shared: &Shared, root: &mut Root<'_>, phase: Phase) {
    let queue = &shared.home.queue;
    let mut ran = 0;
    for key in shared.phases.due(phase) {
        let Some((waiter, slot)) = shared.phases.fire(phase, key) else { continue };
        // The item's own waker would only queue it, and it runs right here. A foreign one has to know.
        // Any other of ours is another item's, of another loop perhaps: that one is queued.
        let own = slot != NONE && shared.home.is_waker_of(slot, &waiter);
        let foreign = !wake::is_ours(&waiter);
        if !own {
            shared.wake_waiter(waiter);
        }
        if !own && !foreign {
            continue;
        }
        if let Some(entry) = queue.take_out_of_order(slot) {
            let done = poll(shared, root, &entry);
            ran += 1;
            if done {
                // Queued once more, so that the loop does not sleep on the root future's output.
                queue.wake_any(ROOT);
            }
        }
    }
    add(&shared.counters.items_run, ran);
}

/// Polls one item or the root future. Returns whether the root future is done, which ends the turn.
#[inline]
pub(crate) fn poll(shared: &Shared, root: &mut Root<'_>, entry: &Entry<'_, ItemCell>) -> bool {
    if entry.slot == ROOT {
        return poll_root(shared, root, entry.word());
    }
    shared.poll_item(entry);
    false
}

/// Polls the root future. Its panics are its caller's and unwind through the turn.
fn poll_root(shared: &Shared, root: &mut Root<'_>, word: Word) -> bool {
    struct Rest<'a>(&'a Shared);
    impl Drop for Rest<'_> {
        fn drop(&mut self) {
            self.0.running_slot.set(NONE);
        }
    }
    shared.running_slot.set(ROOT);
    let _rest = Rest(shared);
    let waker = wake::waker(word);
    budget::grant(shared.config.operations);
    root(&mut Context::from_waker(&waker)).is_ready()
}

#[cfg(test)]
mod tests;
