//! What stands for a Wayland connection in tests: several readers, each with a queue of its own, announce their
//! reads.
#![allow(dead_code, unreachable_pub)] // each test file is a crate and uses a part

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

/// One connection, used by several threads, each with a queue of its own.
pub struct Display {
    pub state: Mutex<State>,
    read: Condvar,
    pub socket: UnixStream,
}

pub struct State {
    /// Who announced that they will read, and have not yet.
    pub readers: usize,
    /// Counts the reads that were done.
    serial: usize,
    queues: [VecDeque<u8>; 2],
    /// What the last reader did while others waited for it.
    pub reads: usize,
    pub closed: bool,
    /// What another reader puts into the first queue just before a read is announced.
    pub quicker: Option<u8>,
}

impl Display {
    pub fn new(socket: UnixStream) -> Arc<Self> {
        socket.set_nonblocking(true).unwrap();
        let queues = [VecDeque::new(), VecDeque::new()];
        let state = State { readers: 0, serial: 0, queues, reads: 0, closed: false, quicker: None };
        Arc::new(Self { state: Mutex::new(state), read: Condvar::new(), socket })
    }

    pub fn next(&self, queue: usize) -> Option<u8> {
        self.state.lock().unwrap().queues[queue].pop_front()
    }

    /// Announces a read. `false`: events wait in the queue, which are to be dispatched first.
    pub fn prepare(&self, queue: usize) -> bool {
        let mut state = self.state.lock().unwrap();
        let quicker = state.quicker.take();
        state.queues[0].extend(quicker);
        let empty = state.queues[queue].is_empty();
        state.readers += usize::from(empty);
        empty
    }

    /// Takes the announcement back.
    pub fn cancel(&self) {
        let mut state = self.state.lock().unwrap();
        state.readers -= 1;
        if state.readers == 0 {
            // The others wait for a read that nobody does.
            state.serial += 1;
            self.read.notify_all();
        }
    }

    /// Reads, if this is the last of those who announced it; else waits until that one has. So one that
    /// forgets its announcement blocks all others for ever.
    pub fn read(&self) {
        let mut state = self.state.lock().unwrap();
        state.readers -= 1;
        if state.readers != 0 {
            let serial = state.serial;
            let patience = Duration::from_secs(30);
            let waited = self.read.wait_timeout_while(state, patience, |s| s.serial == serial);
            assert!(!waited.unwrap().1.timed_out(), "a reader kept its announcement");
            return;
        }
        let mut buf = [0; 64];
        match (&self.socket).read(&mut buf) {
            Ok(0) => state.closed = true,
            Ok(n) => {
                state.reads += 1;
                buf[..n].iter().for_each(|event| {
                    state.queues[usize::from(event & 1)].push_back(*event);
                });
            }
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
        }
        state.serial += 1;
        self.read.notify_all();
    }
}

/// An announcement: dropped it is taken back.
pub struct Guard(Option<Arc<Display>>);

impl Guard {
    /// Announces a read, if nothing is to be dispatched first.
    pub fn announce(display: &Arc<Display>, queue: usize) -> Option<Self> {
        display.prepare(queue).then(|| Self(Some(display.clone())))
    }

    pub fn read(mut self) {
        self.0.take().unwrap().read();
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(display) = &self.0 {
            display.cancel();
        }
    }
}

/// Writes events for both queues, a few at a time.
pub fn compositor(mut socket: UnixStream, events: &[u8]) {
    for chunk in events.chunks(3) {
        socket.write_all(chunk).unwrap();
        std::thread::yield_now();
    }
}

pub fn of(events: &[u8], number: u8) -> Vec<u8> {
    events.iter().copied().filter(|event| event & 1 == number).collect()
}

/// Gives what the queue has to the state.
pub fn dispatch(display: &Display, queue: usize, seen: &mut Vec<u8>) {
    seen.extend(std::iter::from_fn(|| display.next(queue)));
}

pub fn readers(display: &Display) -> usize {
    display.state.lock().unwrap().readers
}
