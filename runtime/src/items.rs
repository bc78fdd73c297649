//! What happens to items: inserted, polled, ended, cancelled. Here and nowhere else.
//!
//! `poll_item` is the one call site of user code in the run phase. All of this keeps Unborrowed Call
//! (see `shared`).

use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::{Context, Poll, Waker};

use crate::budget;
use crate::counted::Counted;
use crate::insert_error::InsertErrorKind;
use crate::item::{Header, Item, ItemCell, Meta, TaskId, Unseen};
use crate::run_queue::{Entry, NONE, Place};
use crate::shared::{Life, Shared};
use crate::task::{self, Task};
use crate::timers::Waiter;
use crate::wake;
use crate::watchdog::{Watch, Witness};

mod cancel;

/// When a new item runs first.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Start {
    /// In the next round, behind what is queued.
    Queue,
    /// At the head of the next round.
    Head,
    /// In the next turn.
    NextTurn,
    /// When it is woken.
    Asleep,
}

/// An item that was taken out of its slot, which is still its own.
struct Taken<'a> {
    place: Place<'a, ItemCell>,
    item: Counted<dyn Item>,
}

/// Puts an item into its slot.
#[inline]
fn put(place: Place<'_, ItemCell>, item: Counted<dyn Item>) {
    // Forgotten, not dropped: it is None, which the compiler cannot know.
    std::mem::forget(place.content().replace(Some(item)));
}

const _: () = assert!(Header::fits(NONE));

impl Shared {
    /// Makes an item of a future, or gives the future back.
    #[inline]
    pub(crate) fn insert<F: Future + 'static>(
        &self,
        future: F,
        meta: Meta,
        start: Start,
    ) -> Result<Counted<Task<F>>, (F, InsertErrorKind, Meta)> {
        match self.take_slot(meta.lane) {
            Ok(place) => Ok(self.insert_into(place, future, meta, start)),
            Err(kind) => Err((future, kind, meta)),
        }
    }

    /// Makes an item of a future, in a slot that was just taken.
    #[inline]
    pub(crate) fn insert_into<F: Future + 'static>(
        &self,
        place: Place<'_, ItemCell>,
        future: F,
        meta: Meta,
        start: Start,
    ) -> Counted<Task<F>> {
        let future = ManuallyDrop::new(future);
        let background = meta.background;
        let id = self.take_id();
        let task = Task::new(ManuallyDrop::into_inner(future), id, place.slot, self.number(), meta);
        self.start(place, task::item(task.clone()), background, start);
        task
    }

    /// Takes a slot for a new item, or says why there is none.
    pub(crate) fn take_slot(&self, lane: u8) -> Result<Place<'_, ItemCell>, InsertErrorKind> {
        if self.life.get() != Life::Open {
            return Err(self.refusal());
        }
        if self.reactor.stamp().is_foreign() {
            return Err(InsertErrorKind::Forked);
        }
        match self.home.queue.allocate_near() {
            Some(place) if lane == 0 => Ok(place),
            near => self.prepare_slot(near, lane),
        }
    }

    /// Why a loop takes no items that is not open.
    #[cold]
    fn refusal(&self) -> InsertErrorKind {
        match self.life.get() {
            Life::Open | Life::ShuttingDown => InsertErrorKind::ShuttingDown,
            Life::Gone => InsertErrorKind::LoopGone,
        }
    }

    /// The longer way of `take_slot`, which may have taken one.
    #[inline(never)] // so that the usual way saves no registers for it
    fn prepare_slot<'a>(
        &'a self,
        near: Option<Place<'a, ItemCell>>,
        lane: u8,
    ) -> Result<Place<'a, ItemCell>, InsertErrorKind> {
        let grow = |slot| self.home.number.inbox().grow(slot);
        let place = near.or_else(|| self.home.queue.allocate(grow)).ok_or(InsertErrorKind::Full)?;
        self.home.queue.put_in_lane(place, lane);
        Ok(place)
    }

    /// The part of `insert` that does not depend on the future's type.
    #[inline(always)] // measured: a call here is 4 % of a spawn
    fn start(
        &self,
        place: Place<'_, ItemCell>,
        item: Counted<dyn Item>,
        background: bool,
        start: Start,
    ) {
        let queue = &self.home.queue;
        put(place, item);
        self.live.set(self.live.get() + 1);
        if background {
            self.background.set(self.background.get() + 1);
        }
        match start {
            Start::Queue => queue.enqueue(place),
            Start::Head => queue.defer(place),
            Start::NextTurn => queue.next_turn(place),
            Start::Asleep => {}
        }
        self.notify_outside_turn();
    }

    /// Takes the item out if it is the one named, and at rest.
    fn take_if(&self, slot: u32, id: TaskId) -> Option<Taken<'_>> {
        let place = self.home.queue.place(slot)?;
        let item = place.content().take()?;
        if item.header().id == id {
            return Some(Taken { place, item });
        }
        put(place, item);
        None
    }

    /// Polls one item, and ends it if it is done: the one call site of user code in the run phase. Returns
    /// whether it was there.
    #[inline(always)] // the loop around it is all there is to a turn
    pub(crate) fn poll_item(&self, entry: &Entry<'_, ItemCell>, witness: impl Witness) -> bool {
        let place = entry.place;
        // None: the root future's slot, or the item is being cancelled further up the stack.
        let Some(item) = place.content().take() else { return false };
        // Nothing unwinds here: an item catches its own panics.
        let item = ManuallyDrop::new(item);
        self.running_slot.set(place.slot);
        let waker = wake::waker(entry.word());
        budget::grant(self.config.operations);
        let mut cx = Context::from_waker(&waker);
        witness.runs(item.header(), self.own_running());
        let polled = item.poll(&mut cx);
        let item = ManuallyDrop::into_inner(item);
        match polled {
            Poll::Ready(()) => self.retire(place, item),
            Poll::Pending if place.cancel_requested() => {
                self.running_slot.set(NONE);
                self.end_cancelled(Taken { place, item });
            }
            Poll::Pending => put(place, item),
        }
        true
    }

    /// Ends an item whose output is in place: frees its slot, then tells its handle.
    #[inline(never)] // most polls are not the last
    fn retire(&self, place: Place<'_, ItemCell>, item: Counted<dyn Item>) {
        self.running_slot.set(NONE);
        // Nothing unwinds here.
        let item = ManuallyDrop::new(item);
        self.release(place, item.header());
        if let Some(waiter) = item.header().take_waiter() {
            self.wake_waiter(waiter);
        }
        if let Some(item) = ManuallyDrop::into_inner(item).leave() {
            self.drop_unseen(item);
        }
    }

    /// Drops an item that ended and whose handle is gone.
    #[inline(never)] // so that the end of others saves no registers for it
    fn drop_unseen(&self, item: Counted<dyn Item>) {
        if let Some(watch) = &self.watch {
            watch.drops_output(item.header());
        }
        if let Some(unseen) = item.drop_output() {
            self.report_unseen(item.header(), unseen);
        }
    }

    #[cold]
    fn report_unseen(&self, header: &Header, unseen: Unseen) {
        match unseen {
            Unseen::Item(payload) => self.unobserved(&header.to_string(), payload),
            Unseen::Output(payload) => {
                let (id, place) = (header.id, header.place);
                self.unobserved(&format!("the output of item {id} made at {place}"), payload);
            }
        }
    }

    /// Frees a slot. Before the future or the output is dropped, so that what they wake is ignored.
    #[inline(always)] // measured: 3 % of a task's life
    fn release(&self, place: Place<'_, ItemCell>, header: &Header) {
        self.home.queue.free(place);
        self.live.set(self.live.get() - 1);
        if header.is_background() {
            self.background.set(self.background.get() - 1);
            if header.is_child() {
                self.children.set(self.children.get() - 1);
            }
        }
        if self.life.get() != Life::Open {
            self.wake_drained();
        }
    }

    /// Wakes who waits for items to end.
    #[cold]
    pub(crate) fn wake_drained(&self) {
        let waiters = self.drained.take();
        waiters.into_iter().for_each(|waiter| self.wake_waiter(waiter));
    }

    /// Whether that item is alive, at rest or running.
    pub(crate) fn holds(&self, slot: u32, id: TaskId) -> bool {
        self.is_running(slot, id)
            || self.take_if(slot, id).is_some_and(|Taken { place, item }| {
                put(place, item);
                true
            })
    }

    /// Wakes a waiter with nothing borrowed; a foreign waker that panics costs nobody else anything.
    #[inline]
    pub(crate) fn wake_waiter(&self, waiter: Waker) {
        if let Some(waiter) = self.home.wake_ours(waiter) {
            self.wake_foreign(waiter);
        }
    }

    #[inline(never)] // so that waking our own saves no registers for it
    fn wake_foreign(&self, waiter: Waker) {
        let _named = self.watch.as_ref().and_then(Watch::calls_waker);
        if let Err(payload) = catch_unwind(AssertUnwindSafe(|| waiter.wake())) {
            self.unobserved("a waker of another library", payload);
        }
    }

    /// Returns the items at rest and their slots, oldest first.
    pub(crate) fn items(&self) -> Vec<(TaskId, u32)> {
        let slots = 0..self.home.queue.used();
        let mut items: Vec<(TaskId, u32)> =
            slots.filter_map(|slot| Some((self.item_in(slot)?.header().id, slot))).collect();
        items.sort_unstable_by_key(|&(id, _)| id);
        items
    }

    /// Returns the item in a slot if it is at rest.
    pub(crate) fn item_in(&self, slot: u32) -> Option<Counted<dyn Item>> {
        let cell = self.home.queue.content(slot)?;
        let item = cell.take()?;
        cell.set(Some(item.clone()));
        Some(item)
    }

    /// Asks for the memory of an item that is about to run, so that others' can come meanwhile.
    #[inline]
    pub(crate) fn fetch(&self, slot: u32) {
        if let Some(cell) = self.home.queue.content(slot) {
            let item = cell.take();
            std::hint::black_box(item.as_ref().map(|item| item.header().id));
            cell.set(item);
        }
    }

    /// Refuses items from now on, also those that other threads sent and that were not taken yet.
    pub(crate) fn stop_intake(&self) {
        if self.life.get() == Life::Open {
            self.life.set(Life::ShuttingDown);
        }
        let _named = self.watch.as_ref().and_then(Watch::drops_mail);
        for message in self.mailbox.close() {
            if let Err(payload) = catch_unwind(AssertUnwindSafe(|| drop(message))) {
                self.unobserved("a message from another thread", payload);
            }
        }
    }

    /// Ends all items, newest first, while everything else still works.
    pub(crate) fn shut_down(&self) {
        // First, so that no thread takes a job whose task is about to be cancelled.
        if let Some(pool) = self.pool.get() {
            pool.close();
        }
        self.stop_intake();
        for (id, slot) in self.items().into_iter().rev() {
            self.cancel(slot, id);
        }
        self.life.set(Life::Gone);
        // Items of other loops that wait for a source or a timer here would wait for ever.
        let timers = self.timers.borrow_mut().take_waiters();
        for waiter in self.reactor.shut_down() {
            self.wake_waiter(waiter);
        }
        for waiter in timers {
            match waiter {
                Waiter::Item(word) => self.home.wake_word(word),
                Waiter::Foreign(waiter) => self.wake_waiter(waiter),
            }
        }
        self.forget_panic();
    }
}
