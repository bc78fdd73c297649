//! What primitives need to let tasks wait: the list, and how to wake who is in it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::Waker;

pub(crate) use self::crowd::Crowd;
pub(crate) use crate::wait_list::{Key, WaitList};

use crate::current::with_current;
use crate::item::drop_payload;
use crate::panics::report;
use crate::wake::is_ours;

mod crowd;

/// Wakes with nothing borrowed. A foreign waker that panics costs the caller nothing: the panic goes to
/// the policy of the loop that runs.
#[inline]
pub(crate) fn wake(waker: Waker) {
    if is_ours(&waker) {
        waker.wake();
    } else {
        wake_foreign(waker);
    }
}

#[cold]
fn wake_foreign(waker: Waker) {
    const WHAT: &str = "a waker of another library";
    let Err(payload) = catch_unwind(AssertUnwindSafe(|| waker.wake())) else { return };
    with_current(|shared| match shared {
        Some(shared) => shared.unobserved(WHAT, payload),
        None => {
            report(None, WHAT, &payload);
            drop_payload(payload);
        }
    });
}
