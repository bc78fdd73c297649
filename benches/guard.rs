//! How many instructions do the hot paths take?
//!
//! One short loop for each: counted are user-space instructions of one operation, by callgrind, which drift
//! by a few in a thousand where time drifts by a third. `benches/guard` runs this, and compares with what is
//! recorded in `benches/guard.txt`; the cases say here what an operation is. Left out: system calls, and
//! what other threads do; `benches/peers` counts those.
//!
//! Run: `benches/guard`

mod support;

use std::future::{Future, poll_fn};
use std::hint::black_box;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use std::cell::{Cell, RefCell};

use futures::Stream;
use loopline::callback::Next;
use loopline::sync::{Mutex, mpsc, oneshot};
use loopline::time::{Sleep, Timer, sleep, sleep_until};
use support::{Suite, yield_once};

/// A task is spawned, runs, and its output is awaited, one after the other.
async fn spawn_one(operations: usize) {
    for n in 0..operations {
        black_box(loopline::spawn(async move { black_box(n) }).await.expect("it ends"));
    }
}

/// 1,000 tasks are spawned, then all awaited; an operation is one.
async fn spawn_batch(operations: usize) {
    let mut joins = Vec::with_capacity(1_000);
    for _ in 0..operations / 1_000 {
        joins.extend((0..1_000).map(|n| loopline::spawn(async move { black_box(n) })));
        for join in joins.drain(..) {
            black_box(join.await.expect("it ends"));
        }
    }
}

/// 1,000 tasks are spawned that nobody awaits, then all run; an operation is one.
async fn detached(operations: usize) {
    for _ in 0..operations / 1_000 {
        for n in 0..1_000 {
            drop(loopline::spawn(async move { black_box(n) }));
        }
        yield_once().await;
    }
}

/// A task wakes itself and is polled.
async fn yields(operations: usize) {
    for _ in 0..operations {
        yield_once().await;
    }
}

/// Two tasks pass one token by wakers that stay where they are; an operation is one wake and one poll.
async fn pingpong(operations: usize) {
    let turn = Rc::new(Cell::new(0));
    let waiters: Rc<[RefCell<Option<Waker>>; 2]> = Rc::default();
    let play = |me: usize| {
        let (turn, waiters) = (turn.clone(), waiters.clone());
        async move {
            for _ in 0..operations / 2 {
                poll_fn(|cx| {
                    if turn.get() == me {
                        return Poll::Ready(());
                    }
                    let mut waiter = waiters[me].borrow_mut();
                    if !waiter.as_ref().is_some_and(|waiter| waiter.will_wake(cx.waker())) {
                        *waiter = Some(cx.waker().clone());
                    }
                    Poll::Pending
                })
                .await;
                turn.set(1 - me);
                if let Some(waiter) = &*waiters[1 - me].borrow() {
                    waiter.wake_by_ref();
                }
            }
        }
    };
    let (one, other) = (loopline::spawn(play(0)), loopline::spawn(play(1)));
    one.await.expect("it ends");
    other.await.expect("it ends");
}

/// A message from one task to another.
async fn channel(operations: usize, capacity: usize) {
    let (sender, mut receiver) = mpsc::channel(capacity);
    let receiving = loopline::spawn(async move {
        while let Some(n) = receiver.recv().await {
            black_box::<usize>(n);
        }
    });
    let sending = loopline::spawn(async move {
        for n in 0..operations {
            sender.send(n).await.expect("the receiver lives");
        }
    });
    sending.await.expect("it ends");
    receiving.await.expect("it ends");
}

/// A oneshot is made, waited at, answered and read by one task.
async fn one_answer(operations: usize) {
    for n in 0..operations {
        let (answer, answered) = oneshot::channel();
        let mut answered = pin!(answered);
        assert!(poll_fn(|cx| Poll::Ready(answered.as_mut().poll(cx).is_pending())).await);
        answer.send(n).expect("it is waited for");
        black_box(answered.await.expect("an answer"));
        if n % 64 == 63 {
            yield_once().await;
        }
    }
}

/// A mutex that nobody else wants.
async fn mutex(operations: usize) {
    let mutex = Mutex::new(0);
    for n in 0..operations {
        *mutex.lock().await += n;
        if n % 64 == 63 {
            yield_once().await;
        }
    }
}

/// With 1,000 others set, the oldest timer is dropped and one made that is due in 30 s. The deadline is
/// known: the clock is the system's.
async fn timer(operations: usize) {
    let mut deadline = Instant::now() + Duration::from_secs(30);
    let mut sleeps: Vec<Option<Pin<Box<Sleep>>>> = (0..1_000).map(|_| None).collect();
    for n in 0..operations {
        deadline += Duration::from_micros(10);
        let place = &mut sleeps[n % 1_000];
        match place {
            // In the box of the one that it follows: an allocation is not asked about.
            Some(sleep) => sleep.set(sleep_until(deadline)),
            None => *place = Some(Box::pin(sleep_until(deadline))),
        }
        let sleep = place.as_mut().expect("it was just put there");
        assert!(poll_fn(|cx| Poll::Ready(sleep.as_mut().poll(cx).is_pending())).await);
        if n % 64 == 63 {
            yield_once().await;
        }
    }
}

/// A task is spawned, and cancelled before its first turn.
async fn cancelled(operations: usize) {
    for n in 0..operations {
        loopline::spawn(async move { black_box(n) }).cancel();
        if n % 64 == 63 {
            yield_once().await;
        }
    }
}

/// A turn in which one timer fires. Time is paused, so nothing waits.
async fn timer_turn(operations: usize) {
    loopline::time::pause();
    for _ in 0..operations {
        sleep(Duration::from_millis(1)).await;
    }
}

/// A timer gets a callback, and is cancelled before its first turn. The deadline is known, as in `timer`.
fn timer_source(suite: &Suite, operations: usize) {
    let mut event_loop = suite.event_loop::<usize>();
    let handle = event_loop.handle();
    let deadline = Instant::now() + Duration::from_secs(30);
    let driver = async {
        for n in 0..operations {
            let inserted = handle.insert(Timer::at(deadline), |_, _, fired| {
                *fired += 1;
                Next::Keep
            });
            inserted.expect("the loop is there").cancel();
            if n % 64 == 63 {
                yield_once().await;
            }
        }
    };
    let mut fired = 0;
    event_loop.run_until(&mut fired, driver).expect("nothing stops the loop");
    assert_eq!(fired, 0);
}

/// A source without a descriptor, and the end that makes its events.
#[derive(Clone, Default)]
struct Source(Rc<(Cell<usize>, RefCell<Option<Waker>>)>);

impl Source {
    fn raise(&self) {
        self.0.0.set(1);
        if let Some(waiter) = &*self.0.1.borrow() {
            waiter.wake_by_ref();
        }
    }
}

impl Stream for Source {
    type Item = usize;

    fn poll_next(
        self: Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> Poll<Option<Self::Item>> {
        match self.0.0.replace(0) {
            0 => {
                let mut waiter = self.0.1.borrow_mut();
                if !waiter.as_ref().is_some_and(|waiter| waiter.will_wake(cx.waker())) {
                    *waiter = Some(cx.waker().clone());
                }
                Poll::Pending
            }
            event => Poll::Ready(Some(event)),
        }
    }
}

/// An event of one of 16 sources, handled by a callback or by a task that awaits it.
fn dispatch(suite: &Suite, operations: usize, callback: bool) {
    let mut event_loop = suite.event_loop::<usize>();
    let handle = event_loop.handle();
    let sources: Vec<Source> = (0..16).map(|_| Source::default()).collect();
    for source in &sources {
        let mut source = source.clone();
        if callback {
            let inserted = handle.insert(source, |event, _, events| {
                *events += event;
                Next::Keep
            });
            drop(inserted.expect("the loop is there"));
        } else {
            drop(handle.spawn(async move {
                while let Some(event) = poll_fn(|cx| Pin::new(&mut source).poll_next(cx)).await {
                    handle.with(|events| *events += event);
                }
            }));
        }
    }
    let mut events = 0;
    let driver = async {
        yield_once().await;
        for _ in 0..operations / 16 {
            sources.iter().for_each(Source::raise);
            yield_once().await;
        }
    };
    event_loop.run_until(&mut events, driver).expect("nothing stops the loop");
    assert_eq!(events, operations / 16 * 16);
}

/// A byte comes for one of 64 sockets, whose callback reads it by edge.
#[cfg(unix)]
fn descriptor(suite: &Suite, operations: usize) {
    use loopline::io::{FdSource, Interest, Trigger};
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    let mut event_loop = suite.event_loop::<usize>();
    let mut writers = Vec::new();
    for _ in 0..64 {
        let (near, far) = UnixStream::pair().expect("descriptors are left");
        near.set_nonblocking(true).expect("it is a socket");
        writers.push(far);
        let source = FdSource::with_trigger(near, Interest::READABLE, Trigger::Edge);
        let inserted = event_loop.handle().insert(source, |_event, source, events| {
            let mut bytes = [0; 8];
            // Fewer than there is room for: by edge that is all there was.
            *events += source.try_io(|mut near| near.read(&mut bytes)).unwrap_or(0);
            Next::Keep
        });
        drop(inserted.expect("the loop is there"));
    }
    let mut events = 0;
    let look = Some(Duration::ZERO);
    event_loop.turn(&mut events, look).expect("the poller works");
    for n in 1..=operations / 64 {
        for far in &mut writers {
            far.write_all(&[7]).expect("there is room");
        }
        while events < n * 64 {
            event_loop.turn(&mut events, look).expect("the poller works");
        }
    }
}

fn main() {
    let suite = Suite::new("ns CPU per operation");
    macro_rules! case {
        ($name:literal, $work:expr) => {
            suite.case($name, 100_000, |n| {
                support::timed(|| {
                    let all = async move { loopline::spawn($work(n)).await.expect("it ends") };
                    suite.event_loop::<()>().block_on(all).expect("nothing stops the loop")
                })
            });
        };
    }
    case!("spawn_one", spawn_one);
    case!("spawn_batch", spawn_batch);
    case!("detached", detached);
    case!("yield", yields);
    case!("pingpong", pingpong);
    case!("channel_1", |n| channel(n, 1));
    case!("channel_64", |n| channel(n, 64));
    case!("oneshot", one_answer);
    case!("mutex", mutex);
    case!("timer", timer);
    case!("cancelled", cancelled);
    case!("timer_turn", timer_turn);
    suite.case("timer_source", 100_000, |n| support::timed(|| timer_source(&suite, n)));
    suite.case("callback", 96_000, |n| support::timed(|| dispatch(&suite, n, true)));
    suite.case("task", 96_000, |n| support::timed(|| dispatch(&suite, n, false)));
    #[cfg(unix)]
    suite.case("descriptor", 96_000, |n| support::timed(|| descriptor(&suite, n)));
}
