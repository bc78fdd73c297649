//! Waiting on Linux: mio registers, this file waits on mio's descriptor by the kernel's own calls,
//! because mio rounds timeouts up to whole milliseconds.
//!
//! `epoll_pwait2` takes nanoseconds. Where it is missing or forbidden (kernels before 5.11, seccomp,
//! valgrind) the first refusal is remembered and timeouts are whole milliseconds from then on.

use std::cell::{Cell, RefCell};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::time::Duration;

use mio::unix::SourceFd;
use mio::{Interest, Poll, Registry, Token};

use super::Ready;
use crate::kernel::{At, make_timer, set_timer, wait_coarse, wait_fine, wait_readable};

pub(crate) use crate::kernel::set_timer_slack;

/// The longest finite wait: the kernel refuses timeouts that overflow its clock.
const LONGEST: Duration = Duration::from_secs(60 * 60 * 24 * 365);

/// Nothing: the kernel itself refuses a descriptor that is registered already.
pub(crate) struct Claim;

/// mio's poller and our buffer of events.
pub(crate) struct Poller {
    poll: Poll,
    fd: RawFd,
    /// As long as its capacity always; the first `len` entries are the last wait's.
    events: RefCell<Box<[libc::epoll_event]>>,
    len: Cell<usize>,
    /// Set once the kernel has refused `epoll_pwait2`.
    coarse: Cell<bool>,
    /// A timer in the poller that makes `fd` readable, for whoever waits on that from outside. Never read:
    /// it is registered for edges, so each time it goes off is one event.
    alarm: RefCell<Option<OwnedFd>>,
}

/// Whether the poller's descriptor can tell of deadlines.
pub(crate) const TELLS_TIME: bool = true;

impl Poller {
    pub(crate) fn new(capacity: usize) -> io::Result<Self> {
        let poll = super::standard::poll()?;
        let empty = libc::epoll_event { events: 0, u64: 0 };
        Ok(Self {
            fd: poll.as_raw_fd(),
            poll,
            events: RefCell::new(vec![empty; capacity].into_boxed_slice()),
            len: Cell::new(0),
            coarse: Cell::new(false),
            alarm: RefCell::new(None),
        })
    }

    pub(crate) fn with_registry<R>(&self, f: impl FnOnce(&Registry) -> R) -> R {
        f(self.poll.registry())
    }

    /// See [`Claim`].
    pub(crate) fn claim(&self, _number: Option<i32>) -> io::Result<Claim> {
        Ok(Claim)
    }

    pub(crate) fn len(&self) -> usize {
        self.len.get()
    }

    /// Whether the last wait brought a token of this kind.
    pub(crate) fn any(&self, is_it: impl FnMut(usize) -> bool) -> bool {
        let events = self.events.borrow();
        events[..self.len.get()].iter().map(|event| event.u64 as usize).any(is_it)
    }

    pub(crate) fn saturated(&self) -> bool {
        self.len.get() == self.events.borrow().len()
    }

    /// Waits once. `Interrupted` is the caller's to handle: it knows the deadline.
    #[inline(always)] // see `Reactor::park`
    pub(crate) fn wait(&self, timeout: Option<Duration>) -> io::Result<()> {
        let mut events = self.events.borrow_mut();
        // No events, should the call fail.
        self.len.set(0);
        let found = match timeout {
            None => wait_coarse(self.fd, &mut events, -1)?,
            Some(Duration::ZERO) => wait_coarse(self.fd, &mut events, 0)?,
            Some(timeout) => self.wait_for(timeout, &mut events)?,
        };
        self.len.set(found);
        Ok(())
    }

    /// Waits that long at most.
    #[inline(never)]
    fn wait_for(&self, timeout: Duration, events: &mut [libc::epoll_event]) -> io::Result<usize> {
        if !self.coarse.get() {
            match wait_fine(self.fd, events, timeout.min(LONGEST)) {
                Err(error) if is_refusal(&error) => self.coarse.set(true),
                found => return found,
            }
        }
        wait_coarse(self.fd, events, millis(timeout))
    }

    /// Has a wait bring that many events at least.
    pub(crate) fn make_room(&self, least: usize) {
        let mut events = self.events.borrow_mut();
        if events.len() < least {
            let empty = libc::epoll_event { events: 0, u64: 0 };
            *events = vec![empty; least].into_boxed_slice();
        }
    }

    /// Makes the alarm, unless there is one.
    pub(crate) fn make_alarm(&self, token: Token) -> io::Result<()> {
        let mut alarm = self.alarm.borrow_mut();
        if alarm.is_none() {
            let timer = make_timer(libc::CLOCK_MONOTONIC)?;
            let (raw, interest) = (timer.as_raw_fd(), Interest::READABLE);
            self.poll.registry().register(&mut SourceFd(&raw), token, interest)?;
            *alarm = Some(timer);
        }
        Ok(())
    }

    /// Sets the alarm anew.
    pub(crate) fn set_alarm(&self, timeout: Duration) -> io::Result<()> {
        let alarm = self.alarm.borrow();
        alarm.as_ref().map_or(Ok(()), |timer| set_timer(timer, At::After(timeout.min(LONGEST))))
    }

    pub(crate) fn end_alarm(&self) {
        if let Some(timer) = self.alarm.take() {
            // Before it is closed: a forked child may hold a copy. Nothing else can fail here.
            let _ = self.poll.registry().deregister(&mut SourceFd(&timer.as_raw_fd()));
        }
    }

    /// Waits as a host does that knows nothing but the descriptor.
    pub(crate) fn await_readable(&self) -> io::Result<()> {
        loop {
            match wait_readable(self.fd) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => return other,
            }
        }
    }

    /// Hands out the events of the last wait.
    pub(crate) fn drain(&self, mut event: impl FnMut(usize, Found)) {
        let events = self.events.borrow();
        for found in &events[..self.len.replace(0)] {
            // Copies: the struct is packed on some architectures.
            let (token, flags) = (found.u64, found.events);
            event(token as usize, Found(flags));
        }
    }

    pub(crate) fn shuffle(&self, shuffle: impl FnOnce(&mut [usize])) {
        let mut events = self.events.borrow_mut();
        let mut order: Vec<usize> = (0..self.len.get()).collect();
        shuffle(&mut order);
        let shuffled: Vec<_> = order.into_iter().map(|index| events[index]).collect();
        events[..shuffled.len()].copy_from_slice(&shuffled);
    }
}

impl AsFd for Poller {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.poll.registry().as_fd()
    }
}

/// What the kernel says of one source.
#[derive(Clone, Copy)]
pub(crate) struct Found(u32);

impl Found {
    /// Nearly every event is that.
    #[inline]
    pub(crate) fn is_readable_only(self) -> bool {
        self.0 == libc::EPOLLIN as u32
    }

    #[inline]
    pub(crate) fn ready(self) -> Ready {
        ready(self.0)
    }

    /// Whether it tells of an error, and of nobody who has gone.
    #[inline]
    pub(crate) fn is_failure(self) -> bool {
        const ENDS: i32 = libc::EPOLLERR | libc::EPOLLHUP | libc::EPOLLRDHUP;
        self.0 & ENDS as u32 == libc::EPOLLERR as u32
    }
}

/// What the kernel's flags mean.
#[inline]
fn ready(flags: u32) -> Ready {
    const IN: u32 = libc::EPOLLIN as u32;
    const PRI: u32 = libc::EPOLLPRI as u32;
    const OUT: u32 = libc::EPOLLOUT as u32;
    const RDHUP: u32 = libc::EPOLLRDHUP as u32;
    const HUP: u32 = libc::EPOLLHUP as u32;
    const ERR: u32 = libc::EPOLLERR as u32;
    let mut bits = 0;
    if flags & IN != 0 {
        bits |= Ready::READABLE;
    }
    if flags & PRI != 0 {
        bits |= Ready::PRIORITY;
    }
    if flags & OUT != 0 {
        bits |= Ready::WRITABLE;
    }
    // The peer's half-close ends reading only; HUP and ERR end both directions.
    if flags & (RDHUP | HUP | ERR) != 0 {
        bits |= Ready::READ_CLOSED | Ready::PRIORITY_CLOSED;
    }
    if flags & (HUP | ERR) != 0 {
        bits |= Ready::WRITE_CLOSED;
    }
    if flags & ERR != 0 {
        bits |= Ready::ERROR;
    }
    Ready(bits)
}

/// Rounds up: a timer must not fire early.
fn millis(timeout: Duration) -> libc::c_int {
    let millis = timeout.as_nanos().div_ceil(1_000_000);
    libc::c_int::try_from(millis).unwrap_or(libc::c_int::MAX)
}

/// Whether the kernel, or a filter in front of it, does not know the call.
fn is_refusal(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOSYS | libc::EPERM))
}

#[cfg(test)]
mod tests {
    use super::*;
    use mio::{Events, Token, Waker};

    /// mio keeps its token in `epoll_event.u64`; nothing says so but its source.
    #[test]
    fn an_event_reads_the_same_through_mio_and_through_this_file() {
        let poller = Poller::new(8).unwrap();
        let token = Token(usize::MAX - 7);
        let waker = Waker::new(poller.poll.registry(), token).unwrap();
        waker.wake().unwrap();
        poller.wait(Some(Duration::from_secs(10))).unwrap();
        let mut ours = Vec::new();
        poller.drain(|token, found| ours.push((token, found.ready())));

        let mut mios = Vec::new();
        waker.wake().unwrap();
        let Poller { mut poll, .. } = poller;
        let mut events = Events::with_capacity(8);
        poll.poll(&mut events, Some(Duration::from_secs(10))).unwrap();
        for event in &events {
            assert!(!event.is_writable() && !event.is_read_closed());
            mios.push((event.token().0, Ready(u8::from(event.is_readable()) * Ready::READABLE)));
        }
        assert_eq!(ours, mios);
    }

    #[test]
    fn timeouts_round_up_to_whole_milliseconds_when_the_kernel_is_coarse() {
        assert_eq!(millis(Duration::from_nanos(1)), 1);
        assert_eq!(millis(Duration::from_millis(1)), 1);
        assert_eq!(millis(Duration::from_nanos(1_000_001)), 2);
        assert_eq!(millis(Duration::MAX), libc::c_int::MAX);
    }
}
