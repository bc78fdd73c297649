//! Clients of databases: the crate `redis` against the example `redis_like`; tokio-postgres against nobody.
#![cfg(unix)] // descriptors and their options

#[path = "../../../tests/support/net.rs"]
mod net;
#[allow(dead_code)] // its `main`
#[path = "../../../examples/redis_like.rs"]
mod redis_like;
#[path = "../../../tests/support/mod.rs"]
mod support;

use std::io::Read;

use futures::future::join_all;
use loopline::io::Here;
use loopline::net::TcpStream;
use loopline::spawn;
use net::{pair, reset, soon, with_peer};
use redis::aio::MultiplexedConnection;
use redis::{AsyncCommands, AsyncConnectionConfig, IntoConnectionInfo};
use redis_like::{Store, serve};
use support::{block_on, closes_clean, event_loop};
use tokio_postgres::{Config, NoTls};

async fn client(stream: TcpStream) -> MultiplexedConnection {
    let info = "redis://here/".into_connection_info().unwrap();
    let config =
        AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
    let connecting =
        MultiplexedConnection::new_with_config(info.redis_settings(), Here::new(stream), config);
    let (connection, work) = soon(connecting).await.unwrap();
    spawn(work);
    connection
}

#[test]
fn many_tasks_share_one_connection_to_redis_and_each_has_its_reply() {
    let mut event_loop = event_loop::<Store>();
    let handle = event_loop.handle();
    let done = event_loop.run_until(&mut Store::default(), async move {
        let (near, far) = pair().await;
        let server = handle.spawn(async move { serve(handle, &far).await });
        let connection = client(near).await;
        let tasks: Vec<_> = (0..100)
            .map(|_| {
                let mut connection = connection.clone();
                spawn(async move { connection.incr::<_, _, i64>("n", 1).await.unwrap() })
            })
            .collect();
        let mut numbers: Vec<i64> =
            soon(join_all(tasks)).await.into_iter().map(Result::unwrap).collect();
        numbers.sort_unstable();
        assert_eq!(numbers, (1..=100).collect::<Vec<i64>>());

        let mut connection = connection;
        let bytes: Vec<u8> = (0..=255).collect();
        let (set, got): (String, Vec<u8>) =
            redis::pipe().set("k", &bytes).get("k").query_async(&mut connection).await.unwrap();
        assert_eq!((set.as_str(), got), ("OK", bytes));
        let none: Option<String> = connection.get("nothing").await.unwrap();
        assert_eq!(none, None);
        assert!(connection.incr::<_, _, i64>("k", 1).await.is_err());
        drop(connection);
        soon(server).await.unwrap().unwrap();
    });
    done.unwrap();
    closes_clean(event_loop);
}

#[test]
fn what_waits_for_redis_learns_that_the_server_is_gone() {
    block_on(async {
        let (stream, mut peer) = with_peer().await;
        let greeting = spawn(client(stream));
        // What the client says of itself, and an answer to each: it takes errors for it.
        let mut connection = loop {
            if greeting.is_finished() {
                break soon(greeting).await.unwrap();
            }
            let mut buf = [0; 4096];
            peer.set_nonblocking(true).unwrap();
            if let Ok(n) = peer.read(&mut buf) {
                let commands = buf[..n].iter().filter(|byte| **byte == b'*').count();
                std::io::Write::write_all(&mut peer, &b"-ERR no\r\n".repeat(commands)).unwrap();
            }
            loopline::yield_now().await;
        };
        let asked = spawn(async move { connection.get::<_, String>("k").await });
        loopline::yield_now().await;
        reset(peer);
        assert!(soon(asked).await.unwrap().unwrap_err().is_connection_dropped());
    });
}

#[test]
fn a_postgres_server_that_hangs_up_is_an_error() {
    block_on(async {
        let (stream, peer) = with_peer().await;
        let mut config = Config::new();
        let connecting =
            spawn(async move { config.user("me").connect_raw(stream, NoTls).await.is_err() });
        loopline::yield_now().await;
        drop(peer);
        assert!(soon(connecting).await.unwrap());
    });
}
