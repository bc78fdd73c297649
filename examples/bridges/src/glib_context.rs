//! A main context of GLib as a source.

use std::fmt;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd, RawFd};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_core::Stream;
use glib::MainContext;
use glib::ffi;
use glib::translate::ToGlibPtr;
use loopline::callback::{AfterPark, BeforePark, after_park, before_park};
use loopline::io::{FdSource, Interest, Trigger};
use loopline::time::Timer;
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::io::Errno;

/// A main context, run by the event loop that this is inserted into: an event means that something is to
/// be dispatched, and [`GlibContext::dispatch`] does it.
///
/// It keeps to GLib's own protocol. Before each wait it is asked what it waits for (`prepare`, `query`),
/// after the wait it is told what happened (`check`), so sources with hooks of their own work too. What
/// it waits for stands in an epoll, which is one descriptor here.
///
/// The thread that makes it owns the context until it is dropped.
pub struct GlibContext {
    context: MainContext,
    before: BeforePark,
    after: AfterPark,
    /// Holds `polled`.
    fds: FdSource<OwnedFd>,
    timer: Option<Timer>,
    /// What the context waits for, as it said before the wait.
    polled: Vec<ffi::GPollFD>,
    priority: i32,
    /// Whether nothing of it had happened, as of the last wait.
    quiet: bool,
    /// Set from before a wait until after it.
    prepared: bool,
}

impl GlibContext {
    /// Takes the context for this thread.
    ///
    /// # Errors
    ///
    /// If it is another thread's, or descriptors have run out.
    pub fn new(context: &MainContext) -> io::Result<Self> {
        let fds = empty_epoll()?;
        // SAFETY: the context is alive; what is acquired is released in `drop`.
        if unsafe { ffi::g_main_context_acquire(context.to_glib_none().0) } == 0 {
            return Err(io::Error::other("the main context belongs to another thread"));
        }
        Ok(Self {
            context: context.clone(),
            before: before_park(),
            after: after_park(),
            fds,
            timer: None,
            polled: Vec::new(),
            priority: 0,
            quiet: false,
            prepared: false,
        })
    }

    /// Runs what is due in the context.
    pub fn dispatch(&self) {
        // SAFETY: the context is this thread's, and `check` said that something is to be dispatched.
        unsafe { ffi::g_main_context_dispatch(self.as_ptr()) };
    }

    fn as_ptr(&self) -> *mut ffi::GMainContext {
        self.context.to_glib_none().0
    }

    /// Asks the context what it waits for. Returns how long, if not for ever.
    fn prepare(&mut self) -> Option<Duration> {
        // SAFETY: the context is this thread's.
        unsafe { ffi::g_main_context_prepare(self.as_ptr(), &mut self.priority) };
        let before = self.polled.iter().map(|polled| polled.fd).filter(|fd| *fd >= 0);
        let before: Vec<RawFd> = before.collect();
        let mut timeout = -1;
        loop {
            let room = self.polled.len() as i32;
            // SAFETY: there are `room` entries to write to.
            let wanted = unsafe {
                ffi::g_main_context_query(
                    self.as_ptr(),
                    self.priority,
                    &mut timeout,
                    self.polled.as_mut_ptr(),
                    room,
                )
            };
            let empty = ffi::GPollFD { fd: -1, events: 0, revents: 0 };
            self.polled.resize(wanted as usize, empty);
            if wanted <= room {
                break;
            }
        }
        if !self.watch(&before) {
            return Some(Duration::ZERO);
        }
        u64::try_from(timeout).ok().map(Duration::from_millis)
    }

    /// Brings what the context waits for into the epoll. Descriptors may have been closed since, and their
    /// numbers given to others, so each is told anew. False: some cannot be waited for.
    fn watch(&self, before: &[RawFd]) -> bool {
        let epoll = self.fds.get_ref();
        // SAFETY: of this call only; the kernel looks up the number, and refuses one that is closed.
        let borrow = |fd| unsafe { BorrowedFd::borrow_raw(fd) };
        let mut all = true;
        for (place, polled) in self.polled.iter().enumerate() {
            // `poll` leaves one below zero alone.
            if polled.fd < 0 || self.polled[..place].iter().any(|other| other.fd == polled.fd) {
                continue;
            }
            // Two sources may wait for one descriptor.
            let same = self.polled.iter().filter(|other| other.fd == polled.fd);
            let events = same.fold(0, |events, other| events | other.events);
            let flags = EventFlags::from_bits_truncate(u32::from(events));
            let data = EventData::new_u64(polled.fd as u64);
            let told = match epoll::modify(epoll, borrow(polled.fd), data, flags) {
                Err(Errno::NOENT) => epoll::add(epoll, borrow(polled.fd), data, flags),
                other => other,
            };
            // To `poll`, which GLib is used to, a regular file is always ready; so is one that was closed.
            all &= told.is_ok();
        }
        for fd in before.iter().filter(|fd| self.polled.iter().all(|polled| polled.fd != **fd)) {
            // Closed already, most likely.
            let _ = epoll::delete(epoll, borrow(*fd));
        }
        all
    }

    /// Begins with an empty epoll. One that was closed before it could be taken out stays in the old one for as
    /// long as there is a duplicate of it, in another process perhaps, and goes on to be told.
    fn renew(&mut self) -> io::Result<()> {
        self.quiet = false;
        self.fds = empty_epoll()?;
        self.watch(&[]);
        Ok(())
    }

    /// Tells the context what happened. Returns whether something is to be dispatched.
    fn check(&mut self) -> bool {
        let count = self.polled.len();
        // SAFETY: of `g_poll`, which is handed as many entries as there are, and does not wait; of `check`,
        // which reads what `query` wrote and `g_poll` added.
        unsafe {
            self.quiet = ffi::g_poll(self.polled.as_mut_ptr(), count as u32, 0) == 0;
            ffi::g_main_context_check(
                self.as_ptr(),
                self.priority,
                self.polled.as_mut_ptr(),
                count as i32,
            ) != 0
        }
    }
}

fn empty_epoll() -> io::Result<FdSource<OwnedFd>> {
    let fds = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    Ok(FdSource::with_trigger(fds, Interest::READABLE, Trigger::Foreign))
}

impl Stream for GlibContext {
    type Item = io::Result<()>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<()>>> {
        let this = &mut *self;
        while let Poll::Ready(Some(())) = Pin::new(&mut this.before).poll_next(cx) {
            this.prepared = true;
            this.timer = match this.prepare() {
                Some(Duration::ZERO) => {
                    cx.waker().wake_by_ref(); // so the wait is a mere look
                    None
                }
                timeout => timeout.map(Timer::after),
            };
        }
        while let Poll::Ready(Some(())) = Pin::new(&mut this.after).poll_next(cx) {
            if std::mem::take(&mut this.prepared) && this.check() {
                return Poll::Ready(Some(Ok(())));
            }
        }
        // These only end the wait; `check` finds out why.
        if let Some(timer) = &mut this.timer {
            let _ = Pin::new(timer).poll_next(cx);
        }
        while let Poll::Ready(event) = Pin::new(&mut this.fds).poll_next(cx) {
            match event {
                Some(Ok(_)) if this.quiet => {
                    if let Err(error) = this.renew() {
                        return Poll::Ready(Some(Err(error)));
                    }
                }
                Some(Ok(_)) => {}
                other => return Poll::Ready(other.map(|event| event.map(drop))),
            }
        }
        Poll::Pending
    }
}

impl fmt::Debug for GlibContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GlibContext").field("context", &self.context).finish_non_exhaustive()
    }
}

impl Drop for GlibContext {
    fn drop(&mut self) {
        // SAFETY: acquired in `new`.
        unsafe { ffi::g_main_context_release(self.as_ptr()) };
    }
}
