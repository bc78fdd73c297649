//! The example `tcp_proxy_per_core`: several listeners of one address, and an end that lets what is open go on.
#![cfg(unix)] // signals

#[path = "support/net.rs"]
mod net;
mod support;
#[path = "../examples/tcp_proxy_per_core.rs"]
#[allow(dead_code)] // its `main`
mod tcp_proxy_per_core;

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;

use loopline::sync::remote::oneshot;
use loopline::{PerCore, net::TcpListener};
use net::ANY;
use tcp_proxy_per_core::{listeners, serve};

#[test]
fn listeners_share_an_address_that_the_first_one_chose() {
    let listeners = listeners(ANY.into(), 3).unwrap();
    let addresses: BTreeSet<SocketAddr> =
        listeners.iter().map(|listener| listener.local_addr().unwrap()).collect();
    assert_eq!((listeners.len(), addresses.len()), (3, 1));
}

/// An upstream that echoes, a thread a connection.
fn upstream() -> SocketAddr {
    let listener = std::net::TcpListener::bind(ANY).unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            thread::spawn(move || std::io::copy(&mut stream.try_clone().unwrap(), &mut stream));
        }
    });
    address
}

/// Sends a byte through, and expects it back.
fn echoes(mut stream: &TcpStream) {
    stream.write_all(b"x").unwrap();
    let mut byte = [0];
    stream.read_exact(&mut byte).unwrap();
    assert_eq!(&byte, b"x");
}

#[test]
fn what_is_open_at_the_end_goes_on_and_what_comes_later_is_refused() {
    let upstream = upstream().to_string();
    let mut listeners = listeners(ANY.into(), 2).unwrap();
    let address = listeners[0].local_addr().unwrap();
    let (ends, ended): (Vec<_>, Vec<_>) = (0..2).map(|_| oneshot::channel::<()>()).unzip();
    let cores = std::sync::Mutex::new(listeners.drain(..).zip(ended).collect::<Vec<_>>());
    thread::scope(|scope| {
        let served = scope.spawn(|| {
            PerCore::new(2).grace(Duration::from_secs(60)).run(|core| {
                let (listener, ended) = cores.lock().unwrap().pop().unwrap();
                let upstream = upstream.clone();
                async move {
                    let listener = TcpListener::from_std(listener)?;
                    let end = async { ended.await.map_err(std::io::Error::other) };
                    serve(core, listener, upstream, end).await
                }
            })
        });
        let open: Vec<_> = (0..20).map(|_| TcpStream::connect(address).unwrap()).collect();
        open.iter().for_each(echoes);
        for end in ends {
            end.send(()).unwrap();
        }
        // Until each core has closed its listener.
        while TcpStream::connect(address).is_ok() {
            thread::yield_now();
        }
        open.iter().for_each(echoes);
        drop(open);
        let served: u64 = served.join().unwrap().unwrap().into_iter().sum();
        assert!(served >= 20, "{served}");
    });
    // And nothing of it on a loop of this thread.
    support::block_on(async { support::nothing_left_here() });
}
