//! tokio's `AsyncRead` and `AsyncWrite` on our streams, by value and for references.
#![cfg(unix)] // descriptors and their options

#[path = "../../../tests/support/net.rs"]
mod net;
#[path = "../../../tests/support/mod.rs"]
mod support;

use std::io::{IoSlice, Read, Write};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use futures::future::{join, poll_fn};
use loopline::net::TcpStream;
use loopline::{spawn, time};
use net::{fill, pair, poll_once, reset, soon, with_peer};
use support::{block_on, block_on_paused, scaled};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio_util::compat::{FuturesAsyncReadCompatExt, TokioAsyncReadCompatExt};

#[test]
fn one_stream_is_reader_and_writer_of_a_copy() {
    let size = scaled(3 << 20);
    block_on(async {
        let (near, far) = pair().await;
        let echo = spawn(async move { tokio::io::copy(&mut &far, &mut &far).await.unwrap() });
        let sent: Vec<u8> = (0..size).map(|n| (n * 7) as u8).collect();
        let send = async {
            AsyncWriteExt::write_all(&mut &near, &sent).await.unwrap();
            AsyncWriteExt::shutdown(&mut &near).await.unwrap();
        };
        let mut received = Vec::new(); // uninitialized, as read_to_end has it
        let mut reader = &near;
        soon(join(send, reader.read_to_end(&mut received))).await.1.unwrap();
        assert!(received == sent, "other bytes came back");
        assert_eq!(soon(echo).await.unwrap(), size as u64);
    });
}

#[test]
fn an_owned_stream_is_buffered_and_read_by_lines() {
    block_on(async {
        let (near, mut far) = pair().await;
        AsyncWriteExt::write_all(&mut far, b"one\ntwo\nthree").await.unwrap();
        AsyncWriteExt::shutdown(&mut far).await.unwrap();
        let mut lines = tokio::io::BufReader::new(near).lines();
        let mut found = Vec::new();
        while let Some(line) = soon(lines.next_line()).await.unwrap() {
            found.push(line);
        }
        assert_eq!(found, ["one", "two", "three"]);
    });
}

#[test]
fn a_read_adds_to_what_the_buffer_holds_and_fills_no_more_than_it() {
    block_on(async {
        let (stream, mut peer) = with_peer().await;
        peer.write_all(b"abcdefgh").unwrap();
        stream.readable().await.unwrap();

        let mut zeroed = [0; 5];
        let mut initialized = ReadBuf::new(&mut zeroed);
        initialized.put_slice(b"12");
        poll_fn(|cx| Pin::new(&mut &stream).poll_read(cx, &mut initialized)).await.unwrap();
        assert_eq!(initialized.filled(), b"12abc");

        let mut raw = [MaybeUninit::uninit(); 5];
        let mut fresh = ReadBuf::uninit(&mut raw);
        fresh.put_slice(b"34");
        poll_fn(|cx| Pin::new(&mut &stream).poll_read(cx, &mut fresh)).await.unwrap();
        assert_eq!(fresh.filled(), b"34def");

        let mut raw = [MaybeUninit::uninit(); 5];
        let mut fresh = ReadBuf::uninit(&mut raw);
        poll_fn(|cx| Pin::new(&mut &stream).poll_read(cx, &mut fresh)).await.unwrap();
        assert_eq!((fresh.filled(), fresh.initialized()), (&b"gh"[..], &b"gh"[..]));

        drop(peer);
        fresh.clear();
        poll_fn(|cx| Pin::new(&mut &stream).poll_read(cx, &mut fresh)).await.unwrap();
        assert!(fresh.filled().is_empty(), "the end");
    });
}

#[test]
fn a_read_larger_than_any_buffer_of_ours_is_read_in_parts() {
    block_on(async {
        let (near, far) = pair().await;
        let size = 2 << 20;
        let sender = spawn(async move {
            TcpStream::write_all(&far, &vec![9; size]).await.unwrap();
        });
        let mut received = bytes::BytesMut::with_capacity(size);
        let mut reader = &near;
        while received.len() < size {
            assert_ne!(soon(reader.read_buf(&mut received)).await.unwrap(), 0);
        }
        assert!(received.iter().all(|byte| *byte == 9));
        soon(sender).await.unwrap();
    });
}

#[test]
fn a_wait_is_woken_and_one_that_is_dropped_takes_nothing() {
    block_on_paused(async {
        let (near, far) = pair().await;
        let mut buf = [0; 8];
        assert!(poll_once(AsyncReadExt::read(&mut &near, &mut buf)).await.is_pending());
        let writer = spawn(async move {
            time::sleep(Duration::from_secs(1)).await;
            TcpStream::write_all(&far, b"later").await.unwrap();
        });
        let n = soon(AsyncReadExt::read(&mut &near, &mut buf)).await.unwrap();
        assert_eq!(&buf[..n], b"later");
        writer.await.unwrap();
    });
}

#[test]
fn a_full_socket_makes_a_write_wait_until_there_is_room() {
    block_on(async {
        let (stream, mut peer) = with_peer().await;
        let filled = fill(&stream).await;
        let mut writing = &stream;
        assert!(poll_once(AsyncWriteExt::write(&mut writing, b"!")).await.is_pending());
        let reader = std::thread::spawn(move || {
            let mut all = vec![0; filled + 1];
            peer.read_exact(&mut all).unwrap();
            all[filled]
        });
        soon(AsyncWriteExt::write_all(&mut &stream, b"!")).await.unwrap();
        assert_eq!(reader.join().unwrap(), b'!');
    });
}

#[test]
fn vectored_writes_take_several_buffers_at_once() {
    block_on(async {
        let (stream, mut peer) = with_peer().await;
        let by_reference = &stream;
        assert!(AsyncWrite::is_write_vectored(&by_reference) && stream.is_write_vectored());
        let bufs = [IoSlice::new(b"two "), IoSlice::new(b"parts")];
        let n = poll_fn(|cx| Pin::new(&mut &stream).poll_write_vectored(cx, &bufs)).await.unwrap();
        assert_eq!(n, 9);
        let mut text = [0; 9];
        peer.read_exact(&mut text).unwrap();
        assert_eq!(&text, b"two parts");
    });
}

#[test]
fn shutting_down_ends_the_sending_half_only_and_bears_a_peer_that_is_gone() {
    block_on(async {
        let (mut stream, mut peer) = with_peer().await;
        AsyncWriteExt::shutdown(&mut stream).await.unwrap();
        assert_eq!(peer.read(&mut [0]).unwrap(), 0);
        peer.write_all(b"still").unwrap();
        let mut text = [0; 5];
        AsyncReadExt::read_exact(&mut stream, &mut text).await.unwrap();
        assert_eq!(&text, b"still");

        let (mut stream, peer) = with_peer().await;
        reset(peer);
        let _gone = soon(AsyncReadExt::read(&mut stream, &mut text)).await;
        AsyncWriteExt::shutdown(&mut stream).await.unwrap();
    });
}

/// tokio-util's `Compat` is what we tell people to use for types that are not ours.
#[test]
fn compat_leads_from_futures_io_to_tokio_and_back() {
    block_on(async {
        let (near, far) = pair().await;
        let echo = spawn(async move {
            // futures-io -> tokio
            let far = futures::io::BufReader::new(far);
            let mut compat = FuturesAsyncReadCompatExt::compat(far);
            let mut text = [0; 4];
            AsyncReadExt::read_exact(&mut compat, &mut text).await.unwrap();
            AsyncWriteExt::write_all(&mut compat, &text).await.unwrap();
        });
        // tokio -> futures-io
        let mut compat = TokioAsyncReadCompatExt::compat(tokio::io::BufStream::new(near));
        futures::AsyncWriteExt::write_all(&mut compat, b"ping").await.unwrap();
        futures::AsyncWriteExt::flush(&mut compat).await.unwrap();
        let mut text = [0; 4];
        soon(futures::AsyncReadExt::read_exact(&mut compat, &mut text)).await.unwrap();
        assert_eq!(&text, b"ping");
        soon(echo).await.unwrap();
    });
}

/// One task that reads a peer that never stops leaves the others their turn.
#[test]
fn reads_are_within_the_budget() {
    block_on(async {
        let (stream, mut peer) = with_peer().await;
        peer.write_all(&[1; 4096]).unwrap();
        stream.readable().await.unwrap();
        let mut read = 0;
        let done = poll_fn(|cx| {
            loop {
                let mut byte = [0];
                let mut buf = ReadBuf::new(&mut byte);
                match Pin::new(&mut &stream).poll_read(cx, &mut buf) {
                    Poll::Ready(Ok(())) => read += 1,
                    Poll::Ready(Err(error)) => panic!("{error}"),
                    Poll::Pending => return Poll::Ready(read),
                }
            }
        });
        let done = done.await;
        assert!(done < 4096, "{done} reads in one poll");
    });
}
