//! Sources among each other: what callbacks insert, remove and break does not disturb the rest.
#![cfg(unix)] // descriptors and their options

mod support;

use std::cell::RefCell;
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::time::Duration;

use futures::stream;
use loopline::callback::{Next, Stream, channel, controlled, idle, ping};
use loopline::io::{FdSource, Interest};
use loopline::time::Timer;
use loopline::{Control, InsertErrorKind};
use support::{built, closes_clean, ends_with_items, event_loop, scaled};

/// A source that has an event, and the other end of it.
fn ready_source() -> (FdSource<UnixStream>, UnixStream) {
    let (near, mut far) = UnixStream::pair().unwrap();
    near.set_nonblocking(true).unwrap();
    far.write_all(b"x").unwrap();
    (FdSource::new(near, Interest::READABLE), far)
}

/// Reads what is there. `false`: nothing, as after the event that the loop tries once more.
fn empty(source: &FdSource<UnixStream>) -> bool {
    match source.try_io(|mut socket| socket.read(&mut [0; 8])) {
        Ok(n) => n > 0,
        Err(error) if error.kind() == ErrorKind::WouldBlock => false,
        Err(error) => panic!("{error}"),
    }
}

/// Who ran, and the controls of all.
#[derive(Default)]
struct State {
    ran: Vec<usize>,
    controls: Vec<Control>,
}

/// Runs a batch of ready sources; `act` is called in the first callback.
fn run_batch(count: usize, act: impl Fn(&mut State) + Clone + 'static) -> State {
    let mut event_loop = event_loop::<State>();
    let handle = event_loop.handle();
    let mut state = State::default();
    let mut ends = Vec::new();
    for n in 0..count {
        let (source, far) = ready_source();
        ends.push(far);
        let act = act.clone();
        let join = handle.insert(source, move |event, source, state: &mut State| {
            event.unwrap();
            if !empty(source) {
                return Next::Keep;
            }
            state.ran.push(n);
            if state.ran.len() == 1 {
                act(state);
            }
            Next::Keep
        });
        state.controls.push(join.unwrap().control());
    }
    // The first turns register and look; the last ones have nothing left to do.
    for _ in 0..3 {
        while event_loop.turn(&mut state, Duration::from_millis(1)).unwrap().left {}
    }
    for control in &state.controls {
        control.cancel();
    }
    closes_clean(event_loop);
    state.ran.sort_unstable();
    state
}

// contract 16, 17; fault 78
#[test]
fn a_callback_that_removes_itself_disturbs_no_other() {
    let state = run_batch(100, |state| {
        let own = state.ran[0];
        assert!(state.controls[own].cancel());
    });
    assert_eq!(state.ran, (0..100).collect::<Vec<_>>());
}

// contract 16, 17; fault 78
#[test]
fn a_source_that_was_removed_while_it_was_queued_never_runs() {
    let state = run_batch(100, |state| {
        let own = state.ran[0];
        assert!(state.controls[(own + 50) % 100].cancel());
    });
    assert_eq!(state.ran.len(), 99);
}

// contract 16, 17; fault 78
#[test]
fn a_callback_that_removes_all_others_runs_alone() {
    let state = run_batch(100, |state| {
        let own = state.ran[0];
        let others = state.controls.iter().enumerate().filter(|(n, _)| *n != own);
        others.for_each(|(_, control)| assert!(control.cancel()));
    });
    assert_eq!(state.ran.len(), 1);
}

// contract 17; fault 79
#[test]
fn sources_inserted_in_a_callback_run_in_the_next_turn_at_the_earliest() {
    #[derive(Default)]
    struct State {
        turn: u64,
        ran_in: Vec<u64>,
    }
    let count = scaled(1000);
    let mut event_loop = event_loop::<State>();
    let handle = event_loop.handle();
    let ends = Rc::new(RefCell::new(Vec::new()));
    let kept = ends.clone();
    let first = handle.insert(stream::iter([()]), move |(), _, _| {
        for n in 0..count {
            // Ready now, with and without the poller; and yet not in this turn.
            let (source, far) = ready_source();
            kept.borrow_mut().push(far);
            let run = |state: &mut State| {
                state.ran_in.push(state.turn);
                Next::Stop
            };
            if n % 2 == 0 {
                drop(handle.insert(source, move |_, _, state| run(state)).unwrap());
            } else {
                drop(handle.insert(stream::iter([n]), move |_, _, state| run(state)).unwrap());
            }
        }
        Next::Keep
    });
    drop(first.unwrap());
    let mut state = State::default();
    while event_loop.handle().stats().items > 0 {
        event_loop.turn(&mut state, Duration::ZERO).unwrap();
        if !ends.borrow().is_empty() {
            // Counted from the turn that inserted them.
            state.turn += 1;
        }
    }
    assert_eq!(state.ran_in.len(), count);
    assert!(state.ran_in.iter().all(|turn| *turn >= 1), "one ran in the turn it was inserted in");
    closes_clean(event_loop);
}

// contract 17
#[test]
fn a_timer_inserted_in_a_callback_runs_in_the_next_turn_at_the_earliest() {
    let mut event_loop = event_loop::<Vec<&str>>();
    let handle = event_loop.handle();
    let outer = handle.insert(Timer::after(Duration::ZERO), move |_, _, log: &mut Vec<&str>| {
        log.push("outer");
        let join = handle.insert(Timer::after(Duration::ZERO), |_, _, log: &mut Vec<&str>| {
            log.push("inner");
            Next::Stop
        });
        drop(join.unwrap());
        Next::Stop
    });
    drop(outer.unwrap());
    let mut log = Vec::new();
    while handle.stats().items > 0 {
        event_loop.turn(&mut log, Duration::from_millis(1)).unwrap();
        log.push("turn");
    }
    let outer = log.iter().position(|entry| *entry == "outer").unwrap();
    assert_eq!(log[outer + 1], "turn", "{log:?}");
    assert!(log.contains(&"inner"));
    closes_clean(event_loop);
}

// contract 18
#[test]
fn a_source_that_no_loop_takes_comes_back() {
    let event_loop = event_loop::<()>();
    let handle = event_loop.handle();
    closes_clean(event_loop);
    let (source, mut far) = ready_source();
    let refused = handle.insert(source, |_, _, ()| Next::Keep).unwrap_err();
    assert_eq!(refused.kind(), InsertErrorKind::LoopGone);
    let mut socket = refused.into_inner().into_inner().unwrap();
    let mut byte = [0];
    assert_eq!(socket.read(&mut byte).unwrap(), 1);
    far.write_all(b"y").unwrap();
    assert_eq!(socket.read(&mut byte).unwrap(), 1);
}

// contract 18
#[test]
fn a_loop_that_is_being_dropped_takes_no_source_and_gives_it_back() {
    struct OnDrop<F: FnMut()>(F);
    impl<F: FnMut()> Drop for OnDrop<F> {
        fn drop(&mut self) {
            (self.0)();
        }
    }
    let event_loop = event_loop::<()>();
    let handle = event_loop.handle();
    let seen = Rc::new(RefCell::new(None));
    let result = seen.clone();
    let last_wish = OnDrop(move || {
        let refused = handle.insert(ready_source().0, |_, _, ()| Next::Keep).unwrap_err();
        *result.borrow_mut() = Some(refused.kind());
    });
    drop(handle.spawn(async move {
        let _last_wish = last_wish;
        std::future::pending::<()>().await;
    }));
    ends_with_items(event_loop, 1);
    assert_eq!(seen.take(), Some(InsertErrorKind::ShuttingDown));
}

// contract 19; fault 80
#[test]
fn an_error_or_a_panic_of_one_source_leaves_the_other_ninety_eight_alone() {
    let mut event_loop = event_loop::<(u32, u32)>();
    let handle = event_loop.handle();
    let broken = FdSource::new(File::open("/dev/null").unwrap(), Interest::READABLE);
    let broken = handle.insert(broken, |event, _, (_, errors): &mut (u32, u32)| {
        assert_eq!(event.unwrap_err().kind(), ErrorKind::PermissionDenied);
        *errors += 1;
        Next::Keep
    });
    let mut ends = Vec::new();
    let mut panicking = None;
    for n in 0..99 {
        let (source, far) = ready_source();
        ends.push(far);
        let join = handle.insert(source, move |event, _, (ran, _): &mut (u32, u32)| {
            event.unwrap();
            assert_ne!(n, 42, "the test's own panic");
            *ran += 1;
            Next::Stop
        });
        if n == 42 {
            panicking = Some(join.unwrap());
        }
    }
    let mut state = (0, 0);
    event_loop.run(&mut state).unwrap();
    assert_eq!(state, (98, 1));
    let panic = event_loop.run_until(&mut state, panicking.unwrap()).unwrap().unwrap_err();
    assert!(panic.is_panic());
    drop(broken.unwrap());
    closes_clean(event_loop);
}

// contract 19
#[test]
fn a_source_that_yields_an_error_stays_until_its_callback_says_stop() {
    let mut event_loop = event_loop::<Vec<Result<u32, u32>>>();
    let events = stream::iter([Ok(1), Err(2), Ok(3), Err(4), Ok(5)]);
    let insert = event_loop.handle().insert(events, |event, _, seen: &mut Vec<_>| {
        seen.push(event);
        if event == Err(4) { Next::Stop } else { Next::Keep }
    });
    drop(insert.unwrap());
    let mut seen = Vec::new();
    event_loop.run(&mut seen).unwrap();
    assert_eq!(seen, [Ok(1), Err(2), Ok(3), Err(4)]);
    closes_clean(event_loop);
}

// contract 30
#[test]
fn a_flooded_channel_lets_others_run_between() {
    let count = scaled(100_000);
    let mut event_loop = event_loop::<Vec<u64>>();
    let handle = event_loop.handle();
    let (sender, receiver) = channel();
    (0..count).for_each(|n| sender.send(n).unwrap());
    drop(sender);
    // Notes after how many messages it had its turn.
    let insert = handle.insert(receiver, |_, _, seen: &mut Vec<u64>| {
        *seen.last_mut().unwrap() += 1;
        Next::Keep
    });
    let drain = insert.unwrap();
    handle.spawn(async move {
        while !drain.is_finished() {
            handle.with(|seen| seen.push(0));
            loopline::yield_now().await;
        }
    });
    let mut seen = vec![0];
    event_loop.run(&mut seen).unwrap();
    assert_eq!(seen.iter().sum::<u64>(), count as u64);
    let most = seen.iter().max().unwrap();
    assert!(*most <= 256, "{most} messages at one stretch");
    closes_clean(event_loop);
}

// contract 30
#[test]
#[cfg_attr(loopline_mischief, ignore = "it counts events, which repeat there")]
fn a_full_buffer_of_events_is_work_that_is_left_and_no_time_for_idle_streams() {
    let mut event_loop = built::<(u32, u32)>(|builder| builder.event_capacity(3));
    let handle = event_loop.handle();
    let (mut far_ends, mut controls) = (Vec::new(), Vec::new());
    for _ in 0..10 {
        let (source, far) = ready_source();
        far_ends.push(far);
        let insert = handle.insert(source, |event, source, (events, _): &mut (u32, u32)| {
            event.unwrap();
            *events += u32::from(empty(source));
            Next::Keep
        });
        controls.push(insert.unwrap().control());
    }
    let idle = handle.insert(idle(), |_, _, (_, idled)| {
        *idled += 1;
        Next::Keep
    });
    let mut state = (0, 0);
    // In the first turn they join.
    assert!(!event_loop.turn(&mut state, None).unwrap().left);
    assert_eq!(state, (0, 1));
    // With a look, as there are idle streams; then with a wait.
    for wanted in [(3, 1), (6, 1), (9, 1)] {
        assert!(event_loop.turn(&mut state, None).unwrap().left);
        assert_eq!(state, wanted);
    }
    event_loop.turn(&mut state, None).unwrap();
    assert_eq!(state, (10, 2));
    drop(idle.unwrap().cancel());
    far_ends.iter_mut().for_each(|far| far.write_all(b"x").unwrap());
    assert!(event_loop.turn(&mut state, None).unwrap().left);
    assert_eq!(state, (13, 2));
    while event_loop.turn(&mut state, Duration::ZERO).unwrap().left {}
    assert_eq!(state, (20, 2));
    controls.into_iter().for_each(|control: Control| assert!(control.cancel()));
    closes_clean(event_loop);
}

// contract 20
#[test]
fn sources_fed_by_threads_end_with_their_last_sender() {
    let mut event_loop = event_loop::<u32>();
    let handle = event_loop.handle();
    let (sender, receiver) = channel();
    let (pinger, pings) = ping();
    drop(
        handle
            .insert(receiver, |n, _, sum: &mut u32| {
                *sum += n;
                Next::Keep
            })
            .unwrap(),
    );
    drop(
        handle
            .insert(pings, |(), _, sum: &mut u32| {
                *sum += 100;
                Next::Keep
            })
            .unwrap(),
    );
    let thread = std::thread::spawn(move || {
        sender.send(1).unwrap();
        pinger.ping();
        sender.send(2).unwrap();
    });
    let mut sum = 0;
    event_loop.run(&mut sum).unwrap();
    thread.join().unwrap();
    assert_eq!(sum, 103);
    closes_clean(event_loop);
}

// contract 16
#[test]
fn a_callback_may_replace_what_its_own_source_watches() {
    let mut event_loop = event_loop::<Vec<u8>>();
    let (source, _far) = ready_source();
    let (other, mut other_far) = UnixStream::pair().unwrap();
    other.set_nonblocking(true).unwrap();
    other_far.write_all(b"y").unwrap();
    let mut other = Some(other);
    let insert = event_loop.handle().insert(source, move |event, source, seen: &mut Vec<u8>| {
        event.unwrap();
        let mut byte = [0];
        source.try_io(|mut socket| socket.read(&mut byte)).unwrap();
        seen.push(byte[0]);
        match other.take() {
            Some(other) => *source = FdSource::new(other, Interest::READABLE),
            None => return Next::Stop,
        }
        Next::Keep
    });
    drop(insert.unwrap());
    let mut seen = Vec::new();
    event_loop.run(&mut seen).unwrap();
    assert_eq!(seen, b"xy");
    closes_clean(event_loop);
}

#[test]
fn the_control_of_a_source_that_was_given_back_goes_with_it() {
    let mut event_loop = event_loop::<u32>();
    let handle = event_loop.handle();
    let (timer, control) = controlled(Timer::after(Duration::ZERO));
    let first = handle.insert(timer, |_, _, _| Next::Stop).unwrap();
    let mut fired = 0;
    let timer = event_loop.run_until(&mut fired, first).unwrap().unwrap();
    control.with(|timer| timer.set_after(Duration::ZERO)).expect("it is here");
    let second = handle.insert(timer, |_, _, fired| {
        *fired += 1;
        Next::Keep
    });
    drop(second.unwrap());
    event_loop.run(&mut fired).unwrap();
    assert_eq!(fired, 1);
    assert_eq!(control.with(|_| ()), None, "its item has ended, and nobody took it back");
    closes_clean(event_loop);
}

#[test]
fn a_source_that_is_in_use_says_nothing_of_how_much_will_come() {
    let (numbers, control) = controlled(stream::iter([1, 2, 3]));
    assert_eq!(numbers.size_hint(), (3, Some(3)));
    assert_eq!(numbers.with(|_| numbers.size_hint()), (0, None));
    assert_eq!(control.with(|_| numbers.size_hint()), Some((0, None)));
    assert_eq!(numbers.size_hint(), (3, Some(3)));
}
