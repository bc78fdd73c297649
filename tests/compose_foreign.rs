//! A message library with an edge-triggered descriptor of its own, a channel of what is to be sent and a
//! ping, composed into one source of messages: the shape of a ZeroMQ socket.
#![cfg(all(unix, feature = "net"))]

mod support;

use std::cell::Cell;
use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use loopline::callback::{Channel, Next, Ping, PingSource, Sender, Stream, channel, ping};
use loopline::io::{FdSource, Interest, Trigger};
use support::{closes_clean, event_loop, scaled};

/// A message that is either way under way.
type Message = u64;

/// The library: queues in its own memory, and a descriptor that says once that their state changed.
///
/// As ZeroMQ's: the descriptor tells of changes, not of messages; asking for the state clears it, and who
/// does not take all there is after that hears nothing more. Sending may be refused for want of room.
struct Foreign {
    queues: Arc<Mutex<Queues>>,
    near: UnixStream,
}

struct Queues {
    inbound: VecDeque<Message>,
    outbound: VecDeque<Message>,
    /// Set while a signal lies in the descriptor.
    signalled: bool,
    far: UnixStream,
}

const ROOM: usize = 8;

impl Queues {
    fn signal(&mut self) {
        if !std::mem::replace(&mut self.signalled, true) {
            self.far.write_all(&[1]).unwrap();
        }
    }
}

impl Foreign {
    fn new() -> Self {
        let (near, far) = UnixStream::pair().unwrap();
        near.set_nonblocking(true).unwrap();
        let queues =
            Queues { inbound: VecDeque::new(), outbound: VecDeque::new(), signalled: false, far };
        Self { queues: Arc::new(Mutex::new(queues)), near }
    }

    /// Asks for the state, which clears the signal.
    fn update(&self) {
        let mut queues = self.queues.lock().unwrap();
        if std::mem::take(&mut queues.signalled) {
            let read = (&self.near).read(&mut [0; 8]);
            assert!(!matches!(read, Err(error) if error.kind() != ErrorKind::WouldBlock));
        }
    }

    fn receive(&self) -> Option<Message> {
        self.update();
        self.queues.lock().unwrap().inbound.pop_front()
    }

    /// Gives the message back if there is no room.
    fn send(&self, message: Message) -> Result<(), Message> {
        self.update();
        let mut queues = self.queues.lock().unwrap();
        if queues.outbound.len() == ROOM {
            return Err(message);
        }
        queues.outbound.push_back(message);
        Ok(())
    }
}

/// The library as one source of messages.
struct Socket {
    library: Foreign,
    /// Says that the library is to be asked; never what for.
    signal: FdSource<UnixStream>,
    to_send: Channel<Message>,
    /// What found no room.
    refused: Option<Message>,
    /// Has the socket look again, for whoever uses the library past it.
    look: PingSource,
    /// Set once nobody can send any more.
    closing: bool,
    asked: Rc<Cell<usize>>,
}

impl Socket {
    fn new(library: Foreign) -> (Self, Sender<Message>, Ping, Rc<Cell<usize>>) {
        let fd = library.near.try_clone().unwrap();
        let signal = FdSource::with_trigger(fd, Interest::READABLE, Trigger::Edge);
        let ((sender, to_send), (ping, look)) = (channel(), ping());
        let asked = Rc::new(Cell::new(0));
        let socket = Self {
            library,
            signal,
            to_send,
            refused: None,
            look,
            closing: false,
            asked: asked.clone(),
        };
        (socket, sender, ping, asked)
    }

    /// Sends what there is, as far as there is room.
    fn flush(&mut self, cx: &mut Context<'_>) {
        while !self.closing || self.refused.is_some() {
            let message = match self.refused.take() {
                Some(message) => message,
                None => match Pin::new(&mut self.to_send).poll_next(cx) {
                    Poll::Ready(Some(message)) => message,
                    Poll::Ready(None) => return self.closing = true,
                    Poll::Pending => return,
                },
            };
            if let Err(message) = self.library.send(message) {
                return self.refused = Some(message);
            }
        }
    }
}

impl Stream for Socket {
    type Item = Message;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Message>> {
        let this = &mut *self;
        loop {
            // Messages first, whatever woke this; and sending asks for the state as well, which takes the
            // signal of what comes in. So both come before the wait, and the wait is what ends the round.
            this.asked.set(this.asked.get() + 1);
            this.flush(cx);
            if let Some(message) = this.library.receive() {
                return Poll::Ready(Some(message));
            }
            if this.closing && this.refused.is_none() {
                return Poll::Ready(None);
            }
            let signal = Pin::new(&mut this.signal).poll_next(cx).is_ready();
            let look = matches!(Pin::new(&mut this.look).poll_next(cx), Poll::Ready(Some(())));
            if !signal && !look {
                return Poll::Pending;
            }
        }
    }
}

// contract 2, 29; fault 51
#[test]
fn a_foreign_edge_a_channel_and_a_ping_are_one_source_that_loses_nothing() {
    let count = scaled(20_000) as Message;
    let library = Foreign::new();
    let far = library.queues.clone();
    let (socket, sender, _ping, _asked) = Socket::new(library);
    let mut event_loop = event_loop::<Vec<Message>>();
    // The other side of the library: answers each message in a burst, and tells by the descriptor alone.
    let peer = std::thread::spawn(move || {
        let mut answered = 0;
        while answered < count {
            let mut queues = far.lock().unwrap();
            let was_full = queues.outbound.len() == ROOM;
            let burst: Vec<_> = queues.outbound.drain(..).collect();
            if burst.is_empty() {
                drop(queues);
                std::thread::yield_now();
                continue;
            }
            answered += burst.len() as Message;
            let was_empty = queues.inbound.is_empty();
            queues.inbound.extend(burst);
            // An edge only where the state changed: from empty, or from full.
            if was_empty || was_full {
                queues.signal();
            }
        }
    });
    // A third thread has things sent.
    let asking = std::thread::spawn(move || {
        for message in 0..count {
            sender.send(message).unwrap();
        }
        sender
    });
    let insert = event_loop.handle().insert(socket, move |message, _socket, seen: &mut Vec<_>| {
        seen.push(message);
        if message == count - 1 { Next::Stop } else { Next::Keep }
    });
    let join = insert.unwrap();
    let mut seen = Vec::new();
    event_loop.run(&mut seen).unwrap();
    assert!(seen.into_iter().eq(0..count), "lost or out of order");
    peer.join().unwrap();
    drop(asking.join().unwrap());
    drop(event_loop.run_until(&mut Vec::new(), join).unwrap().unwrap());
    closes_clean(event_loop);
}

// contract 20, 23
#[test]
fn the_composed_source_asks_only_when_a_part_says_so_and_ends_with_its_senders() {
    let library = Foreign::new();
    let far = library.queues.clone();
    let (socket, sender, ping, asked) = Socket::new(library);
    let mut event_loop = event_loop::<Vec<Message>>();
    let insert = event_loop.handle().insert(socket, |message, _socket, seen: &mut Vec<_>| {
        seen.push(message);
        Next::Keep
    });
    drop(insert.unwrap());
    let mut seen = Vec::new();
    let mut turns = |seen: &mut Vec<Message>| {
        while event_loop.turn(seen, std::time::Duration::from_millis(1)).unwrap().ran != 0 {}
    };
    turns(&mut seen);
    let quiet = asked.get();
    turns(&mut seen);
    assert_eq!(asked.get(), quiet, "asked though nothing happened");
    // Behind the library's back, without a signal: nobody knows until the ping.
    far.lock().unwrap().inbound.push_back(7);
    turns(&mut seen);
    assert_eq!((asked.get(), seen.len()), (quiet, 0));
    ping.ping();
    turns(&mut seen);
    assert_eq!(seen, [7]);
    // What waits for room is sent when the signal says that there is some.
    (0..2 * ROOM as Message).for_each(|n| sender.send(n).unwrap());
    drop(sender);
    turns(&mut seen);
    let sent: Vec<_> = {
        let mut queues = far.lock().unwrap();
        let sent = queues.outbound.drain(..).collect();
        queues.signal();
        sent
    };
    assert!(sent.into_iter().eq(0..ROOM as Message));
    event_loop.run(&mut seen).unwrap();
    let rest: Vec<_> = far.lock().unwrap().outbound.drain(..).collect();
    assert!(rest.into_iter().eq(ROOM as Message..2 * ROOM as Message));
    closes_clean(event_loop);
}
