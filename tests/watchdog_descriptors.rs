//! A thread that shares the loop's descriptors makes each use of one dearer: a watchdog that only prints has a
//! table of its own, one that calls a report shares.

#![cfg(target_os = "linux")]

mod support;

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use loopline::Watchdog;
use support::{built, closes_clean};

const LIMIT: Duration = Duration::from_millis(20);

/// Set for the process that the test below starts.
const CHILD: &str = "LOOPLINE_WATCHDOG_CHILD";

/// Returns the numbers in the table of descriptors of the watchdog's thread, once the thread is there.
fn descriptors_of_the_watchdog() -> Option<Vec<String>> {
    // Its name, as long as the kernel keeps it.
    let is_it = |task: &std::path::PathBuf| {
        std::fs::read_to_string(task.join("comm")).is_ok_and(|name| name == "loopline-watchd\n")
    };
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let thread = tasks.map(|task| task.unwrap().path()).find(is_it)?;
    let names = std::fs::read_dir(thread.join("fd")).unwrap();
    Some(names.map(|name| name.unwrap().file_name().into_string().unwrap()).collect())
}

/// Whether the kernel has the call that it takes, of Linux 5.9, and nothing forbids it.
fn can_leave_descriptors() -> bool {
    // SAFETY: takes three integers; of no descriptor at all.
    unsafe { libc::syscall(libc::SYS_close_range, u32::MAX, u32::MAX, 0) == 0 }
}

/// Is blocked until the watchdog's report was read by the parent process.
fn child() {
    let mut event_loop = built::<()>(|builder| builder.label("shop").watchdog(LIMIT));
    let item = event_loop.handle().item().label("till").spawn(async {
        if can_leave_descriptors() {
            let began = Instant::now();
            while descriptors_of_the_watchdog().is_none_or(|all| all != ["2"]) {
                assert!(
                    began.elapsed() < Duration::from_secs(20),
                    "{:?}",
                    descriptors_of_the_watchdog()
                );
                std::thread::yield_now();
            }
        }
        assert_eq!(std::io::stdin().read(&mut [0]).unwrap(), 1);
    });
    event_loop.block_on(item).unwrap().unwrap();
    closes_clean(event_loop);
}

#[test]
fn a_watchdog_that_prints_shares_no_descriptor_with_the_loop() {
    if std::env::var_os(CHILD).is_some() {
        return child();
    }
    let name = "a_watchdog_that_prints_shares_no_descriptor_with_the_loop";
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--test-threads", "1", "--nocapture"])
        .env(CHILD, "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut printed, mut errors) = (Vec::new(), child.stderr.take().unwrap());
    while !String::from_utf8_lossy(&printed).contains("and still does") {
        let mut some = [0; 512];
        let read = errors.read(&mut some).unwrap();
        assert_ne!(read, 0, "it ended: {}", String::from_utf8_lossy(&printed));
        printed.extend_from_slice(&some[..read]);
    }
    child.stdin.take().unwrap().write_all(b"!").unwrap();
    assert!(child.wait().unwrap().success());
    let printed = String::from_utf8(printed).unwrap();
    assert!(printed.starts_with("shop: item "), "{printed}");
    assert!(printed.contains(" `till` made at "), "{printed}");
}

#[test]
fn a_report_can_use_the_descriptors_of_the_program() {
    let (mut told, tells) = UnixStream::pair().unwrap();
    told.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let watchdog = Watchdog::after(LIMIT).report(move |blocked| {
        (&tells).write_all(blocked.label.as_deref().unwrap_or("nobody").as_bytes()).unwrap();
    });
    let mut event_loop = built::<()>(|builder| builder.watchdog(watchdog));
    let item = event_loop.handle().item().label("till").spawn(async move {
        let mut name = [0; 4];
        told.read_exact(&mut name).unwrap();
        assert_eq!(&name, b"till");
    });
    event_loop.block_on(item).unwrap().unwrap();
    closes_clean(event_loop);
}
