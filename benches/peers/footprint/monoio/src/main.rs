use monoio::io::{AsyncReadRent, AsyncWriteRentExt};
use monoio::net::TcpListener;

#[monoio::main]
async fn main() -> std::io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:7000")?;
    loop {
        let (mut stream, _peer) = listener.accept().await?;
        monoio::spawn(async move {
            let mut buffer = Vec::with_capacity(4096);
            loop {
                let (read, filled) = stream.read(buffer).await;
                if !matches!(read, Ok(1..)) {
                    break;
                }
                let (written, emptied) = stream.write_all(filled).await;
                if written.is_err() {
                    break;
                }
                buffer = emptied;
            }
        });
    }
}
