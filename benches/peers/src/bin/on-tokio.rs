//! tokio, current thread: `tokio` is `LocalRuntime`, faster than `LocalSet` in most cases; `tokio-localset`.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::time::{Duration, Instant};

use tokio::runtime::Builder;
use tokio::task::{JoinSet, LocalSet, spawn_local};
use tokio::time::Sleep;

use peers::echo::{ANY, announce};
use peers::peer::{Crosses, Echo, Peer, Resets, Sets, Sleeps};
use peers::program::Asked;
use peers::work::{channel, cross, foreign, locks, memory, set, spawn, timer, wake};
use peers::{channels, locks as locks_of};

fn main() {
    let asked = Asked::read();
    asked.known(match asked.peer.as_str() {
        "tokio" => asked.echo::<LocalRuntime>() || run::<LocalRuntime>(&asked),
        "tokio-localset" => run::<InLocalSet>(&asked),
        _ => false,
    });
}

fn run<P: Resets + Sets + Crosses>(a: &Asked) -> bool {
    spawn::run::<P>(a)
        || wake::run::<P>(a)
        || timer::run::<P>(a)
        || timer::run_reset::<P>(a)
        || set::run::<P>(a)
        || foreign::run::<P>(a)
        || memory::run::<P>(a)
        || cross::run::<P>(a)
        || channel::run::<P, Tokio>(a)
        || locks::run::<P, Tokio>(a)
}

#[derive(Clone, Copy)]
struct LocalRuntime;

#[derive(Clone, Copy)]
struct InLocalSet;

impl Peer for LocalRuntime {
    fn run<F: Future<Output = ()> + 'static>(_: bool, make: impl FnOnce(Self) -> F) {
        let mut builder = Builder::new_current_thread();
        let runtime =
            builder.enable_all().build_local(Default::default()).expect("descriptors are left");
        let future = make(Self);
        runtime.block_on(async { spawn_local(future).await }).expect("the workload ends");
    }

    #[inline]
    fn spawn<F: Future<Output = u64> + 'static>(self, future: F) -> impl Future + 'static {
        spawn_local(future)
    }

    #[inline]
    fn detach<F: Future<Output = u64> + 'static>(self, future: F) {
        drop(spawn_local(future));
    }
}

impl Peer for InLocalSet {
    fn run<F: Future<Output = ()> + 'static>(_: bool, make: impl FnOnce(Self) -> F) {
        let runtime =
            Builder::new_current_thread().enable_all().build().expect("descriptors are left");
        let future = make(Self);
        LocalSet::new()
            .block_on(&runtime, async { spawn_local(future).await })
            .expect("the workload ends");
    }

    #[inline]
    fn spawn<F: Future<Output = u64> + 'static>(self, future: F) -> impl Future + 'static {
        spawn_local(future)
    }

    #[inline]
    fn detach<F: Future<Output = u64> + 'static>(self, future: F) {
        drop(spawn_local(future));
    }
}

/// What does not differ between the two.
macro_rules! both {
    ($peer:ident) => {
        impl Sleeps for $peer {
            type Sleep = Sleep;

            #[inline]
            fn sleep(self, duration: Duration) -> Sleep {
                tokio::time::sleep(duration)
            }

            #[inline]
            fn sleep_until(self, deadline: Instant) -> Sleep {
                tokio::time::sleep_until(deadline.into())
            }
        }

        impl Resets for $peer {
            #[inline]
            fn reset(sleep: Pin<&mut Sleep>, deadline: Instant) {
                sleep.reset(deadline.into());
            }
        }

        impl Sets for $peer {
            type Set = JoinSet<u64>;

            #[inline]
            fn add<F: Future<Output = u64> + 'static>(self, set: &mut Self::Set, future: F) {
                set.spawn_local(future);
            }

            #[inline]
            async fn next(set: &mut Self::Set) -> Option<u64> {
                set.join_next().await.map(|n| n.expect("it ends"))
            }
        }

        impl Crosses for $peer {
            type Sender = tokio::sync::mpsc::UnboundedSender<u64>;

            fn send(sender: &Self::Sender, item: u64) {
                sender.send(item).expect("the loop is there");
            }

            fn receive(
                long_turns: bool,
                start: impl FnOnce(Self::Sender),
                mut received: impl FnMut(u64) -> bool + 'static,
            ) {
                let (sender, mut receiver) = tokio::sync::mpsc::unbounded_channel();
                Self::run(long_turns, |_| {
                    start(sender);
                    async move {
                        while let Some(item) = receiver.recv().await {
                            if received(item) {
                                break;
                            }
                        }
                    }
                });
            }
        }
    };
}

both!(LocalRuntime);
both!(InLocalSet);

impl Echo for LocalRuntime {
    fn serve<const BUFFER: usize>() -> io::Result<()> {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let mut builder = Builder::new_current_thread();
        let runtime = builder.enable_all().build_local(Default::default())?;
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::bind(ANY).await?;
            announce(listener.local_addr()?);
            loop {
                let (mut stream, _peer) = listener.accept().await?;
                spawn_local(async move {
                    let mut buffer = [0; BUFFER];
                    while let Ok(n @ 1..) = stream.read(&mut buffer).await {
                        if stream.write_all(&buffer[..n]).await.is_err() {
                            break;
                        }
                    }
                });
            }
        })
    }
}

struct Tokio;

channels!(
    Tokio,
    tokio::sync::mpsc,
    (
        tokio::sync::mpsc::UnboundedSender<T>,
        tokio::sync::mpsc::UnboundedReceiver<T>,
        tokio::sync::mpsc::unbounded_channel()
    ),
    tokio::sync::oneshot
);
locks_of!(Tokio, tokio::sync::Mutex<u64>, tokio::sync::Semaphore);
