//! Connections that hyper hands over: to a protocol of one's own, and to a WebSocket.
#![cfg(unix)] // descriptors and their options

#[path = "../../../tests/support/net.rs"]
mod net;
#[path = "../../../tests/support/mod.rs"]
mod support;

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use async_tungstenite::WebSocketStream;
use async_tungstenite::tungstenite::Message;
use async_tungstenite::tungstenite::handshake::derive_accept_key;
use async_tungstenite::tungstenite::protocol::Role;
use bytes::Bytes;
use futures::StreamExt;
use futures::io::{AsyncRead, AsyncWrite};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, UPGRADE};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode, client, server, upgrade};
use hyper_util::server::conn::auto;
use loopline::hyper_rt::LoopExecutor;
use loopline::io::Here;
use loopline::net::TcpStream;
use loopline::spawn;
use net::{pair, soon, with_peer};
use support::block_on;

/// Says that the connection changes its protocol.
fn switching(protocol: &'static str) -> Response<Empty<Bytes>> {
    let answer = Response::builder().status(StatusCode::SWITCHING_PROTOCOLS);
    answer.header(CONNECTION, "upgrade").header(UPGRADE, protocol).body(Empty::new()).unwrap()
}

/// Sends back what comes, what came with the request first.
async fn echo(mut request: Request<Incoming>) -> Result<Response<Empty<Bytes>>, Infallible> {
    if request.headers().get(UPGRADE).is_none() {
        return Ok(Response::new(Empty::new()));
    }
    let upgraded = upgrade::on(&mut request);
    spawn(async move {
        let parts = upgraded.await.unwrap().downcast::<Here<TcpStream>>().unwrap();
        let stream = parts.io.into_inner();
        stream.write_all(&parts.read_buf).await.unwrap();
        loopline::io::copy(&mut &stream, &mut &stream).await.unwrap();
        stream.shutdown().await.unwrap();
    });
    Ok(switching("echo"))
}

#[test]
fn a_connection_of_hyper_becomes_a_raw_echo() {
    block_on(async {
        let (near, far) = pair().await;
        let server = spawn(async move {
            let connection = server::conn::http1::Builder::new()
                .serve_connection(Here::new(far), service_fn(echo));
            connection.with_upgrades().await
        });
        let (mut sender, connection) =
            client::conn::http1::handshake(Here::new(near)).await.unwrap();
        let connection = spawn(connection.with_upgrades());
        // an ordinary request first, on the same connection
        let plain = Request::get("/").header("host", "here").body(Empty::<Bytes>::new()).unwrap();
        let answer = sender.send_request(plain).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        answer.into_body().collect().await.unwrap();
        let asks = Request::get("/").header("host", "here");
        let asks = asks.header(CONNECTION, "upgrade").header(UPGRADE, "echo");
        let answer = sender.send_request(asks.body(Empty::new()).unwrap()).await.unwrap();
        assert_eq!(answer.status(), StatusCode::SWITCHING_PROTOCOLS);
        let parts = upgrade::on(answer).await.unwrap().downcast::<Here<TcpStream>>().unwrap();
        assert!(parts.read_buf.is_empty());
        let stream = parts.io.into_inner();
        stream.write_all(b"no longer HTTP").await.unwrap();
        stream.shutdown().await.unwrap();
        let mut back = Vec::new();
        soon(futures::AsyncReadExt::read_to_end(&mut &stream, &mut back)).await.unwrap();
        assert_eq!(back, b"no longer HTTP");
        soon(server).await.unwrap().unwrap();
        soon(connection).await.unwrap().unwrap();
    });
}

#[test]
fn what_came_with_the_request_is_not_lost() {
    block_on(async {
        let (mut near, far) = pair().await;
        spawn(async move {
            let builder = auto::Builder::new(LoopExecutor::new());
            let served = builder.serve_connection_with_upgrades(Here::new(far), service_fn(early));
            served.await.unwrap();
        });
        let head =
            "GET / HTTP/1.1\r\nhost: here\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\nearly ";
        near.write_all(head.as_bytes()).await.unwrap();
        near.write_all(b"and late").await.unwrap();
        near.shutdown().await.unwrap();
        let mut text = String::new();
        soon(futures::AsyncReadExt::read_to_string(&mut near, &mut text)).await.unwrap();
        assert!(text.starts_with("HTTP/1.1 101"), "{text}");
        assert!(text.ends_with("\r\n\r\nearly and late"), "{text}");
    });
}

/// As `echo`, where the version of HTTP was found out first: the stream stands one layer deeper.
async fn early(mut request: Request<Incoming>) -> Result<Response<Empty<Bytes>>, Infallible> {
    let upgraded = upgrade::on(&mut request);
    spawn(async move {
        let upgraded = upgraded.await.unwrap();
        let parts = auto::upgrade::downcast::<Here<TcpStream>>(upgraded).unwrap();
        let stream = parts.io.into_inner();
        stream.write_all(&parts.read_buf).await.unwrap();
        loopline::io::copy(&mut &stream, &mut &stream).await.unwrap();
        stream.shutdown().await.unwrap();
    });
    Ok(switching("echo"))
}

/// A WebSocket that shouts what it hears.
async fn shout(mut request: Request<Incoming>) -> Result<Response<Empty<Bytes>>, Infallible> {
    let Some(key) = request.headers().get(SEC_WEBSOCKET_KEY) else {
        let refused = Response::builder().status(StatusCode::BAD_REQUEST);
        return Ok(refused.body(Empty::new()).unwrap());
    };
    let accept = derive_accept_key(key.as_bytes());
    let upgraded = upgrade::on(&mut request);
    spawn(async move {
        let parts = upgraded.await.unwrap().downcast::<Here<TcpStream>>().unwrap();
        let (stream, early) = (parts.io.into_inner(), parts.read_buf.to_vec());
        let mut socket =
            WebSocketStream::from_partially_read(stream, early, Role::Server, None).await;
        while let Some(Ok(message)) = socket.next().await {
            if let Message::Text(text) = message {
                socket.send(Message::text(text.to_uppercase())).await.unwrap();
            }
        }
    });
    let mut answer = switching("websocket");
    answer.headers_mut().insert(SEC_WEBSOCKET_ACCEPT, accept.parse().unwrap());
    Ok(answer)
}

#[test]
fn a_connection_of_hyper_becomes_a_websocket() {
    block_on(async {
        let (near, far) = pair().await;
        let server = spawn(async move {
            let connection = server::conn::http1::Builder::new()
                .serve_connection(Here::new(far), service_fn(shout));
            connection.with_upgrades().await
        });
        let opened = async_tungstenite::client_async("ws://here/", near);
        let (mut socket, answer) = soon(opened).await.unwrap();
        assert_eq!(answer.status(), StatusCode::SWITCHING_PROTOCOLS);
        for text in ["hello", "there"] {
            socket.send(Message::text(text)).await.unwrap();
            let shouted = soon(socket.next()).await.unwrap().unwrap();
            assert_eq!(shouted.to_text().unwrap(), text.to_uppercase());
        }
        socket.close(None).await.unwrap();
        while let Some(rest) = soon(socket.next()).await {
            assert!(rest.unwrap().is_close());
        }
        soon(server).await.unwrap().unwrap();
    });
}

#[test]
fn a_stream_that_was_sent_away_after_all_says_so() {
    block_on(async {
        let (stream, mut peer) = with_peer().await;
        let mut stream = Here::new(stream);
        stream = std::thread::spawn(move || {
            let cx = &mut Context::from_waker(Waker::noop());
            let Poll::Ready(Err(error)) = Pin::new(&mut stream).poll_read(cx, &mut [0; 1]) else {
                panic!("it was read");
            };
            assert!(error.to_string().contains("belongs to another thread"), "{error}");
            assert!(matches!(Pin::new(&mut stream).poll_write(cx, b"x"), Poll::Ready(Err(_))));
            stream
        })
        .join()
        .unwrap();
        // back at home it goes on
        std::io::Write::write_all(&mut peer, b"home").unwrap();
        let mut buf = [0; 8];
        let read = poll_fn(|cx| Pin::new(&mut stream).poll_read(cx, &mut buf));
        assert_eq!(soon(read).await.unwrap(), 4);
    });
}
