//! A server that answers so many requests a second and no more: those beyond wait in line, and those the
//! line has no room for are told at once. Shows a semaphore that a timer's callback refills.
//!
//! ```text
//! cargo run --release --example rate_limiter -- 127.0.0.1:7000 [requests a second]
//! yes hello | nc 127.0.0.1 7000 | pv -l > /dev/null
//! ```

use std::io;
use std::rc::Rc;
use std::time::Duration;

use loopline::io::Lines;
use loopline::net::{TcpListener, TcpStream};
use loopline::sync::Semaphore;
use loopline::time::Timer;
use loopline::{EventLoop, callback::Next, spawn};

/// How often permits are added.
const REFILL: Duration = Duration::from_millis(100);
/// How many requests may wait; all clients share the line.
const LINE_MAX: usize = 1000;

struct Limiter {
    /// One for each request that may be answered now.
    permits: Semaphore,
    /// One for each place in the line.
    places: Semaphore,
    /// Permits added at each refill; unused ones add up to one second's worth.
    each: usize,
}

impl Limiter {
    fn new(per_second: usize) -> Self {
        let each = (per_second / 10).max(1);
        Self { permits: Semaphore::new(each), places: Semaphore::new(LINE_MAX), each }
    }

    fn refill(&self) {
        let missing = (self.each * 10).saturating_sub(self.permits.available_permits());
        self.permits.add_permits(self.each.min(missing));
    }

    /// Waits for a permit, first come, first served. `false`: the line is full.
    async fn enter(&self) -> bool {
        let Ok(_place) = self.places.try_acquire() else { return false };
        // Dropped while it waits, it leaves the line and takes nothing with it.
        self.permits.acquire().await.expect("never closed").forget();
        true
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let address = args.next().unwrap_or_else(|| "127.0.0.1:0".into());
    let per_second = args.next().map_or(Ok(100), |text| text.parse())?;
    let limiter = Rc::new(Limiter::new(per_second));

    let mut event_loop = EventLoop::<()>::new()?;
    let refilled = limiter.clone();
    event_loop.handle().insert(Timer::every(REFILL), move |_tick, _timer, ()| {
        refilled.refill();
        Next::Keep
    })?;
    event_loop.block_on(listen(address, limiter))??;
    Ok(())
}

async fn listen(address: String, limiter: Rc<Limiter>) -> io::Result<()> {
    let listener = TcpListener::bind(address).await?;
    println!("listening on {}", listener.local_addr()?);
    loop {
        let (stream, _peer) = listener.accept().await?;
        let limiter = limiter.clone();
        spawn(async move { answer(&stream, &limiter).await });
    }
}

/// Answers each line with itself, as fast as the limit allows.
async fn answer(stream: &TcpStream, limiter: &Limiter) -> io::Result<()> {
    let mut lines = Lines::new(stream);
    while let Some(line) = lines.next().await.transpose()? {
        let answer = match limiter.enter().await {
            true => format!("{line}\n"),
            false => String::from("busy\n"),
        };
        stream.write_all(answer.as_bytes()).await?;
    }
    Ok(())
}
