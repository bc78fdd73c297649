//! A process forked while a loop exists gets clear errors, and its parent stays sound.
#![cfg(target_os = "linux")] // fork, and the page that tells of it

mod support;

use std::future::Future;
use std::pin::pin;
use std::task::Poll;
use std::time::{Duration, Instant};

use loopline::net::{TcpListener, TcpStream};
use loopline::{InsertErrorKind, RunError, WaitError, Watchdog, time};
use support::{TestLoop, built, closes_clean, ends_with_items, event_loop};

/// Runs `f` in a forked child and returns the status it left with: what `f` returned, or 101.
fn in_a_child(f: impl FnOnce() -> u8) -> i32 {
    // SAFETY: the child runs on this one thread; it allocates, which glibc allows after a fork.
    let child = unsafe { libc::fork() };
    assert!(child >= 0, "{}", std::io::Error::last_os_error());
    if child == 0 {
        let code = std::panic::catch_unwind(std::panic::AssertUnwindSafe(f)).unwrap_or(101);
        // SAFETY: ends the child at once, without the parent's exit handlers.
        unsafe { libc::_exit(code.into()) };
    }
    let mut status = 0;
    // SAFETY: waits for the child just made; the status is a live integer.
    let waited = unsafe { libc::waitpid(child, &raw mut status, 0) };
    assert_eq!(waited, child);
    assert!(libc::WIFEXITED(status), "status {status}");
    libc::WEXITSTATUS(status)
}

/// The number of the first check that fails, else 0.
fn first_failure(checks: &[bool]) -> u8 {
    checks.iter().position(|held| !held).map_or(0, |n| n as u8 + 1)
}

// contract 56
// fault 39
#[test]
fn every_call_on_the_loop_of_the_parent_is_a_clear_error_in_a_child() {
    // A host in the child would wait for the parent's descriptor before it calls.
    let mut event_loop = event_loop::<()>().never_a_guest();
    let handle = event_loop.handle();
    let remote = handle.remote();
    let join = remote.spawn(|_| async { 1 }).unwrap();
    let task = handle.spawn(std::future::pending::<()>());
    let code = in_a_child(|| {
        let turn = event_loop.turn(&mut (), Duration::ZERO).map(drop);
        let spawned = handle.try_spawn(async {}).map(drop).map_err(|error| error.kind());
        let sent = remote.spawn(|_| async {}).map(drop).map_err(|error| error.kind());
        first_failure(&[
            matches!(event_loop.run(&mut ()), Err(RunError::Forked)),
            matches!(event_loop.block_on(async {}), Err(RunError::Forked)),
            turn.is_err_and(|error| error.to_string().contains("forked")),
            spawned == Err(InsertErrorKind::Forked),
            sent == Err(InsertErrorKind::Forked),
            matches!(join.wait(), Err(WaitError::Forked)),
            // And a loop of its own works.
            support::block_on(async { 7 }) == 7,
        ])
    });
    assert_eq!(code, 0, "check {code} failed");
    drop((task.cancel(), remote));
    event_loop.run(&mut ()).unwrap();
    closes_clean(event_loop);
}

// contract 56
// fault 39
#[test]
fn the_parent_hears_of_its_sockets_after_a_child_dropped_everything() {
    let mut event_loop = event_loop::<()>();
    let (listener, near, far) = event_loop
        .block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let near = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            let (far, _) = listener.accept().await.unwrap();
            // Lent, so that dropping it would tell the poller.
            std::os::fd::AsFd::as_fd(&far);
            (listener, near, far)
        })
        .unwrap();
    // It waits, so it is registered.
    let reader = event_loop.handle().spawn(async move {
        let mut buf = [0; 8];
        far.read(&mut buf).await.map(|n| buf[..n].to_vec())
    });
    event_loop.turn(&mut (), Duration::ZERO).unwrap();
    event_loop.turn(&mut (), Duration::ZERO).unwrap();
    let mut owned = Some((event_loop, reader));
    let code = in_a_child(|| {
        // Destructors of futures, sockets and the loop run in the child, on the shared poller.
        let (event_loop, reader) = owned.take().unwrap();
        drop(reader);
        drop(event_loop.unguarded());
        0
    });
    assert_eq!(code, 0);
    let (mut event_loop, reader) = owned.unwrap();
    let read = event_loop.block_on(async {
        near.write_all(b"still").await.unwrap();
        reader.await.unwrap().unwrap()
    });
    assert_eq!(read.unwrap(), b"still");
    drop((near, listener));
    closes_clean(event_loop);
}

// contract 10
// contract 56
#[cfg(feature = "fd")]
#[test]
fn a_child_that_drops_a_descriptor_made_non_blocking_leaves_it_so_for_its_parent() {
    use std::os::fd::{AsFd, AsRawFd};

    let (near, far) = std::os::unix::net::UnixStream::pair().unwrap();
    let is_blocking = |fd: std::os::fd::BorrowedFd<'_>| {
        // SAFETY: asks for the flags of a live descriptor.
        unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GETFL) & libc::O_NONBLOCK == 0 }
    };
    let mut owned = Some(loopline::io::Async::new(far).unwrap());
    let code = in_a_child(|| {
        drop(owned.take());
        0
    });
    assert_eq!(code, 0);
    let far = owned.unwrap();
    assert!(!is_blocking(far.as_fd()), "the child changed what it shares");
    assert!(is_blocking(far.into_inner().as_fd()));
    drop(near);
}

// contract 56
#[test]
fn a_child_forked_inside_a_turn_leaves_it_and_may_run_a_loop_of_its_own() {
    let mut event_loop = event_loop::<()>();
    let task = event_loop.handle().spawn(std::future::pending::<()>());
    let code = event_loop
        .block_on(async { in_a_child(|| first_failure(&[support::block_on(async { 7 }) == 7])) })
        .unwrap();
    assert_eq!(code, 0);
    drop(task);
    ends_with_items(event_loop, 1);
}

// contract 56
// fault 39
#[test]
fn the_watchdog_is_the_parents_and_a_child_may_have_one_of_its_own() {
    let (reports, reported) = std::sync::mpsc::channel();
    let watchdog = Watchdog::after(Duration::from_millis(20))
        .report(move |blocked| reports.send(blocked.label.clone()).unwrap_or(()));
    let event_loop: TestLoop<()> = built(|builder| builder.watchdog(watchdog));
    let labelled = event_loop.handle().item().label("parent's").spawn(std::future::ready(1));
    let mut owned = Some((event_loop, labelled));
    let code = in_a_child(|| {
        let (event_loop, labelled) = owned.take().unwrap();
        drop(labelled);
        drop(event_loop.unguarded());
        let threads = std::fs::read_dir("/proc/self/task").unwrap().count();
        // One of the child's, with items that have labels.
        let mut own: TestLoop<()> = built(|builder| builder.watchdog(Duration::from_secs(60)));
        let task = own.handle().item().label("child's").spawn(async { 7 });
        let seven = own.block_on(task).unwrap().unwrap();
        closes_clean(own);
        first_failure(&[threads == 1, seven == 7])
    });
    assert_eq!(code, 0, "check {code} failed");
    let (mut event_loop, labelled) = owned.unwrap();
    event_loop.block_on(labelled).unwrap().unwrap();
    let task = event_loop
        .handle()
        .item()
        .label("after")
        .spawn(async move { reported.recv_timeout(Duration::from_secs(60)).unwrap() });
    assert_eq!(event_loop.block_on(task).unwrap().unwrap().as_deref(), Some("after"));
    closes_clean(event_loop);
}

// contract 24, 56
#[cfg(not(loopline_portable_park))] // where the descriptor tells of timers
#[test]
fn a_child_that_sets_a_timer_of_a_guest_leaves_the_parents_alarm_alone() {
    use std::task::{Context, Waker};
    const HOUR: Duration = Duration::from_secs(3600);

    let guest = event_loop::<()>().lend();
    let made = guest.handle().spawn(async { (Box::pin(time::sleep(HOUR)),) });
    guest.turn(&mut ()).unwrap();
    let mut cx = Context::from_waker(Waker::noop());
    let Poll::Ready(made) = pin!(made).poll(&mut cx) else { panic!("it has ended") };
    let (mut alarm,) = made.unwrap();
    assert!(alarm.as_mut().poll(&mut cx).is_pending());
    support::guests::host_until_quiet(&guest, &mut ());
    let code = in_a_child(|| {
        alarm.as_mut().reset(Instant::now());
        0
    });
    assert_eq!(code, 0);
    assert!(!support::guests::poll_readable(&guest, 50));
    drop(alarm);
    closes_clean(TestLoop::take_back(guest));
}
