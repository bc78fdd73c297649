//! The traits of `futures-io`, on streams and on references to them.
#![cfg(unix)] // descriptors and their options

#[path = "support/net.rs"]
mod net;
mod support;

use std::io::{IoSlice, IoSliceMut, Read};

use futures::future::join;
use futures::io::{AsyncReadExt, AsyncWriteExt, BufReader, copy};
use futures::{AsyncBufReadExt, StreamExt};
use loopline::net::TcpStream;
use loopline::spawn;
use net::{fill, pair, soon, with_peer};
use support::{block_on, scaled};

/// Copies what comes back to where it came from, by the traits alone.
async fn echo(stream: TcpStream) -> u64 {
    copy(&stream, &mut &stream).await.unwrap()
}

// contract 4
#[test]
fn one_stream_is_reader_and_writer_of_a_copy() {
    let size = scaled(1 << 20);
    block_on(async {
        let (near, far) = pair().await;
        let echo = spawn(echo(far));
        let sent: Vec<u8> = (0..size).map(|n| (n * 7) as u8).collect();
        let send = async {
            // By the trait: with a dot, the method of the stream itself would be called.
            AsyncWriteExt::write_all(&mut &near, &sent).await.unwrap();
            (&near).close().await.unwrap();
        };
        let mut received = Vec::new();
        let mut reader = &near;
        let receive = reader.read_to_end(&mut received);
        soon(join(send, receive)).await.1.unwrap();
        assert!(received == sent, "other bytes came back");
        assert_eq!(soon(echo).await.unwrap(), size as u64);
    });
}

#[test]
fn an_owned_stream_is_buffered_and_read_by_lines() {
    block_on(async {
        let (near, mut far) = pair().await;
        AsyncWriteExt::write_all(&mut far, b"one\ntwo\nthree").await.unwrap();
        far.close().await.unwrap();
        let lines: Vec<_> = soon(BufReader::new(near).lines().collect::<Vec<_>>()).await;
        let lines: Vec<_> = lines.into_iter().map(Result::unwrap).collect();
        assert_eq!(lines, ["one", "two", "three"]);
    });
}

#[test]
fn closing_ends_the_sending_half_only() {
    block_on(async {
        let (mut stream, mut peer) = with_peer().await;
        AsyncWriteExt::flush(&mut stream).await.unwrap();
        stream.close().await.unwrap();
        assert_eq!(peer.read(&mut [0; 8]).unwrap(), 0);
        std::io::Write::write_all(&mut peer, b"still").unwrap();
        let mut buf = [0; 5];
        soon(AsyncReadExt::read_exact(&mut stream, &mut buf)).await.unwrap();
        assert_eq!(&buf, b"still");
    });
}

#[test]
fn vectored_forms_of_the_traits_use_all_buffers() {
    block_on(async {
        let (mut a, mut b) = pair().await;
        let parts = [IoSlice::new(b"one "), IoSlice::new(b"two")];
        assert_eq!(AsyncWriteExt::write_vectored(&mut a, &parts).await.unwrap(), 7);
        let (mut first, mut second) = ([0; 3], [0; 8]);
        let mut bufs = [IoSliceMut::new(&mut first), IoSliceMut::new(&mut second)];
        let n = soon(AsyncReadExt::read_vectored(&mut b, &mut bufs)).await.unwrap();
        assert_eq!((n, &first, &second[..4]), (7, b"one", &b" two"[..]));
    });
}

// contract 4; fault 52
#[test]
fn the_last_to_poll_by_the_traits_is_woken_and_the_methods_waiters_too() {
    block_on(async {
        let (stream, mut peer) = with_peer().await;
        let stream = std::rc::Rc::new(stream);
        let by_trait = stream.clone();
        let first = spawn(async move { AsyncReadExt::read(&mut &*by_trait, &mut [0; 1]).await });
        let by_method = stream.clone();
        let method = spawn(async move { by_method.read(&mut [0; 1]).await });
        let by_trait = stream.clone();
        let last = spawn(async move { AsyncReadExt::read(&mut &*by_trait, &mut [0; 1]).await });
        loopline::time::sleep(std::time::Duration::ZERO).await;
        // One slot for the traits: the first poller was replaced, as their contract says.
        std::io::Write::write_all(&mut peer, b"ab").unwrap();
        assert_eq!(soon(method).await.unwrap().unwrap(), 1);
        assert_eq!(soon(last).await.unwrap().unwrap(), 1);
        drop(first.cancel());
    });
}

// contract 4
#[test]
fn a_writer_by_the_traits_waits_for_room() {
    block_on(async {
        let (stream, mut peer) = with_peer().await;
        let taken = fill(&stream).await;
        let writer = spawn(async move {
            AsyncWriteExt::write_all(&mut &stream, b"rest").await.unwrap();
        });
        loopline::time::sleep(std::time::Duration::ZERO).await;
        peer.read_exact(&mut vec![0; taken]).unwrap();
        soon(writer).await.unwrap();
        let mut rest = Vec::new();
        peer.read_to_end(&mut rest).unwrap();
        assert_eq!(rest, b"rest");
    });
}
