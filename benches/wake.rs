//! What does a wake and the poll after it cost, on the loop's own thread?
//!
//! Measured: the waker, the run queue, one poll of an almost empty future. Left out: the poller, but
//! for one look in 1,024 polls; wakes from other threads (`remote`).
//!
//! Run: `cargo bench --bench wake`

mod support;

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Duration;

use support::{Suite, thread_cpu, yield_once};

async fn yields(operations: usize) {
    for _ in 0..operations {
        yield_once().await;
    }
}

/// Whose turn it is, and who waits for it.
struct Table {
    turn: Cell<usize>,
    waiters: [RefCell<Option<Waker>>; 2],
}

/// Waits for its turn and passes it on.
async fn play(table: Rc<Table>, me: usize, times: usize) {
    for _ in 0..times {
        poll_fn(|cx| {
            if table.turn.get() == me {
                return Poll::Ready(());
            }
            let mut waiter = table.waiters[me].borrow_mut();
            if !waiter.as_ref().is_some_and(|waiter| waiter.will_wake(cx.waker())) {
                *waiter = Some(cx.waker().clone());
            }
            Poll::Pending
        })
        .await;
        table.turn.set(1 - me);
        if let Some(waiter) = &*table.waiters[1 - me].borrow() {
            waiter.wake_by_ref();
        }
    }
}

/// Runs tasks made by `make` to their end, and returns what that took.
fn together<F>(suite: &Suite, tasks: usize, make: impl Fn(usize) -> F) -> Duration
where
    F: Future<Output = ()> + 'static,
{
    let all = async {
        let began = thread_cpu();
        let joins: Vec<_> = (0..tasks).map(|n| loopline::spawn(make(n))).collect();
        for join in joins {
            join.await.expect("it ends");
        }
        thread_cpu() - began
    };
    suite.event_loop::<()>().block_on(all).expect("nothing stops the loop")
}

fn main() {
    let suite = Suite::new("ns CPU per wake and poll");
    suite.case("yield, one task", 1_000_000, |n| together(&suite, 1, |_| yields(n)));
    suite.case("yield, 1,000 tasks", 1_000_000, |n| together(&suite, 1_000, |_| yields(n / 1_000)));
    suite.case("ping-pong of two tasks", 1_000_000, |n| {
        let waiters = [RefCell::new(None), RefCell::new(None)];
        let table = Rc::new(Table { turn: Cell::new(0), waiters });
        together(&suite, 2, |me| play(table.clone(), me, n / 2))
    });
}
