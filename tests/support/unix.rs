//! Unix sockets for tests: paths that go with the test, raw calls.
#![allow(dead_code, unreachable_pub)] // each test file is a crate and uses a part

use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

/// A folder of its own for a test's sockets; removed with all in it.
pub struct Folder(PathBuf);

impl Folder {
    /// Makes one; the name must be the test's own.
    pub fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("loopline-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    /// Returns a path in it.
    pub fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What is left is in the system's folder for such.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A connected pair of sockets that do not block.
pub fn sockets() -> (UnixStream, UnixStream) {
    let (near, far) = UnixStream::pair().unwrap();
    near.set_nonblocking(true).unwrap();
    far.set_nonblocking(true).unwrap();
    (near, far)
}

/// Sends bytes with MSG_OOB: the last is urgent.
pub fn send_urgent(socket: &impl std::os::fd::AsRawFd, bytes: &[u8]) -> std::io::Result<usize> {
    let fd = socket.as_raw_fd();
    // SAFETY: reads as many bytes as the slice has.
    let sent = unsafe { libc::send(fd, bytes.as_ptr().cast(), bytes.len(), libc::MSG_OOB) };
    usize::try_from(sent).map_err(|_| std::io::Error::last_os_error())
}
