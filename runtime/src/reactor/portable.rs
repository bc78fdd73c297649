//! Waiting by mio, on every platform but Linux (and there under `--cfg loopline_portable_park`).
//!
//! kqueue waits with nanoseconds through mio; Windows and poll(2) round up to whole milliseconds.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use mio::event::Event;
use mio::{Events, Poll, Registry, Token};

use super::Ready;

/// The descriptors that are registered: kqueue lets a second registration take the place of the first,
/// whose events would go astray.
type Claimed = Rc<RefCell<BTreeSet<i32>>>;

/// One of them. Lives in the table of sources, so that it ends with the registration, whether the
/// poller is told of that or the descriptor is merely closed: its number may come back at once.
pub(crate) struct Claim(Option<(i32, Claimed)>);

impl Drop for Claim {
    fn drop(&mut self) {
        if let Some((number, claimed)) = &self.0 {
            claimed.borrow_mut().remove(number);
        }
    }
}

/// Whether the poller's descriptor can tell of deadlines.
pub(crate) const TELLS_TIME: bool = false;

/// mio's poller and its buffer of events.
pub(crate) struct Poller {
    poll: RefCell<Poll>,
    /// Its registry once more, which can be borrowed at any time; on kqueue one more descriptor.
    registry: Registry,
    events: RefCell<Events>,
    capacity: Cell<usize>,
    len: Cell<usize>,
    /// The order to hand events out in, if it was changed.
    order: RefCell<Option<Vec<usize>>>,
    claimed: Claimed,
}

impl Poller {
    pub(crate) fn new(capacity: usize) -> io::Result<Self> {
        let poll = super::standard::poll()?;
        Ok(Self {
            registry: poll.registry().try_clone()?,
            poll: RefCell::new(poll),
            events: RefCell::new(Events::with_capacity(capacity)),
            capacity: Cell::new(capacity),
            len: Cell::new(0),
            order: RefCell::new(None),
            claimed: Claimed::default(),
        })
    }

    pub(crate) fn with_registry<R>(&self, f: impl FnOnce(&Registry) -> R) -> R {
        f(&self.registry)
    }

    /// Has a wait bring that many events at least.
    pub(crate) fn make_room(&self, least: usize) {
        if self.capacity.get() < least {
            self.capacity.set(least);
            self.events.replace(Events::with_capacity(least));
        }
    }

    /// Nothing: whoever waits from outside has to know the deadline.
    pub(crate) fn make_alarm(&self, _token: Token) -> io::Result<()> {
        Ok(())
    }

    pub(crate) fn set_alarm(&self, _timeout: Duration) -> io::Result<()> {
        Ok(())
    }

    pub(crate) fn end_alarm(&self) {}

    pub(crate) fn await_readable(&self) -> io::Result<()> {
        let text = "on this platform an event loop's descriptor does not tell of its timers";
        Err(io::Error::new(io::ErrorKind::Unsupported, text))
    }

    /// Claims a descriptor, before mio is asked: there it would be too late. Sources without one, as
    /// on Windows, are told apart by mio.
    pub(crate) fn claim(&self, number: Option<i32>) -> io::Result<Claim> {
        match number {
            None => Ok(Claim(None)),
            Some(number) if self.claimed.borrow_mut().insert(number) => {
                Ok(Claim(Some((number, self.claimed.clone()))))
            }
            // As epoll says it.
            Some(_) => Err(io::ErrorKind::AlreadyExists.into()),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.len.get()
    }

    /// Whether the last wait brought a token of this kind.
    pub(crate) fn any(&self, mut is_it: impl FnMut(usize) -> bool) -> bool {
        self.len.get() != 0 && self.events.borrow().iter().any(|event| is_it(event.token().0))
    }

    pub(crate) fn saturated(&self) -> bool {
        self.len.get() == self.capacity.get()
    }

    /// Waits once. `Interrupted` is the caller's to handle: it knows the deadline.
    pub(crate) fn wait(&self, timeout: Option<Duration>) -> io::Result<()> {
        let mut events = self.events.borrow_mut();
        self.len.set(0);
        self.poll.borrow_mut().poll(&mut events, timeout)?;
        self.len.set(events.iter().count());
        Ok(())
    }

    /// Hands out the events of the last wait.
    pub(crate) fn drain(&self, mut event: impl FnMut(usize, Found)) {
        if self.len.replace(0) == 0 {
            return;
        }
        let events = self.events.borrow();
        match self.order.take() {
            None => events.iter().for_each(|found| event(found.token().0, Found::of(found))),
            Some(order) => {
                let found: Vec<&Event> = events.iter().collect();
                order.into_iter().for_each(|i| event(found[i].token().0, Found::of(found[i])));
            }
        }
    }

    pub(crate) fn shuffle(&self, shuffle: impl FnOnce(&mut [usize])) {
        let mut order: Vec<usize> = (0..self.len.get()).collect();
        shuffle(&mut order);
        self.order.replace(Some(order));
    }
}

#[cfg(any(
    target_os = "linux",
    target_os = "android",
    target_os = "freebsd",
    target_os = "netbsd",
    target_os = "openbsd",
    target_os = "dragonfly",
    target_vendor = "apple",
))]
impl std::os::fd::AsFd for Poller {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.registry.as_fd()
    }
}

/// What mio says of one source.
#[derive(Clone, Copy)]
pub(crate) struct Found(Ready, bool);

impl Found {
    fn of(event: &Event) -> Self {
        // Elsewhere an error comes with an end.
        let is_epoll = cfg!(any(target_os = "linux", target_os = "android"));
        Self(ready(event), is_epoll && event.is_error() && !event.is_read_closed())
    }

    #[inline]
    pub(crate) fn is_readable_only(self) -> bool {
        self.0 == Ready(Ready::READABLE)
    }

    #[inline]
    pub(crate) fn ready(self) -> Ready {
        self.0
    }

    /// Whether it tells of an error, and of nobody who has gone.
    #[inline]
    pub(crate) fn is_failure(self) -> bool {
        self.1
    }
}

fn ready(event: &Event) -> Ready {
    let mut bits = 0;
    if event.is_readable() {
        bits |= Ready::READABLE;
    }
    if event.is_priority() {
        bits |= Ready::PRIORITY;
    }
    if event.is_writable() {
        bits |= Ready::WRITABLE;
    }
    if event.is_read_closed() || event.is_error() {
        bits |= Ready::READ_CLOSED | Ready::PRIORITY_CLOSED;
    }
    if event.is_write_closed() || event.is_error() {
        bits |= Ready::WRITE_CLOSED;
    }
    if event.is_error() {
        bits |= Ready::ERROR;
    }
    Ready(bits)
}

#[cfg(test)]
#[path = "portable/tests.rs"]
mod tests;
