//! A poller that is no standard descriptor.
//!
//! A host that is not Rust's may have been started with descriptors 0 to 2 closed. The next ones made would
//! get these numbers, and whatever is printed would go into a poller, a notifier or somebody's socket.

use std::io;

use mio::Poll;

use self::numbers::{is_standard, occupy};

/// Makes a poller. If it gets a standard descriptor's number, those that are closed are opened on /dev/null
/// for good first, as Rust's own programs have it from their start.
pub(super) fn poll() -> io::Result<Poll> {
    let poll = Poll::new()?;
    if !is_standard(&poll) {
        return Ok(poll);
    }
    drop(poll);
    occupy()?;
    Poll::new()
}

#[cfg(any(
    target_os = "linux",
    target_os = "android",
    target_os = "macos",
    target_os = "ios",
    target_os = "freebsd",
    target_os = "netbsd",
    target_os = "openbsd",
    target_os = "dragonfly",
))]
mod numbers {
    use std::fs::OpenOptions;
    use std::io;
    use std::os::fd::{AsRawFd, IntoRawFd, RawFd};

    const LAST: RawFd = 2;

    pub(super) fn is_standard(fd: &impl AsRawFd) -> bool {
        fd.as_raw_fd() <= LAST
    }

    /// Numbers are given from the lowest on.
    pub(super) fn occupy() -> io::Result<()> {
        loop {
            let file = OpenOptions::new().read(true).write(true).open("/dev/null")?;
            if !is_standard(&file) {
                return Ok(());
            }
            let _ = file.into_raw_fd();
        }
    }
}

/// Pollers without a descriptor.
#[cfg(not(any(
    target_os = "linux",
    target_os = "android",
    target_os = "macos",
    target_os = "ios",
    target_os = "freebsd",
    target_os = "netbsd",
    target_os = "openbsd",
    target_os = "dragonfly",
)))]
mod numbers {
    use std::io;

    pub(super) fn is_standard(_: &mio::Poll) -> bool {
        false
    }

    pub(super) fn occupy() -> io::Result<()> {
        Ok(())
    }
}
