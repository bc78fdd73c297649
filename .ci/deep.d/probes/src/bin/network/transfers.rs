//! Bytes that arrive whole, over links that lose packets, cut them small, or go down.

use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use loopline::net::UdpSocket;
use loopline::spawn;
use loopline::time::{sleep, timeout};

use crate::bystanders::quiet;
use crate::tools::{HERE, SOON, filter, pair, sh, soon, unfilter, works};

/// Sends bytes one way on a connection and compares what arrives; runs a fault in the midst.
async fn transfer(bytes: usize, fault: impl AsyncFnOnce()) -> (io::Result<()>, io::Result<()>) {
    let (near, far) = pair().await;
    let pattern = |at: usize| (at.wrapping_mul(2_654_435_761) >> 11) as u8;
    let began = Rc::new(Cell::new(false));
    let sending = {
        let began = began.clone();
        async move {
            let mut at = 0;
            while at < bytes {
                let part: Vec<u8> = (at..bytes.min(at + 16 * 1024)).map(pattern).collect();
                timeout(SOON, near.write_all(&part)).await.expect("room, or an error")?;
                at += part.len();
                began.set(at > bytes / 8);
            }
            near.shutdown().await
        }
    };
    let receiving = async move {
        let mut at = 0;
        let mut buf = vec![0; 64 * 1024];
        loop {
            let n = timeout(SOON, far.read(&mut buf)).await.expect("bytes, or an error")?;
            if n == 0 {
                break;
            }
            for byte in &buf[..n] {
                assert_eq!(*byte, pattern(at), "byte {at}");
                at += 1;
            }
        }
        assert_eq!(at, bytes, "an end before the last byte");
        Ok(())
    };
    let (sending, receiving) = (spawn(sending), spawn(receiving));
    while !began.get() && !sending.is_finished() {
        sleep(Duration::from_millis(1)).await;
    }
    fault().await;
    let both = (sending.await.expect("no panic"), receiving.await.expect("no panic"));
    (both.0, both.1)
}

pub async fn loss() -> String {
    sh("ip link set lo mtu 1500");
    filter("ip protocol tcp numgen random mod 100 < 10 drop;");
    let began = Instant::now();
    let (sent, received) = transfer(1 << 20, async || {}).await;
    sent.expect("sent");
    received.expect("received");
    let took = began.elapsed();
    unfilter();
    format!("1 MiB with one packet of ten lost, byte-equal, in {took:.1?}")
}

pub async fn small_packets() -> String {
    sh("ip link set lo mtu 576");
    let (sent, received) = transfer(4 << 20, async || {}).await;
    sent.expect("sent");
    received.expect("received");
    let (one, other) = (
        UdpSocket::bind((HERE, 0)).await.expect("a socket"),
        UdpSocket::bind((HERE, 0)).await.expect("a socket"),
    );
    let to = other.local_addr().expect("an address");
    let datagram: Vec<u8> = (0..20_000u32).map(|n| n as u8).collect();
    soon(one.send_to(&datagram, to)).await.expect("a send");
    let mut buf = vec![0; 30_000];
    let n = soon(other.recv(&mut buf)).await.expect("a datagram");
    assert_eq!(buf[..n], datagram, "in pieces, and whole");
    "4 MiB byte-equal in packets of 576 bytes, and a datagram of 20,000".into()
}

pub async fn link_down() -> String {
    let down = Duration::from_millis(800);
    let began = Instant::now();
    let (sent, received) = transfer(256 << 20, async || {
        sh("ip link set lo down");
        sleep(Duration::from_millis(100)).await;
        quiet(down).await;
        sh("ip link set lo up");
    })
    .await;
    let took = began.elapsed();
    assert!(took > down, "{took:?}: it was over before");
    let kinds = [sent, received].map(|result| result.map_err(|error| error.kind()));
    assert_eq!(kinds, [Ok(()), Ok(())], "resumes, as TCP goes on trying");
    let (near, far) = pair().await;
    works(&near, &far).await;
    format!("256 MiB byte-equal over a link that was down for {down:?}, in {took:.1?}")
}
