//! glommio, on io_uring.

use std::future::Future;
use std::io;
use std::time::{Duration, Instant};

use futures_lite::io::{AsyncReadExt, AsyncWriteExt};
use glommio::LocalExecutorBuilder;
use glommio::timer::Timer;

use peers::echo::{ANY, announce};
use peers::peer::{Crosses, Echo, Peer, Sleeps};
use peers::program::Asked;
use peers::work::{cross, foreign, memory, spawn, timer, wake};

fn main() {
    let asked = Asked::read();
    let a = &asked;
    asked.known(
        a.echo::<Glommio>()
            || spawn::run::<Glommio>(a)
            || wake::run::<Glommio>(a)
            || timer::run::<Glommio>(a)
            || foreign::run::<Glommio>(a)
            || memory::run::<Glommio>(a)
            || cross::run::<Glommio>(a),
    );
}

#[derive(Clone, Copy)]
struct Glommio;

impl Peer for Glommio {
    fn run<F: Future<Output = ()> + 'static>(_: bool, make: impl FnOnce(Self) -> F) {
        let executor = LocalExecutorBuilder::default().make().expect("memory may be locked");
        executor.run(async { glommio::spawn_local(make(Self)).await });
    }

    #[inline]
    fn spawn<F: Future<Output = u64> + 'static>(self, future: F) -> impl Future + 'static {
        glommio::spawn_local(future)
    }

    #[inline]
    fn detach<F: Future<Output = u64> + 'static>(self, future: F) {
        glommio::spawn_local(future).detach();
    }
}

impl Sleeps for Glommio {
    type Sleep = Timer;

    #[inline]
    fn sleep(self, duration: Duration) -> Timer {
        Timer::new(duration)
    }

    #[inline]
    fn sleep_until(self, deadline: Instant) -> Timer {
        Timer::new(deadline.saturating_duration_since(Instant::now()))
    }
}

impl Crosses for Glommio {
    type Sender = async_channel::Sender<u64>;

    fn send(sender: &Self::Sender, item: u64) {
        sender.try_send(item).expect("the loop is there");
    }

    fn receive(
        long_turns: bool,
        start: impl FnOnce(Self::Sender),
        mut received: impl FnMut(u64) -> bool + 'static,
    ) {
        let (sender, receiver) = async_channel::unbounded();
        Self::run(long_turns, |_| {
            start(sender);
            async move {
                while let Ok(item) = receiver.recv().await {
                    if received(item) {
                        break;
                    }
                }
            }
        });
    }
}

/// glommio's errors are not `Sync`, so `io::Error` cannot hold them.
fn other(error: glommio::GlommioError<()>) -> io::Error {
    io::Error::other(error.to_string())
}

impl Echo for Glommio {
    fn serve<const BUFFER: usize>() -> io::Result<()> {
        let executor = LocalExecutorBuilder::default().make().map_err(other)?;
        executor.run(async {
            let listener = glommio::net::TcpListener::bind(ANY).map_err(other)?;
            announce(listener.local_addr().map_err(other)?);
            loop {
                let mut stream = listener.accept().await.map_err(other)?;
                let echo = async move {
                    let mut buffer = [0; BUFFER];
                    while let Ok(n @ 1..) = stream.read(&mut buffer).await {
                        if stream.write_all(&buffer[..n]).await.is_err() {
                            break;
                        }
                    }
                };
                glommio::spawn_local(echo).detach();
            }
        })
    }
}
