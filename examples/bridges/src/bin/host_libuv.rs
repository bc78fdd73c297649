//! A loop of libuv as one source of ours: its timers beside a task of ours, on one thread.
//!
//! Run with `cargo run --features libuv --bin host_libuv`; it needs libuv (Debian: libuv1-dev).

use std::io;
use std::time::Duration;

use bridges::uv::Uv;
use loopline::EventLoop;
use loopline::callback::Next;
use loopline::io::ForeignLoop;
use loopline::time::interval;

fn main() -> io::Result<()> {
    let mut event_loop = EventLoop::<()>::new()?;
    let handle = event_loop.handle();

    let uv = Uv::new()?;
    let mut ticks = 0;
    uv.every(Duration::from_millis(300), move || {
        ticks += 1;
        println!("libuv's timer, {ticks}");
        ticks < 5
    });
    // Silent before it first ran.
    uv.run();
    handle.item().label("libuv").insert(ForeignLoop::new(uv, Uv::timeout), |event, uv, ()| {
        event.expect("libuv's descriptor can be waited for");
        uv.get_ref().run();
        if uv.get_ref().is_alive() { Next::Keep } else { Next::Stop }
    })?;

    handle.item().background().spawn(async {
        let mut interval = interval(Duration::from_millis(200));
        loop {
            interval.tick().await;
            println!("our interval");
        }
    });
    event_loop.run(&mut ())?;
    Ok(())
}
