//! Talks to a Redis server by the crate `redis`: one connection, which many tasks share.
//!
//! ```text
//! cargo run --release --bin redis_client -- redis://127.0.0.1:6379/
//! ```
//!
//! The server may be our own: `cargo run --release --example redis_like -- 127.0.0.1:6379` in the root.

use std::error::Error;
use std::time::Duration;

use futures::future::try_join_all;
use loopline::io::Here;
use loopline::net::TcpStream;
use loopline::time::timeout;
use redis::aio::MultiplexedConnection;
use redis::{AsyncCommands, AsyncConnectionConfig, ConnectionAddr, IntoConnectionInfo};

const LIMIT: Duration = Duration::from_secs(5);

#[loopline::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = std::env::args().nth(1).unwrap_or_else(|| "redis://127.0.0.1:6379/".into());
    let connection = connect(&url).await?;

    // Requests of several tasks go out together, and each gets its own reply.
    let visits = (0..100).map(|_| {
        let mut connection = connection.clone();
        async move { connection.incr::<_, _, i64>("loopline:visits", 1).await }
    });
    let counted = timeout(LIMIT, try_join_all(visits)).await??;
    println!("visits {} to {}", counted[0], counted[99]);

    let mut connection = connection;
    let (set, got): (String, String) = timeout(
        LIMIT,
        redis::pipe()
            .set("loopline:greeting", "hello")
            .get("loopline:greeting")
            .query_async(&mut connection),
    )
    .await??;
    println!("set: {set}, got: {got}");
    Ok(())
}

/// Connects, and leaves the reading and writing to a task, which ends with the last clone.
async fn connect(url: &str) -> Result<MultiplexedConnection, Box<dyn Error>> {
    let info = url.into_connection_info()?;
    let ConnectionAddr::Tcp(host, port) = info.addr() else {
        return Err("only redis://ADDRESS:PORT/".into());
    };
    let address = format!("{host}:{port}");
    let stream = timeout(LIMIT, TcpStream::connect(address.as_str())).await??;
    stream.set_nodelay(true)?;
    // Its own limits in time need tokio's clock; ours are outside, around each call.
    let config =
        AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
    let connecting =
        MultiplexedConnection::new_with_config(info.redis_settings(), Here::new(stream), config);
    let (connection, work) = timeout(LIMIT, connecting).await??;
    loopline::spawn(work);
    Ok(connection)
}
