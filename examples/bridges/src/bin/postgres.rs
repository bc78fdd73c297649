//! Talks to a PostgreSQL server by tokio-postgres: queries, LISTEN and NOTIFY, COPY, cancelling a query.
//!
//! ```text
//! cargo run --release --bin postgres -- 'host=127.0.0.1 user=me password=secret dbname=test'
//! ```

use std::error::Error;
use std::future::poll_fn;
use std::pin::pin;
use std::time::Duration;

use futures::future::try_join;
use futures::{SinkExt, TryStreamExt};
use hyper::body::Bytes;
use loopline::net::TcpStream;
use loopline::sync::mpsc;
use loopline::time::{sleep, timeout};
use tokio_postgres::config::Host;
use tokio_postgres::error::SqlState;
use tokio_postgres::{AsyncMessage, Client, Config, NoTls, Notification};

type AnyError = Box<dyn Error>;
type Notifications = mpsc::UnboundedReceiver<Notification>;

const LIMIT: Duration = Duration::from_secs(10);

#[loopline::main]
async fn main() -> Result<(), AnyError> {
    let settings = std::env::args().skip(1).collect::<Vec<_>>().join(" ");
    let config: Config = settings.parse()?;
    let (client, notifications) = connect(&config).await?;
    queries(&client).await?;
    copies(&client).await?;
    notifies(&client, notifications).await?;
    cancels(&config, &client).await
}

/// Opens a stream to the server that the settings name.
async fn stream(config: &Config) -> Result<TcpStream, AnyError> {
    let port = config.get_ports().first().copied().unwrap_or(5432);
    let Some(Host::Tcp(host)) = config.get_hosts().first() else {
        return Err("only host=ADDRESS, over TCP".into());
    };
    let address = format!("{host}:{port}");
    let stream = timeout(LIMIT, TcpStream::connect(address.as_str())).await??;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Connects. The client only sends requests to the connection, which reads and writes in a task of its
/// own and ends with the client; what it hears unasked it passes on.
async fn connect(config: &Config) -> Result<(Client, Notifications), AnyError> {
    let connecting = config.connect_raw(stream(config).await?, NoTls);
    let (client, mut connection) = timeout(LIMIT, connecting).await??;
    let (heard, notifications) = mpsc::unbounded_channel();
    loopline::spawn(async move {
        while let Some(message) = poll_fn(|cx| connection.poll_message(cx)).await {
            match message {
                Ok(AsyncMessage::Notification(notification)) => drop(heard.send(notification)),
                Ok(AsyncMessage::Notice(notice)) => eprintln!("notice: {notice}"),
                Ok(_) => {}
                Err(error) => return eprintln!("the connection has failed: {error}"),
            }
        }
    });
    Ok((client, notifications))
}

/// Two queries at once on one connection: they are pipelined, the second does not wait for the first.
async fn queries(client: &Client) -> Result<(), AnyError> {
    let sum = client
        .query_one("SELECT sum(n)::bigint FROM generate_series(1, $1::bigint) n", &[&1000i64]);
    let version = client.query_one("SHOW server_version", &[]);
    let (sum, version) = timeout(LIMIT, try_join(sum, version)).await??;
    println!("sum: {}, of PostgreSQL {}", sum.get::<_, i64>(0), version.get::<_, &str>(0));
    Ok(())
}

/// Rows in and out in bulk.
async fn copies(client: &Client) -> Result<(), AnyError> {
    client.batch_execute("CREATE TEMPORARY TABLE loopline (number int, name text)").await?;
    let mut sink = pin!(client.copy_in::<_, Bytes>("COPY loopline FROM STDIN").await?);
    for number in 0..10_000 {
        sink.send(format!("{number}\tname {number}\n").into()).await?;
    }
    let rows = sink.finish().await?;
    let out = client.copy_out("COPY (SELECT * FROM loopline) TO STDOUT").await?;
    let bytes = out.try_fold(0, async |bytes, chunk| Ok(bytes + chunk.len())).await?;
    println!("copied in: {rows} rows, out: {bytes} bytes");
    Ok(())
}

/// What the server says without being asked.
async fn notifies(client: &Client, mut notifications: Notifications) -> Result<(), AnyError> {
    client.batch_execute("LISTEN loopline; NOTIFY loopline, 'hello'").await?;
    let heard = timeout(LIMIT, notifications.recv()).await?.ok_or("the connection is closed")?;
    println!("notified on {}: {}", heard.channel(), heard.payload());
    Ok(())
}

/// A query is cancelled over a connection of its own.
async fn cancels(config: &Config, client: &Client) -> Result<(), AnyError> {
    let cancel = client.cancel_token();
    let cancelling = async {
        sleep(Duration::from_millis(100)).await;
        cancel.cancel_query_raw(stream(config).await?, NoTls).await?;
        Ok::<(), AnyError>(())
    };
    let sleeping = async { Ok(client.batch_execute("SELECT pg_sleep(60)").await) };
    let ((), slept) = timeout(LIMIT, try_join(cancelling, sleeping)).await??;
    match slept {
        Err(error) if error.code() == Some(&SqlState::QUERY_CANCELED) => {
            println!("cancelled a query")
        }
        other => return Err(format!("not cancelled: {other:?}").into()),
    }
    Ok(())
}
