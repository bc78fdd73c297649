//! A peer that never stops sending: whoever reads it, callback or task, lets others through.
#![cfg(all(unix, feature = "net"))]

mod support;

use std::cell::Cell;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream as Socket;
use std::rc::Rc;
use std::time::Duration;

use loopline::Handle;
use loopline::callback::Next;
use loopline::io::{FdSource, Interest};
use loopline::net::UnixStream;
use loopline::time::interval;
use support::{closes_clean, event_loop, scaled};

/// A socket that is always ready, whose other end floods it until it is closed.
fn flooded() -> (Socket, std::thread::JoinHandle<()>) {
    let (near, mut far) = Socket::pair().unwrap();
    near.set_nonblocking(true).unwrap();
    let flood = std::thread::spawn(move || while far.write(&[0; 64 * 1024]).is_ok() {});
    (near, flood)
}

/// Others on the loop: an echo and a tick. Returns the most reads of the flood between two of their steps.
async fn bystanders(reads: Rc<Cell<u64>>, steps: usize) -> u64 {
    let (near, far) = UnixStream::pair().unwrap();
    let echo = loopline::spawn(async move {
        let mut buf = [0; 8];
        while let Ok(n @ 1..) = far.read(&mut buf).await {
            far.write_all(&buf[..n]).await.unwrap();
        }
    });
    let mut interval = interval(Duration::from_micros(100));
    let mut most = 0;
    for _ in 0..steps {
        let before = reads.get();
        near.write_all(b"ping").await.unwrap();
        near.read_exact(&mut [0; 4]).await.unwrap();
        most = most.max(reads.get() - before);
        let before = reads.get();
        interval.tick().await;
        most = most.max(reads.get() - before);
    }
    drop(near);
    echo.await.unwrap();
    most
}

fn through_the_flood(read: impl FnOnce(Handle<()>, Socket, Rc<Cell<u64>>)) {
    let mut event_loop = event_loop::<()>();
    let handle = event_loop.handle();
    let (near, flood) = flooded();
    let reads = Rc::new(Cell::new(0));
    read(handle, near, reads.clone());
    let seen = reads.clone();
    let most = event_loop.block_on(async move {
        while seen.get() == 0 {
            loopline::yield_now().await;
        }
        bystanders(seen, scaled(200)).await
    });
    assert!(reads.get() > 0);
    // An answer takes a few turns, and each poll of the flood's reader 128 operations at most; a tick is
    // due within a few turns too, each of which looks at the clock. So a few thousand reads of small
    // pieces at the very most; without the budget it would be all of them. A seeded loop looks at no clock, and
    // each of its turns may be 1,024 polls.
    let (most, turn) = (most.unwrap(), 1_024 * 128);
    let few = if handle.seed().is_some() { 8 * turn } else { 20_000 };
    assert!(most <= few, "{most} reads of the flood between two steps of others");
    // The socket goes with its item.
    event_loop.run(&mut ()).unwrap();
    flood.join().unwrap();
    closes_clean(event_loop);
}

// contract 25, 27, 30; fault 65
#[test]
fn a_callback_of_a_flooded_socket_lets_others_through() {
    through_the_flood(|handle, near, reads| {
        let source = FdSource::new(near, Interest::READABLE);
        let stop = stop_after(handle);
        let insert = handle.insert(source, move |event, source, ()| {
            event.unwrap();
            let read = source.try_io(|mut near| near.read(&mut [0; 256]));
            assert!(!matches!(&read, Err(error) if error.kind() != ErrorKind::WouldBlock));
            reads.set(reads.get() + u64::from(read.is_ok()));
            if stop.get() { Next::Stop } else { Next::Keep }
        });
        drop(insert.unwrap());
    });
}

// contract 25, 27, 30; fault 65
#[test]
fn a_task_that_reads_a_flooded_socket_lets_others_through() {
    through_the_flood(|handle, near, reads| {
        let stop = stop_after(handle);
        handle.spawn(async move {
            let near = UnixStream::from_std(near).unwrap();
            let mut buf = [0; 256];
            while !stop.get() {
                near.read(&mut buf).await.unwrap();
                reads.set(reads.get() + 1);
            }
        });
    });
}

/// Set once nobody but the flood's reader is left.
fn stop_after(handle: Handle<()>) -> Rc<Cell<bool>> {
    let stop = Rc::new(Cell::new(false));
    let set = stop.clone();
    handle.spawn(async move {
        // The bystanders come, and go.
        while handle.stats().items < 3 {
            loopline::yield_now().await;
        }
        while handle.stats().items > 2 {
            loopline::yield_now().await;
        }
        set.set(true);
    });
    stop
}
