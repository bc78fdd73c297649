//! Other threads and the loop: a channel that feeds a callback, work that a thread has done on the
//! loop and waits for, and a ping. Ends by itself.
//!
//! ```text
//! cargo run --example worker_thread
//! ```

use std::rc::Rc;
use std::thread;

use loopline::EventLoop;
use loopline::callback::{Next, channel, ping};

/// Not `Send`, and need not be: it never leaves the loop's thread.
struct State {
    seen: Rc<str>,
    sum: u64,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut event_loop = EventLoop::<State>::new()?;
    let handle = event_loop.handle();

    // Messages of one sender arrive in order. The source ends when the last sender is dropped.
    let (sender, receiver) = channel::<u64>();
    handle.insert(receiver, |number, _receiver, state| {
        state.sum += number;
        Next::Keep
    })?;

    // Pings say "look again" and carry nothing; several that come close together count as one.
    let (pinger, pings) = ping();
    handle.insert(pings, |(), _pings, state| {
        println!("pinged; the sum so far is {}", state.sum);
        Next::Keep
    })?;

    // A handle stays on its thread; a remote is its front door for the others.
    let remote = handle.remote();
    let worker = thread::spawn(move || {
        for number in 1..=10 {
            // An error: the loop is gone, and with it whoever wanted to know.
            if sender.send(number * number).is_err() {
                return None;
            }
        }
        pinger.ping();
        // The closure crosses over, the future that it makes does not: so it may hold an `Rc`.
        let join = remote.spawn(|handle| async move {
            let seen = handle.with(|state| state.seen.clone());
            loopline::yield_now().await;
            format!("{seen}, as seen by a task")
        });
        // Blocks this thread, which is fine, until the task has ended.
        join.ok()?.wait().ok()
    });

    // Returns when no source is left and no remote lives: when the worker has dropped its ends.
    let mut state = State { seen: "the loop's own text".into(), sum: 0 };
    event_loop.run(&mut state)?;
    println!("the worker got: {:?}", worker.join().expect("the worker does not panic"));
    println!("the sum is {}", state.sum);
    Ok(())
}
