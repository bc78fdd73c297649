//! Tasks made and ended.

use std::cell::Cell;
use std::future::poll_fn;
use std::hint::black_box;
use std::rc::Rc;
use std::task::{Poll, Waker};

use super::rounds;
use crate::measure::Plan;
use crate::peer::Peer;
use crate::program::Asked;

pub fn run<P: Peer>(asked: &Asked) -> bool {
    let plan = asked.plan;
    match asked.case.as_str() {
        "spawn_join_one" => one::<P>(plan),
        "spawn_join" => batches::<P>(plan, asked.parameter),
        "detached" => detached::<P>(plan, asked.parameter),
        _ => return false,
    }
    true
}

/// Spawns a task and awaits it, one after the other.
fn one<P: Peer>(plan: Plan) {
    rounds::<P, _>(plan, |peer, operations| async move {
        for n in 0..operations as u64 {
            black_box(peer.spawn(async move { black_box(n) }).await);
        }
    });
}

/// Spawns that many tasks, then awaits them all; an operation is one task.
fn batches<P: Peer>(plan: Plan, batch: usize) {
    rounds::<P, _>(plan, move |peer, operations| async move {
        let mut joins = Vec::with_capacity(batch);
        for _ in 0..operations / batch {
            for n in 0..batch as u64 {
                joins.push(peer.spawn(async move { black_box(n) }));
            }
            for join in joins.drain(..) {
                black_box(join.await);
            }
        }
    });
}

/// Spawns that many tasks that nobody awaits; the last to run wakes who spawned them. (Who yields until they
/// ran would wait for ever on monoio, where a task that wakes itself runs before all others.)
fn detached<P: Peer>(plan: Plan, batch: usize) {
    rounds::<P, _>(plan, move |peer, operations| async move {
        let ran = Rc::new(Ran::default());
        for done in 1..=operations / batch {
            let all = done * batch;
            for n in 0..batch as u64 {
                let ran = ran.clone();
                peer.detach(async move {
                    ran.count.set(ran.count.get() + 1);
                    if ran.count.get() == all {
                        let waiter = ran.waiter.take();
                        waiter.expect("who spawned it waits").wake();
                    }
                    n
                });
            }
            poll_fn(|cx| {
                if ran.count.get() == all {
                    return Poll::Ready(());
                }
                ran.waiter.set(Some(cx.waker().clone()));
                Poll::Pending
            })
            .await;
        }
    });
}

#[derive(Default)]
struct Ran {
    count: Cell<usize>,
    waiter: Cell<Option<Waker>>,
}
