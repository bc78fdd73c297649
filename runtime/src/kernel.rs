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

/// Waits until a descriptor is readable.
pub(crate) fn wait_readable(fd: RawFd) -> io::Result<()> {
    let mut entry = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
    // SAFETY: one entry, which is borrowed for the time of the call.
    let found = unsafe { libc::poll(&raw mut entry, 1, -1) };
    check(libc::c_long::from(found)).map(|_| ())
}

/// Whether a descriptor is a socket.
#[cold]
pub(crate) fn is_socket(fd: RawFd) -> bool {
    let (mut kind, mut size) = (0 as libc::c_int, size_of::<libc::c_int>() as libc::socklen_t);
    let (option, value) = (libc::SO_TYPE, (&raw mut kind).cast());
    // SAFETY: the kernel writes one integer of that size, and the size; both are ours.
    unsafe { libc::getsockopt(fd, libc::SOL_SOCKET, option, value, &raw mut size) == 0 }
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
    now(libc::CLOCK_BOOTTIME)
}

/// Reads the clock that `Instant` reads, in nanoseconds.
#[inline]
pub(crate) fn monotonic_now() -> u64 {
    now(libc::CLOCK_MONOTONIC)
}

#[inline]
fn now(clock: libc::clockid_t) -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the kernel writes one `timespec`, which is ours. Both clocks are there since Linux 2.6.39,
    // so the call cannot fail; and if it did, time would stand still.
    unsafe { libc::clock_gettime(clock, &raw mut time) };
    // Wraps after 584 years.
    (time.tv_sec as u64).wrapping_mul(1_000_000_000).wrapping_add(time.tv_nsec as u64)
}

/// Makes a timer by one of the system's clocks, not set yet: a descriptor that is readable once it went
/// off. Need not be read: setting it again clears it.
pub(crate) fn make_timer(clock: libc::clockid_t) -> io::Result<OwnedFd> {
    let flags = libc::TFD_NONBLOCK | libc::TFD_CLOEXEC;
    // SAFETY: takes two integers and touches no memory of ours.
    let fd = unsafe { libc::timerfd_create(clock, flags) };
    check(libc::c_long::from(fd))?;
    // SAFETY: a descriptor that was just made, which nobody else knows.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// When a timer goes off.
#[derive(Clone, Copy, Debug)]
pub(crate) enum At {
    /// So long from now.
    #[cfg_attr(loopline_portable_park, allow(dead_code))]
    After(Duration),
    /// When its clock shows this.
    Clock(Duration),
}

/// Sets a timer to go off once.
pub(crate) fn set_timer(timer: &OwnedFd, at: At) -> io::Result<()> {
    let (time, flags) = match at {
        At::After(time) => (time, 0),
        At::Clock(time) => (time, libc::TFD_TIMER_ABSTIME),
    };
    // Zero would turn it off.
    let time = time.max(Duration::from_nanos(1));
    let never = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    let mut spec = libc::itimerspec { it_interval: never, it_value: never };
    spec.it_value.tv_sec = libc::time_t::try_from(time.as_secs()).unwrap_or(libc::time_t::MAX);
    spec.it_value.tv_nsec = time.subsec_nanos() as _;
    let (fd, nowhere) = (timer.as_raw_fd(), ptr::null_mut());
    // SAFETY: `spec` outlives the call, which writes nothing: there is nowhere for the old setting.
    let set = unsafe { libc::timerfd_settime(fd, flags, &raw const spec, nowhere) };
    check(libc::c_long::from(set)).map(|_| ())
}

/// Leaves the program's table of descriptors to the other threads: the calling one gets a table of its own,
/// with standard error in it. The kernel counts each use of a descriptor that threads share. Not known to
/// kernels before 5.9.
pub(crate) fn keep_standard_error_only() -> io::Result<()> {
    let close = |first: RawFd, last: libc::c_uint, flags: libc::c_uint| {
        // SAFETY: takes three integers and touches no memory of ours. Nothing is closed for another thread:
        // the first of the two calls makes the table that the second takes descriptors out of.
        check(unsafe { libc::syscall(libc::SYS_close_range, first, last, flags) })
    };
    close(libc::STDERR_FILENO + 1, libc::c_uint::MAX, libc::CLOSE_RANGE_UNSHARE)?;
    close(libc::STDIN_FILENO, libc::STDOUT_FILENO as libc::c_uint, 0).map(|_| ())
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
