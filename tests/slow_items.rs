//! A task that holds the loop is named, and the rest goes on by its rules afterwards.

mod support;

use std::pin::pin;
use std::process::{Command, Stdio};
use std::task::{Context, Waker};
use std::time::Duration;

use loopline::callback::Next;
use loopline::time::{self, Timer};
use loopline::{Clock, EventLoop};
use support::{TestLoop, built, closes_clean};

const LIMIT: Duration = Duration::from_millis(10);

/// Takes time of the paused clock, without leaving the item.
fn hold_the_loop(time: Duration) {
    let advance = pin!(time::advance(time));
    assert!(advance.poll(&mut Context::from_waker(Waker::noop())).is_pending());
}

fn watched<S>() -> TestLoop<S> {
    built(|builder| builder.label("shop").clock(Clock::Paused).report_slow_items(LIMIT))
}

/// Set for the process that the test below starts.
const CHILD: &str = "LOOPLINE_SLOW_CHILD";

// fault 64
#[test]
fn an_item_that_holds_the_loop_is_named_and_timers_keep_to_their_policy_afterwards() {
    let mut event_loop = watched::<Vec<u64>>();
    let handle = event_loop.handle();
    let mut ticks = 0;
    // The first at 1 s; then 5 s are missed at once.
    handle
        .insert(Timer::every(Duration::from_secs(1)), move |tick, _, late: &mut Vec<u64>| {
            late.push(tick.late().as_secs());
            ticks += 1;
            if ticks == 9 { Next::Stop } else { Next::Keep }
        })
        .unwrap();
    handle.item().label("till").spawn(async {
        time::sleep(Duration::from_millis(1500)).await;
        hold_the_loop(Duration::from_secs(5));
    });
    let mut late = Vec::new();
    event_loop.run(&mut late).unwrap();
    // The default policy: each tick that was missed comes at once, then the old rhythm.
    assert_eq!(late, [0, 4, 3, 2, 1, 0, 0, 0, 0]);
    assert_eq!(handle.stats().slow_items, 1);
    closes_clean(event_loop);

    if std::env::var_os(CHILD).is_some() {
        return;
    }
    let name = "an_item_that_holds_the_loop_is_named_and_timers_keep_to_their_policy_afterwards";
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--test-threads", "1", "--nocapture"])
        .env(CHILD, "1")
        .stdout(Stdio::null())
        .output()
        .unwrap();
    let text = String::from_utf8(child.stderr).unwrap();
    let line = text.lines().find(|line| line.starts_with("shop: ")).expect(&text);
    for part in ["`till`", file!(), "held the loop for 5s"] {
        assert!(line.contains(part), "no {part} in {line}");
    }
}

#[test]
fn items_within_the_limit_are_not_reported_and_the_root_future_is() {
    let mut event_loop: TestLoop<()> = watched();
    let handle = event_loop.handle();
    let run = |event_loop: &mut EventLoop<()>, time| {
        event_loop.block_on(async move { hold_the_loop(time) }).unwrap();
    };
    run(&mut event_loop, LIMIT);
    assert_eq!(handle.stats().slow_items, 0);
    run(&mut event_loop, LIMIT + Duration::from_nanos(1));
    assert_eq!(handle.stats().slow_items, 1);
    closes_clean(event_loop);
}
