//! What happens to a panic that nobody awaits is the policy's to say.

mod support;

use std::any::Any;
use std::future::pending;
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any};
use std::process::{Command, Stdio};
use std::time::Duration;

use loopline::callback::Next;
use loopline::time::Timer;
use loopline::{JoinError, JoinHandle, PanicPolicy, RunError, closing};
use support::{built, closes_clean, event_loop, shuts_down};

/// Panics with a value whose type is not known to be diverging.
fn explode<T>(payload: impl Any + Send) -> T {
    panic_any(payload)
}

// contract 39
#[test]
fn the_stop_policy_ends_the_run_after_the_turn_of_the_panic() {
    let mut event_loop = built::<()>(|b| b.panic_policy(PanicPolicy::Stop));
    let handle = event_loop.handle();
    let waits = handle.spawn(pending::<()>());
    handle.spawn(async { panic!("on purpose") });
    let behind = handle.spawn(async {});
    event_loop.run(&mut ()).unwrap();
    assert!(behind.is_finished(), "the turn went on");
    // The root future's run says so.
    handle.spawn(async { panic!("on purpose") });
    assert!(matches!(event_loop.block_on(pending::<()>()), Err(RunError::Stopped)));
    // A panic that is awaited stops nothing.
    let awaited = handle.spawn(async { panic!("on purpose") });
    let result: Result<(), JoinError> = event_loop.block_on(awaited).unwrap();
    assert!(result.unwrap_err().is_panic());
    // Dropping the handle of one that has panicked does, though that is outside a turn.
    let late = handle.spawn(async { panic!("on purpose") });
    event_loop.turn(&mut (), Duration::ZERO).unwrap();
    drop(late);
    assert!(event_loop.turn(&mut (), None).unwrap().stopped);
    drop(waits.cancel());
    closes_clean(event_loop);
}

/// The text of the panic that unwinds out of a call.
fn unwound<T>(call: impl FnOnce() -> T) -> String {
    let Err(payload) = catch_unwind(AssertUnwindSafe(call)) else { panic!("it returned") };
    match payload.downcast::<String>() {
        Ok(text) => *text,
        Err(payload) => String::from(*payload.downcast::<&str>().unwrap()),
    }
}

/// A task that panics at once.
fn failing(handle: loopline::Handle<u32>, text: &str) -> JoinHandle<()> {
    let text = String::from(text);
    handle.spawn(async { explode(text) })
}

// contract 39
#[test]
fn the_unwind_policy_carries_a_panic_out_of_the_run_and_the_loop_goes_on_after_it() {
    let mut event_loop = built::<u32>(|b| b.panic_policy(PanicPolicy::Unwind));
    let handle = event_loop.handle();
    let waits = handle.spawn(pending::<()>());
    let timer = Timer::every(Duration::from_millis(1));
    let inserted = handle.insert(timer, |_, _, count| {
        *count += 1;
        assert!(*count != 2, "the second");
        Next::Keep
    });
    drop(inserted.unwrap());
    let mut count = 0;
    assert_eq!(unwound(|| event_loop.run(&mut count)), "the second");
    assert_eq!(count, 2);
    // Each call that turns; what comes behind in the same turn has run, and a second panic was printed.
    drop(failing(handle, "first"));
    drop(failing(handle, "second"));
    let behind = handle.spawn(async {});
    assert_eq!(unwound(|| event_loop.turn(&mut count, Duration::ZERO)), "first");
    assert!(behind.is_finished());
    assert!(!event_loop.turn(&mut count, Duration::ZERO).unwrap().stopped);
    drop(failing(handle, "beside the root"));
    assert_eq!(unwound(|| event_loop.run_until(&mut count, async {})), "beside the root");
    // Between two turns: out of the next one, which does not wait.
    let late = failing(handle, "late");
    event_loop.turn(&mut count, Duration::ZERO).unwrap();
    drop(late);
    assert!(!event_loop.is_finished());
    assert_eq!(unwound(|| event_loop.turn(&mut count, None)), "late");
    let late = failing(handle, "with nothing left");
    event_loop.turn(&mut count, Duration::ZERO).unwrap();
    drop(waits.cancel());
    drop(late);
    assert_eq!(unwound(|| event_loop.run(&mut count)), "with nothing left");
    // One that is awaited is its handle's.
    let awaited = failing(handle, "awaited");
    let result: Result<(), JoinError> = event_loop.run_until(&mut count, awaited).unwrap();
    assert!(result.unwrap_err().is_panic());
    // At the loop's end it is only printed.
    let late = failing(handle, "never told");
    event_loop.turn(&mut count, Duration::ZERO).unwrap();
    drop(late);
    closes_clean(event_loop);
}

// contract 39
#[test]
fn the_unwind_policy_carries_a_panic_out_of_a_shutdown() {
    let built = || built::<u32>(|b| b.panic_policy(PanicPolicy::Unwind));
    // One of before it, as out of any run.
    let mut event_loop = built();
    let late = failing(event_loop.handle(), "late");
    event_loop.turn(&mut 0, Duration::ZERO).unwrap();
    drop(late);
    assert_eq!(unwound(|| shuts_down(event_loop, &mut 0, Duration::ZERO)), "late");
    // One of an item that was asked to end.
    let event_loop = built();
    event_loop.handle().spawn(async {
        closing().await;
        explode::<()>(String::from("while closing"))
    });
    let grace = Duration::from_secs(60);
    assert_eq!(unwound(|| shuts_down(event_loop, &mut 0, grace)), "while closing");
}

// contract 39
#[test]
#[cfg(all(target_os = "linux", not(loopline_portable_park)))]
fn the_unwind_policy_carries_a_panic_out_of_a_guests_turn() {
    use support::{TestLoop, guests};

    let guest = built::<u32>(|b| b.panic_policy(PanicPolicy::Unwind)).lend();
    let handle = guest.handle();
    drop(failing(handle, "inside"));
    guests::wait_readable(&guest);
    assert_eq!(unwound(|| guest.turn(&mut 0)), "inside");
    let late = failing(handle, "late");
    guests::host_until_quiet(&guest, &mut 0);
    drop(late);
    guests::wait_readable(&guest);
    assert_eq!(unwound(|| guest.turn(&mut 0)), "late");
    guests::host_until_quiet(&guest, &mut 0);
    closes_clean(TestLoop::take_back(guest));
}

/// Runs one test of this file in a process of its own, where a variable makes it do the deed.
fn in_child(test: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([test, "--exact", "--nocapture", "--test-threads=1"]);
    command.env("LOOPLINE_TEST_CHILD", test).env("RUST_BACKTRACE", "0");
    command.stdin(Stdio::null());
    command
}

fn is_child(test: &str) -> bool {
    std::env::var("LOOPLINE_TEST_CHILD").is_ok_and(|name| name == test)
}

// contract 39
#[test]
fn the_abort_policy_prints_and_aborts() {
    let me = "the_abort_policy_prints_and_aborts";
    if is_child(me) {
        let mut event_loop = built::<()>(|b| b.panic_policy(PanicPolicy::Abort).label("front"));
        let handle = event_loop.handle();
        let awaited = handle.spawn(async { panic!("awaited") });
        let result: Result<(), JoinError> = event_loop.block_on(awaited).unwrap();
        assert!(result.is_err());
        eprintln!("still here");
        handle.item().label("culprit").spawn(async { panic!("unobserved") });
        event_loop.run(&mut ()).unwrap();
        eprintln!("not reached");
        std::process::exit(0);
    }
    let output = in_child(me).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    #[cfg(unix)]
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&output.status), Some(libc::SIGABRT));
    assert!(text.contains("still here") && !text.contains("not reached"), "{text}");
    assert!(text.contains("front: item") && text.contains("`culprit` made at"), "{text}");
    assert!(text.contains(&format!("made at {}:", file!())), "{text}");
    assert!(text.contains("panicked, and nobody awaits it: unobserved"), "{text}");
}

// contract 39
#[test]
fn the_default_policy_is_loud_and_goes_on() {
    let me = "the_default_policy_is_loud_and_goes_on";
    if is_child(me) {
        let mut event_loop = event_loop::<()>();
        let handle = event_loop.handle();
        handle.item().label("dropped at once").spawn(async { panic!("first") });
        let late = handle.item().label("dropped later").spawn(async { panic!("second") });
        let gone = handle.item().label("dropped last").spawn(async { panic!("third") });
        handle
            .item()
            .label("callback")
            .insert(futures::stream::iter([1]), |_, _, ()| panic!("fourth"))
            .unwrap();
        let awaited = handle.item().label("awaited").spawn(async { panic!("fifth") });
        event_loop.run(&mut ()).unwrap();
        let result: Result<(), JoinError> = event_loop.block_on(awaited).unwrap();
        drop(result);
        drop(late);
        closes_clean(event_loop);
        drop(gone);
        std::process::exit(0);
    }
    let output = in_child(me).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
    let reports: Vec<&str> = text.lines().filter(|line| line.starts_with("loopline: ")).collect();
    let said = [
        ("dropped at once", "first"),
        ("callback", "fourth"),
        ("dropped later", "second"),
        ("dropped last", "third"),
    ];
    assert_eq!(reports.len(), said.len(), "{text}");
    for (report, (label, payload)) in reports.iter().zip(said) {
        assert!(report.contains(&format!("`{label}` made at {}", file!())), "{report}");
        assert!(
            report.ends_with(&format!("panicked, and nobody awaits it: {payload}")),
            "{report}"
        );
    }
}

// contract 39; fault 12
#[test]
fn an_unobserved_panic_ends_no_loop_whose_standard_error_is_a_closed_pipe() {
    let me = "an_unobserved_panic_ends_no_loop_whose_standard_error_is_a_closed_pipe";
    if is_child(me) {
        // Until the parent has closed its end.
        std::io::Read::read(&mut std::io::stdin(), &mut [0]).unwrap();
        let mut event_loop = event_loop::<()>();
        drop(event_loop.handle().spawn(async { panic!("unheard") }));
        let other = event_loop.handle().spawn(async { 5 });
        let went_on = matches!(event_loop.block_on(other), Ok(Ok(5)));
        closes_clean(event_loop);
        std::process::exit(if went_on { 0 } else { 3 });
    }
    let mut command = in_child(me);
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    drop(child.stderr.take());
    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());
}

// contract 39
#[test]
fn a_panic_of_a_remote_item_goes_to_its_join_or_to_the_policy() {
    let mut event_loop = built::<()>(|b| b.panic_policy(PanicPolicy::Stop));
    let remote = event_loop.handle().remote();
    // Awaited: no policy.
    let join = remote.spawn(|_| async { explode::<()>("in the future") }).unwrap();
    let error = event_loop.block_on(join).unwrap().unwrap_err();
    assert!(error.to_string().ends_with("panicked: in the future"), "{error}");
    // The closure itself.
    let join = remote
        .spawn(|_| {
            explode::<()>("in the closure");
            async {}
        })
        .unwrap();
    let error = event_loop.block_on(join).unwrap().unwrap_err();
    assert!(error.to_string().ends_with("panicked: in the closure"), "{error}");
    // Dropped before.
    drop(remote.spawn(|_| async { explode::<()>("unobserved") }).unwrap());
    assert!(event_loop.turn(&mut (), Duration::ZERO).unwrap().stopped);
    // Dropped after, on whatever thread.
    let join = remote.spawn(|_| async { explode::<()>("unobserved") }).unwrap();
    while !join.is_finished() {
        assert!(!event_loop.turn(&mut (), None).unwrap().stopped);
    }
    std::thread::spawn(move || drop(join)).join().unwrap();
    assert!(event_loop.turn(&mut (), Duration::ZERO).unwrap().stopped);
    drop(remote);
    closes_clean(event_loop);
}
