//! Everything one event loop owns, and how the thread finds it.
//!
//! Items are inserted, polled, ended and cancelled here, and nowhere else: `poll_item` is the one
//! call site of user code in the run phase.
//!
//! Invariant (Unborrowed Call): no `RefCell` of the loop is borrowed while user code runs, and user
//! code is: polls, destructors of futures, outputs and payloads, and foreign wakers' functions.

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::thread::{self, ThreadId};
use std::time::Duration;

use crate::budget::Allowance;
use crate::chance::Chance;
use crate::clock::{LoopClock, Nanos};
use crate::config::{Config, Counters, PanicPolicy, Stats};
use crate::mailbox::Mailbox;
use crate::phases::Phases;
use crate::reactor::Reactor;
use crate::run_queue::{NONE, ROOT};
use crate::state::{Scoped, StateCell};
use crate::task::{Item, Items, Meta, Payload, Task, TaskId, drop_payload};
use crate::timers::Timers;
use crate::wake::{self, Home};

/// What another thread asks of the loop; runs in the collect phase and only inserts or sets flags.
pub(crate) type Message = Box<dyn FnOnce(&Shared) + Send>;

/// When a new item runs first.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Start {
    /// In the next round, behind what is queued.
    Queue,
    /// At the head of the next round.
    Head,
    /// In the next turn.
    NextTurn,
}

/// Where the loop is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Life {
    Open,
    ShuttingDown,
    Gone,
}

/// Why an item could not be inserted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InsertErrorKind {
    /// The event loop was dropped.
    LoopGone,
    /// The event loop is being dropped and takes no new items.
    ShuttingDown,
    /// The loop holds as many items as it has numbers (16 million; 1 million on 32-bit platforms).
    Full,
}

impl std::fmt::Display for InsertErrorKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::LoopGone => "the event loop of this handle was dropped",
            Self::ShuttingDown => "the event loop is shutting down and takes no new items",
            Self::Full => "the event loop is full: end some of its items first",
        })
    }
}

/// One event loop's insides.
#[derive(Debug)]
pub(crate) struct Shared {
    /// Never reused, unlike the number in `home`.
    pub(crate) id: u64,
    pub(crate) home: Home,
    pub(crate) items: Items,
    pub(crate) timers: RefCell<Timers>,
    pub(crate) reactor: Reactor,
    pub(crate) clock: LoopClock,
    pub(crate) chance: Chance,
    pub(crate) state: StateCell,
    pub(crate) phases: Phases,
    pub(crate) mailbox: Arc<Mailbox<Message>>,
    pub(crate) config: Config,
    pub(crate) counters: Counters,
    pub(crate) life: Cell<Life>,
    /// Set by `stop`, cleared by the `run` or `turn` that ends for it.
    pub(crate) stop: Cell<bool>,
    /// Set inside a turn; outside, inserting work notifies.
    pub(crate) in_turn: Cell<bool>,
    /// The slot of the item being polled, else `NONE`.
    pub(crate) running_slot: Cell<u32>,
    /// The id of the item being polled; stale while `running_slot` is `NONE` or `ROOT`.
    running_id: Cell<u64>,
    /// Items alive.
    pub(crate) live: Cell<usize>,
    /// Items alive that keep `run` going.
    pub(crate) foreground: Cell<usize>,
    next_id: Cell<u64>,
    /// Set when a wait filled its buffer, so that there may be more events at once.
    pub(crate) more_events: Cell<bool>,
    /// The last look at the clock between items.
    pub(crate) last_check: Cell<Nanos>,
    pub(crate) remotes: Remotes,
    /// Itself, for what outlives a call.
    this: Weak<Self>,
}

/// What all `Remote`s of one loop share; dropped with the last of them.
#[derive(Debug)]
pub(crate) struct Alive {
    pub(crate) mailbox: Arc<Mailbox<Message>>,
    /// The loop's thread.
    pub(crate) thread: ThreadId,
}

impl Drop for Alive {
    fn drop(&mut self) {
        // `run` may have been waiting for just this.
        self.mailbox.nudge();
    }
}

/// Whether any `Remote` of the loop lives.
#[derive(Debug, Default)]
pub(crate) struct Remotes(RefCell<std::sync::Weak<Alive>>);

impl Remotes {
    pub(crate) fn any(&self) -> bool {
        self.0.borrow().strong_count() != 0
    }

    pub(crate) fn join(&self, shared: &Shared) -> Arc<Alive> {
        if let Some(alive) = self.0.borrow().upgrade() {
            return alive;
        }
        let thread = thread::current().id();
        let alive = Arc::new(Alive { mailbox: shared.mailbox.clone(), thread });
        *self.0.borrow_mut() = Arc::downgrade(&alive);
        alive
    }
}

thread_local! {
    /// The loop whose turn runs on this thread, innermost.
    static CURRENT: Scoped<Shared> = const { Scoped::new() };
    /// The loops of this thread, for handles used outside a turn.
    static LOOPS: RefCell<Vec<(u64, Weak<Shared>)>> = const { RefCell::new(Vec::new()) };
}

/// Calls `f` with the loop whose turn runs on this thread.
#[inline]
pub(crate) fn with_current<R>(f: impl FnOnce(Option<&Shared>) -> R) -> R {
    CURRENT.with(|cell| cell.with(f))
}

/// Calls `f` with the loop of that id if it lives on this thread.
#[inline]
pub(crate) fn with_loop<R>(id: u64, f: impl FnOnce(Option<&Shared>) -> R) -> R {
    with_current(|current| match current {
        Some(shared) if shared.id == id => f(Some(shared)),
        _ => f(find_loop(id).as_deref()),
    })
}

/// Looks a loop up that is not in its turn, or not the innermost.
fn find_loop(id: u64) -> Option<Rc<Shared>> {
    let found = LOOPS.try_with(|loops| {
        loops.borrow().iter().find(|(known, _)| *known == id).and_then(|(_, weak)| weak.upgrade())
    });
    // An error: this thread's locals are being destroyed. What is not in its turn then, is gone.
    found.ok().flatten()
}

/// Makes a loop known to this thread.
pub(crate) fn enlist(shared: &Rc<Shared>) {
    // Not reachable from a destructor of a thread-local that outlives LOOPS: then handles of the new
    // loop work inside its turns only.
    let _ = LOOPS.try_with(|loops| loops.borrow_mut().push((shared.id, Rc::downgrade(shared))));
}

/// Forgets a loop.
pub(crate) fn delist(id: u64) {
    // As in `enlist`.
    let _ = LOOPS.try_with(|loops| loops.borrow_mut().retain(|(known, _)| *known != id));
}

/// The number of parts a loop is made of that only `EventLoop::new` puts together.
pub(crate) struct Parts {
    pub(crate) id: u64,
    pub(crate) home: Home,
    pub(crate) reactor: Reactor,
    pub(crate) clock: LoopClock,
    pub(crate) chance: Chance,
    pub(crate) state: StateCell,
    pub(crate) config: Config,
}

impl Shared {
    pub(crate) fn new(parts: Parts) -> Rc<Self> {
        let inbox = parts.home.number.inbox();
        inbox.grow(0);
        Rc::new_cyclic(|this| Self {
            this: this.clone(),
            id: parts.id,
            home: parts.home,
            items: Items::new(),
            timers: RefCell::new(Timers::new()),
            reactor: parts.reactor,
            clock: parts.clock,
            chance: parts.chance,
            state: parts.state,
            phases: Phases::default(),
            mailbox: Arc::new(Mailbox::new(inbox)),
            config: parts.config,
            counters: Counters::default(),
            life: Cell::new(Life::Open),
            stop: Cell::new(false),
            in_turn: Cell::new(false),
            running_slot: Cell::new(NONE),
            running_id: Cell::new(0),
            live: Cell::new(0),
            foreground: Cell::new(0),
            next_id: Cell::new(1),
            more_events: Cell::new(false),
            last_check: Cell::new(0),
            remotes: Remotes::default(),
        })
    }

    /// Returns a reference that does not keep the loop's insides.
    pub(crate) fn weak(&self) -> Weak<Self> {
        self.this.clone()
    }

    /// Calls `f` as the current loop of this thread, awake; the loop counts as parked afterwards.
    pub(crate) fn enter<R>(&self, f: impl FnOnce() -> R) -> R {
        struct Leave<'a>(&'a Shared);
        impl Drop for Leave<'_> {
            fn drop(&mut self) {
                self.0.in_turn.set(false);
                self.0.home.number.inbox().park();
            }
        }
        self.in_turn.set(true);
        self.home.number.inbox().unpark();
        // Time spent outside is not lag.
        self.last_check.set(self.clock.refresh());
        let _leave = Leave(self);
        wake::at_home(&self.home, || CURRENT.with(|cell| cell.scope(self, f)))
    }

    /// Takes the next id.
    pub(crate) fn take_id(&self) -> TaskId {
        let id = self.next_id.get();
        self.next_id.set(id + 1);
        TaskId(id)
    }

    /// Makes an item of a future, or gives the future back.
    #[inline]
    pub(crate) fn insert<F: Future + 'static>(
        &self,
        future: F,
        meta: Meta,
        start: Start,
    ) -> Result<Rc<Task<F>>, (F, InsertErrorKind, Meta)> {
        match self.life.get() {
            Life::Open => {}
            Life::ShuttingDown => return Err((future, InsertErrorKind::ShuttingDown, meta)),
            Life::Gone => return Err((future, InsertErrorKind::LoopGone, meta)),
        }
        let Some(slot) = self.home.queue.allocate() else {
            return Err((future, InsertErrorKind::Full, meta));
        };
        let background = meta.background;
        let task = Task::new(future, self.take_id(), slot, meta);
        self.start(slot, task.clone(), background, start);
        Ok(task)
    }

    /// The part of `insert` that does not depend on the future's type.
    fn start(&self, slot: u32, item: Rc<dyn Item>, background: bool, start: Start) {
        self.items.grow(slot);
        self.home.number.inbox().grow(slot);
        self.items.put(slot, item);
        self.live.set(self.live.get() + 1);
        if !background {
            self.foreground.set(self.foreground.get() + 1);
        }
        let queue = &self.home.queue;
        match start {
            Start::Queue => queue.wake(slot, queue.generation(slot)),
            Start::Head => queue.defer(slot),
            Start::NextTurn => queue.next_turn(slot),
        }
        self.notify_outside_turn();
    }

    /// Interrupts the wait of whoever will call `turn`, if this is not inside one.
    pub(crate) fn notify_outside_turn(&self) {
        if !self.in_turn.get() {
            self.home.number.inbox().notify_parked();
        }
    }

    /// Polls one item, and ends it if it is done: the one call site of user code in the run phase.
    #[inline]
    pub(crate) fn poll_item(&self, slot: u32) {
        // None: the item is being cancelled further up the stack, or was.
        let Some(item) = self.items.take(slot) else { return };
        self.running_slot.set(slot);
        let waker = wake::waker(self.home.word(slot));
        let allowance = Allowance::grant(self.config.operations);
        let polled = catch_unwind(AssertUnwindSafe(|| {
            item.poll(&mut Context::from_waker(&waker), &self.running_id)
        }));
        drop(allowance);
        self.running_slot.set(NONE);
        match polled {
            Ok(Poll::Pending) if !self.home.queue.cancel_requested(slot) => {
                self.items.put(slot, item);
            }
            Ok(Poll::Pending) => self.end_cancelled(slot, item),
            Ok(Poll::Ready(())) => self.retire(slot, item),
            Err(payload) => {
                item.fail(payload);
                self.retire(slot, item);
            }
        }
    }

    /// Ends an item whose output is in place: frees its slot, then tells its handle.
    fn retire(&self, slot: u32, item: Rc<dyn Item>) {
        self.release(slot, item.header().background);
        if let Some(waiter) = item.header().take_waiter() {
            self.wake_waiter(waiter);
        }
        if Rc::strong_count(&item) == 1 {
            if let Some(payload) = item.take_panic() {
                self.unobserved(&item.header().to_string(), payload);
            }
            self.drop_item(item);
        }
    }

    /// Frees a slot. Before the future or the output is dropped, so that what they wake is ignored.
    fn release(&self, slot: u32, background: bool) {
        self.home.queue.free(slot);
        self.live.set(self.live.get() - 1);
        if !background {
            self.foreground.set(self.foreground.get() - 1);
        }
    }

    /// Drops the last reference to an item; its output's destructor is user code.
    fn drop_item(&self, item: Rc<dyn Item>) {
        let (id, place) = (item.header().id, item.header().place);
        if let Err(payload) = catch_unwind(AssertUnwindSafe(|| drop(item))) {
            self.unobserved(&format!("the output of item {id} made at {place}"), payload);
        }
    }

    /// Cancels an item: at once, or as its poll returns if it is being polled.
    ///
    /// Returns whether there was such an item.
    pub(crate) fn cancel(&self, slot: u32, id: TaskId) -> bool {
        if self.is_running(slot, id) {
            self.home.queue.request_cancel(slot);
            return true;
        }
        match self.items.take_if(slot, id) {
            Some(item) => {
                self.end_cancelled(slot, item);
                true
            }
            None => false,
        }
    }

    fn end_cancelled(&self, slot: u32, item: Rc<dyn Item>) {
        self.release(slot, item.header().background);
        if let Some(payload) = item.cancel() {
            self.unobserved(&item.header().to_string(), payload);
        }
        if let Some(waiter) = item.header().take_waiter() {
            self.wake_waiter(waiter);
        }
    }

    /// Whether that item is being polled now.
    pub(crate) fn is_running(&self, slot: u32, id: TaskId) -> bool {
        slot != NONE && self.running_slot.get() == slot && self.running_id.get() == id.0
    }

    /// Returns the item being polled, unless it is the root future.
    pub(crate) fn running(&self) -> Option<(u32, TaskId)> {
        let slot = self.running_slot.get();
        (slot != NONE && slot != ROOT).then(|| (slot, TaskId(self.running_id.get())))
    }

    /// Whether that item is alive, at rest or running.
    pub(crate) fn holds(&self, slot: u32, id: TaskId) -> bool {
        self.is_running(slot, id)
            || self.items.take_if(slot, id).is_some_and(|item| {
                self.items.put(slot, item);
                true
            })
    }

    /// Wakes a waiter with nothing borrowed; a foreign waker that panics costs nobody else anything.
    #[inline]
    pub(crate) fn wake_waiter(&self, waiter: Waker) {
        if wake::is_ours(&waiter) {
            wake::wake(waiter);
        } else if let Err(payload) = catch_unwind(AssertUnwindSafe(|| waiter.wake())) {
            self.unobserved("a waker of another library", payload);
        }
    }

    /// Does what the policy says with a panic that nobody waits for.
    pub(crate) fn unobserved(&self, what: &str, payload: Payload) {
        report(self.config.label.as_deref(), what, &payload);
        drop_payload(payload);
        match self.config.panic {
            PanicPolicy::Continue => {}
            PanicPolicy::Stop => self.stop(),
            PanicPolicy::Abort => std::process::abort(),
        }
    }

    /// Ends `run` after this turn, or after its first one if it comes later.
    pub(crate) fn stop(&self) {
        self.stop.set(true);
        self.notify_outside_turn();
    }

    /// Takes a snapshot of the counters.
    pub(crate) fn stats(&self) -> Stats {
        let counters = &self.counters;
        Stats {
            turns: counters.turns.get(),
            items_run: counters.items_run.get(),
            time_parked: Duration::from_nanos(counters.parked.get()),
            longest_item: Duration::from_nanos(counters.longest_item.get()),
            lag: Duration::from_nanos(counters.lag.get()),
            items: self.live.get(),
            timers: self.timers.borrow().len(),
            registrations: self.reactor.len(),
        }
    }

    /// Ends all items, newest first, while everything else still works.
    pub(crate) fn shut_down(&self) {
        self.life.set(Life::ShuttingDown);
        for message in self.mailbox.close() {
            if let Err(payload) = catch_unwind(AssertUnwindSafe(|| drop(message))) {
                self.unobserved("a message from another thread", payload);
            }
        }
        let mut items: Vec<(TaskId, u32)> = (0..self.home.queue.used())
            .filter_map(|slot| {
                let item = self.items.take(slot)?;
                let id = item.header().id;
                self.items.put(slot, item);
                Some((id, slot))
            })
            .collect();
        items.sort_unstable();
        for (id, slot) in items.into_iter().rev() {
            self.cancel(slot, id);
        }
        self.life.set(Life::Gone);
    }
}

/// Prints an unobserved panic. Also used where the loop is gone.
pub(crate) fn report(label: Option<&str>, what: &str, payload: &Payload) {
    let text = payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("a value that is not text");
    let name = label.unwrap_or("loopline");
    eprintln!("{name}: {what} panicked, and nobody awaits it: {text}");
}
