//! `FdSource`: what is told beside an end, and after one.
#![cfg(unix)] // descriptors

#[path = "support/net.rs"]
mod net;
mod support;
#[path = "support/unix.rs"]
mod unix;

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::fd::FromRawFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use loopline::io::{FdSource, Interest};
use loopline::time::timeout;
use net::soon;
use support::block_on;
use unix::sockets;

const SHORT: Duration = Duration::from_millis(5);

/// Writes until it would block.
fn fill(mut socket: &UnixStream) {
    while socket.write(&[0; 4096]).is_ok() {}
}

fn write(mut socket: &UnixStream) -> std::io::Result<usize> {
    socket.write(b"x")
}

// contract 5; fault 51
#[test]
fn what_was_known_before_an_interest_was_taken_back_is_not_told_when_it_is_added_again() {
    let (near, far) = sockets();
    block_on(async {
        let mut source = FdSource::new(near, Interest::READABLE | Interest::WRITABLE);
        assert!(soon(source.next()).await.unwrap().unwrap().writable);
        // There was room left.
        source.try_io_for(Interest::WRITABLE, write).unwrap();
        source.set_interest(Interest::READABLE);
        assert!(timeout(SHORT, source.next()).await.is_err());
        fill(source.get_ref());
        source.set_interest(Interest::READABLE | Interest::WRITABLE);
        assert!(timeout(SHORT, source.next()).await.is_err());
        while (&far).read(&mut [0; 4096]).is_ok() {}
        assert!(soon(source.next()).await.unwrap().unwrap().writable);
    });
}

// contract 2, 6
#[test]
fn a_write_that_would_block_does_not_hide_the_end_that_nobody_has_read() {
    let (near, far) = sockets();
    fill(&near);
    (&far).write_all(b"abc").unwrap();
    far.shutdown(Shutdown::Write).unwrap();
    block_on(async {
        let mut source = FdSource::new(near, Interest::READABLE | Interest::WRITABLE);
        let event = soon(source.next()).await.unwrap().unwrap();
        assert!(event.readable && event.read_closed && !event.writable, "{event:?}");
        // Past the source, which so does not know that there is nothing left but the end.
        assert_eq!(source.get_ref().read(&mut [0; 8]).unwrap(), 3);
        let error = source.try_io_for(Interest::WRITABLE, write).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
        let event = soon(source.next()).await.unwrap().unwrap();
        assert!(event.readable, "{event:?}");
        assert_eq!(source.get_ref().read(&mut [0; 8]).unwrap(), 0);
    });
}

// contract 20; fault 53
#[test]
fn who_has_read_the_end_that_was_told_is_told_no_more() {
    let (near, far) = sockets();
    (&far).write_all(b"abc").unwrap();
    drop(far);
    block_on(async {
        let mut source = FdSource::new(near, Interest::READABLE);
        let event = soon(source.next()).await.unwrap().unwrap();
        assert!(event.readable && event.read_closed, "{event:?}");
        for expected in [3, 0] {
            assert_eq!(source.try_io(|mut near| near.read(&mut [0; 8])).unwrap(), expected);
        }
        assert!(soon(source.next()).await.is_none());
    });
}

// contract 6, 20
#[test]
fn a_full_pipe_that_nobody_reads_any_more_is_worth_a_write() {
    let mut ends = [0; 2];
    // SAFETY: it writes two numbers, which then are open and nobody else's; and sets a flag of one.
    let (reader, writer) = unsafe {
        assert_eq!(libc::pipe(ends.as_mut_ptr()), 0);
        libc::fcntl(ends[1], libc::F_SETFL, libc::O_NONBLOCK);
        (File::from_raw_fd(ends[0]), File::from_raw_fd(ends[1]))
    };
    while (&writer).write(&[0; 4096]).is_ok() {}
    block_on(async {
        let mut source = FdSource::new(writer, Interest::WRITABLE);
        assert!(timeout(SHORT, source.next()).await.is_err());
        drop(reader);
        let event = soon(source.next()).await.unwrap().unwrap();
        assert!(event.writable && event.write_closed, "{event:?}");
        let error = source.try_io(|mut writer| writer.write(b"x")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BrokenPipe);
        assert!(soon(source.next()).await.is_none());
    });
}

// contract 11, 20; fault 53
#[cfg(any(target_os = "linux", target_os = "android"))]
#[test]
fn priority_data_that_nobody_takes_is_told_no_more_after_the_end() {
    let listener = std::net::TcpListener::bind(net::ANY).unwrap();
    let near = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (far, _) = listener.accept().unwrap();
    unix::send_urgent(&far, b"!").unwrap();
    drop(far);
    near.set_nonblocking(true).unwrap();
    block_on(async {
        let mut source = FdSource::new(near, Interest::READABLE | Interest::PRIORITY);
        let (mut told, mut ends) = (0, 0);
        while let Some(event) = soon(source.next()).await {
            let event = event.unwrap();
            told += u32::from(event.priority);
            ends += u32::from(event.read_closed);
            while matches!(source.get_ref().read(&mut [0; 8]), Ok(1..)) {}
            assert!(told < 10, "it is told for ever");
        }
        assert!(told >= 1 && ends == 1, "{told} times, {ends} ends");
    });
}
