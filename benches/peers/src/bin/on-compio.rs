//! compio on io_uring.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::time::{Duration, Instant};

use compio::BufResult;
use compio::io::{AsyncRead, AsyncWriteExt};
use compio::runtime::Runtime;

use peers::echo::{ANY, announce};
use peers::peer::{Crosses, Echo, Peer, Sleeps};
use peers::program::Asked;
use peers::work::{cross, foreign, memory, spawn, timer, wake};

fn main() {
    let asked = Asked::read();
    let a = &asked;
    asked.known(
        a.echo::<Compio>()
            || spawn::run::<Compio>(a)
            || wake::run::<Compio>(a)
            || timer::run::<Compio>(a)
            || foreign::run::<Compio>(a)
            || memory::run::<Compio>(a)
            || cross::run::<Compio>(a),
    );
}

#[derive(Clone, Copy)]
struct Compio;

impl Peer for Compio {
    fn run<F: Future<Output = ()> + 'static>(_: bool, make: impl FnOnce(Self) -> F) {
        let runtime = Runtime::new().expect("descriptors are left");
        let future = make(Self);
        let done = runtime.block_on(async { compio::runtime::spawn(future).await });
        done.expect("the workload ends");
    }

    #[inline]
    fn spawn<F: Future<Output = u64> + 'static>(self, future: F) -> impl Future + 'static {
        compio::runtime::spawn(future)
    }

    #[inline]
    fn detach<F: Future<Output = u64> + 'static>(self, future: F) {
        compio::runtime::spawn(future).detach();
    }
}

impl Sleeps for Compio {
    // Its sleep is an `async fn`, whose type has no name.
    type Sleep = Pin<Box<dyn Future<Output = ()>>>;

    #[inline]
    fn sleep(self, duration: Duration) -> Self::Sleep {
        Box::pin(compio::time::sleep(duration))
    }

    #[inline]
    fn sleep_until(self, deadline: Instant) -> Self::Sleep {
        Box::pin(compio::time::sleep_until(deadline))
    }
}

impl Crosses for Compio {
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

impl Echo for Compio {
    fn serve<const BUFFER: usize>() -> io::Result<()> {
        Runtime::new()?.block_on(async {
            let listener = compio::net::TcpListener::bind(ANY).await?;
            announce(listener.local_addr()?);
            loop {
                let (mut stream, _peer) = listener.accept().await?;
                let echo = async move {
                    let mut buffer = Vec::with_capacity(BUFFER);
                    loop {
                        let BufResult(read, filled) = stream.read(buffer).await;
                        if !matches!(read, Ok(1..)) {
                            break;
                        }
                        let BufResult(written, emptied) = stream.write_all(filled).await;
                        if written.is_err() {
                            break;
                        }
                        buffer = emptied;
                        buffer.clear();
                    }
                };
                compio::runtime::spawn(echo).detach();
            }
        })
    }
}
