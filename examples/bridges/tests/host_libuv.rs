//! A loop of libuv on ours.

#[path = "../../../tests/support/mod.rs"]
mod support;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::thread;
use std::time::Duration;

use bridges::uv::Uv;
use loopline::callback::Next;
use loopline::io::ForeignLoop;
use loopline::time::sleep;
use support::{TestLoop, closes_clean, event_loop};

fn host(event_loop: &TestLoop<()>, uv: &Rc<Uv>) {
    uv.run(); // silent until then
    let source = ForeignLoop::new(uv.clone(), |uv: &Rc<Uv>| uv.timeout());
    let hosted = event_loop.handle().item().label("libuv").insert(source, |event, uv, ()| {
        event.unwrap();
        uv.get_ref().run();
        if uv.get_ref().is_alive() { Next::Keep } else { Next::Stop }
    });
    drop(hosted.unwrap());
}

// contract 16
#[test]
fn timers_of_libuv_run_beside_ours_and_the_run_ends_with_them() {
    let mut event_loop = event_loop::<()>();
    let uv = Rc::new(Uv::new().unwrap());
    let ticks = Rc::new(Cell::new(0));
    let counted = ticks.clone();
    uv.every(Duration::from_millis(5), move || {
        counted.set(counted.get() + 1);
        counted.get() < 5
    });
    host(&event_loop, &uv);
    let ours = event_loop.handle().spawn(async { sleep(Duration::from_millis(1)).await });
    event_loop.run(&mut ()).unwrap();
    assert_eq!(ticks.get(), 5);
    assert!(ours.is_finished());
    closes_clean(event_loop);
}

// contract 16
#[test]
fn a_timer_that_a_task_of_ours_starts_in_libuv_is_seen_by_the_next_wait() {
    let mut event_loop = event_loop::<()>();
    let uv = Rc::new(Uv::new().unwrap());
    let log = Rc::new(RefCell::new(Vec::new()));
    // Keeps it alive, and its descriptor silent.
    let asked = uv.asked_by_threads(|| false);
    host(&event_loop, &uv);
    let (starter, said) = (uv.clone(), log.clone());
    event_loop.handle().spawn(async move {
        sleep(Duration::from_millis(2)).await;
        let fired = said.clone();
        starter.every(Duration::from_millis(3), move || {
            fired.borrow_mut().push("libuv");
            false
        });
        sleep(Duration::from_millis(20)).await;
        said.borrow_mut().push("ours");
        asked.ask();
    });
    event_loop.run(&mut ()).unwrap();
    assert_eq!(*log.borrow(), ["libuv", "ours"]);
    closes_clean(event_loop);
}

// contract 23
#[test]
fn a_thread_wakes_a_loop_of_libuv_that_ours_waits_for() {
    let mut event_loop = event_loop::<()>();
    let handle = event_loop.handle();
    let uv = Rc::new(Uv::new().unwrap());
    let asked = Rc::new(Cell::new(0));
    let counted = asked.clone();
    let ask = uv.asked_by_threads(move || {
        counted.set(counted.get() + 1);
        false
    });
    host(&event_loop, &uv);
    event_loop.block_on(async { sleep(Duration::from_millis(5)).await }).unwrap();
    let before = handle.stats().turns;
    event_loop.block_on(async { sleep(Duration::from_millis(50)).await }).unwrap();
    let turns = handle.stats().turns - before;
    assert!(turns <= 5, "{turns} turns while nothing happened");
    let thread = thread::spawn(move || ask.ask());
    event_loop.run(&mut ()).unwrap();
    assert_eq!(asked.get(), 1);
    thread.join().unwrap();
    closes_clean(event_loop);
}
