//! Pipes: anonymous ones, FIFOs, and what is taken over or given away.
#![cfg(unix)] // pipes

#[path = "support/net.rs"]
mod net;
mod support;

use std::fs::File;
use std::io::{ErrorKind, IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use futures::io::{AsyncReadExt, AsyncWriteExt};
use loopline::io::{Interest, pipe};
use loopline::spawn;
use loopline::time::timeout;
use net::{poll_once, soon};
use support::{block_on, block_on_paused};

/// A FIFO in a folder of its own, both of which go with this.
struct Fifo(PathBuf);

impl Fifo {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("loopline-{}-{name}", std::process::id()));
        std::fs::create_dir(&folder).unwrap();
        let path = folder.join("fifo");
        let name = std::ffi::CString::new(path.to_str().unwrap()).unwrap();
        // SAFETY: reads a string that ends in a zero.
        assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }, 0);
        Self(path)
    }
}

impl AsRef<Path> for Fifo {
    fn as_ref(&self) -> &Path {
        &self.0
    }
}

impl Drop for Fifo {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(self.0.parent().unwrap());
    }
}

fn flags(fd: impl AsFd, command: libc::c_int) -> libc::c_int {
    // SAFETY: reads the flags of a live descriptor.
    let flags = unsafe { libc::fcntl(fd.as_fd().as_raw_fd(), command) };
    assert!(flags >= 0);
    flags
}

fn blocks(fd: impl AsFd) -> bool {
    flags(fd, libc::F_GETFL) & libc::O_NONBLOCK == 0
}

#[test]
fn what_is_sent_is_received_and_the_end_is_told() {
    block_on_paused(async {
        let (sender, receiver) = pipe().unwrap();
        let mut buf = [0; 8];
        assert!(poll_once(receiver.read(&mut buf)).await.is_pending());
        sender.write_all(b"hello").await.unwrap();
        assert_eq!(soon(receiver.read(&mut buf)).await.unwrap(), 5);
        assert_eq!(&buf[..5], b"hello");
        assert_eq!(receiver.try_read(&mut buf).unwrap_err().kind(), ErrorKind::WouldBlock);
        assert!(timeout(Duration::from_millis(1), receiver.readable()).await.is_err());
        drop(sender);
        let ready = soon(receiver.ready(Interest::READABLE)).await.unwrap();
        assert!(ready.is_read_closed());
        assert_eq!(receiver.read(&mut buf).await.unwrap(), 0);
        let error = receiver.ready(Interest::WRITABLE).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    });
}

#[test]
fn a_full_pipe_waits_for_room_and_nobody_to_read_is_an_error() {
    block_on(async {
        let (sender, receiver) = pipe().unwrap();
        let chunk = [1; 4096];
        let mut taken = 0;
        while let Ok(n) = sender.try_write(&chunk) {
            taken += n;
        }
        let mut room = Box::pin(sender.writable());
        assert!(poll_once(&mut room).await.is_pending());
        let mut all = vec![0; taken];
        assert_eq!(soon(receiver.read_exact(&mut all)).await.unwrap(), taken);
        soon(room).await.unwrap();
        while sender.try_write(&chunk).is_ok() {}
        let mut blocked = Box::pin(sender.write_all(&chunk));
        assert!(poll_once(&mut blocked).await.is_pending());
        drop(receiver);
        assert_eq!(soon(blocked).await.unwrap_err().kind(), ErrorKind::BrokenPipe);
        assert_eq!(sender.try_write(&chunk).unwrap_err().kind(), ErrorKind::BrokenPipe);
    });
}

#[test]
fn vectored_and_by_the_traits_of_futures_io() {
    block_on(async {
        let (mut sender, mut receiver) = pipe().unwrap();
        let parts = [IoSlice::new(b"he"), IoSlice::new(b"llo")];
        assert_eq!(sender.try_write_vectored(&parts).unwrap(), 5);
        let (mut one, mut two) = ([0; 3], [0; 3]);
        soon(receiver.readable()).await.unwrap();
        let mut bufs = [IoSliceMut::new(&mut one), IoSliceMut::new(&mut two)];
        assert_eq!(receiver.try_read_vectored(&mut bufs).unwrap(), 5);
        assert_eq!((&one, &two[..2]), (b"hel", &b"lo"[..]));
        let writer = spawn(async move {
            AsyncWriteExt::write_all(&mut sender, &[9; 200_000]).await.unwrap();
            sender.close().await.unwrap();
        });
        let mut all = Vec::new();
        soon(receiver.read_to_end(&mut all)).await.unwrap();
        assert_eq!(all.len(), 200_000);
        soon(writer).await.unwrap();
    });
}

#[test]
fn a_fifo_is_opened_by_name() {
    let fifo = Fifo::new("by-name");
    block_on(async {
        let receiver = pipe::OpenOptions::new().open_receiver(&fifo).unwrap();
        let mut buf = [0; 3];
        // It waits for the first sender.
        assert!(poll_once(receiver.read(&mut buf)).await.is_pending());
        for _ in 0..2 {
            let sender = pipe::OpenOptions::new().open_sender(&fifo).unwrap();
            sender.write_all(b"abc").await.unwrap();
            drop(sender);
            assert_eq!(soon(receiver.read_exact(&mut buf)).await.unwrap(), 3);
            // Each sender's end is an end.
            assert_eq!(soon(receiver.read(&mut buf)).await.unwrap(), 0);
        }
    });
}

#[cfg(any(target_os = "linux", target_os = "android"))]
#[test]
fn opened_for_both_a_fifo_needs_nobody_at_the_other_end_and_never_ends() {
    let fifo = Fifo::new("both");
    block_on(async {
        let error = pipe::OpenOptions::new().open_sender(&fifo).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ENXIO));
        let sender = pipe::OpenOptions::new().read_write(true).open_sender(&fifo).unwrap();
        sender.write_all(b"abc").await.unwrap();
        let receiver = pipe::OpenOptions::new().read_write(true).open_receiver(&fifo).unwrap();
        let mut buf = [0; 3];
        assert_eq!(soon(receiver.read_exact(&mut buf)).await.unwrap(), 3);
        drop(sender);
        assert!(timeout(Duration::from_millis(5), receiver.read(&mut buf)).await.is_err());
    });
}

#[test]
fn what_is_no_end_of_a_pipe_or_the_wrong_one_is_refused() {
    let fifo = Fifo::new("refused");
    let plain = fifo.0.with_file_name("plain");
    File::create(&plain).unwrap();
    block_on(async {
        let refusals = [
            pipe::OpenOptions::new().open_sender(&plain).map(drop).unwrap_err(),
            pipe::OpenOptions::new().open_receiver(&plain).map(drop).unwrap_err(),
            pipe::Sender::from_file(File::create(&plain).unwrap()).map(drop).unwrap_err(),
            pipe::Receiver::from_file(File::open(&plain).unwrap()).map(drop).unwrap_err(),
        ];
        for error in refusals {
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            assert!(error.to_string().contains("not a pipe"), "{error}");
        }
        let (sender, receiver) = pipe().unwrap();
        let sender = sender.into_nonblocking_fd().unwrap();
        let receiver = receiver.into_nonblocking_fd().unwrap();
        let error = pipe::Receiver::from_owned_fd(sender).map(drop).unwrap_err();
        assert!(error.to_string().contains("make a Sender of it"), "{error}");
        let error = pipe::Sender::from_owned_fd(receiver).map(drop).unwrap_err();
        assert!(error.to_string().contains("make a Receiver of it"), "{error}");
    });
}

// contract 10, 14
#[test]
fn an_end_taken_over_blocks_again_when_released() {
    let fifo = Fifo::new("released");
    let mut options = std::fs::OpenOptions::new();
    let reading = options.read(true).custom_flags(libc::O_NONBLOCK).open(&fifo).unwrap();
    let writing = std::fs::OpenOptions::new().write(true).open(&fifo).unwrap();
    assert!(blocks(&writing));
    block_on(async {
        let shared = writing.try_clone().unwrap();
        let sender = pipe::Sender::from_file(writing).unwrap();
        assert!(!blocks(&shared));
        drop(sender);
        assert!(blocks(&shared));
        // What did not block stays so.
        let kept = reading.try_clone().unwrap();
        drop(pipe::Receiver::from_file(reading).unwrap());
        assert!(!blocks(&kept));
        let sender = pipe::Sender::from_file(shared).unwrap();
        sender.write_all(b"abc").await.unwrap();
        assert!(!blocks(sender.into_nonblocking_fd().unwrap()));
        let receiver = pipe::Receiver::from_file(kept).unwrap();
        let mut buf = [0; 3];
        assert_eq!(soon(receiver.read_exact(&mut buf)).await.unwrap(), 3);
        assert!(blocks(receiver.into_blocking_fd().unwrap()));
    });
}

// contract 14
#[test]
fn an_end_given_away_is_registered_nowhere() {
    block_on(async {
        let (sender, receiver) = pipe().unwrap();
        assert!(poll_once(receiver.read(&mut [0])).await.is_pending());
        let receiver: OwnedFd = receiver.into_nonblocking_fd().unwrap();
        sender.write_all(b"x").await.unwrap();
        let receiver = pipe::Receiver::from_owned_fd(receiver).unwrap();
        assert_eq!(soon(receiver.read(&mut [0])).await.unwrap(), 1);
    });
}

#[test]
fn an_operation_is_not_called_where_it_is_known_to_block() {
    block_on_paused(async {
        let (sender, receiver) = pipe().unwrap();
        let called = receiver.try_io(|| -> std::io::Result<()> { panic!("called") });
        assert_eq!(called.unwrap_err().kind(), ErrorKind::WouldBlock);
        assert_eq!(sender.try_io(|| Ok(7)).unwrap(), 7);
        let full = sender.try_io(|| -> std::io::Result<()> { Err(ErrorKind::WouldBlock.into()) });
        assert_eq!(full.unwrap_err().kind(), ErrorKind::WouldBlock);
        let called = sender.try_io(|| -> std::io::Result<()> { panic!("called") });
        assert_eq!(called.unwrap_err().kind(), ErrorKind::WouldBlock);
        // It was not true: the poller says so.
        soon(sender.writable()).await.unwrap();
    });
}

#[test]
fn a_child_writes_into_a_pipe() {
    block_on(async {
        let (sender, receiver) = pipe().unwrap();
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "printf hello"]).stdout(sender.into_blocking_fd().unwrap());
        let mut child = command.spawn().unwrap();
        // Its copy of the descriptor.
        drop(command);
        let mut buf = [0; 5];
        assert_eq!(soon(receiver.read_exact(&mut buf)).await.unwrap(), 5);
        assert_eq!(&buf, b"hello");
        assert_eq!(soon(receiver.read(&mut buf)).await.unwrap(), 0);
        assert!(child.wait().unwrap().success());
    });
}

// contract 56; fault 44
#[cfg(target_os = "linux")]
#[test]
fn a_child_inherits_no_descriptor_of_a_loop() {
    if !net::is_alone("a_child_inherits_no_descriptor_of_a_loop") {
        return;
    }
    // The shell's own folder stream is among them, each time.
    let inherited = || {
        use std::process::Stdio;
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", "echo /proc/$$/fd/*"]).stdin(Stdio::null()).stderr(Stdio::null());
        String::from_utf8(shell.output().unwrap().stdout).unwrap().split('/').count()
    };
    let before = inherited();
    let open = net::descriptors();
    block_on(async {
        let (stream, accepted) = net::pair().await;
        assert!(timeout(Duration::ZERO, accepted.read(&mut [0])).await.is_err());
        let (sender, receiver) = pipe().unwrap();
        let fifo = Fifo::new("inherited");
        let named = pipe::OpenOptions::new().open_receiver(&fifo).unwrap();
        let error = loopline::io::stderr();
        error.write_all(b"").await.unwrap();
        error.write(b"\n").await.unwrap();
        let timer = timeout(Duration::from_millis(1), receiver.read(&mut [0])).await;
        assert!(timer.is_err());
        assert!(net::descriptors() >= open + 6, "{} of {open}", net::descriptors());
        assert_eq!(inherited(), before);
        drop((stream, accepted, sender, receiver, named, error));
    });
}
