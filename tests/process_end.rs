//! The end of children: many at once, dropped ones, lost ones, those of others; with and without pidfds.
#![cfg(target_os = "linux")] // /proc

#[path = "support/net.rs"]
mod net;
#[path = "support/pidfds.rs"]
mod pidfds;
mod support;

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;
use std::rc::Rc;
use std::time::Duration;

use loopline::process::{Child, Command};
use loopline::signal::SignalKind;
use loopline::time::{sleep, timeout};
use loopline::{Handle, spawn, yield_now};
use net::{is_alone, poll_once, soon};
use pidfds::without_pidfds;
use support::{
    block_on, closes_clean, ends_with_registrations, ends_with_waiting, event_loop, scaled,
};

fn shell(script: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", script]);
    command
}

/// Not by a shell, which may leave it behind when it is killed.
fn sleeper() -> Command {
    let mut command = Command::new("sleep");
    command.arg("60");
    command
}

/// A child that lives until its input is closed.
fn cat() -> Child {
    Command::new("cat").stdin(Stdio::piped()).spawn().unwrap()
}

/// Whether there is such a process, or its zombie.
fn exists(pid: u32) -> bool {
    std::path::Path::new(&format!("/proc/{pid}")).exists()
}

/// Waits until a child is dead, or no child any more, without reaping it.
fn until_dead(pid: u32) {
    // SAFETY: the siginfo is live, and the child stays as it is.
    unsafe {
        let mut info: libc::siginfo_t = std::mem::zeroed();
        libc::waitid(libc::P_PID, pid, &raw mut info, libc::WEXITED | libc::WNOWAIT);
    }
}

async fn until_gone(pid: u32) {
    soon(async {
        while exists(pid) {
            sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
}

/// Waits until the loop has no orphans.
async fn until_alone() {
    soon(async {
        while Handle::<()>::try_current().unwrap().stats().items > 0 {
            sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
}

/// The children of this process that are left, dead or alive.
fn children() -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    tasks
        .filter_map(|task| std::fs::read_to_string(task.unwrap().path().join("children")).ok())
        .map(|children| children.split_whitespace().count())
        .sum()
}

fn ignore_sigchld() {
    // SAFETY: takes two integers; in a process of its own.
    unsafe { libc::signal(libc::SIGCHLD, libc::SIG_IGN) };
}

// fault 41
#[test]
fn a_child_that_is_dead_before_the_first_wait_is_told() {
    block_on(async {
        let child = shell("exit 4").spawn().unwrap();
        until_dead(child.id().unwrap());
        assert_eq!(child.wait().await.unwrap().code(), Some(4));
    });
}

/// Children that die together; each status is told, and nothing is left.
fn die_at_once(number: usize) {
    block_on(async {
        let (reader, writer) = UnixStream::pair().unwrap();
        let mut waits = Vec::new();
        for n in 0..number {
            let code = n % 200;
            let mut command = shell(&format!("read x; exit {code}"));
            let child = command.stdin(OwnedFd::from(reader.try_clone().unwrap())).spawn().unwrap();
            waits.push(spawn(async move { (child.wait().await.unwrap().code(), code as i32) }));
        }
        drop(reader);
        yield_now().await;
        drop(writer);
        for wait in waits {
            let (told, code) = soon(wait).await.unwrap();
            assert_eq!(told, Some(code));
        }
        assert_eq!(children(), 0);
    });
}

// contract 55
// fault 41
#[test]
fn a_thousand_that_die_at_once_are_all_told_and_no_zombie_is_left() {
    if is_alone("a_thousand_that_die_at_once_are_all_told_and_no_zombie_is_left") {
        die_at_once(scaled(1000));
    }
}

// contract 55
#[test]
fn a_dropped_child_goes_on_and_is_reaped() {
    if !is_alone("a_dropped_child_goes_on_and_is_reaped") {
        return;
    }
    let mut event_loop = event_loop::<()>();
    event_loop.block_on(drop_children()).unwrap();
    closes_clean(event_loop);
}

async fn drop_children() {
    let mut child = cat();
    let (pid, stdin) = (child.id().unwrap(), child.stdin.take().unwrap());
    drop(child);
    sleep(Duration::from_millis(10)).await;
    stdin.write_all(b"it lives").await.unwrap();
    assert!(exists(pid));
    drop(stdin);
    until_gone(pid).await;
    // One that is dead already goes at once.
    let child = shell("true").spawn().unwrap();
    let pid = child.id().unwrap();
    until_dead(pid);
    drop(child);
    assert!(!exists(pid));
    // One that is killed by the drop.
    let child = sleeper().kill_on_drop(true).spawn().unwrap();
    let pid = child.id().unwrap();
    drop(child);
    until_gone(pid).await;
    // A future that is dropped drops its child.
    let mut output = Box::pin(sleeper().kill_on_drop(true).output());
    assert!(poll_once(&mut output).await.is_pending());
    drop(output);
    until_alone().await;
    assert_eq!(children(), 0);
}

// contract 55
#[test]
fn a_child_dropped_where_no_loop_runs_is_reaped_by_the_next_that_has_children() {
    if is_alone("a_child_dropped_where_no_loop_runs_is_reaped_by_the_next_that_has_children") {
        drop_without_a_loop();
    }
}

fn drop_without_a_loop() {
    // Outside of any loop.
    let mut child = cat();
    let (first, first_stdin) = (child.id().unwrap(), child.stdin.take());
    drop(child);
    // And on a loop that ends first.
    let mut event_loop = event_loop::<()>();
    let (second, second_stdin) = event_loop
        .block_on(async {
            let mut child = cat();
            let kept = (child.id().unwrap(), child.stdin.take());
            drop(child);
            yield_now().await;
            kept
        })
        .unwrap();
    // Both: the spawn on the loop took the first over.
    let registrations = event_loop.handle().stats().registrations;
    assert!(registrations > 0);
    ends_with_waiting(event_loop, 2, registrations);
    drop((first_stdin, second_stdin));
    until_dead(first);
    assert!(exists(first) && exists(second), "nobody looks after them");
    block_on(async {
        assert!(soon(shell("true").status()).await.unwrap().success());
        until_alone().await;
        assert!(!exists(first) && !exists(second));
    });
}

// contract 55
#[test]
fn children_of_others_are_not_reaped() {
    if is_alone("children_of_others_are_not_reaped") {
        live_beside_others();
    }
}

fn live_beside_others() {
    let mut foreign = std::process::Command::new("sh").args(["-c", "exit 9"]).spawn().unwrap();
    until_dead(foreign.id());
    block_on(async {
        for _ in 0..20 {
            assert!(soon(shell("true").status()).await.unwrap().success());
        }
        drop(shell("true").spawn().unwrap());
        until_alone().await;
    });
    assert_eq!(foreign.wait().unwrap().code(), Some(9));
}

// contract 55
// fault 40
#[test]
fn with_sigchld_ignored_waiting_is_a_clear_error() {
    if !is_alone("with_sigchld_ignored_waiting_is_a_clear_error") {
        return;
    }
    ignore_sigchld();
    block_on(async {
        // One that waits before its end, one that is gone before, one that is dropped.
        let mut child = cat();
        let stdin = child.stdin.take();
        let child = Rc::new(child);
        let other = child.clone();
        let waits = spawn(async move { other.wait().await });
        yield_now().await;
        drop(stdin);
        let error = soon(waits).await.unwrap().unwrap_err();
        assert!(error.to_string().contains("SIGCHLD is ignored"), "{error}");
        assert!(child.try_wait().is_err());
        assert_eq!(child.id(), None);
        child.start_kill().unwrap();
        let child = shell("true").spawn().unwrap();
        if let Some(pid) = child.id() {
            until_gone(pid).await;
        }
        assert!(soon(child.wait()).await.is_err());
        assert!(soon(shell("echo hello").output()).await.is_err());
        drop(shell("true").spawn().unwrap());
        until_alone().await;
    });
}

// fault 40
#[test]
fn a_foreign_wait_for_just_any_child_is_a_clear_error() {
    if !is_alone("a_foreign_wait_for_just_any_child_is_a_clear_error") {
        return;
    }
    block_on(async {
        let mut child = cat();
        let stdin = child.stdin.take();
        let child = Rc::new(child);
        let other = child.clone();
        // It has begun to wait, so that it is there first.
        let thief = std::thread::spawn(|| {
            let mut status = 0;
            // SAFETY: the status is live.
            unsafe { libc::waitpid(-1, &raw mut status, 0) }
        });
        let waits = spawn(async move { other.wait().await });
        yield_now().await;
        drop(stdin);
        let stolen = thief.join().unwrap();
        assert!(stolen > 0);
        // Either may be first; who comes second hears it.
        if let Err(error) = soon(waits).await.unwrap() {
            assert!(error.to_string().contains("just any child"), "{error}");
        }
    });
}

// fault 43
#[test]
fn a_grandchild_that_keeps_the_pipe_does_not_keep_the_wait() {
    block_on(async {
        let mut command = shell("sleep 60 & echo $!; exit 6");
        let mut child = command.stdout(Stdio::piped()).process_group(0).spawn().unwrap();
        let group = child.id().unwrap() as libc::pid_t;
        assert_eq!(soon(child.wait()).await.unwrap().code(), Some(6));
        // What was written can be read; the end comes with the grandchild's.
        let stdout = child.stdout.take().unwrap();
        let mut text = Vec::new();
        let read = stdout.read_to_end(&mut text);
        assert!(timeout(Duration::from_millis(20), read).await.is_err());
        assert!(text.ends_with(b"\n"), "cancelled, and nothing is lost");
        // SAFETY: takes two integers: the group is the child's.
        assert_eq!(unsafe { libc::kill(-group, libc::SIGKILL) }, 0);
        assert_eq!(soon(stdout.read_to_end(&mut Vec::new())).await.unwrap(), 0);
        // As documented, `wait_with_output` waits for the grandchild too.
        let child = command.spawn().unwrap();
        let group = child.id().unwrap() as libc::pid_t;
        let output = spawn(child.wait_with_output());
        sleep(Duration::from_millis(50)).await;
        assert!(!output.is_finished());
        // SAFETY: as above.
        assert_eq!(unsafe { libc::kill(-group, libc::SIGKILL) }, 0);
        let output = soon(output).await.unwrap().unwrap();
        // The shell may have been alive still.
        let status = (output.status.code(), output.status.signal());
        assert!([(Some(6), None), (None, Some(libc::SIGKILL))].contains(&status), "{status:?}");
    });
}

// contract 55
// fault 40, 41
#[test]
fn without_pidfds_all_is_the_same() {
    if !is_alone("without_pidfds_all_is_the_same") {
        return;
    }
    without_pidfds();
    a_child_that_is_dead_before_the_first_wait_is_told();
    die_at_once(scaled(200));
    let mut event_loop = event_loop::<()>();
    event_loop.block_on(drop_children()).unwrap();
    closes_clean(event_loop);
    live_beside_others();
    drop_without_a_loop();
    a_grandchild_that_keeps_the_pipe_does_not_keep_the_wait();
    block_on(async {
        let child = sleeper().spawn().unwrap();
        soon(child.kill()).await.unwrap();
        // One that looks first, after a death, does not take the news from the one that died.
        let (mut dying, mut other) = (cat(), cat());
        let (pid, stdin) = (dying.id().unwrap(), dying.stdin.take());
        let other_stdin = other.stdin.take();
        assert!(poll_once(other.wait()).await.is_pending());
        let waits = spawn(async move { dying.wait().await });
        yield_now().await;
        drop(stdin);
        until_dead(pid);
        // The handler may run on another thread.
        std::thread::sleep(Duration::from_millis(20));
        assert!(poll_once(other.wait()).await.is_pending());
        assert!(soon(waits).await.unwrap().unwrap().success());
        drop(other_stdin);
        assert!(soon(other.wait()).await.unwrap().success());
        // Waited for on a loop inside the loop that has others to wait for.
        let mut outer = cat();
        let stdin = outer.stdin.take();
        let waits = spawn(async move { outer.wait().await });
        yield_now().await;
        std::thread::spawn(|| {
            block_on(async { assert!(soon(shell("true").status()).await.unwrap().success()) });
        })
        .join()
        .unwrap();
        assert!(!waits.is_finished());
        drop(stdin);
        assert!(soon(waits).await.unwrap().unwrap().success());
    });
    // One child on two loops, one after the other.
    let child = {
        let mut child = cat();
        let stdin = child.stdin.take();
        let mut event_loop = support::event_loop::<()>();
        event_loop.block_on(async { assert!(poll_once(child.wait()).await.is_pending()) }).unwrap();
        ends_with_registrations(event_loop, 1);
        drop(stdin);
        child
    };
    block_on(async move { assert!(soon(child.wait()).await.unwrap().success()) });
    // Who waits has SIGCHLD handled, so only those who come too late lose a status.
    ignore_sigchld();
    block_on(async {
        let child = shell("true").spawn().unwrap();
        until_gone(child.id().unwrap()).await;
        let error = soon(child.wait()).await.unwrap_err();
        assert!(error.to_string().contains("SIGCHLD is ignored"), "{error}");
        assert_eq!(child.id(), None);
        child.start_kill().unwrap();
        assert!(soon(cat().wait()).await.unwrap().success());
    });
}

// fault 42
#[test]
fn a_number_that_another_process_got_is_not_signalled() {
    if std::env::var_os("LOOPLINE_TEST_FEW_PIDS").is_none() {
        println!("needs a namespace with few process numbers: `.ci/deep pids` makes one");
        return;
    }
    let mut spawned = 0;
    block_on(async {
        while spawned < scaled(5000) {
            let child = shell("true").spawn().unwrap();
            let pid = child.id().unwrap();
            if pid <= 300 {
                // Given out once: after the last number come those from 300 on.
                assert!(soon(child.wait()).await.unwrap().success());
                continue;
            }
            // Somebody takes it from us,
            let mut status = 0;
            // SAFETY: the status is live.
            let taken = unsafe { libc::waitpid(pid as libc::pid_t, &raw mut status, 0) };
            assert_eq!(taken, pid as libc::pid_t);
            // and another gets its number.
            let mut stranger = loop {
                spawned += 1;
                let mut sleeper = std::process::Command::new("sleep").arg("60").spawn().unwrap();
                if sleeper.id() == pid {
                    break sleeper;
                }
                sleeper.kill().unwrap();
                sleeper.wait().unwrap();
            };
            child.start_kill().unwrap();
            child.send_signal(SignalKind::terminate()).unwrap();
            assert!(soon(child.wait()).await.is_err());
            drop(child);
            sleep(Duration::from_millis(5)).await;
            assert!(stranger.try_wait().unwrap().is_none(), "a stranger was hit");
            stranger.kill().unwrap();
            stranger.wait().unwrap();
        }
    });
    println!("measured: {spawned} processes");
}

// contract 12; fault 48
#[test]
fn a_million_cancelled_waits_and_many_children_hold_nothing() {
    if !is_alone("a_million_cancelled_waits_and_many_children_hold_nothing") {
        return;
    }
    block_on(async {
        let mut child = cat();
        let stdin = child.stdin.take();
        assert!(poll_once(child.wait()).await.is_pending());
        let before = net::descriptors();
        for n in 0..scaled(1_000_000) {
            assert!(poll_once(child.wait()).await.is_pending());
            if n % 100 == 0 {
                yield_now().await;
            }
        }
        for _ in 0..scaled(300) {
            assert!(soon(shell("true").output()).await.unwrap().status.success());
        }
        assert_eq!(net::descriptors(), before);
        drop(stdin);
        assert!(soon(child.wait()).await.unwrap().success());
        assert_eq!(children(), 0);
    });
}
