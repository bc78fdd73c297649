//! Sockets for tests: pairs, resets, full buffers; on the loopback, on ports the system chooses.
#![allow(dead_code, unreachable_pub)] // each test file is a crate and uses a part

use std::future::{Future, IntoFuture, poll_fn};
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd};
use std::pin::pin;
use std::sync::Mutex;
use std::task::Poll;
use std::time::Duration;

use loopline::net::{TcpListener, TcpStream};
use loopline::time::timeout;

/// An address whose port the system chooses.
pub const ANY: (Ipv4Addr, u16) = (Ipv4Addr::LOCALHOST, 0);

/// Awaits a future that must end; a lost wake fails the test instead of hanging it.
#[track_caller]
pub fn soon<F: IntoFuture>(future: F) -> impl Future<Output = F::Output> {
    let place = std::panic::Location::caller();
    async move {
        match timeout(Duration::from_secs(30), future).await {
            Ok(output) => output,
            Err(_) => panic!("what {place} awaits did not end"),
        }
    }
}

/// Makes a connected pair: the end that connected, the end that was accepted.
pub async fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind(ANY).await.unwrap();
    let connected = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (accepted, peer) = listener.accept().await.unwrap();
    assert_eq!(peer, connected.local_addr().unwrap());
    (connected, accepted)
}

/// Makes a connected pair whose far end is the standard library's, and blocks.
pub async fn with_peer() -> (TcpStream, std::net::TcpStream) {
    let listener = TcpListener::bind(ANY).await.unwrap();
    let peer = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (accepted, _) = listener.accept().await.unwrap();
    peer.set_nodelay(true).unwrap();
    (accepted, peer)
}

/// Polls a future once, in the task that awaits this.
pub async fn poll_once<F: Future>(future: F) -> Poll<F::Output> {
    let mut future = pin!(future);
    poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await
}

/// Writes until the socket would block; returns how much it took.
pub async fn fill(stream: &TcpStream) -> usize {
    let chunk = [7; 64 * 1024];
    let mut taken = 0;
    loop {
        // A peer that is slow to take bytes over makes room once more: until twice in a row.
        match stream.try_write(&chunk) {
            Ok(n) => taken += n,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                if timeout(Duration::from_millis(20), stream.writable()).await.is_err() {
                    return taken;
                }
            }
            Err(error) => panic!("{error}"),
        }
    }
}

/// Closes a socket by RST instead of FIN.
pub fn reset(stream: std::net::TcpStream) {
    let linger = libc::linger { l_onoff: 1, l_linger: 0 };
    set_option(&stream, libc::SOL_SOCKET, libc::SO_LINGER, linger);
}

/// Makes the kernel's buffers of a socket small.
pub fn small_buffers(stream: impl AsFd) {
    set_option(&stream, libc::SOL_SOCKET, libc::SO_SNDBUF, 4096);
    set_option(&stream, libc::SOL_SOCKET, libc::SO_RCVBUF, 4096);
}

fn set_option<T>(stream: &impl AsFd, level: i32, name: i32, value: T) {
    let size = libc::socklen_t::try_from(size_of::<T>()).unwrap();
    let fd = stream.as_fd().as_raw_fd();
    // SAFETY: the option's value is read from a live T of the size given.
    let result = unsafe { libc::setsockopt(fd, level, name, (&raw const value).cast(), size) };
    assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
}

/// Returns a port of the loopback that nobody listens on, and nobody can while this process lives: a client
/// has it. One that was just given up may be another test's a moment later.
pub fn closed_port() -> SocketAddr {
    static HELD: Mutex<Vec<(std::net::TcpListener, std::net::TcpStream)>> = Mutex::new(Vec::new());
    let listener = std::net::TcpListener::bind(ANY).unwrap();
    let client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let addr = client.local_addr().unwrap();
    HELD.lock().unwrap().push((listener, client));
    addr
}

/// A listener that takes no more connections, and what fills its queue.
pub fn full_backlog() -> (std::net::TcpListener, Vec<std::net::TcpStream>) {
    let listener = std::net::TcpListener::bind(ANY).unwrap();
    let addr = listener.local_addr().unwrap();
    // SAFETY: takes two integers; makes the queue of a live listener short.
    unsafe { libc::listen(listener.as_raw_fd(), 1) };
    let mut queued = Vec::new();
    while let Ok(stream) = std::net::TcpStream::connect_timeout(&addr, Duration::from_millis(50)) {
        queued.push(stream);
        assert!(queued.len() < 64, "the backlog does not fill");
    }
    (listener, queued)
}

/// Runs a test alone, in a process of its own; true in that process. The parent fails if it does.
#[track_caller]
pub fn is_alone(test: &str) -> bool {
    const MARK: &str = "LOOPLINE_TEST_ALONE";
    if std::env::var_os(MARK).is_some() {
        return true;
    }
    let program = std::env::current_exe().unwrap();
    let mut command = std::process::Command::new(program);
    let done = command.args(["--exact", test, "--nocapture"]).env(MARK, "1").output().unwrap();
    let text = String::from_utf8_lossy(&done.stdout) + String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success() && text.contains("1 passed"), "{text}");
    false
}

/// Counts the descriptors of this process.
pub fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}
