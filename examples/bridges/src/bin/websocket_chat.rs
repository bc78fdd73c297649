//! A chat in the browser: one port serves the page and, to the page, a WebSocket.
//!
//! ```text
//! cargo run --release --bin websocket_chat -- 127.0.0.1:8080
//! xdg-open http://127.0.0.1:8080/      # in two windows
//! ```
//!
//! Each client is one task, which reads and writes. Whoever reads more slowly than the others talk is
//! told so and closed: its memory is bounded by the broadcast's.

use std::cell::Cell;
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use async_tungstenite::WebSocketStream;
use async_tungstenite::tungstenite::handshake::machine::TryParse;
use async_tungstenite::tungstenite::handshake::server::{Request, create_response, write_response};
use async_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use async_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use async_tungstenite::tungstenite::{self, Bytes, Message, Utf8Bytes};
use futures::StreamExt;
use futures::future::{Either, select};
use loopline::net::{TcpListener, TcpStream};
use loopline::sync::broadcast;
use loopline::sync::broadcast::error::RecvError;
use loopline::time::timeout;

const PAGE: &str = include_str!("../websocket_chat.html");

/// How long a client may take to ask, and how long its question may be.
const HEAD_LIMIT: Duration = Duration::from_secs(10);
const HEAD_MAX: usize = 8 * 1024;
/// The longest message.
const MESSAGE_MAX: usize = 4 * 1024;
/// What a client may fall behind before it is closed.
const BEHIND_MAX: usize = 256;
/// A client that was silent for so long is asked whether it is there; for twice as long, it is not.
const SILENCE: Duration = Duration::from_secs(30);

/// What was said, and to whom it is sent: everybody, so it is shared.
type Said = broadcast::Sender<Utf8Bytes>;

#[loopline::main]
async fn main() -> io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:0".into());
    let listener = TcpListener::bind(address).await?;
    listener.set_nodelay(true)?;
    let address = listener.local_addr()?;
    println!("listening on {address}");
    println!("try: open http://{address}/ in two windows of a browser");
    let said: Said = broadcast::channel(BEHIND_MAX).0;
    let guests = Rc::new(Cell::new(0));
    loop {
        let (stream, _peer) = listener.accept().await?;
        let (said, guests) = (said.clone(), guests.clone());
        loopline::spawn(async move {
            // Errors are this client's end, and nobody else's business.
            let asked = timeout(HEAD_LIMIT, ask(&stream)).await;
            let Ok(Ok((head, rest))) = asked else { return };
            match switch(&head) {
                Ok(answer) => {
                    if stream.write_all(&answer).await.is_ok() {
                        guests.set(guests.get() + 1);
                        let name = format!("guest {}", guests.get());
                        let _ = chat(stream, rest, &said, &name).await;
                    }
                }
                Err(answer) => {
                    if stream.write_all(answer.as_bytes()).await.is_ok() {
                        end(&stream).await;
                    }
                }
            }
        });
    }
}

/// Reads the head of a request; returns with it what came after it.
async fn ask(stream: &TcpStream) -> Result<(Option<Request>, Vec<u8>), tungstenite::Error> {
    let (mut head, mut buf) = (Vec::new(), [0; 1024]);
    while head.len() < HEAD_MAX {
        let n = stream.read(&mut buf).await?;
        if n == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        head.extend_from_slice(&buf[..n]);
        match Request::try_parse(&head) {
            Ok(None) => {}
            Ok(Some((length, request))) => return Ok((Some(request), head.split_off(length))),
            // No GET, or no HTTP.
            Err(_) => break,
        }
    }
    Ok((None, Vec::new()))
}

/// Decides what a request gets: the answer that begins a WebSocket, or one that ends the matter.
fn switch(request: &Option<Request>) -> Result<Vec<u8>, String> {
    let Some(request) = request else { return Err(refusal("400 Bad Request")) };
    let header = |name| request.headers().get(name).and_then(|value| value.to_str().ok());
    match request.uri().path() {
        "/" if header("upgrade").is_none() => {
            Err(plain("200 OK", "text/html; charset=utf-8", PAGE))
        }
        "/" => {
            // Any page may open a socket to anywhere. Only ours may take part.
            let ours =
                |origin: &str| origin.split_once("://").map(|(_, host)| host) == header("host");
            if !header("origin").is_none_or(ours) {
                return Err(refusal("403 Forbidden"));
            }
            let mut text = Vec::new();
            create_response(request)
                .and_then(|response| write_response(&mut text, &response))
                .map_err(|_| refusal("400 Bad Request"))?;
            Ok(text)
        }
        _ => Err(refusal("404 Not Found")),
    }
}

fn refusal(status: &str) -> String {
    plain(status, "text/plain", &format!("{status}\n"))
}

fn plain(status: &str, kind: &str, text: &str) -> String {
    let length = text.len();
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{text}"
    )
}

/// Closes a connection that may have sent more than was read: without this the system would answer that
/// by a reset, which can overtake what was written.
async fn end(stream: &TcpStream) {
    let _ = stream.shutdown().await;
    let rest = async { while let Ok(1..) = stream.read(&mut [0; 1024]).await {} };
    let _ = timeout(Duration::from_secs(1), rest).await;
}

/// Takes part until the client leaves, is gone, or is too slow.
async fn chat(
    stream: TcpStream,
    rest: Vec<u8>,
    said: &Said,
    name: &str,
) -> Result<(), tungstenite::Error> {
    let config = WebSocketConfig::default()
        .max_message_size(Some(MESSAGE_MAX))
        .max_frame_size(Some(MESSAGE_MAX))
        .max_write_buffer_size(256 * 1024);
    let mut socket =
        WebSocketStream::from_partially_read(stream, rest, Role::Server, Some(config)).await;
    let mut heard = said.subscribe();
    let _leaves = Leaves { said: said.clone(), name: name.into() };
    // Nobody else there: an error, and no matter.
    let _ = said.send(format!("{name} comes in").into());
    let mut asked = false;
    loop {
        let line = pin!(heard.recv());
        let next = select(line, socket.next());
        match timeout(SILENCE, next).await {
            Ok(Either::Left((Ok(line), _))) => deliver(&mut socket, Message::Text(line)).await?,
            Ok(Either::Left((Err(RecvError::Lagged(_)), _))) => {
                let reason = "you read too slowly".into();
                let frame = CloseFrame { code: CloseCode::Policy, reason };
                return deliver(&mut socket, Message::Close(Some(frame))).await;
            }
            Ok(Either::Left((Err(RecvError::Closed), _))) => return Ok(()),
            Ok(Either::Right((message, _))) => {
                asked = false;
                match message.transpose()? {
                    Some(Message::Text(text)) => {
                        let _ = said.send(format!("{name}: {text}").into());
                    }
                    // A ping is answered, and a close too, by asking for the next message.
                    Some(_) => {}
                    None => return Ok(()),
                }
            }
            Err(_) if asked => return Ok(()),
            Err(_) => {
                asked = true;
                deliver(&mut socket, Message::Ping(Bytes::new())).await?;
            }
        }
    }
}

/// Sends a message to a client, for which it must make room in time.
async fn deliver(
    socket: &mut WebSocketStream<TcpStream>,
    message: Message,
) -> Result<(), tungstenite::Error> {
    timeout(SILENCE, socket.send(message)).await.map_err(io::Error::from)?
}

/// Says that somebody has left, in whatever way that came about.
struct Leaves {
    said: Said,
    name: String,
}

impl Drop for Leaves {
    fn drop(&mut self) {
        let _ = self.said.send(format!("{} has left", self.name).into());
    }
}
