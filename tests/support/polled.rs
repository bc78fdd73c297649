//! Futures polled by hand, with wakers that count, or that run code of their own.
#![allow(dead_code, unreachable_pub)] // each test file uses a part

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, RawWaker, RawWakerVTable, Wake, Waker};

/// Counts how often it is woken.
#[derive(Default)]
pub struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// Makes a waker and its count.
pub fn counter() -> (Arc<Count>, Waker) {
    let count = Arc::<Count>::default();
    (count.clone(), Waker::from(count))
}

impl Count {
    pub fn get(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

/// A future in a box with a waker of its own, foreign to every loop.
pub struct Polled<F> {
    future: Pin<Box<F>>,
    count: Arc<Count>,
}

impl<F: Future> Polled<F> {
    pub fn new(future: F) -> Self {
        Self { future: Box::pin(future), count: Arc::default() }
    }

    /// Polls it, with nothing woken yet.
    pub fn poll(&mut self) -> Poll<F::Output> {
        self.count.0.store(0, Ordering::SeqCst);
        let waker = Waker::from(self.count.clone());
        self.future.as_mut().poll(&mut Context::from_waker(&waker))
    }

    /// Polls it with a waker that is not its own.
    pub fn poll_with(&mut self, waker: &Waker) -> Poll<F::Output> {
        self.future.as_mut().poll(&mut Context::from_waker(waker))
    }

    /// Polls it, and returns what it gives.
    #[track_caller]
    pub fn ready(&mut self) -> F::Output {
        match self.poll() {
            Poll::Ready(output) => output,
            Poll::Pending => panic!("pending"),
        }
    }

    /// Polls it, and says whether it waits.
    pub fn waits(&mut self) -> bool {
        self.poll().is_pending()
    }

    /// How often it was woken since its last poll.
    pub fn wakes(&self) -> usize {
        self.count.0.load(Ordering::SeqCst)
    }
}

/// Polls a future once.
#[track_caller]
pub fn now<F: Future>(future: F) -> F::Output {
    Polled::new(future).ready()
}

/// What was done to a waker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Done {
    Clone,
    Wake,
    Drop,
}

type Hook = Box<dyn FnOnce()>;

thread_local! {
    static HOOK: RefCell<Option<(Done, Hook)>> = const { RefCell::new(None) };
}

/// Makes a waker that calls `hook` the first time that this is done to it or to a clone of it.
pub fn hooked(when: Done, hook: impl FnOnce() + 'static) -> Waker {
    HOOK.set(Some((when, Box::new(hook))));
    // SAFETY: the functions of HOOKED take any data, and look at it nowhere.
    unsafe { Waker::from_raw(RAW) }
}

/// Whether the hook was called.
pub fn hook_called() -> bool {
    HOOK.with_borrow(Option::is_none)
}

static HOOKED: RawWakerVTable = RawWakerVTable::new(
    |_| {
        done(Done::Clone);
        RAW
    },
    |_| {
        done(Done::Wake);
        done(Done::Drop);
    },
    |_| done(Done::Wake),
    |_| done(Done::Drop),
);
const RAW: RawWaker = RawWaker::new(std::ptr::null(), &HOOKED);

fn done(what: Done) {
    let hook = HOOK.with_borrow_mut(|hook| hook.take_if(|(when, _)| *when == what));
    if let Some((_, hook)) = hook {
        hook();
    }
}
