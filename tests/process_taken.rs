//! Children that others had first: another loop, the standard library, whoever took their status.
#![cfg(target_os = "linux")] // /proc

#[path = "support/net.rs"]
mod net;
#[path = "support/pidfds.rs"]
mod pidfds;
mod support;
#[path = "support/unix.rs"]
mod unix;

use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;

use loopline::io::{FdSource, Interest};
use loopline::process::{Child, Command};
use loopline::{spawn, yield_now};
use net::{is_alone, poll_once, soon};
use pidfds::without_pidfds;
use support::{TestLoop, block_on, closes_clean, event_loop};

/// A child that lives until its input is closed.
fn cat() -> Child {
    Command::new("cat").stdin(Stdio::piped()).spawn().unwrap()
}

/// Registers a duplicate of a descriptor that had this number.
async fn registers(duplicate: OwnedFd, number: RawFd, interest: Interest) {
    // SAFETY: in a process of its own, where nobody else opens a descriptor meanwhile.
    let again = unsafe {
        assert_eq!(libc::fcntl(number, libc::F_GETFD), -1, "it is closed");
        OwnedFd::from_raw_fd(libc::dup2(duplicate.as_raw_fd(), number))
    };
    let mut source = FdSource::new(again, interest);
    if let std::task::Poll::Ready(event) = poll_once(source.next()).await {
        // A registration that a closed descriptor left behind is still there.
        event.unwrap().unwrap();
    }
}

// contract 12; fault 48
#[test]
fn pipes_of_a_child_of_the_standard_library_may_have_been_duplicated() {
    if !is_alone("pipes_of_a_child_of_the_standard_library_may_have_been_duplicated") {
        return;
    }
    block_on(async {
        let mut sleeper = std::process::Command::new("sleep");
        sleeper.arg("60").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let std = sleeper.spawn().unwrap();
        let (stdin, stdout) = (std.stdin.as_ref().unwrap(), std.stdout.as_ref().unwrap());
        let pipes = [stdin.as_fd(), stdout.as_fd(), std.stderr.as_ref().unwrap().as_fd()];
        let duplicates = pipes.map(|pipe| (pipe.try_clone_to_owned().unwrap(), pipe.as_raw_fd()));
        let mut child = Child::from_std(std).unwrap();
        // Each is waited for, and so registered.
        let (stdin, stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let stderr = child.stderr.take().unwrap();
        while poll_once(stdin.write(&[0; 4096])).await.is_ready() {}
        assert!(poll_once(stdout.read(&mut [0; 8])).await.is_pending());
        assert!(poll_once(stderr.read(&mut [0; 8])).await.is_pending());
        drop((stdin, stdout, stderr));
        let interests = [Interest::WRITABLE, Interest::READABLE, Interest::READABLE];
        for ((duplicate, number), interest) in duplicates.into_iter().zip(interests) {
            registers(duplicate, number, interest).await;
        }
        soon(child.kill()).await.unwrap();
    });
}

/// Takes a child over whose status somebody else has.
async fn take_over_a_lost_one() {
    let std = std::process::Command::new("true").spawn().unwrap();
    let pid = i32::try_from(std.id()).unwrap();
    let mut status = 0;
    // SAFETY: the status is live.
    assert_eq!(unsafe { libc::waitpid(pid, &raw mut status, 0) }, pid);
    let child = Child::from_std(std).unwrap();
    assert_eq!(child.id(), None, "its number may be another's");
    child.start_kill().unwrap();
    let error = soon(child.wait()).await.unwrap_err();
    assert!(error.to_string().contains("just any child"), "{error}");
}

// contract 55; fault 40
#[test]
fn a_child_whose_status_was_taken_before_it_is_taken_over_is_a_clear_error() {
    block_on(take_over_a_lost_one());
}

// contract 55; fault 40, 90
#[test]
fn without_pidfds_a_wait_goes_on_on_another_loop_and_is_nobody_elses() {
    if !is_alone("without_pidfds_a_wait_goes_on_on_another_loop_and_is_nobody_elses") {
        return;
    }
    without_pidfds();
    block_on(take_over_a_lost_one());
    let (mut first, mut other) = (cat(), cat());
    let (first_stdin, other_stdin) = (first.stdin.take(), other.stdin.take());
    let mut wait = Box::pin(first.wait());
    let mut outer: TestLoop<()> = event_loop();
    outer.block_on(async { assert!(poll_once(&mut wait).await.is_pending()) }).unwrap();
    let mut inner: TestLoop<()> = event_loop();
    let ended = inner.block_on(async {
        let waits = spawn(async move { other.wait().await });
        yield_now().await;
        // Neither takes the other's place, whatever each was called in the loop before.
        assert!(poll_once(&mut wait).await.is_pending());
        drop(other_stdin);
        assert!(soon(waits).await.unwrap().unwrap().success());
        drop(first_stdin);
        assert!(soon(&mut wait).await.unwrap().success());
    });
    ended.unwrap();
    drop(wait);
    drop(first);
    closes_clean(inner);
    closes_clean(outer);
}

#[test]
fn a_child_that_dumped_its_core_says_so() {
    let folder = unix::Folder::new("core");
    // Into the folder, where the system writes one at all.
    let script = format!("cd {} && ulimit -c unlimited; kill -SEGV $$", folder.path("").display());
    let std = std::process::Command::new("sh").args(["-c", &script]).status().unwrap();
    let ours = block_on(async { soon(Command::new("sh").args(["-c", &script]).status()).await });
    assert_eq!(ours.unwrap(), std);
    assert_eq!(std.signal(), Some(libc::SIGSEGV));
}
