//! Echoes what each client sends, one task a connection.
//!
//! ```text
//! cargo run --release --example echo_server -- 127.0.0.1:7000
//! nc 127.0.0.1 7000
//! ```

use loopline::net::TcpListener;

#[loopline::main]
async fn main() -> std::io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:0".into());
    let listener = TcpListener::bind(address).await?;
    let address = listener.local_addr()?;
    println!("listening on {address}");
    println!("try: nc {} {}", address.ip(), address.port());
    loop {
        let (stream, _peer) = listener.accept().await?;
        loopline::spawn(async move {
            let mut buf = [0; 4096];
            // An error is this client's end, and nobody else's business.
            while let Ok(n @ 1..) = stream.read(&mut buf).await {
                if stream.write_all(&buf[..n]).await.is_err() {
                    break;
                }
            }
        });
    }
}
