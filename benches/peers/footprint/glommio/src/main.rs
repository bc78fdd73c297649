use futures_lite::io::{AsyncReadExt, AsyncWriteExt};
use glommio::LocalExecutorBuilder;
use glommio::net::TcpListener;

fn main() {
    let executor = LocalExecutorBuilder::default().make().expect("memory may be locked");
    executor.run(async {
        let listener = TcpListener::bind("127.0.0.1:7000").expect("the port is free");
        while let Ok(mut stream) = listener.accept().await {
            let echo = async move {
                let mut buffer = [0; 4096];
                while let Ok(n @ 1..) = stream.read(&mut buffer).await {
                    if stream.write_all(&buffer[..n]).await.is_err() {
                        break;
                    }
                }
            };
            glommio::spawn_local(echo).detach();
        }
    });
}
