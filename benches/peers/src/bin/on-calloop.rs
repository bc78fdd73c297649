//! calloop: its `executor` for tasks, which has no join handle, so one is made of two cells here; its
//! sources for timers, channels and descriptors.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use calloop::generic::Generic;
use calloop::timer::{TimeoutAction, TimeoutFuture, Timer};
use calloop::{EventLoop, Interest, LoopHandle, Mode, PostAction, RegistrationToken};

use peers::callback::{Descriptors, Pings, Timers, drain, run_descriptors, run_pings, run_timers};
use peers::echo::{ANY, announce};
use peers::peer::{Crosses, Echo, Peer, Sleeps};
use peers::program::Asked;
use peers::work::{cross, foreign, memory, spawn, timer, wake};

fn main() {
    let asked = Asked::read();
    let a = &asked;
    asked.known(
        a.echo::<Sources>()
            || spawn::run::<Calloop>(a)
            || wake::run::<Calloop>(a)
            || timer::run::<Calloop>(a)
            || foreign::run::<Calloop>(a)
            || memory::run::<Calloop>(a)
            || cross::run::<Sources>(a)
            || run_timers::<Sources>(a)
            || run_descriptors::<Sources>(a)
            || run_pings::<Sources>(a),
    );
}

#[derive(Clone, Copy)]
struct Calloop {
    scheduler: &'static calloop::futures::Scheduler<()>,
    handle: &'static LoopHandle<'static, bool>,
}

/// What a task and who awaits it share.
struct Joint {
    output: Cell<Option<u64>>,
    waiter: RefCell<Option<Waker>>,
}

struct Join(Rc<Joint>);

impl Future for Join {
    type Output = u64;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<u64> {
        match self.0.output.get() {
            Some(output) => Poll::Ready(output),
            None => {
                *self.0.waiter.borrow_mut() = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl Peer for Calloop {
    fn run<F: Future<Output = ()> + 'static>(_: bool, make: impl FnOnce(Self) -> F) {
        let mut event_loop = EventLoop::<'static, bool>::try_new().expect("descriptors are left");
        let (executor, scheduler) =
            calloop::futures::executor::<()>().expect("descriptors are left");
        let handle: &'static _ = Box::leak(Box::new(event_loop.handle()));
        handle.insert_source(executor, |(), (), _| {}).expect("the loop takes sources");
        let scheduler: &'static _ = Box::leak(Box::new(scheduler));
        let done = Rc::new(Cell::new(false));
        let future = make(Self { scheduler, handle });
        let set = done.clone();
        let work = async move {
            future.await;
            set.set(true);
        };
        scheduler.schedule(work).expect("the executor lives");
        while !done.get() {
            event_loop.dispatch(None, &mut false).expect("the poller works");
        }
    }

    #[inline]
    fn spawn<F: Future<Output = u64> + 'static>(self, future: F) -> impl Future + 'static {
        let joint = Rc::new(Joint { output: Cell::new(None), waiter: RefCell::new(None) });
        let ours = joint.clone();
        let work = async move {
            ours.output.set(Some(future.await));
            let waiter = ours.waiter.borrow_mut().take();
            if let Some(waiter) = waiter {
                waiter.wake();
            }
        };
        self.scheduler.schedule(work).expect("the executor lives");
        Join(joint)
    }

    #[inline]
    fn detach<F: Future<Output = u64> + 'static>(self, future: F) {
        let work = async move {
            future.await;
        };
        self.scheduler.schedule(work).expect("the executor lives");
    }
}

impl Sleeps for Calloop {
    type Sleep = TimeoutFuture;

    #[inline]
    fn sleep(self, duration: Duration) -> TimeoutFuture {
        TimeoutFuture::from_duration(self.handle, duration)
    }

    #[inline]
    fn sleep_until(self, deadline: Instant) -> TimeoutFuture {
        TimeoutFuture::from_deadline(self.handle, deadline)
    }
}

struct Sources(EventLoop<'static, ()>);

impl Sources {
    fn try_new() -> Self {
        Self(EventLoop::try_new().expect("descriptors are left"))
    }

    fn dispatch(&mut self, wait: bool) {
        let timeout = if wait { None } else { Some(Duration::ZERO) };
        self.0.dispatch(timeout, &mut ()).expect("the poller works");
    }
}

impl Crosses for Sources {
    type Sender = calloop::channel::Sender<u64>;

    fn send(sender: &Self::Sender, item: u64) {
        sender.send(item).expect("the loop is there");
    }

    fn receive(
        _: bool,
        start: impl FnOnce(Self::Sender),
        mut received: impl FnMut(u64) -> bool + 'static,
    ) {
        let mut sources = Self::try_new();
        let (sender, receiver) = calloop::channel::channel();
        let done = Rc::new(Cell::new(false));
        let set = done.clone();
        let inserted = sources.0.handle().insert_source(receiver, move |event, (), ()| {
            if let calloop::channel::Event::Msg(item) = event {
                set.set(received(item));
            }
        });
        inserted.expect("the loop takes sources");
        start(sender);
        while !done.get() {
            sources.dispatch(true);
        }
    }
}

impl Timers for Sources {
    type Key = RegistrationToken;

    fn new() -> Self {
        Self::try_new()
    }

    #[inline]
    fn insert(&mut self, deadline: Instant, fired: impl FnOnce() + 'static) -> RegistrationToken {
        let mut fired = Some(fired);
        let timer = Timer::from_deadline(deadline);
        let inserted = self.0.handle().insert_source(timer, move |_, (), ()| {
            if let Some(fired) = fired.take() {
                fired();
            }
            TimeoutAction::Drop
        });
        inserted.expect("the loop takes sources")
    }

    #[inline]
    fn cancel(&mut self, key: RegistrationToken) {
        self.0.handle().remove(key);
    }

    fn turn(&mut self, wait: bool) {
        self.dispatch(wait);
    }
}

impl Descriptors for Sources {
    fn new() -> Self {
        Self::try_new()
    }

    fn add(&mut self, fd: OwnedFd, events: Rc<Cell<usize>>) {
        let source = Generic::new(fd, Interest::READ, Mode::Edge);
        let inserted = self.0.handle().insert_source(source, move |_, fd, ()| {
            if drain(&**fd).is_ok() {
                events.set(events.get() + 1);
            }
            Ok(PostAction::Continue)
        });
        inserted.map_err(|error| error.to_string()).expect("the loop takes sources");
    }

    fn turn(&mut self) {
        self.dispatch(false);
    }
}

impl Pings for Sources {
    type Ping = calloop::ping::Ping;

    fn new() -> Self {
        Self::try_new()
    }

    fn add(&mut self, events: Rc<Cell<usize>>) -> Self::Ping {
        let (ping, source) = calloop::ping::make_ping().expect("descriptors are left");
        let inserted = self.0.handle().insert_source(source, move |(), (), ()| {
            events.set(events.get() + 1);
        });
        inserted.expect("the loop takes sources");
        ping
    }

    fn ping(ping: &Self::Ping) {
        ping.ping();
    }

    fn turn(&mut self) {
        self.dispatch(false);
    }
}

impl Echo for Sources {
    fn serve<const BUFFER: usize>() -> io::Result<()> {
        let mut event_loop = EventLoop::<'static, ()>::try_new()?;
        let handle = event_loop.handle();
        let listener = std::net::TcpListener::bind(ANY)?;
        listener.set_nonblocking(true)?;
        announce(listener.local_addr()?);
        let streams = handle.clone();
        let accept = Generic::new(listener, Interest::READ, Mode::Level);
        let inserted = handle.insert_source(accept, move |_, listener, ()| {
            while let Ok((stream, _peer)) = listener.accept() {
                stream.set_nonblocking(true)?;
                let source = Generic::new(stream, Interest::READ, Mode::Level);
                let mut buffer = [0; BUFFER];
                let inserted = streams.insert_source(source, move |_, stream, ()| {
                    let mut stream = &**stream;
                    Ok(match stream.read(&mut buffer) {
                        Ok(0) => PostAction::Remove,
                        // What does not fit is the client's loss here: it waits for its answers.
                        Ok(n) => stream
                            .write_all(&buffer[..n])
                            .map_or(PostAction::Remove, |()| PostAction::Continue),
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                            PostAction::Continue
                        }
                        Err(_) => PostAction::Remove,
                    })
                });
                inserted.map_err(|error| io::Error::other(error.to_string()))?;
            }
            Ok(PostAction::Continue)
        });
        inserted.map_err(|error| io::Error::other(error.to_string()))?;
        loop {
            event_loop.dispatch(None, &mut ()).map_err(io::Error::other)?;
        }
    }
}
