//! Callbacks that drop what keeps them, or others, or a whole loop: the turn goes on to its end.

mod support;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use loopline::callback::{self, Next};
use loopline::time::Timer;
use loopline::{JoinHandle, Remote};
use support::{TestLoop, closes_clean, ends_with_items, event_loop};

// contract 16, 22; fault 81
#[test]
fn a_callback_that_drops_the_last_remote_ends_the_run_after_its_turn() {
    struct State {
        remote: Option<Remote<Self>>,
        log: Vec<&'static str>,
    }
    let mut event_loop = event_loop::<State>();
    let handle = event_loop.handle();
    let (ping, pings) = callback::ping();
    let insert = handle.item().background().insert(pings, |(), _, state: &mut State| {
        state.log.push("dropped");
        state.remote = None;
        Next::Keep
    });
    drop(insert.unwrap());
    let mut state = State { remote: Some(handle.remote()), log: Vec::new() };
    handle.item().background().spawn(async move {
        loopline::yield_now().await;
        ping.ping();
        // Behind the callback, in the same turn.
        loopline::yield_now().await;
        handle.with(|state| state.log.push("the rest of the turn"));
        drop(ping);
    });
    event_loop.run(&mut state).unwrap();
    assert_eq!(state.log, ["dropped", "the rest of the turn"]);
    while event_loop.turn(&mut state, Duration::ZERO).unwrap().left {}
    closes_clean(event_loop);
}

// contract 16; fault 81
#[test]
fn a_callback_that_drops_its_own_handle_its_sender_and_its_own_source_goes_on_to_its_end() {
    type Slot = Rc<RefCell<Option<JoinHandle<callback::Channel<u32>>>>>;
    struct Noted(Rc<Cell<u32>>);
    impl Drop for Noted {
        fn drop(&mut self) {
            self.0.set(self.0.get() + 1);
        }
    }
    let mut event_loop = event_loop::<Vec<u32>>();
    let handle = event_loop.handle();
    let (sender, receiver) = callback::channel();
    (0..3).for_each(|n| sender.send(n).unwrap());
    let (own, dropped) = (Slot::default(), Rc::new(Cell::new(0)));
    let (slot, noted, mut sender): (_, _, Option<_>) =
        (own.clone(), Noted(dropped.clone()), Some(sender));
    let insert = handle.insert(receiver, move |n, source, seen: &mut Vec<u32>| {
        seen.push(n);
        // All that there is of it, from inside: its handle, its sender, and the source itself.
        drop(slot.borrow_mut().take());
        drop(sender.take());
        *source = callback::channel().1;
        assert_eq!(noted.0.get(), 0, "the closure is alive while it runs");
        Next::Keep
    });
    *own.borrow_mut() = Some(insert.unwrap());
    let mut seen = Vec::new();
    event_loop.run(&mut seen).unwrap();
    assert_eq!((seen.as_slice(), dropped.get()), (&[0][..], 1));
    closes_clean(event_loop);
}

// contract 16, 28; fault 81
#[test]
fn a_loop_that_a_callback_of_another_owns_is_dropped_inside_it() {
    let mut outer = event_loop::<Vec<&'static str>>();
    let inner: TestLoop<u32> = event_loop();
    let handle = inner.handle();
    let pending = handle.insert(Timer::after(Duration::from_secs(3600)), |_, _, _| Next::Keep);
    drop(pending.unwrap());
    let insert = handle.insert(callback::channel::<u32>().1, |_, _, _| Next::Keep);
    drop(insert.unwrap());
    let mut inner = Some(inner);
    let insert = outer.handle().insert(
        Timer::every(Duration::from_micros(100)),
        move |_, _, log: &mut Vec<_>| {
            let Some(mut owned) = inner.take() else {
                log.push("after");
                return Next::Stop;
            };
            // Driven inside the other's callback, and gone before it returns; its items too.
            let mut count = 0;
            owned.turn(&mut count, Duration::ZERO).unwrap();
            owned.handle().spawn(std::future::pending::<()>());
            log.push("dropped");
            ends_with_items_and_timer(owned);
            Next::Keep
        },
    );
    drop(insert.unwrap());
    let mut log = Vec::new();
    outer.run(&mut log).unwrap();
    assert_eq!(log, ["dropped", "after"]);
    assert!(handle.try_with(|_| ()).is_err());
    closes_clean(outer);
}

/// The timer's callback and the task; the channel without a sender has ended.
fn ends_with_items_and_timer(event_loop: TestLoop<u32>) {
    support::ends_with_timers(event_loop, 2, 1, 0);
}

// contract 16, 22; fault 81
#[test]
fn a_callback_that_cancels_all_and_stops_leaves_a_loop_that_goes_on() {
    let mut event_loop = event_loop::<Vec<u32>>();
    let handle = event_loop.handle();
    let controls = Rc::new(RefCell::new(Vec::new()));
    for n in 0..10 {
        let all = controls.clone();
        let source = futures::stream::iter([n, n + 100]);
        let insert = handle.insert(source, move |n, _, seen: &mut Vec<u32>| {
            seen.push(n);
            // Itself among them.
            all.borrow().iter().for_each(|control: &loopline::Control| {
                control.cancel();
            });
            handle.stop();
            Next::Keep
        });
        controls.borrow_mut().push(insert.unwrap().control());
    }
    let mut seen = Vec::new();
    event_loop.run(&mut seen).unwrap();
    assert_eq!(seen, [0]);
    handle.spawn(async move { handle.with(|seen| seen.push(7)) });
    event_loop.run(&mut seen).unwrap();
    assert_eq!(seen, [0, 7]);
    controls.borrow_mut().clear();
    closes_clean(event_loop);
}

// contract 28; fault 81
#[test]
fn the_owner_of_a_loop_that_runs_cannot_be_dropped_by_its_callbacks() {
    // Owners are borrowed while they run, so a callback finds a borrow, not a loop to drop.
    let owner = Rc::new(RefCell::new(Some(event_loop::<u32>())));
    let inside = owner.clone();
    let handle = owner.borrow().as_ref().unwrap().handle();
    handle.spawn(async move {
        assert!(inside.try_borrow_mut().is_err());
        drop(inside);
        handle.with(|n| *n += 1);
    });
    let mut n = 0;
    owner.borrow_mut().as_mut().unwrap().run(&mut n).unwrap();
    assert_eq!((n, Rc::strong_count(&owner)), (1, 1));
    let event_loop = owner.take().unwrap();
    event_loop.handle().spawn(std::future::pending::<()>());
    ends_with_items(event_loop, 1);
}
