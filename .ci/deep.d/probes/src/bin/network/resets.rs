//! Connections that are reset on the way.

use std::cell::Cell;
use std::io::ErrorKind;
use std::rc::Rc;
use std::time::Duration;

use loopline::net::TcpStream;
use loopline::spawn;
use loopline::time::sleep;

use crate::bystanders::quiet;
use crate::tools::{filter, pair, soon, unfilter, works};

/// All but the resets themselves.
const RESET: &str = "tcp flags & rst == rst accept; meta l4proto tcp reject with tcp reset;";

pub async fn resets() -> String {
    reset_as_it_writes().await;
    reset_as_it_reads().await;
    let (near, far) = pair().await;
    works(&near, &far).await;
    "told once as reset to who writes and to who reads, then a new connection works".into()
}

async fn reset_as_it_writes() {
    let (near, far) = pair().await;
    let sent = Rc::new(Cell::new(0));
    let sending = spawn({
        let sent = sent.clone();
        async move {
            loop {
                match near.write(&[b's'; 16 * 1024]).await {
                    Ok(n) => sent.set(sent.get() + n),
                    // Once as what it is; then it is a broken pipe.
                    Err(error) => {
                        break (error.kind(), near.write(b"x").await.map_err(|e| e.kind()));
                    }
                }
            }
        }
    });
    let receiving = spawn(read_to_error(far));
    while sent.get() < 1 << 20 {
        sleep(Duration::from_millis(1)).await;
    }
    filter(RESET);
    let (kind, then) = soon(sending).await.expect("no panic");
    assert_eq!((kind, then), (ErrorKind::ConnectionReset, Err(ErrorKind::BrokenPipe)));
    // The other end sent nothing, so nothing told it: it waits, as TCP has it, and quietly.
    quiet(Duration::from_millis(300)).await;
    if !receiving.is_finished() {
        drop(soon(receiving.cancel()).await);
    }
    unfilter();
}

async fn read_to_error(far: TcpStream) -> ErrorKind {
    let mut buf = [0; 16 * 1024];
    loop {
        match far.read(&mut buf).await {
            Ok(0) => panic!("the end of a stream that was reset"),
            Ok(_) => {}
            Err(error) => break error.kind(),
        }
    }
}

/// It learns of it as it sends.
async fn reset_as_it_reads() {
    let (_near, far) = pair().await;
    let far = Rc::new(far);
    let reading = spawn({
        let far = far.clone();
        async move {
            let first = far.read(&mut [0; 8]).await.map_err(|error| error.kind());
            (first, far.read(&mut [0; 8]).await.map_err(|error| error.kind()))
        }
    });
    sleep(Duration::from_millis(5)).await;
    filter(RESET);
    soon(far.write_all(b"x")).await.expect("taken by the system");
    let told = soon(reading).await.expect("no panic");
    assert_eq!(told, (Err(ErrorKind::ConnectionReset), Ok(0)), "told once, then stable");
    unfilter();
    quiet(Duration::from_millis(300)).await;
}
