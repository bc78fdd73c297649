//! Items from another thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use crate::measure::{Plan, thread_cpu};
use crate::peer::Crosses;
use crate::program::Asked;

/// Reported is CPU time of the loop's thread for each item.
///
/// `cross_stream`: another thread sends as fast as it can. `cross_drain`: all are there before the loop
/// looks. `cross_parked`: one after the other, each when the loop sleeps.
pub fn run<C: Crosses>(asked: &Asked) -> bool {
    match asked.case.as_str() {
        "cross_stream" => each_round::<C>(asked.plan, stream),
        "cross_drain" => each_round::<C>(asked.plan, |plan, sender, received| {
            let sending = stream(plan, sender, received)?;
            sending.join().expect("it ends");
            None
        }),
        "cross_parked" => each_round::<C>(asked.plan, parked),
        _ => return false,
    }
    true
}

type Sending = Option<thread::JoinHandle<()>>;

fn each_round<C: Crosses>(plan: Plan, start: fn(Plan, Send<C>, Arc<AtomicUsize>) -> Sending) {
    for counted in plan.rounds() {
        let received = Arc::new(AtomicUsize::new(0));
        let seen = received.clone();
        let mut sending = None;
        let began = std::rc::Rc::new(std::cell::Cell::new(Duration::ZERO));
        let from = began.clone();
        let mut next = 0;
        C::receive(
            plan.once,
            |sender| {
                sending = start(plan, Send(sender), seen);
                began.set(thread_cpu());
            },
            move |item| {
                assert_eq!(item, next, "in order");
                next += 1;
                received.store(next as usize, Ordering::Release);
                if (next as usize) < plan.operations {
                    return false;
                }
                plan.report(counted, thread_cpu() - from.get());
                true
            },
        );
        if let Some(sending) = sending {
            sending.join().expect("it ends");
        }
    }
}

/// A sender on its way.
struct Send<C: Crosses>(C::Sender);

fn stream<C: Crosses>(plan: Plan, sender: Send<C>, _: Arc<AtomicUsize>) -> Sending {
    let sender = sender.0;
    Some(thread::spawn(move || (0..plan.operations as u64).for_each(|n| C::send(&sender, n))))
}

fn parked<C: Crosses>(plan: Plan, sender: Send<C>, received: Arc<AtomicUsize>) -> Sending {
    let sender = sender.0;
    Some(thread::spawn(move || {
        for n in 0..plan.operations {
            while received.load(Ordering::Acquire) < n {
                thread::yield_now();
            }
            // Until it sleeps.
            thread::sleep(Duration::from_micros(100));
            C::send(&sender, n as u64);
        }
    }))
}
