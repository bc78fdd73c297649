//! Channels between threads: one end on an event loop, the others wherever they like.
//!
//! Unlike the rest of [`sync`](crate::sync) these ends are `Send` if what they carry is. An end that is
//! awaited needs no loop of ours: any async library will do, and a plain thread uses the `blocking_`
//! forms. However many messages come while a loop sleeps, they end its sleep once.
//!
//! [`mpsc`] brings many messages in order, and lets a sender wait that is faster than its receiver;
//! [`oneshot`] brings one. [`Remote`](crate::Remote) brings work instead of messages, and
//! [`spawn_blocking`](crate::spawn_blocking) is the way for work that would stall the loop.
//!
//! Invariant (Quiet Lock): each channel has one lock, held for a few moves. Nothing that can panic and
//! no foreign code runs under it: messages and wakers leave it before they are dropped, and a foreign
//! waker is cloned before it is taken.

use std::sync::PoisonError;
use std::task::{Context, Poll, Waker};

#[cfg(loom)]
use ::loom::sync::{Condvar, Mutex, MutexGuard};
#[cfg(not(loom))]
use std::sync::{Condvar, Mutex, MutexGuard};

use crate::waiters;
use crate::wake::{copy, is_ours};

#[cfg(all(test, loom))]
mod loom;
pub mod mpsc;
pub mod oneshot;
mod park;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Quiet Lock.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn wake(waker: Option<Waker>) {
    waker.into_iter().for_each(waiters::wake);
}

/// Asks `ready` under the lock; if it has no answer, leaves the waker in its place.
fn poll_locked<S, R>(
    mutex: &Mutex<S>,
    cx: &Context<'_>,
    place: for<'a> fn(&'a mut S) -> &'a mut Option<Waker>,
    mut ready: impl FnMut(&mut S) -> Option<R>,
) -> Poll<R> {
    // One of ours is copied by no call; a foreign one only if it has to be. Dropped after the guard.
    let mut own = is_ours(cx.waker()).then(|| copy(cx.waker()));
    loop {
        let mut state = lock(mutex);
        if let Some(result) = ready(&mut state) {
            return Poll::Ready(result);
        }
        let place = place(&mut state);
        if place.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            return Poll::Pending;
        }
        if let Some(own) = own.take() {
            let old = place.replace(own);
            drop(state);
            drop(old);
            return Poll::Pending;
        }
        drop(state);
        own = Some(copy(cx.waker()));
    }
}
