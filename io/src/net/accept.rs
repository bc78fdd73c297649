//! Accepting, for listeners of any kind: single failures are passed over, and shortages waited out.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use loopline_runtime::registration::{Direction, WaitKey};
use loopline_runtime::time::{Sleep, sleep};

use crate::adapter::Adapter;
use crate::sys::Pollable;

/// The first pause when descriptors or memory have run out.
const FIRST_PAUSE: Duration = Duration::from_millis(5);
/// The longest one: connections are accepted again at most this long after there is room.
const LONGEST_PAUSE: Duration = Duration::from_millis(100);

/// Accepts a connection by an operation, and waits for one if there is none.
///
/// Dropped, it has accepted nothing and leaves no waiter behind.
#[must_use = "a future does nothing unless it is awaited"]
pub(super) struct Accepting<'a, T: Pollable, F> {
    adapter: &'a Adapter<T>,
    key: WaitKey,
    pause: Pause,
    op: F,
}

impl<'a, T: Pollable, F> Accepting<'a, T, F> {
    #[inline]
    pub(super) fn new<R>(adapter: &'a Adapter<T>, op: F) -> Self
    where
        F: FnMut(&T) -> io::Result<R>,
    {
        Self { adapter, key: WaitKey::new(), pause: Pause::default(), op }
    }
}

/// Nothing in it is pinned: the closure is only called.
impl<T: Pollable, F> Unpin for Accepting<'_, T, F> {}

impl<T, R, F> Future for Accepting<'_, T, F>
where
    T: Pollable,
    F: FnMut(&T) -> io::Result<R>,
{
    type Output = io::Result<R>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<R>> {
        let this = self.get_mut();
        poll_accept(this.adapter, &mut this.op, &mut this.key, &mut this.pause, cx)
    }
}

impl<T: Pollable, F> Drop for Accepting<'_, T, F> {
    fn drop(&mut self) {
        if self.key != WaitKey::new() {
            self.adapter.registration().unwait(Direction::Read, &mut self.key);
        }
    }
}

/// Accepts what is there; while descriptors or memory are out, pauses between attempts.
#[inline]
pub(super) fn poll_accept<T: Pollable, R>(
    adapter: &Adapter<T>,
    mut op: impl FnMut(&T) -> io::Result<R>,
    key: &mut WaitKey,
    pause: &mut Pause,
    cx: &mut Context<'_>,
) -> Poll<io::Result<R>> {
    loop {
        ready!(pause.poll(cx));
        match ready!(adapter.poll_io(Direction::Read, key, cx, &mut op)) {
            // The budget bounds this loop.
            Err(error) if concerns_one_connection(&error) => {}
            // Still believed ready, so the next try needs no new event.
            Err(error) if is_exhaustion(&error) => pause.begin(),
            result => {
                pause.end();
                return Poll::Ready(result);
            }
        }
    }
}

/// A pause between attempts while something is out that comes back without an event.
#[derive(Debug, Default)]
pub(super) struct Pause {
    sleep: Option<Sleep>,
    /// How long the last one was.
    last: Duration,
}

impl Pause {
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(sleep) = &mut self.sleep {
            ready!(Future::poll(Pin::new(sleep), cx));
            self.sleep = None;
        }
        Poll::Ready(())
    }

    /// Begins one, twice as long as the last.
    pub(super) fn begin(&mut self) {
        self.last = (self.last * 2).clamp(FIRST_PAUSE, LONGEST_PAUSE);
        self.sleep = Some(sleep(self.last));
    }

    pub(super) fn end(&mut self) {
        self.last = Duration::ZERO;
    }
}

/// Whether an error of `accept` is that of one connection: the next one may be fine.
fn concerns_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{
        ConnectionAborted, ConnectionRefused, ConnectionReset, HostUnreachable, NetworkDown,
        NetworkUnreachable, PermissionDenied,
    };
    match error.kind() {
        ConnectionAborted | ConnectionRefused | ConnectionReset | HostUnreachable | NetworkDown
        | NetworkUnreachable => true,
        // A firewall's refusal of one connection (EPERM), not the listener's (EACCES).
        #[cfg(unix)]
        PermissionDenied => error.raw_os_error() == Some(libc::EPERM),
        #[cfg(not(unix))]
        PermissionDenied => false,
        #[cfg(unix)]
        _ => is_network_error(error.raw_os_error()),
        #[cfg(not(unix))]
        _ => false,
    }
}

/// The pending network errors that accept(2) passes on from the new connection.
#[cfg(unix)]
fn is_network_error(code: Option<i32>) -> bool {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    if code == Some(libc::ENONET) {
        return true;
    }
    matches!(code, Some(libc::EPROTO | libc::ENOPROTOOPT | libc::EHOSTDOWN | libc::EOPNOTSUPP))
}

/// Whether the process or the system is out of something that may come back.
fn is_exhaustion(error: &io::Error) -> bool {
    #[cfg(unix)]
    {
        matches!(
            error.raw_os_error(),
            Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM)
        )
    }
    #[cfg(not(unix))]
    {
        // WSAEMFILE, WSAENOBUFS.
        matches!(error.raw_os_error(), Some(10024 | 10055))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_up_to_the_longest_and_begin_anew_after_a_success() {
        loopline_runtime::block_on(async {
            let mut pause = Pause::default();
            let mut next = || {
                pause.begin();
                pause.last.as_millis()
            };
            assert_eq!([(); 7].map(|()| next()), [5, 10, 20, 40, 80, 100, 100]);
            pause.end();
            pause.begin();
            assert_eq!(pause.last, FIRST_PAUSE);
        });
    }
}
