//! The watchdog's thread: it sleeps while the loop does, and ends with it, whatever it is doing.
#![cfg(target_os = "linux")] // what /proc says of threads

mod support;

use std::fs;
use std::sync::mpsc::channel;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use loopline::Watchdog;
use loopline::sync::remote::oneshot;
use support::{TestLoop, built, closes_clean, scaled};

/// The tests look at all threads of the process: one at a time.
static ALONE: Mutex<()> = Mutex::new(());

/// The threads of watchdogs, as folders of /proc.
fn watchdogs() -> Vec<std::path::PathBuf> {
    let tasks = fs::read_dir("/proc/self/task").unwrap().map(|entry| entry.unwrap().path());
    // The kernel keeps 15 letters; a thread that has just ended has no name.
    let is_one = |comm: String| "loopline-watchdog".starts_with(comm.trim()) && comm.len() > 9;
    tasks.filter(|task| fs::read_to_string(task.join("comm")).is_ok_and(is_one)).collect()
}

/// Waits for something another thread is about to do.
fn wait_until(mut holds: impl FnMut() -> bool) {
    for _ in 0..60_000 {
        if holds() {
            return;
        }
        thread::sleep(Duration::from_millis(1));
    }
    panic!("not after a minute");
}

/// Whether a thread waits in a futex without a timeout. `None`: the kernel does not say.
fn sleeps_for_good(task: &std::path::Path) -> Option<bool> {
    let call = fs::read_to_string(task.join("syscall")).ok()?;
    let mut words = call.split_whitespace();
    let is_futex = words.next()? == libc::SYS_futex.to_string();
    Some(is_futex && words.nth(3) == Some("0x0"))
}

#[test]
fn it_sleeps_while_the_loop_does_and_is_awake_after() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let (reports, witness) = channel();
    let watchdog = Watchdog::after(Duration::from_millis(20))
        .report(move |blocked| reports.send(blocked.times).unwrap_or(()));
    let mut event_loop: TestLoop<()> = built(|builder| builder.watchdog(watchdog));
    let (seen, asleep) = oneshot::channel();
    let looker = thread::spawn(move || {
        // It gives itself its name.
        wait_until(|| watchdogs().len() == 1);
        let thread = &watchdogs()[0];
        wait_until(|| sleeps_for_good(thread) != Some(false));
        seen.send(()).unwrap();
    });
    event_loop
        .block_on(async {
            asleep.await.unwrap();
            assert_eq!(witness.recv_timeout(Duration::from_secs(60)), Ok(1));
        })
        .unwrap();
    looker.join().unwrap();
    closes_clean(event_loop);
}

#[test]
fn it_ends_with_its_loop_whatever_that_was_doing() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    for n in 0..scaled(200) {
        let mut event_loop: TestLoop<()> =
            built(|builder| builder.watchdog(Duration::from_millis(1)));
        if n % 2 == 0 {
            event_loop.block_on(loopline::yield_now()).unwrap();
        }
        closes_clean(event_loop);
    }
    wait_until(|| watchdogs().is_empty());
}

#[test]
fn a_report_that_never_returns_holds_up_neither_the_loop_nor_its_end() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let (reports, witness) = channel();
    let (release, released) = channel::<()>();
    let released = Mutex::new(released);
    let watchdog = Watchdog::after(Duration::from_millis(5)).report(move |_| {
        let _ = reports.send(());
        let _ = released.lock().unwrap().recv();
    });
    let mut event_loop: TestLoop<()> = built(|builder| builder.watchdog(watchdog));
    event_loop.block_on(async { witness.recv_timeout(Duration::from_secs(60)).unwrap() }).unwrap();
    closes_clean(event_loop);
    drop(release);
    wait_until(|| watchdogs().is_empty());
}
