//! What does a TCP echo cost the server, per request of 64 bytes, and per connection?
//!
//! The server is one loop on this thread; the client is a thread with blocking sockets, which sends on
//! all connections and then reads all answers, so that the server gets them in batches. Measured: all
//! CPU time of the server's thread, nine tenths of it the kernel's. Left out: the client, latency, and
//! how the same looks elsewhere: `benches/peers` compares, and counts instructions and system calls.
//!
//! Run: `cargo bench --bench echo` (1,000 connections need `ulimit -n 2100`)

mod support;

use std::cell::Cell;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use loopline::net::{TcpListener, TcpStream};
use support::{Suite, thread_cpu};

const MESSAGE: [u8; 64] = [b'x'; 64];

async fn echo(stream: TcpStream) {
    let mut buffer = [0; 4096];
    while let Ok(n @ 1..) = stream.read(&mut buffer).await {
        if stream.write_all(&buffer[..n]).await.is_err() {
            break;
        }
    }
}

async fn accept_all(listener: TcpListener) {
    while let Ok((stream, _peer)) = listener.accept().await {
        drop(loopline::spawn(echo(stream)));
    }
}

fn connect(address: SocketAddr, connections: usize) -> Vec<std::net::TcpStream> {
    let connect = |_| {
        let stream = std::net::TcpStream::connect(address).expect("the server listens");
        stream.set_nodelay(true).expect("a TCP socket");
        stream
    };
    (0..connections).map(connect).collect()
}

/// Sends on all, then reads all answers.
fn ask(streams: &[std::net::TcpStream]) {
    let mut answer = [0; MESSAGE.len()];
    for mut stream in streams {
        stream.write_all(&MESSAGE).expect("the server reads");
    }
    for mut stream in streams {
        stream.read_exact(&mut answer).expect("the server answers");
    }
}

/// Runs the server while `client` asks; it calls what it is given when the counted part begins. Returns
/// the CPU time of the server from then on.
fn serve(suite: &Suite, client: impl FnOnce(SocketAddr, &dyn Fn()) + Send + 'static) -> Duration {
    let mut event_loop = suite.event_loop::<()>();
    let handle = event_loop.handle();
    let bound = event_loop.block_on(TcpListener::bind("127.0.0.1:0"));
    let listener = bound.expect("nothing stops the loop").expect("a port is free");
    let address = listener.local_addr().expect("it is bound");
    handle.spawn(accept_all(listener));
    let remote = handle.remote();
    let asking = thread::spawn(move || {
        let clock = || {
            let read = remote.spawn(|_| async { thread_cpu() });
            read.expect("the loop is there").wait().expect("it ends")
        };
        let began = Cell::new(Duration::ZERO);
        client(address, &|| began.set(clock()));
        let took = clock() - began.get();
        remote.stop();
        took
    });
    event_loop.run(&mut ()).expect("the poller works");
    asking.join().expect("it ends")
}

fn main() {
    let suite = Suite::new("ns CPU of the server per request");
    for connections in [1, 64, 1_000] {
        let requests = 64_000.max(connections) / connections * connections;
        suite.case(&format!("echo, {connections} connections"), requests, |requests| {
            serve(&suite, move |address, begin| {
                let streams = connect(address, connections);
                ask(&streams);
                begin();
                (0..requests / connections).for_each(|_| ask(&streams));
            })
        });
    }
    suite.case("churn: connect, one echo, close", 4_000, |connections| {
        serve(&suite, move |address, begin| {
            begin();
            (0..connections / 16).for_each(|_| ask(&connect(address, 16)));
        })
    });
}
