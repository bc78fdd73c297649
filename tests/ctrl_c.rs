//! Ctrl-C: who waits is told, once, on whatever loop; the handler that was there is kept.
#![cfg(unix)] // descriptors and their options

#[path = "support/net.rs"]
mod net;
mod support;

use std::sync::Mutex;
use std::time::Duration;

use futures::future::join_all;
use loopline::signal::ctrl_c;
use loopline::spawn;
use loopline::time::{sleep, timeout};
use net::{is_alone, poll_once, soon};
use support::block_on;

/// Signals are the process's: one test at a time.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

fn raise() {
    // SAFETY: takes an integer; the handler that `ctrl_c` installed may run at any point.
    assert_eq!(unsafe { libc::raise(libc::SIGINT) }, 0);
}

/// Runs a test with no other signals about.
fn alone<F: Future>(future: F) -> F::Output {
    let _lock = ONE_AT_A_TIME.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    block_on(future)
}

// contract 53
#[test]
fn all_who_wait_are_told() {
    alone(async {
        let waiting: Vec<_> = (0..5).map(|_| spawn(ctrl_c())).collect();
        sleep(Duration::ZERO).await;
        raise();
        for told in soon(join_all(waiting)).await {
            told.unwrap().unwrap();
        }
    });
}

// contract 53
#[test]
fn a_ctrl_c_before_the_future_is_polled_is_remembered() {
    alone(async {
        let pressed = ctrl_c();
        raise();
        raise();
        soon(pressed).await.unwrap();
        // Two came close together and count as one, and the next future waits for the next.
        let next = ctrl_c();
        assert!(timeout(Duration::from_millis(10), next).await.is_err());
    });
}

#[test]
fn a_future_waits_for_those_after_its_creation_only() {
    alone(async {
        // Held: without any, a Ctrl-C would end the process.
        let _held = ctrl_c();
        raise();
        let mut later = ctrl_c();
        assert!(timeout(Duration::from_millis(10), &mut later).await.is_err());
        raise();
        soon(later).await.unwrap();
    });
}

// contract 40
#[test]
fn a_wait_that_was_given_up_and_taken_up_again_loses_no_signal() {
    alone(async {
        let mut waiting = ctrl_c();
        for _ in 0..20 {
            assert!(poll_once(&mut waiting).await.is_pending());
        }
        assert!(timeout(Duration::from_millis(1), &mut waiting).await.is_err());
        raise();
        soon(waiting).await.unwrap();
    });
}

// contract 53
#[test]
fn a_signal_during_a_system_call_of_the_loop_is_noticed() {
    alone(async {
        for _ in 0..20 {
            let waiting = ctrl_c();
            let pid = std::process::id();
            let thread = std::thread::spawn(move || {
                // SAFETY: takes two integers.
                unsafe { libc::kill(pid.try_into().unwrap(), libc::SIGINT) };
            });
            soon(waiting).await.unwrap();
            thread.join().unwrap();
        }
    });
}

// contract 12; fault 48
#[test]
fn pairs_are_used_again_and_few_descriptors_are_held() {
    if !is_alone("pairs_are_used_again_and_few_descriptors_are_held") {
        return;
    }
    block_on(async {
        drop(ctrl_c());
        let before = net::descriptors();
        for _ in 0..1000 {
            let mut waiting = ctrl_c();
            assert!(poll_once(&mut waiting).await.is_pending());
        }
        assert_eq!(net::descriptors(), before);
    });
}

#[test]
fn too_many_waiters_are_a_clear_error() {
    if !is_alone("too_many_waiters_are_a_clear_error") {
        return;
    }
    block_on(async {
        let mut waiting: Vec<_> = (0..256).map(|_| ctrl_c()).collect();
        let error = soon(ctrl_c()).await.unwrap_err();
        assert!(error.to_string().contains("share one"), "{error}");
        raise();
        for told in soon(join_all(waiting.drain(..))).await {
            told.unwrap();
        }
    });
}
