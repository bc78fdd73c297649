//! A host that is not Rust's: SIGPIPE ends it, and standard descriptors may be closed. Each test is a process of
//! its own, which is made like that.
#![cfg(unix)]

#[path = "support/net.rs"]
mod net;
mod support;

use std::io::{ErrorKind, IoSlice};
use std::pin::pin;

use loopline::net::{TcpStream, UnixStream};

use net::{is_alone, pair, reset, soon, with_peer};
use support::block_on;

/// What C programs start with.
fn as_in_c() {
    // SAFETY: puts the default back.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
}

/// Whether SIGPIPE is blocked on this thread, and whether one waits.
fn blocked_and_waiting() -> (bool, bool) {
    // SAFETY: sets are plain data; the calls fill live ones.
    unsafe {
        let (mut mask, mut waiting) = (std::mem::zeroed(), std::mem::zeroed());
        libc::pthread_sigmask(libc::SIG_BLOCK, std::ptr::null(), &raw mut mask);
        libc::sigpending(&raw mut waiting);
        let holds = |set| libc::sigismember(set, libc::SIGPIPE) == 1;
        (holds(&raw const mask), holds(&raw const waiting))
    }
}

const PARTS: [&[u8]; 2] = [b"two ", b"parts"];

fn parts() -> [IoSlice<'static>; 2] {
    PARTS.map(IoSlice::new)
}

/// All ways to write to a stream whose peer is gone.
macro_rules! refused {
    ($stream:expr) => {
        let stream = &$stream;
        let kinds = [
            soon(stream.write(b"x")).await.unwrap_err().kind(),
            soon(stream.write_all(b"x")).await.unwrap_err().kind(),
            soon(stream.write_vectored(&parts())).await.unwrap_err().kind(),
            stream.try_write(b"x").unwrap_err().kind(),
            stream.try_write_vectored(&parts()).unwrap_err().kind(),
            soon(futures::AsyncWriteExt::write(&mut &*stream, b"x")).await.unwrap_err().kind(),
            soon(futures::AsyncWriteExt::write_vectored(&mut &*stream, &parts()))
                .await
                .unwrap_err()
                .kind(),
        ];
        assert_eq!(kinds, [ErrorKind::BrokenPipe; 7]);
        assert_eq!(blocked_and_waiting(), (false, false));
    };
}

// contract 49; fault 12
#[test]
fn a_socket_whose_peer_is_gone_raises_no_signal() {
    if !is_alone("a_socket_whose_peer_is_gone_raises_no_signal") {
        return;
    }
    as_in_c();
    block_on(async {
        let (one, other) = UnixStream::pair().unwrap();
        drop(other);
        refused!(one);
        let (stream, peer) = with_peer().await;
        reset(peer);
        soon(stream.read(&mut [0; 8])).await.unwrap_err();
        refused!(stream);
    });
}

// contract 49
#[test]
fn several_buffers_arrive_as_one_and_more_than_a_call_takes_in_part() {
    block_on(async {
        let (one, other) = pair().await;
        both_arrive(&one, &other).await;
    });
}

async fn both_arrive(one: &TcpStream, other: &TcpStream) {
    assert_eq!(soon(one.write_vectored(&parts())).await.unwrap(), 9);
    let mut got = [0; 9];
    soon(other.read_exact(&mut got)).await.unwrap();
    assert_eq!(&got, b"two parts");
    let many = vec![IoSlice::new(b"m"); 5000];
    let taken = soon(one.write_vectored(&many)).await.unwrap();
    assert!((1..=5000).contains(&taken), "{taken}");
    soon(other.read_exact(&mut vec![0; taken])).await.unwrap();
    assert_eq!(soon(one.write_vectored(&[])).await.unwrap(), 0);
    let mut rest = pin!(other.read(&mut got));
    assert!(net::poll_once(rest.as_mut()).await.is_pending(), "nothing came of nothing");
}

// contract 49; fault 12
#[test]
#[cfg(feature = "fd")]
fn a_pipe_that_nobody_reads_raises_no_signal() {
    if !is_alone("a_pipe_that_nobody_reads_raises_no_signal") {
        return;
    }
    as_in_c();
    block_on(async {
        let (sender, receiver) = loopline::io::pipe().unwrap();
        assert_eq!(soon(sender.write_vectored(&parts())).await.unwrap(), 9);
        drop(receiver);
        refused!(sender);
        // By a host that has it wait: it stays the host's.
        // SAFETY: sets are plain data; blocks a signal on this thread and sends it to it.
        unsafe {
            let mut set = std::mem::zeroed();
            libc::sigemptyset(&raw mut set);
            libc::sigaddset(&raw mut set, libc::SIGPIPE);
            libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut());
        }
        soon(sender.write(b"x")).await.unwrap_err();
        assert_eq!(blocked_and_waiting(), (true, false));
        // SAFETY: the signal is blocked.
        unsafe { libc::raise(libc::SIGPIPE) };
        soon(sender.write(b"x")).await.unwrap_err();
        assert_eq!(blocked_and_waiting(), (true, true));
    });
}

// contract 49; fault 12
#[test]
#[cfg(feature = "process")]
fn a_child_that_has_ended_raises_no_signal() {
    if !is_alone("a_child_that_has_ended_raises_no_signal") {
        return;
    }
    as_in_c();
    block_on(async {
        let mut command = loopline::process::Command::new("true");
        let mut child = command.stdin(std::process::Stdio::piped()).spawn().unwrap();
        let stdin = child.stdin.take().unwrap();
        assert!(soon(child.wait()).await.unwrap().success());
        assert_eq!(soon(stdin.write(b"x")).await.unwrap_err().kind(), ErrorKind::BrokenPipe);
        let error = soon(stdin.write_vectored(&parts())).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BrokenPipe);
        assert_eq!(blocked_and_waiting(), (false, false));
    });
}

// fault 11
#[test]
#[cfg(target_os = "linux")]
fn no_descriptor_of_a_loop_gets_the_number_of_a_standard_one_that_is_closed() {
    if !is_alone("no_descriptor_of_a_loop_gets_the_number_of_a_standard_one_that_is_closed") {
        return;
    }
    // SAFETY: takes integers; the numbers are put back below.
    let kept = [0, 1, 2].map(|fd| unsafe { libc::dup(fd) });
    for closed in [&[0][..], &[1], &[0, 2], &[0, 1, 2]] {
        let count = net::descriptors();
        for fd in closed {
            // SAFETY: takes an integer; nobody uses the standard ones meanwhile.
            unsafe { libc::close(*fd) };
        }
        let ours = block_on(async {
            let (one, other) = UnixStream::pair().unwrap();
            let _ = soon(one.write_all(b"x")).await;
            soon(other.readable()).await.unwrap();
            let named = |fd: &i32| std::fs::read_link(format!("/proc/self/fd/{fd}")).ok();
            closed.iter().filter_map(named).collect::<Vec<_>>()
        });
        // SAFETY: takes integers.
        (0..3).for_each(|fd| assert_eq!(unsafe { libc::dup2(kept[fd], fd as i32) }, fd as i32));
        assert!(ours.iter().all(|target| target.ends_with("null")), "{closed:?}: {ours:?}");
        assert_eq!(net::descriptors(), count, "and nothing else stays open");
    }
}
