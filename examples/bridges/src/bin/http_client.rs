//! Gets a URL by hyper, and prints the status and the body.
//!
//! ```text
//! cargo run --release --bin http_client -- http://127.0.0.1:8080/
//! cargo run --release --bin http_client -- --http2 http://127.0.0.1:8080/big
//! ```

use std::error::Error;
use std::io::Write;
use std::net::{SocketAddr, ToSocketAddrs};
use std::time::Duration;

use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::{http1, http2};
use hyper::header::HOST;
use hyper::{Request, Response, Uri};
use loopline::hyper_rt::{LoopExecutor, LoopTimer};
use loopline::net::TcpStream;
use loopline::time::timeout;

type AnyError = Box<dyn Error>;

fn main() -> Result<(), AnyError> {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let http2 = arguments.iter().any(|argument| argument == "--http2");
    arguments.retain(|argument| argument != "--http2");
    let uri: Uri = arguments.first().ok_or("usage: http_client [--http2] URL")?.parse()?;
    if uri.scheme_str() != Some("http") {
        return Err("only http:// URLs".into());
    }
    let host = uri.host().ok_or("no host in the URL")?.trim_matches(['[', ']']);
    // Before there is a loop that a slow name server could hold up.
    let addresses: Vec<SocketAddr> =
        (host, uri.port_u16().unwrap_or(80)).to_socket_addrs()?.collect();
    loopline::block_on(get(&uri, &addresses, http2))
}

async fn get(uri: &Uri, addresses: &[SocketAddr], http2: bool) -> Result<(), AnyError> {
    let connecting = TcpStream::connect(addresses);
    let stream = timeout(Duration::from_secs(10), connecting).await??;
    let response = if http2 {
        let mut builder = http2::Builder::new(LoopExecutor::new());
        let (mut sender, connection) = builder.timer(LoopTimer::new()).handshake(stream).await?;
        // Detached: it ends when the response has been read and the sender is gone.
        loopline::spawn(connection);
        sender.send_request(Request::get(uri).body(Empty::<Bytes>::new())?).await?
    } else {
        let (mut sender, connection) = http1::handshake(stream).await?;
        loopline::spawn(connection);
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let host = uri.authority().map_or("", |authority| authority.as_str());
        let request = Request::get(path).header(HOST, host).body(Empty::<Bytes>::new())?;
        sender.send_request(request).await?
    };
    print(response).await
}

/// Prints the body as it comes.
async fn print(mut response: Response<Incoming>) -> Result<(), AnyError> {
    println!("{:?} {}", response.version(), response.status());
    let mut out = std::io::stdout();
    while let Some(frame) = response.frame().await {
        if let Some(data) = frame?.data_ref() {
            out.write_all(data)?;
        }
    }
    Ok(())
}
