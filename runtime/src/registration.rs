//! One source's registration with the loop it was first awaited on: its ledger and its token.
//!
//! `loopline-io` builds sockets on this; the types of mio that show here are outside the semver
//! promise of the facade, which does not expose this module.

use std::cell::{Cell, OnceCell};
use std::fmt;
use std::io;
use std::rc::Weak;
use std::task::Context;

use mio::{Registry, Token};

pub use crate::reactor::{Direction, Directions, Each, WaitKey};

use crate::counted::{Counted, Value};
use crate::current::with_current;
use crate::reactor::{Ledger, Ready};
use crate::shared::Shared;
use crate::wake::is_of_loop;

/// The readiness of one source, and its place in the poller of one event loop.
///
/// Starts unregistered and believed ready: operations are tried first, and the source joins the
/// poller of the running loop when one would block.
pub struct Registration {
    ledger: Counted<Value<Ledger>>,
    /// Where it is registered, once it is.
    place: OnceCell<Place>,
    /// Set by `end`.
    ended: Cell<bool>,
}

/// Tells the poller that a source is going.
pub type Deregister<'a> = &'a mut dyn FnMut(&Registry) -> io::Result<()>;

/// A loop and a token in it.
struct Place {
    shared: Weak<Shared>,
    /// The loop's number, as its wakers carry it.
    number: u32,
    token: Token,
}

impl Registration {
    /// Makes a registration that is believed ready for reading and writing.
    #[must_use]
    pub fn new() -> Self {
        Self::believed(Ready::READABLE | Ready::WRITABLE)
    }

    /// Makes a registration that is believed ready for nothing: the poller speaks first.
    #[must_use]
    pub fn unready() -> Self {
        Self::believed(0)
    }

    fn believed(ready: u8) -> Self {
        Self {
            ledger: Value::new(Ledger::new(ready)),
            place: OnceCell::new(),
            ended: Cell::new(false),
        }
    }

    /// Whether the source is believed ready, or closed, in this direction.
    #[inline]
    #[must_use]
    pub fn is_ready(&self, direction: Direction) -> bool {
        self.ledger.is_ready(direction)
    }

    /// The directions in which the source is believed ready, their ends apart.
    #[inline]
    #[must_use]
    pub fn open(&self) -> Directions {
        self.ledger.open()
    }

    /// The directions that the poller said are closed for good.
    #[inline]
    #[must_use]
    pub fn closed(&self) -> Directions {
        self.ledger.closed()
    }

    /// Notes that an operation just saw WouldBlock in this direction.
    ///
    /// There is no race with new readiness: events are taken only while no user code runs.
    #[inline]
    pub fn clear(&self, direction: Direction) {
        self.ledger.clear_closed(direction);
    }

    /// Notes a short read of a stream: it would block now, unless it is closed.
    #[inline]
    pub fn clear_open(&self, directions: impl Into<Directions>) {
        self.ledger.clear(directions.into());
    }

    /// Believes again that both directions are ready, until an operation says otherwise: for a socket
    /// that has just been connected.
    pub fn assume_ready(&self) {
        self.ledger.assume(Ready::READABLE | Ready::WRITABLE);
    }

    /// Whether the source is registered with a poller.
    #[must_use]
    pub fn is_registered(&self) -> bool {
        self.place.get().is_some() && !self.ended.get()
    }

    /// Registers the source with the poller of the event loop that runs on this thread. `number` is its
    /// descriptor, if it has one.
    ///
    /// # Errors
    ///
    /// `AlreadyExists` if the descriptor is registered with this loop already, on every platform. Or if
    /// no loop runs, or the system refuses. Then nothing has changed.
    pub fn register(
        &self,
        number: Option<i32>,
        register: &mut dyn FnMut(&Registry, Token) -> io::Result<()>,
    ) -> io::Result<()> {
        if self.place.get().is_some() {
            return Err(io::Error::other(
                "the source is or was registered with an event loop already",
            ));
        }
        with_current(|shared| {
            let shared = shared.ok_or_else(no_loop)?;
            let token = shared.reactor.register(&self.ledger, number, register)?;
            let number = shared.home.number.get();
            let place = Place { shared: shared.weak(), number, token };
            // Empty: looked at above, and `register` runs no user code.
            let _ = self.place.set(place);
            Ok(())
        })
    }

    /// Whether the source is registered with the event loop that runs on this thread.
    #[must_use]
    pub fn is_here(&self) -> bool {
        let place = self.place.get().filter(|_| !self.ended.get());
        let registered_with =
            place.and_then(|place| place.shared.upgrade()).map(|shared| shared.id);
        with_current(|shared| shared.is_some_and(|shared| registered_with == Some(shared.id)))
    }

    /// Changes the registration: `change` gets the token it has.
    ///
    /// # Errors
    ///
    /// If the source is not registered, its loop is gone, the system refuses, or the descriptor was
    /// closed behind the source's back and its number is another source's now.
    pub fn change(
        &self,
        change: &mut dyn FnMut(&Registry, Token) -> io::Result<()>,
    ) -> io::Result<()> {
        let place = self.place.get().filter(|_| !self.ended.get()).ok_or_else(not_registered)?;
        let shared = place.shared.upgrade().ok_or_else(loop_gone)?;
        if !shared.reactor.owns(place.token) {
            return Err(closed_behind());
        }
        shared.reactor.with_registry(|registry| change(registry, place.token))
    }

    /// Ends the registration: `deregister` tells the poller. Without it (a socket whose descriptor
    /// was never lent and that is about to close) late events are dropped by their token.
    ///
    /// # Errors
    ///
    /// What `deregister` returns; the registration has ended all the same.
    pub fn end(&self, deregister: Option<Deregister<'_>>) -> io::Result<()> {
        if self.ended.replace(true) {
            return Ok(());
        }
        let Some(place) = self.place.get() else { return Ok(()) };
        let Some(shared) = place.shared.upgrade() else { return Ok(()) };
        let reactor = &shared.reactor;
        let deregister = deregister.filter(|_| reactor.owns(place.token));
        reactor.forget(place.token);
        match deregister {
            Some(deregister) => reactor.with_registry(|registry| deregister(registry)),
            None => Ok(()),
        }
    }

    /// Whether the poller tells when this direction becomes ready: see [`Registration::watch`].
    #[inline]
    #[must_use]
    pub fn is_watched(&self, direction: Direction) -> bool {
        self.ledger.is_watched(direction)
    }

    /// Notes that the poller was asked for these directions, by `register` or `change`.
    ///
    /// # Errors
    ///
    /// If the source's event loop is gone: nothing would ever wake.
    pub fn watch(&self, directions: impl Into<Directions>) -> io::Result<()> {
        if self.ledger.is_orphan() {
            return Err(loop_gone());
        }
        self.ledger.watch(directions.into());
        Ok(())
    }

    /// How many events the poller has brought, wrapping: who looked at the readiness earlier can tell
    /// whether there is newer one.
    #[must_use]
    pub fn events(&self) -> u32 {
        self.ledger.events()
    }

    /// Refuses a wait inside another event loop than the source's: it might never end, as nobody may be
    /// turning that loop meanwhile.
    ///
    /// # Errors
    ///
    /// If the source is registered, and the innermost loop that runs on this thread is another.
    #[inline]
    pub fn check_loop(&self, cx: &Context<'_>) -> io::Result<()> {
        match self.place.get() {
            // As nearly always: who waits is an item of that loop, and so inside its turn.
            Some(place) if is_of_loop(cx.waker(), place.number) => Ok(()),
            Some(place) => Self::check_running(place),
            None => Ok(()),
        }
    }

    #[cold]
    fn check_running(place: &Place) -> io::Result<()> {
        let elsewhere = with_current(|shared| {
            shared.is_some_and(|shared| !std::ptr::eq(shared, place.shared.as_ptr()))
        });
        if elsewhere { Err(other_loop(place)) } else { Ok(()) }
    }

    /// As `check_loop`, `is_watched` and `wait` in one, for what nearly every wait is: a lone one in a
    /// direction that is watched already. Returns whether it was that; if not, nothing was done.
    #[inline]
    #[must_use]
    pub fn wait_alone(&self, direction: Direction, key: &mut WaitKey, cx: &Context<'_>) -> bool {
        let waker = cx.waker();
        let here = self.place.get().is_some_and(|place| is_of_loop(waker, place.number));
        here && self.ledger.wait_alone(direction, key, waker.data().addr())
    }

    /// Waits: wakes the task of `cx` when the direction becomes ready, or closed. It must be watched.
    pub fn wait(&self, direction: Direction, key: &mut WaitKey, cx: &Context<'_>) {
        debug_assert!(self.is_watched(direction), "nothing would wake this");
        drop(self.ledger.wait(direction, key, cx.waker()));
    }

    /// Waits in each of these directions, which must be watched, in the place of the last who did by this:
    /// as [`WaitKey::last_poller`].
    ///
    /// # Errors
    ///
    /// As [`Registration::check_loop`], or if the source's event loop is gone: nothing would ever wake.
    #[inline]
    pub fn wait_last(&self, directions: Directions, cx: &Context<'_>) -> io::Result<()> {
        const READ: Directions = Directions::of(Direction::Read);
        if directions == READ && self.wait_alone(Direction::Read, &mut WaitKey::last_poller(), cx) {
            return Ok(());
        }
        self.wait_last_of_each(directions, cx)
    }

    #[cold]
    fn wait_last_of_each(&self, directions: Directions, cx: &Context<'_>) -> io::Result<()> {
        self.check_loop(cx)?;
        if self.ledger.is_orphan() {
            return Err(loop_gone());
        }
        for direction in directions {
            self.wait(direction, &mut WaitKey::last_poller(), cx);
        }
        Ok(())
    }

    /// Ends a wait. A key that does not wait is fine.
    #[inline]
    pub fn unwait(&self, direction: Direction, key: &mut WaitKey) {
        // Woken before, as usual.
        if self.ledger.has_waiters(direction) {
            self.unwait_one(direction, key);
        }
    }

    #[cold]
    fn unwait_one(&self, direction: Direction, key: &mut WaitKey) {
        drop(self.ledger.unwait(direction, key));
    }
}

impl Default for Registration {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        // Without telling the poller: who owns the source does that, if it has to be done.
        let _ = self.end(None);
    }
}

impl fmt::Debug for Registration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registration")
            .field("ledger", &**self.ledger)
            .field("registered", &self.is_registered())
            .finish()
    }
}

fn no_loop() -> io::Error {
    io::Error::other(
        "no event loop runs on this thread: await this inside block_on, run or a #[main] function",
    )
}

fn not_registered() -> io::Error {
    io::Error::other("the source is not registered with an event loop")
}

fn closed_behind() -> io::Error {
    io::Error::other(
        "the descriptor was closed while it was registered, and its number belongs to another source",
    )
}

#[cold]
fn other_loop(place: &Place) -> io::Error {
    if place.shared.strong_count() == 0 {
        return loop_gone();
    }
    io::Error::other(
        "the source is registered with another event loop than the one that awaits it: await it \
         there, or take it out of its registration (into_inner, into_std) and make it anew here",
    )
}

fn loop_gone() -> io::Error {
    io::Error::other("the event loop that this source was used on is gone")
}
