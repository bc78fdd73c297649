//! Items of remotes that are cancelled, at once.

mod support;

use std::future::{Future, Ready};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use loopline::{Handle, WaitError};
use support::{closes_clean, event_loop};

// contract 30, 35
#[test]
fn an_item_that_is_cancelled_before_it_is_made_never_is() {
    let mut event_loop = event_loop::<()>();
    let remote = event_loop.handle().remote();
    // So many messages that those behind it are for the next turn.
    let others: Vec<_> = (0..1023).map(|_| remote.spawn(|_| async {}).unwrap()).collect();
    let join = remote.spawn(|_| -> Ready<()> { panic!("made") }).unwrap();
    join.cancel();
    drop(remote);
    event_loop.run(&mut ()).unwrap();
    assert!(matches!(join.wait(), Err(WaitError::Join(error)) if error.is_cancelled()));
    drop(others);
    closes_clean(event_loop);
}

#[test]
fn an_item_that_is_cancelled_while_it_is_queued_does_not_run_once_more() {
    let mut event_loop = event_loop::<u32>();
    let join = event_loop.handle().remote().spawn(|handle: Handle<u32>| async move {
        loop {
            handle.with(|polls| *polls += 1);
            NextTurn(handle, false).await;
        }
    });
    let (join, mut polls) = (join.unwrap(), 0);
    for _ in 0..3 {
        event_loop.turn(&mut polls, Duration::ZERO).unwrap();
    }
    let before = polls;
    join.cancel();
    event_loop.run(&mut polls).unwrap();
    assert_eq!(polls, before);
    closes_clean(event_loop);
}

/// Ready in the next turn.
struct NextTurn(Handle<u32>, bool);

impl Future for NextTurn {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if std::mem::replace(&mut self.1, true) {
            return Poll::Ready(());
        }
        let waker = cx.waker().clone();
        self.0.next_turn(move |_| waker.wake());
        Poll::Pending
    }
}
