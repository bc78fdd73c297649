//! A server that ends well: on Ctrl-C it takes no more connections, gives those that are open two
//! seconds to end, and closes the rest.
//!
//! ```text
//! cargo run --features signal --example ctrl_c -- 127.0.0.1:7000
//! nc 127.0.0.1 7000
//! ```
#![cfg_attr(not(unix), allow(unused))]

use std::io;
use std::pin::pin;
use std::time::Duration;

use futures::future::{Either, select};
use loopline::callback::ping;
use loopline::net::{TcpListener, TcpStream};
#[cfg(unix)]
use loopline::signal::ctrl_c;
use loopline::time::timeout;

#[cfg(unix)]
#[loopline::main]
async fn main() -> io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:0".into());
    let listener = TcpListener::bind(address).await?;
    println!("listening on {}", listener.local_addr()?);

    // Each client's task holds a clone; the source ends with the last of them.
    let (open, mut all_ended) = ping();
    let mut interrupt = ctrl_c();
    loop {
        match select(pin!(listener.accept()), &mut interrupt).await {
            Either::Left((accepted, _)) => {
                let (stream, _peer) = accepted?;
                let open = open.clone();
                loopline::spawn(async move {
                    // An error is this client's end, and nobody else's business.
                    let _ = echo(stream).await;
                    drop(open);
                });
            }
            Either::Right((interrupted, _)) => break interrupted?,
        }
    }
    // From here on new clients are refused.
    drop((listener, open));
    println!("ending; Ctrl-C again ends at once");
    // Made anew: each waits for the next Ctrl-C from its creation on.
    let all_ended = pin!(all_ended.next());
    match timeout(Duration::from_secs(2), select(all_ended, ctrl_c())).await {
        Ok(Either::Left(_)) => println!("all clients have ended"),
        // Tasks that are left are cancelled as `main` returns, and their connections closed.
        Ok(Either::Right(_)) | Err(_) => println!("closing the others"),
    }
    Ok(())
}

async fn echo(stream: TcpStream) -> io::Result<()> {
    let mut buf = [0; 4096];
    loop {
        match stream.read(&mut buf).await? {
            0 => return Ok(()),
            n => stream.write_all(&buf[..n]).await?,
        }
    }
}

/// Signals are on Unix only, so far.
#[cfg(not(unix))]
fn main() {}
