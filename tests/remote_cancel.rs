//! Items of remotes that are cancelled, at once.

mod support;

use std::cell::Cell;
use std::future::{Ready, poll_fn};
use std::task::Poll;
use std::time::Duration;

use loopline::{Control, Handle, WaitError};
use support::{closes_clean, event_loop};

// contract 30, 35
#[test]
fn an_item_that_is_cancelled_before_it_is_made_never_is() {
    let mut event_loop = event_loop::<()>();
    let remote = event_loop.handle().remote();
    let join = remote.spawn(|_| -> Ready<()> { panic!("made") }).unwrap();
    // So many messages that those behind them are for the next turn.
    let others: Vec<_> = (0..1023).map(|_| remote.spawn(|_| async {}).unwrap()).collect();
    join.cancel();
    drop(remote);
    event_loop.run(&mut ()).unwrap();
    assert!(matches!(join.wait(), Err(WaitError::Join(error)) if error.is_cancelled()));
    drop(others);
    closes_clean(event_loop);
}

thread_local! {
    static KEPT: Cell<Option<Control>> = const { Cell::new(None) };
}

// contract 35
#[test]
fn an_item_that_is_cancelled_while_it_is_queued_does_not_run_once_more() {
    let mut event_loop = event_loop::<u32>();
    let join = event_loop.handle().remote().spawn(|handle: Handle<u32>| {
        KEPT.set(handle.current());
        poll_fn(move |_| {
            handle.with(|polls| *polls += 1);
            Poll::<()>::Pending
        })
    });
    let (join, mut polls) = (join.unwrap(), 0);
    event_loop.turn(&mut polls, Duration::ZERO).unwrap();
    assert_eq!(polls, 1);
    assert!(KEPT.take().expect("an item").wake());
    join.cancel();
    event_loop.run(&mut polls).unwrap();
    assert_eq!(polls, 1);
    assert!(join.is_finished());
    closes_clean(event_loop);
}
