//! The run phase: rounds of items, in order, until nothing is queued or the turn has had its share.

use std::panic::catch_unwind;
use std::task::Context;
use std::time::Duration;

use crate::budget;
use crate::clock::Nanos;
use crate::config::{add, raise};
use crate::item::ItemCell;
use crate::run_queue::{Entry, NONE, ROOT};
use crate::shared::{Root, Shared, Ways};
use crate::straggler::Straggler;
use crate::wake::{self, Word};
use crate::watchdog::{Nobody, Witness};

/// How most loops run their items.
pub(crate) static PLAIN: Ways = Ways {
    rounds: |shared, root, began| run_rounds(shared, root, began, Nobody),
    alone: |shared, root, entry| poll_alone(shared, root, entry, Nobody),
    used_up,
};

/// The same for loops with a watchdog.
pub(crate) static WATCHED: Ways = Ways {
    rounds: |shared, root, began| match &shared.watch {
        Some(watch) => run_rounds(shared, root, began, watch.pulse()),
        None => run_rounds(shared, root, began, Nobody),
    },
    alone: poll_alone_watched,
    used_up,
};

/// With a look at the clock after each item: to charge its lane, where there are lanes, and to report it if
/// it took too long. Watchdog or not.
pub(crate) static TIMED: Ways = Ways { rounds: run_timed, alone: poll_alone_watched, used_up };

/// Runs rounds until nothing is queued or the turn has had its share.
#[inline(never)] // a loop of its own: it needs all registers
fn run_rounds(shared: &Shared, root: &mut Root<'_>, began: Nanos, witness: impl Witness) {
    shared.last_check.set(began);
    shared.looked.set(began);
    shared.over.set(false);
    let queue = &shared.home.queue;
    let mut batches = Batches { ran: 0, size: shared.pace.get().min(shared.config.turn_items) };
    // Keeps the one number that the loop counts. In memory, as a register would have to be saved for it.
    let counter = witness.notes(shared.own_running());
    witness.begins();
    counter.set_left(batches.size);
    // A round is what was queued when it began, so an item runs at most once in it.
    'turn: while queue.begin_round() {
        while let Some(entry) = queue.pop() {
            let done = poll(shared, root, &entry, witness);
            if done {
                counter.set_left(counter.left() - 1);
                break 'turn;
            }
            let rest = counter.left() - 1;
            counter.set_left(rest);
            if rest == 0 && batches.end(shared, began, witness) {
                break 'turn;
            }
            if queue.is_round_over() {
                break;
            }
        }
        if shared.over.get() {
            break;
        }
    }
    shared.running_slot.set(NONE);
    add(&shared.counters.items_run, (batches.ran + batches.size - counter.left()) as u64);
}

/// What runs from one look at the clock to the next.
struct Batches {
    /// How many items ran in those that are over.
    ran: usize,
    /// How many items the one that runs has.
    size: usize,
}

impl Batches {
    /// Begins the next one. Returns whether the turn is over.
    #[inline(never)] // so the loop needs no registers for it
    fn end(&mut self, shared: &Shared, began: Nanos, witness: impl Witness) -> bool {
        self.ran += self.size;
        // With nothing left there is no need to ask: the turn ends by itself.
        let over = shared.home.queue.has_due() && turn_is_over(shared, began, self.ran, self.size);
        self.size = shared.pace.get().min(shared.config.turn_items - self.ran);
        witness.begins();
        witness.notes(shared.own_running()).set_left(self.size);
        self.size == 0 || over
    }
}

/// What a lane is charged for a poll where real time does not count.
const NOMINAL: Nanos = 1_000;

/// What a lane is charged for a poll that took so long.
fn charged(shared: &Shared, took: Nanos) -> Nanos {
    if shared.clock.is_paused() {
        // Something in any case: or nothing would be used up, and one lane could run for ever.
        took.max(NOMINAL)
    } else if shared.chance.is_seeded() {
        // As in `turn_is_over`.
        NOMINAL
    } else {
        took
    }
}

/// The rounds of `TIMED`.
fn run_timed(shared: &Shared, root: &mut Root<'_>, began: Nanos) {
    shared.last_check.set(began);
    shared.over.set(false);
    let queue = &shared.home.queue;
    let most = shared.config.turn_items;
    queue.drop_stale_of_idle_lanes();
    let mut before = shared.clock.read();
    let (mut ran, mut checked, mut size) = (0, 0, shared.pace.get());
    while ran < most {
        let Some(entry) = next_timed(shared) else { break };
        let (slot, lane) = (entry.place.slot, entry.place.lane());
        // Asked before, as the item may end.
        let limit = shared.config.slow_items;
        let item =
            limit.and_then(|_| shared.item_in(slot)).map(|item| Straggler::of(item.header()));
        shared.looked.set(before);
        let done = poll_alone_watched(shared, root, &entry);
        let after = shared.clock.read();
        let took = after.saturating_sub(before);
        queue.charge(lane, charged(shared, took));
        if limit.is_some_and(|limit| took > limit) {
            report_slow(shared, item, took);
        }
        before = after;
        ran += 1;
        if done || shared.over.get() {
            break;
        }
        if ran - checked == size {
            if queue.has_due() && turn_is_over(shared, began, ran, size) {
                break;
            }
            (checked, size) = (ran, shared.pace.get());
        }
    }
    add(&shared.counters.items_run, ran as u64);
}

fn next_timed(shared: &Shared) -> Option<Entry<'_, ItemCell>> {
    let queue = &shared.home.queue;
    if queue.has_lanes() {
        return queue.pop_fair();
    }
    queue.pop_of_round().or_else(|| if queue.begin_round() { queue.pop() } else { None })
}

/// Says who held the loop; `None`: the root future.
fn report_slow(shared: &Shared, item: Option<Straggler>, took: Nanos) {
    add(&shared.counters.slow_items, 1);
    let name = shared.config.label.as_deref().unwrap_or("loopline");
    let who = item.map_or_else(|| String::from("the future it runs for"), |item| item.to_string());
    let took = Duration::from_nanos(took);
    // `eprintln` panics if nobody reads standard error any more.
    let _ = catch_unwind(|| eprintln!("{name}: {who} held the loop for {took:?}"));
}

/// Where items are slow, a turn looks at the poller after so many times its share of time.
const LONG: Nanos = 200;

/// Whether a turn that has work left should look at the poller now. So many items `ran` in it, the last
/// `batch` of them since this was asked before.
fn turn_is_over(shared: &Shared, began: Nanos, ran: usize, batch: usize) -> bool {
    if shared.clock.is_paused() || shared.chance.is_seeded() {
        // A run that can be repeated does not depend on how fast it was.
        return false;
    }
    let now = shared.clock.read();
    shared.looked.set(now);
    let took = now.saturating_sub(shared.last_check.replace(now));
    raise(&shared.counters.longest_item, took);
    set_pace(shared, took / batch as u64);
    // Asked sooner than was said, for the sake of timers: a batch of events that the poller gave at once
    // is not torn into many for that.
    let (share, every) = (shared.config.turn_time, shared.config.check_every);
    let is_early = ran / every == (ran - batch) / every;
    let share = if is_early { share.saturating_mul(LONG) } else { share };
    now.saturating_sub(began) >= share || shared.timers.borrow_mut().is_due(now)
}

/// Sets how many items run before the next check: as many as were said, or where they are slow so few that
/// there are four checks in the longest time that a turn may take.
pub(super) fn set_pace(shared: &Shared, each: Nanos) {
    let (share, most) = (shared.config.turn_time, shared.config.check_every);
    let fitting = (share.saturating_mul(LONG) / 4 / each.max(1)) as usize;
    // It grows by and by: or a few quick items between would let 64 slow ones run at a stretch.
    let grown = shared.pace.get().saturating_mul(2);
    shared.pace.set(fitting.min(grown).clamp(1, most));
}

/// Whether the item that runs should yield; then the turn ends with this round, or where there are lanes
/// with this item.
pub(crate) fn should_yield(shared: &Shared) -> bool {
    why_over(shared).is_some()
}

/// Why a turn is over.
enum Over {
    /// A timer is due.
    Due,
    /// It has had its share of time, which is told.
    Used(Nanos),
}

/// Looks at the clock inside an item, and ends the turn if it is over.
fn why_over(shared: &Shared) -> Option<Over> {
    if shared.clock.is_paused() || shared.chance.is_seeded() {
        // As in `turn_is_over`.
        return None;
    }
    let now = shared.clock.read();
    shared.looked.set(now);
    let why = if shared.timers.borrow_mut().is_due(now) {
        Over::Due
    } else if now.saturating_sub(shared.clock.now()) >= shared.config.turn_time {
        Over::Used(now)
    } else {
        return None;
    };
    // Or the item would be run again, and yield again, until the next check.
    shared.over.set(true);
    Some(why)
}

/// Whether the callback that runs leaves the rest of its events for the next round: in a turn that has had its
/// share, if it has used as much alone, or a timer is due. So those behind it in a round get no fewer than it.
/// `since`: when it began, or somewhat before, once it has asked.
pub(crate) fn leaves_rest(shared: &Shared, since: &mut Option<Nanos>) -> bool {
    let since = *since.get_or_insert(shared.looked.get());
    match why_over(shared) {
        None => false,
        Some(Over::Due) => true,
        Some(Over::Used(now)) => now.saturating_sub(since) >= shared.config.turn_time,
    }
}

/// A poll of 128 operations may have taken long: a turn counts polls, and looks at the clock every 64.
fn used_up(shared: &Shared) {
    should_yield(shared);
}

/// Polls one item or the root future outside a run of rounds: as `poll`.
fn poll_alone(
    shared: &Shared,
    root: &mut Root<'_>,
    entry: &Entry<'_, ItemCell>,
    witness: impl Witness,
) -> bool {
    let done = poll(shared, root, entry, witness);
    shared.running_slot.set(NONE);
    done
}

/// The same where there may be a watchdog.
fn poll_alone_watched(shared: &Shared, root: &mut Root<'_>, entry: &Entry<'_, ItemCell>) -> bool {
    let Some(watch) = &shared.watch else { return poll_alone(shared, root, entry, Nobody) };
    watch.pulse().begins();
    poll_alone(shared, root, entry, watch.pulse())
}

/// Polls one item or the root future. Returns whether the root future is done, which ends the turn.
#[inline(always)] // measured: a call here is 24 of a yield's 150 instructions
fn poll(
    shared: &Shared,
    root: &mut Root<'_>,
    entry: &Entry<'_, ItemCell>,
    witness: impl Witness,
) -> bool {
    // Asked in this order, as most are items.
    !shared.poll_item(entry, witness) && entry.place.slot == ROOT && {
        witness.root();
        poll_root(shared, root, entry.word())
    }
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
