//! Wakes on the loop's own thread.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};

use super::{rounds, yield_once};
use crate::measure::Plan;
use crate::peer::Peer;
use crate::program::Asked;

pub fn run<P: Peer>(asked: &Asked) -> bool {
    let plan = asked.plan;
    match asked.case.as_str() {
        "yield" if asked.parameter <= 1 => yield_one::<P>(plan),
        "yield" => yield_many::<P>(plan, asked.parameter),
        "pingpong" => pingpong::<P>(plan, true),
        "pingpong_take" => pingpong::<P>(plan, false),
        _ => return false,
    }
    true
}

/// One task wakes itself; an operation is one time.
fn yield_one<P: Peer>(plan: Plan) {
    rounds::<P, _>(plan, |_, operations| async move {
        for _ in 0..operations {
            yield_once().await;
        }
    });
}

/// That many tasks wake themselves in turn.
fn yield_many<P: Peer>(plan: Plan, tasks: usize) {
    rounds::<P, _>(plan, move |peer, operations| async move {
        let joins: Vec<_> = (0..tasks as u64)
            .map(|n| {
                peer.spawn(async move {
                    for _ in 0..operations / tasks {
                        yield_once().await;
                    }
                    n
                })
            })
            .collect();
        for join in joins {
            join.await;
        }
    });
}

/// Whose turn it is, and who waits for it.
struct Table {
    turn: Cell<usize>,
    waiters: [RefCell<Option<Waker>>; 2],
}

/// One side of the game: waits for its turn, passes it on. `keep`: the waker stays where it is, and is
/// compared and not cloned (a peer's best); else it is taken and cloned anew, as channels do.
async fn play(table: Rc<Table>, me: usize, times: usize, keep: bool) -> u64 {
    for _ in 0..times {
        poll_fn(|cx| {
            if table.turn.get() == me {
                return Poll::Ready(());
            }
            let mut slot = table.waiters[me].borrow_mut();
            if !slot.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
                *slot = Some(cx.waker().clone());
            }
            Poll::Pending
        })
        .await;
        table.turn.set(1 - me);
        if keep {
            if let Some(waker) = &*table.waiters[1 - me].borrow() {
                waker.wake_by_ref();
            }
        } else {
            let waker = table.waiters[1 - me].borrow_mut().take();
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    }
    0
}

/// Two tasks wake each other in turn; an operation is one wake and the poll after it.
fn pingpong<P: Peer>(plan: Plan, keep: bool) {
    rounds::<P, _>(plan, move |peer, operations| async move {
        let waiters = [RefCell::new(None), RefCell::new(None)];
        let table = Rc::new(Table { turn: Cell::new(0), waiters });
        let one = peer.spawn(play(table.clone(), 0, operations / 2, keep));
        let other = peer.spawn(play(table, 1, operations / 2, keep));
        one.await;
        other.await;
    });
}
