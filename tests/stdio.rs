//! Standard input, output and error: they wait for nobody else, leave the flags of others alone, and do
//! not hold up the end. Each test is alone in its process, where it puts other descriptors in their place.
#![cfg(unix)] // descriptors

#[path = "support/net.rs"]
mod net;
mod support;

use std::fs::File;
use std::io::{ErrorKind, Read, Seek, Write};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Wake, Waker};
use std::time::{Duration, Instant};

use futures::io::{AsyncReadExt, AsyncWriteExt};
use loopline::io::{stderr, stdin, stdout};
use loopline::spawn;
use loopline::time::{sleep, timeout};
use net::{is_alone, poll_once, soon};
use support::block_on;

/// Stands in for a standard descriptor, until dropped.
struct InPlace {
    number: RawFd,
    saved: OwnedFd,
}

impl InPlace {
    fn of(number: RawFd, other: impl AsFd) -> Self {
        // SAFETY: duplicates a descriptor that is open, and makes its number another's: nobody else in
        // this process uses it meanwhile.
        unsafe {
            let saved = libc::fcntl(number, libc::F_DUPFD_CLOEXEC, 10);
            assert!(saved >= 0);
            assert_eq!(libc::dup2(other.as_fd().as_raw_fd(), number), number);
            Self { number, saved: OwnedFd::from_raw_fd(saved) }
        }
    }
}

impl Drop for InPlace {
    fn drop(&mut self) {
        // SAFETY: as above; gives the number back to what had it.
        unsafe { libc::dup2(self.saved.as_raw_fd(), self.number) };
    }
}

/// Notes that it was woken.
#[derive(Default)]
struct Told(AtomicBool);

impl Wake for Told {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// A pipe whose ends block: reading, writing.
fn pipe() -> (File, File) {
    let mut ends = [0; 2];
    // SAFETY: writes two new descriptors, which are nobody else's.
    unsafe {
        assert_eq!(libc::pipe(ends.as_mut_ptr()), 0);
        (File::from_raw_fd(ends[0]), File::from_raw_fd(ends[1]))
    }
}

/// A terminal: the side of its user, the side of its programs.
fn terminal() -> (File, File) {
    let (mut user, mut program) = (0, 0);
    let null = std::ptr::null_mut();
    // SAFETY: writes two new descriptors, which are nobody else's; the null pointers ask for nothing.
    unsafe {
        let made = libc::openpty(&raw mut user, &raw mut program, null, null.cast(), null.cast());
        assert_eq!(made, 0);
        (File::from_raw_fd(user), File::from_raw_fd(program))
    }
}

fn blocks(fd: impl AsFd) -> bool {
    // SAFETY: reads the flags of a live descriptor.
    let flags = unsafe { libc::fcntl(fd.as_fd().as_raw_fd(), libc::F_GETFL) };
    assert!(flags >= 0);
    flags & libc::O_NONBLOCK == 0
}

// contract 10
#[test]
fn lines_of_a_pipe_are_read_and_its_flags_left_alone() {
    if !is_alone("lines_of_a_pipe_are_read_and_its_flags_left_alone") {
        return;
    }
    let (reading, mut writing) = pipe();
    let _input = InPlace::of(0, &reading);
    block_on(async {
        let input = stdin();
        let mut line = String::new();
        // Nothing there: others go on, nothing is lost with the wait.
        assert!(timeout(Duration::from_millis(5), input.read_line(&mut line)).await.is_err());
        assert!(blocks(&reading));
        writing.write_all(b"one\ntw").unwrap();
        assert_eq!(soon(input.read_line(&mut line)).await.unwrap(), 4);
        assert_eq!(line, "one\n");
        // Half a line stays for the next read.
        assert!(timeout(Duration::from_millis(5), input.read_line(&mut line)).await.is_err());
        writing.write_all(b"o\nthree").unwrap();
        drop(writing);
        line.clear();
        assert_eq!(soon(input.read_line(&mut line)).await.unwrap(), 4);
        assert_eq!(line, "two\n");
        let mut rest = String::new();
        soon((&input).read_to_string(&mut rest)).await.unwrap();
        assert_eq!(rest, "three");
        assert_eq!(soon(input.read_line(&mut line)).await.unwrap(), 0);
        assert!(blocks(&reading));
    });
}

// contract 10
#[test]
fn a_terminal_that_others_share_blocks_them_as_before() {
    if !is_alone("a_terminal_that_others_share_blocks_them_as_before") {
        return;
    }
    let (mut user, program) = terminal();
    let (_input, _output) = (InPlace::of(0, &program), InPlace::of(1, &program));
    block_on(async {
        let (input, output) = (stdin(), stdout());
        let mut line = String::new();
        let mut read = Box::pin(input.read_line(&mut line));
        assert!(poll_once(&mut read).await.is_pending());
        user.write_all(b"hello\n").unwrap();
        assert_eq!(soon(read).await.unwrap(), 6);
        assert_eq!(line, "hello\n");
        assert!(blocks(&program), "while it is used");
        soon(output.write_all(b"answer\n")).await.unwrap();
        let mut seen = [0; 64];
        let mut text = String::new();
        // What it echoed comes first.
        while !text.contains("answer") {
            let n = user.read(&mut seen).unwrap();
            text.push_str(std::str::from_utf8(&seen[..n]).unwrap());
        }
        let _waits = timeout(Duration::from_millis(1), input.read(&mut seen)).await;
    });
    assert!(blocks(&program), "afterwards");
}

#[test]
fn sockets_and_files_stand_behind_them_too() {
    if !is_alone("sockets_and_files_stand_behind_them_too") {
        return;
    }
    let (near, mut far) = UnixStream::pair().unwrap();
    {
        // As inetd starts a server.
        let _places = (InPlace::of(0, &near), InPlace::of(1, &near));
        block_on(async {
            let (input, mut output) = (stdin(), stdout());
            let mut buf = [0; 8];
            assert!(poll_once(input.read(&mut buf)).await.is_pending());
            far.write_all(b"ping").unwrap();
            assert_eq!(soon(input.read(&mut buf)).await.unwrap(), 4);
            soon(AsyncWriteExt::write_all(&mut output, b"pong")).await.unwrap();
            soon(AsyncWriteExt::flush(&mut output)).await.unwrap();
            far.read_exact(&mut buf[..4]).unwrap();
            assert_eq!(&buf[..4], b"pong");
            assert!(blocks(&near));
        });
    }
    let path = std::env::temp_dir().join(format!("loopline-stdio-{}", std::process::id()));
    let mut options = File::options();
    let mut file = options.read(true).write(true).create_new(true).open(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    {
        let _output = InPlace::of(1, &file);
        block_on(async { stdout().write_all(b"a\nb\n").await.unwrap() });
    }
    file.rewind().unwrap();
    let _input = InPlace::of(0, &file);
    block_on(async {
        let input = stdin();
        let mut all = String::new();
        while input.read_line(&mut all).await.unwrap() > 0 {}
        assert_eq!(all, "a\nb\n");
    });
    let null = File::options().read(true).write(true).open("/dev/null").unwrap();
    let _places = (InPlace::of(0, &null), InPlace::of(2, &null));
    block_on(async {
        assert_eq!(soon(stdin().read(&mut [0])).await.unwrap(), 0);
        soon(stderr().write_all(b"nothing")).await.unwrap();
    });
}

#[test]
fn the_users_side_of_a_terminal_is_that_terminal() {
    if !is_alone("the_users_side_of_a_terminal_is_that_terminal") {
        return;
    }
    let (user, mut programs) = terminal();
    let _places = (InPlace::of(0, &user), InPlace::of(1, &user));
    block_on(async {
        programs.write_all(b"prompt").unwrap();
        let mut buf = [0; 16];
        let n = soon(stdin().read(&mut buf)).await.unwrap();
        assert_eq!(&buf[..n], b"prompt");
        soon(stdout().write_all(b"typed\n")).await.unwrap();
        let n = programs.read(&mut buf).unwrap();
        assert_eq!(&buf[..n], b"typed\n");
    });
}

#[test]
fn what_came_for_a_handle_that_is_gone_is_read_by_the_next() {
    if !is_alone("what_came_for_a_handle_that_is_gone_is_read_by_the_next") {
        return;
    }
    let (reading, mut writing) = pipe();
    let _place = InPlace::of(0, &reading);
    block_on(async {
        let (told, mut buf) = (Arc::new(Told::default()), [0; 8]);
        let input = stdin();
        let mut read = Box::pin(input.read(&mut buf));
        let waker = Waker::from(told.clone());
        assert!(read.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        writing.write_all(b"late").unwrap();
        // It is there: where a thread reads, it has taken it from the pipe.
        soon(async {
            while !told.0.load(Ordering::SeqCst) {
                sleep(Duration::from_millis(1)).await;
            }
        })
        .await;
        drop(read);
        drop(input);
        let n = soon(stdin().read(&mut buf)).await.unwrap();
        assert_eq!(&buf[..n], b"late");
    });
}

// contract 51
#[test]
fn a_read_that_nobody_answers_does_not_hold_up_the_end() {
    let me = "a_read_that_nobody_answers_does_not_hold_up_the_end";
    if std::env::var("LOOPLINE_TEST_CHILD").is_ok_and(|name| name == me) {
        block_on(async {
            let read = spawn(async { stdin().read(&mut [0]).await.map(drop) });
            sleep(Duration::from_millis(20)).await;
            assert!(!read.is_finished());
            read.cancel();
        });
        // Returns from main, whose harness prints, like any program.
        return;
    }
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args([me, "--exact"]).env("LOOPLINE_TEST_CHILD", me);
    let mut child = child.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    // Open until the child has ended.
    let input = child.stdin.take();
    let began = Instant::now();
    let ended = loop {
        match child.try_wait().unwrap() {
            Some(status) => break status,
            None if began.elapsed() > Duration::from_secs(30) => {
                child.kill().unwrap();
                panic!("the child waits for its input");
            }
            None => std::thread::sleep(Duration::from_millis(5)),
        }
    };
    assert!(ended.success(), "{ended}");
    drop(input);
}

// fault 13
#[test]
fn nobody_reads_the_output_and_only_the_writer_waits() {
    if !is_alone("nobody_reads_the_output_and_only_the_writer_waits") {
        return;
    }
    let (mut reading, writing) = pipe();
    let output = InPlace::of(1, &writing);
    block_on(async {
        const LEN: usize = 400_000;
        let writer = spawn(async { stdout().write_all(&[b'x'; LEN]).await });
        for _ in 0..10 {
            sleep(Duration::from_millis(1)).await;
        }
        assert!(!writer.is_finished());
        assert!(blocks(&writing));
        // When it is read after all, all of it comes.
        let reader = std::thread::spawn(move || {
            let mut all = vec![0; LEN];
            reading.read_exact(&mut all).map(|()| reading)
        });
        soon(writer).await.unwrap().unwrap();
        drop(reader.join().unwrap().unwrap());
    });
    drop(output);
}

// fault 12
#[test]
fn an_output_that_is_a_closed_pipe_is_an_error() {
    if !is_alone("an_output_that_is_a_closed_pipe_is_an_error") {
        return;
    }
    let (reading, writing) = pipe();
    let output = InPlace::of(1, &writing);
    // Closed while it is written to.
    let closed_late = block_on(async {
        let writer = spawn(async { stdout().write_all(&[b'x'; 400_000]).await });
        sleep(Duration::from_millis(5)).await;
        drop(reading);
        soon(writer).await.unwrap().unwrap_err()
    });
    // Closed before.
    let closed = block_on(async { soon(stdout().write(b"x")).await.unwrap_err() });
    drop(output);
    assert_eq!(closed_late.kind(), ErrorKind::BrokenPipe);
    assert_eq!(closed.kind(), ErrorKind::BrokenPipe);
}

// fault 11
#[test]
fn started_with_all_three_closed_no_descriptor_of_ours_takes_their_place() {
    let me = "started_with_all_three_closed_no_descriptor_of_ours_takes_their_place";
    if let Ok(report) = std::env::var("LOOPLINE_TEST_REPORT") {
        let report = File::options().write(true).open(report).unwrap();
        let mut seen = String::new();
        block_on(async {
            let (stream, _peer) = net::pair().await;
            for number in 0..3 {
                let behind = std::fs::read_link(format!("/proc/self/fd/{number}")).unwrap();
                seen += &format!("{} ", behind.display());
            }
            let n = soon(stdin().read(&mut [0])).await.unwrap();
            let written = soon(stdout().write(b"x")).await.unwrap();
            seen += &format!("{n} {written}");
            drop(stream);
        });
        (&report).write_all(seen.as_bytes()).unwrap();
        std::process::exit(0);
    }
    let path = std::env::temp_dir().join(format!("loopline-closed-{}", std::process::id()));
    File::create(&path).unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args([me, "--exact"]).env("LOOPLINE_TEST_REPORT", &path);
    // SAFETY: closes three descriptors between fork and exec, and nothing else.
    unsafe {
        child.pre_exec(|| {
            for number in 0..3 {
                libc::close(number);
            }
            Ok(())
        })
    };
    assert!(child.status().unwrap().success());
    let seen = std::fs::read_to_string(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    assert_eq!(seen, "/dev/null /dev/null /dev/null 0 1");
}

// fault 11
#[cfg(target_os = "linux")]
#[test]
fn a_poller_that_was_given_the_number_of_the_input_is_not_read_from() {
    if !is_alone("a_poller_that_was_given_the_number_of_the_input_is_not_read_from") {
        return;
    }
    // As in a host in C, which opens nothing in their place; a loop of ours takes no such number.
    // SAFETY: nobody in this process reads from it; takes integers.
    let poller = unsafe {
        libc::close(0);
        libc::epoll_create1(libc::EPOLL_CLOEXEC)
    };
    assert_eq!(poller, 0);
    block_on(async {
        let behind = std::fs::read_link("/proc/self/fd/0").unwrap();
        assert!(behind.display().to_string().contains("eventpoll"), "{}", behind.display());
        let error = soon(stdin().read(&mut [0])).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains("started with it closed"), "{error}");
    });
}
