//! Work that takes long, on a loop that has a timer to keep: in one go, which makes the timer late; a
//! chunk at a time, which lets it pass between; and on another thread. Ends by itself.
//!
//! ```text
//! cargo run --release --example polite_cpu [millions of steps]
//! ```

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use loopline::time::{Timer, now, sleep};
use loopline::{EventLoop, callback::Next, spawn_blocking, yield_now};

/// Steps between two pauses: some 10 us. The loop looks at its timers after 64 of them at the latest.
const CHUNK: u64 = 10_000;

/// Some steps of a computation that nobody can shorten.
fn steps(mut x: u64, count: u64) -> u64 {
    for _ in 0..count {
        x = std::hint::black_box(x.rotate_left(5) ^ x.wrapping_mul(0x9E37_79B9_7F4A_7C15));
    }
    x
}

/// The same computation, polite: any task may run between two chunks.
async fn polite_steps(mut x: u64, count: u64) -> u64 {
    for begun in (0..count).step_by(CHUNK as usize) {
        x = steps(x, CHUNK.min(count - begun));
        yield_now().await;
    }
    x
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let millions: u64 = std::env::args().nth(1).map_or(Ok(100), |text| text.parse())?;
    let count = millions * 1_000_000;
    let mut event_loop = EventLoop::<()>::new()?;

    // The bystander: every 10 ms it notes how late it is.
    let worst = Rc::new(Cell::new(Duration::ZERO));
    let seen = worst.clone();
    event_loop.handle().insert(Timer::every(Duration::from_millis(10)), move |tick, _, ()| {
        seen.set(seen.get().max(tick.late()));
        Next::Keep
    })?;

    event_loop.block_on(async {
        let report = async |what: &str, began, result: u64| {
            let took = now() - began;
            sleep(Duration::from_millis(20)).await; // until the timer has had its say
            let late = worst.take();
            println!("{what:<20} {result:016x} in {took:>7.1?}; the timer was {late:>7.1?} late");
        };
        sleep(Duration::from_millis(20)).await; // the timer has begun
        let began = now();
        report("in one go", began, steps(1, count)).await;

        let began = now();
        report("a chunk at a time", began, polite_steps(1, count).await).await;

        let began = now();
        match spawn_blocking(move || steps(1, count)).await {
            Ok(result) => report("on another thread", began, result).await,
            // It panicked, or the system has no thread for it. The loop goes on in either case.
            Err(error) => println!("on another thread: {error}"),
        }
    })?;
    Ok(())
}
