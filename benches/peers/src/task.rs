//! The workloads on one thread, written once for all peers.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::hint::black_box;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Duration;

use crate::measure::{Plan, thread_cpu};
use crate::peer::Peer;

/// Pending once, having woken itself: what `yield_now` of most peers does. tokio's own is left out; it
/// looks at the poller each time.
pub async fn yield_once() {
    let mut yielded = false;
    poll_fn(|cx| {
        if yielded {
            return Poll::Ready(());
        }
        yielded = true;
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Runs `work` for each round, in a task, and reports what an operation took.
fn rounds<P: Peer, F: Future<Output = ()>>(plan: Plan, work: impl Fn(P, usize) -> F + 'static)
where
    F: 'static,
{
    P::run(move |peer| async move {
        for counted in plan.rounds() {
            let began = thread_cpu();
            work(peer, plan.operations).await;
            plan.report(counted, thread_cpu() - began);
        }
    });
}

/// Spawns a task and awaits it, one after the other.
pub fn spawn_join_one<P: Peer>(plan: Plan) {
    rounds::<P, _>(plan, |peer, operations| async move {
        for n in 0..operations as u64 {
            black_box(peer.spawn(async move { black_box(n) }).await);
        }
    });
}

/// Spawns 1,000 tasks, then awaits them all; an operation is one task.
pub fn spawn_join_1000<P: Peer>(plan: Plan) {
    rounds::<P, _>(plan, |peer, operations| async move {
        let mut joins = Vec::with_capacity(1000);
        for _ in 0..operations / 1000 {
            for n in 0..1000_u64 {
                joins.push(peer.spawn(async move { black_box(n) }));
            }
            for join in joins.drain(..) {
                black_box(join.await);
            }
        }
    });
}

/// Spawns 1,000 tasks that nobody awaits, then lets them run.
pub fn detached<P: Peer>(plan: Plan) {
    rounds::<P, _>(plan, |peer, operations| async move {
        let ran = Rc::new(Cell::new(0));
        for batch in 0..operations / 1000 {
            for n in 0..1000_u64 {
                let ran = ran.clone();
                peer.detach(async move {
                    ran.set(ran.get() + 1);
                    n
                });
            }
            while ran.get() < (batch + 1) * 1000 {
                yield_once().await;
            }
        }
    });
}

/// One task wakes itself; an operation is one time.
pub fn yield_one<P: Peer>(plan: Plan) {
    rounds::<P, _>(plan, |_, operations| async move {
        for _ in 0..operations {
            yield_once().await;
        }
    });
}

/// 1,000 tasks wake themselves in turn.
pub fn yield_1000<P: Peer>(plan: Plan) {
    rounds::<P, _>(plan, |peer, operations| async move {
        let joins: Vec<_> = (0..1000)
            .map(|n| {
                peer.spawn(async move {
                    for _ in 0..operations / 1000 {
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
pub fn pingpong<P: Peer>(plan: Plan, keep: bool) {
    rounds::<P, _>(plan, move |peer, operations| async move {
        let waiters = [RefCell::new(None), RefCell::new(None)];
        let table = Rc::new(Table { turn: Cell::new(0), waiters });
        let one = peer.spawn(play(table.clone(), 0, operations / 2, keep));
        let other = peer.spawn(play(table, 1, operations / 2, keep));
        one.await;
        other.await;
    });
}

/// Makes a sleep, polls it once and drops it. One that is earlier stays alive throughout: tokio writes
/// to an eventfd for each new earliest timer, which is not what this asks about.
pub fn sleep<P: Peer>(plan: Plan) {
    rounds::<P, _>(plan, |peer, operations| async move {
        let mut earlier = pin!(peer.sleep(Duration::from_secs(20)));
        poll_fn(|cx| Poll::Ready(assert!(earlier.as_mut().poll(cx).is_pending()))).await;
        for n in 0..operations {
            let mut sleep = pin!(peer.sleep(Duration::from_secs(30)));
            poll_fn(|cx| Poll::Ready(assert!(sleep.as_mut().poll(cx).is_pending()))).await;
            if n % 64 == 63 {
                yield_once().await;
            }
        }
    });
}

/// The same, each the earliest of all.
pub fn sleep_earliest<P: Peer>(plan: Plan) {
    rounds::<P, _>(plan, |peer, operations| async move {
        for n in 0..operations {
            let mut sleep = pin!(peer.sleep(Duration::from_secs(30)));
            poll_fn(|cx| Poll::Ready(assert!(sleep.as_mut().poll(cx).is_pending()))).await;
            if n % 64 == 63 {
                yield_once().await;
            }
        }
    });
}

/// A future of about 152 bytes that waits until it is told to end. It keeps a waker: smol drops a task
/// that nothing can wake.
pub async fn parked(end: Rc<Cell<bool>>) -> u64 {
    let mut kept = [0_u64; 12];
    let mut waker = None;
    poll_fn(|cx| {
        black_box(&mut kept);
        black_box(waker.insert(cx.waker().clone()));
        if end.get() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    kept[0]
}

/// Parks tasks, and prints what `measured` grew by for each, less the future itself: first detached,
/// then with their handles kept (the handles in the count).
pub fn parked_memory<P: Peer>(tasks: usize, handles: bool, measured: fn() -> usize) {
    P::run(move |peer| async move {
        let end = Rc::new(Cell::new(false));
        let size = size_of_val(&parked(end.clone()));
        let before = measured();
        let mut joins = Vec::new();
        if handles {
            joins = Vec::with_capacity(tasks);
        }
        for _ in 0..tasks {
            if handles {
                joins.push(peer.spawn(parked(end.clone())));
            } else {
                peer.detach(parked(end.clone()));
            }
        }
        // Until each was polled once; the executors that poll in batches take a few rounds.
        for _ in 0..tasks / 8 + 8 {
            yield_once().await;
        }
        let grown = measured() - before;
        println!("{:.1}", grown as f64 / tasks as f64 - size as f64);
        eprintln!("future {size} B, handle {} B", size_of_val_of(&joins));
        // The tasks are left as they are: what they cost to end is not asked.
        std::process::exit(0);
    });
}

fn size_of_val_of<T>(_: &[T]) -> usize {
    size_of::<T>()
}
