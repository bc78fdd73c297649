//! Signals and the process: storms of them, its end by them, what its children inherit.
#![cfg(unix)] // signals
#![cfg_attr(not(target_os = "linux"), allow(unused))] // some look at /proc

#[path = "support/net.rs"]
mod net;
mod support;

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use loopline::signal::{SignalKind, signal, signals};
use loopline::spawn;
use loopline::time::{sleep, timeout};
use net::{is_alone, poll_once, soon};
use support::{block_on, closes_clean, event_loop, scaled};

const USR1: SignalKind = SignalKind::user_defined1();
const USR2: SignalKind = SignalKind::user_defined2();

/// Signals are the process's: one test at a time.
fn alone() -> MutexGuard<'static, ()> {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    ONE_AT_A_TIME.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

fn raise(kind: SignalKind) {
    // SAFETY: takes an integer; the handler that was installed runs before this returns.
    assert_eq!(unsafe { libc::raise(kind.as_raw_value()) }, 0);
}

// fault 34
#[test]
fn a_storm_of_signals_is_coalesced_and_leaves_the_loop_idle() {
    let _alone = alone();
    let mut event_loop = event_loop::<()>();
    let each = scaled(12_500);
    let handle = event_loop.handle();
    let (told, ticks) = event_loop
        .block_on(async move {
            let mut usr1 = signal(USR1).unwrap();
            let senders: Vec<_> = (0..8)
                .map(|_| std::thread::spawn(move || (0..each).for_each(|_| raise_anywhere(USR1))))
                .collect();
            // A deadline is met in the storm's midst.
            let ticks = spawn(async {
                let mut ticks = 0;
                loop {
                    sleep(Duration::from_millis(1)).await;
                    ticks += 1;
                    if ticks == 10 {
                        return ticks;
                    }
                }
            });
            let mut told = 0;
            while !senders.iter().all(|sender| sender.is_finished()) {
                // A sender that ends tells nobody: look from time to time.
                if timeout(Duration::from_millis(5), usr1.recv()).await.is_ok() {
                    told += 1;
                }
            }
            senders.into_iter().for_each(|sender| sender.join().unwrap());
            let ticks = soon(ticks).await.unwrap();
            // What is on its way is told, and then nothing is left over.
            let mut rest = 0;
            while timeout(Duration::from_millis(20), usr1.recv()).await.is_ok() {
                rest += 1;
                assert!(rest < 10, "signals that nobody sends");
            }
            let before = handle.stats().turns;
            sleep(Duration::from_millis(50)).await;
            let turns = handle.stats().turns - before;
            assert!(turns <= 4, "{turns} turns while idle");
            (told + rest, ticks)
        })
        .unwrap();
    println!("{} signals, {told} events, {ticks} ticks", each * 8);
    assert!((1..=each * 8).contains(&told));
    closes_clean(event_loop);
}

/// Sends a signal to the process, not to this thread.
fn raise_anywhere(kind: SignalKind) {
    // SAFETY: takes two integers.
    let sent = unsafe { libc::kill(std::process::id() as libc::pid_t, kind.as_raw_value()) };
    assert_eq!(sent, 0);
}

// contract 53
// fault 45
#[test]
fn the_first_signal_ends_gracefully_the_second_at_once_and_the_third_is_the_systems() {
    const MARK: &str = "LOOPLINE_TEST_SERVER";
    if std::env::var_os(MARK).is_some() {
        return serve();
    }
    use std::os::unix::process::ExitStatusExt;
    let me = "the_first_signal_ends_gracefully_the_second_at_once_and_the_third_is_the_systems";
    // How many signals it gets, and what the process then says and how it ends.
    for (sent, says, code, killed_by) in [
        (&[libc::SIGTERM][..], "ended", Some(0), None),
        (&[libc::SIGTERM, libc::SIGINT], "forced", Some(3), None),
        (&[libc::SIGTERM, libc::SIGINT, libc::SIGINT], "forced", None, Some(libc::SIGINT)),
    ] {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", me, "--nocapture"])
            .env(MARK, sent.len().to_string())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut wait_for = |word: &str| loop {
            let line = lines.next().unwrap_or_else(|| panic!("no `{word}`")).unwrap();
            if line.contains(word) {
                return;
            }
        };
        wait_for("ready");
        for (n, signal) in sent.iter().enumerate() {
            // SAFETY: takes two integers; the child is not reaped before.
            assert_eq!(unsafe { libc::kill(child.id() as libc::pid_t, *signal) }, 0);
            match n {
                0 => wait_for("draining"),
                1 => wait_for(says),
                _ => {}
            }
        }
        let status = child.wait().unwrap();
        assert_eq!((status.code(), status.signal()), (code, killed_by), "after {sent:?}");
    }
}

/// A server that takes long to end, as the test above tells it.
fn serve() {
    // A shell has it ignored for what it runs in the background, and that is inherited.
    // SAFETY: sets the system's own action, before anybody else looks.
    unsafe { libc::signal(libc::SIGINT, libc::SIG_DFL) };
    let wanted: usize = std::env::var("LOOPLINE_TEST_SERVER").unwrap().parse().unwrap();
    block_on(async {
        let mut end = signals([SignalKind::terminate(), SignalKind::interrupt()]).unwrap();
        println!("\nready");
        end.recv().await.unwrap();
        println!("draining");
        if wanted == 1 {
            println!("ended");
            return;
        }
        end.recv().await.unwrap();
        // Before it says so: a third that comes at once is the system's.
        end.give_back();
        println!("forced");
        if wanted == 2 {
            std::process::exit(3);
        }
        sleep(Duration::from_secs(30)).await;
    });
}

// fault 44
#[test]
#[cfg(target_os = "linux")]
fn children_and_threads_inherit_no_blocked_and_no_ignored_signal() {
    let _alone = alone();
    let _all = signals([USR1, USR2, SignalKind::child(), SignalKind::terminate()]).unwrap();
    let set = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name)).unwrap();
        u64::from_str_radix(line.split_whitespace().nth(1).unwrap(), 16).unwrap()
    };
    let read = || std::fs::read_to_string("/proc/thread-self/status").unwrap();
    assert_eq!(set(&std::thread::spawn(read).join().unwrap(), "SigBlk"), 0);
    let child = Command::new("cat").arg("/proc/self/status").output().unwrap();
    let text = String::from_utf8(child.stdout).unwrap();
    assert_eq!((set(&text, "SigBlk"), set(&text, "SigCgt")), (0, 0));
    // What this process was started with, and not SIGPIPE, which Rust's main ignores. Two are glibc's:
    // its posix_spawn ignores them.
    let kept = !(1 << (libc::SIGPIPE - 1) | 1 << 31 | 1 << 32);
    assert_eq!(set(&text, "SigIgn") & !(1 << 31 | 1 << 32), set(&read(), "SigIgn") & kept);
}

// contract 56
#[test]
#[cfg(target_os = "linux")]
fn a_forked_child_has_pairs_of_its_own() {
    use std::io::{Read, Write};
    if !is_alone("a_forked_child_has_pairs_of_its_own") {
        return;
    }
    // One is free, for both.
    drop(signal(USR1).unwrap());
    let mut parents = signals([USR1]).unwrap();
    let (mut near, mut far) = std::os::unix::net::UnixStream::pair().unwrap();
    // SAFETY: the child runs on this one thread; it allocates, which glibc allows after a fork.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let told = std::panic::catch_unwind(|| {
            block_on(async {
                let mut usr1 = signal(USR1).unwrap();
                assert!(poll_once(usr1.recv()).await.is_pending());
                // What was made before is the parent's, and its end here is no end of ours.
                assert!(parents.add_signals([SignalKind::user_defined2()]).is_err());
                parents.remove_signals([USR1]);
                drop(parents);
                raise(USR1);
                // The parent makes one now.
                (&far).write_all(b"r").unwrap();
                (&far).read_exact(&mut [0]).unwrap();
                soon(usr1.recv()).await.unwrap();
            });
        });
        // SAFETY: ends the child at once, without the parent's exit handlers.
        unsafe { libc::_exit(told.is_err().into()) };
    }
    near.read_exact(&mut [0]).unwrap();
    block_on(async {
        let mut usr1 = signal(USR1).unwrap();
        near.write_all(b"g").unwrap();
        let mut status = 0;
        // SAFETY: waits for the child just made; the status is a live integer.
        assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
        assert!(libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0, "status {status}");
        assert!(poll_once(usr1.recv()).await.is_pending());
        raise(USR1);
        soon(usr1.recv()).await.unwrap();
    });
    far.flush().unwrap();
}

// contract 12; fault 48
#[test]
#[cfg(target_os = "linux")]
fn a_million_cancelled_waits_hold_nothing() {
    if !is_alone("a_million_cancelled_waits_hold_nothing") {
        return;
    }
    block_on(async {
        let mut usr1 = signal(USR1).unwrap();
        let before = net::descriptors();
        for _ in 0..scaled(1_000_000) {
            assert!(poll_once(usr1.recv()).await.is_pending());
        }
        for _ in 0..scaled(10_000) {
            let mut other = signals([USR1, USR2]).unwrap();
            assert!(poll_once(other.recv()).await.is_pending());
        }
        // One pair more.
        assert!(net::descriptors() <= before + 2 + 2, "{before}, {}", net::descriptors());
        raise(USR1);
        soon(usr1.recv()).await.unwrap();
    });
}

// contract 54
#[test]
fn a_full_socket_of_the_handler_has_told_the_loop() {
    let _alone = alone();
    block_on(async {
        let mut usr1 = signal(USR1).unwrap();
        for _ in 0..3 {
            // More bytes than a socket pair takes, while the loop does not look.
            (0..5000).for_each(|_| raise(USR1));
            assert!(soon(usr1.recv()).await.is_some());
            assert!(poll_once(usr1.recv()).await.is_pending(), "coalesced");
            // And the next is news again.
            raise(USR1);
            assert!(soon(usr1.recv()).await.is_some());
        }
    });
}
