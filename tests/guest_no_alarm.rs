//! A guest where no descriptor is left for its alarm. A file of its own: it takes all that the process may have.
#![cfg(all(target_os = "linux", not(loopline_portable_park)))] // where a deadline needs one

mod support;

use std::fs::File;
use std::io::ErrorKind;
use std::time::Duration;

use loopline::time::sleep;
use support::guests::poll_readable;
use support::{TestLoop, closes_clean, event_loop};

/// Takes all descriptors that this process may still have.
fn take_all() -> Vec<File> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: reads and writes a struct of ours.
    unsafe {
        assert_eq!(libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit), 0);
        limit.rlim_cur = limit.rlim_cur.min(256);
        assert_eq!(libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit), 0);
    }
    std::iter::from_fn(|| File::open("/dev/null").ok()).collect()
}

// contract 24, 57; fault 14
#[test]
fn a_guest_that_gets_no_alarm_says_so_and_its_timers_fire_all_the_same() {
    let event_loop = event_loop::<u32>();
    let handle = event_loop.handle();
    let taken = take_all();
    let guest = event_loop.lend();
    drop(handle.spawn(async move {
        sleep(Duration::from_millis(2)).await;
        handle.with(|fired| *fired += 1);
    }));
    // A turn that fails does not use it up.
    handle.stop();
    let (mut fired, mut errors, mut stopped) = (0, 0, false);
    while fired == 0 || !stopped {
        assert!(poll_readable(&guest, 10_000), "the host would sleep for ever");
        match guest.turn(&mut fired) {
            Ok(turn) => stopped |= turn.stopped,
            Err(error) => {
                assert_ne!(error.kind(), ErrorKind::ResourceBusy, "{error}");
                errors += 1;
            }
        }
    }
    assert!(errors != 0);
    drop(taken);
    drop(handle.spawn(async { sleep(Duration::from_millis(1)).await }));
    while !guest.is_finished() {
        assert!(poll_readable(&guest, 10_000));
        guest.turn(&mut fired).unwrap();
    }
    // The loop gives up what it had as a guest: the alarm, and an error that no turn has told.
    let open = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    let alarmed = open();
    let mut event_loop = TestLoop::take_back(guest);
    assert_eq!(open(), alarmed - 1);
    let late = handle.spawn(async { sleep(Duration::from_secs(3600)).await });
    event_loop.turn(&mut fired, Duration::ZERO).unwrap();
    let taken = take_all();
    let event_loop = TestLoop::take_back(event_loop.lend());
    drop((taken, late.cancel()));
    let guest = event_loop.lend();
    guest.turn(&mut fired).unwrap();
    closes_clean(TestLoop::take_back(guest));
}
