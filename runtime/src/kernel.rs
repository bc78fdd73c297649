//! The door to the Linux kernel: the calls that neither the standard library nor mio has, one function
//! each. Knows nothing of the loop.
//!
//! Invariant (Buffer): the kernel writes at most as many events as it is told there is room for.
//!
//! Invariant (Page): the page is mapped once, never unmapped, and accessed as one atomic number only.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;
use std::sync::atomic::AtomicU32;
use std::time::Duration;

/// Waits for events of an epoll descriptor; -1: until there are some. Returns how many it wrote.
#[inline]
pub(crate) fn wait_coarse(
    fd: RawFd,
    events: &mut [libc::epoll_event],
    millis: libc::c_int,
) -> io::Result<usize> {
    let room = libc::c_int::try_from(events.len()).unwrap_or(libc::c_int::MAX);
    // SAFETY: Buffer: it is at least that long, and borrowed for the time of the call.
    let found = unsafe { libc::epoll_wait(fd, events.as_mut_ptr(), room, millis) };
    check(libc::c_long::from(found))
}

/// As `wait_coarse`, with a timeout in nanoseconds. Not known to kernels before 5.11.
pub(crate) fn wait_fine(
    fd: RawFd,
    events: &mut [libc::epoll_event],
    timeout: Duration,
) -> io::Result<usize> {
    let room = libc::c_int::try_from(events.len()).unwrap_or(libc::c_int::MAX);
    let spec = Timespec {
        seconds: i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX),
        nanos: i64::from(timeout.subsec_nanos()),
    };
    let no_mask: *const libc::sigset_t = ptr::null();
    // SAFETY: Buffer as in `wait_coarse`; `spec` has the kernel's own 64-bit layout on every
    // architecture and outlives the call; a null mask leaves the signal mask alone.
    let found = unsafe {
        libc::syscall(
            libc::SYS_epoll_pwait2,
            fd,
            events.as_mut_ptr(),
            room,
            &raw const spec,
            no_mask,
            size_of::<u64>(),
        )
    };
    check(found)
}

/// `struct __kernel_timespec`.
#[repr(C)]
struct Timespec {
    seconds: i64,
    nanos: i64,
}

/// Sets how late the kernel may fire this thread's timers, to save power; it never fires them early.
pub(crate) fn set_timer_slack(slack: Duration) -> io::Result<()> {
    let nanos = libc::c_ulong::try_from(slack.as_nanos()).unwrap_or(libc::c_ulong::MAX).max(1);
    // SAFETY: takes two integers and touches no memory of ours.
    let result = unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, nanos) };
    check(libc::c_long::from(result)).map(|_| ())
}

/// Reads the clock that goes on while the machine is suspended, in nanoseconds since the machine started.
pub(crate) fn boot_now() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the kernel writes one `timespec`, which is ours. The clock is there since Linux 2.6.39, so
    // the call cannot fail; and if it did, time would stand still.
    unsafe { libc::clock_gettime(libc::CLOCK_BOOTTIME, &raw mut time) };
    (time.tv_sec as u64).saturating_mul(1_000_000_000).saturating_add(time.tv_nsec as u64)
}

/// An alarm by that clock, as a descriptor. Never read: setting it again is what clears it.
#[derive(Debug)]
pub(crate) struct BootAlarm(OwnedFd);

impl BootAlarm {
    pub(crate) fn new() -> io::Result<Self> {
        let flags = libc::TFD_CLOEXEC | libc::TFD_NONBLOCK;
        // SAFETY: takes two integers and touches no memory of ours.
        let fd = unsafe { libc::timerfd_create(libc::CLOCK_BOOTTIME, flags) };
        check(libc::c_long::from(fd))?;
        // SAFETY: the descriptor was made just now, and nobody else knows its number.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// Makes the descriptor readable at this time of `boot_now`.
    pub(crate) fn set(&self, at: u64) -> io::Result<()> {
        let never = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // Zero would disarm it.
        let at = Duration::from_nanos(at.max(1));
        let at = libc::timespec {
            tv_sec: libc::time_t::try_from(at.as_secs()).unwrap_or(libc::time_t::MAX),
            tv_nsec: at.subsec_nanos() as libc::c_long,
        };
        let spec = libc::itimerspec { it_interval: never, it_value: at };
        let (fd, nowhere) = (self.0.as_raw_fd(), ptr::null_mut());
        // SAFETY: the kernel reads `spec`, which outlives the call, and writes nothing.
        let result =
            unsafe { libc::timerfd_settime(fd, libc::TFD_TIMER_ABSTIME, &raw const spec, nowhere) };
        check(libc::c_long::from(result)).map(|_| ())
    }
}

impl AsRawFd for BootAlarm {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

/// An alarm by the monotonic clock, as a descriptor. Never read: it is registered for edges.
#[derive(Debug)]
pub(crate) struct Alarm(OwnedFd);

impl Alarm {
    pub(crate) fn new() -> io::Result<Self> {
        let flags = libc::TFD_CLOEXEC | libc::TFD_NONBLOCK;
        // SAFETY: takes two integers and touches no memory of ours.
        let fd = unsafe { libc::timerfd_create(libc::CLOCK_MONOTONIC, flags) };
        check(libc::c_long::from(fd))?;
        // SAFETY: the descriptor was made just now, and nobody else knows its number.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// Makes the descriptor readable once, after `timeout`.
    pub(crate) fn set(&self, timeout: Duration) -> io::Result<()> {
        let never = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // Zero would disarm it.
        let timeout = timeout.max(Duration::from_nanos(1));
        let after = libc::timespec {
            tv_sec: libc::time_t::try_from(timeout.as_secs()).unwrap_or(libc::time_t::MAX),
            tv_nsec: timeout.subsec_nanos() as libc::c_long,
        };
        let spec = libc::itimerspec { it_interval: never, it_value: after };
        let (fd, nowhere) = (self.0.as_raw_fd(), ptr::null_mut());
        // SAFETY: the kernel reads `spec`, which outlives the call, and writes nothing.
        let result = unsafe { libc::timerfd_settime(fd, 0, &raw const spec, nowhere) };
        check(libc::c_long::from(result)).map(|_| ())
    }
}

impl AsRawFd for Alarm {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

/// Waits by `poll(2)` until a descriptor is readable.
pub(crate) fn wait_readable(fd: RawFd) -> io::Result<()> {
    let mut waited = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
    // SAFETY: one entry, which is borrowed for the time of the call.
    let found = unsafe { libc::poll(&raw mut waited, 1, -1) };
    check(libc::c_long::from(found)).map(|_| ())
}

/// Maps a number that is zero in every child that is forked from here, however that is done. `None`: no
/// such page to be had, before Linux 4.14.
pub(crate) fn wiped_on_fork() -> Option<&'static AtomicU32> {
    let length = 4096;
    let access = libc::PROT_READ | libc::PROT_WRITE;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    // SAFETY: a new mapping, wherever the kernel likes.
    let page = unsafe { libc::mmap(ptr::null_mut(), length, access, flags, -1, 0) };
    if page == libc::MAP_FAILED {
        return None;
    }
    // SAFETY: the mapping just made. Page.
    if unsafe { libc::madvise(page, length, libc::MADV_WIPEONFORK) } != 0 {
        // SAFETY: the mapping just made, which nobody else knows.
        unsafe { libc::munmap(page, length) };
        return None;
    }
    // SAFETY: Page: aligned, zeroed, and mapped for ever.
    Some(unsafe { AtomicU32::from_ptr(page.cast()) })
}

#[inline]
fn check(result: libc::c_long) -> io::Result<usize> {
    usize::try_from(result).map_err(|_| io::Error::last_os_error())
}
