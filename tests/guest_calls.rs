//! A guest without a descriptor: hosts that ask before each wait, and hosts that are called. And what a guest
//! is on every platform: its turns, errors and ends.

mod support;

use std::cell::{Cell, RefCell};
use std::future::{pending, poll_fn};
use std::io::ErrorKind;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use loopline::callback::{self, Next};
use loopline::time::{Sleep, sleep};
use loopline::{Guest, Handle, closing, spawn, yield_now};
use support::{TestLoop, built, closes_clean, event_loop, shuts_down_guest};

fn turns_until_nothing_is_left<S>(guest: &Guest<S>, state: &mut S) {
    for _ in 0..1000 {
        if !guest.turn(state).unwrap().left {
            return;
        }
    }
    panic!("a guest that always leaves something");
}

/// Has the guest count its calls.
fn calls<S>(guest: &Guest<S>) -> Arc<AtomicUsize> {
    let calls = Arc::new(AtomicUsize::new(0));
    let counter = calls.clone();
    guest.on_wake(move || {
        counter.fetch_add(1, Ordering::SeqCst);
    });
    calls
}

#[test]
fn a_host_that_asks_before_each_wait_is_told_what_to_do() {
    let guest = event_loop::<u32>().lend();
    let handle = guest.handle();
    let mut count = 0;
    let idle = guest.prepare();
    assert_eq!((idle.ready, idle.deadline), (false, None));
    handle.defer(|count| *count += 1);
    assert!(guest.prepare().ready && guest.is_ready());
    turns_until_nothing_is_left(&guest, &mut count);
    assert!(count == 1 && !guest.prepare().ready);
    let start = Instant::now();
    let wait = Duration::from_millis(3);
    drop(handle.spawn(async move { sleep(wait).await }));
    turns_until_nothing_is_left(&guest, &mut count);
    let deadline = guest.prepare().deadline.unwrap();
    assert!(deadline >= start && deadline <= Instant::now() + wait);
    while !guest.is_finished() {
        let prepared = guest.prepare();
        if !prepared.ready {
            let until = prepared.deadline.unwrap();
            thread::sleep(until.saturating_duration_since(Instant::now())); // the host's wait
        }
        guest.turn(&mut count).unwrap();
    }
    assert!(start.elapsed() >= wait);
    closes_clean(TestLoop::take_back(guest));
}

#[cfg(all(target_os = "linux", not(loopline_portable_park)))]
#[test]
fn a_host_that_asks_before_each_wait_pays_for_no_descriptor() {
    use support::guests::poll_readable;

    let guest = built::<()>(|builder| builder.items_per_turn(1)).lend();
    assert!(!guest.prepare().ready);
    for _ in 0..3 {
        guest.handle().defer(|()| ());
    }
    // Inserted outside a turn, so the loop's own notifier was used; the turn takes that in.
    let turn = guest.turn(&mut ()).unwrap();
    assert!(turn.left && guest.prepare().ready);
    assert!(!poll_readable(&guest, 0));
    turns_until_nothing_is_left(&guest, &mut ());
    closes_clean(TestLoop::take_back(guest));
}

// contract 23
#[test]
fn a_host_that_is_called_is_called_once_for_each_turn_that_is_due() {
    let guest = event_loop::<Vec<u32>>().lend();
    let handle = guest.handle();
    let (sender, messages) = callback::channel();
    let item = handle.insert(messages, |message, _, seen: &mut Vec<u32>| {
        seen.push(message);
        Next::Keep
    });
    drop(item.unwrap());
    // At once, as there is something to do.
    let calls = calls(&guest);
    let mut seen = Vec::new();
    let mut expect = |calls_more: usize, before: usize, messages: usize| {
        assert_eq!(calls.load(Ordering::SeqCst) - before, calls_more);
        turns_until_nothing_is_left(&guest, &mut seen);
        assert_eq!(seen.len(), messages);
        calls.load(Ordering::SeqCst)
    };
    let before = expect(1, 0, 0);
    thread::scope(|scope| {
        let send = || (0..10).for_each(|n| sender.send(n).unwrap());
        scope.spawn(send).join().unwrap();
    });
    let before = expect(1, before, 10);
    sender.send(10).unwrap();
    handle.defer(|_| ());
    let before = expect(1, before, 11);
    expect(0, before, 11);
    drop(sender);
    turns_until_nothing_is_left(&guest, &mut seen);
    closes_clean(TestLoop::take_back(guest));
}

// contract 23
#[test]
fn a_host_that_is_called_hears_of_what_a_turn_left() {
    let guest = built::<()>(|builder| builder.items_per_turn(1)).lend();
    for _ in 0..5 {
        guest.handle().defer(|()| ());
    }
    let calls = calls(&guest);
    let mut turns = 0;
    while calls.swap(0, Ordering::SeqCst) != 0 {
        guest.turn(&mut ()).unwrap();
        turns += 1;
    }
    assert!(turns >= 5 && guest.is_finished());
    closes_clean(TestLoop::take_back(guest));
}

// contract 32
#[test]
fn what_is_called_may_wake_the_loop_and_may_panic() {
    let guest = event_loop::<u32>().lend();
    let remote = guest.handle().remote();
    let (sender, mut receiver) = callback::channel();
    drop(guest.handle().spawn(async move { while receiver.next().await.is_some() {} }));
    let mut count = 0;
    turns_until_nothing_is_left(&guest, &mut count);
    let other = sender.clone();
    guest.on_wake(move || {
        let _ = other.send(1);
        panic!("printed, and nothing else");
    });
    thread::spawn(move || sender.send(0).unwrap()).join().unwrap();
    turns_until_nothing_is_left(&guest, &mut count);
    guest.on_wake(|| ());
    drop(remote);
    turns_until_nothing_is_left(&guest, &mut count);
    assert!(guest.is_finished());
    closes_clean(TestLoop::take_back(guest));
}

// contract 28; fault 70
#[test]
fn a_turn_inside_a_turn_of_the_same_loop_is_a_clear_error() {
    let guest = Rc::new(event_loop::<()>().lend());
    let inner = Rc::downgrade(&guest);
    let seen = Rc::new(RefCell::new(None));
    let result = seen.clone();
    guest.handle().defer(move |()| {
        let guest = inner.upgrade().unwrap();
        result.replace(Some(guest.turn(&mut ())));
    });
    assert_eq!(guest.turn(&mut ()).unwrap().ran, 1);
    let error = seen.take().unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ResourceBusy);
    assert!(error.to_string().contains("in a turn already"), "{error}");
    closes_clean(TestLoop::take_back(Rc::into_inner(guest).unwrap()));
}

// contract 16
#[test]
fn a_guest_takes_turns_inside_a_turn_of_another_loop() {
    let guest = event_loop::<u32>().lend();
    guest.handle().defer(|count| *count += 1);
    let mut outer = event_loop::<()>();
    let guest = outer
        .block_on(async move {
            let mut count = 0;
            turns_until_nothing_is_left(&guest, &mut count);
            assert_eq!(count, 1);
            assert_eq!(Handle::<()>::try_current().unwrap().stats().items, 0);
            guest
        })
        .unwrap();
    closes_clean(TestLoop::take_back(guest));
    closes_clean(outer);
}

// contract 35, 36
#[test]
fn a_future_of_the_hosts_is_polled_among_the_items_and_may_borrow() {
    let mut guest = event_loop::<Vec<&'static str>>().lend();
    let handle = guest.handle();
    let (words, mut log) = ([1, 2, 3], Vec::new());
    drop(handle.spawn(async move { handle.with(|log| log.push("item")) }));
    let mut turns = guest.until(async {
        handle.with(|log| log.push("future"));
        let task = handle.spawn(async move { handle.with(|log| log.push("task")) });
        task.await.unwrap();
        sleep(Duration::from_millis(1)).await;
        words.iter().sum::<i32>()
    });
    let mut output = None;
    while output.is_none() {
        (_, output) = turns.turn(&mut log).unwrap();
    }
    assert_eq!(output, Some(6));
    // Once it is done these are turns like any others.
    let (turn, none) = turns.turn(&mut log).unwrap();
    assert!(none.is_none() && turn.ran == 0);
    drop(turns);
    assert_eq!(log, ["item", "future", "task"]);
    closes_clean(TestLoop::take_back(guest));
}

// contract 35, 57
#[test]
fn a_host_that_asks_before_each_wait_may_have_a_future_polled_too() {
    let mut guest = event_loop::<()>().lend();
    let deadline = guest.prepare().deadline;
    let mut turns = guest.until(async {
        yield_now().await;
        sleep(Duration::from_millis(2)).await;
    });
    assert!(deadline.is_none() && turns.prepare().ready);
    let (mut waits, mut output) = (0, None);
    while output.is_none() {
        let asked = turns.prepare();
        if !asked.ready {
            let due = asked.deadline.expect("a sleep");
            thread::sleep(due.saturating_duration_since(Instant::now()));
            waits += 1;
        }
        (_, output) = turns.turn(&mut ()).unwrap();
    }
    assert!(waits != 0);
    drop(turns);
    closes_clean(TestLoop::take_back(guest));
}

// contract 38
#[test]
fn a_future_of_the_hosts_that_is_given_up_is_dropped_inside_the_loop() {
    struct Last(Rc<Cell<usize>>);
    impl Drop for Last {
        fn drop(&mut self) {
            // There is a loop to spawn on.
            let ran = self.0.clone();
            drop(spawn(async move { ran.set(ran.get() + 1) }));
        }
    }
    let mut guest = event_loop::<()>().lend();
    let ran = Rc::new(Cell::new(0));
    let last = Last(ran.clone());
    let mut turns = guest.until(async move {
        let _last = last;
        pending::<()>().await;
    });
    turns.turn(&mut ()).unwrap();
    drop(turns);
    assert!(guest.is_ready());
    turns_until_nothing_is_left(&guest, &mut ());
    assert_eq!(ran.get(), 1);
    closes_clean(TestLoop::take_back(guest));
}

#[test]
fn a_guest_never_reports_a_deadlock() {
    let guest = event_loop::<()>().lend();
    let waits = guest.handle().spawn(pending::<()>());
    turns_until_nothing_is_left(&guest, &mut ());
    assert!(!guest.is_finished());
    drop(waits.cancel());
    turns_until_nothing_is_left(&guest, &mut ());
    closes_clean(TestLoop::take_back(guest));
}

#[test]
fn a_guest_is_brought_to_its_end_with_and_without_its_host() {
    let guest = event_loop::<()>().lend();
    let handle = guest.handle();
    drop(handle.spawn(closing()));
    let stragglers = handle.spawn(handle.shutdown(Duration::from_secs(60)));
    turns_until_nothing_is_left(&guest, &mut ());
    assert!(stragglers.is_finished() && guest.is_finished());
    closes_clean(TestLoop::take_back(guest));

    let guest = event_loop::<()>().lend();
    drop(guest.handle().spawn(closing()));
    drop(guest.handle().item().label("stubborn").spawn(pending::<()>()));
    let left = shuts_down_guest(guest, &mut (), Duration::from_millis(1)).unwrap();
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].label.as_deref(), Some("stubborn"));
}

#[test]
fn a_deadline_that_the_host_moves_forward_is_a_reason_to_call_it() {
    let guest = event_loop::<()>().lend();
    let alarm: Rc<RefCell<Option<Sleep>>> = Rc::default();
    let shared = alarm.clone();
    drop(guest.handle().spawn(poll_fn(move |cx| {
        let mut shared = shared.borrow_mut();
        let alarm = shared.get_or_insert_with(|| sleep(Duration::from_secs(60)));
        Pin::new(alarm).poll(cx)
    })));
    turns_until_nothing_is_left(&guest, &mut ());
    let calls = calls(&guest);
    assert_eq!(calls.load(Ordering::SeqCst), 0);
    let later = Instant::now() + Duration::from_secs(600);
    alarm.borrow_mut().as_mut().unwrap().reset(later);
    assert_eq!(calls.load(Ordering::SeqCst), 0);
    alarm.borrow_mut().as_mut().unwrap().reset(Instant::now());
    assert_eq!(calls.load(Ordering::SeqCst), 1);
    while !guest.is_finished() {
        guest.turn(&mut ()).unwrap();
    }
    alarm.take();
    closes_clean(TestLoop::take_back(guest));
}

/// A timer of the guest's that the host can set again, or drop.
fn alarm(guest: &Guest<()>, after: Duration) -> Rc<RefCell<Option<Sleep>>> {
    let alarm: Rc<RefCell<Option<Sleep>>> = Rc::default();
    let shared = alarm.clone();
    drop(guest.handle().spawn(poll_fn(move |cx| {
        let mut shared = shared.borrow_mut();
        Pin::new(shared.get_or_insert_with(|| sleep(after))).poll(cx)
    })));
    turns_until_nothing_is_left(guest, &mut ());
    alarm
}

#[test]
fn a_deadline_that_comes_before_the_one_the_host_asked_for_last_is_told() {
    let guest = event_loop::<()>().lend();
    let later = alarm(&guest, Duration::from_secs(3600));
    let first = alarm(&guest, Duration::from_secs(60));
    let calls = calls(&guest);
    first.take();
    // The turn told of the first one; the host asks anew, and hears of the other.
    let asked = guest.deadline().unwrap();
    let between = Instant::now() + Duration::from_secs(120);
    assert!(asked > between);
    later.borrow_mut().as_mut().unwrap().reset(between);
    assert_eq!(calls.load(Ordering::SeqCst), 1);
    later.take();
    guest.turn(&mut ()).unwrap();
    drop(shuts_down_guest(guest, &mut (), Duration::ZERO).unwrap());
}

#[cfg(all(target_os = "linux", not(loopline_portable_park)))]
#[test]
fn a_deadline_set_after_a_host_was_told_what_to_do_ends_its_wait() {
    use support::guests::is_readable;

    let guest = event_loop::<()>().lend();
    assert!(!guest.prepare().ready);
    let later = alarm(&guest, Duration::from_secs(3600));
    let first = alarm(&guest, Duration::from_secs(60));
    first.take();
    let asked = guest.prepare().deadline.unwrap();
    let between = Instant::now() + Duration::from_secs(120);
    assert!(asked > between && !is_readable(&guest));
    later.borrow_mut().as_mut().unwrap().reset(between);
    assert!(is_readable(&guest), "or it would wait until {asked:?}");
    later.take();
    drop(shuts_down_guest(guest, &mut (), Duration::ZERO).unwrap());
}

// contract 23
#[test]
fn a_host_to_be_called_hears_of_work_also_where_a_wake_for_nothing_came_before() {
    let guest = event_loop::<()>().lend();
    drop(guest.handle().spawn(pending::<()>()).cancel());
    let calls = calls(&guest);
    guest.handle().defer(|()| ());
    assert_eq!(calls.load(Ordering::SeqCst), 1);
    turns_until_nothing_is_left(&guest, &mut ());
    let paused = guest.handle().spawn(async {}).control();
    paused.pause();
    let calls = self::calls(&guest);
    paused.resume();
    assert_eq!(calls.load(Ordering::SeqCst), 1);
    turns_until_nothing_is_left(&guest, &mut ());
    closes_clean(TestLoop::take_back(guest));
}

// contract 32
#[test]
fn a_call_whose_panic_brings_a_second_one_is_no_panic_of_who_wakes() {
    struct Again;
    impl Drop for Again {
        fn drop(&mut self) {
            panic!("a second one");
        }
    }
    let guest = event_loop::<()>().lend();
    guest.on_wake(|| std::panic::panic_any(Again));
    guest.handle().defer(|()| ());
    guest.on_wake(|| ());
    turns_until_nothing_is_left(&guest, &mut ());
    closes_clean(TestLoop::take_back(guest));
}

// contract 28; fault 70
#[test]
fn a_host_that_asks_inside_a_turn_is_not_told_to_call_for_another() {
    let guest = Rc::new(event_loop::<()>().lend());
    let (inside, seen) = (Rc::downgrade(&guest), Rc::new(Cell::new(None)));
    let (handle, told) = (guest.handle(), seen.clone());
    handle.defer(move |()| {
        handle.defer(|()| ());
        let guest = inside.upgrade().unwrap();
        told.set(Some((guest.prepare(), guest.is_ready())));
    });
    turns_until_nothing_is_left(&guest, &mut ());
    let (prepared, is_ready) = seen.take().unwrap();
    assert!(!prepared.ready && prepared.deadline.is_none() && !is_ready);
    assert!(guest.is_finished());
    closes_clean(TestLoop::take_back(Rc::into_inner(guest).unwrap()));
}

// contract 38
#[test]
fn turns_that_were_forgotten_leave_room_for_others() {
    let mut guest = event_loop::<()>().lend();
    std::mem::forget(guest.until(async {}));
    turns_until_nothing_is_left(&guest, &mut ());
    // Once more: this one is still to be polled.
    std::mem::forget(guest.until(async {}));
    let mut turns = guest.until(async { 1 });
    assert_eq!(turns.turn(&mut ()).unwrap().1, Some(1));
    drop(turns);
    closes_clean(TestLoop::take_back(guest));
}

// contract 32
#[test]
fn what_is_called_may_panic_as_it_is_dropped() {
    struct Call(Arc<AtomicUsize>);
    impl Drop for Call {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::SeqCst);
            panic!("printed, and nothing else");
        }
    }
    let dropped = Arc::new(AtomicUsize::new(0));
    let call = || {
        let call = Call(dropped.clone());
        move || assert_eq!(call.0.load(Ordering::SeqCst), 0)
    };
    let guest = event_loop::<()>().lend();
    guest.on_wake(call());
    guest.on_wake(call());
    assert_eq!(dropped.load(Ordering::SeqCst), 1);
    let event_loop = TestLoop::take_back(guest);
    assert_eq!(dropped.load(Ordering::SeqCst), 2);
    let guest = event_loop.lend();
    guest.on_wake(call());
    closes_clean(TestLoop::take_back(guest));
    assert_eq!(dropped.load(Ordering::SeqCst), 3);
}

// contract 22; fault 82
#[test]
fn a_guest_that_was_asked_to_stop_or_whose_timer_is_due_is_ready() {
    let guest = event_loop::<()>().lend();
    turns_until_nothing_is_left(&guest, &mut ());
    assert!(!guest.is_ready());
    guest.handle().stop();
    assert!(guest.is_ready() && guest.prepare().ready);
    assert!(guest.turn(&mut ()).unwrap().stopped);
    assert!(!guest.is_ready());
    let slept = guest.handle().spawn(async { sleep(Duration::from_millis(1)).await });
    turns_until_nothing_is_left(&guest, &mut ());
    let Some(due) = guest.deadline() else { panic!("a timer is set") };
    while Instant::now() < due {}
    assert!(guest.is_ready() && guest.prepare().ready);
    turns_until_nothing_is_left(&guest, &mut ());
    assert!(slept.is_finished() && !guest.is_ready());
    closes_clean(TestLoop::take_back(guest));
}
