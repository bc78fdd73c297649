//! Work for a guest, whoever its host is: all kinds of events, from all sides.
#![allow(dead_code, unreachable_pub)] // each test file is a crate and uses a part

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::Duration;

use loopline::Handle;
use loopline::callback::{self, Next};
use loopline::io::{FdSource, Interest};
use loopline::time::sleep;

/// What a program does with a loop: messages of other threads, timers, sockets, items that keep it busy.
/// Counts what it did.
pub fn workload(handle: Handle<usize>, most: usize) -> (usize, impl FnOnce() + Send + use<>) {
    let (sender, messages) = callback::channel::<()>();
    let item = handle.insert(messages, |(), _, count: &mut usize| {
        *count += 1;
        Next::Keep
    });
    drop(item.unwrap());
    let (near, mut far) = UnixStream::pair().unwrap();
    near.set_nonblocking(true).unwrap();
    let source = FdSource::new(near, Interest::READABLE);
    let item = handle.insert(source, |_, source, count: &mut usize| {
        match source.try_io(|mut near| near.read(&mut [0; 3])) {
            Ok(0) => return Next::Stop,
            Ok(n) => *count += n,
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
        }
        Next::Keep
    });
    drop(item.unwrap());
    drop(handle.spawn(async move {
        for n in 0..20 {
            sleep(Duration::from_micros(n * 37)).await;
            handle.with(|count| *count += 1);
        }
    }));
    let outside = move || {
        let senders: Vec<_> = (0..2)
            .map(|_| {
                let sender = sender.clone();
                thread::spawn(move || (0..most).for_each(|_| sender.send(()).unwrap()))
            })
            .collect();
        (0..most / 100).for_each(|_| far.write_all(&[0; 10]).unwrap());
        senders.into_iter().for_each(|thread| thread.join().unwrap());
    };
    (2 * most + most / 100 * 10 + 20, outside)
}
