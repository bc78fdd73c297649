//! Pipes, anonymous ([`pipe`]) or with a name in the file system ([`OpenOptions`]). Unix only.
//!
//! An end that was taken over from elsewhere blocks again, if it did, when it is released: other processes
//! may share it.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileTypeExt;

use rustix::fs::{OFlags, fcntl_getfl};

pub use self::options::OpenOptions;
pub use self::receiver::Receiver;
pub use self::sender::Sender;
use crate::adapter::Adapter;
use crate::fd::held::{Held, set_nonblocking};

mod futures_io;
mod options;
mod receiver;
mod sender;

/// Makes an anonymous pipe.
///
/// A child process is given one end by [`Sender::into_blocking_fd`] or [`Receiver::into_blocking_fd`];
/// it inherits neither by itself.
///
/// # Errors
///
/// What the system says: there may be too many descriptors.
///
/// # Examples
///
/// ```
/// # loopline_runtime::block_on(async {
/// let (sender, receiver) = loopline_io::pipe::pipe()?;
/// sender.write_all(b"hello").await?;
/// drop(sender);
/// let mut buf = [0; 8];
/// assert_eq!(receiver.read(&mut buf).await?, 5);
/// assert_eq!(receiver.read(&mut buf).await?, 0);
/// # std::io::Result::Ok(()) }).unwrap();
/// ```
pub fn pipe() -> io::Result<(Sender, Receiver)> {
    let (sender, receiver) = mio::unix::pipe::new()?;
    let sender = Sender::from_end(Held::as_is(File::from(OwnedFd::from(sender))));
    let receiver = Receiver::from_end(Held::as_is(File::from(OwnedFd::from(receiver))))?;
    Ok((sender, receiver))
}

/// One end of a pipe on a loop.
type End = Adapter<Held<File>>;

/// Takes over a descriptor that must be an end of a pipe with this access.
fn take_over(file: File, access: OFlags, expected: &str) -> io::Result<Held<File>> {
    check_pipe(&file)?;
    let mode = fcntl_getfl(&file)? & OFlags::ACCMODE;
    if mode != access && mode != OFlags::RDWR {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, expected));
    }
    Held::nonblocking(file).map_err(|(_, error)| error)
}

fn check_pipe(file: &File) -> io::Result<()> {
    if file.metadata()?.file_type().is_fifo() {
        return Ok(());
    }
    let text = "not a pipe: open a regular file with std::fs, a socket with loopline::net";
    Err(io::Error::new(io::ErrorKind::InvalidInput, text))
}

/// Ends the registration and gives the descriptor back as it should be.
fn into_fd(end: End, nonblocking: bool) -> io::Result<OwnedFd> {
    let mut held = end.into_inner()?;
    held.keep();
    set_nonblocking(held.as_fd(), nonblocking)?;
    Ok(held.into_inner().into())
}
