//! An HTTPS server: hyper over rustls, with a certificate of its own making. HTTP/1 and HTTP/2, as the
//! client prefers (ALPN).
//!
//! ```text
//! cargo run --release --bin https_server -- 127.0.0.1:8443
//! curl -k https://127.0.0.1:8443/
//! ```
//!
//! `-k`, because nobody vouches for the certificate. It is also in a file, whose path is printed, for
//! clients that would rather check: `curl --cacert FILE https://127.0.0.1:8443/`.

use std::convert::Infallible;
use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use futures_rustls::TlsAcceptor;
use futures_rustls::rustls::ServerConfig;
use futures_rustls::rustls::pki_types::PrivatePkcs8KeyDer;
use futures_rustls::server::TlsStream;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::server::conn::auto::Builder;
use loopline::hyper_rt::{Io, LoopExecutor, LoopTimer};
use loopline::net::{TcpListener, TcpStream};
use loopline::time::timeout;

/// How long a client may take to agree on keys.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);
/// How long a POST's body may be.
const BODY_MAX: usize = 16 * 1024 * 1024;

#[loopline::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:0".into());
    let listener = TcpListener::bind(address).await?;
    listener.set_nodelay(true)?;
    let address = listener.local_addr()?;
    let (config, file) = certified(address)?;
    println!("listening on {address}");
    println!("certificate: {}", file.display());
    println!("try: curl -k https://{address}/");

    let acceptor = TlsAcceptor::from(Arc::new(config));
    let mut builder = Builder::new(LoopExecutor::new());
    builder.http1().timer(LoopTimer::new());
    builder.http2().timer(LoopTimer::new()).keep_alive_interval(Duration::from_secs(30));
    let builder = Rc::new(builder);
    loop {
        let (stream, peer) = listener.accept().await?;
        let (builder, handshake) = (builder.clone(), acceptor.accept(stream));
        loopline::spawn(async move {
            let stream = match timeout(HANDSHAKE_LIMIT, handshake).await {
                Ok(Ok(stream)) => stream,
                Ok(Err(error)) => return eprintln!("{peer}: no handshake: {error}"),
                Err(_) => return eprintln!("{peer}: no handshake in {HANDSHAKE_LIMIT:?}"),
            };
            let about: Rc<str> = about(&stream).into();
            let service = service_fn(move |request| answer(request, about.clone()));
            // An error is this client's end. One that closes without saying so (close_notify) may have
            // been cut off by somebody else: an error too, which nobody takes for a whole request.
            if let Err(error) = builder.serve_connection(Io::new(stream), service).await {
                eprintln!("{peer}: {error}");
            }
        });
    }
}

/// Makes a key and a certificate for this address, and writes the certificate to a file.
fn certified(address: SocketAddr) -> Result<(ServerConfig, PathBuf), Box<dyn Error>> {
    let names = vec!["localhost".into(), address.ip().to_string()];
    let made = rcgen::generate_simple_self_signed(names)?;
    let file = std::env::temp_dir().join(format!(
        "loopline-{}-{}.pem",
        std::process::id(),
        address.port()
    ));
    // Not over a file that somebody put there before.
    io::Write::write_all(&mut std::fs::File::create_new(&file)?, made.cert.pem().as_bytes())?;
    let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let mut config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key.into())?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok((config, file))
}

/// What was agreed on.
fn about(stream: &TlsStream<TcpStream>) -> String {
    let (_, connection) = stream.get_ref();
    let version = connection.protocol_version().and_then(|version| version.as_str());
    let protocol = connection.alpn_protocol().unwrap_or(b"no protocol by name");
    format!("{}, {}", version.unwrap_or("TLS"), String::from_utf8_lossy(protocol))
}

async fn answer(
    request: Request<Incoming>,
    about: Rc<str>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (status, text) = match (request.method(), request.uri().path()) {
        (&Method::GET, "/") => (StatusCode::OK, format!("Hello over {about}.\n").into()),
        (&Method::POST, "/echo") => {
            match Limited::new(request.into_body(), BODY_MAX).collect().await {
                Ok(body) => (StatusCode::OK, body.to_bytes()),
                Err(_) => (StatusCode::BAD_REQUEST, "Too long, or not all of it came.\n".into()),
            }
        }
        _ => (StatusCode::NOT_FOUND, "There is nothing here.\n".into()),
    };
    let mut answer = Response::new(Full::new(text));
    *answer.status_mut() = status;
    Ok(answer)
}
