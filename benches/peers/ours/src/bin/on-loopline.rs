//! Loopline: `loopline` is tasks; `loopline-callback` and, for descriptors, `loopline-task` are what they say.
//! `NAME-on-loopline`: the channels and locks of others on our loop, so that nothing else differs.

use std::cell::Cell;
use std::future::Future;
use std::io;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::rc::Rc;
use std::time::{Duration, Instant};

use loopline::callback::Next;
use loopline::io::{FdSource, Interest, Trigger};
use loopline::time::{Sleep, Timer};
use loopline::{Control, EventLoop, Handle};

use peers::callback::{Descriptors, Pings, Timers, drain, run_descriptors, run_pings, run_timers};
use peers::echo::{ANY, announce};
use peers::peer::{Crosses, Echo, Peer, Resets, Sets, Sleeps};
use peers::program::Asked;
use peers::work::{channel, cross, foreign, locks, memory, set, spawn, timer, wake};
use peers::{channels, locks as locks_of, unbounded};

fn main() {
    let asked = Asked::read();
    let a = &asked;
    asked.known(match asked.peer.as_str() {
        "loopline" => {
            a.echo::<Tasks>()
                || spawn::run::<Tasks>(a)
                || wake::run::<Tasks>(a)
                || timer::run::<Tasks>(a)
                || timer::run_reset::<Tasks>(a)
                || set::run::<Tasks>(a)
                || foreign::run::<Tasks>(a)
                || memory::run::<Tasks>(a)
                || cross::run::<Tasks>(a)
                || channel::run::<Tasks, Ours>(a)
                || locks::run::<Tasks, Ours>(a)
        }
        "loopline-task" => run_descriptors::<Awaiting>(a),
        "loopline-callback" => {
            a.echo::<Callbacks>()
                || cross::run::<Callbacks>(a)
                || run_timers::<Callbacks>(a)
                || run_descriptors::<Callbacks>(a)
                || run_pings::<Callbacks>(a)
        }
        "tokio-on-loopline" => {
            channel::run::<Tasks, Tokio>(a) || locks::run::<Tasks, TokioLocks>(a)
        }
        "local-sync-on-loopline" => channel::run::<Tasks, LocalSync>(a),
        "local-channel-on-loopline" => channel::run_unbounded::<Tasks, LocalChannel>(a),
        _ => false,
    });
}

fn new_loop<S: 'static>(long_turns: bool) -> EventLoop<S> {
    let mut builder = EventLoop::builder();
    if long_turns {
        builder = builder.time_per_turn(Duration::from_secs(1));
    }
    builder.build().expect("descriptors are left")
}

#[derive(Clone, Copy)]
struct Tasks;

impl Peer for Tasks {
    fn run<F: Future<Output = ()> + 'static>(long_turns: bool, make: impl FnOnce(Self) -> F) {
        let future = make(Self);
        let done = new_loop::<()>(long_turns).block_on(async { loopline::spawn(future).await });
        done.expect("nothing stops the loop").expect("the workload ends");
    }

    #[inline]
    fn spawn<F: Future<Output = u64> + 'static>(self, future: F) -> impl Future + 'static {
        loopline::spawn(future)
    }

    #[inline]
    fn detach<F: Future<Output = u64> + 'static>(self, future: F) {
        drop(loopline::spawn(future));
    }
}

impl Sleeps for Tasks {
    type Sleep = Sleep;

    #[inline]
    fn sleep(self, duration: Duration) -> Sleep {
        loopline::time::sleep(duration)
    }

    #[inline]
    fn sleep_until(self, deadline: Instant) -> Sleep {
        loopline::time::sleep_until(deadline)
    }
}

impl Resets for Tasks {
    #[inline]
    fn reset(mut sleep: Pin<&mut Sleep>, deadline: Instant) {
        sleep.reset(deadline);
    }
}

impl Sets for Tasks {
    type Set = loopline::JoinSet<u64>;

    #[inline]
    fn add<F: Future<Output = u64> + 'static>(self, set: &mut Self::Set, future: F) {
        set.spawn(future);
    }

    #[inline]
    async fn next(set: &mut Self::Set) -> Option<u64> {
        set.join_next().await.map(|n| n.expect("it ends"))
    }
}

impl Crosses for Tasks {
    type Sender = loopline::sync::remote::mpsc::UnboundedSender<u64>;

    fn send(sender: &Self::Sender, item: u64) {
        sender.send(item).expect("the loop is there");
    }

    fn receive(
        long_turns: bool,
        start: impl FnOnce(Self::Sender),
        mut received: impl FnMut(u64) -> bool + 'static,
    ) {
        let mut event_loop = new_loop::<()>(long_turns);
        let all = async {
            let (sender, mut receiver) = loopline::sync::remote::mpsc::unbounded_channel();
            start(sender);
            let receiving = loopline::spawn(async move {
                while let Some(item) = receiver.recv().await {
                    if received(item) {
                        break;
                    }
                }
            });
            receiving.await.expect("it ends");
        };
        event_loop.block_on(all).expect("nothing stops the loop");
    }
}

impl Echo for Tasks {
    fn serve<const BUFFER: usize>() -> io::Result<()> {
        loopline::block_on(async {
            let listener = loopline::net::TcpListener::bind(ANY).await?;
            announce(listener.local_addr()?);
            loop {
                let (stream, _peer) = listener.accept().await?;
                loopline::spawn(async move {
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

struct Callbacks {
    event_loop: EventLoop<()>,
    handle: Handle<()>,
}

impl Callbacks {
    fn new() -> Self {
        let event_loop = new_loop(false);
        Self { handle: event_loop.handle(), event_loop }
    }

    fn turn(&mut self, wait: bool) {
        let timeout = if wait { None } else { Some(Duration::ZERO) };
        self.event_loop.turn(&mut (), timeout).expect("the poller works");
    }
}

impl Crosses for Callbacks {
    type Sender = loopline::callback::Sender<u64>;

    fn send(sender: &Self::Sender, item: u64) {
        sender.send(item).expect("the loop is there");
    }

    fn receive(
        long_turns: bool,
        start: impl FnOnce(Self::Sender),
        mut received: impl FnMut(u64) -> bool + 'static,
    ) {
        let mut event_loop = new_loop::<()>(long_turns);
        let handle = event_loop.handle();
        let (sender, receiver) = loopline::callback::channel();
        let inserted = handle.insert(receiver, move |item, _, ()| {
            if received(item) {
                handle.stop();
            }
            Next::Keep
        });
        drop(inserted.expect("the loop is there"));
        start(sender);
        // It was stopped.
        drop(event_loop.run(&mut ()));
    }
}

impl Timers for Callbacks {
    type Key = Control;

    fn new() -> Self {
        Self::new()
    }

    #[inline]
    fn insert(&mut self, deadline: Instant, fired: impl FnOnce() + 'static) -> Control {
        let mut fired = Some(fired);
        let inserted = self.handle.insert(Timer::at(deadline), move |_, _, ()| {
            if let Some(fired) = fired.take() {
                fired();
            }
            Next::Stop
        });
        inserted.expect("the loop is there").control()
    }

    #[inline]
    fn cancel(&mut self, key: Control) {
        key.cancel();
    }

    fn turn(&mut self, wait: bool) {
        self.turn(wait);
    }
}

impl Descriptors for Callbacks {
    fn new() -> Self {
        Self::new()
    }

    fn add(&mut self, fd: OwnedFd, events: Rc<Cell<usize>>) {
        let source = FdSource::with_trigger(fd, Interest::READABLE, Trigger::Edge);
        let inserted = self.handle.insert(source, move |_, source, ()| {
            if source.try_io(drain).is_ok() {
                events.set(events.get() + 1);
            }
            Next::Keep
        });
        drop(inserted.expect("the loop is there"));
    }

    fn turn(&mut self) {
        self.turn(false);
    }
}

impl Pings for Callbacks {
    type Ping = loopline::callback::Ping;

    fn new() -> Self {
        Self::new()
    }

    fn add(&mut self, events: Rc<Cell<usize>>) -> Self::Ping {
        let (ping, source) = loopline::callback::ping();
        let inserted = self.handle.insert(source, move |(), _, ()| {
            events.set(events.get() + 1);
            Next::Keep
        });
        drop(inserted.expect("the loop is there"));
        ping
    }

    fn ping(ping: &Self::Ping) {
        ping.ping();
    }

    fn turn(&mut self) {
        self.turn(false);
    }
}

/// Descriptors, each awaited by a task.
struct Awaiting(Callbacks);

impl Descriptors for Awaiting {
    fn new() -> Self {
        Self(Callbacks::new())
    }

    fn add(&mut self, fd: OwnedFd, events: Rc<Cell<usize>>) {
        let mut source = FdSource::with_trigger(fd, Interest::READABLE, Trigger::Edge);
        drop(self.0.handle.spawn(async move {
            while source.next().await.is_some() {
                if source.try_io(drain).is_ok() {
                    events.set(events.get() + 1);
                }
            }
        }));
    }

    fn turn(&mut self) {
        self.0.turn(false);
    }
}

/// The listener as a callback, the connections as tasks: a connection's answer may have to wait.
impl Echo for Callbacks {
    fn serve<const BUFFER: usize>() -> io::Result<()> {
        let mut event_loop = EventLoop::<u64>::new()?;
        let handle = event_loop.handle();
        let listener = event_loop.run_until(&mut 0, loopline::net::TcpListener::bind(ANY))??;
        announce(listener.local_addr()?);
        handle.insert(listener.into_incoming(), move |stream, _, served| {
            *served += 1;
            let Ok(stream) = stream else { return Next::Keep };
            handle.spawn(async move {
                let mut buffer = [0; BUFFER];
                while let Ok(n @ 1..) = stream.read(&mut buffer).await {
                    if stream.write_all(&buffer[..n]).await.is_err() {
                        break;
                    }
                }
            });
            Next::Keep
        })?;
        Ok(event_loop.run(&mut 0)?)
    }
}

struct Ours;
struct Tokio;
struct TokioLocks;
struct LocalSync;
struct LocalChannel;

mod local_bounded {
    pub use local_sync::mpsc::bounded::{Rx as Receiver, Tx as Sender, channel};
}

channels!(
    Ours,
    loopline::sync::mpsc,
    (
        loopline::sync::mpsc::UnboundedSender<T>,
        loopline::sync::mpsc::UnboundedReceiver<T>,
        loopline::sync::mpsc::unbounded_channel()
    ),
    loopline::sync::oneshot
);
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
channels!(
    LocalSync,
    local_bounded,
    (
        local_sync::mpsc::unbounded::Tx<T>,
        local_sync::mpsc::unbounded::Rx<T>,
        local_sync::mpsc::unbounded::channel()
    ),
    local_sync::oneshot
);
unbounded!(
    LocalChannel,
    local_channel::mpsc::Sender<T>,
    local_channel::mpsc::Receiver<T>,
    local_channel::mpsc::channel()
);
locks_of!(Ours, loopline::sync::Mutex<u64>, loopline::sync::Semaphore);
locks_of!(TokioLocks, tokio::sync::Mutex<u64>, tokio::sync::Semaphore);
