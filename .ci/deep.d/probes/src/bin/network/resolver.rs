//! Resolvers that cannot be reached, or say nothing.

use std::io::{self, Write};
use std::time::{Duration, Instant};

use loopline::net::TcpStream;
use loopline::spawn;
use loopline::time::timeout;

use crate::bystanders::{bystanders_were_served, descriptors, quiet};
use crate::tools::{filter, soon};

pub async fn no_resolver() -> String {
    let began = Instant::now();
    let error = soon(TcpStream::connect(("a-name.invalid", 80))).await.expect_err("no resolver");
    let took = began.elapsed();
    assert!(took < Duration::from_secs(10), "{took:?}");
    // What is in the hosts file needs none.
    assert!(soon(loopline::net::lookup_host("localhost:1")).await.expect("localhost").count() > 0);
    format!("after {took:.0?}: {error}")
}

pub async fn silent_resolver() -> String {
    filter("udp dport 53 drop; tcp dport 53 drop;");
    let before = descriptors();
    let lookups: Vec<_> = (0..8)
        .map(|n| {
            spawn(async move {
                let name = format!("name-{n}.invalid:80");
                let lookup = loopline::net::lookup_host(name);
                timeout(Duration::from_millis(500), lookup).await.map(drop).is_err()
            })
        })
        .collect();
    quiet(Duration::from_millis(400)).await;
    for lookup in lookups {
        assert!(soon(lookup).await.expect("no panic"), "an answer from nowhere");
    }
    // The threads hold their sockets as long as the resolver waits: not the loop's.
    assert!(descriptors() <= before + 8);
    // `check` would count them.
    let bystanders = bystanders_were_served();
    println!(
        "measured: 8 lookups given up after 500 ms, threads still in getaddrinfo; {bystanders}"
    );
    io::stdout().flush().expect("a reader");
    // As the end of `main` does; the script looks at the time this takes.
    std::process::exit(0)
}
