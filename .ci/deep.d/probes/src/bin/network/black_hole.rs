//! A peer that never answers, and then does.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use loopline::net::TcpStream;
use loopline::spawn;
use loopline::time::timeout;

use crate::bystanders::{descriptors, quiet, registrations};
use crate::tools::{HERE, filter, pair, soon, unfilter};

pub async fn black_hole() -> String {
    filter("tcp dport 9 drop;");
    let before = (descriptors(), registrations());
    let began = Instant::now();
    let connect = TcpStream::connect((HERE, 9));
    assert!(timeout(Duration::from_millis(300), connect).await.is_err(), "out of a black hole");
    let took = began.elapsed();
    assert_eq!((descriptors(), registrations()), before, "the socket that connected is closed");
    // Others get its number and its place; answers to it come late, if at all, and reach nobody.
    let (near, far) = pair().await;
    let late = spawn(async move { far.read(&mut [0; 8]).await.map(|n| (n, far)) });
    let waiting = spawn(async {
        let connect = TcpStream::connect((HERE, 9)).await;
        connect.map(drop).map_err(|error| error.kind())
    });
    quiet(Duration::from_millis(500)).await;
    assert!(!late.is_finished() && !waiting.is_finished());
    // The fault lifts: who still waits gets its answer by the next retransmission, within 1 or 2 seconds.
    unfilter();
    let lifted = Instant::now();
    let refused = soon(waiting).await.expect("no panic");
    assert_eq!(refused, Err(ErrorKind::ConnectionRefused));
    assert!(lifted.elapsed() < Duration::from_secs(5), "{:?}", lifted.elapsed());
    near.write_all(b"x").await.expect("a write");
    assert_eq!(soon(late).await.expect("no panic").expect("a read").0, 1);
    format!("left after {took:.1?}, answered {:.1?} after it lifted", lifted.elapsed())
}
