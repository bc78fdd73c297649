//! Descriptors and credentials over Unix sockets: none is lost, none leaks. Feature `socket`.
#![cfg(unix)]

#[path = "support/net.rs"]
mod net;
mod support;

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use loopline::net::UnixStream;
use loopline::spawn;
use net::{descriptors, is_alone, poll_once, soon};
use support::{block_on, scaled};

fn is_close_on_exec(fd: &OwnedFd) -> bool {
    // SAFETY: asks for the flags of a live descriptor.
    let flags = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GETFD) };
    flags & libc::FD_CLOEXEC != 0
}

fn files(count: usize) -> Vec<File> {
    (0..count).map(|_| File::open("/dev/null").unwrap()).collect()
}

fn lent(files: &[File]) -> Vec<BorrowedFd<'_>> {
    files.iter().map(AsFd::as_fd).collect()
}

#[test]
fn a_descriptor_that_was_sent_works_where_it_arrives_and_is_not_inherited() {
    block_on(async {
        let (a, b) = UnixStream::pair().unwrap();
        let (mut reader, writer) = std::os::unix::net::UnixStream::pair().unwrap();
        let mut buf = [0; 16];
        assert!(poll_once(b.recv_fds(&mut buf, 4)).await.is_pending());
        assert_eq!(soon(a.send_fds(b"pipe", &[writer.as_fd()])).await.unwrap(), 4);
        drop(writer);
        let received = soon(b.recv_fds(&mut buf, 4)).await.unwrap();
        assert_eq!((received.len, received.truncated), (4, false));
        let [fd] = <[OwnedFd; 1]>::try_from(received.fds).unwrap();
        assert!(is_close_on_exec(&fd));
        File::from(fd).write_all(b"by the other").unwrap();
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(text, "by the other");
    });
}

#[test]
fn bytes_without_descriptors_and_the_end_come_the_same_way() {
    block_on(async {
        let (a, b) = UnixStream::pair().unwrap();
        soon(a.write_all(b"plain")).await.unwrap();
        let mut buf = [0; 16];
        let received = soon(b.recv_fds(&mut buf, 4)).await.unwrap();
        assert_eq!((received.len, received.fds.len(), received.truncated), (5, 0, false));
        assert_eq!(soon(a.send_fds(b"none", &[])).await.unwrap(), 4);
        assert_eq!(soon(b.read(&mut buf)).await.unwrap(), 4);
        drop(a);
        let received = soon(b.recv_fds(&mut buf, 4)).await.unwrap();
        assert_eq!((received.len, received.fds.len()), (0, 0));
        let error = soon(b.send_fds(b"gone", &[])).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BrokenPipe);
    });
}

#[test]
fn a_plain_read_that_ends_at_descriptors_leaves_what_is_behind_them_to_the_next() {
    block_on(async {
        let (a, b) = UnixStream::pair().unwrap();
        let mut buf = [0; 16];
        assert!(poll_once(b.read(&mut buf)).await.is_pending());
        let null = File::open("/dev/null").unwrap();
        soon(a.send_fds(b"with", &[null.as_fd()])).await.unwrap();
        soon(a.write_all(b"behind")).await.unwrap();
        assert_eq!(soon(b.read(&mut buf)).await.unwrap(), 4);
        assert_eq!(soon(b.read(&mut buf)).await.unwrap(), 6);
        soon(a.send_fds(b"with", &[null.as_fd()])).await.unwrap();
        soon(a.write_all(b"behind")).await.unwrap();
        soon(b.readable()).await.unwrap();
        assert_eq!(b.try_read(&mut buf).unwrap(), 4);
        assert_eq!(b.try_read(&mut buf).unwrap(), 6);
        // The read says itself that bytes were all there was.
        soon(a.write_all(b"alone")).await.unwrap();
        soon(b.readable()).await.unwrap();
        assert_eq!(b.try_read(&mut buf).unwrap(), 5);
        assert_eq!(b.try_read(&mut buf).unwrap_err().kind(), ErrorKind::WouldBlock);
    });
}

#[test]
fn messages_without_bytes_or_with_too_many_descriptors_are_refused_clearly() {
    block_on(async {
        let (a, b) = UnixStream::pair().unwrap();
        let files = files(1);
        let many = vec![files[0].as_fd(); 254];
        for error in [
            soon(a.send_fds(b"", &lent(&files))).await.unwrap_err(),
            soon(a.send_fds(b"x", &many)).await.unwrap_err(),
            soon(b.recv_fds(&mut [], 1)).await.map(drop).unwrap_err(),
        ] {
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
        }
        soon(a.send_fds(b"x", &many[..253])).await.unwrap();
        let received = soon(b.recv_fds(&mut [0; 8], 253)).await.unwrap();
        assert_eq!((received.fds.len(), received.truncated), (253, false));
    });
}

// fault 30
#[test]
fn descriptors_that_find_no_room_are_told_of_and_closed() {
    if !is_alone("descriptors_that_find_no_room_are_told_of_and_closed") {
        return;
    }
    block_on(async {
        let (a, b) = UnixStream::pair().unwrap();
        let files = files(5);
        let before = descriptors();
        for max in 0..8 {
            soon(a.send_fds(b"x", &lent(&files))).await.unwrap();
            let received = soon(b.recv_fds(&mut [0; 8], max)).await.unwrap();
            assert_eq!((received.fds.len(), received.truncated), (max.min(5), max < 5));
            drop(received);
            assert_eq!(descriptors(), before);
        }
        // One that nobody asks for by a plain read.
        soon(a.send_fds(b"x", &lent(&files))).await.unwrap();
        assert_eq!(soon(b.read(&mut [0; 8])).await.unwrap(), 1);
        assert_eq!(descriptors(), before);
    });
}

// fault 1, 30
#[test]
fn descriptors_that_this_process_may_not_hold_are_told_of() {
    if !is_alone("descriptors_that_this_process_may_not_hold_are_told_of") {
        return;
    }
    block_on(async {
        let (a, b) = UnixStream::pair().unwrap();
        let files = files(5);
        assert!(poll_once(b.read(&mut [0; 8])).await.is_pending());
        soon(a.send_fds(b"x", &lent(&files))).await.unwrap();
        let highest = File::open("/dev/null").unwrap().as_raw_fd();
        let limit = libc::rlimit { rlim_cur: highest as libc::rlim_t + 2, rlim_max: 1024 };
        // SAFETY: the limits are read from a live struct.
        assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) }, 0);
        let received = soon(b.recv_fds(&mut [0; 8], 5)).await.unwrap();
        assert_eq!((received.len, received.fds.len(), received.truncated), (1, 2, true));
    });
}

// fault 30
#[test]
fn unread_descriptors_go_with_the_socket_they_wait_in() {
    if !is_alone("unread_descriptors_go_with_the_socket_they_wait_in") {
        return;
    }
    block_on(async {
        let before = descriptors();
        let (mut reader, writer) = std::os::unix::net::UnixStream::pair().unwrap();
        let (a, b) = UnixStream::pair().unwrap();
        soon(a.send_fds(b"x", &[writer.as_fd()])).await.unwrap();
        drop((a, writer));
        // The only other end is in flight: its connection ends when the flight does.
        drop(b);
        assert_eq!(reader.read(&mut [0; 8]).unwrap(), 0);
        drop(reader);
        assert_eq!(descriptors(), before);
    });
}

// contract 40; fault 30
#[test]
fn a_wait_that_was_given_up_has_neither_sent_nor_received_descriptors() {
    if !is_alone("a_wait_that_was_given_up_has_neither_sent_nor_received_descriptors") {
        return;
    }
    block_on(async {
        let (a, b) = UnixStream::pair().unwrap();
        let files = files(3);
        let before = descriptors();
        while a.try_write(&[7; 4096]).is_ok() {}
        for _ in 0..50 {
            assert!(poll_once(a.send_fds(b"never", &lent(&files))).await.is_pending());
            assert!(poll_once(a.recv_fds(&mut [0; 8], 4)).await.is_pending());
        }
        assert_eq!(descriptors(), before);
        drop(a);
        loop {
            let received = soon(b.recv_fds(&mut [0; 4096], 4)).await.unwrap();
            assert!(received.fds.is_empty());
            if received.len == 0 {
                break;
            }
        }
    });
}

#[test]
fn many_descriptors_through_a_full_socket_all_arrive_in_order() {
    let count = u32::try_from(scaled(2000)).unwrap();
    block_on(async {
        let (a, b) = UnixStream::pair().unwrap();
        let sending = spawn(async move {
            let file = File::open("/dev/null").unwrap();
            for n in 0..count {
                let sent = a.send_fds(&n.to_le_bytes(), &[file.as_fd()]).await.unwrap();
                assert_eq!(sent, 4);
            }
        });
        for n in 0..count {
            let mut buf = [0; 4];
            let received = soon(b.recv_fds(&mut buf, 1)).await.unwrap();
            assert_eq!((received.len, received.fds.len(), received.truncated), (4, 1, false));
            assert_eq!(buf, n.to_le_bytes());
        }
        soon(sending).await.unwrap();
    });
}

#[test]
#[cfg(target_os = "linux")]
fn the_peer_is_known_by_its_process_user_and_group() {
    block_on(async {
        let (a, b) = UnixStream::pair().unwrap();
        // SAFETY: both only ask.
        let (uid, gid) = unsafe { (libc::getuid(), libc::getgid()) };
        for stream in [a, b] {
            let cred = stream.peer_cred().unwrap();
            assert_eq!(cred.pid(), i32::try_from(std::process::id()).ok());
            assert_eq!((cred.uid(), cred.gid()), (uid, gid));
        }
    });
}
