//! Tests of what a turn does around its wait; the promises to users are tested in `tests/`.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use futures_core::Stream;

use crate::callback::{after_park, before_park};
use crate::{Clock, EventLoop, spawn, time, yield_now};

#[test]
fn a_root_future_that_ends_before_the_wait_does_not_wait() {
    let mut event_loop = EventLoop::<()>::new().unwrap();
    for others in [0, 1] {
        // With a deadline there is something to wait for.
        for _ in 0..others {
            let hour = time::Timer::after(Duration::from_secs(3600));
            drop(event_loop.handle().insert(hour, |_, _, ()| panic!("it waited")).unwrap());
        }
        assert_eq!(event_loop.block_on(async { before_park().next().await }).unwrap(), Some(()));
    }
}

#[test]
fn what_is_inserted_after_the_wait_runs_in_the_next_turn() {
    // contract 17
    let mut event_loop = EventLoop::<Vec<&str>>::builder().clock(Clock::Paused).build().unwrap();
    let handle = event_loop.handle();
    let mut parks = 0;
    let hook = handle.insert(after_park(), move |(), _, log: &mut Vec<&str>| {
        log.push("park");
        parks += 1;
        if parks == 1 {
            handle.next_turn(|log| log.push("next turn"));
            handle.spawn(async move {
                handle.with(|log| log.push("task"));
            });
        }
        crate::callback::Next::Keep
    });
    let mut log = Vec::new();
    for _ in 0..4 {
        event_loop.turn(&mut log, Duration::ZERO).unwrap();
    }
    drop(hook);
    assert_eq!(log[..4], ["park", "task", "park", "next turn"]);
}

#[test]
fn a_timer_set_after_the_wait_fires_in_the_next_turn() {
    // contract 17
    for others in [0, 1] {
        let mut event_loop = EventLoop::<()>::builder().clock(Clock::Paused).build().unwrap();
        let handle = event_loop.handle();
        // With a timer there already the turn has something to look for.
        for _ in 0..others {
            handle.spawn(async { time::sleep(Duration::from_secs(3600)).await });
            event_loop.turn(&mut (), Duration::ZERO).unwrap();
        }
        let (turns, fired) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
        let (seen, at) = (turns.clone(), fired.clone());
        let task = async move {
            let mut parks = after_park();
            parks.next().await;
            // Polled in the phase itself, under a clock that stands still: due at once.
            time::sleep(Duration::ZERO).await;
            at.set(seen.get());
        };
        handle.spawn(task);
        while fired.get() == 0 {
            turns.set(turns.get() + 1);
            event_loop.turn(&mut (), Duration::ZERO).unwrap();
        }
        assert_eq!(fired.get(), 3, "first polled in turn 1, hook in turn 2");
    }
}

#[test]
fn a_held_clock_lets_a_turn_end_after_its_limit() {
    let mut event_loop = EventLoop::<()>::builder().clock(Clock::Paused).build().unwrap();
    let held = Rc::new(RefCell::new(None));
    let guard = held.clone();
    let sleeper = event_loop.handle().spawn(async move {
        *guard.borrow_mut() = Some(time::hold());
        time::sleep(Duration::from_secs(1)).await;
    });
    event_loop.turn(&mut (), Duration::ZERO).unwrap();
    let start = Instant::now();
    event_loop.turn(&mut (), Duration::from_millis(5)).unwrap();
    assert!(start.elapsed() >= Duration::from_millis(5) && !sleeper.is_finished());
    drop(held.take());
    event_loop.run(&mut ()).unwrap();
    assert!(sleeper.is_finished());
}

#[test]
fn lag_is_noted_although_the_loop_never_sleeps() {
    let mut event_loop = EventLoop::<()>::new().unwrap();
    event_loop
        .block_on(async {
            spawn(async {
                loop {
                    yield_now().await;
                }
            });
            yield_now().await;
            std::thread::sleep(Duration::from_millis(5));
            // As many rounds as end this turn and begin another.
            for _ in 0..2000 {
                yield_now().await;
            }
        })
        .unwrap();
    let stats = event_loop.handle().stats();
    assert!(stats.lag >= Duration::from_millis(5), "{stats:?}");
    assert!(stats.longest_item >= Duration::from_millis(5), "{stats:?}");
}

#[test]
fn a_stream_of_one_loop_wakes_the_item_of_another_that_waits_for_it() {
    let mut outer = EventLoop::<()>::new().unwrap();
    let inner = Rc::new(RefCell::new(EventLoop::<()>::new().unwrap()));
    let fired = Rc::new(Cell::new(false));
    let (nested, seen) = (inner.clone(), fired.clone());
    let polls = Rc::new(Cell::new(0));
    let count = polls.clone();
    let mut stream = Some(before_park());
    outer.handle().spawn(poll_fn(move |_| {
        count.set(count.get() + 1);
        if let Some(mut stream) = stream.take() {
            // Bound to the outer loop here, awaited in the inner one from its first turn on.
            let mut cx = Context::from_waker(Waker::noop());
            assert!(Pin::new(&mut stream).poll_next(&mut cx).is_pending());
            let seen = seen.clone();
            nested.borrow().handle().spawn(async move {
                stream.next().await;
                seen.set(true);
            });
            nested.borrow_mut().turn(&mut (), Duration::ZERO).unwrap();
        }
        Poll::<()>::Pending
    }));
    for _ in 0..2 {
        outer.turn(&mut (), Duration::ZERO).unwrap();
    }
    assert!(inner.borrow_mut().turn(&mut (), Duration::from_secs(10)).unwrap().ran > 0);
    assert!(fired.get());
    assert_eq!(polls.get(), 1, "the item that ran the inner loop was not woken");
}

#[cfg(unix)]
#[test]
fn who_waits_for_a_source_of_a_loop_that_ends_is_told() {
    // fault 90
    use crate::registration::{Direction, Registration, WaitKey};

    let registration = Rc::new(Registration::unready());
    let (_sender, mut receiver) = mio::unix::pipe::new().unwrap();
    let mut first = EventLoop::<()>::new().unwrap();
    let registering = registration.clone();
    first
        .block_on(async move {
            registering.register(None, &mut |registry, token| {
                registry.register(&mut receiver, token, mio::Interest::READABLE)
            })
        })
        .unwrap()
        .unwrap();
    let mut second = EventLoop::<()>::new().unwrap();
    let waiting = registration.clone();
    let task = second.handle().spawn(async move {
        let mut key = WaitKey::new();
        poll_fn(|cx| match waiting.watch(Direction::Read) {
            Ok(()) => {
                waiting.wait(Direction::Read, &mut key, cx);
                Poll::Pending
            }
            Err(error) => Poll::Ready(error.to_string()),
        })
        .await
    });
    second.turn(&mut (), Duration::ZERO).unwrap();
    drop(first);
    second.turn(&mut (), Duration::from_secs(10)).unwrap();
    assert!(task.is_finished());
}

#[cfg(unix)]
#[test]
fn a_source_is_registered_once_and_not_again_after_its_end() {
    use crate::registration::Registration;

    let mut event_loop = EventLoop::<()>::new().unwrap();
    let (_sender, mut receiver) = mio::unix::pipe::new().unwrap();
    event_loop
        .block_on(async {
            let registration = Registration::unready();
            let mut register = || {
                registration.register(None, &mut |registry, token| {
                    registry.register(&mut receiver, token, mio::Interest::READABLE)
                })
            };
            register().unwrap();
            let error = register().unwrap_err();
            assert!(error.to_string().contains("is or was registered"), "{error}");
            registration.end(None).unwrap();
            let error = register().unwrap_err();
            assert!(error.to_string().contains("is or was registered"), "{error}");
        })
        .unwrap();
}

#[test]
fn items_that_take_long_bring_the_look_at_the_clock_forward() {
    let mut event_loop = EventLoop::<()>::builder().build().unwrap();
    let pace = |each: Duration| {
        crate::current::with_current(|shared| {
            let shared = shared.unwrap();
            super::run::set_pace(shared, each.as_nanos() as u64);
            shared.pace.get()
        })
    };
    event_loop
        .block_on(async {
            let paces = [0, 1, 39, 100, 1000, 3000].map(|us| pace(Duration::from_micros(us)));
            assert_eq!(paces, [64, 64, 64, 25, 2, 1]);
            // Quick items between slow ones do not make it forget them.
            let paces = [1, 1, 2500, 1, 1, 1, 1, 1, 1, 1].map(|us| pace(Duration::from_micros(us)));
            assert_eq!(paces, [2, 4, 1, 2, 4, 8, 16, 32, 64, 64]);
        })
        .unwrap();
}
