//! The phases around the run phase: streams that wait for one run in it, each in its item.

use crate::config::add;
use crate::phases::{Fired, Phase, Whose};
use crate::run_queue::ROOT;
use crate::shared::{Root, Shared};
use crate::wake;

/// Runs the streams that wait for a phase, each in its item, now.
pub(super) fn run_phase(shared: &Shared, root: &mut Root<'_>, phase: Phase) {
    let queue = &shared.home.queue;
    let (mut ran, mut woken) = (0, 0);
    let is_own = |slot, waiter: &_| shared.home.is_waker_of(slot, waiter);
    // A part with a waker of its own, in an item that is there still.
    let is_part = |item, waiter: &_| {
        !wake::is_ours(waiter) && item == shared.home.word_in(wake::slot_of(item))
    };
    // The item that is called by the waker of who polled: a child's, if it was in one of a scope.
    let called =
        |(item, children): Whose<'_>| children.last().map_or(wake::slot_of(item), |child| child.0);
    // The moments around a wait are no news any more when a pause is over. (That there was time is.)
    let may_run = |whose: Whose<'_>, waiter: &_| {
        let (item, children) = whose;
        phase == Phase::Idle
            || !is_own(called(whose), waiter) && !is_part(item, waiter)
            || !queue.is_paused(wake::slot_of(item))
                && !children.iter().any(|child| queue.is_paused(child.0))
    };
    for key in shared.phases.due(phase) {
        let Some(Fired { waker, item, children }) = shared.phases.fire(phase, key, may_run) else {
            continue;
        };
        // The item's own waker would only queue it, and it runs right here. A foreign one has to know.
        // Any other of ours is another item's, of another loop perhaps: that one is queued.
        let own = is_own(called((item, &children)), &waker);
        let foreign = is_part(item, &waker);
        let slot = wake::slot_of(item);
        // Before the foreign one, which does the same.
        let was_woken =
            queue.is_woken(slot) || children.iter().any(|child| queue.is_woken(child.0));
        if !own {
            shared.wake_waiter(waker);
        }
        if !own && !foreign {
            continue;
        }
        // Has each scope poll its child when the item is polled: the innermost first, as it calls the others.
        for &(child, _) in children.iter().rev().filter(|child| shared.holds(child.0, child.1)) {
            if let Some(entry) = queue.take_out_of_order(child) {
                (shared.ways.get().alone)(shared, root, &entry);
            }
        }
        if let Some(entry) = queue.take_out_of_order(slot) {
            let done = (shared.ways.get().alone)(shared, root, &entry);
            ran += 1;
            woken += u64::from(was_woken);
            if done {
                // Queued once more, so that the loop does not sleep on the root future's output.
                queue.wake_any(ROOT);
            }
        }
    }
    add(&shared.counters.items_run, ran);
    shared.rest();
    if phase != Phase::Idle {
        add(&shared.phases.around_waits, ran - woken);
    }
}
