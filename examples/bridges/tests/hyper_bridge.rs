//! hyper's servers and clients on the loop.
#![cfg(unix)] // descriptors and their options

#[path = "../../../tests/support/net.rs"]
mod net;
#[path = "../../../tests/support/mod.rs"]
mod support;

use std::cell::Cell;
use std::convert::Infallible;
use std::future::{Future, pending};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures::future::{join_all, select};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::rt::{Executor, Read, Timer, Write};
use hyper::service::service_fn;
use hyper::{Request, Response, client, server};
use hyper_util::server::conn::auto;
use loopline::hyper_rt::{Io, LoopExecutor, LoopTimer};
use loopline::net::TcpStream;
use loopline::{JoinHandle, spawn, time};
use net::{pair, soon, with_peer};
use support::{block_on, block_on_paused, event_loop, scaled};

type Answer = Result<Response<Full<Bytes>>, Infallible>;

fn text(text: impl Into<Bytes>) -> Answer {
    Ok(Response::new(Full::new(text.into())))
}

/// Serves both versions of HTTP with a service that nobody could send to another thread.
fn serve<F, A>(stream: impl Read + Write + Unpin + 'static, answer: F) -> JoinHandle<bool>
where
    F: Fn(Request<Incoming>) -> A + 'static,
    A: Future<Output = Answer> + 'static,
{
    spawn(async move {
        let builder = auto::Builder::new(LoopExecutor::new());
        builder.serve_connection(stream, service_fn(answer)).await.is_ok()
    })
}

/// Asks over HTTP/1, once after the other; the connection is closed afterwards.
async fn ask1(stream: TcpStream, bodies: Vec<Bytes>) -> Vec<Bytes> {
    let (mut sender, connection) = client::conn::http1::handshake(stream).await.unwrap();
    let connection = spawn(connection);
    let mut answers = Vec::new();
    for body in bodies {
        sender.ready().await.unwrap();
        let request = Request::post("/").header("host", "here").body(Full::new(body)).unwrap();
        let answer = sender.send_request(request).await.unwrap();
        answers.push(answer.into_body().collect().await.unwrap().to_bytes());
    }
    drop(sender);
    connection.await.unwrap().unwrap();
    answers
}

/// Asks over HTTP/2, all at once.
async fn ask2(stream: TcpStream, bodies: Vec<Bytes>) -> Vec<Bytes> {
    let builder = client::conn::http2::Builder::new(LoopExecutor::new());
    let (sender, connection) = builder.handshake(stream).await.unwrap();
    let connection = spawn(connection);
    let asked = bodies.into_iter().map(|body| {
        let mut sender = sender.clone();
        async move {
            let request = Request::post("http://here/").body(Full::new(body)).unwrap();
            let answer = sender.send_request(request).await.unwrap();
            answer.into_body().collect().await.unwrap().to_bytes()
        }
    });
    let answers = join_all(asked).await;
    drop(sender);
    connection.await.unwrap().unwrap();
    answers
}

async fn echo(request: Request<Incoming>) -> Answer {
    text(request.into_body().collect().await.unwrap().to_bytes())
}

#[test]
fn http1_keeps_a_connection_and_shares_what_is_not_send() {
    block_on(async {
        let (near, far) = pair().await;
        let count = Rc::new(Cell::new(0));
        let counted = count.clone();
        let server = serve(far, move |_| {
            counted.set(counted.get() + 1);
            let number = counted.get().to_string();
            async { text(number) }
        });
        let answers = soon(ask1(near, vec![Bytes::new(); 3])).await;
        assert_eq!(answers, ["1", "2", "3"]);
        assert!(soon(server).await.unwrap());
        assert_eq!(Rc::strong_count(&count), 1, "the service is gone with its connection");
    });
}

#[test]
fn http2_answers_many_requests_at_once_by_tasks_of_the_loop() {
    block_on_paused(async {
        let (near, far) = pair().await;
        let (now, most) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
        let (counted, highest) = (now.clone(), most.clone());
        let server = serve(far, move |request| {
            let (now, most) = (counted.clone(), highest.clone());
            async move {
                now.set(now.get() + 1);
                most.set(most.get().max(now.get()));
                time::sleep(Duration::from_secs(1)).await;
                now.set(now.get() - 1);
                echo(request).await
            }
        });
        let bodies: Vec<Bytes> = (0..50).map(|n| n.to_string().into()).collect();
        assert_eq!(soon(ask2(near, bodies.clone())).await, bodies);
        assert_eq!((now.get(), most.get()), (0, 50));
        assert!(soon(server).await.unwrap());
    });
}

#[test]
fn large_bodies_go_both_ways_unchanged() {
    let size = scaled(2 << 20);
    let bodies = || -> Vec<Bytes> {
        let body = |seed: usize| (0..size).map(|n| (n * 31 + seed) as u8).collect();
        (1..4).map(body).map(|body: Vec<u8>| body.into()).collect()
    };
    block_on(async {
        let (near, far) = pair().await;
        let server = serve(far, echo);
        assert!(soon(ask1(near, bodies())).await == bodies(), "HTTP/1 changed a body");
        assert!(soon(server).await.unwrap());

        let (near, far) = pair().await;
        let server = serve(far, echo);
        assert!(soon(ask2(near, bodies())).await == bodies(), "HTTP/2 changed a body");
        assert!(soon(server).await.unwrap());
    });
}

/// A stream of futures-io whose reads read one of tokio's, as one of TLS over another bridge would: two
/// reads inside each other.
struct Layered(TcpStream);

impl futures::AsyncRead for Layered {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<std::io::Result<usize>> {
        let mut raw = [std::mem::MaybeUninit::uninit(); 64];
        let wanted = buf.len().min(64);
        let mut inner = tokio::io::ReadBuf::uninit(&mut raw[..wanted]);
        tokio::io::AsyncRead::poll_read(Pin::new(&mut &self.0), cx, &mut inner).map_ok(|()| {
            let read = inner.filled();
            buf[..read.len()].copy_from_slice(read);
            read.len()
        })
    }
}

impl futures::AsyncWrite for Layered {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        tokio::io::AsyncWrite::poll_write(Pin::new(&mut &self.0), cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        tokio::io::AsyncWrite::poll_shutdown(Pin::new(&mut &self.0), cx)
    }
}

#[test]
fn io_carries_any_stream_of_futures_io_also_one_that_reads_another() {
    block_on(async {
        let (near, far) = pair().await;
        let server = serve(Io::new(Layered(far)), echo);
        let body = Bytes::from(vec![b'x'; 100_000]);
        assert_eq!(soon(ask1(near, vec![body.clone()])).await, [body]);
        assert!(soon(server).await.unwrap());
    });
}

#[test]
fn a_client_that_never_ends_its_header_is_closed_by_the_loops_clock() {
    block_on_paused(async {
        let (near, far) = pair().await;
        let server = spawn(async move {
            let mut builder = server::conn::http1::Builder::new();
            builder.timer(LoopTimer::new()).header_read_timeout(Duration::from_secs(30));
            builder.serve_connection(far, service_fn(echo)).await
        });
        let start = time::now();
        TcpStream::write_all(&near, b"GET / HTTP/1.1\r\nhost: he").await.unwrap();
        let mut rest = Vec::new();
        loop {
            let mut buf = [0; 512];
            // Not `soon`, whose own limit would be what ends the wait.
            match TcpStream::read(&near, &mut buf).await {
                Ok(n @ 1..) => rest.extend_from_slice(&buf[..n]),
                _ => break,
            }
        }
        assert_eq!((time::now() - start).as_secs(), 30);
        assert!(server.await.unwrap().unwrap_err().is_timeout());
    });
}

#[test]
fn the_timer_goes_by_the_loops_clock_and_is_moved() {
    let mut event_loop = support::paused::<()>();
    let handle = event_loop.handle();
    let end = event_loop.block_on(async move {
        let timer = LoopTimer::new();
        let start = timer.now();
        assert_eq!(start, time::now());
        let mut sleep = timer.sleep(Duration::from_secs(10));
        assert!(net::poll_once(&mut sleep).await.is_pending());
        timer.reset(&mut sleep, start + Duration::from_secs(40));
        assert!(net::poll_once(&mut sleep).await.is_pending());
        assert_eq!(handle.stats().timers, 1);
        sleep.await;
        assert_eq!(time::now() - start, Duration::from_secs(40));

        let mut done = timer.sleep_until(start);
        (&mut done).await;
        timer.reset(&mut done, timer.now() + Duration::from_secs(2));
        done.await;
        time::now() - start
    });
    assert_eq!(end.unwrap(), Duration::from_secs(42));
    support::closes_clean(event_loop);
}

#[test]
fn a_sleep_polled_on_another_thread_panics_with_a_clear_text() {
    block_on(async {
        let mut sleep = LoopTimer::new().sleep(Duration::from_secs(3600));
        let there = std::thread::spawn(move || {
            let mut cx = Context::from_waker(std::task::Waker::noop());
            let _ = sleep.as_mut().poll(&mut cx);
        });
        let payload = there.join().unwrap_err();
        let text = payload.downcast_ref::<&str>().unwrap();
        assert!(text.contains("another thread's"), "{text}");
    });
}

#[test]
fn the_executor_spawns_on_the_loop_that_runs_and_says_so_if_none_does() {
    let mut event_loop = event_loop::<()>();
    let done = Rc::new(Cell::new(false));
    let set = done.clone();
    event_loop
        .block_on(async {
            LoopExecutor::new().execute(async move { set.set(true) });
            loopline::yield_now().await;
        })
        .unwrap();
    assert!(done.get());
    support::closes_clean(event_loop);

    let outside = std::panic::catch_unwind(|| LoopExecutor::new().execute(pending::<()>()));
    let payload = outside.unwrap_err();
    let text = payload.downcast_ref::<&str>().unwrap();
    assert!(text.contains("no event loop runs on this thread"), "{text}");
}

/// Sets a flag as it is dropped.
struct Dropped(Rc<Cell<bool>>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.set(true);
    }
}

#[test]
fn a_client_that_goes_away_cancels_the_answer_under_way() {
    block_on(async {
        let (stream, mut peer) = with_peer().await;
        let dropped = Rc::new(Cell::new(false));
        let guard = dropped.clone();
        let server = serve(stream, move |_| {
            let guard = Dropped(guard.clone());
            async move {
                let _guard = guard;
                pending::<Answer>().await
            }
        });
        std::io::Write::write_all(&mut peer, b"GET / HTTP/1.1\r\nhost: here\r\n\r\n").unwrap();
        while Rc::strong_count(&dropped) < 3 {
            loopline::yield_now().await; // until it is asked
        }
        drop(peer);
        assert!(!soon(server).await.unwrap());
        assert!(dropped.get());
    });
}

#[test]
fn a_graceful_end_answers_what_was_asked_and_closes() {
    block_on_paused(async {
        let (near, far) = pair().await;
        let server = spawn(async move {
            let slow = service_fn(|request| async {
                time::sleep(Duration::from_secs(2)).await;
                echo(request).await
            });
            let builder = server::conn::http1::Builder::new();
            let mut connection = Box::pin(builder.serve_connection(far, slow));
            select(&mut connection, Box::pin(time::sleep(Duration::from_secs(1)))).await;
            connection.as_mut().graceful_shutdown();
            connection.await
        });
        let answers = soon(ask1(near, vec![Bytes::from_static(b"last")])).await;
        assert_eq!(answers, ["last"]);
        soon(server).await.unwrap().unwrap();
    });
}

#[test]
fn a_router_of_axum_serves_handlers_that_wait_for_the_loop() {
    use axum::extract::State;
    use send_wrapper::SendWrapper;
    type Count = SendWrapper<Rc<Cell<u32>>>;
    async fn count(State(count): State<Count>) -> String {
        SendWrapper::new(async move {
            time::sleep(Duration::from_secs(5)).await;
            count.set(count.get() + 1);
            count.get().to_string()
        })
        .await
    }
    block_on_paused(async {
        let (near, far) = pair().await;
        let state: Count = SendWrapper::new(Rc::default());
        let app = axum::Router::new().route("/", axum::routing::post(count)).with_state(state);
        let server = spawn(async move {
            let service = hyper_util::service::TowerToHyperService::new(app);
            auto::Builder::new(LoopExecutor::new()).serve_connection(far, service).await.is_ok()
        });
        let answers = soon(ask1(near, vec![Bytes::new(); 2])).await;
        assert_eq!(answers, ["1", "2"]);
        assert!(soon(server).await.unwrap());
    });
}
