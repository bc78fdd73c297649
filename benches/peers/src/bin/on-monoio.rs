//! monoio: `monoio` on epoll, `monoio-uring` on io_uring. With timers, without its `sync` feature, which
//! makes all wakes dearer; so nothing of other threads is measured.

use std::future::Future;
use std::io;
use std::marker::PhantomData;
use std::pin::Pin;
use std::time::{Duration, Instant};

use monoio::io::{AsyncReadRent, AsyncWriteRentExt};
use monoio::time::{Sleep, TimeDriver};
use monoio::{IoUringDriver, LegacyDriver, Runtime, RuntimeBuilder};

use peers::echo::{ANY, announce};
use peers::peer::{Echo, Peer, Resets, Sleeps};
use peers::program::Asked;
use peers::work::{memory, spawn, timer, wake};

fn main() {
    let asked = Asked::read();
    asked.known(match asked.peer.as_str() {
        "monoio" => run::<LegacyDriver>(&asked),
        "monoio-uring" => run::<IoUringDriver>(&asked),
        _ => false,
    });
}

fn run<D: Driver>(a: &Asked) -> bool {
    a.echo::<Monoio<D>>()
        || spawn::run::<Monoio<D>>(a)
        || wake::run::<Monoio<D>>(a)
        || timer::run::<Monoio<D>>(a)
        || timer::run_reset::<Monoio<D>>(a)
        || memory::run::<Monoio<D>>(a)
}

/// One of monoio's drivers.
trait Driver: 'static {
    type Timed: monoio::Driver;
    type Plain: monoio::Driver;

    fn timed() -> Runtime<Self::Timed>;
    fn plain() -> Runtime<Self::Plain>;
}

macro_rules! driver {
    ($driver:ident) => {
        impl Driver for $driver {
            type Timed = TimeDriver<$driver>;
            type Plain = $driver;

            fn timed() -> Runtime<Self::Timed> {
                let builder = RuntimeBuilder::<$driver>::new().enable_timer();
                builder.build().expect("descriptors are left")
            }

            fn plain() -> Runtime<$driver> {
                RuntimeBuilder::<$driver>::new().build().expect("descriptors are left")
            }
        }
    };
}

driver!(LegacyDriver);
driver!(IoUringDriver);

struct Monoio<D>(PhantomData<D>);

impl<D> Clone for Monoio<D> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<D> Copy for Monoio<D> {}

impl<D: Driver> Peer for Monoio<D> {
    fn run<F: Future<Output = ()> + 'static>(_: bool, make: impl FnOnce(Self) -> F) {
        let future = make(Self(PhantomData));
        D::timed().block_on(async { monoio::spawn(future).await });
    }

    #[inline]
    fn spawn<F: Future<Output = u64> + 'static>(self, future: F) -> impl Future + 'static {
        monoio::spawn(future)
    }

    #[inline]
    fn detach<F: Future<Output = u64> + 'static>(self, future: F) {
        drop(monoio::spawn(future));
    }
}

impl<D: Driver> Sleeps for Monoio<D> {
    type Sleep = Sleep;

    #[inline]
    fn sleep(self, duration: Duration) -> Sleep {
        monoio::time::sleep(duration)
    }

    #[inline]
    fn sleep_until(self, deadline: Instant) -> Sleep {
        monoio::time::sleep_until(deadline.into())
    }
}

impl<D: Driver> Resets for Monoio<D> {
    #[inline]
    fn reset(sleep: Pin<&mut Sleep>, deadline: Instant) {
        sleep.reset(deadline.into());
    }
}

impl<D: Driver> Echo for Monoio<D> {
    fn serve<const BUFFER: usize>() -> io::Result<()> {
        D::plain().block_on(async {
            let listener = monoio::net::TcpListener::bind(ANY)?;
            announce(listener.local_addr()?);
            loop {
                let (mut stream, _peer) = listener.accept().await?;
                monoio::spawn(async move {
                    let mut buffer = Vec::with_capacity(BUFFER);
                    loop {
                        let (read, filled) = stream.read(buffer).await;
                        if !matches!(read, Ok(1..)) {
                            break;
                        }
                        let (written, emptied) = stream.write_all(filled).await;
                        if written.is_err() {
                            break;
                        }
                        buffer = emptied;
                    }
                });
            }
        })
    }
}
