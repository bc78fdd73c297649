//! What a task costs in memory while it waits.

use std::cell::Cell;
use std::future::poll_fn;
use std::hint::black_box;
use std::rc::Rc;
use std::task::Poll;

use crate::measure::{allocated, resident};
use crate::peer::Peer;
use crate::program::Asked;

/// `parked`: bytes per parked task beyond its future: resident; given out by the allocator.
pub fn run<P: Peer>(asked: &Asked) -> bool {
    if asked.case != "parked" {
        return false;
    }
    let tasks = asked.plan.operations;
    P::run(false, move |peer| async move {
        let end = Rc::new(Cell::new(false));
        let size = size_of_val(&parked(end.clone())) as f64;
        let before = (resident(), allocated());
        for _ in 0..tasks {
            peer.detach(parked(end.clone()));
        }
        // It runs after them all, on executors that keep the order.
        peer.spawn(async { 0 }).await;
        let beyond = |now: usize, before: usize| (now - before) as f64 / tasks as f64 - size;
        println!("{:.1} {:.1}", beyond(resident(), before.0), beyond(allocated(), before.1));
        // The tasks are left as they are: what they cost to end is not asked.
        std::process::exit(0);
    });
    true
}

/// A future of about 152 bytes that waits until it is told to end. It keeps a waker: smol drops a task
/// that nothing can wake.
async fn parked(end: Rc<Cell<bool>>) -> u64 {
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
