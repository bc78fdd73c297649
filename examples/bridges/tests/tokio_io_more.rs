//! tokio's traits on what is no TCP stream: Unix streams, halves, pipes, children, files.
#![cfg(unix)]

#[path = "../../../tests/support/net.rs"]
mod net;
#[path = "../../../tests/support/mod.rs"]
mod support;

use std::io::{ErrorKind, SeekFrom};
use std::process::Stdio;

use bytes::BytesMut;
use loopline::fs::{self, File};
use loopline::io::pipe;
use loopline::net::{UdpSocket, UnixDatagram, UnixStream};
use loopline::process::Command;
use net::{ANY, pair, soon};
use support::block_on;
use tokio::io::{
    AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncSeekExt, AsyncWrite, AsyncWriteExt, BufReader,
};

/// Writes a text and its end, and reads what the other side has to say.
async fn talk(
    mut write: impl AsyncWrite + Unpin,
    mut read: impl AsyncRead + Unpin,
    text: &str,
) -> String {
    write.write_all(text.as_bytes()).await.unwrap();
    write.shutdown().await.unwrap();
    drop(write);
    let mut said = String::new();
    soon(read.read_to_string(&mut said)).await.unwrap();
    said
}

#[test]
fn unix_streams_and_halves_have_them() {
    block_on(async {
        let (near, far) = UnixStream::pair().unwrap();
        assert_eq!(talk(&near, &far, "by reference").await, "by reference");
        let (near, far) = UnixStream::pair().unwrap();
        assert_eq!(talk(near.into_split().1, far.into_split().0, "halves").await, "halves");
        let (near, far) = pair().await;
        let (read, write) = near.into_split();
        let (back, forth) = far.into_split();
        assert_eq!(talk(write, back, "there").await, "there");
        assert_eq!(talk(forth, read, "and back").await, "and back");
    });
}

#[test]
fn pipes_and_children_have_them() {
    block_on(async {
        let (sender, receiver) = pipe::pipe().unwrap();
        assert_eq!(talk(sender, receiver, "through a pipe").await, "through a pipe");
        let mut cat = Command::new("cat");
        let mut child = cat.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (stdin, stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        assert_eq!(talk(stdin, stdout, "through cat").await, "through cat");
        assert!(soon(child.wait()).await.unwrap().success());
    });
}

#[test]
fn files_have_them_and_can_be_sought() {
    block_on(async {
        let path = std::env::temp_dir().join(format!("loopline-tokio-io-{}", std::process::id()));
        let mut options = fs::OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(true);
        let mut file = Box::pin(file.open(&path).await.unwrap());
        // by the traits alone: the file has methods of these names
        write_lines(&mut file).await;
        assert_eq!(AsyncSeekExt::seek(&mut file, SeekFrom::Start(4)).await.unwrap(), 4);
        let mut lines = BufReader::new(&mut file).lines();
        assert_eq!(lines.next_line().await.unwrap().unwrap(), "two");
        assert_eq!(AsyncSeekExt::seek(&mut file, SeekFrom::End(-6)).await.unwrap(), 8);
        let mut rest = String::new();
        AsyncReadExt::read_to_string(&mut file, &mut rest).await.unwrap();
        assert_eq!(rest, "three\n");
        AsyncSeekExt::rewind(&mut file).await.unwrap();
        assert_eq!(AsyncSeekExt::stream_position(&mut file).await.unwrap(), 0);
        let error = AsyncSeekExt::seek(&mut file, SeekFrom::Current(-1)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        fs::remove_file(&path).await.unwrap();
    });
}

async fn write_lines(file: &mut std::pin::Pin<Box<File>>) {
    for line in ["one\n", "two\n", "three\n"] {
        AsyncWriteExt::write_all(file, line.as_bytes()).await.unwrap();
    }
    AsyncWriteExt::shutdown(file).await.unwrap();
}

#[test]
fn buffers_of_bytes_are_received_into() {
    block_on(async {
        let receiver = UdpSocket::bind(ANY).await.unwrap();
        let sender = UdpSocket::bind(ANY).await.unwrap();
        let mut buf = BytesMut::with_capacity(64);
        let error = receiver.try_recv_buf(&mut buf).unwrap_err();
        assert_eq!((error.kind(), buf.len()), (ErrorKind::WouldBlock, 0));
        for text in ["one, ", "two, ", "three"] {
            sender.send_to(text.as_bytes(), receiver.local_addr().unwrap()).await.unwrap();
        }
        assert_eq!(soon(receiver.recv_buf(&mut buf)).await.unwrap(), 5);
        let (n, from) = soon(receiver.recv_buf_from(&mut buf)).await.unwrap();
        assert_eq!((n, from), (5, sender.local_addr().unwrap()));
        soon(receiver.readable()).await.unwrap();
        assert_eq!(receiver.try_recv_buf_from(&mut buf).unwrap().0, 5);
        assert_eq!(&buf[..], b"one, two, three");
        // no more than there is room for
        let (a, b) = UnixDatagram::pair().unwrap();
        a.send(b"too long").await.unwrap();
        let mut room = [0; 3];
        assert_eq!(soon(b.recv_buf(&mut &mut room[..])).await.unwrap(), 3);
        assert_eq!(&room, b"too");

        let (near, far) = pair().await;
        near.write_all(b"stream").await.unwrap();
        soon(far.readable()).await.unwrap();
        let mut buf = Vec::new();
        assert_eq!(far.try_read_buf(&mut buf).unwrap(), 6);
        assert_eq!(buf, b"stream");
    });
}
