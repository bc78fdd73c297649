//! A guest's descriptor and time: readable when a timer is due, rarely otherwise, and for as long as a paused
//! clock can jump.
#![cfg(all(target_os = "linux", not(loopline_portable_park)))] // where it tells of timers

mod support;

use std::cell::RefCell;
use std::future::poll_fn;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::mpsc;
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use loopline::io::{FdSource, Interest};
use loopline::time::{self, Sleep, sleep, sleep_until};
use support::guests::{host_once, host_until_quiet, is_readable};
use support::{TestLoop, closes_clean, event_loop, paused};

// contract 24, 42
#[test]
fn timers_make_it_readable_when_they_are_due() {
    let guest = event_loop::<()>().lend();
    let handle = guest.handle();
    let waits = [70, 30, 10, 50, 30].map(Duration::from_millis);
    let order = Rc::new(RefCell::new(Vec::new()));
    let start = Instant::now();
    for wait in waits {
        let order = order.clone();
        drop(handle.spawn(async move {
            sleep_until(start + wait).await;
            assert!(start.elapsed() >= wait);
            order.borrow_mut().push(wait.as_millis());
        }));
    }
    let mut turns = 0;
    while !guest.is_finished() {
        let turn = host_once(&guest, &mut ());
        assert_eq!(turn.deadline, guest.deadline());
        turns += 1;
    }
    assert_eq!(order.borrow()[..], [10, 30, 30, 50, 70]);
    assert!(turns <= 20, "{turns} turns for five timers");
    closes_clean(TestLoop::take_back(guest));
}

// contract 57
#[test]
fn an_earlier_deadline_that_the_host_sets_is_kept_and_a_later_one_costs_a_turn_at_most() {
    let guest = event_loop::<u32>().lend();
    let handle = guest.handle();
    let alarm: Rc<RefCell<Pin<Box<Sleep>>>> = {
        // A sleep belongs to the loop that runs as it is made.
        let made = handle.spawn(async { Rc::new(RefCell::new(Box::pin(sleep(Duration::MAX)))) });
        guest.turn(&mut 0).unwrap();
        event_loop_output(made)
    };
    let shared = alarm.clone();
    drop(handle.spawn(poll_fn(move |cx| {
        let polled = shared.borrow_mut().as_mut().poll(cx);
        polled.map(|()| handle.with(|count| *count += 1))
    })));
    let mut count = 0;
    host_until_quiet(&guest, &mut count);
    let soon = Instant::now() + Duration::from_millis(3);
    alarm.borrow_mut().as_mut().reset(soon + Duration::from_secs(3600));
    alarm.borrow_mut().as_mut().reset(soon);
    assert!(count == 0 && (!is_readable(&guest) || Instant::now() >= soon));
    while count == 0 {
        host_once(&guest, &mut count);
    }
    assert!(Instant::now() >= soon);
    host_until_quiet(&guest, &mut count);
    drop(alarm);
    closes_clean(TestLoop::take_back(guest));
}

/// Takes the output of a task that has ended.
fn event_loop_output<T>(task: loopline::JoinHandle<T>) -> T {
    let (mut task, mut cx) = (Box::pin(task), std::task::Context::from_waker(Waker::noop()));
    match task.as_mut().poll(&mut cx) {
        Poll::Ready(output) => output.unwrap(),
        Poll::Pending => panic!("a task that has ended"),
    }
}

// contract 57
#[test]
fn timeouts_that_are_set_and_cancelled_all_the_time_do_not_make_it_readable() {
    let event_loop = event_loop::<usize>();
    let (near, mut far) = UnixStream::pair().unwrap();
    near.set_nonblocking(true).unwrap();
    let handle = event_loop.handle();
    drop(handle.spawn(async move {
        let mut source = FdSource::new(near, Interest::READABLE);
        while let Ok(Some(_)) = time::timeout(Duration::from_secs(60), source.next()).await {
            match source.try_io(|mut near| near.read(&mut [0; 8])) {
                Ok(0) => break,
                Ok(n) => handle.with(|count| *count += n),
                Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
            }
        }
    }));
    let (guest, mut count) = (event_loop.lend(), 0);
    host_until_quiet(&guest, &mut count);
    let mut turns = 0;
    for _ in 0..100 {
        far.write_all(&[1]).unwrap();
        turns += host_until_quiet(&guest, &mut count);
    }
    assert_eq!(count, 100);
    assert!(turns <= 210, "{turns} turns for 100 messages");
    drop(far);
    host_until_quiet(&guest, &mut count);
    closes_clean(TestLoop::take_back(guest));
}

// contract 47
#[test]
fn a_paused_clock_jumps_by_turns_that_have_nothing_else_to_do() {
    let guest = paused::<()>().lend();
    let handle = guest.handle();
    let task = handle.spawn(async {
        let start = time::now();
        sleep(Duration::from_secs(86_400)).await;
        let hold = time::hold();
        assert_eq!(time::now() - start, Duration::from_secs(86_400));
        (start, hold)
    });
    host_until_quiet(&guest, &mut ());
    let (start, hold) = event_loop_output(task);
    let late = handle.spawn(async move {
        sleep(Duration::from_secs(1)).await;
        assert_eq!(time::now() - start, Duration::from_secs(86_401));
        // From here on it shows the same time as the system's clock, shifted.
        time::resume();
        sleep(Duration::from_millis(2)).await;
    });
    host_until_quiet(&guest, &mut ());
    assert!(!late.is_finished(), "the clock is held");
    drop(hold);
    while !late.is_finished() {
        host_once(&guest, &mut ());
    }
    host_until_quiet(&guest, &mut ());
    closes_clean(TestLoop::take_back(guest));
}

// contract 24, 57
#[test]
fn a_job_that_the_host_cancels_holds_a_paused_clock_no_longer() {
    let guest = paused::<u32>().lend();
    let handle = guest.handle();
    let (end, ended) = mpsc::channel::<()>();
    let (begin, begun) = mpsc::channel();
    let job = handle.spawn_blocking(move || {
        begin.send(()).unwrap();
        let _ = ended.recv();
    });
    begun.recv().unwrap();
    drop(handle.spawn(async move {
        sleep(Duration::from_secs(3600)).await;
        handle.with(|count| *count += 1);
    }));
    let mut count = 0;
    host_until_quiet(&guest, &mut count);
    assert_eq!(count, 0);
    drop(job.cancel());
    assert!(is_readable(&guest));
    host_until_quiet(&guest, &mut count);
    assert_eq!(count, 1);
    drop(end);
    closes_clean(TestLoop::take_back(guest));
}
