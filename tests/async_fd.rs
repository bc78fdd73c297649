//! `Async`: any descriptor awaited, by guards, by operations, by the traits of `futures-io`.
#![cfg(unix)] // descriptors

#[path = "support/net.rs"]
mod net;
mod support;

use std::fs::File;
use std::future::poll_fn;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::time::Duration;

use futures::io::{AsyncReadExt, AsyncWriteExt};
use loopline::io::{Async, Interest, Ready};
use loopline::time::timeout;
use loopline::{spawn, yield_now};
use net::{poll_once, soon};
use support::{block_on, block_on_paused, closes_clean, ends_with_registrations, event_loop};

/// A connected pair of Unix sockets; the far end does not block.
fn sockets() -> (UnixStream, UnixStream) {
    let (near, far) = UnixStream::pair().unwrap();
    far.set_nonblocking(true).unwrap();
    (near, far)
}

fn blocks(fd: impl AsFd) -> bool {
    // SAFETY: reads the flags of a live descriptor.
    let flags = unsafe { libc::fcntl(fd.as_fd().as_raw_fd(), libc::F_GETFL) };
    assert!(flags >= 0);
    flags & libc::O_NONBLOCK == 0
}

#[track_caller]
fn fill(mut socket: &UnixStream) -> usize {
    let mut taken = 0;
    loop {
        match socket.write(&[7; 4096]) {
            Ok(n) => taken += n,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return taken,
            Err(error) => panic!("{error}"),
        }
    }
}

// contract 2
#[test]
fn readiness_lasts_until_an_operation_would_block() {
    let (near, mut far) = sockets();
    block_on_paused(async {
        let near = Async::new(near).unwrap();
        assert!(timeout(Duration::from_millis(1), near.readable()).await.is_err());
        far.write_all(b"ab").unwrap();
        let mut buf = [0];
        for expected in b"ab" {
            let mut guard = soon(near.readable()).await.unwrap();
            assert_eq!(guard.ready(), Ready::READABLE);
            assert_eq!(guard.try_io(|near| near.get_ref().read(&mut buf)).unwrap().unwrap(), 1);
            assert_eq!(buf[0], *expected);
        }
        // Nobody has seen WouldBlock yet.
        let mut guard = soon(near.readable()).await.unwrap();
        guard.retain_ready();
        let mut guard_later = soon(near.readable()).await.unwrap();
        assert!(guard.try_io(|near| near.get_ref().read(&mut buf)).is_err());
        assert_eq!(guard.ready(), Ready::EMPTY);
        assert!(timeout(Duration::from_millis(1), near.readable()).await.is_err());
        // What comes later is not forgotten with an older guard.
        far.write_all(b"c").unwrap();
        let _new = soon(near.readable()).await.unwrap();
        guard_later.clear_ready();
        assert_eq!(soon(near.readable()).await.unwrap().ready(), Ready::READABLE);
    });
}

#[test]
fn a_part_of_what_is_ready_can_be_cleared() {
    let (near, mut far) = sockets();
    block_on_paused(async {
        let mut near = Async::new(near).unwrap();
        far.write_all(b"a").unwrap();
        let both = Interest::READABLE | Interest::WRITABLE;
        soon(near.readable()).await.unwrap().retain_ready();
        soon(near.writable()).await.unwrap().retain_ready();
        let mut guard = soon(near.ready_mut(both)).await.unwrap();
        assert_eq!(guard.ready(), Ready::READABLE | Ready::WRITABLE);
        guard.clear_ready_matching(Ready::READABLE);
        assert_eq!(guard.ready(), Ready::WRITABLE);
        assert_eq!(guard.get_inner_mut().read(&mut [0]).unwrap(), 1);
        assert!(timeout(Duration::from_millis(1), near.readable()).await.is_err());
        soon(near.writable()).await.unwrap().clear_ready();
        assert!(timeout(Duration::from_millis(1), near.writable()).await.is_err());
    });
}

#[test]
fn operations_are_awaited_and_tried() {
    let (near, mut far) = sockets();
    block_on_paused(async {
        let mut near = Async::new(near).unwrap();
        let mut buf = [0; 8];
        // Not asked of the system yet: the operation is called, and says so.
        let none = near.try_io(Interest::READABLE, |mut near| near.read(&mut buf));
        assert_eq!(none.unwrap_err().kind(), ErrorKind::WouldBlock);
        let called = near.try_io(Interest::READABLE, |_| -> io::Result<()> { panic!("called") });
        assert_eq!(called.unwrap_err().kind(), ErrorKind::WouldBlock);
        assert!(poll_once(near.read_with(|mut near| near.read(&mut buf))).await.is_pending());
        far.write_all(b"hello").unwrap();
        let n = soon(near.read_with(|mut near| near.read(&mut buf))).await.unwrap();
        assert_eq!(&buf[..n], b"hello");
        assert_eq!(soon(near.write_with_mut(|near| near.write(b"back"))).await.unwrap(), 4);
        assert_eq!(far.read(&mut buf).unwrap(), 4);
        assert_eq!(near.try_io(Interest::WRITABLE, |mut near| near.write(b"x")).unwrap(), 1);
        let full = near.try_io_mut(Interest::WRITABLE, |near| Ok(fill(near))).unwrap();
        assert!(full > 0);
    });
}

#[test]
fn the_traits_of_futures_io_read_and_write() {
    let (near, far) = sockets();
    block_on(async {
        let (mut near, far) = (Async::new(near).unwrap(), Async::new(far).unwrap());
        let writer = spawn(async move {
            (&far).write_all(&[5; 300_000]).await.unwrap();
            let mut answer = String::new();
            (&far).read_to_string(&mut answer).await.unwrap();
            answer
        });
        let mut all = vec![0; 300_000];
        soon(near.read_exact(&mut all)).await.unwrap();
        assert!(all.iter().all(|byte| *byte == 5));
        near.write_all(b"done").await.unwrap();
        near.close().await.unwrap();
        drop(near);
        assert_eq!(soon(writer).await.unwrap(), "done");
    });
}

// contract 4; fault 52
#[test]
fn all_who_wait_for_a_direction_are_woken_and_of_those_who_poll_the_last() {
    let (near, mut far) = sockets();
    block_on(async {
        let near = Rc::new(Async::new(near).unwrap());
        let full = fill(near.get_ref());
        let tasks: Vec<_> = (0..10)
            .map(|_| {
                let near = near.clone();
                spawn(async move { near.readable().await.map(|guard| guard.ready()) })
            })
            .collect();
        let first_poller = {
            let near = near.clone();
            spawn(async move { poll_fn(|cx| near.poll_read_ready(cx).map_ok(drop)).await })
        };
        yield_now().await;
        // Takes the place of the first.
        let mut woken = false;
        let mut writer = Box::pin(near.writable());
        assert!(poll_once(&mut writer).await.is_pending());
        let last = poll_fn(|cx| {
            let ready = near.poll_read_ready(cx).map_ok(drop);
            if !woken && ready.is_pending() {
                woken = true;
                far.write_all(b"x").unwrap();
            }
            ready
        });
        soon(last).await.unwrap();
        for task in tasks {
            assert_eq!(soon(task).await.unwrap().unwrap(), Ready::READABLE);
        }
        assert!(!first_poller.is_finished());
        first_poller.cancel();
        // The writer waits on, and is woken when there is room.
        assert!(poll_once(&mut writer).await.is_pending());
        far.set_nonblocking(false).unwrap();
        far.read_exact(&mut vec![0; full]).unwrap();
        assert!(soon(writer).await.unwrap().ready().is_writable());
    });
}

// contract 10
#[test]
fn o_nonblock_is_given_back_as_it_was() {
    let (near, _far) = sockets();
    let shared = near.try_clone().unwrap();
    block_on(async {
        assert!(blocks(&shared));
        let held = Async::new(near).unwrap();
        assert!(!blocks(&shared));
        let near = held.into_inner();
        assert!(blocks(&shared), "into_inner");
        drop(Async::new(near).unwrap());
        assert!(blocks(&shared), "drop");
        // What did not block before does not block after.
        shared.set_nonblocking(true).unwrap();
        drop(Async::new(&shared).unwrap());
        assert!(!blocks(&shared));
        shared.set_nonblocking(false).unwrap();
        drop(Async::with_interest(&shared, Interest::READABLE).unwrap());
        drop(Async::new_nonblocking(&shared).unwrap());
        assert!(blocks(&shared), "left alone");
        // Refused, it is given back too.
        let _first = Async::new_nonblocking(&shared).unwrap();
        Async::new(&shared).unwrap_err();
        assert!(blocks(&shared));
    });
}

// contract 9; fault 7
#[test]
fn what_cannot_be_polled_is_a_clear_error_that_gives_it_back() {
    block_on(async {
        for path in ["/dev/null", "/proc/self/exe"] {
            let refused = Async::try_new(File::open(path).unwrap()).unwrap_err();
            let (file, error) = refused.into_parts();
            assert_eq!(error.kind(), ErrorKind::PermissionDenied);
            assert!(error.to_string().contains("read and write it directly"), "{error}");
            assert!(file.metadata().is_ok());
        }
    });
    // Made outside a loop, it is refused where it is first awaited.
    let file = Async::new(File::open("/dev/null").unwrap()).unwrap();
    let error = block_on(async { soon(file.readable()).await.map(drop).unwrap_err() });
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
}

// contract 14, 15; fault 49
#[test]
fn one_descriptor_is_registered_once_and_anew_after_into_inner() {
    let (near, mut far) = sockets();
    block_on(async {
        let first = Async::new(near).unwrap();
        let error = Async::new(first.as_fd()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AlreadyExists);
        assert!(error.to_string().contains("registered with this event loop already"), "{error}");
        far.write_all(b"x").unwrap();
        soon(first.readable()).await.unwrap().retain_ready();
        let near = first.into_inner();
        let again = Async::new(near).unwrap();
        soon(again.readable()).await.unwrap().retain_ready();
    });
}

#[test]
fn an_operation_that_would_block_is_not_called_again_before_the_system_says_so() {
    let (near, mut far) = sockets();
    block_on(async {
        let near = Async::new(near).unwrap();
        fill(near.get_ref());
        let calls = std::cell::Cell::new(0);
        let write = || {
            near.try_io(Interest::WRITABLE, |mut near| {
                calls.set(calls.get() + 1);
                near.write(b"x")
            })
        };
        // Of this direction nothing is known before the first.
        for _ in 0..3 {
            assert_eq!(write().unwrap_err().kind(), ErrorKind::WouldBlock);
        }
        assert_eq!(calls.get(), 1);
        // What is there to be flushed is asked at once all the same: nearly always nothing.
        assert!(poll_once((&near).flush()).await.is_ready());
        while far.read(&mut [0; 4096]).is_ok() {}
        soon(near.writable()).await.unwrap().retain_ready();
        assert_eq!((write().unwrap(), calls.get()), (1, 2));
    });
}

#[test]
fn what_was_not_asked_for_cannot_be_awaited() {
    let (near, _far) = sockets();
    block_on(async {
        let near = Async::with_interest(near, Interest::READABLE).unwrap();
        let error = soon(near.writable()).await.map(drop).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        let error = near.try_io(Interest::WRITABLE, |_| Ok(())).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    });
}

// fault 90
#[test]
fn awaited_in_another_loop_is_a_clear_error() {
    let (near, mut far) = sockets();
    let mut home = event_loop::<()>();
    let near = home.block_on(async { Async::new(near).unwrap() }).unwrap();
    block_on(async {
        let error = soon(near.readable()).await.map(drop).unwrap_err();
        assert!(error.to_string().contains("another event loop"), "{error}");
        let error = soon(near.read_with(|mut near| near.read(&mut [0]))).await.unwrap_err();
        assert!(error.to_string().contains("another event loop"), "{error}");
    });
    far.write_all(b"x").unwrap();
    home.block_on(async { soon(near.readable()).await.unwrap().retain_ready() }).unwrap();
    let mut other = event_loop::<()>();
    ends_with_registrations(home, 1);
    // Its loop is gone: for one that was there beside it, and for one that comes after it.
    let asks = async || {
        let error = soon(near.writable()).await.map(drop).unwrap_err();
        assert_eq!(error.to_string(), "the event loop that this source was used on is gone");
    };
    other.block_on(asks()).unwrap();
    block_on(asks());
    closes_clean(other);
}

// fault 90
#[test]
fn a_stream_of_another_loop_is_a_clear_error_too() {
    let mut home = event_loop::<()>();
    let (stream, mut peer) = home.block_on(net::with_peer()).unwrap();
    let mut buf = [0; 8];
    let waits = async { timeout(Duration::ZERO, stream.read(&mut buf)).await.is_err() };
    assert!(home.block_on(waits).unwrap());
    block_on(async {
        let error = soon(stream.read(&mut buf)).await.unwrap_err();
        assert!(error.to_string().contains("another event loop"), "{error}");
    });
    peer.write_all(b"x").unwrap();
    assert_eq!(home.block_on(stream.read(&mut buf)).unwrap().unwrap(), 1);
    drop(stream);
    closes_clean(home);
}

/// A number that is nobody's: closed by whoever likes.
struct Raw(RawFd);

impl AsFd for Raw {
    fn as_fd(&self) -> BorrowedFd<'_> {
        // SAFETY: the tests close it on purpose, as broken code does; only the kernel sees the number.
        unsafe { BorrowedFd::borrow_raw(self.0) }
    }
}

// fault 46
#[test]
fn closed_behind_our_back_it_neither_spins_nor_harms_the_next_owner() {
    if !net::is_alone("closed_behind_our_back_it_neither_spins_nor_harms_the_next_owner") {
        return;
    }
    let (near, _far) = sockets();
    block_on(async {
        let raw = Async::with_interest(Raw(near.as_raw_fd()), Interest::READABLE).unwrap();
        let mut wait = Box::pin(raw.readable());
        assert!(poll_once(&mut wait).await.is_pending());
        drop(near);
        let turns = EventLoopTurns::now();
        assert!(timeout(Duration::from_millis(20), &mut wait).await.is_err());
        assert!(turns.since() < 10, "{} turns of waiting", turns.since());
        // The number is another's now, who registers it and waits.
        let (next, mut next_far) = sockets();
        assert_eq!(next.as_raw_fd(), raw.get_ref().0);
        // Where the system takes two for one, it is refused as long as the first one lives.
        if cfg!(any(loopline_portable_park, not(any(target_os = "linux", target_os = "android")))) {
            assert_eq!(Async::new(&next).unwrap_err().kind(), ErrorKind::AlreadyExists);
            return;
        }
        let next = Async::new(next).unwrap();
        let mut next_wait = Box::pin(next.readable());
        assert!(poll_once(&mut next_wait).await.is_pending());
        // A change, and then the end, of what is gone.
        drop(wait);
        drop(raw);
        next_far.write_all(b"x").unwrap();
        assert!(soon(next_wait).await.unwrap().ready().is_readable());
    });
}

struct EventLoopTurns(u64);

impl EventLoopTurns {
    fn now() -> Self {
        Self(loopline::Handle::<()>::try_current().unwrap().stats().turns)
    }

    fn since(&self) -> u64 {
        Self::now().0 - self.0
    }
}

// contract 11
#[cfg(any(target_os = "linux", target_os = "android"))]
#[test]
fn priority_data_ends_a_wait_for_it() {
    block_on(async {
        let listener = std::net::TcpListener::bind(net::ANY).unwrap();
        let near = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (far, _) = listener.accept().unwrap();
        let near = Async::new(near).unwrap();
        let mut wait = Box::pin(near.priority());
        assert!(poll_once(&mut wait).await.is_pending());
        // SAFETY: sends a byte of a live buffer on a live descriptor.
        let sent = unsafe { libc::send(far.as_raw_fd(), b"!".as_ptr().cast(), 1, libc::MSG_OOB) };
        assert_eq!(sent, 1);
        assert_eq!(soon(wait).await.unwrap().ready(), Ready::PRIORITY);
    });
}

// contract 11
#[cfg(target_os = "linux")]
#[test]
fn an_error_ends_a_wait_for_nothing_else() {
    block_on(async {
        let socket = std::net::UdpSocket::bind(net::ANY).unwrap();
        socket.connect(net::closed_port()).unwrap();
        let socket = Async::with_interest(socket, Interest::ERROR).unwrap();
        let mut wait = Box::pin(socket.ready(Interest::ERROR));
        assert!(poll_once(&mut wait).await.is_pending());
        // Refused by ICMP.
        socket.get_ref().send(b"x").unwrap();
        let mut guard = soon(wait).await.unwrap();
        assert_eq!(guard.ready(), Ready::ERROR);
        assert!(socket.get_ref().take_error().unwrap().is_some());
        guard.clear_ready();
        assert!(timeout(Duration::from_millis(5), socket.ready(Interest::ERROR)).await.is_err());
    });
}

// contract 20; fault 53
#[test]
fn a_descriptor_whose_other_end_is_gone_keeps_no_loop_busy() {
    let (near, far) = sockets();
    block_on(async {
        let near = Async::new(near).unwrap();
        drop(far);
        let guard = soon(near.readable()).await.unwrap();
        assert!(guard.ready().is_read_closed());
        let turns = EventLoopTurns::now();
        loopline::time::sleep(Duration::from_millis(20)).await;
        assert!(turns.since() < 10, "{} turns of waiting", turns.since());
        assert_eq!(near.read_with(|mut near| near.read(&mut [0])).await.unwrap(), 0);
    });
}

// contract 4
#[test]
fn a_wait_for_two_directions_asks_for_the_one_that_was_not_asked_for_yet() {
    block_on(async {
        let (near, _far) = UnixStream::pair().unwrap();
        // It is watched for reads from the start.
        let fd = Async::new(near).unwrap();
        assert!(poll_once(fd.readable()).await.is_pending());
        let both = Interest::READABLE | Interest::WRITABLE;
        let ready = soon(fd.ready(both)).await.unwrap().ready();
        assert!(ready.is_writable() && !ready.is_readable());
    });
}

// contract 1
#[test]
fn what_would_block_without_a_guard_is_waited_for_too() {
    block_on(async {
        let (near, mut far) = UnixStream::pair().unwrap();
        let fd = Async::new(near).unwrap();
        far.write_all(b"x").unwrap();
        let read = |mut fd: &UnixStream| fd.read(&mut [0; 8]);
        drop(soon(fd.readable()).await.unwrap());
        assert_eq!(read(fd.get_ref()).unwrap(), 1);
        // By somebody else's hands, so that it is still said to be ready.
        let nothing = fd.try_io(Interest::READABLE, read).unwrap_err();
        assert_eq!(nothing.kind(), ErrorKind::WouldBlock);
        assert!(poll_once(fd.readable()).await.is_pending());
        far.write_all(b"y").unwrap();
        drop(soon(fd.readable()).await.unwrap());
        assert_eq!(fd.try_io(Interest::READABLE, read).unwrap(), 1);
    });
}
