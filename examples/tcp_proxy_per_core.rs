//! The TCP proxy on all cores: on each a loop and a listener of its own, among which the kernel spreads
//! the connections (SO_REUSEPORT). On Ctrl-C it takes no more, and lets those that are open end.
//!
//! ```text
//! cargo run --release --features signal,socket --example tcp_proxy_per_core -- 127.0.0.1:7000 127.0.0.1:80
//! curl http://127.0.0.1:7000/
//! ```
//!
//! The third argument is how many cores; all, if it is left out.
#![cfg_attr(not(unix), allow(unused))]

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Mutex;
use std::time::Duration;

use futures::future::{Either, select, try_join};
#[cfg(unix)]
use loopline::net::TcpSocket;
use loopline::net::{TcpListener, TcpStream};
#[cfg(unix)]
use loopline::signal::ctrl_c;
use loopline::time::timeout;
use loopline::{Core, Handle, PerCore};

const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// How many connections may wait for each listener.
const QUEUE: u32 = 1024;
/// How long connections may go on after Ctrl-C.
const GRACE: Duration = Duration::from_secs(10);

#[cfg(unix)]
fn main() -> io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let (Some(listen), Some(upstream)) = (arguments.next(), arguments.next()) else {
        eprintln!("usage: tcp_proxy_per_core LISTEN UPSTREAM [CORES], addresses as 127.0.0.1:7000");
        std::process::exit(2);
    };
    let count = arguments.next().map_or(Ok(0), |count| count.parse()).map_err(io::Error::other)?;
    let cores = match count {
        0 => std::thread::available_parallelism()?.get(),
        count => count,
    };
    let listeners = listeners(listen.parse().map_err(io::Error::other)?, cores)?;
    println!("listening on {} with {cores} cores", listeners[0].local_addr()?);
    // Each core takes one: none may be left open here, where nobody would accept.
    let listeners = Mutex::new(listeners);
    let served = PerCore::new(cores).grace(GRACE).run(|core| {
        let listener = listeners.lock().expect("no core panics here").pop();
        let upstream = upstream.clone();
        async move {
            let listener = TcpListener::from_std(listener.expect("one for each core"))?;
            serve(core, listener, upstream, interrupted()).await
        }
    })?;
    println!("connections of each core: {served:?}");
    Ok(())
}

/// Waits for Ctrl-C, after which another one ends the process at once.
#[cfg(unix)]
async fn interrupted() -> io::Result<()> {
    ctrl_c().await?;
    let again = ctrl_c();
    let item = Handle::<()>::try_current().expect("a core has a loop").item();
    // In the background: the end does not wait for it.
    item.background().spawn(async move {
        let _ = again.await;
        std::process::exit(130);
    });
    Ok(())
}

/// Binds so many listeners to one address, whose port the first of them may choose. Of the standard
/// library, since ours belong to a loop and do not go to other threads.
#[cfg(unix)]
pub(crate) fn listeners(
    mut address: SocketAddr,
    count: usize,
) -> io::Result<Vec<std::net::TcpListener>> {
    let mut listeners = Vec::new();
    for _ in 0..count {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        socket.set_reuseaddr(true)?;
        socket.set_reuseport(true)?;
        socket.bind(address)?;
        let listener = socket.listen(QUEUE)?;
        address = listener.local_addr()?;
        listeners.push(listener.into_std()?);
    }
    Ok(listeners)
}

/// Serves on one core until `end` is ready; returns how many connections there were.
pub(crate) async fn serve(
    core: Core,
    listener: TcpListener,
    upstream: String,
    end: impl Future<Output = io::Result<()>>,
) -> io::Result<u64> {
    let (mut end, index) = (pin!(end), core.index());
    let mut served = 0;
    let mut take = |(client, peer)| {
        served += 1;
        let upstream = upstream.clone();
        loopline::spawn(async move {
            // An error ends this pair, and is nobody else's business.
            if let Err(error) = forward(client, &upstream).await {
                eprintln!("core {index}: {peer}: {error}");
            }
        });
    };
    loop {
        // The end comes first: it must not wait for a moment without new connections.
        match select(end.as_mut(), pin!(listener.accept())).await {
            Either::Left((ended, _)) => break ended?,
            Either::Right((accepted, _)) => take(accepted?),
        }
    }
    // The system resets connections that wait in the queue of a listener that is closed, though other
    // listeners of the address live on. So those are taken first; they cannot be more than the queue holds.
    for _ in 0..QUEUE {
        match timeout(Duration::from_millis(1), listener.accept()).await {
            Ok(accepted) => take(accepted?),
            Err(_) => break,
        }
    }
    // From here on new clients are refused. The open ones have the grace of `PerCore`.
    Ok(served)
}

async fn forward(client: TcpStream, upstream: &str) -> io::Result<()> {
    let server = timeout(CONNECT_LIMIT, TcpStream::connect(upstream)).await??;
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
            n => to.write_all(&buf[..n]).await?,
        }
    }
}

/// Signals are on Unix only, so far.
#[cfg(not(unix))]
fn main() {}
