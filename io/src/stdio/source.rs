//! What a standard descriptor turns out to be, and how it is then read or written without blocking.

use std::fmt;
use std::fs::{File, Metadata};
use std::future::poll_fn;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileTypeExt;
use std::task::{Context, Poll, ready};

use loopline_runtime::budget::{self, Permit};
use loopline_runtime::registration::{Direction, WaitKey};
use rustix::net::{RecvFlags, SendFlags, recv, send};

use super::helper::{Reader, Writer};
use crate::adapter::{Adapter, Reading, Writing};
use crate::sys::pipes::write;

/// One of the three.
#[derive(Clone, Copy, Debug)]
pub(super) enum Which {
    Input,
    Output,
    Error,
}

impl Which {
    pub(super) fn fd(self) -> BorrowedFd<'static> {
        match self {
            Self::Input => rustix::stdio::stdin(),
            Self::Output => rustix::stdio::stdout(),
            Self::Error => rustix::stdio::stderr(),
        }
    }

    fn is_input(self) -> bool {
        matches!(self, Self::Input)
    }
}

/// How it is used.
pub(super) enum Source {
    /// A description of our own, which does not block.
    Own(Adapter<File>),
    /// A duplicate, for calls that do not block whatever the description says.
    Socket(Adapter<OwnedFd>),
    /// A duplicate of a file, whose calls wait for nobody.
    Direct(File),
    /// By a thread.
    Reader(Reader),
    /// By a thread.
    Writer(Writer),
}

impl Source {
    pub(super) fn open(which: Which) -> io::Result<Self> {
        let file = File::from(which.fd().try_clone_to_owned()?);
        let about = file.metadata()?;
        let kind = about.file_type();
        if kind.is_socket() {
            let adapter = Adapter::new(OwnedFd::from(file));
            // The description outlives our duplicate.
            adapter.lend();
            return Ok(Self::Socket(adapter));
        }
        if kind.is_file() || kind.is_dir() || kind.is_block_device() {
            return Ok(Self::Direct(file));
        }
        if !kind.is_fifo() && !kind.is_char_device() {
            // What has no kind is an event descriptor: a host that is not Rust's may start with the standard
            // descriptors closed, and their numbers are given to others, though to none of ours.
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "this standard descriptor is no file, pipe, terminal or socket: the process seems to \
                 have been started with it closed",
            ));
        }
        let own = if is_terminals_user(&about) { None } else { reopen(which) };
        Ok(match own {
            Some(own) => Self::Own(Adapter::new(own)),
            None if which.is_input() => Self::Reader(Reader::default()),
            None => Self::Writer(Writer::new(which)),
        })
    }

    pub(super) async fn read(&self, buf: &mut [u8], rest: &mut Vec<u8>) -> io::Result<usize> {
        match self {
            Self::Own(adapter) => adapter.op::<Reading, _, _>(|mut file, _| file.read(buf)).await,
            Self::Socket(adapter) => adapter.op::<Reading, _, _>(|fd, _| receive(fd, buf)).await,
            Self::Reader(reader) => reader.read(buf, rest).await,
            Self::Direct(_) | Self::Writer(_) => {
                poll_fn(|cx| self.poll_read(cx, buf, &mut Vec::new())).await
            }
        }
    }

    /// Reads; what a thread read beyond the buffer goes into `rest`.
    pub(super) fn poll_read(
        &self,
        cx: &mut Context<'_>,
        buf: &mut [u8],
        rest: &mut Vec<u8>,
    ) -> Poll<io::Result<usize>> {
        let key = &mut WaitKey::last_poller();
        match self {
            Self::Own(adapter) => {
                adapter.poll_io(Direction::Read, key, cx, |mut file| file.read(buf))
            }
            Self::Socket(adapter) => {
                adapter.poll_io(Direction::Read, key, cx, |fd| receive(fd, buf))
            }
            Self::Direct(file) => poll_direct(cx, || (&*file).read(buf)),
            Self::Reader(reader) => reader.poll_read(cx, buf, rest),
            Self::Writer(_) => unreachable!("opened for writing"),
        }
    }

    pub(super) async fn write(&self, buf: &[u8]) -> io::Result<usize> {
        match self {
            Self::Own(adapter) => adapter.op::<Writing, _, _>(|file, _| write(file, buf)).await,
            Self::Socket(adapter) => adapter.op::<Writing, _, _>(|fd, _| transmit(fd, buf)).await,
            Self::Writer(writer) => writer.write(buf).await,
            Self::Direct(_) | Self::Reader(_) => poll_fn(|cx| self.poll_write(cx, buf)).await,
        }
    }

    pub(super) fn poll_write(&self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let key = &mut WaitKey::last_poller();
        match self {
            Self::Own(adapter) => {
                adapter.poll_io(Direction::Write, key, cx, |file| write(file, buf))
            }
            Self::Socket(adapter) => {
                adapter.poll_io(Direction::Write, key, cx, |fd| transmit(fd, buf))
            }
            Self::Direct(file) => poll_direct(cx, || (&*file).write(buf)),
            Self::Writer(writer) => writer.poll_write(cx, buf),
            Self::Reader(_) => unreachable!("opened for reading"),
        }
    }

    /// Waits until what was taken is written: that is later where a thread does it.
    pub(super) fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Writer(writer) => writer.poll_flush(cx),
            _ => Poll::Ready(Ok(())),
        }
    }
}

fn poll_direct(
    cx: &mut Context<'_>,
    mut op: impl FnMut() -> io::Result<usize>,
) -> Poll<io::Result<usize>> {
    ready!(budget::poll_proceed(cx).map(Permit::spend));
    loop {
        match op() {
            // By a signal; there is no end of files to wait for.
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return Poll::Ready(result),
        }
    }
}

fn receive(fd: &OwnedFd, buf: &mut [u8]) -> io::Result<usize> {
    let (n, _) = recv(fd, buf, RecvFlags::DONTWAIT)?;
    Ok(n)
}

fn transmit(fd: &OwnedFd, buf: &[u8]) -> io::Result<usize> {
    Ok(send(fd, buf, SendFlags::DONTWAIT | quiet())?)
}

/// No SIGPIPE, where a call can say so.
#[cfg(not(target_vendor = "apple"))]
fn quiet() -> SendFlags {
    SendFlags::NOSIGNAL
}

/// No SIGPIPE, where a call can say so.
#[cfg(target_vendor = "apple")]
fn quiet() -> SendFlags {
    SendFlags::empty()
}

/// Opens what stands behind the descriptor once more, for a description of our own.
#[cfg(all(any(target_os = "linux", target_os = "android"), not(loopline_portable_park)))]
fn reopen(which: Which) -> Option<File> {
    use std::os::unix::fs::OpenOptionsExt;

    let reads = which.is_input();
    let mut options = std::fs::OpenOptions::new();
    options.read(reads).write(!reads);
    // Not to become the terminal that controls us.
    options.custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY);
    // A failure, whatever it is (a terminal of another user, no /proc, nobody at the other end), leaves it
    // to the thread, whose calls tell what is the matter.
    options.open(format!("/proc/self/fd/{}", which.fd().as_raw_fd())).ok()
}

/// Whether this is the user's side of a terminal, as a terminal emulator has it: opened once more, that
/// would be a new terminal.
#[cfg(all(any(target_os = "linux", target_os = "android"), not(loopline_portable_park)))]
fn is_terminals_user(about: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;

    // Of /dev/ptmx, whose number is the kernel's for ever.
    const PTMX: u64 = 5 << 8 | 2;
    about.file_type().is_char_device() && about.rdev() == PTMX
}

/// Elsewhere nothing is opened once more.
#[cfg(not(all(any(target_os = "linux", target_os = "android"), not(loopline_portable_park))))]
fn is_terminals_user(_: &Metadata) -> bool {
    false
}

/// Elsewhere `/dev/fd` gives a duplicate, whose flags are shared.
#[cfg(not(all(any(target_os = "linux", target_os = "android"), not(loopline_portable_park))))]
fn reopen(_: Which) -> Option<File> {
    None
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Own(adapter) => write!(f, "Own({})", adapter.cell().as_ref().as_fd().as_raw_fd()),
            Self::Socket(_) => f.write_str("Socket"),
            Self::Direct(_) => f.write_str("Direct"),
            Self::Reader(_) | Self::Writer(_) => f.write_str("Thread"),
        }
    }
}
