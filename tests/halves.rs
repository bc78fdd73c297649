//! Halves of a stream that two tasks own: each ends by itself, and together they are the stream again.
#![cfg(unix)]

#[path = "support/net.rs"]
mod net;
mod support;

use futures::{AsyncReadExt, AsyncWriteExt};
use loopline::io::Interest;
use loopline::net::UnixStream;
use loopline::spawn;
use net::{pair, soon};
use support::block_on;

#[test]
fn two_tasks_own_the_halves_of_a_stream() {
    block_on(async {
        let (near, far) = pair().await;
        let (read, write) = near.into_split();
        let writer = spawn(async move {
            for _ in 0..100 {
                write.write_all(&[7; 1000]).await.unwrap();
            }
        });
        let reader = spawn(async move {
            let mut buf = [0; 100];
            assert_eq!(read.read_exact(&mut buf).await.unwrap(), 100);
            assert_eq!(read.read(&mut buf).await.unwrap(), 0);
            buf
        });
        far.write_all(&[8; 100]).await.unwrap();
        far.shutdown().await.unwrap();
        let mut got = Vec::new();
        soon((&far).read_to_end(&mut got)).await.unwrap();
        assert_eq!(got, [7; 100_000]);
        assert_eq!(soon(reader).await.unwrap(), [8; 100]);
        soon(writer).await.unwrap();
    });
}

#[test]
fn dropping_the_writing_half_ends_sending_and_nothing_else() {
    block_on(async {
        let (near, far) = pair().await;
        let (read, write) = near.into_split();
        drop(write);
        assert_eq!(soon(far.read(&mut [0; 1])).await.unwrap(), 0);
        far.write_all(b"still").await.unwrap();
        assert_eq!(soon(read.read(&mut [0; 9])).await.unwrap(), 5);
    });
}

#[test]
fn dropping_the_reading_half_ends_nothing() {
    block_on(async {
        let (near, far) = pair().await;
        let (read, write) = near.into_split();
        drop(read);
        far.write_all(b"unread").await.unwrap();
        write.write_all(b"there").await.unwrap();
        assert_eq!(soon(far.read(&mut [0; 9])).await.unwrap(), 5);
    });
}

#[test]
fn halves_become_the_stream_again() {
    block_on(async {
        let (near, far) = pair().await;
        let (read, write) = near.into_split();
        let (other_read, other_write) = pair().await.0.into_split();
        let error = read.reunite(other_write).unwrap_err();
        assert_eq!(error.to_string(), "the two halves are not of one stream");
        let near = write.reunite(error.0).unwrap();
        near.write_all(b"whole").await.unwrap();
        assert_eq!(soon(far.read(&mut [0; 9])).await.unwrap(), 5);
        drop((other_read, error.1));
    });
}

#[test]
fn a_writing_half_that_is_forgotten_leaves_the_connection_as_it_is() {
    block_on(async {
        let (near, far) = pair().await;
        let (read, write) = near.into_split();
        write.forget();
        read.as_ref().write_all(b"open").await.unwrap();
        assert_eq!(soon(far.read(&mut [0; 9])).await.unwrap(), 4);
    });
}

#[test]
fn halves_know_what_the_stream_knows() {
    block_on(async {
        let (near, far) = pair().await;
        let (read, write) = near.into_split();
        assert_eq!(read.local_addr().unwrap(), far.peer_addr().unwrap());
        assert_eq!(write.peer_addr().unwrap(), far.local_addr().unwrap());
        assert!(write.ready(Interest::WRITABLE).await.unwrap().is_writable());
        write.writable().await.unwrap();
        assert_eq!(write.try_write(b"ab").unwrap(), 2);
        far.write_all(b"cd").await.unwrap();
        soon(read.readable()).await.unwrap();
        assert_eq!(soon(read.peek(&mut [0; 9])).await.unwrap(), 2);
        assert_eq!(read.try_read(&mut [0; 9]).unwrap(), 2);
    });
}

#[test]
fn halves_of_a_unix_stream_have_the_traits_of_futures_io() {
    block_on(async {
        let (near, far) = UnixStream::pair().unwrap();
        let (mut read, mut write) = near.into_split();
        AsyncWriteExt::write_all(&mut write, b"by trait").await.unwrap();
        AsyncWriteExt::close(&mut write).await.unwrap();
        let mut text = String::new();
        soon((&far).read_to_string(&mut text)).await.unwrap();
        assert_eq!(text, "by trait");
        far.write_all(b"back").await.unwrap();
        drop(far);
        let mut back = Vec::new();
        soon(AsyncReadExt::read_to_end(&mut read, &mut back)).await.unwrap();
        assert_eq!(back, b"back");
    });
}
