//! Datagrams with a bad checksum: an event, and then nothing to read.

use std::cell::Cell;
use std::io::{self, ErrorKind};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::rc::Rc;
use std::time::{Duration, Instant};

use loopline::io::Interest;
use loopline::net::UdpSocket;
use loopline::spawn;
use loopline::time::{sleep, timeout};

use crate::bystanders::quiet;
use crate::tools::{HERE, SOON, soon};

pub async fn bad_checksum() -> String {
    let socket = UdpSocket::bind((HERE, 0)).await.expect("a socket");
    let port = socket.local_addr().expect("an address").port();
    let liar = Liar::new(port);
    // It waits for the first time, so the poller is asked.
    assert!(timeout(Duration::from_millis(20), socket.recv(&mut [0; 8])).await.is_err());
    liar.lie();
    soon(socket.ready(Interest::READABLE)).await.expect("an event");
    let nothing = socket.try_recv(&mut [0; 8]).expect_err("a lie");
    assert_eq!(nothing.kind(), ErrorKind::WouldBlock);
    let got = Rc::new(Cell::new(0));
    let receiver = spawn({
        let got = got.clone();
        async move {
            let mut buf = [0; 8];
            while let Ok(n @ 1..) = socket.recv(&mut buf).await {
                assert_eq!(&buf[..n], b"truth");
                got.set(got.get() + 1);
            }
        }
    });
    let sender = UdpSocket::bind((HERE, 0)).await.expect("a socket");
    for round in 1..=20 {
        liar.lie();
        sleep(Duration::from_millis(5)).await;
        assert_eq!(got.get(), round - 1);
        soon(sender.send_to(b"truth", (HERE, port))).await.expect("a send");
        let end = Instant::now() + SOON;
        while got.get() < round {
            assert!(Instant::now() < end, "no wake for datagram {round}");
            sleep(Duration::from_millis(1)).await;
        }
    }
    liar.lie();
    quiet(Duration::from_millis(300)).await;
    assert!(!receiver.is_finished());
    soon(sender.send_to(b"", (HERE, port))).await.expect("a send");
    soon(receiver).await.expect("no panic");
    "22 datagrams with a bad checksum were events for nothing, 20 good ones came".into()
}

/// Sends datagrams whose checksum is wrong.
struct Liar {
    raw: OwnedFd,
    /// Whom to.
    port: u16,
}

impl Liar {
    fn new(port: u16) -> Self {
        // SAFETY: takes integers.
        let raw = unsafe { libc::socket(libc::AF_INET, libc::SOCK_RAW, libc::IPPROTO_UDP) };
        assert!(raw >= 0, "{}", io::Error::last_os_error());
        // SAFETY: a descriptor just made, that nobody else has.
        let raw = unsafe { OwnedFd::from_raw_fd(raw) };
        Self { raw, port }
    }

    fn lie(&self) {
        let mut packet = vec![b'x'; 208];
        packet[..2].copy_from_slice(&9u16.to_be_bytes());
        packet[2..4].copy_from_slice(&self.port.to_be_bytes());
        packet[4..6].copy_from_slice(&208u16.to_be_bytes());
        packet[6..8].copy_from_slice(&[0xba, 0xd1]);
        let to = libc::sockaddr_in {
            sin_family: libc::AF_INET as _,
            sin_port: 0,
            sin_addr: libc::in_addr { s_addr: u32::from(HERE).to_be() },
            sin_zero: [0; 8],
        };
        let size = size_of_val(&to) as libc::socklen_t;
        // SAFETY: both pointers are to live values of the sizes given.
        let sent = unsafe {
            let packet = (packet.as_ptr().cast(), packet.len());
            libc::sendto(self.raw.as_raw_fd(), packet.0, packet.1, 0, (&raw const to).cast(), size)
        };
        assert_eq!(sent, 208, "{}", io::Error::last_os_error());
    }
}
