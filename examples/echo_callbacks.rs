//! The echo server on callbacks only: no task, no `async`. A connection is a source of its own making,
//! and the counters live in a plain struct that every callback gets as `&mut`.
//!
//! ```text
//! cargo run --release --example echo_callbacks -- 127.0.0.1:7000
//! nc 127.0.0.1 7000
//! ```

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures::io::{AsyncRead, AsyncWrite};
use futures::stream::Stream;
use loopline::EventLoop;
use loopline::callback::Next;
use loopline::net::{TcpListener, TcpStream};

struct State {
    open: usize,
    echoed: u64,
}

fn main() -> io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:0".into());
    let mut event_loop = EventLoop::<State>::new()?;
    let handle = event_loop.handle();
    let listener = TcpListener::from_std(std::net::TcpListener::bind(address)?)?;
    println!("listening on {}", listener.local_addr()?);

    handle.insert(listener.into_incoming(), move |accepted, _incoming, state| {
        let stream = match accepted {
            Ok(stream) => stream,
            Err(error) => {
                eprintln!("cannot accept: {error}");
                return Next::Stop;
            }
        };
        // The handle is `Copy`: callbacks insert and remove sources as they like, at any time.
        if handle.insert(Connection::new(stream), on_chunk).is_ok() {
            state.open += 1;
        }
        Next::Keep
    })?;
    event_loop.run(&mut State { open: 0, echoed: 0 })?;
    Ok(())
}

/// Called with each chunk that a client sent, and last with `None` or an error.
fn on_chunk(chunk: Event, connection: &mut Connection, state: &mut State) -> Next {
    match chunk {
        Ok(Some(chunk)) => {
            state.echoed += chunk.len() as u64;
            connection.send(chunk);
            Next::Keep
        }
        Ok(None) | Err(_) => {
            state.open -= 1;
            // The source ends here, and the socket closes with it.
            Next::Stop
        }
    }
}

/// What was received; `None` at the end.
type Event = io::Result<Option<Vec<u8>>>;

/// A connection as a source. It writes what it was given before it reads on, so that a client that
/// sends without reading is not read from: one chunk is all that it costs.
struct Connection {
    stream: TcpStream,
    unsent: Vec<u8>,
    /// How much of `unsent` has gone out.
    sent: usize,
}

impl Connection {
    fn new(stream: TcpStream) -> Self {
        Self { stream, unsent: Vec::new(), sent: 0 }
    }

    /// Takes what goes out at the next poll, right after the callback.
    fn send(&mut self, chunk: Vec<u8>) {
        self.unsent = chunk;
        self.sent = 0;
    }
}

impl Stream for Connection {
    type Item = Event;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        let this = self.get_mut();
        let mut stream = &this.stream;
        while this.sent < this.unsent.len() {
            match ready!(Pin::new(&mut stream).poll_write(cx, &this.unsent[this.sent..])) {
                Ok(n) => this.sent += n,
                Err(error) => return Poll::Ready(Some(Err(error))),
            }
        }
        let mut buf = [0; 4096];
        let read = ready!(Pin::new(&mut stream).poll_read(cx, &mut buf));
        Poll::Ready(Some(read.map(|n| (n > 0).then(|| buf[..n].to_vec()))))
    }
}
