//! Writes to pipes that raise no SIGPIPE. There is no flag for that before Linux 6.18: elsewhere the signal
//! is held back and taken away.

use std::io::{self, IoSlice};
use std::os::fd::AsFd;

/// Writes from a buffer.
pub(crate) fn write(fd: &impl AsFd, buf: &[u8]) -> io::Result<usize> {
    write_vectored(fd, &[IoSlice::new(buf)])
}

/// Writes from several buffers.
pub(crate) fn write_vectored(fd: &impl AsFd, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
    match flagged(fd, bufs) {
        Some(result) => result,
        None => quietly(fd, || Ok(rustix::io::writev(fd, bufs)?)),
    }
}

/// Writes with the flag; `None` if the system does not know it.
#[cfg(all(target_os = "linux", not(loopline_portable_park)))]
fn flagged(fd: &impl AsFd, bufs: &[IoSlice<'_>]) -> Option<io::Result<usize>> {
    use rustix::io::{Errno, ReadWriteFlags, pwritev2};
    use std::sync::atomic::{AtomicBool, Ordering};

    /// RWF_NOSIGNAL.
    const NO_SIGNAL: ReadWriteFlags = ReadWriteFlags::from_bits_retain(0x100);
    /// The offset that means: where the description stands.
    const HERE: u64 = u64::MAX;
    static UNKNOWN: AtomicBool = AtomicBool::new(false);

    if UNKNOWN.load(Ordering::Relaxed) {
        return None;
    }
    match pwritev2(fd, bufs, HERE, NO_SIGNAL) {
        // An older system, or a filter of system calls.
        Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::PERM) => {
            UNKNOWN.store(true, Ordering::Relaxed);
            None
        }
        result => Some(result.map_err(Into::into)),
    }
}

#[cfg(not(all(target_os = "linux", not(loopline_portable_park))))]
fn flagged(_: &impl AsFd, _: &[IoSlice<'_>]) -> Option<io::Result<usize>> {
    None
}

#[cfg(target_vendor = "apple")]
fn quietly<R>(fd: &impl AsFd, write: impl FnOnce() -> io::Result<R>) -> io::Result<R> {
    super::calls::silenced(fd)?;
    write()
}

/// Writes with SIGPIPE blocked on this thread, which the system sends it to, and takes it away.
#[cfg(not(target_vendor = "apple"))]
fn quietly<R>(_: &impl AsFd, write: impl FnOnce() -> io::Result<R>) -> io::Result<R> {
    use super::calls::masks::{block, is_pending, set, take};

    if super::calls::look(libc::SIGPIPE)?.sa_sigaction == libc::SIG_IGN {
        return write();
    }
    let (before, was_blocked) = block(libc::SIGPIPE)?;
    // One that waited before is somebody else's, and hides ours.
    let waited = was_blocked && is_pending(libc::SIGPIPE);
    let result = write();
    if !waited && matches!(&result, Err(e) if e.kind() == io::ErrorKind::BrokenPipe) {
        take(libc::SIGPIPE);
    }
    if !was_blocked {
        set(&before)?;
    }
    result
}
