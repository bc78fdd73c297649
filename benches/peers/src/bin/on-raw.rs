//! epoll and nothing else, level-triggered: the floor for servers.

use std::io;
use std::os::fd::AsRawFd;

use peers::echo::{ANY, announce};
use peers::peer::Echo;
use peers::program::Asked;

fn main() {
    let asked = Asked::read();
    asked.known(asked.echo::<Raw>());
}

struct Raw;

fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

impl Echo for Raw {
    fn serve<const BUFFER: usize>() -> io::Result<()> {
        let listener = std::net::TcpListener::bind(ANY)?;
        listener.set_nonblocking(true)?;
        announce(listener.local_addr()?);
        // SAFETY: system calls on descriptors this function owns and buffers of its own, here and below.
        let epoll = check(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })?;
        let add = |fd: libc::c_int| {
            let mut event = libc::epoll_event { events: libc::EPOLLIN as u32, u64: fd as u64 };
            // SAFETY: as above.
            check(unsafe { libc::epoll_ctl(epoll, libc::EPOLL_CTL_ADD, fd, &mut event) })
        };
        add(listener.as_raw_fd())?;
        let mut events = [libc::epoll_event { events: 0, u64: 0 }; 1024];
        let mut buffer = [0_u8; BUFFER];
        loop {
            // SAFETY: as above.
            let ready = check(unsafe { libc::epoll_wait(epoll, events.as_mut_ptr(), 1024, -1) })?;
            for event in &events[..ready as usize] {
                let fd = event.u64 as libc::c_int;
                if fd == listener.as_raw_fd() {
                    while let Some(stream) = accept(fd) {
                        add(stream)?;
                    }
                } else if !echo(fd, &mut buffer) {
                    // SAFETY: as above; nothing uses the descriptor after this.
                    unsafe { libc::close(fd) };
                }
            }
        }
    }
}

fn accept(listener: libc::c_int) -> Option<libc::c_int> {
    let (none, flags) = (std::ptr::null_mut(), libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC);
    // SAFETY: null means that no address is wanted.
    let stream = unsafe { libc::accept4(listener, none, std::ptr::null_mut(), flags) };
    (stream >= 0).then_some(stream)
}

/// Returns whether there is more to come.
fn echo(fd: libc::c_int, buffer: &mut [u8]) -> bool {
    // SAFETY: the pointer and the length are the buffer's.
    let n = unsafe { libc::recv(fd, buffer.as_mut_ptr().cast(), buffer.len(), 0) };
    if n <= 0 {
        return false;
    }
    // SAFETY: so many bytes of the buffer are filled.
    n == unsafe { libc::send(fd, buffer.as_ptr().cast(), n as usize, libc::MSG_NOSIGNAL) }
}
