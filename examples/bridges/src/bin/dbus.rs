//! A service on D-Bus, beside a timer, on one thread.
//!
//! Run with `cargo run --features dbus --bin dbus /run/user/1000/bus`, and ask it:
//! `gdbus call --session --dest loopline.Clock --object-path /clock --method loopline.Clock.Seconds`.
//! Ctrl-C ends it.

#[cfg(target_os = "linux")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    use std::time::Duration;

    use bridges::dbus::{builder, drive};
    use loopline::callback::Next;
    use loopline::net::UnixStream;
    use loopline::time::Timer;
    use loopline::{EventLoop, Handle};

    struct Clock;

    #[zbus::interface(name = "loopline.Clock")]
    impl Clock {
        fn seconds(&self) -> u32 {
            // It runs in a task of the loop.
            Handle::<u32>::try_current().expect("the loop runs here").with(|seconds| *seconds)
        }
    }

    let path = std::env::args().nth(1).ok_or("the path of the bus's socket is missing")?;
    let mut event_loop = EventLoop::<u32>::new()?;
    event_loop.handle().insert(
        Timer::every(Duration::from_secs(1)),
        |_tick, _timer, seconds| {
            *seconds += 1;
            Next::Keep
        },
    )?;
    event_loop.run_until(&mut 0, async {
        let socket = UnixStream::connect(path).await?;
        let service = builder(socket).name("loopline.Clock")?.serve_at("/clock", Clock)?;
        let service = service.build().await?;
        drive(&service);
        println!("{} is there", service.unique_name().expect("the bus gives one"));
        loopline::signal::ctrl_c().await?;
        Ok(())
    })?
}

#[cfg(not(target_os = "linux"))]
fn main() {}
