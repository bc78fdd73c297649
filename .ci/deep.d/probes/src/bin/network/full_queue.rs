//! A queue of packets that is full.

use std::cell::Cell;
use std::io::ErrorKind;
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use loopline::Handle;
use loopline::net::UdpSocket;

use crate::bystanders::cpu;
use crate::tools::{HERE, sh, soon};

pub async fn full_queue() -> String {
    const COUNT: u32 = 100;
    sh("tc qdisc add dev lo root handle 1: tbf rate 1mbit burst 2kb limit 30kb \
        && tc qdisc add dev lo parent 1:1 handle 10: pfifo limit 10");
    let receiver = UdpSocket::bind((HERE, 0)).await.expect("a socket");
    let sender = little_room();
    sender.connect(receiver.local_addr().expect("an address")).await.expect("connected");
    let handle = Handle::<()>::try_current().expect("a loop that runs");
    let (began, cpu_before, turns) = (Instant::now(), cpu(), handle.stats().turns);
    let waits = Cell::new(0);
    let sending = async {
        let mut datagram = [0; 1000];
        for n in 0..COUNT {
            datagram[..4].copy_from_slice(&n.to_be_bytes());
            if sender.try_send(&datagram).is_err_and(|e| e.kind() == ErrorKind::WouldBlock) {
                waits.set(waits.get() + 1);
                soon(sender.send(&datagram)).await.expect("room in time");
            }
        }
    };
    let receiving = async {
        let mut buf = [0; 1500];
        for n in 0..COUNT {
            assert_eq!(soon(receiver.recv(&mut buf)).await.expect("a datagram"), 1000);
            assert_eq!(buf[..4], n.to_be_bytes(), "none lost, and in order");
        }
    };
    futures::join!(sending, receiving);
    let took = began.elapsed();
    assert!(waits.get() > COUNT / 4, "{} waits: the queue was never full", waits.get());
    assert!(took > Duration::from_millis(400), "{took:?}: not held back");
    let share = (cpu() - cpu_before).as_secs_f64() / took.as_secs_f64();
    let turns = handle.stats().turns - turns;
    assert!(
        share < 0.15 && turns < took.as_millis() as u64 + 5 * u64::from(COUNT),
        "{share}, {turns} turns"
    );
    sh("tc qdisc del dev lo root");
    let full = waits.get();
    format!(
        "{COUNT} datagrams at 1 Mbit/s in {took:.1?}, {full} waits, {turns} turns, {:.0} % CPU",
        share * 100.0
    )
}

/// A socket that takes few datagrams before it waits.
fn little_room() -> UdpSocket {
    let socket = std::net::UdpSocket::bind((HERE, 0)).expect("a socket");
    let small: libc::c_int = 4096;
    // SAFETY: the option's value is a live integer of the size given.
    let set = unsafe {
        let value = (&raw const small).cast();
        libc::setsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, libc::SO_SNDBUF, value, 4)
    };
    assert_eq!(set, 0);
    UdpSocket::from_std(socket).expect("a socket")
}
