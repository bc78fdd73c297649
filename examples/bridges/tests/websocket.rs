//! WebSockets on the loop by async-tungstenite, and the example `websocket_chat`.
#![cfg(unix)] // descriptors and their options

#[path = "../../../tests/support/net.rs"]
mod net;
#[allow(dead_code)]
#[path = "support/program.rs"]
mod program;
#[path = "../../../tests/support/mod.rs"]
mod support;

use std::io::{Read, Write};
use std::net::Shutdown;

use async_tungstenite::tungstenite::{Error, Message, error::ProtocolError};
use async_tungstenite::{WebSocketStream, accept_async, client_async};
use futures::StreamExt;
use futures::future::join;
use loopline::net::TcpStream;
use loopline::spawn;
use net::{pair, reset, soon};
use program::Program;
use support::{block_on, scaled};

type Socket<S = TcpStream> = WebSocketStream<S>;

async fn sockets() -> (Socket, Socket) {
    let (near, far) = pair().await;
    let (near, far) = soon(join(client_async("ws://here/", near), accept_async(far))).await;
    (near.unwrap().0, far.unwrap())
}

#[test]
fn messages_of_all_sizes_come_back_and_the_close_is_answered() {
    block_on(async {
        let (mut near, mut far) = sockets().await;
        let echo = spawn(async move {
            while let Some(Ok(message)) = far.next().await {
                if message.is_binary() {
                    far.send(message).await.unwrap();
                }
            }
        });
        for size in [0, 1, 125, 126, 65_535, 65_536, scaled(4_000_000)] {
            near.send(Message::binary(vec![7; size])).await.unwrap();
            let message = soon(near.next()).await.unwrap().unwrap();
            assert_eq!(message.into_data().len(), size);
        }
        near.close(None).await.unwrap();
        assert!(matches!(soon(near.next()).await, Some(Ok(Message::Close(None)))));
        assert!(soon(near.next()).await.is_none());
        soon(echo).await.unwrap();
    });
}

#[test]
fn a_peer_that_is_gone_without_a_close_is_an_error() {
    block_on(async {
        let (near, mut far) = sockets().await;
        drop(near);
        let error = soon(far.next()).await.unwrap().unwrap_err();
        assert!(
            matches!(error, Error::Protocol(ProtocolError::ResetWithoutClosingHandshake)),
            "{error}"
        );
    });
}

/// A server and what asks it as one who writes bytes by hand.
struct Chat(Program);

impl Chat {
    fn start() -> Self {
        Self(Program::start(env!("CARGO_BIN_EXE_websocket_chat"), &["127.0.0.1:0"]))
    }

    fn asked(&self, pieces: &[&[u8]]) -> String {
        let mut stream = std::net::TcpStream::connect(self.0.address).unwrap();
        stream.set_nodelay(true).unwrap();
        for piece in pieces {
            stream.write_all(piece).unwrap();
        }
        let mut text = Vec::new();
        stream.shutdown(Shutdown::Write).unwrap();
        stream.read_to_end(&mut text).unwrap();
        String::from_utf8_lossy(&text).into_owned()
    }

    async fn enter(&self) -> Socket {
        let stream = TcpStream::connect(self.0.address).await.unwrap();
        soon(client_async(format!("ws://{}/", self.0.address), stream)).await.unwrap().0
    }
}

async fn hears(socket: &mut Socket, text: &str) {
    match soon(socket.next()).await {
        Some(Ok(Message::Text(heard))) => assert_eq!(heard.as_str(), text),
        other => panic!("{other:?}, expected {text:?}"),
    }
}

#[test]
fn the_page_and_the_refusals_come_from_the_same_port() {
    let chat = Chat::start();
    let page = chat.asked(&[b"GET / HTTP/1.1\r\nHost: here\r\n\r\n"]);
    assert!(page.starts_with("HTTP/1.1 200 OK\r\n") && page.contains("new WebSocket("), "{page}");
    let refused: [(&[u8], &str); 5] = [
        (b"GET /x HTTP/1.1\r\n\r\n", "404 Not Found"),
        (b"POST / HTTP/1.1\r\n\r\n", "400 Bad Request"),
        (b"\x16\x03\x01 no HTTP\r\n\r\n", "400 Bad Request"),
        (b"GET / HTTP/1.1\r\nHost: here\r\nUpgrade: websocket\r\n\r\n", "400 Bad Request"),
        (&[b'G'; 9000], "400 Bad Request"),
    ];
    for (request, status) in refused {
        let answer = chat.asked(&[request]);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{answer}");
    }
}

const UPGRADE: &str = "GET / HTTP/1.1\r\nHost: here\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

#[test]
fn a_page_from_elsewhere_may_not_take_part() {
    let chat = Chat::start();
    let from =
        |origin: &str| chat.asked(&[format!("{UPGRADE}Origin: {origin}\r\n\r\n").as_bytes()]);
    assert!(from("http://here").starts_with("HTTP/1.1 101 "));
    assert!(from("http://elsewhere").starts_with("HTTP/1.1 403 "));
    assert!(from("null").starts_with("HTTP/1.1 403 "));
}

#[test]
fn the_first_message_may_come_with_the_request_or_all_of_it_byte_by_byte() {
    let chat = Chat::start();
    // "hi", masked with zeroes, and a close.
    let mut sent = format!("{UPGRADE}\r\n").into_bytes();
    sent.extend_from_slice(b"\x81\x82\0\0\0\0hi\x88\x80\0\0\0\0");
    let answer = chat.asked(&[&sent]);
    assert!(answer.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{answer}");
    assert!(answer.contains("guest 1 comes in") && answer.contains("guest 1: hi"), "{answer}");
    let answer = chat.asked(&sent.chunks(1).collect::<Vec<_>>());
    assert!(answer.contains("guest 2: hi"), "{answer}");
}

#[test]
fn what_one_says_all_hear_and_those_who_leave_are_missed() {
    let chat = Chat::start();
    block_on(async {
        let mut one = chat.enter().await;
        hears(&mut one, "guest 1 comes in").await;
        let mut two = chat.enter().await;
        hears(&mut one, "guest 2 comes in").await;
        hears(&mut two, "guest 2 comes in").await;
        one.send(Message::text("hello")).await.unwrap();
        hears(&mut one, "guest 1: hello").await;
        hears(&mut two, "guest 1: hello").await;
        two.close(None).await.unwrap();
        hears(&mut one, "guest 2 has left").await;

        let three = chat.enter().await;
        hears(&mut one, "guest 3 comes in").await;
        reset(three.into_inner().into_std().unwrap());
        hears(&mut one, "guest 3 has left").await;

        // Too long a message ends its speaker alone.
        let mut four = chat.enter().await;
        hears(&mut one, "guest 4 comes in").await;
        four.send(Message::text("x".repeat(5000))).await.unwrap();
        hears(&mut one, "guest 4 has left").await;
    });
}

#[test]
fn who_does_not_read_is_closed_and_the_others_talk_on() {
    let chat = Chat::start();
    block_on(async {
        let idle = chat.enter().await;
        let mut one = chat.enter().await;
        hears(&mut one, "guest 2 comes in").await;
        let line = "x".repeat(4000);
        let mut said = 0;
        // Until what the kernel holds for the idle one is full, and it lags.
        for _ in 0..100_000 {
            one.send(Message::text(line.clone())).await.unwrap();
            hears(&mut one, &format!("guest 2: {line}")).await;
            said += 1;
            if said * line.len() > 16 << 20 {
                break;
            }
        }
        let mut idle = idle;
        let mut heard = 0;
        let end = loop {
            match soon(idle.next()).await {
                Some(Ok(Message::Text(_))) => heard += 1,
                other => break other,
            }
        };
        assert!(heard < said, "{heard} of {said}");
        assert!(
            matches!(&end, Some(Ok(Message::Close(Some(frame)))) if frame.reason.as_str() == "you read too slowly"),
            "{end:?}"
        );
    });
}
