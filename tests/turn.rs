//! One turn: how long it waits, how much it runs, and that nothing shuts the others out.

mod support;

use std::cell::Cell;
use std::future::{pending, poll_fn};
use std::rc::Rc;
use std::task::Poll;
use std::thread;
use std::time::{Duration, Instant};

use loopline::callback::{self, Next};
use loopline::time::{Tick, Timer, sleep};
use loopline::{Clock, Control, Handle, Turn, yield_now};
use support::{built, closes_clean, ends_with_items, event_loop, paused, scaled};

/// A task that wakes itself at each poll, until told to end.
fn storm(handle: Handle<()>, end: &Rc<Cell<bool>>) {
    let end = end.clone();
    handle.spawn(poll_fn(move |cx| {
        cx.waker().wake_by_ref();
        if end.get() { Poll::Ready(()) } else { Poll::Pending }
    }));
}

// contract 21
#[test]
fn a_turn_of_zero_length_does_not_wait() {
    let mut event_loop = event_loop::<()>();
    let waits = event_loop.handle().spawn(pending::<()>());
    assert_eq!(event_loop.turn(&mut (), Duration::ZERO).unwrap().ran, 1);
    let Turn { ran, left, deadline, stopped, .. } =
        event_loop.turn(&mut (), Duration::ZERO).unwrap();
    assert_eq!((ran, left, deadline, stopped), (0, false, None, false));
    drop(waits.cancel());
    closes_clean(event_loop);
}

// contract 21
#[test]
fn a_turn_waits_no_longer_than_its_limit_and_no_shorter() {
    let mut event_loop = event_loop::<()>();
    let limit = Duration::from_millis(5);
    let before = Instant::now();
    let turn = event_loop.turn(&mut (), limit).unwrap();
    assert!(before.elapsed() >= limit);
    assert_eq!((turn.ran, turn.left), (0, false));
    assert!(event_loop.handle().stats().time_parked > Duration::ZERO);
    closes_clean(event_loop);
}

// contract 21, 24
#[test]
fn a_turn_tells_the_next_deadline_and_waits_for_it() {
    let mut event_loop = event_loop::<()>();
    let start = Instant::now();
    let wait = Duration::from_millis(20);
    let task = event_loop.handle().spawn(async move { sleep(wait).await });
    let turn = event_loop.turn(&mut (), None).unwrap();
    let deadline = turn.deadline.unwrap();
    assert!(deadline >= start && deadline <= Instant::now() + wait);
    while !task.is_finished() {
        event_loop.turn(&mut (), None).unwrap();
    }
    assert!(start.elapsed() >= wait);
    // The clock of the turn was read after the wait.
    assert!(event_loop.handle().now() >= start + wait);
    assert_eq!(event_loop.turn(&mut (), Duration::ZERO).unwrap().deadline, None);
    closes_clean(event_loop);
}

/// Lets a timer, a ping of this thread and messages of another come through a storm, and counts turns.
fn through_the_storm(tasks: usize) {
    let mut event_loop = event_loop::<()>();
    let handle = event_loop.handle();
    let end = Rc::new(Cell::new(false));
    (0..tasks).for_each(|_| storm(handle, &end));
    let timed = handle.spawn(async move {
        sleep(Duration::from_millis(1)).await;
        handle.stats().turns
    });
    let (sender, mut receiver) = callback::channel();
    let received = handle.spawn(async move {
        let mut turns = Vec::new();
        while receiver.next().await.is_some() {
            turns.push(handle.stats().turns);
        }
        turns
    });
    let (ping, mut source) = callback::ping();
    let pinged = handle.spawn(async move { source.next().await });
    // One turn each is a promise: every turn looks at the inbox and at the timers, and the queue is
    // passed through once in as many turns as it has portions. (64: the least a turn runs.)
    let pass = (tasks as u64 + 4) / 64 + 2;
    let mut sent = Vec::new();
    for n in 0..10 {
        // Sent by another thread while this one is between turns: the moment is known.
        thread::scope(|scope| scope.spawn(|| sender.send(n).unwrap()).join().unwrap());
        sent.push(handle.stats().turns);
        for _ in 0..2 * pass {
            event_loop.turn(&mut (), None).unwrap();
        }
    }
    drop(sender);
    ping.ping();
    let pinged_at = handle.stats().turns;
    while !(timed.is_finished() && received.is_finished() && pinged.is_finished()) {
        let turn = event_loop.turn(&mut (), None).unwrap();
        assert!(turn.left && turn.ran <= 1024);
        assert!(handle.stats().turns <= pinged_at + 10_000, "the storm shuts the others out");
    }
    end.set(true);
    event_loop.run(&mut ()).unwrap();
    let arrived = event_loop.block_on(received).unwrap().unwrap();
    assert_eq!(arrived.len(), sent.len());
    for (arrived, sent) in arrived.iter().zip(sent) {
        assert!(arrived - sent <= 2 * pass, "{} turns for a message", arrived - sent);
    }
    closes_clean(event_loop);
}

// contract 25, 26; fault 62
#[test]
fn a_timer_a_ping_and_messages_get_through_one_task_that_always_wakes_itself() {
    through_the_storm(1);
}

// contract 25, 26; fault 62
#[test]
fn a_timer_a_ping_and_messages_get_through_ten_thousand_tasks_that_always_wake_themselves() {
    through_the_storm(scaled(10_000));
}

// contract 25
#[test]
fn a_turn_ends_after_1024_items_where_time_does_not_end_it() {
    let mut event_loop = paused::<()>();
    let handle = event_loop.handle();
    let end = Rc::new(Cell::new(false));
    (0..10).for_each(|_| storm(handle, &end));
    for _ in 0..5 {
        let turn = event_loop.turn(&mut (), None).unwrap();
        assert_eq!((turn.ran, turn.left), (1024, true));
    }
    // What comes from outside meanwhile waits for no more than that.
    let (sender, mut receiver) = callback::channel();
    let received = handle.spawn(async move { receiver.next().await });
    event_loop.turn(&mut (), None).unwrap();
    thread::scope(|scope| scope.spawn(|| sender.send(5).unwrap()).join().unwrap());
    event_loop.turn(&mut (), None).unwrap();
    assert!(received.is_finished());
    end.set(true);
    event_loop.run(&mut ()).unwrap();
    closes_clean(event_loop);
}

// contract 25
#[test]
fn a_turn_with_work_left_ends_when_its_time_is_over_or_a_timer_is_due() {
    let mut event_loop = built::<()>(|builder| {
        let builder = builder.time_per_turn(Duration::from_secs(3600));
        builder.items_per_check(1).items_per_turn(usize::MAX)
    });
    if event_loop.handle().seed().is_some() {
        // A seed of the environment: its turns end by the number of items alone.
        return closes_clean(event_loop);
    }
    let handle = event_loop.handle();
    let end = Rc::new(Cell::new(false));
    storm(handle, &end);
    let calm = end.clone();
    let timed = handle.spawn(async move {
        sleep(Duration::from_millis(2)).await;
        calm.set(true);
    });
    // Only the timer can end this turn.
    event_loop.turn(&mut (), None).unwrap();
    assert!(!timed.is_finished());
    // And nothing but the end of the storm the next one.
    event_loop.turn(&mut (), None).unwrap();
    assert!(timed.is_finished());
    closes_clean(event_loop);

    let mut event_loop = built::<()>(|b| b.time_per_turn(Duration::ZERO).items_per_check(7));
    end.set(false);
    storm(event_loop.handle(), &end);
    assert_eq!(event_loop.turn(&mut (), None).unwrap().ran, 7);
    end.set(true);
    event_loop.run(&mut ()).unwrap();
    closes_clean(event_loop);
}

// contract 25, 34
#[test]
fn a_round_cut_off_by_the_end_of_its_turn_goes_on_where_it_was() {
    let mut event_loop = built::<Vec<u32>>(|b| b.clock(Clock::Paused).items_per_turn(3));
    let handle = event_loop.handle();
    for n in 0..5 {
        handle.spawn(async move {
            for _ in 0..2 {
                handle.with(|log| log.push(n));
                yield_now().await;
            }
        });
    }
    let mut log = Vec::new();
    event_loop.turn(&mut log, None).unwrap();
    assert_eq!(log, [0, 1, 2]);
    handle.defer(|log| log.push(9));
    event_loop.run(&mut log).unwrap();
    assert_eq!(log, [0, 1, 2, 9, 3, 4, 0, 1, 2, 3, 4]);
    closes_clean(event_loop);
}

// contract 25
#[test]
fn messages_of_remotes_are_taken_in_portions() {
    let mut event_loop = paused::<()>();
    let handle = event_loop.handle();
    let remote = handle.remote();
    let started = Rc::new(Cell::new(0));
    for _ in 0..3_000 {
        drop(remote.spawn(|_| async {}).unwrap());
    }
    let flag = started.clone();
    handle.spawn(async move { flag.set(handle.stats().items) });
    event_loop.turn(&mut (), None).unwrap();
    assert_eq!(started.get(), 1 + 1024, "the task that was there and one portion");
    drop(remote);
    event_loop.run(&mut ()).unwrap();
    closes_clean(event_loop);
}

// contract 24
#[test]
fn the_turns_time_is_read_after_the_wait() {
    let mut event_loop = event_loop::<()>();
    let handle = event_loop.handle();
    let wait = Duration::from_millis(5);
    let before = Instant::now();
    let (due, seen) = event_loop
        .block_on(async move {
            sleep(wait).await;
            (before + wait, handle.now())
        })
        .unwrap();
    assert!(seen >= due);
    closes_clean(event_loop);
}

// contract 26; fault 74
#[test]
fn a_timer_set_to_now_in_its_callback_fires_in_the_next_turn() {
    let mut event_loop = event_loop::<Vec<u64>>();
    let handle = event_loop.handle();
    handle
        .insert(Timer::after(Duration::ZERO), move |_tick, timer, turns: &mut Vec<u64>| {
            turns.push(handle.stats().turns);
            timer.set_after(Duration::ZERO);
            if turns.len() == 5 { Next::Stop } else { Next::Keep }
        })
        .unwrap();
    let mut turns = Vec::new();
    event_loop.run(&mut turns).unwrap();
    assert!(turns.windows(2).all(|pair| pair[0] < pair[1]), "{turns:?}");
    closes_clean(event_loop);
}

/// A signal that does nothing but interrupt.
#[cfg(target_os = "linux")]
fn interruptible() -> (libc::pthread_t, libc::c_int) {
    extern "C" fn nothing(_signal: libc::c_int) {}
    // SAFETY: the handler touches nothing; the struct is plain data, for which zero is valid.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = nothing as extern "C" fn(libc::c_int) as libc::sighandler_t;
        assert_eq!(libc::sigaction(libc::SIGUSR1, &raw const action, std::ptr::null_mut()), 0);
        (libc::pthread_self(), libc::SIGUSR1)
    }
}

// contract 21; fault 33
#[cfg(target_os = "linux")]
#[test]
fn a_signal_that_interrupts_the_wait_is_not_seen() {
    use std::sync::mpsc;

    let (loops_thread, signal) = interruptible();
    let wait = Duration::from_millis(100);
    let (end, ended) = mpsc::channel::<()>();
    let sender = thread::spawn(move || {
        let mut sent = 0;
        // Until the loop is done: at the end of the time, not before.
        while ended.try_recv() == Err(mpsc::TryRecvError::Empty) {
            // SAFETY: the thread lives until `end` is dropped, and is joined after that.
            assert_eq!(unsafe { libc::pthread_kill(loops_thread, signal) }, 0);
            sent += 1;
            thread::sleep(Duration::from_millis(2)); // a pace, not a synchronisation
        }
        sent
    });
    let mut event_loop = event_loop::<()>();
    let start = Instant::now();
    let turns = event_loop
        .block_on(async {
            sleep(wait).await;
            Handle::<()>::try_current().unwrap().stats().turns
        })
        .unwrap();
    // Not once more the whole time after each interruption: that would go on while signals come.
    assert!(start.elapsed() >= wait && start.elapsed() < 20 * wait);
    // And a turn with a limit and nothing to do waits it out.
    let before = Instant::now();
    let turn = event_loop.turn(&mut (), wait / 4).unwrap();
    assert!(before.elapsed() >= wait / 4 && turn.ran == 0);
    drop(end);
    let sent = sender.join().unwrap();
    assert!(sent > 5, "the wait was interrupted {sent} times");
    assert!(turns <= 4, "{turns} turns for one sleep");
    closes_clean(event_loop);
}

// contract 21
#[cfg(target_os = "linux")]
#[test]
fn a_signal_that_interrupts_a_wait_of_a_held_clock_is_no_error() {
    let (loops_thread, signal) = interruptible();
    let mut event_loop = paused::<()>();
    let hold = event_loop.block_on(async { loopline::time::hold() }).unwrap();
    // Real time, which that clock does not tell: the wait ends early, or late, and is none that fails.
    for limit in [Some(Duration::from_secs(60)), None] {
        let remote = event_loop.handle().remote();
        let sender = thread::spawn(move || {
            for _ in 0..5 {
                thread::sleep(Duration::from_millis(2)); // a pace, not a synchronisation
                // SAFETY: the thread lives: it waits for this one below.
                assert_eq!(unsafe { libc::pthread_kill(loops_thread, signal) }, 0);
            }
            drop(remote.spawn(|_| async {}).unwrap());
        });
        while event_loop.turn(&mut (), limit).unwrap().ran == 0 {}
        sender.join().unwrap();
    }
    drop(hold);
    closes_clean(event_loop);
}

/// When slow calls ended, whose they were, and how many had ended after a deadline.
#[derive(Default)]
struct Calls {
    ends: Vec<Instant>,
    busy: Option<Control>,
    late: usize,
}

/// Takes long beside a turn's share of time.
fn slow_call(calls: &mut Calls) -> Next {
    let end = Instant::now() + Duration::from_micros(20);
    while Instant::now() < end {}
    calls.ends.push(end);
    Next::Keep
}

/// How many slow calls of an item, which always has more to do, come between a timer's deadline and its own.
fn late_calls(busy: impl FnOnce(Handle<Calls>) -> Control) -> usize {
    let mut event_loop = event_loop::<Calls>();
    let handle = event_loop.handle();
    let at_last = |tick: Tick, _timer: &mut Timer, calls: &mut Calls| {
        calls.busy.expect("it is there").cancel();
        calls.late = calls.ends.iter().filter(|end| **end > tick.deadline).count();
        Next::Stop
    };
    handle.insert(Timer::after(Duration::from_millis(1)), at_last).unwrap();
    let mut calls = Calls { busy: Some(busy(handle)), ..Calls::default() };
    event_loop.run(&mut calls).unwrap();
    let is_seeded = handle.seed().is_some();
    closes_clean(event_loop);
    // A seeded run can be repeated, so there time ends no turn.
    if is_seeded { 0 } else { calls.late }
}

/// A channel in which many messages wait.
fn many_messages() -> callback::Channel<u32> {
    let (sender, messages) = callback::channel();
    (0..20_000).try_for_each(|n| sender.send(n)).unwrap();
    messages
}

// contract 25
#[test]
fn a_timer_waits_for_a_few_slow_calls_of_a_busy_callback_and_not_for_thousands() {
    let late = late_calls(|handle| {
        let slow = |_n, _channel: &mut _, calls: &mut Calls| slow_call(calls);
        handle.insert(many_messages(), slow).unwrap().control()
    });
    assert!(late <= 16, "{late} messages");
    let late = late_calls(|handle| {
        let (ping, pings) = callback::ping();
        ping.ping();
        let again = move |(), _pings: &mut callback::PingSource, calls: &mut Calls| {
            ping.ping();
            slow_call(calls)
        };
        handle.insert(pings, again).unwrap().control()
    });
    assert!(late <= 16, "{late} pings");
}

// contract 25
#[test]
fn a_timer_waits_for_one_slow_poll_of_a_busy_task_and_not_for_sixty_four() {
    let late = late_calls(|handle| {
        let mut messages = many_messages();
        let busy = handle.spawn(async move {
            while messages.next().await.is_some() {
                handle.with(slow_call);
            }
        });
        busy.control()
    });
    assert!(late <= 2 * 128, "{late}");
}

/// Takes a fiftieth of a turn's share of time.
fn brief_call() {
    let end = Instant::now() + Duration::from_micros(1);
    while Instant::now() < end {}
}

// contract 25
#[test]
fn busy_callbacks_alike_are_called_alike_often_wherever_they_stand_in_a_round() {
    let mut event_loop = event_loop::<[u32; 5]>();
    let handle = event_loop.handle();
    for me in 0..5 {
        let busy = move |(), _source: &mut _, calls: &mut [u32; 5]| {
            brief_call();
            calls[me] += 1;
            if calls.iter().sum::<u32>() == 20_000 {
                handle.stop();
            }
            Next::Keep
        };
        let _runs_on = handle.insert(futures::stream::repeat(()), busy).unwrap();
    }
    let mut calls = [0; 5];
    event_loop.run(&mut calls).unwrap();
    let (least, most) = (calls.iter().min().unwrap(), calls.iter().max().unwrap());
    assert!(*most <= 3 * least, "{calls:?}");
    ends_with_items(event_loop, 5);
}
