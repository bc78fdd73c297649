//! Everything one event loop owns. What is done with it stands in `current` (how the thread finds it),
//! `items` (inserting, polling, ending) and `turn`.
//!
//! Invariant (Unborrowed Call): no `RefCell` of the loop is borrowed while user code runs, and user
//! code is: polls, destructors of futures, outputs and payloads, and foreign wakers' functions.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::VecDeque;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::task::Waker;
use std::thread::{self, ThreadId};
use std::time::Duration;

use crate::chance::Chance;
use crate::clock::{LoopClock, Nanos};
use crate::closing::Closing;
use crate::config::{Config, Counters, Stats};
use crate::counted::Counted;
use crate::fork::Stamp;
use crate::host::Host;
use crate::inbox::take_ids;
use crate::item::{Item, Payload, TaskId};
use crate::mailbox::Mailbox;
use crate::phases::{Phase, Phases};
use crate::pool::Jobs;
use crate::reactor::Reactor;
use crate::run_queue::{NONE, ROOT};
use crate::running::Running;
use crate::state::StateCell;
use crate::timers::Timers;
use crate::wake::Home;
use crate::watchdog::Watch;

pub(crate) use self::ways::{Hosting, Root, Ways};

mod ways;

/// What another thread asks of the loop; runs in the collect phase and only inserts or sets flags.
pub(crate) type Message = Box<dyn FnOnce(&Shared) + Send>;

/// Where the loop is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Life {
    Open,
    ShuttingDown,
    Gone,
}

/// One event loop's insides.
#[derive(Debug)]
pub(crate) struct Shared {
    /// Never reused, unlike the number in `home`.
    pub(crate) id: u64,
    pub(crate) home: Home,
    pub(crate) timers: RefCell<Timers>,
    pub(crate) reactor: Reactor,
    pub(crate) clock: LoopClock,
    pub(crate) chance: Chance,
    pub(crate) state: StateCell,
    pub(crate) phases: Phases,
    pub(crate) host: Host,
    /// What is done for the host, if there is one: between `into_guest` and `into_event_loop`.
    pub(crate) hosting: Cell<Option<&'static Hosting>>,
    /// How items are run.
    pub(crate) ways: Cell<&'static Ways>,
    pub(crate) mailbox: Arc<Mailbox<Message>>,
    /// Threads for blocking jobs; made with the first.
    pub(crate) pool: OnceCell<Box<dyn Jobs>>,
    pub(crate) config: Config,
    pub(crate) counters: Counters,
    pub(crate) life: Cell<Life>,
    /// Woken at each end of an item while the loop shuts down.
    pub(crate) drained: RefCell<Vec<Waker>>,
    /// Items and children that wait for a graceful shutdown, and so are not ended by it.
    pub(crate) askers: RefCell<Vec<TaskId>>,
    /// Asked when a graceful shutdown begins.
    pub(crate) closing: Closing,
    /// Set by `stop`, cleared by the `run` or `turn` that ends for it.
    pub(crate) stop: Cell<bool>,
    /// Set inside a turn; outside, inserting work notifies.
    pub(crate) in_turn: Cell<bool>,
    /// The slot of the item that is polled, or was last in this run of rounds and has not ended; else `NONE`.
    pub(crate) running_slot: Cell<u32>,
    /// The id of the item being polled, if nobody watches: see `running_id`.
    running: Running,
    /// Items alive.
    pub(crate) live: Cell<usize>,
    /// Items alive that do not keep `run` going. The others are not counted: they are most.
    pub(crate) background: Cell<usize>,
    /// Items that were being polled when they became background, or ceased to be.
    pub(crate) regrouped: RefCell<Vec<(u32, TaskId, bool)>>,
    /// Children of scopes alive.
    pub(crate) children: Cell<usize>,
    /// The children being polled now, each inside the one before: their items.
    pub(crate) polled_children: RefCell<Vec<(u32, TaskId)>>,
    next_id: Cell<u64>,
    /// Where the block of ids ends that `next_id` is in. Zero where there is a watchdog: then see the next.
    end_of_ids: Cell<u64>,
    /// How many destructors of cancelled items run inside each other now.
    pub(crate) cancelling: Cell<u32>,
    /// Cancelled items whose futures the outermost of them drops.
    pub(crate) doomed: RefCell<VecDeque<Counted<dyn Item>>>,
    /// Set when a wait filled its buffer, so that there may be more events at once.
    pub(crate) more_events: Cell<bool>,
    /// Whether a wait that nothing can end is an error now: in `run` and `run_until`, unless the builder
    /// said otherwise.
    pub(crate) watches_deadlock: Cell<bool>,
    /// Set when the turn did not wait because nothing would end the wait.
    pub(crate) stuck: Cell<bool>,
    /// A panic that nobody waits for, to unwind out of the turn.
    pub(crate) panicked: RefCell<Option<Payload>>,
    /// How often in a row items went on only because they were asked what they wait for.
    pub(crate) asked: Cell<u32>,
    /// Items to run from one look at the clock to the next.
    pub(crate) pace: Cell<usize>,
    /// The last look at the clock between items.
    pub(crate) last_check: Cell<Nanos>,
    /// Set when an item was told that the turn has had its share: see `turn::should_yield`.
    pub(crate) over: Cell<bool>,
    /// The last look at the clock in a turn, whoever took it: see `turn::leaves_rest`.
    pub(crate) looked: Cell<Nanos>,
    pub(crate) remotes: Remotes,
    /// Says what runs, if there is a watchdog.
    pub(crate) watch: Option<Watch>,
    /// Shared by every wait here that another thread may end: see `outside`.
    pub(crate) outside: Arc<()>,
    /// Itself, for what outlives a call.
    this: Weak<Self>,
}

/// What all `Remote`s of one loop share; dropped with the last of them.
#[derive(Debug)]
pub(crate) struct Alive {
    pub(crate) mailbox: Arc<Mailbox<Message>>,
    /// The loop's thread.
    pub(crate) thread: ThreadId,
    /// The loop's process.
    pub(crate) stamp: Stamp,
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
        let stamp = shared.reactor.stamp();
        let alive = Arc::new(Alive { mailbox: shared.mailbox.clone(), thread, stamp });
        *self.0.borrow_mut() = Arc::downgrade(&alive);
        alive
    }
}

/// The number of parts a loop is made of that only `EventLoop::new` puts together.
pub(crate) struct Parts {
    pub(crate) id: u64,
    pub(crate) home: Home,
    pub(crate) reactor: Reactor,
    pub(crate) clock: LoopClock,
    pub(crate) chance: Chance,
    pub(crate) state: StateCell,
    pub(crate) watch: Option<Watch>,
    pub(crate) ways: &'static Ways,
    pub(crate) config: Config,
}

impl Shared {
    pub(crate) fn new(parts: Parts) -> Rc<Self> {
        let inbox = parts.home.number.inbox();
        inbox.grow(0);
        let pace = parts.config.check_every;
        Rc::new_cyclic(|this| Self {
            this: this.clone(),
            id: parts.id,
            home: parts.home,
            timers: RefCell::new(Timers::new()),
            reactor: parts.reactor,
            clock: parts.clock,
            chance: parts.chance,
            state: parts.state,
            phases: Phases::default(),
            host: Host::default(),
            hosting: Cell::new(None),
            ways: Cell::new(parts.ways),
            mailbox: Arc::new(Mailbox::new(inbox)),
            pool: OnceCell::new(),
            config: parts.config,
            counters: Counters::default(),
            life: Cell::new(Life::Open),
            drained: RefCell::default(),
            askers: RefCell::default(),
            closing: Closing::new(),
            stop: Cell::new(false),
            in_turn: Cell::new(false),
            running_slot: Cell::new(NONE),
            running: Running::new(),
            live: Cell::new(0),
            background: Cell::new(0),
            regrouped: RefCell::default(),
            children: Cell::new(0),
            polled_children: RefCell::default(),
            next_id: Cell::new(0),
            end_of_ids: Cell::new(0),
            cancelling: Cell::new(0),
            doomed: RefCell::default(),
            more_events: Cell::new(false),
            watches_deadlock: Cell::new(false),
            stuck: Cell::new(false),
            panicked: RefCell::new(None),
            asked: Cell::new(0),
            pace: Cell::new(pace),
            last_check: Cell::new(0),
            over: Cell::new(false),
            looked: Cell::new(0),
            remotes: Remotes::default(),
            watch: parts.watch,
            outside: Arc::new(()),
        })
    }

    /// Returns a reference that does not keep the loop's insides.
    pub(crate) fn weak(&self) -> Weak<Self> {
        self.this.clone()
    }

    /// Returns its number among the loops that live: of 16 bits, as in wakers' words.
    #[inline]
    pub(crate) fn number(&self) -> u16 {
        self.home.number.get() as u16
    }

    /// Takes the next id.
    #[inline]
    pub(crate) fn take_id(&self) -> TaskId {
        let id = self.next_id.get();
        if id >= self.end_of_ids.get() {
            return self.take_first_id();
        }
        self.next_id.set(id + 1);
        TaskId(id)
    }

    /// Takes the first id of the next block.
    #[cold]
    fn take_first_id(&self) -> TaskId {
        let block = take_ids();
        self.next_id.set(block.start + 1);
        self.end_of_ids.set(block.end);
        TaskId(block.start)
    }

    /// Where polls write whose they are, unless a watchdog has a place for it.
    pub(crate) fn own_running(&self) -> &Running {
        &self.running
    }

    /// The id of the item being polled; stale while `running_slot` is `NONE` or `ROOT`.
    pub(crate) fn running_id(&self) -> u64 {
        self.watch.as_ref().map_or(&self.running, Watch::running).get()
    }

    /// Whether that item is being polled now.
    pub(crate) fn is_running(&self, slot: u32, id: TaskId) -> bool {
        slot != NONE && self.running_slot.get() == slot && self.running_id() == id.0
    }

    /// Returns the item being polled, unless it is the root future.
    pub(crate) fn running(&self) -> Option<(u32, TaskId)> {
        let slot = self.running_slot.get();
        (slot != NONE && slot != ROOT).then(|| (slot, TaskId(self.running_id())))
    }

    /// Says that the loop is awake and looks into its inbox by itself.
    pub(crate) fn awake(&self) {
        self.home.number.inbox().unpark();
        if let Some(watch) = &self.watch {
            watch.awakes();
        }
    }

    /// Says that no item runs, to a watchdog if there is one.
    pub(crate) fn rest(&self) {
        if let Some(watch) = &self.watch {
            watch.rests();
        }
    }

    /// Whether the next turn would find something to run without waiting for the system.
    pub(crate) fn has_work(&self) -> bool {
        self.home.queue.has_due() || self.home.number.inbox().pending() || self.more_events.get()
    }

    /// Counts the items alive that keep `run` going.
    #[inline]
    pub(crate) fn foreground(&self) -> usize {
        self.live.get() - self.background.get()
    }

    /// Interrupts the wait of whoever will call `turn`, if this is not inside one.
    pub(crate) fn notify_outside_turn(&self) {
        if !self.in_turn.get() {
            self.home.number.inbox().notify_parked();
        }
    }

    /// Whether nothing that the loop knows of can ever end a wait that begins now: no deadline, no source that
    /// is waited for, no other thread, and no waker in hands that are not ours.
    ///
    /// Errs on the side of waiting: whatever might bring a wake from elsewhere makes it say no.
    #[inline]
    pub(crate) fn is_stuck(&self) -> bool {
        self.watches_deadlock.get() && !self.reactor.is_awaited_still() && !self.may_be_woken()
    }

    fn may_be_woken(&self) -> bool {
        let phases = [Phase::BeforePark, Phase::AfterPark, Phase::Idle];
        self.home.queue.any_escaped()
            || self.home.number.inbox().any_escaped()
            || self.timers.borrow_mut().next_deadline().is_some()
            || self.remotes.any()
            || Arc::strong_count(&self.outside) != 1
            || self.clock.is_held()
            || phases.into_iter().any(|phase| self.phases.any(phase))
            || self.reactor.any_awaited()
    }

    /// Ends `run` after this turn, or after its first one if it comes later.
    pub(crate) fn stop(&self) {
        self.stop.set(true);
        self.notify_outside_turn();
    }

    /// How late the loop is: how long items have run since the last look at the poller; or did before
    /// it, less the time that the loop then waited, for what came meanwhile was late by that.
    pub(crate) fn lag(&self) -> Nanos {
        if self.clock.is_paused() {
            return 0;
        }
        let began = self.clock.now();
        let waited = began.saturating_sub(self.counters.last_done.get());
        let before = self.counters.last_stretch.get().saturating_sub(waited);
        before.max(self.clock.read().saturating_sub(began))
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
            slow_items: counters.slow_items.get(),
            blocked: self.watch.as_ref().map_or(0, Watch::count),
            items: self.live.get(),
            timers: self.timers.borrow().len(),
            registrations: self.reactor.len(),
        }
    }
}
