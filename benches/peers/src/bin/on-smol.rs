//! smol: `StaticLocalExecutor`, which keeps no list of tasks, under async-io's `block_on`.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::time::{Duration, Instant};

use async_executor::{LocalExecutor, StaticLocalExecutor};
use async_io::Timer;
use futures_lite::io::{AsyncReadExt, AsyncWriteExt};

use peers::echo::{ANY, announce};
use peers::locks as locks_of;
use peers::peer::{Crosses, Echo, Peer, Resets, Sleeps};
use peers::program::Asked;
use peers::work::{cross, foreign, locks, memory, spawn, timer, wake};

fn main() {
    let asked = Asked::read();
    let a = &asked;
    asked.known(
        a.echo::<Smol>()
            || spawn::run::<Smol>(a)
            || wake::run::<Smol>(a)
            || timer::run::<Smol>(a)
            || timer::run_reset::<Smol>(a)
            || foreign::run::<Smol>(a)
            || memory::run::<Smol>(a)
            || cross::run::<Smol>(a)
            || locks::run::<Smol, AsyncLock>(a),
    );
}

#[derive(Clone, Copy)]
struct Smol(&'static StaticLocalExecutor);

impl Peer for Smol {
    fn run<F: Future<Output = ()> + 'static>(_: bool, make: impl FnOnce(Self) -> F) {
        let executor = LocalExecutor::new().leak();
        let task = executor.spawn(make(Self(executor)));
        async_io::block_on(executor.run(task));
    }

    #[inline]
    fn spawn<F: Future<Output = u64> + 'static>(self, future: F) -> impl Future + 'static {
        self.0.spawn(future)
    }

    #[inline]
    fn detach<F: Future<Output = u64> + 'static>(self, future: F) {
        self.0.spawn(future).detach();
    }
}

impl Sleeps for Smol {
    type Sleep = Timer;

    #[inline]
    fn sleep(self, duration: Duration) -> Timer {
        Timer::after(duration)
    }

    #[inline]
    fn sleep_until(self, deadline: Instant) -> Timer {
        Timer::at(deadline)
    }
}

impl Resets for Smol {
    #[inline]
    fn reset(mut sleep: Pin<&mut Timer>, deadline: Instant) {
        sleep.set_at(deadline);
    }
}

impl Crosses for Smol {
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

impl Echo for Smol {
    fn serve<const BUFFER: usize>() -> io::Result<()> {
        let executor = LocalExecutor::new().leak();
        async_io::block_on(executor.run(async {
            let listener = async_net::TcpListener::bind(ANY).await?;
            announce(listener.local_addr()?);
            loop {
                let (mut stream, _peer) = listener.accept().await?;
                let echo = async move {
                    let mut buffer = [0; BUFFER];
                    while let Ok(n @ 1..) = stream.read(&mut buffer).await {
                        if stream.write_all(&buffer[..n]).await.is_err() {
                            break;
                        }
                    }
                };
                executor.spawn(echo).detach();
            }
        }))
    }
}

struct AsyncLock;

locks_of!(AsyncLock, async_lock::Mutex<u64>, async_lock::Semaphore);
