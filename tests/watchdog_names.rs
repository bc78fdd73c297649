//! Whom the watchdog names where an item, a host or a thread has wakers and destructors of others called.

mod support;

use std::cell::RefCell;
use std::future::Future;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::task::{Context, Wake, Waker};
use std::time::{Duration, Instant};

use loopline::time::{self, Sleep};
use loopline::{Blocked, Watchdog};
use support::{TestLoop, built, closes_clean};

/// Blocks once until that was reported, as it is woken or dropped, and keeps the report.
#[derive(Clone)]
struct Slow(Arc<Mutex<Reports>>);

struct Reports {
    /// Until it has blocked.
    awaited: Option<Receiver<Blocked>>,
    seen: Option<Blocked>,
}

impl Slow {
    fn block(&self) {
        let mut slow = self.0.lock().unwrap();
        if let Some(reports) = slow.awaited.take() {
            // By far longer than the limit: over only if nothing is ever reported.
            slow.seen = reports.recv_timeout(Duration::from_secs(60)).ok();
        }
    }

    /// What was reported.
    fn named(&self) -> Blocked {
        self.0.lock().unwrap().seen.take().expect("a report")
    }
}

struct SlowWaker(Slow);

impl Wake for SlowWaker {
    fn wake(self: Arc<Self>) {
        self.0.block();
    }
}

struct SlowDrop(Slow);

impl Drop for SlowDrop {
    fn drop(&mut self) {
        self.0.block();
    }
}

fn watched() -> (TestLoop<()>, Slow) {
    let (reports, witness) = channel();
    // The end of a test may come before the last report.
    let watchdog = Watchdog::after(Duration::from_millis(20))
        .report(move |blocked| drop(reports.send(blocked.clone())));
    let reports = Reports { awaited: Some(witness), seen: None };
    (built(|builder| builder.watchdog(watchdog)), Slow(Arc::new(Mutex::new(reports))))
}

/// Polls a future once by a waker that blocks.
fn poll_by(slow: &Slow, future: impl Future) {
    let waker = Waker::from(Arc::new(SlowWaker(slow.clone())));
    assert!(pin!(future).poll(&mut Context::from_waker(&waker)).is_pending());
}

// fault 64
#[test]
fn an_item_whose_end_calls_a_waker_of_another_library_is_named_itself() {
    let (mut event_loop, slow) = watched();
    let line = line!() + 1;
    let item = event_loop.handle().item().label("ender");
    let mut ends = item.spawn(async {});
    poll_by(&slow, &mut ends);
    event_loop.run(&mut ()).unwrap();
    assert!(ends.is_finished());
    let Blocked { id, label, place, .. } = slow.named();
    assert_eq!((id, label.as_deref()), (Some(ends.id()), Some("ender")));
    assert_eq!(place.unwrap().line(), line);
    closes_clean(event_loop);
}

// fault 64
#[test]
fn a_message_that_was_cancelled_before_it_was_taken_blocks_as_a_message() {
    let (mut event_loop, slow) = watched();
    let message = SlowDrop(slow.clone());
    let remote = event_loop.handle().remote();
    let join = remote.spawn(move |_| async move { drop(message) }).unwrap();
    join.cancel();
    drop(remote);
    event_loop.run(&mut ()).unwrap();
    assert!(join.is_finished());
    let blocked = slow.named();
    assert_eq!((blocked.id, blocked.place), (None, None));
    assert!(blocked.to_string().contains("a message from another thread has blocked"), "{blocked}");
    closes_clean(event_loop);
}

// fault 64
#[test]
fn a_future_of_the_hosts_that_has_ended_is_not_named_for_what_blocks_later() {
    let (event_loop, slow) = watched();
    let mut guest = event_loop.lend();
    let sleep = Rc::new(RefCell::new(None));
    let kept = sleep.clone();
    let by = slow.clone();
    let mut turns = guest.until(async move {
        let mut sleep = Box::pin(time::sleep(Duration::from_millis(1)));
        poll_by(&by, sleep.as_mut());
        kept.replace(Some(sleep));
    });
    while turns.turn(&mut ()).unwrap().1.is_none() {}
    drop(turns);
    // The turn right after it is the one in which the timer is due.
    let due = sleep.borrow().as_ref().map(|sleep: &Pin<Box<Sleep>>| sleep.deadline()).unwrap();
    while Instant::now() <= due {
        std::thread::yield_now();
    }
    guest.turn(&mut ()).unwrap();
    let blocked = slow.named();
    assert_eq!((blocked.id, blocked.place), (None, None));
    assert!(blocked.to_string().contains("a waker of another library has blocked"), "{blocked}");
    drop(sleep.take());
    closes_clean(TestLoop::take_back(guest));
}
