//! Connecting to one of several addresses: the happy eyeballs of RFC 8305.

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use loopline_runtime::time::{Sleep, sleep};

use super::addr::{Addrs, no_addresses};
use super::tcp_stream::TcpStream;

/// How long an address may be silent until the next is tried beside it: the recommended Connection
/// Attempt Delay of RFC 8305, section 5.
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// Connects to the first address that answers.
pub(super) async fn connect(addrs: Addrs) -> io::Result<TcpStream> {
    match addrs[..] {
        [] => Err(no_addresses()),
        // Nearly every call: no box, no timer.
        [addr] => TcpStream::connect_one(addr).await,
        _ => Attempts::new(interleaved(addrs)).await,
    }
}

/// Puts IPv6 and IPv4 in turns, beginning with the family of the first; the order within each stays.
fn interleaved(addrs: Addrs) -> VecDeque<SocketAddr> {
    let Some(first) = addrs.first() else { return VecDeque::new() };
    let first_is_v6 = first.is_ipv6();
    let count = addrs.len();
    let (ours, others): (Vec<_>, Vec<_>) =
        addrs.into_iter().partition(|addr| addr.is_ipv6() == first_is_v6);
    let (mut ours, mut others) = (ours.into_iter(), others.into_iter());
    let mut all = VecDeque::with_capacity(count);
    while all.len() < count {
        all.extend(ours.next());
        all.extend(others.next());
    }
    all
}

/// A connection under way.
type Attempt = Pin<Box<dyn Future<Output = io::Result<TcpStream>>>>;

/// Connections under way to several addresses; those that did not win are closed with it.
struct Attempts {
    /// Not tried yet.
    rest: VecDeque<SocketAddr>,
    /// In the order in which they began.
    running: Vec<Attempt>,
    /// Until the next address is tried; none if there is no other.
    next: Option<Sleep>,
    /// The most telling failure so far.
    error: Option<io::Error>,
}

impl Attempts {
    fn new(rest: VecDeque<SocketAddr>) -> Self {
        Self { rest, running: Vec::new(), next: None, error: None }
    }

    /// Polls what is under way; ready if one is connected. Whether one failed.
    fn poll_running(&mut self, cx: &mut Context<'_>) -> Poll<Result<TcpStream, bool>> {
        let (mut n, mut failed) = (0, false);
        while let Some(attempt) = self.running.get_mut(n) {
            match attempt.as_mut().poll(cx) {
                Poll::Ready(Ok(stream)) => return Poll::Ready(Ok(stream)),
                Poll::Ready(Err(error)) => {
                    drop(self.running.remove(n));
                    failed = true;
                    if self.error.as_ref().is_none_or(|old| weight(old) <= weight(&error)) {
                        self.error = Some(error);
                    }
                }
                Poll::Pending => n += 1,
            }
        }
        Poll::Ready(Err(failed))
    }

    /// Begins the next attempt, if there is one.
    fn begin(&mut self) -> bool {
        let Some(addr) = self.rest.pop_front() else { return false };
        self.running.push(Box::pin(TcpStream::connect_one(addr)));
        self.next = (!self.rest.is_empty()).then(|| sleep(ATTEMPT_DELAY));
        true
    }

    fn delay_is_over(&mut self, cx: &mut Context<'_>) -> bool {
        self.next.as_mut().is_some_and(|next| Pin::new(next).poll(cx).is_ready())
    }
}

impl Future for Attempts {
    type Output = io::Result<TcpStream>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        // Each time around one address fewer is left.
        loop {
            let failed = match this.poll_running(cx) {
                Poll::Ready(Ok(stream)) => return Poll::Ready(Ok(stream)),
                Poll::Ready(Err(failed)) => failed,
                Poll::Pending => false,
            };
            let may_begin = failed || this.running.is_empty() || this.delay_is_over(cx);
            if may_begin && this.begin() {
                continue;
            }
            if !this.running.is_empty() {
                return Poll::Pending;
            }
            return Poll::Ready(Err(this.error.take().unwrap_or_else(no_addresses)));
        }
    }
}

/// How much a failure tells: a peer's answer more than that there was no way to it.
fn weight(error: &io::Error) -> u8 {
    use io::ErrorKind::{
        AddrNotAvailable, HostUnreachable, NetworkDown, NetworkUnreachable, Unsupported,
    };
    match error.kind() {
        AddrNotAvailable | NetworkDown | NetworkUnreachable | Unsupported => 0,
        #[cfg(unix)]
        _ if error.raw_os_error() == Some(libc::EAFNOSUPPORT) => 0,
        HostUnreachable => 1,
        _ => 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addrs(texts: &[&str]) -> Addrs {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn families_take_turns_and_keep_their_order() {
        let mixed = addrs(&["[::1]:1", "[::2]:1", "[::3]:1", "1.1.1.1:1", "1.1.1.2:1"]);
        let expected = addrs(&["[::1]:1", "1.1.1.1:1", "[::2]:1", "1.1.1.2:1", "[::3]:1"]);
        assert_eq!(interleaved(mixed), expected);
        let one_family = addrs(&["1.1.1.3:1", "1.1.1.1:1", "1.1.1.2:1"]);
        assert_eq!(interleaved(one_family.clone()), one_family);
        assert_eq!(interleaved(Addrs::new()), Addrs::new());
    }

    #[test]
    fn a_peer_that_refuses_tells_more_than_a_network_that_is_not_there() {
        use io::ErrorKind::{ConnectionRefused, HostUnreachable, NetworkUnreachable};
        let weights = [NetworkUnreachable, HostUnreachable, ConnectionRefused]
            .map(|kind| weight(&kind.into()));
        assert!(weights.is_sorted_by(|a, b| a < b), "{weights:?}");
    }
}
