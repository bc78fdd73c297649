//! One source made of three: a connection whose lines come as events, a future that makes it, and a timer
//! for the pause after which it is made again, twice as long each time. Whoever uses it sees one source
//! with one type of event. Here it meets a server that is not there at first and hangs up twice. Ends by
//! itself.
//!
//! ```text
//! cargo run --example composed_source
//! ```

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use asynchronous_codec::{Framed, LinesCodec};
use futures::io::{AsyncRead, AsyncWrite};
use loopline::callback::{Next, Stream};
use loopline::net::{TcpListener, TcpStream};
use loopline::time::{Timer, sleep};
use loopline::{EventLoop, Handle};

/// What the composed source tells.
pub(crate) enum Event {
    Connected,
    Line(String),
    /// There is no connection, for this reason; the next try is so long from now.
    Lost(io::Error, Duration),
}

/// A connection being made.
pub(crate) type Connecting<T> = Pin<Box<dyn Future<Output = io::Result<T>>>>;

/// Lines of a connection that is made anew whenever it breaks.
pub(crate) struct Reconnecting<T: AsyncRead + AsyncWrite + Unpin> {
    connect: Box<dyn FnMut() -> Connecting<T>>,
    state: State<T>,
    /// How long to wait after the next failure.
    pause: Duration,
}

/// Of its parts there is always one, and only that is polled.
enum State<T: AsyncRead + AsyncWrite + Unpin> {
    Connecting(Connecting<T>),
    Connected(Framed<T, LinesCodec>),
    Pausing(Timer),
}

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

impl<T: AsyncRead + AsyncWrite + Unpin> Reconnecting<T> {
    pub(crate) fn new(mut connect: impl FnMut() -> Connecting<T> + 'static) -> Self {
        let state = State::Connecting(connect());
        Self { connect: Box::new(connect), state, pause: FIRST_PAUSE }
    }

    /// Gives up what there is and waits. Its part goes at once, its registration or its timer with it.
    fn back_off(&mut self, reason: io::Error) -> Event {
        let pause = self.pause;
        self.pause = (pause * 2).min(LONGEST_PAUSE);
        self.state = State::Pausing(Timer::after(pause));
        Event::Lost(reason, pause)
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> Stream for Reconnecting<T> {
    type Item = Event;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        let this = &mut *self;
        // Pending only where a part is: that part has the waker then, and nothing is left unasked.
        let event = loop {
            match &mut this.state {
                State::Pausing(timer) => {
                    ready!(Pin::new(timer).poll_next(cx));
                    this.state = State::Connecting((this.connect)());
                }
                State::Connecting(future) => match ready!(future.as_mut().poll(cx)) {
                    Ok(stream) => {
                        this.state = State::Connected(Framed::new(stream, LinesCodec));
                        break Event::Connected;
                    }
                    Err(error) => break this.back_off(error),
                },
                State::Connected(lines) => match ready!(Pin::new(lines).poll_next(cx)) {
                    Some(Ok(line)) => {
                        // It works: the next failure is a new one.
                        this.pause = FIRST_PAUSE;
                        break Event::Line(line.trim_end().to_owned());
                    }
                    Some(Err(error)) => break this.back_off(error),
                    None => break this.back_off(io::ErrorKind::UnexpectedEof.into()),
                },
            }
        };
        Poll::Ready(Some(event))
    }
}

/// Comes late, and hangs up after each line.
async fn server(address: std::net::SocketAddr, lines: &[&str]) -> io::Result<()> {
    sleep(Duration::from_millis(250)).await;
    let listener = TcpListener::bind(address).await?;
    for line in lines {
        let (stream, _peer) = listener.accept().await?;
        stream.write_all(line.as_bytes()).await?;
    }
    Ok(())
}

fn main() -> io::Result<()> {
    let mut event_loop = EventLoop::<Vec<String>>::new()?;
    let handle: Handle<Vec<String>> = event_loop.handle();
    // An address where nobody listens, yet.
    let address = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;

    let source = Reconnecting::new(move || Box::pin(TcpStream::connect(address)));
    handle.insert(source, |event, _source, lines| {
        match event {
            Event::Connected => println!("connected"),
            Event::Line(line) => lines.push(line),
            Event::Lost(error, pause) => println!("{error}; again in {pause:?}"),
        }
        if lines.len() == 3 { Next::Stop } else { Next::Keep }
    })?;
    let served = handle.spawn(server(address, &["one\n", "two\n", "three\n"]));

    let mut lines = Vec::new();
    event_loop.run(&mut lines)?;
    println!("{lines:?}");
    event_loop.run_until(&mut lines, served)?.expect("the server is not cancelled")
}
