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
use std::sync::Mutex;
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

/// What tells the cores to end, when it is dropped.
type Ends = Vec<oneshot::Sender<()>>;

/// Runs two cores that end when told. `before` connects before they run, `during` while they do.
fn with_two_cores(
    before: impl FnOnce(SocketAddr, &mut Ends) -> Vec<TcpStream>,
    during: impl FnOnce(SocketAddr, Vec<TcpStream>, Ends),
) -> u64 {
    let upstream = upstream().to_string();
    let mut listeners = listeners(ANY.into(), 2).unwrap();
    let address = listeners[0].local_addr().unwrap();
    let (mut ends, ended): (Ends, Vec<_>) = (0..2).map(|_| oneshot::channel::<()>()).unzip();
    let open = before(address, &mut ends);
    let cores = Mutex::new(listeners.drain(..).zip(ended).collect::<Vec<_>>());
    let run = || {
        PerCore::new(2).grace(Duration::from_secs(60)).run(|core| {
            let (listener, ended) = cores.lock().unwrap().pop().unwrap();
            let upstream = upstream.clone();
            async move {
                let listener = TcpListener::from_std(listener)?;
                let end = async {
                    let _dropped = ended.await;
                    Ok(())
                };
                serve(core, listener, upstream, end).await
            }
        })
    };
    let served = thread::scope(|scope| {
        let served = scope.spawn(run);
        during(address, open, ends);
        served.join().unwrap().unwrap().into_iter().sum()
    });
    // And nothing of it on a loop of this thread.
    support::block_on(async { support::nothing_left_here() });
    served
}

fn connected(address: SocketAddr) -> Vec<TcpStream> {
    (0..20).map(|_| TcpStream::connect(address).unwrap()).collect()
}

#[test]
fn what_is_open_at_the_end_goes_on_and_what_comes_later_is_refused() {
    let served = with_two_cores(
        |address, _| connected(address),
        |address, open, ends| {
            open.iter().for_each(echoes);
            drop(ends);
            // Until each core has closed its listener.
            while TcpStream::connect(address).is_ok() {
                thread::yield_now();
            }
            open.iter().for_each(echoes);
        },
    );
    assert!(served >= 20, "{served}");
}

// contract 52
#[test]
fn what_waits_in_the_queue_of_a_listener_at_its_end_is_served() {
    let told_at_once = |address, ends: &mut Ends| {
        ends.clear();
        connected(address)
    };
    let served = with_two_cores(told_at_once, |_, open, _| open.iter().for_each(echoes));
    assert_eq!(served, 20);
}
