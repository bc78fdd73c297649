//! Blocks a thread on one of the futures here.

use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use super::{Condvar, Mutex, lock};
use crate::current::with_current;

/// A thread that sleeps until it is woken. Not `std::thread::park`, whose one token other code of the
/// thread may be waiting for.
#[derive(Default)]
struct Sleeper {
    woken: Mutex<bool>,
    wake: Condvar,
}

impl Sleeper {
    fn sleep(&self) {
        let mut woken = lock(&self.woken);
        while !*woken {
            woken = self.wake.wait(woken).unwrap_or_else(PoisonError::into_inner);
        }
        *woken = false;
    }
}

impl Wake for Sleeper {
    fn wake(self: Arc<Self>) {
        *lock(&self.woken) = true;
        self.wake.notify_one();
    }
}

/// Whether to block would stall a loop that is in a turn on this thread.
pub(super) fn would_stall() -> bool {
    with_current(|shared| shared.is_some())
}

/// Blocks the thread until the future is done.
pub(super) fn wait<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let sleeper = Arc::new(Sleeper::default());
    let waker = Waker::from(sleeper.clone());
    let mut context = Context::from_waker(&waker);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => return output,
            Poll::Pending => sleeper.sleep(),
        }
    }
}
