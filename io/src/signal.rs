//! Signals: for now, Ctrl-C. Unix only; behind the feature `signal`.
//!
//! The handler counts and writes a byte into a socket pair; everything else happens on the loop. Pairs
//! are never closed, only used again, so the handler can never write into somebody else's descriptor.
//!
//! Invariant (Published): a slot's descriptor is stored once its pair exists, and the pair lives for
//! ever; the handler reads it and does nothing with -1.
//!
//! Invariant (Async-Signal-Safe): the handler calls only write(2) and the old handler, and touches only
//! atomics and errno.

use std::future::Future;
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::pin::Pin;
use std::sync::atomic::{AtomicI32, AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use loopline_runtime::budget;

use crate::fd::{FdSource, Interest};

/// How many futures can wait for Ctrl-C at one time in this process.
const SLOTS: usize = 256;

/// SIGINTs so far. Relaxed suffices: a byte written after the increment tells the loop to look.
static COUNT: AtomicU32 = AtomicU32::new(0);
/// The descriptors that the handler writes to; -1 where there is none.
static WRITERS: [AtomicI32; SLOTS] = [const { AtomicI32::new(-1) }; SLOTS];
/// Pairs not in use, and how many slots have one.
static PAIRS: Mutex<(Vec<&'static Pair>, usize)> = Mutex::new((Vec::new(), 0));
/// What handled SIGINT before; set once, after our handler is in place.
static OLD: OnceLock<libc::sigaction> = OnceLock::new();

/// A socket pair of the pool.
#[derive(Debug)]
struct Pair {
    reader: UnixStream,
    /// Held open for the handler.
    _writer: UnixStream,
}

/// Waits for Ctrl-C (SIGINT).
///
/// The first call replaces the default, which ends the process, for as long as the process lives; a
/// handler that was there before is still called. A Ctrl-C after this call is noticed even if the
/// future is polled later, and each waiting future notices it.
///
/// # Errors
///
/// When awaited: if the handler cannot be installed, or descriptors have run out.
///
/// # Cancel safety
///
/// Strict, but for the Ctrl-Cs between dropping one future and making the next.
///
/// # Examples
///
/// ```no_run
/// # async fn example() -> std::io::Result<()> {
/// loopline_io::signal::ctrl_c().await?;
/// println!("shutting down");
/// # Ok(())
/// # }
/// ```
pub fn ctrl_c() -> CtrlC {
    let seen = COUNT.load(Ordering::Relaxed);
    let events = install().and_then(|()| {
        let pair = take_pair()?;
        // Bytes of signals before this call.
        drain(pair);
        Ok(FdSource::new(Reader(pair), Interest::Readable))
    });
    CtrlC { seen, events }
}

/// Waits for Ctrl-C; made by [`ctrl_c`].
#[derive(Debug)]
#[must_use = "this does nothing unless it is awaited"]
pub struct CtrlC {
    /// The count at creation.
    seen: u32,
    events: io::Result<FdSource<Reader>>,
}

impl Future for CtrlC {
    type Output = io::Result<()>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let permit = ready!(budget::poll_proceed(cx));
        let this = self.get_mut();
        loop {
            if COUNT.load(Ordering::Relaxed) != this.seen {
                permit.spend();
                return Poll::Ready(Ok(()));
            }
            let events = match &mut this.events {
                Ok(events) => events,
                Err(error) => {
                    permit.spend();
                    return Poll::Ready(Err(io::Error::new(error.kind(), error.to_string())));
                }
            };
            match Pin::new(&mut *events).poll_next(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(error)),
                Poll::Ready(_) => {
                    // WouldBlock is how it ends; the count is looked at again.
                    let _ = events.try_io(|reader| {
                        drain(reader.0);
                        Err::<(), _>(io::ErrorKind::WouldBlock.into())
                    });
                }
            }
        }
    }
}

/// The reading end of a pair that is given back when this drops.
#[derive(Debug)]
struct Reader(&'static Pair);

impl AsFd for Reader {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.reader.as_fd()
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        PAIRS.lock().unwrap_or_else(PoisonError::into_inner).0.push(self.0);
    }
}

fn take_pair() -> io::Result<&'static Pair> {
    let mut pairs = PAIRS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(pair) = pairs.0.pop() {
        return Ok(pair);
    }
    let Some(slot) = WRITERS.get(pairs.1) else {
        return Err(io::Error::other("too many futures wait for Ctrl-C: share one instead"));
    };
    let (reader, writer) = UnixStream::pair()?;
    reader.set_nonblocking(true)?;
    writer.set_nonblocking(true)?;
    let fd = writer.as_raw_fd();
    let pair: &'static Pair = Box::leak(Box::new(Pair { reader, _writer: writer }));
    // Release: pairs with the Acquire in `handle`. Published.
    slot.store(fd, Ordering::Release);
    pairs.1 += 1;
    Ok(pair)
}

fn drain(pair: &Pair) {
    let mut buf = [0; 64];
    // Until it would block; both ends are ours and stay open.
    while matches!((&pair.reader).read(&mut buf), Ok(1..)) {}
}

/// Installs the handler, once.
fn install() -> io::Result<()> {
    static INSTALLED: Mutex<bool> = Mutex::new(false);
    let mut installed = INSTALLED.lock().unwrap_or_else(PoisonError::into_inner);
    if *installed {
        return Ok(());
    }
    // SAFETY: a sigaction is plain data, and all zero is a valid one.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = handle as extern "C" fn(_, _, _) as usize;
    action.sa_flags = libc::SA_SIGINFO | libc::SA_RESTART | libc::SA_ONSTACK;
    // SAFETY: as above.
    let mut old: libc::sigaction = unsafe { std::mem::zeroed() };
    // SAFETY: both pointers are to live structs; the handler is Async-Signal-Safe.
    let result = unsafe { libc::sigaction(libc::SIGINT, &raw const action, &raw mut old) };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    // Set only here, under the lock.
    let _ = OLD.set(old);
    *installed = true;
    Ok(())
}

/// The handler.
extern "C" fn handle(signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    let errno = Errno::save();
    COUNT.fetch_add(1, Ordering::Relaxed);
    for writer in &WRITERS {
        // Acquire: pairs with the Release in `take_pair`.
        let fd = writer.load(Ordering::Acquire);
        if fd == -1 {
            break;
        }
        // SAFETY: Published: the descriptor is ours and open for ever. One byte of a live array is read.
        // A full socket (EAGAIN) has told the loop already.
        unsafe { libc::write(fd, [1u8].as_ptr().cast(), 1) };
    }
    call_old(signal, info, context);
    errno.restore();
}

/// Calls the handler that was there before, if it was a function.
fn call_old(signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    type WithInfo = extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void);
    type Plain = extern "C" fn(libc::c_int);
    let Some(old) = OLD.get() else { return };
    let address = old.sa_sigaction;
    if address == libc::SIG_DFL || address == libc::SIG_IGN {
        return;
    }
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
struct Errno(libc::c_int);

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

fn errno_location() -> *mut libc::c_int {
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
