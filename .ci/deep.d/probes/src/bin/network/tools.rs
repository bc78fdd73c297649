//! Rules for packets, and the connections that they are tried on.

use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use loopline::net::{TcpListener, TcpStream};
use loopline::time::timeout;

pub const HERE: Ipv4Addr = Ipv4Addr::LOCALHOST;
pub const SOON: Duration = Duration::from_secs(30);

/// Runs a command that must succeed. It takes some milliseconds of the loop's thread.
pub fn sh(text: &str) {
    let status = std::process::Command::new("sh").args(["-ec", text]).status().expect("a shell");
    assert!(status.success(), "{text}: {status}");
}

/// Makes a table with one chain of rules, for what comes in.
pub fn filter(rules: &str) {
    sh(&format!(
        "nft 'table inet faults {{ chain faults {{ type filter hook input priority 0; {rules} }}; }}'"
    ));
}

pub fn unfilter() {
    sh("nft flush ruleset");
}

pub async fn soon<T>(future: impl Future<Output = T>) -> T {
    timeout(SOON, future).await.expect("an end in time")
}

pub async fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind((HERE, 0)).await.expect("a listener");
    let address = listener.local_addr().expect("an address");
    (listener, address)
}

pub async fn pair() -> (TcpStream, TcpStream) {
    let (listener, address) = listener().await;
    let near = soon(TcpStream::connect(address)).await.expect("a connection");
    (near, soon(listener.accept()).await.expect("a connection").0)
}

pub async fn works(near: &TcpStream, far: &TcpStream) {
    soon(near.write_all(b"ping")).await.expect("a write");
    let mut got = [0; 4];
    soon(far.read_exact(&mut got)).await.expect("a read");
    assert_eq!(&got, b"ping");
}
