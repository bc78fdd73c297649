//! The floor for task work: the least that is an executor. One box a task, plain counts, no checks: a waker
//! used on another thread is undefined behaviour here, a panic leaks, nothing is cancelled, nothing waits
//! for the system. Nobody should use it; it shows what is left to gain.

use std::cell::{Cell, UnsafeCell};
use std::collections::VecDeque;
use std::future::Future;
use std::mem::ManuallyDrop;
use std::pin::Pin;
use std::task::{Context, Poll, RawWaker, RawWakerVTable, Waker};

use peers::peer::Peer;
use peers::program::Asked;
use peers::work::{memory, spawn, wake};

fn main() {
    let asked = Asked::read();
    let a = &asked;
    asked.known(spawn::run::<Floor>(a) || wake::run::<Floor>(a) || memory::run::<Floor>(a));
}

/// The head of each task's box. A task is known by a pointer to it.
struct Head {
    run: unsafe fn(*const Head),
    free: unsafe fn(*const Head),
    holders: Cell<usize>,
    queued: Cell<bool>,
    waiter: Cell<Option<Waker>>,
}

enum Stage<F> {
    Future(F),
    Output(u64),
}

#[repr(C)]
struct Task<F> {
    head: Head,
    stage: UnsafeCell<Stage<F>>,
}

thread_local! {
    static QUEUE: UnsafeCell<VecDeque<*const Head>> = const { UnsafeCell::new(VecDeque::new()) };
}

fn push(task: *const Head) {
    // SAFETY: one thread, and nothing here calls other code while it has the reference.
    QUEUE.with(|queue| unsafe { (*queue.get()).push_back(task) });
}

fn pop() -> Option<*const Head> {
    // SAFETY: as in `push`.
    QUEUE.with(|queue| unsafe { (*queue.get()).pop_front() })
}

// SAFETY (all): `task` points to a live box, because whoever passes it holds one of its counts.
unsafe fn release(task: *const Head) {
    unsafe {
        let holders = (*task).holders.get() - 1;
        (*task).holders.set(holders);
        if holders == 0 {
            ((*task).free)(task);
        }
    }
}

unsafe fn free<F>(task: *const Head) {
    drop(unsafe { Box::from_raw(task.cast_mut().cast::<Task<F>>()) });
}

unsafe fn run<F: Future<Output = u64>>(task: *const Head) {
    unsafe {
        let whole = task.cast::<Task<F>>();
        (*task).queued.set(false);
        let Stage::Future(future) = &mut *(*whole).stage.get() else { return release(task) };
        // The queue's count goes on as this waker's.
        let waker = ManuallyDrop::new(Waker::from_raw(RawWaker::new(task.cast(), &VTABLE)));
        let poll = Pin::new_unchecked(future).poll(&mut Context::from_waker(&waker));
        if let Poll::Ready(output) = poll {
            *(*whole).stage.get() = Stage::Output(output);
            if let Some(waiter) = (*task).waiter.take() {
                waiter.wake();
            }
        }
        release(task);
    }
}

static VTABLE: RawWakerVTable = RawWakerVTable::new(
    |data| unsafe {
        let task = data.cast::<Head>();
        (*task).holders.set((*task).holders.get() + 1);
        RawWaker::new(data, &VTABLE)
    },
    |data| unsafe {
        let task = data.cast::<Head>();
        if (*task).queued.replace(true) {
            release(task);
        } else {
            push(task);
        }
    },
    |data| unsafe {
        let task = data.cast::<Head>();
        if !(*task).queued.replace(true) {
            (*task).holders.set((*task).holders.get() + 1);
            push(task);
        }
    },
    |data| unsafe { release(data.cast()) },
);

struct Join(*const Head, unsafe fn(*const Head) -> Option<u64>);

unsafe fn output<F>(task: *const Head) -> Option<u64> {
    match unsafe { &*(*task.cast::<Task<F>>()).stage.get() } {
        Stage::Output(output) => Some(*output),
        Stage::Future(_) => None,
    }
}

impl Future for Join {
    type Output = u64;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<u64> {
        // SAFETY: the handle holds a count.
        unsafe {
            match self.1(self.0) {
                Some(output) => Poll::Ready(output),
                None => {
                    (*self.0).waiter.set(Some(cx.waker().clone()));
                    Poll::Pending
                }
            }
        }
    }
}

impl Drop for Join {
    fn drop(&mut self) {
        // SAFETY: the handle holds a count.
        unsafe { release(self.0) }
    }
}

#[derive(Clone, Copy)]
struct Floor;

impl Floor {
    #[inline]
    fn start<F: Future<Output = u64> + 'static>(self, future: F) -> Join {
        let head = Head {
            run: run::<F>,
            free: free::<F>,
            holders: Cell::new(2),
            queued: Cell::new(true),
            waiter: Cell::new(None),
        };
        let stage = UnsafeCell::new(Stage::Future(future));
        let task = Box::into_raw(Box::new(Task { head, stage })).cast_const().cast::<Head>();
        push(task);
        Join(task, output::<F>)
    }
}

impl Peer for Floor {
    fn run<F: Future<Output = ()> + 'static>(_: bool, make: impl FnOnce(Self) -> F) {
        let future = make(Self);
        let mut root = std::pin::pin!(Self.start(async move {
            future.await;
            0
        }));
        while let Some(task) = pop() {
            // SAFETY: the queue holds a count, which `run` takes.
            unsafe { ((*task).run)(task) };
        }
        let poll = root.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert!(poll.is_ready(), "nothing can wake it any more");
    }

    #[inline]
    fn spawn<F: Future<Output = u64> + 'static>(self, future: F) -> impl Future + 'static {
        self.start(future)
    }

    #[inline]
    fn detach<F: Future<Output = u64> + 'static>(self, future: F) {
        drop(self.start(future));
    }
}
