//! Time: sleeping, limits, periods, and a timer with a callback. Ends by itself in under a second.
//!
//! ```text
//! cargo run --example timers
//! ```

use std::time::Duration;

use loopline::EventLoop;
use loopline::callback::Next;
use loopline::time::{self, MissedTickBehavior, Timer, interval, sleep, timeout};

const MS: Duration = Duration::from_millis(1);

/// What the callbacks share with the tasks.
struct Blinks(u32);

fn main() -> std::io::Result<()> {
    let mut event_loop = EventLoop::<Blinks>::new()?;
    let handle = event_loop.handle();

    // A timer is a source: it calls back every 20 ms, and is changed by way of the `&mut Timer`.
    handle.insert(Timer::every(20 * MS), |tick, timer, blinks: &mut Blinks| {
        blinks.0 += 1;
        println!("blink {}, {:?} late", blinks.0, tick.late());
        match blinks.0 {
            1..=3 => Next::Keep,
            4 => {
                // A last time, after a longer pause. A timer that is not set again ends by itself.
                timer.set_period(None);
                timer.set_after(50 * MS);
                Next::Keep
            }
            _ => Next::Stop,
        }
    })?;

    let mut blinks = Blinks(0);
    event_loop.run_until(&mut blinks, async {
        let start = time::now();
        sleep(5 * MS).await;
        println!("slept for {:?}: never less than asked for", time::now() - start);

        // The future inside is dropped when time is up, and may be tried again later.
        if timeout(5 * MS, sleep(Duration::MAX)).await.is_err() {
            println!("gave up on something that would have taken for ever");
        }

        // 25 ms pass after the first tick: the next one is late, and the one at 20 ms is missed.
        // `Burst`, the default, would deliver it at once; `Skip` goes on with the one at 30 ms.
        let mut interval = interval(10 * MS);
        interval.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let first = interval.tick().await;
        sleep(25 * MS).await;
        for _ in 0..3 {
            println!("tick at {:?}", interval.tick().await - first);
        }

        // Shared with the callback above: lent for the time of a closure.
        while handle.with(|blinks| blinks.0) < 5 {
            sleep(10 * MS).await;
        }
    })?;
    println!("{} blinks", blinks.0);
    Ok(())
}
