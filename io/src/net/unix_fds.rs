//! What travels beside the bytes of Unix sockets: descriptors, and who the peer is.

use std::future::Future;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags,
};

use super::UnixStream;
use crate::adapter::{Reading, Writing};

/// What [`UnixStream::recv_fds`] received. Feature `socket`.
#[derive(Debug)]
#[non_exhaustive]
pub struct ReceivedFds {
    /// How many bytes stand in the buffer. 0: the peer sends no more.
    pub len: usize,
    /// The descriptors, in the order in which they were sent, close-on-exec.
    pub fds: Vec<OwnedFd>,
    /// Whether more descriptors came than there was room for, or than this process may hold: they are
    /// closed.
    pub truncated: bool,
}

/// Who is at the other end of a [`UnixStream`]: Linux only. Feature `socket`.
#[cfg(any(target_os = "linux", target_os = "android"))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UCred {
    pid: i32,
    uid: u32,
    gid: u32,
}

#[cfg(any(target_os = "linux", target_os = "android"))]
impl UCred {
    /// Returns the process that connected, or called listen; `None` if it has none here (another
    /// namespace).
    #[must_use]
    pub fn pid(&self) -> Option<i32> {
        (self.pid > 0).then_some(self.pid)
    }

    /// Returns its user.
    #[must_use]
    pub fn uid(&self) -> u32 {
        self.uid
    }

    /// Returns its group.
    #[must_use]
    pub fn gid(&self) -> u32 {
        self.gid
    }
}

impl UnixStream {
    /// Returns who was at the other end when it connected, or began to listen: its process, user and
    /// group (SO_PEERCRED). Linux only. Feature `socket`.
    ///
    /// # Errors
    ///
    /// What the system says.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    pub fn peer_cred(&self) -> io::Result<UCred> {
        let cred = rustix::net::sockopt::socket_peercred(self.adapter().cell().as_ref())?;
        Ok(UCred {
            pid: rustix::process::Pid::as_raw(Some(cred.pid)),
            uid: cred.uid.as_raw(),
            gid: cred.gid.as_raw(),
        })
    }

    /// Sends bytes, at least one, and descriptors with them (SCM_RIGHTS); waits if there is no room.
    /// Returns how many of the bytes were taken; the descriptors went with the first of them, all or
    /// none. Feature `socket`.
    ///
    /// The receiver gets duplicates; these here stay the caller's. Linux takes 253 at once.
    ///
    /// # Errors
    ///
    /// `InvalidInput` without bytes, or with too many descriptors. What the system says.
    ///
    /// # Cancel safety
    ///
    /// Strict: a wait that is dropped has sent nothing.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// use loopline_io::net::UnixStream;
    /// use std::os::fd::AsFd;
    ///
    /// # loopline_runtime::EventLoop::<()>::new()?.block_on(async {
    /// let (a, b) = UnixStream::pair()?;
    /// let file = std::fs::File::open("/dev/null")?;
    /// a.send_fds(b"here", &[file.as_fd()]).await?;
    ///
    /// let mut buf = [0; 16];
    /// let received = b.recv_fds(&mut buf, 4).await?;
    /// assert_eq!((received.len, received.fds.len(), received.truncated), (4, 1, false));
    /// # Ok(())
    /// # })?
    /// # }
    /// ```
    pub fn send_fds(
        &self,
        buf: &[u8],
        fds: &[BorrowedFd<'_>],
    ) -> impl Future<Output = io::Result<usize>> {
        self.adapter().op::<Writing, _, _>(|socket, _| send_now(socket, buf, fds))
    }

    /// Receives bytes and the descriptors that came with them, `max` at most; waits if nothing is
    /// there. Feature `socket`.
    ///
    /// Descriptors stand between bytes of the stream: this reads no further than to the next ones. A
    /// plain read passes descriptors over, and closes them.
    ///
    /// # Errors
    ///
    /// `InvalidInput` without room for a byte. What the system says.
    ///
    /// # Cancel safety
    ///
    /// Strict: a wait that is dropped has received nothing.
    pub fn recv_fds(
        &self,
        buf: &mut [u8],
        max: usize,
    ) -> impl Future<Output = io::Result<ReceivedFds>> {
        self.adapter().op::<Reading, _, _>(move |socket, _| recv_now(socket, buf, max))
    }
}

/// What Linux takes in one message, and more than others do.
const MOST: usize = 253;

fn send_now(socket: impl AsFd, buf: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<usize> {
    if buf.is_empty() {
        return Err(invalid("descriptors travel with bytes: send one byte at least"));
    }
    if fds.len() > MOST {
        return Err(invalid("too many descriptors for one message: send 253 at most"));
    }
    let mut space = vec![MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(fds.len()))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(fds)) {
        return Err(io::Error::other("the room for descriptors was reckoned too small"));
    }
    let flags = no_signal();
    Ok(rustix::net::sendmsg(socket, &[IoSlice::new(buf)], &mut control, flags)?)
}

fn recv_now(socket: impl AsFd, buf: &mut [u8], max: usize) -> io::Result<ReceivedFds> {
    if buf.is_empty() {
        return Err(invalid("descriptors travel with bytes: make room for one byte at least"));
    }
    let mut space = vec![MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(max.min(MOST)))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let message =
        rustix::net::recvmsg(socket, &mut [IoSliceMut::new(buf)], &mut control, close_on_exec())?;
    let mut fds = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(received) = message {
            fds.extend(received);
        }
    }
    #[cfg(not(any(target_os = "linux", target_os = "android", target_os = "freebsd")))]
    for fd in &fds {
        // No flag does it as they arrive: a child that starts in between has them.
        rustix::io::fcntl_setfd(fd, rustix::io::FdFlags::CLOEXEC)?;
    }
    // The system's room is in steps, so there may be one more than was asked for.
    let truncated = fds.len() > max || message.flags.contains(ReturnFlags::CTRUNC);
    fds.truncate(max);
    Ok(ReceivedFds { len: message.bytes, fds, truncated })
}

fn invalid(text: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, text)
}

/// A peer that is gone is an error, not a signal.
fn no_signal() -> SendFlags {
    #[cfg(not(any(target_os = "macos", target_os = "ios")))]
    return SendFlags::NOSIGNAL;
    #[cfg(any(target_os = "macos", target_os = "ios"))]
    SendFlags::empty()
}

fn close_on_exec() -> RecvFlags {
    #[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
    return RecvFlags::CMSG_CLOEXEC;
    #[cfg(not(any(target_os = "linux", target_os = "android", target_os = "freebsd")))]
    RecvFlags::empty()
}
