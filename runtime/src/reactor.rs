//! The reactor: owns mio's poller, turns its events into readiness, readiness into wakes.
//!
//! `event_loop` parks here and dispatches; `registration` registers sources and waits on their
//! ledgers. Knows wakers, no items and no callbacks.
//!
//! Tokens are an index into the table and a generation. An event of a source that is gone finds
//! another generation, or nothing, and is dropped: so a socket may be closed without telling the
//! poller, and a descriptor number may be used again within one batch of events.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::io;
use std::task::Waker;
use std::time::Duration;

use mio::{Registry, Token};
use slab::Slab;

use crate::clock::{NEVER, Nanos};
use crate::counted::{Counted, Value};
use crate::fork::Stamp;
#[cfg(any(target_os = "linux", target_os = "android"))]
use crate::kernel::is_socket;
use crate::wake::Word;

pub use ledger::{Direction, Directions, Each, WaitKey};
pub(crate) use ledger::{Ledger, Ready};

mod ledger;
mod standard;

#[cfg(all(any(target_os = "linux", target_os = "android"), not(loopline_portable_park)))]
#[path = "reactor/epoll.rs"]
pub(crate) mod poller;
#[cfg(not(all(any(target_os = "linux", target_os = "android"), not(loopline_portable_park))))]
#[path = "reactor/portable.rs"]
pub(crate) mod poller;

#[cfg(not(loopline_mischief))]
#[path = "reactor/honest.rs"]
mod mischief;
#[cfg(loopline_mischief)]
mod mischief;

use mischief::Mischief;
use poller::{Claim, Found, Poller};

/// Bits of a token that are the index; the rest is the generation.
#[cfg(target_pointer_width = "64")]
const INDEX_BITS: u32 = 32;
#[cfg(not(target_pointer_width = "64"))]
const INDEX_BITS: u32 = 20;

/// Bits of the generation that count. In this crate's own tests few, so that it wraps all the time.
#[cfg(not(test))]
const GENERATION_MASK: usize = usize::MAX;
#[cfg(test)]
const GENERATION_MASK: usize = 0xf;

/// The token of the notifier: no index reaches it.
pub(crate) const NOTIFIER: Token = Token(usize::MAX);

/// The token of the alarm: no index reaches it.
const ALARM: Token = Token(usize::MAX - 1);

/// One registered source.
struct Entry {
    token: usize,
    ledger: Counted<Value<Ledger>>,
    /// Its descriptor, or -1.
    number: i32,
    /// Held for its drop: the descriptor may be registered again once this entry is gone.
    _claim: Claim,
}

impl Entry {
    /// What an event of it says.
    #[inline]
    fn ready(&self, found: Found) -> Ready {
        if found.is_failure() { self.failed(found) } else { found.ready() }
    }

    /// An error without a hang-up is the end of a pipe whose reader is gone. Of a socket it is an error to be
    /// fetched, after which it goes on: a datagram was refused, a netlink socket overran. Where there is
    /// priority data too, a file of the kernel's has changed.
    #[cold]
    fn failed(&self, found: Found) -> Ready {
        let ready = found.ready();
        if ready.0 & Ready::PRIORITY != 0 || is_socket(self.number) {
            return Ready(ready.0 & !Ready::CLOSED | Ready::READABLE | Ready::WRITABLE);
        }
        ready
    }
}

/// The poller and the table of registered sources.
pub(crate) struct Reactor {
    poller: Poller,
    sources: RefCell<Slab<Entry>>,
    /// By descriptor, the token that it was registered with last. One that is closed behind our back may
    /// come back as another's: that one's registration must not be changed or ended in its place.
    owners: RefCell<Vec<usize>>,
    /// Counts registrations; what does not fit into a token wraps.
    generation: Cell<usize>,
    /// The index of the source that `any_awaited` found.
    awaited: Cell<usize>,
    /// The waiters of the rarer events of the last wait.
    rest: RefCell<Vec<Waker>>,
    /// The process that may use the poller.
    stamp: Stamp,
    /// When the alarm goes off, on the system's clock.
    alarm: Cell<Nanos>,
    mischief: Mischief,
}

impl Reactor {
    pub(crate) fn new(events: usize) -> io::Result<Self> {
        Ok(Self {
            poller: Poller::new(events)?,
            sources: RefCell::new(Slab::new()),
            owners: RefCell::default(),
            generation: Cell::new(0),
            awaited: Cell::new(0),
            rest: RefCell::default(),
            stamp: Stamp::here(),
            alarm: Cell::new(NEVER),
            mischief: Mischief::new(),
        })
    }

    /// Makes what interrupts a wait from other threads.
    pub(crate) fn notifier(&self) -> io::Result<mio::Waker> {
        self.poller.with_registry(|registry| mio::Waker::new(registry, NOTIFIER))
    }

    /// Returns the process that may use the poller.
    #[inline]
    pub(crate) fn stamp(&self) -> Stamp {
        self.stamp
    }

    /// Counts registered sources.
    pub(crate) fn len(&self) -> usize {
        self.sources.borrow().len()
    }

    /// Whether somebody waits for the source that `any_awaited` found last: so it is nearly always, as a
    /// server's listener is waited for in every turn.
    #[inline(always)] // in every turn
    pub(crate) fn is_awaited_still(&self) -> bool {
        self.sources.borrow().get(self.awaited.get()).is_some_and(|entry| entry.ledger.is_awaited())
    }

    /// Whether anybody waits for a source that is registered.
    pub(crate) fn any_awaited(&self) -> bool {
        let sources = self.sources.borrow();
        let found = sources.iter().find(|(_, entry)| entry.ledger.is_awaited());
        found.is_some_and(|(index, _)| {
            self.awaited.set(index);
            true
        })
    }

    /// Waits for events; `None` waits until there are some. Runs no user code.
    #[inline(always)] // into the turn, which does nothing so often
    pub(crate) fn park(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.stamp.check()?;
        self.poller.wait(timeout)
    }

    /// Asks for events without waiting.
    #[inline(never)]
    pub(crate) fn look(&self) -> io::Result<()> {
        self.park(Some(Duration::ZERO))
    }

    /// Whether the last wait filled its buffer, so that there may be more events at once.
    pub(crate) fn saturated(&self) -> bool {
        self.poller.saturated()
    }

    /// How many events the last wait brought, the notifier's included.
    pub(crate) fn harvested(&self) -> usize {
        self.poller.len()
    }

    /// Whether the last wait brought events of sources.
    pub(crate) fn any_harvested_source(&self) -> bool {
        self.poller.any(|token| token != NOTIFIER.0 && token != ALARM.0)
    }

    /// Returns the poller, for whoever waits on its descriptor.
    pub(crate) fn poller(&self) -> &Poller {
        &self.poller
    }

    /// Makes the alarm ahead of its need: then it takes its descriptor here, and no other's later.
    pub(crate) fn make_alarm(&self) -> io::Result<()> {
        self.poller.make_alarm(ALARM)
    }

    /// Has the poller's descriptor become readable at a time on the system's clock, which is `timeout` from
    /// now, or earlier: an alarm that is set for earlier stays as it is.
    pub(crate) fn set_alarm(
        &self,
        at: Nanos,
        timeout: impl FnOnce() -> Duration,
    ) -> io::Result<()> {
        if at < self.alarm.get() {
            self.make_alarm()?;
            self.poller.set_alarm(timeout())?;
            self.alarm.set(at);
        }
        Ok(())
    }

    /// Gives up the alarm.
    pub(crate) fn end_alarm(&self) {
        self.alarm.set(NEVER);
        if !self.stamp.is_foreign() {
            self.poller.end_alarm();
        }
    }

    /// An event of none of the sources.
    #[cold]
    fn stray(&self, token: usize) {
        if token == ALARM.0 {
            self.alarm.set(NEVER);
        }
    }

    /// Reorders the events of the last wait.
    pub(crate) fn shuffle(&self, shuffle: impl FnOnce(&mut [usize])) {
        self.poller.shuffle(shuffle);
    }

    /// Moves the events of the last wait into their ledgers, and wakes who waited for them.
    ///
    /// `wake` must run no user code: it is called with the table borrowed. Returns whether there are
    /// waiters of rarer events, which the caller wakes: see `take_rest`.
    #[inline(never)] // a loop of its own: it needs all registers
    pub(crate) fn dispatch(&self, mut wake: impl FnMut(Word)) -> bool {
        let mut rare = false;
        let sources = self.sources.borrow();
        let mut event = |token: usize, found: Found| {
            let index = token & ((1 << INDEX_BITS) - 1);
            let Some(entry) = sources.get(index) else { return self.stray(token) };
            if token != entry.token {
                // A source that is gone.
                return;
            }
            // The same call twice: asked here, the first needs no bits decoded.
            let marked = if found.is_readable_only() {
                entry.ledger.mark_for_one(Ready(Ready::READABLE))
            } else {
                entry.ledger.mark_for_one(entry.ready(found))
            };
            match marked {
                Ok(Some(waiter)) => wake(waiter),
                Ok(None) => {}
                Err(()) => {
                    rare = true;
                    entry.ledger.mark(entry.ready(found), &mut self.rest.borrow_mut());
                }
            }
        };
        self.mischief.repeat(&mut event);
        self.poller.drain(|token, found| {
            event(token, found);
            self.mischief.keep(token, found);
        });
        let all = sources.iter().map(|(_, entry)| entry);
        self.mischief.invent(all, &mut self.rest.borrow_mut()) || rare
    }

    /// Takes the waiters that `dispatch` left to its caller.
    #[cold]
    pub(crate) fn take_rest(&self) -> Vec<Waker> {
        self.rest.take()
    }

    /// Takes back what `take_rest` returned, empty, so that the next one allocates nothing.
    pub(crate) fn recycle(&self, spare: Vec<Waker>) {
        debug_assert!(spare.is_empty());
        self.rest.replace(spare);
    }

    /// Forgets all sources, and hands out who waits for them: on this loop nothing will wake them.
    pub(crate) fn shut_down(&self) -> Vec<Waker> {
        let mut waiters = Vec::new();
        let sources = self.sources.take();
        sources.iter().for_each(|(_, entry)| entry.ledger.release(&mut waiters));
        waiters
    }

    /// Registers a source: `register` gets the token to use. On failure nothing stays behind.
    ///
    /// `number` is its descriptor, if it has one: that is registered once at a time, also where the
    /// system would let the second registration take the place of the first.
    pub(crate) fn register(
        &self,
        ledger: &Counted<Value<Ledger>>,
        number: Option<i32>,
        register: &mut dyn FnMut(&Registry, Token) -> io::Result<()>,
    ) -> io::Result<Token> {
        self.stamp.check()?;
        let claim = self.poller.claim(number)?;
        let generation = self.generation.get();
        self.generation.set(generation.wrapping_add(1));
        let mut sources = self.sources.borrow_mut();
        let vacant = sources.vacant_entry();
        let index = vacant.key();
        if index >= (1 << INDEX_BITS) - 2 {
            return Err(io::Error::other("too many sources are registered with this event loop"));
        }
        let token = pack(index, generation);
        let number = number.unwrap_or(-1);
        vacant.insert(Entry { token, ledger: ledger.clone(), number, _claim: claim });
        drop(sources);
        let token = Token(token);
        match self.poller.with_registry(|registry| register(registry, token)) {
            Ok(()) => {
                self.own(number, token);
                Ok(token)
            }
            Err(error) => {
                self.sources.borrow_mut().remove(index);
                Err(error)
            }
        }
    }

    /// Calls `f` with mio's registry, to change or end a registration.
    pub(crate) fn with_registry<R>(
        &self,
        f: impl FnOnce(&Registry) -> io::Result<R>,
    ) -> io::Result<R> {
        self.stamp.check()?;
        self.poller.with_registry(f)
    }

    /// Forgets a source; its late events hit nobody.
    pub(crate) fn forget(&self, token: Token) {
        let index = token.0 & ((1 << INDEX_BITS) - 1);
        let mut sources = self.sources.borrow_mut();
        if sources.get(index).is_some_and(|entry| token.0 == entry.token) {
            let entry = sources.remove(index);
            drop(sources);
            drop(entry);
        }
    }

    /// Notes who registered a descriptor last.
    fn own(&self, number: i32, token: Token) {
        let Ok(number) = usize::try_from(number) else { return };
        let mut owners = self.owners.borrow_mut();
        if owners.len() <= number {
            owners.resize(number + 1, NOTIFIER.0);
        }
        owners[number] = token.0;
    }

    /// Whether a source is registered, and its descriptor has not been registered by another since.
    pub(crate) fn owns(&self, token: Token) -> bool {
        let index = token.0 & ((1 << INDEX_BITS) - 1);
        let sources = self.sources.borrow();
        let Some(entry) = sources.get(index).filter(|entry| token.0 == entry.token) else {
            return false;
        };
        match usize::try_from(entry.number) {
            Ok(number) => self.owners.borrow().get(number) == Some(&token.0),
            Err(_) => true,
        }
    }
}

/// Nowhere else does it matter.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn is_socket(_number: i32) -> bool {
    false
}

fn pack(index: usize, generation: usize) -> usize {
    (generation & GENERATION_MASK) << INDEX_BITS | index
}

impl fmt::Debug for Reactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reactor").field("sources", &self.len()).finish_non_exhaustive()
    }
}

#[cfg(all(test, unix))]
mod tests;
