//! A server on a Unix socket: sends back what comes, and when the client has ended its half, how much it was.
//!
//! ```text
//! cargo run --release --example unix_count -- /tmp/count.sock
//! printf 'hello' | socat - UNIX-CONNECT:/tmp/count.sock
//! ```
//!
//! On Linux a path that begins with `@` is an abstract name, which needs no file.
#![cfg_attr(not(unix), allow(unused))]

use std::io;

#[cfg(unix)]
use loopline::net::{UnixListener, UnixStream};

#[cfg(unix)]
#[loopline::main]
async fn main() -> io::Result<()> {
    let Some(path) = std::env::args().nth(1) else {
        eprintln!("usage: unix_count PATH, or @NAME");
        std::process::exit(2);
    };
    let name = path.strip_prefix('@').map(|name| format!("\0{name}"));
    let listener = UnixListener::bind(name.as_deref().unwrap_or(&path))?;
    println!("listening on {path}");
    loop {
        let (stream, _peer) = listener.accept().await?;
        loopline::spawn(async move {
            // An error is this client's end, and nobody else's business.
            let _ = count(stream).await;
        });
    }
}

#[cfg(not(unix))]
fn main() {
    eprintln!("there are no Unix sockets here");
}

/// The client's end is not ours: what it asked by ending is answered, and then the connection ended.
#[cfg(unix)]
async fn count(stream: UnixStream) -> io::Result<()> {
    let bytes = loopline::io::copy(&mut &stream, &mut &stream).await?;
    stream.write_all(format!("\n{bytes} bytes\n").as_bytes()).await?;
    stream.shutdown().await
}
