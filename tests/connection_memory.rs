//! An idle connection costs little memory: its task, its place in the loop's tables and its registration.
#![cfg(unix)] // sockets of the standard library as peers, without memory of ours

#[path = "support/net.rs"]
mod net;
mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::time::Duration;

use loopline::net::TcpListener;
use loopline::spawn;
use loopline::time::sleep;
use net::{ANY, soon};
use support::block_on;

thread_local! {
    /// Bytes of this thread in use.
    static IN_USE: Cell<isize> = const { Cell::new(0) };
}

fn count(bytes: isize) {
    let _ = IN_USE.try_with(|in_use| in_use.set(in_use.get() + bytes));
}

struct Counting;

// SAFETY: everything is the system allocator's; counting touches a `Cell` without destructor only.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The most that a connection may cost, its buffer apart.
const LIMIT: isize = 400;
const CONNECTIONS: usize = 400;
/// What the task holds to read into; not counted.
const BUFFER: usize = 512;

#[test]
fn an_idle_connection_takes_at_most_four_hundred_bytes() {
    block_on(async {
        let listener = TcpListener::bind(ANY).await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut peers = Vec::with_capacity(CONNECTIONS);
        let mut tasks = Vec::with_capacity(CONNECTIONS);
        // What a loop takes once, for its first timer, is no connection's.
        soon(sleep(Duration::from_millis(3))).await;
        let before = IN_USE.with(Cell::get);
        for _ in 0..CONNECTIONS {
            peers.push(std::net::TcpStream::connect(address).unwrap());
            let (stream, _peer) = soon(listener.accept()).await.unwrap();
            tasks.push(spawn(async move {
                let mut buf = [0; BUFFER];
                let mut total = 0;
                while let Ok(n @ 1..) = stream.read(&mut buf).await {
                    if stream.write_all(&buf[..n]).await.is_err() {
                        break;
                    }
                    total += n;
                }
                total
            }));
        }
        // each has answered once, and waits for more
        for peer in &mut peers {
            echo(peer).await;
        }
        let each = (IN_USE.with(Cell::get) - before) / CONNECTIONS as isize;
        let ours = each - BUFFER as isize;
        println!("{ours} bytes for an idle connection, {each} with its buffer");
        assert!(ours <= LIMIT, "{ours} bytes for an idle connection");
        drop(peers);
        for task in tasks {
            assert_eq!(soon(task).await.unwrap(), 4);
        }
    });
}

async fn echo(peer: &mut std::net::TcpStream) {
    use std::io::{ErrorKind, Read, Write};

    peer.write_all(b"ping").unwrap();
    peer.set_nonblocking(true).unwrap();
    let mut buf = [0; 4];
    loop {
        match peer.read_exact(&mut buf) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => loopline::yield_now().await,
            done => break done.unwrap(),
        }
    }
    assert_eq!(&buf, b"ping");
}
