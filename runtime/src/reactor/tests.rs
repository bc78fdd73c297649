//! Tokens whose generation has four bits, as in all tests of this crate.

use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;

use mio::Interest;
use mio::unix::SourceFd;

use super::*;

fn add(reactor: &Reactor, socket: &UnixStream) -> (Counted<Value<Ledger>>, Token) {
    let ledger = Value::new(Ledger::new(0));
    let number = socket.as_raw_fd();
    let token = reactor.register(&ledger, Some(number), &mut |registry, token| {
        registry.register(&mut SourceFd(&number), token, Interest::READABLE)
    });
    (ledger, token.unwrap())
}

fn remove(reactor: &Reactor, socket: &UnixStream, token: Token) {
    assert!(reactor.owns(token));
    reactor.forget(token);
    reactor.with_registry(|r| r.deregister(&mut SourceFd(&socket.as_raw_fd()))).unwrap();
}

fn turn(reactor: &Reactor) {
    reactor.park(Some(Duration::ZERO)).unwrap();
    reactor.dispatch(|_| {});
    drop(reactor.take_rest());
}

// contract 13, 43; fault 47, 50
#[test]
fn however_often_the_generation_wraps_no_event_reaches_who_took_the_place() {
    let reactor = Reactor::new(8).unwrap();
    let (near, mut far) = UnixStream::pair().unwrap();
    near.set_nonblocking(true).unwrap();
    // Outlives registrations of the descriptor, as a duplicate in other hands would.
    let duplicate = near.try_clone().unwrap();
    let mut seen = [0; 16];
    let cycles = if cfg!(miri) { 1_000 } else { 100_000 };
    for cycle in 0..cycles {
        let (first, token) = add(&reactor, &near);
        far.write_all(b"x").unwrap();
        reactor.park(Some(Duration::ZERO)).unwrap();
        assert!(reactor.harvested() > 0);
        // The event is in the batch, and its source goes; the next one gets its place in the table.
        remove(&reactor, &near, token);
        assert_eq!((&duplicate).read(&mut [0; 8]).unwrap(), 1);
        let (second, next) = add(&reactor, &near);
        let index = (1 << INDEX_BITS) - 1;
        assert_eq!(token.0 & index, next.0 & index, "the place is another");
        assert_ne!(token, next);
        seen[(next.0 >> INDEX_BITS) & 0xf] += 1;
        reactor.dispatch(|_| {});
        assert!(!second.is_ready(Direction::Read), "cycle {cycle}: an event of the one before");
        assert!(!first.is_ready(Direction::Read));
        // Its own does reach it.
        far.write_all(b"y").unwrap();
        turn(&reactor);
        assert!(second.is_ready(Direction::Read), "cycle {cycle}");
        assert_eq!((&near).read(&mut [0; 8]).unwrap(), 1);
        remove(&reactor, &near, next);
        // And gone is gone.
        far.write_all(b"z").unwrap();
        turn(&reactor);
        assert_eq!((&near).read(&mut [0; 8]).unwrap(), 1);
    }
    assert!(seen.iter().filter(|times| **times > 0).count() >= 8, "it did not wrap: {seen:?}");
    assert_eq!(reactor.len(), 0);
}
