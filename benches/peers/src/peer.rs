//! The peers, each in its best shape.
//!
//! - The work runs in a spawned task, never in the root future of `block_on`: tokio polls its root only
//!   after a look at the poller, and the others poll theirs apart from the queue too.
//! - tokio: `LocalRuntime`, faster than `LocalSet` for most cases; both are here.
//! - smol: `StaticLocalExecutor`, which keeps no list of tasks, under async-io's `block_on`.
//! - monoio: the epoll driver, with timers, without its `sync` feature.
//! - calloop: its `executor` source. It has no join handle, so one is made of two cells here.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// Set while instructions are counted: the program runs some 50 times slower then, and a turn of ours,
/// which ends after 50 us, would run as many times fewer items.
pub static INSTRUCTIONS: AtomicBool = AtomicBool::new(false);

/// One runtime. `Copy`: a handle.
pub trait Peer: Copy + 'static {
    /// Runs the future that `make` returns in a spawned task, until it is done.
    fn run<F: Future<Output = ()> + 'static>(make: impl FnOnce(Self) -> F);

    /// Spawns a task; the future returned awaits its output.
    fn spawn<F: Future<Output = u64> + 'static>(self, future: F) -> impl Future + 'static;

    /// Spawns a task nobody awaits.
    fn detach<F: Future<Output = u64> + 'static>(self, future: F);

    /// Returns the runtime's sleep.
    fn sleep(self, duration: Duration) -> impl Future;
}

#[derive(Clone, Copy)]
pub struct Loopline;

impl Peer for Loopline {
    fn run<F: Future<Output = ()> + 'static>(make: impl FnOnce(Self) -> F) {
        let mut builder = loopline::EventLoop::<()>::builder();
        if INSTRUCTIONS.load(Ordering::Relaxed) {
            builder = builder.time_per_turn(Duration::from_secs(1));
        }
        let mut event_loop = builder.build().expect("descriptors are left");
        let future = make(Self);
        let done = event_loop.block_on(async { loopline::spawn(future).await });
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

    #[inline]
    fn sleep(self, duration: Duration) -> impl Future {
        loopline::time::sleep(duration)
    }
}

#[derive(Clone, Copy)]
pub struct TokioLocalRuntime;

impl Peer for TokioLocalRuntime {
    fn run<F: Future<Output = ()> + 'static>(make: impl FnOnce(Self) -> F) {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        let runtime =
            builder.enable_all().build_local(Default::default()).expect("descriptors are left");
        let future = make(Self);
        runtime
            .block_on(async { tokio::task::spawn_local(future).await })
            .expect("the workload ends");
    }

    #[inline]
    fn spawn<F: Future<Output = u64> + 'static>(self, future: F) -> impl Future + 'static {
        tokio::task::spawn_local(future)
    }

    #[inline]
    fn detach<F: Future<Output = u64> + 'static>(self, future: F) {
        drop(tokio::task::spawn_local(future));
    }

    #[inline]
    fn sleep(self, duration: Duration) -> impl Future {
        tokio::time::sleep(duration)
    }
}

#[derive(Clone, Copy)]
pub struct TokioLocalSet;

impl Peer for TokioLocalSet {
    fn run<F: Future<Output = ()> + 'static>(make: impl FnOnce(Self) -> F) {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        let runtime = builder.enable_all().build().expect("descriptors are left");
        let future = make(Self);
        tokio::task::LocalSet::new()
            .block_on(&runtime, async { tokio::task::spawn_local(future).await })
            .expect("the workload ends");
    }

    #[inline]
    fn spawn<F: Future<Output = u64> + 'static>(self, future: F) -> impl Future + 'static {
        tokio::task::spawn_local(future)
    }

    #[inline]
    fn detach<F: Future<Output = u64> + 'static>(self, future: F) {
        drop(tokio::task::spawn_local(future));
    }

    #[inline]
    fn sleep(self, duration: Duration) -> impl Future {
        tokio::time::sleep(duration)
    }
}

#[derive(Clone, Copy)]
pub struct Monoio;

impl Peer for Monoio {
    fn run<F: Future<Output = ()> + 'static>(make: impl FnOnce(Self) -> F) {
        let mut runtime = monoio::RuntimeBuilder::<monoio::LegacyDriver>::new()
            .enable_timer()
            .build()
            .expect("descriptors are left");
        let future = make(Self);
        runtime.block_on(async { monoio::spawn(future).await });
    }

    #[inline]
    fn spawn<F: Future<Output = u64> + 'static>(self, future: F) -> impl Future + 'static {
        monoio::spawn(future)
    }

    #[inline]
    fn detach<F: Future<Output = u64> + 'static>(self, future: F) {
        drop(monoio::spawn(future));
    }

    #[inline]
    fn sleep(self, duration: Duration) -> impl Future {
        monoio::time::sleep(duration)
    }
}

#[derive(Clone, Copy)]
pub struct Smol(&'static async_executor::StaticLocalExecutor);

impl Peer for Smol {
    fn run<F: Future<Output = ()> + 'static>(make: impl FnOnce(Self) -> F) {
        let executor = async_executor::LocalExecutor::new().leak();
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

    #[inline]
    fn sleep(self, duration: Duration) -> impl Future {
        async_io::Timer::after(duration)
    }
}

#[derive(Clone, Copy)]
pub struct Calloop {
    scheduler: &'static calloop::futures::Scheduler<()>,
    handle: &'static calloop::LoopHandle<'static, bool>,
}

/// What a task and who awaits it share on calloop.
struct Joint {
    output: Cell<Option<u64>>,
    waiter: RefCell<Option<Waker>>,
}

struct CalloopJoin(Rc<Joint>);

impl Future for CalloopJoin {
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
    fn run<F: Future<Output = ()> + 'static>(make: impl FnOnce(Self) -> F) {
        let mut event_loop =
            calloop::EventLoop::<'static, bool>::try_new().expect("descriptors are left");
        let (executor, scheduler) =
            calloop::futures::executor::<()>().expect("descriptors are left");
        let handle: &'static _ = Box::leak(Box::new(event_loop.handle()));
        handle.insert_source(executor, |(), (), _| {}).expect("the loop takes sources");
        let scheduler: &'static _ = Box::leak(Box::new(scheduler));
        let done = Rc::new(Cell::new(false));
        let future = make(Self { scheduler, handle });
        let set = done.clone();
        scheduler
            .schedule(async move {
                future.await;
                set.set(true)
            })
            .expect("the executor lives");
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
        CalloopJoin(joint)
    }

    #[inline]
    fn detach<F: Future<Output = u64> + 'static>(self, future: F) {
        self.scheduler.schedule(async move { drop(future.await) }).expect("the executor lives");
    }

    #[inline]
    fn sleep(self, duration: Duration) -> impl Future {
        calloop::timer::TimeoutFuture::from_duration(self.handle, duration)
    }
}
