//! `http PEER [timer]`: hyper's hello world on one thread of that peer, until it is killed. `timer`: with
//! the limit on reading a header that hyper sets if it is given a timer.
//!
//! The same service, builder and body for each; what differs is the loop under them. tokio is here as most
//! use it (`current_thread` and `spawn`) and as `LocalRuntime`, which needs no `Send`.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::rt::{Read, Write};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};

const ANY: &str = "127.0.0.1:0";

/// The client reads it.
fn announce(address: SocketAddr) {
    println!("listening on {address}");
}

async fn hello(_: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    Ok(Response::new(Full::new(Bytes::from_static(b"Hello, World!"))))
}

async fn serve<S: Read + Write + Unpin + 'static>(builder: http1::Builder, stream: S) {
    // A client that goes away is no news.
    let _ = builder.serve_connection(stream, service_fn(hello)).await;
}

fn main() -> io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let limited = arguments.iter().any(|argument| argument == "timer");
    match arguments.first().map(String::as_str) {
        Some("loopline") => on_loopline(limited),
        Some("tokio") => on_tokio(limited),
        Some("tokio-local") => on_tokio_local(limited),
        _ => Err(io::Error::other("usage: http loopline|tokio|tokio-local [timer]")),
    }
}

fn on_loopline(limited: bool) -> io::Result<()> {
    loopline::EventLoop::<()>::new()?.block_on(async {
        let mut builder = http1::Builder::new();
        if limited {
            builder.timer(loopline::hyper_rt::LoopTimer::new());
        }
        let listener = loopline::net::TcpListener::bind(ANY).await?;
        announce(listener.local_addr()?);
        loop {
            let (stream, _peer) = listener.accept().await?;
            stream.set_nodelay(true)?;
            loopline::spawn(serve(builder.clone(), stream));
        }
    })?
}

fn on_tokio(limited: bool) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut builder = http1::Builder::new();
        if limited {
            builder.timer(hyper_util::rt::TokioTimer::new());
        }
        let listener = tokio::net::TcpListener::bind(ANY).await?;
        announce(listener.local_addr()?);
        loop {
            let (stream, _peer) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let stream = hyper_util::rt::TokioIo::new(stream);
            tokio::spawn(serve(builder.clone(), stream));
        }
    })
}

fn on_tokio_local(limited: bool) -> io::Result<()> {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_all().build_local(Default::default())?;
    runtime.block_on(async {
        let mut builder = http1::Builder::new();
        if limited {
            builder.timer(hyper_util::rt::TokioTimer::new());
        }
        let listener = tokio::net::TcpListener::bind(ANY).await?;
        announce(listener.local_addr()?);
        loop {
            let (stream, _peer) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let stream = hyper_util::rt::TokioIo::new(stream);
            tokio::task::spawn_local(serve(builder.clone(), stream));
        }
    })
}
