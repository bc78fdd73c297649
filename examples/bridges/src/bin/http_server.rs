//! An HTTP server, by hyper: HTTP/1 and HTTP/2 (prior knowledge) on one port.
//!
//! ```text
//! cargo run --release --bin http_server -- 127.0.0.1:8080
//! curl http://127.0.0.1:8080/
//! ```
//!
//! A client that sends its header too slowly is shown the door after 30 seconds. One that sends a body or
//! reads an answer a byte at a time would stay as long as it likes: a second argument says after how many
//! seconds a connection is closed, whatever it is at.
//!
//! `/` greets, `/echo` sends a POST's body back as it comes, `/slow` takes a second, `/big` is 16 MiB in
//! chunks. Nothing here is `Send`: the counter is a `Cell`, and requests of one connection share it with
//! those of all others.

use std::cell::Cell;
use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Bytes, Frame, Incoming};
use hyper::header::CONTENT_TYPE;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::server::conn::auto::Builder;
use loopline::hyper_rt::{LoopExecutor, LoopTimer};
use loopline::net::TcpListener;
use loopline::time::timeout;

/// Any body: boxed, and not `Send`.
type Answer = Response<Pin<Box<dyn Body<Data = Bytes, Error = hyper::Error>>>>;

#[loopline::main]
async fn main() -> io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:0".into());
    let most = std::env::args().nth(2).map_or(Duration::MAX, |text| {
        Duration::from_secs(text.parse().expect("a number of seconds"))
    });
    let listener = TcpListener::bind(address).await?;
    listener.set_nodelay(true)?;
    let address = listener.local_addr()?;
    println!("listening on {address}");
    println!("try: curl http://{address}/");

    let mut builder = Builder::new(LoopExecutor::new());
    // With a timer, a header may take 30 seconds.
    builder.http1().timer(LoopTimer::new());
    builder.http2().timer(LoopTimer::new()).keep_alive_interval(Duration::from_secs(30));
    let builder = Rc::new(builder);
    let served = Rc::new(Cell::new(0));
    loop {
        let (stream, _peer) = listener.accept().await?;
        let (builder, served) = (builder.clone(), served.clone());
        loopline::spawn(async move {
            let service = service_fn(move |request| {
                served.set(served.get() + 1);
                answer(request, served.get())
            });
            // An error is this client's end, and nobody else's business; and so is that its time is up.
            let _ = timeout(most, builder.serve_connection(stream, service)).await;
        });
    }
}

async fn answer(request: Request<Incoming>, number: u64) -> Result<Answer, Infallible> {
    Ok(match (request.method(), request.uri().path()) {
        (&Method::GET, "/") => text(StatusCode::OK, format!("Hello, you are number {number}.\n")),
        (&Method::POST | &Method::PUT, "/echo") => {
            let mut answer = Response::new(Box::pin(request.into_body()) as _);
            *answer.status_mut() = StatusCode::OK;
            answer
        }
        (&Method::GET, "/slow") => {
            loopline::time::sleep(Duration::from_secs(1)).await;
            text(StatusCode::OK, "That took a second.\n".into())
        }
        (&Method::GET, "/big") => Response::new(Box::pin(Big { chunks: 1024 })),
        (_, "/" | "/echo" | "/slow" | "/big") => {
            text(StatusCode::METHOD_NOT_ALLOWED, "Not this way.\n".into())
        }
        _ => text(StatusCode::NOT_FOUND, "There is nothing here.\n".into()),
    })
}

fn text(status: StatusCode, text: String) -> Answer {
    let body = Full::new(Bytes::from(text))
        .map_err(|never: Infallible| -> hyper::Error { match never {} });
    let mut answer = Response::new(Box::pin(body) as _);
    *answer.status_mut() = status;
    let plain = hyper::header::HeaderValue::from_static("text/plain; charset=utf-8");
    answer.headers_mut().insert(CONTENT_TYPE, plain);
    answer
}

/// A body of so many chunks, of which no more than one is in memory. hyper asks for the next when there
/// is room for it.
struct Big {
    chunks: u32,
}

impl Body for Big {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        static CHUNK: [u8; 16 * 1024] = [b'.'; 16 * 1024];
        let Some(left) = self.chunks.checked_sub(1) else { return Poll::Ready(None) };
        self.chunks = left;
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&CHUNK)))))
    }
}
