//! Signals: who waits is told, once or more; what the process had before is put back; the handler is
//! safe wherever it interrupts.
#![cfg(unix)] // signals

#[path = "support/net.rs"]
mod net;
mod support;

use std::io::ErrorKind;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use futures::StreamExt;
use libc::c_int;
use loopline::callback::{self, Next};
use loopline::signal::unix::signal;
use loopline::signal::{Signal, SignalKind, ctrl_c, signals};
use net::{poll_once, soon};
use support::{block_on, closes_clean, event_loop};

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

/// What handles a signal now: its address, and its flags.
fn disposition(kind: SignalKind) -> (usize, c_int) {
    // SAFETY: a sigaction is plain data; the pointer is to a live one, and none is installed.
    unsafe {
        let mut now: libc::sigaction = std::mem::zeroed();
        assert_eq!(libc::sigaction(kind.as_raw_value(), std::ptr::null(), &raw mut now), 0);
        (now.sa_sigaction, now.sa_flags)
    }
}

/// Installs a handler, SIG_DFL or SIG_IGN.
fn install(kind: SignalKind, address: usize, flags: c_int) {
    // SAFETY: as in `disposition`; the handlers of this file touch atomics only.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = address;
        action.sa_flags = flags;
        let null = std::ptr::null_mut();
        assert_eq!(libc::sigaction(kind.as_raw_value(), &raw const action, null), 0);
    }
}

static PLAIN_CALLS: AtomicUsize = AtomicUsize::new(0);

extern "C" fn plain(_: c_int) {
    PLAIN_CALLS.fetch_add(1, Ordering::Relaxed);
}

fn plain_address() -> usize {
    plain as extern "C" fn(c_int) as usize
}

// contract 53
#[test]
fn a_signal_is_awaited_and_called_back() {
    let _alone = alone();
    block_on(async {
        let mut usr1 = signal(USR1).unwrap();
        for _ in 0..3 {
            assert!(poll_once(usr1.recv()).await.is_pending());
            raise(USR1);
            assert_eq!(soon(usr1.recv()).await, Some(()));
        }
    });
    let mut event_loop = event_loop::<Vec<SignalKind>>();
    let both = signals([USR1, USR2, USR1]).unwrap();
    let insert = event_loop.handle().insert(both, |kind, _, seen| {
        seen.push(kind);
        if seen.len() == 2 { Next::Stop } else { Next::Keep }
    });
    raise(USR2);
    raise(USR1);
    let mut seen = Vec::new();
    event_loop.run(&mut seen).unwrap();
    seen.sort_by_key(SignalKind::as_raw_value);
    assert_eq!(seen, [USR1, USR2]);
    drop(insert);
    closes_clean(event_loop);
}

// contract 53
#[test]
fn signals_that_come_close_together_may_be_one_and_each_waiter_is_told() {
    let _alone = alone();
    block_on(async {
        let mut all: Vec<Signal> = (0..5).map(|_| signal(USR1).unwrap()).collect();
        (0..1000).for_each(|_| raise(USR1));
        for waiter in &mut all {
            soon(waiter.recv()).await.unwrap();
            assert!(poll_once(waiter.recv()).await.is_pending());
        }
    });
}

// contract 53
#[test]
fn of_several_kinds_none_is_told_twice_before_the_others() {
    let _alone = alone();
    block_on(async {
        let mut both = signals([USR1, USR2]).unwrap();
        let mut told = Vec::new();
        for _ in 0..10 {
            raise(USR1);
            raise(USR2);
            told.push(soon(both.next()).await.unwrap());
        }
        assert!(told.windows(2).all(|two| two[0] != two[1]), "{told:?}");
    });
}

// contract 53
#[test]
fn what_handled_a_signal_is_put_back_when_the_last_waiter_goes() {
    let _alone = alone();
    for (before, flags) in
        [(libc::SIG_DFL, 0), (libc::SIG_IGN, libc::SA_NODEFER), (plain_address(), libc::SA_RESTART)]
    {
        install(USR2, before, flags);
        let before = disposition(USR2);
        let (first, mut second) = (signal(USR2).unwrap(), signal(USR2).unwrap());
        let third = signals([USR1, USR2]).unwrap();
        let (ours, flags) = disposition(USR2);
        assert_ne!(ours, before.0);
        let wanted = libc::SA_ONSTACK | libc::SA_RESTART | libc::SA_SIGINFO;
        assert_eq!(flags & wanted, wanted);
        drop(first);
        drop(third);
        assert_eq!(disposition(USR2).0, ours);
        second.give_back();
        assert_eq!(disposition(USR2), before);
        drop(second);
        assert_eq!(disposition(USR2), before);
    }
    install(USR2, libc::SIG_DFL, 0);
}

#[test]
fn what_came_before_the_giving_back_is_told_and_then_the_end() {
    let _alone = alone();
    install(USR2, plain_address(), 0);
    block_on(async {
        let (mut given, mut kept) = (signal(USR2).unwrap(), signal(USR2).unwrap());
        raise(USR2);
        given.give_back();
        raise(USR2);
        assert_eq!(soon(given.recv()).await, Some(()));
        assert_eq!(soon(given.recv()).await, None);
        assert_eq!(soon(kept.recv()).await, Some(()));
        kept.give_back();
        kept.give_back();
        assert_eq!(soon(kept.next()).await, None);
        let mut pressed = ctrl_c();
        pressed.give_back();
        assert!(soon(pressed).await.unwrap_err().to_string().contains("given back"));
    });
    install(USR2, libc::SIG_DFL, 0);
}

// contract 53
#[test]
fn a_handler_that_was_there_before_is_still_called() {
    let _alone = alone();
    install(USR2, plain_address(), 0);
    let before = PLAIN_CALLS.load(Ordering::Relaxed);
    block_on(async {
        let mut usr2 = signal(USR2).unwrap();
        raise(USR2);
        soon(usr2.recv()).await.unwrap();
    });
    raise(USR2);
    assert_eq!(PLAIN_CALLS.load(Ordering::Relaxed) - before, 2);
    install(USR2, libc::SIG_DFL, 0);
}

/// What the next handler found, and passes signals on to.
static BELOW: AtomicUsize = AtomicUsize::new(0);

extern "C" fn chaining(signal: c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    PLAIN_CALLS.fetch_add(1, Ordering::Relaxed);
    // SAFETY: set to the address of a handler that takes the three, which ours does.
    let below: extern "C" fn(c_int, *mut libc::siginfo_t, *mut libc::c_void) =
        unsafe { std::mem::transmute(BELOW.load(Ordering::Relaxed)) };
    below(signal, info, context);
}

// contract 53
#[test]
fn a_handler_that_was_installed_over_ours_stays_and_passes_signals_on() {
    let _alone = alone();
    let first = signal(USR2).unwrap();
    BELOW.store(disposition(USR2).0, Ordering::Relaxed);
    let address = chaining as extern "C" fn(_, _, _) as usize;
    install(USR2, address, libc::SA_SIGINFO);
    drop(first);
    assert_eq!(disposition(USR2).0, address, "it is not ours to remove");
    block_on(async {
        // Neither is it put below ours again: the two would call each other for ever.
        let before = PLAIN_CALLS.load(Ordering::Relaxed);
        let mut again = signal(USR2).unwrap();
        raise(USR2);
        soon(again.recv()).await.unwrap();
        assert_eq!(PLAIN_CALLS.load(Ordering::Relaxed) - before, 1);
    });
    install(USR2, libc::SIG_DFL, 0);
    // And once it is gone, all is as at first.
    drop(signal(USR2).unwrap());
    assert_eq!(disposition(USR2).0, libc::SIG_DFL);
}

#[test]
fn signals_that_cannot_be_awaited_are_refused() {
    let _alone = alone();
    let refused = [
        libc::SIGKILL,
        libc::SIGSTOP,
        libc::SIGSEGV,
        libc::SIGFPE,
        libc::SIGILL,
        libc::SIGBUS,
        0,
        -1,
        65,
        c_int::MAX,
    ];
    for number in refused {
        let before = disposition(USR1);
        let error = signals([USR1, SignalKind::from_raw(number)]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{number}: {error}");
        assert!(error.to_string().contains(&number.to_string()), "{error}");
        assert_eq!(disposition(USR1), before);
    }
    // The C library keeps these for itself: one fails after another was installed.
    #[cfg(target_os = "linux")]
    {
        let error = signals([USR1, SignalKind::from_raw(32)]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
        assert_eq!(disposition(USR1).0, libc::SIG_DFL);
    }
}

// contract 53
#[test]
fn errno_is_kept_also_where_the_handler_cannot_write() {
    let _alone = alone();
    let errno = || std::io::Error::last_os_error().raw_os_error();
    let usr1 = signal(USR1).unwrap();
    for _ in 0..2000 {
        // SAFETY: closes nothing: there is no such descriptor.
        unsafe { libc::close(-1) };
        raise(USR1);
        assert_eq!(errno(), Some(libc::EBADF));
    }
    drop(usr1);
}

/// Where the alternate stack begins on which the handler ran; zero: on none.
static ON_STACK: AtomicUsize = AtomicUsize::new(0);

extern "C" fn where_am_i(_: c_int) {
    // SAFETY: a stack_t is plain data.
    let mut stack: libc::stack_t = unsafe { std::mem::zeroed() };
    // SAFETY: sets nothing, and writes to a struct of ours. Asked of the kernel, because under a sanitizer
    // local variables stand elsewhere.
    let known = unsafe { libc::sigaltstack(std::ptr::null(), &raw mut stack) } == 0;
    if known && stack.ss_flags & libc::SS_ONSTACK != 0 {
        ON_STACK.store(stack.ss_sp as usize, Ordering::Relaxed);
    }
}

// contract 53
#[test]
fn the_handler_runs_on_a_small_alternate_stack() {
    let _alone = alone();
    install(USR2, where_am_i as extern "C" fn(c_int) as usize, libc::SA_ONSTACK);
    let usr2 = signal(USR2).unwrap();
    std::thread::spawn(|| {
        // What the kernel needs for the registers, and two KiB for all handlers; more where AddressSanitizer
        // made their frames larger.
        let room = if std::env::var_os("ASAN_OPTIONS").is_some() { 32 * 1024 } else { 2048 };
        #[cfg(target_os = "linux")]
        // SAFETY: takes an integer.
        let least = unsafe { libc::getauxval(libc::AT_MINSIGSTKSZ) } as usize;
        #[cfg(not(target_os = "linux"))]
        let least = libc::MINSIGSTKSZ;
        let mut memory = vec![0u8; least.max(2048) + room];
        let stack =
            libc::stack_t { ss_sp: memory.as_mut_ptr().cast(), ss_flags: 0, ss_size: memory.len() };
        let mut old = stack;
        // SAFETY: the memory lives until the old stack is back.
        assert_eq!(unsafe { libc::sigaltstack(&raw const stack, &raw mut old) }, 0);
        raise(USR2);
        // SAFETY: puts back what was there.
        assert_eq!(unsafe { libc::sigaltstack(&raw const old, std::ptr::null_mut()) }, 0);
        assert_eq!(ON_STACK.load(Ordering::Relaxed), memory.as_ptr() as usize);
    })
    .join()
    .unwrap();
    drop(usr2);
    install(USR2, libc::SIG_DFL, 0);
}

// contract 53
#[test]
fn loops_on_several_threads_are_all_told() {
    let _alone = alone();
    for _ in 0..5 {
        let (ready, all_ready) = std::sync::mpsc::channel();
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let ready = ready.clone();
                std::thread::spawn(move || {
                    block_on(async {
                        let mut usr1 = signal(USR1).unwrap();
                        ready.send(()).unwrap();
                        soon(usr1.recv()).await.unwrap();
                    });
                })
            })
            .collect();
        threads.iter().for_each(|_| all_ready.recv().unwrap());
        raise(USR1);
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    }
}

// contract 53
#[test]
fn kinds_are_added_removed_and_set_while_they_are_awaited() {
    let _alone = alone();
    let before = [disposition(USR1), disposition(USR2)];
    install(USR2, plain_address(), 0);
    block_on(async {
        let mut some = signals([USR1]).unwrap();
        assert!(poll_once(some.recv()).await.is_pending());
        some.add_signals([USR2, USR1]).unwrap();
        raise(USR2);
        assert_eq!(soon(some.recv()).await, Some(USR2));

        // Removed: what came before is not told, and what handled it before does again.
        raise(USR1);
        raise(USR2);
        some.remove_signals([USR2]);
        assert_eq!(disposition(USR2).0, plain_address());
        let calls = PLAIN_CALLS.load(Ordering::Relaxed);
        raise(USR2);
        assert_eq!(PLAIN_CALLS.load(Ordering::Relaxed), calls + 1);
        assert_eq!(soon(some.recv()).await, Some(USR1));
        assert!(poll_once(some.recv()).await.is_pending());

        // Set: what stays is not forgotten.
        raise(USR1);
        some.set_signals([USR2, USR1]).unwrap();
        raise(USR2);
        let both = [soon(some.recv()).await.unwrap(), soon(some.recv()).await.unwrap()];
        assert!(both.contains(&USR1) && both.contains(&USR2));
        some.set_signals([USR2]).unwrap();
        assert_eq!(disposition(USR1), before[0]);

        // All or none.
        let killed = SignalKind::from_raw(libc::SIGKILL);
        assert_eq!(some.set_signals([USR1, killed]).unwrap_err().kind(), ErrorKind::InvalidInput);
        assert_eq!(disposition(USR1), before[0]);
        raise(USR2);
        assert_eq!(soon(some.recv()).await, Some(USR2));

        some.remove_signals([USR2]);
        assert!(poll_once(some.recv()).await.is_pending(), "none is left, and some may be added");
        some.add_signals([USR1]).unwrap();
        some.give_back();
        assert!(some.add_signals([USR2]).is_err());
        some.remove_signals([USR1]);
        assert_eq!(soon(some.recv()).await, None);
    });
    assert_eq!(disposition(USR1), before[0]);
    install(USR2, before[1].0, before[1].1);
}

// contract 16
#[test]
fn a_kind_added_from_outside_while_its_callback_waits_is_told() {
    let _alone = alone();
    let mut event_loop = event_loop::<Vec<SignalKind>>();
    let (source, control) = callback::controlled(signals([USR1]).unwrap());
    let insert = event_loop.handle().insert(source, |kind, source, seen| {
        seen.push(kind);
        match kind {
            USR2 => source.with(|source| source.set_signals([USR1])).unwrap(),
            _ => return Next::Stop,
        }
        Next::Keep
    });
    drop(insert.unwrap());
    let mut seen = Vec::new();
    event_loop.turn(&mut seen, Duration::ZERO).unwrap();
    control.with(|source| source.add_signals([USR2])).unwrap().unwrap();
    raise(USR2);
    while seen.is_empty() {
        event_loop.turn(&mut seen, Duration::from_secs(30)).unwrap();
    }
    raise(USR1);
    event_loop.run(&mut seen).unwrap();
    assert_eq!(seen, [USR2, USR1]);
    closes_clean(event_loop);
}
