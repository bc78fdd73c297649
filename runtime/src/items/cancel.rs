//! The end of items that are cancelled.

use super::Taken;
use crate::counted::Counted;
use crate::item::{Item, TaskId};
use crate::shared::Shared;

/// How deep destructors of cancelled items may nest before the rest waits for the outermost.
const CANCEL_DEPTH: u32 = 32;

impl Shared {
    /// Cancels an item: at once, or as its poll returns if it is being polled.
    ///
    /// Returns whether there was such an item.
    pub(crate) fn cancel(&self, slot: u32, id: TaskId) -> bool {
        if self.is_running(slot, id) {
            self.home.queue.request_cancel(slot);
            return true;
        }
        let Some(taken) = self.take_if(slot, id) else { return false };
        self.home.queue.withdraw(taken.place);
        self.end_taken(taken);
        // Whoever awaits it may have been queued, and outside a turn nobody would look. (Inside one this would
        // drop the entries of paused items, which keep their place if they go on in it.)
        if !self.in_turn.get() && self.home.queue.has_due() {
            self.notify_outside_turn();
        }
        true
    }

    #[inline(never)] // most polls are not the last
    pub(super) fn end_cancelled(&self, taken: Taken<'_>) {
        self.end_taken(taken);
    }

    /// Ends an item that was cancelled.
    #[inline(always)] // measured: calls here are a tenth of what a cancelled task takes
    fn end_taken(&self, Taken { place, item }: Taken<'_>) {
        self.release(place, item.header());
        // No Recursion: a chain of items whose destructors cancel the next is cut into pieces.
        let depth = self.cancelling.get();
        if depth == CANCEL_DEPTH {
            self.doomed.borrow_mut().push_back(item);
            return;
        }
        self.cancelling.set(depth + 1);
        self.drop_cancelled(item);
        self.cancelling.set(depth);
        if depth == 0 && !self.doomed.borrow().is_empty() {
            self.drop_doomed();
        }
    }

    /// Drops what was put off, and what that puts off in turn.
    #[cold]
    fn drop_doomed(&self) {
        loop {
            let next = self.doomed.borrow_mut().pop_front();
            let Some(item) = next else { return };
            self.cancelling.set(1);
            self.drop_cancelled(item);
            self.cancelling.set(0);
        }
    }

    /// Drops the future of an item whose slot is free already, then tells its handle.
    #[inline(always)] // as `end_taken`
    fn drop_cancelled(&self, item: Counted<dyn Item>) {
        let _named = self.watch.as_ref().map(|watch| watch.destroys(item.header()));
        item.cancel();
        if let Some(waiter) = item.header().take_waiter() {
            self.wake_waiter(waiter);
        }
        if item.header().has_output() && item.is_last() {
            // Its destructor panicked.
            if let Some(unseen) = item.drop_output() {
                self.report_unseen(item.header(), unseen);
            }
        }
    }
}
