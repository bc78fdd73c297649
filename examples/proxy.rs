//! A TCP proxy: copies both directions of each connection at once, and passes on each end by itself.
//!
//! ```text
//! cargo run --release --example proxy -- 127.0.0.1:7000 127.0.0.1:80
//! curl http://127.0.0.1:7000/
//! ```

use std::io;
use std::time::Duration;

use futures::future::try_join;
use loopline::net::{TcpListener, TcpStream};
use loopline::time::timeout;

const CONNECT_LIMIT: Duration = Duration::from_secs(5);

#[loopline::main]
async fn main() -> io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let (Some(listen), Some(upstream)) = (arguments.next(), arguments.next()) else {
        eprintln!("usage: proxy LISTEN UPSTREAM, both as 127.0.0.1:7000");
        std::process::exit(2);
    };
    let listener = TcpListener::bind(listen).await?;
    println!("listening on {}", listener.local_addr()?);
    loop {
        let (client, peer) = listener.accept().await?;
        let upstream = upstream.clone();
        loopline::spawn(async move {
            // An error ends this pair, and is nobody else's business.
            if let Err(error) = forward(client, &upstream).await {
                eprintln!("{peer}: {error}");
            }
        });
    }
}

async fn forward(client: TcpStream, upstream: &str) -> io::Result<()> {
    // The outer error is the limit's, the inner one connect's; both are `io::Error` by `?`.
    let server = timeout(CONNECT_LIMIT, TcpStream::connect(upstream)).await??;
    // What arrives in pieces leaves in pieces: the ends decide what to hold back, not the proxy.
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    // Both run in this one task and borrow both streams. The first error drops the other copy.
    try_join(copy(&client, &server), copy(&server, &client)).await?;
    Ok(())
}

/// Copies until `from` ends, then ends `to`'s sending half; the other direction goes on.
async fn copy(from: &TcpStream, to: &TcpStream) -> io::Result<()> {
    let mut buf = vec![0; 64 * 1024];
    loop {
        match from.read(&mut buf).await? {
            0 => return to.shutdown().await,
            // Waits while `to` is full, and so reads no faster than `to` is read.
            n => to.write_all(&buf[..n]).await?,
        }
    }
}
