use compio::BufResult;
use compio::io::{AsyncRead, AsyncWriteExt};
use compio::net::TcpListener;

#[compio::main]
async fn main() -> std::io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:7000").await?;
    loop {
        let (mut stream, _peer) = listener.accept().await?;
        let echo = async move {
            let mut buffer = Vec::with_capacity(4096);
            loop {
                let BufResult(read, filled) = stream.read(buffer).await;
                if !matches!(read, Ok(1..)) {
                    break;
                }
                let BufResult(written, emptied) = stream.write_all(filled).await;
                if written.is_err() {
                    break;
                }
                buffer = emptied;
                buffer.clear();
            }
        };
        compio::runtime::spawn(echo).detach();
    }
}
