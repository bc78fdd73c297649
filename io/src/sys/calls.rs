//! The unsafe code of this crate: reads that tell what they left out, writes that raise no SIGPIPE, what is
//! left to read, and the handler of signals.
//!
//! A program whose `main` is Rust's ignores SIGPIPE. A library in another's program must not end it by
//! a write to somebody who is gone, nor change what the signal does there.
//!
//! Invariant (Live): pointers given to the system are to live values of the type it expects.
//!
//! Invariant (Published): a slot's descriptor is stored once its pair exists, and the pair lives for
//! ever; the handler reads it and does nothing with -1.
//!
//! Invariant (Kept): a pointer in `OLD` is null, or to a leaked box that is never changed.
//!
//! Invariant (Async-Signal-Safe): the handler calls only write(2) and the old handler, and touches only
//! atomics and errno.

use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};

#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) use self::sockets::receive;
pub(crate) use self::sockets::{send, send_vectored};

/// Reads that tell what they left out; and writes, with a flag that says that no signal is wanted.
mod sockets {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    use std::io::IoSliceMut;
    use std::io::{self, IoSlice};
    use std::os::fd::AsFd;

    /// As many as a call takes.
    const BUFFERS: usize = 1024;

    /// Sends from a buffer.
    #[inline]
    pub(crate) fn send(socket: &impl AsFd, buf: &[u8]) -> io::Result<usize> {
        let fd = super::silenced(socket)?;
        // SAFETY: Live: as many bytes are read as the slice has.
        let sent = unsafe { libc::send(fd, buf.as_ptr().cast(), buf.len(), NO_SIGNAL) };
        usize::try_from(sent).map_err(|_| io::Error::last_os_error())
    }

    /// Sends from several buffers.
    pub(crate) fn send_vectored(socket: &impl AsFd, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        let fd = super::silenced(socket)?;
        // SAFETY: a msghdr is plain data, and all zero is a valid one: no address, no buffers.
        let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
        message.msg_iov = bufs.as_ptr().cast_mut().cast();
        message.msg_iovlen = bufs.len().min(BUFFERS) as _;
        // SAFETY: Live: an IoSlice is an iovec, and the call only reads what they are of.
        let sent = unsafe { libc::sendmsg(fd, &raw const message, NO_SIGNAL) };
        usize::try_from(sent).map_err(|_| io::Error::last_os_error())
    }

    /// Reads into several buffers. Tells also whether something that is no byte, descriptors say, ended the
    /// read: it is left out, and closed.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    #[inline]
    pub(crate) fn receive(
        socket: &impl AsFd,
        bufs: &mut [IoSliceMut<'_>],
    ) -> io::Result<(usize, bool)> {
        let fd = super::silenced(socket)?;
        // SAFETY: a msghdr is plain data, and all zero is a valid one: no address, no buffers.
        let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
        message.msg_iov = bufs.as_mut_ptr().cast();
        message.msg_iovlen = bufs.len().min(BUFFERS) as _;
        // SAFETY: Live: an IoSliceMut is an iovec, of bytes that are lent for writing.
        let received = unsafe { libc::recvmsg(fd, &raw mut message, 0) };
        let n = usize::try_from(received).map_err(|_| io::Error::last_os_error())?;
        Ok((n, message.msg_flags & libc::MSG_CTRUNC != 0))
    }

    #[cfg(not(target_vendor = "apple"))]
    const NO_SIGNAL: libc::c_int = libc::MSG_NOSIGNAL;
    #[cfg(target_vendor = "apple")]
    const NO_SIGNAL: libc::c_int = 0;
}

/// Returns the number of a descriptor that raises no SIGPIPE, or whose calls can say so each.
#[cfg(not(target_vendor = "apple"))]
#[inline]
#[expect(clippy::unnecessary_wraps, reason = "it can fail elsewhere")]
pub(super) fn silenced(fd: &impl AsFd) -> io::Result<RawFd> {
    Ok(fd.as_fd().as_raw_fd())
}

/// Returns the number of a descriptor that raises no SIGPIPE.
#[cfg(target_vendor = "apple")]
pub(super) fn silenced(fd: &impl AsFd) -> io::Result<RawFd> {
    let fd = fd.as_fd().as_raw_fd();
    // SAFETY: takes integers.
    match unsafe { libc::fcntl(fd, libc::F_SETNOSIGPIPE, 1) } {
        0 => Ok(fd),
        _ => Err(io::Error::last_os_error()),
    }
}

/// How many bytes there are to read, if the system says so of this kind of descriptor; else zero.
#[cold]
pub(crate) fn unread(fd: &impl AsFd) -> usize {
    let mut bytes: libc::c_int = 0;
    // SAFETY: Live: FIONREAD writes one c_int.
    let asked = unsafe { libc::ioctl(fd.as_fd().as_raw_fd(), libc::FIONREAD, &raw mut bytes) };
    if asked == 0 { bytes.try_into().unwrap_or(0) } else { 0 }
}

/// This thread's mask of signals.
#[cfg(all(any(feature = "fd", feature = "process"), not(target_vendor = "apple")))]
pub(super) mod masks {
    use std::io;
    use std::ptr;

    use libc::{c_int, sigset_t};

    /// Blocks a signal. Returns the mask from before, and whether that was in it.
    pub(crate) fn block(signal: c_int) -> io::Result<(sigset_t, bool)> {
        let before = change(libc::SIG_BLOCK, &only(signal))?;
        let was_blocked = holds(&before, signal);
        Ok((before, was_blocked))
    }

    pub(crate) fn set(mask: &sigset_t) -> io::Result<()> {
        change(libc::SIG_SETMASK, mask).map(drop)
    }

    pub(crate) fn is_pending(signal: c_int) -> bool {
        let mut pending = only(signal);
        // SAFETY: Live.
        unsafe { libc::sigpending(&raw mut pending) == 0 && holds(&pending, signal) }
    }

    /// Takes a signal that is blocked and pending.
    #[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
    pub(crate) fn take(signal: c_int) {
        let at_once = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: Live; a null pointer: nothing is asked for.
        while unsafe { libc::sigtimedwait(&only(signal), ptr::null_mut(), &raw const at_once) }
            == -1
            && io::Error::last_os_error().kind() == io::ErrorKind::Interrupted
        {}
    }

    /// Takes a signal that is blocked and pending.
    #[cfg(not(any(target_os = "linux", target_os = "android", target_os = "freebsd")))]
    pub(crate) fn take(signal: c_int) {
        if is_pending(signal) {
            // SAFETY: Live.
            unsafe { libc::sigwait(&only(signal), &mut 0) };
        }
    }

    fn change(how: c_int, mask: &sigset_t) -> io::Result<sigset_t> {
        let mut before = *mask;
        // SAFETY: Live.
        match unsafe { libc::pthread_sigmask(how, mask, &raw mut before) } {
            0 => Ok(before),
            error => Err(io::Error::from_raw_os_error(error)),
        }
    }

    fn only(signal: c_int) -> sigset_t {
        // SAFETY: a sigset_t is plain data; all zero is a valid value to be filled.
        let mut set = unsafe { std::mem::zeroed() };
        // SAFETY: Live.
        unsafe { libc::sigemptyset(&raw mut set) };
        // SAFETY: Live, and the set was made.
        unsafe { libc::sigaddset(&raw mut set, signal) };
        set
    }

    fn holds(set: &sigset_t, signal: c_int) -> bool {
        // SAFETY: Live.
        unsafe { libc::sigismember(set, signal) == 1 }
    }
}

/// Returns what is done about a signal.
#[cfg(any(feature = "signal", feature = "fd"))]
pub(super) fn look(signal: libc::c_int) -> io::Result<libc::sigaction> {
    // SAFETY: a sigaction is plain data, and all zero is a valid one.
    let mut now = unsafe { std::mem::zeroed() };
    // SAFETY: Live; none is given to install.
    match unsafe { libc::sigaction(signal, std::ptr::null(), &raw mut now) } {
        0 => Ok(now),
        _ => Err(io::Error::last_os_error()),
    }
}

/// The signal handler: installed, put away, and what it does.
///
/// It counts and writes a byte to each socket pair that wants the signal; everything else happens on the
/// loop. No mask is touched, so threads and children inherit none.
#[cfg(feature = "signal")]
pub(crate) mod handler {
    use std::io;
    use std::ptr;
    use std::sync::atomic::{AtomicPtr, Ordering};

    use libc::{c_int, sigaction};

    use super::look;
    use crate::sys::slots::{self, SIGNALS, index};

    /// What handled each signal before.
    static OLD: [AtomicPtr<sigaction>; SIGNALS] =
        [const { AtomicPtr::new(ptr::null_mut()) }; SIGNALS];

    /// Installs the handler. `buried`: the last `restore` of this signal left it where it was.
    pub(crate) fn install(signal: c_int, buried: bool) -> io::Result<()> {
        let now = look(signal)?;
        if is_ours(&now) {
            return Ok(());
        }
        // Ours is below that one, which calls it, as ours calls what was there before. On top of it too,
        // the two would call each other for ever.
        if buried && is_function(&now) {
            return Ok(());
        }
        // Before the handler is in place, which calls it.
        publish(signal, &now);
        let replaced = set(signal, &our_action())?;
        if !is_ours(&replaced) {
            // Another thread may have been between the two.
            publish(signal, &replaced);
        }
        Ok(())
    }

    /// Puts back what was there; not if somebody else has put something there since. Returns whether it did.
    pub(crate) fn restore(signal: c_int) -> bool {
        if !look(signal).is_ok_and(|now| is_ours(&now)) {
            return false;
        }
        match old(signal).map(|old| set(signal, old)) {
            Some(Ok(replaced)) if is_ours(&replaced) => true,
            Some(Ok(foreign)) => {
                // Put there by another thread between the two.
                let _ = set(signal, &foreign);
                false
            }
            _ => false,
        }
    }

    fn is_ours(action: &sigaction) -> bool {
        action.sa_sigaction == our_address()
    }

    fn is_function(action: &sigaction) -> bool {
        ![libc::SIG_DFL, libc::SIG_IGN].contains(&action.sa_sigaction)
    }

    /// In one place, so that it is one address.
    #[inline(never)]
    fn our_address() -> usize {
        handle as extern "C" fn(_, _, _) as usize
    }

    fn our_action() -> sigaction {
        let mut action = empty();
        action.sa_sigaction = our_address();
        action.sa_flags = libc::SA_SIGINFO | libc::SA_RESTART | libc::SA_ONSTACK;
        action
    }

    fn empty() -> sigaction {
        // SAFETY: a sigaction is plain data, and all zero is a valid one, with an empty mask.
        unsafe { std::mem::zeroed() }
    }

    /// Sets what handles a signal: ours, or what did before. Returns what it replaced.
    fn set(signal: c_int, action: &sigaction) -> io::Result<sigaction> {
        let mut replaced = empty();
        // SAFETY: both pointers are to live structs. Our handler is Async-Signal-Safe; the others were
        // installed by those who answer for them.
        match unsafe { sigaction(signal, action, &raw mut replaced) } {
            0 => Ok(replaced),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// Returns what handled a signal before ours.
    fn old(signal: c_int) -> Option<&'static sigaction> {
        // Acquire: pairs with the Release in `publish`.
        let old = OLD[index(signal)].load(Ordering::Acquire);
        // SAFETY: Kept: null, or valid for ever and never changed.
        unsafe { old.as_ref() }
    }

    /// Notes what handled a signal before ours. A box each is leaked: the handler may be reading the last.
    fn publish(signal: c_int, action: &sigaction) {
        if !old(signal).is_some_and(|old| is_same(old, action)) {
            let kept = Box::into_raw(Box::new(*action));
            OLD[index(signal)].store(kept, Ordering::Release);
        }
    }

    fn is_same(one: &sigaction, other: &sigaction) -> bool {
        let masks = |signal| {
            // SAFETY: the sets are live and were filled by the system.
            unsafe {
                libc::sigismember(&raw const one.sa_mask, signal)
                    == libc::sigismember(&raw const other.sa_mask, signal)
            }
        };
        one.sa_sigaction == other.sa_sigaction
            && one.sa_flags == other.sa_flags
            && (1..SIGNALS as c_int).all(masks)
    }

    /// The handler.
    extern "C" fn handle(signal: c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
        let errno = Errno::save();
        slots::add(signal);
        for fd in slots::writers(signal) {
            // SAFETY: Published: the descriptor is ours and open for ever. One byte of a live array is
            // read. A full socket (EAGAIN) has told the loop already.
            unsafe { libc::write(fd, [1u8].as_ptr().cast(), 1) };
        }
        call_old(signal, info, context);
        errno.restore();
    }

    /// Calls the handler that was there before, if it was a function.
    fn call_old(signal: c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
        type WithInfo = extern "C" fn(c_int, *mut libc::siginfo_t, *mut libc::c_void);
        type Plain = extern "C" fn(c_int);
        let Some(old) = old(signal).filter(|old| is_function(old)) else { return };
        let address = old.sa_sigaction;
        if old.sa_flags & libc::SA_SIGINFO != 0 {
            // SAFETY: sigaction(2): with SA_SIGINFO the address is that of such a function.
            let old = unsafe { std::mem::transmute::<usize, WithInfo>(address) };
            old(signal, info, context);
        } else {
            // SAFETY: sigaction(2): without SA_SIGINFO the address is that of such a function.
            let old = unsafe { std::mem::transmute::<usize, Plain>(address) };
            old(signal);
        }
    }

    /// The value of errno that the interrupted code must find again.
    struct Errno(c_int);

    impl Errno {
        fn save() -> Self {
            // SAFETY: the address is that of this thread's errno, always valid.
            Self(unsafe { *errno_location() })
        }

        fn restore(self) {
            // SAFETY: as in `save`.
            unsafe { *errno_location() = self.0 };
        }
    }

    fn errno_location() -> *mut c_int {
        #[cfg(any(target_os = "linux", target_os = "emscripten", target_os = "redox"))]
        // SAFETY: takes nothing and cannot fail.
        return unsafe { libc::__errno_location() };
        #[cfg(any(target_os = "macos", target_os = "ios", target_os = "freebsd"))]
        // SAFETY: takes nothing and cannot fail.
        return unsafe { libc::__error() };
        #[cfg(any(target_os = "android", target_os = "netbsd", target_os = "openbsd"))]
        // SAFETY: takes nothing and cannot fail.
        return unsafe { libc::__errno() };
        #[cfg(target_os = "dragonfly")]
        // SAFETY: takes nothing and cannot fail.
        return unsafe { libc::__errno_location() };
        #[cfg(any(target_os = "solaris", target_os = "illumos"))]
        // SAFETY: takes nothing and cannot fail.
        return unsafe { libc::___errno() };
    }
}
