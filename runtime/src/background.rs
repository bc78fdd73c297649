//! Whether `run` waits for an item: said as it is made, and changed here.

use crate::item::{Header, TaskId};
use crate::shared::{Life, Shared};

impl Shared {
    /// Lets `run` end without the item, or not. Returns whether there is such an item.
    pub(crate) fn set_background(&self, slot: u32, id: TaskId, background: bool) -> bool {
        if self.life.get() != Life::Open && !self.drained.borrow().is_empty() {
            // Whoever waits for the end of all asks again: later, when this is done.
            self.wake_drained();
            self.notify_outside_turn();
        }
        if self.is_running(slot, id) {
            // It is not at hand; and nobody asks before its poll is over.
            self.regrouped.borrow_mut().push((slot, id, background));
            return true;
        }
        self.regroup();
        let item = self.item_in(slot).filter(|item| item.header().id == id);
        if let Some(item) = &item {
            self.move_to(item.header(), background);
        }
        item.is_some()
    }

    /// Does what was asked for of items while they were being polled.
    #[inline]
    pub(crate) fn regroup(&self) {
        if !self.regrouped.borrow().is_empty() {
            self.regroup_all();
        }
    }

    #[cold]
    fn regroup_all(&self) {
        for (slot, id, background) in self.regrouped.take() {
            self.set_background(slot, id, background);
        }
    }

    fn move_to(&self, header: &Header, background: bool) {
        // A child of a scope is background for ever: its scope waits for it.
        if header.is_child() || header.is_background() == background {
            return;
        }
        header.set_background(background);
        let before = self.background.get();
        self.background.set(if background { before + 1 } else { before - 1 });
    }
}
