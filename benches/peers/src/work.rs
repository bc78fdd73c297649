//! The workloads. Each part has a function `run` that returns whether it knows the case.

pub mod channel;
pub mod cross;
pub mod foreign;
pub mod locks;
pub mod memory;
pub mod set;
pub mod spawn;
pub mod timer;
pub mod wake;

use std::future::{Future, poll_fn};
use std::task::Poll;

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
pub(crate) fn rounds<P: Peer, F>(plan: Plan, work: impl Fn(P, usize) -> F + 'static)
where
    F: Future<Output = ()> + 'static,
{
    P::run(plan.once, move |peer| async move {
        for counted in plan.rounds() {
            let began = thread_cpu();
            work(peer, plan.operations).await;
            plan.report(counted, thread_cpu() - began);
        }
    });
}
