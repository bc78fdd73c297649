//! A TCP proxy: copies both directions of each connection at once, and passes on each end by itself.
//!
//! ```text
//! cargo run --release --example proxy -- 127.0.0.1:7000 127.0.0.1:80
//! curl http://127.0.0.1:7000/
//! ```

use std::io;
use std::time::Duration;

use loopline::io::copy_bidirectional;
use loopline::net::{TcpListener, TcpStream};
use loopline::time::timeout;

const CONNECT_LIMIT: Duration = Duration::from_secs(5);
const BUFFER_SIZE: usize = 64 * 1024;

#[loopline::main]
async fn main() -> io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let (Some(listen), Some(upstream)) = (arguments.next(), arguments.next()) else {
        eprintln!("usage: proxy LISTEN UPSTREAM, both as 127.0.0.1:7000 or localhost:7000");
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

async fn forward(mut client: TcpStream, upstream: &str) -> io::Result<()> {
    // The outer error is the limit's, the inner one connect's; both are `io::Error` by `?`.
    let mut server = timeout(CONNECT_LIMIT, TcpStream::connect(upstream)).await??;
    // What arrives in pieces leaves in pieces: the ends decide what to hold back, not the proxy.
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    // Both directions run in this one task. Each reads no faster than its other end is read, and ends by
    // itself; the first error ends both.
    copy_bidirectional(&mut client, &mut server).buffer_size(BUFFER_SIZE).await?;
    Ok(())
}
