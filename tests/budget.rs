//! The budget: a leaf future that finds it used up says Pending and wakes once, whatever it waits for;
//! and what reads, spends and lifts it.

mod support;

use std::cell::Cell;
use std::future::{Future, pending, poll_fn, ready};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use loopline::callback::{Stream, after_park, before_park, channel, idle, ping};
use loopline::sync::{Semaphore, broadcast, watch};
use loopline::task::budget::{has_budget_remaining, poll_proceed};
use loopline::task::{CancellationToken, consume_budget, need_yield, unconstrained};
use loopline::time::{Timer, interval, now, sleep};
use loopline::{Clock, Handle, JoinSet, join, select, spawn, try_join, yield_now};
use support::{block_on, block_on_paused, built, closes_clean, event_loop};

/// Counts its wakes.
#[derive(Default)]
struct Counter(AtomicUsize);

impl Wake for Counter {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// Polls once, with the number of wakes that this made.
fn poll_counted<F: Future + ?Sized>(future: Pin<&mut F>) -> (Poll<F::Output>, usize) {
    let counter = Arc::new(Counter::default());
    let waker = Waker::from(counter.clone());
    let polled = future.poll(&mut Context::from_waker(&waker));
    (polled, counter.0.load(Ordering::Relaxed))
}

fn spend_one() {
    let mut cx = Context::from_waker(Waker::noop());
    let Poll::Ready(permit) = poll_proceed(&mut cx) else { panic!("nothing left") };
    permit.spend();
}

fn spend_all() {
    while has_budget_remaining() {
        spend_one();
    }
}

/// Calls `f` in a poll of its own, with a new budget.
async fn in_a_poll<R>(f: impl FnOnce() -> R) -> R {
    yield_now().await;
    f()
}

/// Lets the loop look at timers and the system.
async fn turns(n: u32) {
    let handle = Handle::<()>::try_current().unwrap();
    for _ in 0..n {
        handle.next_turn(|_| ()).await.unwrap();
    }
}

type Leaf = Pin<Box<dyn Future<Output = ()>>>;

fn leaf<F: Future + 'static>(future: F) -> Leaf {
    Box::pin(async move { drop(future.await) })
}

fn next<S: Stream + Unpin + 'static>(mut stream: S) -> Leaf {
    leaf(poll_fn(move |cx| Pin::new(&mut stream).poll_next(cx).map(drop)))
}

/// Polls a stream of a phase, so that it is bound to the loop and waits; then lets its phase come.
async fn waiting<S: Stream + Unpin + 'static>(mut stream: S) -> Leaf {
    poll_fn(|cx| {
        assert!(Pin::new(&mut stream).poll_next(cx).is_pending());
        Poll::Ready(())
    })
    .await;
    turns(2).await;
    next(stream)
}

async fn remote_join() -> Leaf {
    let remote = Handle::<()>::try_current().unwrap().remote();
    let join = remote.spawn(|_| async { 5 }).unwrap();
    while !join.is_finished() {
        turns(1).await;
    }
    leaf(join)
}

/// Leaves that can go on at their next poll, every kind there is.
async fn leaves() -> Vec<(&'static str, Leaf)> {
    let mut leaves = Vec::new();
    let mut add = |name, leaf| leaves.push((name, leaf));
    let ended = spawn(async {});
    let cancelled = spawn(pending::<()>()).cancel();
    let mut set: JoinSet<_> = [ready(())].into_iter().collect();
    let rest = [sleep(Duration::from_millis(1))];
    let (period, timer) =
        (interval(Duration::from_millis(1)), Timer::at(now() + Duration::from_millis(1)));
    sleep(Duration::from_millis(2)).await;
    add("JoinHandle", leaf(ended));
    add("Cancelled", leaf(cancelled));
    add("JoinSet", leaf(async move { set.join_next().await }));
    add("JoinSet, empty", next(JoinSet::<()>::new()));
    rest.into_iter().for_each(|sleep| add("Sleep", leaf(sleep)));
    add("Interval", next(period));
    add("Timer", next(timer));
    let (sender, messages) = channel();
    sender.send(()).unwrap();
    add("Channel", next(messages));
    add("Channel, ended", next(channel::<()>().1));
    let (bell, pings) = ping();
    bell.ping();
    add("PingSource", next(pings));
    add("PingSource, ended", next(ping().1));
    add("BeforePark", waiting(before_park()).await);
    add("AfterPark", waiting(after_park()).await);
    add("Idle", waiting(idle()).await);
    add("RemoteJoin", remote_join().await);
    add("Semaphore", leaf(Rc::new(Semaphore::new(1)).acquire_owned()));
    let token = CancellationToken::new();
    token.cancel();
    add("CancellationToken", leaf(token.cancelled_owned()));
    let (sender, mut receiver) = broadcast::channel(1);
    sender.send(()).unwrap();
    add("broadcast", leaf(async move { receiver.recv().await.unwrap() }));
    let (sender, mut receiver) = watch::channel(0);
    sender.send(1).unwrap();
    add("watch", leaf(async move { (receiver.changed().await.unwrap(), sender) }));
    add("consume_budget", leaf(consume_budget()));
    add(
        "select!",
        leaf(async {
            select! { () = ready(()) => spend_one() }
        }),
    );
    add("join!", leaf(async { join!(async { spend_one() }, ready(())) }));
    add(
        "try_join!",
        leaf(async {
            try_join!(async {
                spend_one();
                Ok::<_, ()>(())
            })
        }),
    );
    #[cfg(all(unix, feature = "net"))]
    sockets(&mut add).await;
    #[cfg(all(unix, feature = "signal"))]
    {
        let signal = loopline::signal::ctrl_c();
        // SAFETY: no memory is involved; the handler was installed above.
        unsafe { libc::raise(libc::SIGINT) };
        add("CtrlC", leaf(signal));
    }
    leaves
}

#[cfg(all(unix, feature = "net"))]
async fn sockets(add: &mut impl FnMut(&'static str, Leaf)) {
    use loopline::io::{FdSource, Interest};
    use loopline::net::{TcpListener, TcpStream};
    use std::io::Write;

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let connect = || async move { TcpStream::connect(address).await.unwrap() };
    let (near, far) = join!(connect(), listener.accept());
    let (near, far) = (Rc::new(near), far.unwrap().0);
    far.write_all(&[0; 64]).await.unwrap();
    // It is there: the kernel carries it over before `write` returns.
    let stream = near.clone();
    add("read", leaf(async move { stream.read(&mut [0; 8]).await.unwrap() }));
    let stream = near.clone();
    add("peek", leaf(async move { stream.peek(&mut [0; 8]).await.unwrap() }));
    let stream = near.clone();
    add("read_exact", leaf(async move { stream.read_exact(&mut [0; 8]).await.unwrap() }));
    let stream = near.clone();
    add("write", leaf(async move { stream.write(&[0; 8]).await.unwrap() }));
    let stream = near.clone();
    add("write_all", leaf(async move { stream.write_all(&[0; 8]).await.unwrap() }));
    let stream = near.clone();
    add("write_all of nothing", leaf(async move { stream.write_all(&[]).await.unwrap() }));
    let mut connecting = leaf(connect());
    poll_fn(|cx| {
        assert!(connecting.as_mut().poll(cx).is_pending());
        Poll::Ready(())
    })
    .await;
    turns(2).await;
    add("connect", connecting);
    let _second = connect().await;
    add("accept", leaf(async move { (near, far, listener.accept().await.unwrap()) }));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let third = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let mut incoming = listener.into_incoming();
    add("Incoming", leaf(async move { (incoming.next().await.unwrap().unwrap(), third) }));
    let (mut a, b) = std::os::unix::net::UnixStream::pair().unwrap();
    a.write_all(b"x").unwrap();
    let mut source = FdSource::new(b, Interest::READABLE);
    poll_fn(|cx| {
        assert!(Pin::new(&mut source).poll_next(cx).is_pending(), "joins the poller");
        Poll::Ready(())
    })
    .await;
    turns(2).await;
    add("FdSource", leaf(async move { (source.next().await.unwrap().unwrap(), a) }));
}

// contract 27
#[test]
fn every_leaf_that_finds_the_budget_used_up_is_pending_with_one_wake() {
    let mut event_loop = built::<()>(|set| set.clock(Clock::Paused).operations_per_poll(2));
    event_loop
        .block_on(async {
            for (name, mut leaf) in leaves().await {
                let polled = in_a_poll(|| {
                    spend_all();
                    poll_counted(leaf.as_mut())
                });
                assert_eq!(polled.await, (Poll::Pending, 1), "{name}, budget used up");
                let (polled, wakes, left) = in_a_poll(|| {
                    let (polled, wakes) = poll_counted(leaf.as_mut());
                    spend_one();
                    (polled, wakes, has_budget_remaining())
                })
                .await;
                assert_eq!((polled, wakes), (Poll::Ready(()), 0), "{name}, with a budget");
                assert!(!left, "{name} has spent one of two");
            }
        })
        .unwrap();
    closes_clean(event_loop);
}

// contract 27
#[test]
fn leaves_that_wait_spend_nothing() {
    block_on_paused(async {
        let (_sender, mut messages) = channel::<()>();
        let permits = Semaphore::new(0);
        let mut sleeping = pin!(sleep(Duration::from_secs(1)));
        let mut receiving = pin!(messages.next());
        let mut acquiring = pin!(permits.acquire());
        let mut task = spawn(pending::<()>());
        in_a_poll(|| {
            for _ in 0..1000 {
                assert!(poll_counted(sleeping.as_mut()).0.is_pending());
                assert!(poll_counted(receiving.as_mut()).0.is_pending());
                assert!(poll_counted(acquiring.as_mut()).0.is_pending());
                assert!(poll_counted(Pin::new(&mut task)).0.is_pending());
            }
            assert!(has_budget_remaining());
        })
        .await;
        task.cancel();
    });
}

/// Runs a future beside a task that counts how often it gets its turn, and returns that.
fn turns_of_another(future: impl Future<Output = ()> + 'static) -> usize {
    let mut event_loop = event_loop::<()>();
    let handle = event_loop.handle();
    let (others, end) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(false)));
    let (counted, ended) = (others.clone(), end.clone());
    handle.spawn(async move {
        while !ended.get() {
            counted.set(counted.get() + 1);
            yield_now().await;
        }
    });
    handle.spawn(async move {
        future.await;
        end.set(true);
    });
    event_loop.run(&mut ()).unwrap();
    closes_clean(event_loop);
    others.get()
}

async fn consume(n: usize) {
    for _ in 0..n {
        consume_budget().await;
    }
}

// contract 27
#[test]
fn consume_budget_yields_once_in_128_calls() {
    assert_eq!(turns_of_another(consume(128)), 1);
    assert_eq!(turns_of_another(consume(1280)), 10);
}

// contract 27
#[test]
fn an_unconstrained_future_does_not_yield_and_what_follows_does() {
    assert_eq!(turns_of_another(async { unconstrained(consume(100_000)).await }), 1);
    let both = async {
        consume(100).await;
        unconstrained(consume(100_000)).await;
        // 28 are left of this poll.
        consume(28 + 129).await;
    };
    assert_eq!(turns_of_another(both), 3);
    let nested = async {
        unconstrained(async {
            unconstrained(consume(1000)).await;
            consume(1000).await;
        })
        .await;
    };
    assert_eq!(turns_of_another(nested), 1);
}

#[test]
fn an_unconstrained_future_gives_the_budget_back_after_each_poll_and_when_it_panics() {
    block_on(async {
        let mut waiting = pin!(unconstrained(pending::<()>()));
        let mut failing = pin!(unconstrained(async {
            assert!(has_budget_remaining());
            panic!("on purpose")
        }));
        in_a_poll(|| {
            spend_all();
            assert!(poll_counted(waiting.as_mut()).0.is_pending());
            assert!(!has_budget_remaining());
            assert!(catch_unwind(AssertUnwindSafe(|| poll_counted(failing.as_mut()))).is_err());
            assert!(!has_budget_remaining());
        })
        .await;
    });
}

#[test]
fn a_turn_inside_an_unconstrained_future_has_its_own_budgets() {
    block_on(unconstrained(async {
        assert_eq!(turns_of_another_by_turns(), 10);
        consume(1000).await;
    }));
}

/// As `turns_of_another(consume(1280))`, where a loop runs already.
fn turns_of_another_by_turns() -> usize {
    let mut event_loop = event_loop::<()>();
    let handle = event_loop.handle();
    let task = handle.spawn(consume(1280));
    let other = handle.spawn(async {
        let mut count = 0;
        while count < 10 {
            count += 1;
            yield_now().await;
        }
        count
    });
    while !task.is_finished() {
        event_loop.turn(&mut (), Duration::ZERO).unwrap();
    }
    let count = handle.stats().items_run as usize;
    assert!(other.is_finished());
    closes_clean(event_loop);
    // One of the two was polled eleven times, the other ten.
    count - 11
}

#[test]
fn outside_a_turn_there_is_no_budget() {
    assert!(!need_yield());
    for _ in 0..1000 {
        spend_one();
        assert!(has_budget_remaining());
    }
}

#[test]
fn need_yield_says_when_the_budget_is_used_up() {
    block_on_paused(async {
        in_a_poll(|| {
            assert!(!need_yield(), "a paused clock does not count");
            spend_all();
            assert!(need_yield());
        })
        .await;
        assert!(!unconstrained(async { need_yield() }).await);
    });
}

#[test]
fn need_yield_says_when_the_turn_had_its_share_and_the_turn_then_ends_with_the_round() {
    let mut event_loop = built::<()>(|set| set.time_per_turn(Duration::ZERO).items_per_check(1024));
    let handle = event_loop.handle();
    if handle.seed().is_some() {
        // Time does not count in an order that can be repeated.
        return closes_clean(event_loop);
    }
    for _ in 0..2 {
        handle.spawn(async {
            for _ in 0..3 {
                assert!(need_yield());
                yield_now().await;
            }
        });
    }
    for left in [true, true, true, false] {
        let turn = event_loop.turn(&mut (), Duration::ZERO).unwrap();
        assert_eq!((turn.ran, turn.left), (2, left));
    }
    closes_clean(event_loop);
}

#[test]
fn with_lanes_the_turn_ends_with_the_item_that_was_told() {
    let mut event_loop = built::<()>(|set| set.time_per_turn(Duration::ZERO).items_per_check(1024));
    let handle = event_loop.handle();
    if handle.seed().is_some() {
        return closes_clean(event_loop);
    }
    let lane = handle.add_lane(1).unwrap();
    for lane in [lane, handle.first_lane()] {
        handle.item().lane(lane).spawn(async {
            for _ in 0..3 {
                assert!(need_yield());
                yield_now().await;
            }
        });
    }
    while handle.stats().items != 0 {
        let ran = event_loop.turn(&mut (), Duration::ZERO).unwrap().ran;
        assert!(ran <= 2, "{ran} in a turn");
    }
    closes_clean(event_loop);
}

#[test]
fn need_yield_says_when_a_timer_is_due() {
    let mut event_loop = built::<()>(|set| set.time_per_turn(Duration::from_secs(3600)));
    let handle = event_loop.handle();
    if handle.seed().is_some() {
        return closes_clean(event_loop);
    }
    handle.spawn(async move {
        let mut timer = Box::pin(sleep(Duration::from_millis(2)));
        // Set here, with no turn between: it cannot have fired before this asks. On a machine that
        // stands still it is late at once; then another.
        while poll_fn(|cx| Poll::Ready(timer.as_mut().poll(cx).is_ready())).await {
            timer = Box::pin(sleep(Duration::from_millis(2)));
        }
        // Ends: the timer comes due while this runs.
        while !need_yield() {}
        yield_now().await;
        timer.await;
    });
    event_loop.run(&mut ()).unwrap();
    closes_clean(event_loop);
}
