//! The phases around a wait inside combinators whose parts have wakers of their own.

mod support;

use std::pin::Pin;
use std::time::Duration;

use futures::stream::{StreamExt, select_all};
use loopline::callback::{self, Next, Stream};
use support::{TestLoop, closes_clean, event_loop};

type Log = Vec<&'static str>;
type Part = Pin<Box<dyn Stream<Item = &'static str>>>;

/// Both brackets, each with a waker that `select_all` makes for it.
fn brackets() -> impl Stream<Item = &'static str> + Unpin + 'static {
    let before: Part = Box::pin(callback::before_park().map(|()| "before"));
    let after: Part = Box::pin(callback::after_park().map(|()| "after"));
    select_all([before, after])
}

fn turns(event_loop: &mut TestLoop<Log>, count: usize) -> Log {
    let mut log = Log::new();
    for _ in 0..count {
        event_loop.turn(&mut log, Duration::ZERO).unwrap();
    }
    log
}

// contract 16
#[test]
fn parts_with_wakers_of_their_own_are_told_of_no_wait_of_a_pause_either() {
    let mut event_loop = event_loop::<Log>();
    let handle = event_loop.handle();
    let item = handle.insert(brackets(), |event, _, log: &mut Log| {
        log.push(event);
        Next::Keep
    });
    let item = item.unwrap().control();
    assert_eq!(turns(&mut event_loop, 3), ["before", "after", "before", "after"]);
    item.pause();
    assert!(turns(&mut event_loop, 3).is_empty());
    // What stands between the brackets was told of this wait, and of no other.
    let inner = handle.insert(callback::before_park(), |(), _, log: &mut Log| {
        log.push("inner");
        Next::Keep
    });
    let inner = inner.unwrap().control();
    assert!(turns(&mut event_loop, 1).is_empty());
    item.resume();
    assert_eq!(turns(&mut event_loop, 1), ["before", "inner", "after"]);
    assert!(item.cancel() && inner.cancel());
    closes_clean(event_loop);
}
