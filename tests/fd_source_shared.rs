//! `FdSource`: what is seldom watched for, and descriptors that others have as well.
#![cfg(all(any(target_os = "linux", target_os = "android"), feature = "net"))]

#[path = "support/net.rs"]
mod net;
mod support;
#[path = "support/unix.rs"]
mod unix;

use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

use loopline::callback::Next;
use loopline::io::{FdSource, Interest};
use loopline::time::timeout;
use net::soon;
use support::{block_on, closes_clean, event_loop};
use unix::sockets;

// contract 11
#[test]
fn a_source_of_errors_alone_tells_each_once_and_does_not_end() {
    let socket = std::net::UdpSocket::bind(net::ANY).unwrap();
    socket.connect(net::closed_port()).unwrap();
    let sender = socket.try_clone().unwrap();
    let mut event_loop = event_loop::<u32>();
    let source = FdSource::new(socket, Interest::ERROR);
    let insert = event_loop.handle().insert(source, |event, _source, errors: &mut u32| {
        let event = event.unwrap();
        assert!(event.error && !event.readable && !event.writable, "{event:?}");
        *errors += 1;
        Next::Keep
    });
    let item = insert.unwrap();
    let mut errors = 0;
    let mut turns = |errors: &mut u32| {
        for _ in 0..3 {
            event_loop.turn(errors, Duration::from_millis(1)).unwrap();
        }
    };
    turns(&mut errors);
    assert_eq!(errors, 0);
    for n in 1..3 {
        // Refused by ICMP.
        sender.send(b"x").unwrap();
        turns(&mut errors);
        // Taken after it was told, and not because of it.
        assert!(sender.take_error().unwrap().is_some());
        assert_eq!(errors, n);
    }
    assert!(!item.is_finished());
    drop(item.cancel());
    closes_clean(event_loop);
}

// contract 11, 20
#[test]
fn a_source_of_priority_data_alone_hears_of_a_reset_and_ends() {
    let listener = std::net::TcpListener::bind(net::ANY).unwrap();
    let near = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (far, _) = listener.accept().unwrap();
    block_on(async {
        let mut source = FdSource::new(near, Interest::PRIORITY);
        assert!(timeout(Duration::ZERO, source.next()).await.is_err());
        // Not that the peer sends no more: that is told to readers alone.
        net::reset(far);
        let event = soon(source.next()).await.unwrap().unwrap();
        assert!(event.read_closed && !event.readable && !event.priority, "{event:?}");
        assert!(soon(source.next()).await.is_none());
    });
}

/// A number that is nobody's: closed by whoever likes.
struct Raw(RawFd);

impl AsFd for Raw {
    fn as_fd(&self) -> BorrowedFd<'_> {
        // SAFETY: the test closes it on purpose, as broken code does; only the kernel sees the number.
        unsafe { BorrowedFd::borrow_raw(self.0) }
    }
}

// fault 46
#[test]
fn a_source_closed_behind_its_back_does_not_change_what_its_number_has_become() {
    const NAME: &str = "a_source_closed_behind_its_back_does_not_change_what_its_number_has_become";
    // Elsewhere the number is refused as long as the first source lives.
    if cfg!(loopline_portable_park) || !net::is_alone(NAME) {
        return;
    }
    let (near, _far) = sockets();
    block_on(async {
        let mut broken = FdSource::new(Raw(near.as_raw_fd()), Interest::READABLE);
        assert!(timeout(Duration::ZERO, broken.next()).await.is_err());
        drop(near);
        let (next, mut next_far) = sockets();
        assert_eq!(next.as_raw_fd(), broken.get_ref().0);
        let mut next = FdSource::new(next, Interest::READABLE);
        assert!(timeout(Duration::ZERO, next.next()).await.is_err());
        broken.set_interest(Interest::READABLE | Interest::WRITABLE);
        let error = soon(broken.next()).await.unwrap().unwrap_err();
        assert!(error.to_string().contains("closed while it was registered"), "{error}");
        assert!(soon(broken.next()).await.is_none());
        // That one is asked for what it was, and told it.
        next_far.write_all(b"x").unwrap();
        let event = soon(next.next()).await.unwrap().unwrap();
        assert!(event.readable && !event.writable, "{event:?}");
    });
}

/// An epoll of somebody else's.
struct Epoll(OwnedFd);

impl Epoll {
    fn watching(fd: &impl AsFd) -> Self {
        let mut event = libc::epoll_event { events: libc::EPOLLIN as u32, u64: 7 };
        // SAFETY: makes a descriptor that nobody else has; the event is borrowed for the time of the call.
        unsafe {
            let epoll = OwnedFd::from_raw_fd(libc::epoll_create1(libc::EPOLL_CLOEXEC));
            let (own, fd) = (epoll.as_raw_fd(), fd.as_fd().as_raw_fd());
            assert_eq!(libc::epoll_ctl(own, libc::EPOLL_CTL_ADD, fd, &raw mut event), 0);
            Self(epoll)
        }
    }

    fn tells(&self) -> bool {
        let mut event = libc::epoll_event { events: 0, u64: 0 };
        // SAFETY: one event, which is borrowed for the time of the call.
        unsafe { libc::epoll_wait(self.0.as_raw_fd(), &raw mut event, 1, 0) == 1 }
    }
}

// contract 15; fault 49
#[test]
fn a_descriptor_that_a_foreign_epoll_watches_too_is_told_to_both() {
    let (near, mut far) = sockets();
    let foreign = Epoll::watching(&near);
    block_on(async {
        let mut source = FdSource::new(near, Interest::READABLE);
        assert!(timeout(Duration::ZERO, source.next()).await.is_err());
        assert!(!foreign.tells());
        far.write_all(b"x").unwrap();
        assert!(soon(source.next()).await.unwrap().unwrap().readable);
        assert!(foreign.tells());
        assert_eq!(source.try_io(|mut socket| socket.read(&mut [0; 8])).unwrap(), 1);
        assert!(!foreign.tells());
        // That one watches on when we do not any more.
        let _near = source.into_inner().unwrap();
        far.write_all(b"y").unwrap();
        assert!(foreign.tells());
    });
}
