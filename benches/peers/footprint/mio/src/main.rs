use std::collections::HashMap;
use std::io::{ErrorKind, Read, Write};

use mio::net::TcpListener;
use mio::{Events, Interest, Poll, Token};

fn main() -> std::io::Result<()> {
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(1024);
    let mut listener = TcpListener::bind("127.0.0.1:7000".parse().expect("an address"))?;
    poll.registry().register(&mut listener, Token(0), Interest::READABLE)?;
    let mut streams = HashMap::new();
    let mut next = 1;
    let mut buffer = [0; 4096];
    loop {
        poll.poll(&mut events, None)?;
        for event in &events {
            if event.token() == Token(0) {
                while let Ok((mut stream, _peer)) = listener.accept() {
                    poll.registry().register(&mut stream, Token(next), Interest::READABLE)?;
                    streams.insert(next, stream);
                    next += 1;
                }
                continue;
            }
            let Some(stream) = streams.get_mut(&event.token().0) else { continue };
            let ended = loop {
                match stream.read(&mut buffer) {
                    Ok(n @ 1..) if stream.write_all(&buffer[..n]).is_ok() => {}
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break false,
                    _ => break true,
                }
            };
            if ended {
                streams.remove(&event.token().0);
            }
        }
    }
}
