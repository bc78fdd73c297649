//! Callbacks and tasks on one state: a timer with a callback measures, a task evaluates, and a hook
//! flushes what both wrote before the loop goes to sleep. Ends by itself.
//!
//! ```text
//! cargo run --example mixed
//! ```

use std::time::Duration;

use loopline::EventLoop;
use loopline::callback::{Next, before_park};
use loopline::time::{Timer, sleep};

#[derive(Default)]
struct State {
    readings: Vec<u32>,
    /// Lines to be printed together.
    screen: Vec<String>,
}

fn main() -> std::io::Result<()> {
    let mut event_loop = EventLoop::<State>::new()?;
    let handle = event_loop.handle();

    // A callback gets the state as `&mut`, whatever tasks there are: only one thing runs at a time.
    let mut reading = 1;
    let sensor = Timer::every(Duration::from_millis(3));
    let sensor = handle.insert(sensor, move |_tick, _timer, state: &mut State| {
        reading = reading * 5 % 23;
        state.readings.push(reading);
        state.screen.push(format!("measured {reading}"));
        Next::Keep
    })?;

    // Whatever was written in a turn is printed at its end, in one go. In the background: the hook
    // alone does not keep the loop running.
    handle.item().label("screen").background().insert(
        before_park(),
        |(), _hook, state: &mut State| {
            if !state.screen.is_empty() {
                println!("{}", std::mem::take(&mut state.screen).join(", "));
            }
            Next::Keep
        },
    )?;

    // A task borrows the state between its awaits.
    handle.spawn(async move {
        for _ in 0..3 {
            sleep(Duration::from_millis(10)).await;
            handle.with(|state| {
                let sum: u32 = state.readings.iter().sum();
                state.screen.push(format!("the sum of {} is {sum}", state.readings.len()));
            });
        }
        // Every item can be cancelled, callbacks too. Then nothing is left, and `run` returns.
        sensor.cancel();
    });

    let mut state = State::default();
    event_loop.run(&mut state)?;
    // What the last turn wrote: no wait followed it.
    println!("{}", state.screen.join(", "));
    Ok(())
}
