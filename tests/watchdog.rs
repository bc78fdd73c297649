//! What blocks the loop is named while it still does: each of these blocks until it was.

mod support;

use std::cell::Cell;
use std::future::{Future, pending};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use loopline::callback::{self, Next, Stream};
use loopline::time::{self, Timer};
use loopline::{Blocked, Clock, Handle, JoinHandle, Watchdog, scope};
use support::{TestLoop, built, closes_clean, ends_with_items};

const LIMIT: Duration = Duration::from_millis(20);

/// Hears of what blocks the loop.
#[derive(Clone)]
struct Witness(Rc<Receiver<Blocked>>);

impl Witness {
    /// Blocks the loop until it was reported so often, and returns the last report.
    fn block(&self, times: u32) -> Blocked {
        loop {
            // By far longer than the limit: over only if nothing is ever reported.
            let blocked = self.0.recv_timeout(Duration::from_secs(60)).expect("a report");
            if blocked.times == times {
                return blocked;
            }
        }
    }

    /// Blocks until it was reported, and tells whom the report named.
    fn named(&self) -> Named {
        let blocked = self.block(1);
        let Blocked { label, place, in_destructor, .. } = blocked;
        let line = place.map(|place| (place.file(), place.line()));
        Named { id: blocked.id.is_some(), label, line, in_destructor }
    }
}

#[derive(Clone, Debug, PartialEq)]
struct Named {
    id: bool,
    label: Option<String>,
    line: Option<(&'static str, u32)>,
    in_destructor: bool,
}

/// An item with this label, made on that line of this file.
fn item(label: &str, line: u32) -> Named {
    let label = Some(label.to_owned());
    Named { id: true, label, line: Some((file!(), line)), in_destructor: false }
}

fn destructor(label: &str, line: u32) -> Named {
    Named { in_destructor: true, ..item(label, line) }
}

fn root(line: u32) -> Named {
    Named { id: false, label: None, line: Some((file!(), line)), in_destructor: false }
}

fn watched<S>() -> (TestLoop<S>, Witness) {
    let (watchdog, witness) = watchdog();
    (built(|builder| builder.label("shop").watchdog(watchdog)), witness)
}

fn watchdog() -> (Watchdog, Witness) {
    let (reports, witness) = channel();
    // The end of a test may come before the last report.
    let watchdog =
        Watchdog::after(LIMIT).report(move |blocked| drop(reports.send(blocked.clone())));
    (watchdog, Witness(Rc::new(witness)))
}

/// Blocks when it is dropped, and says who was named.
struct Slow(Witness, Sender<Named>);

impl Drop for Slow {
    fn drop(&mut self) {
        let _ = self.1.send(self.0.named());
    }
}

/// A source that blocks in its destructor.
struct SlowSource(Timer, #[allow(dead_code)] Slow);

impl Stream for SlowSource {
    type Item = time::Tick;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<time::Tick>> {
        Pin::new(&mut self.0).poll_next(cx)
    }
}

/// Takes time of the paused clock, without leaving the item.
fn hold_the_loop(time: Duration) {
    let advance = std::pin::pin!(time::advance(time));
    assert!(advance.poll(&mut Context::from_waker(Waker::noop())).is_pending());
}

// fault 64
#[test]
fn a_task_that_never_yields_is_named_while_it_blocks_and_timers_keep_to_their_policy_afterwards() {
    let (reports, witness) = channel();
    let watchdog =
        Watchdog::after(LIMIT).report(move |blocked| drop(reports.send(blocked.clone())));
    let mut event_loop = built(|b| b.label("shop").clock(Clock::Paused).watchdog(watchdog.clone()));
    let witness = Witness(Rc::new(witness));
    let handle = event_loop.handle();
    let mut ticks = 0;
    // The first at 1 s; then 5 s are missed at once.
    handle
        .insert(Timer::every(Duration::from_secs(1)), move |tick, _, late: &mut Vec<u64>| {
            late.push(tick.late().as_secs());
            ticks += 1;
            if ticks == 9 { Next::Stop } else { Next::Keep }
        })
        .unwrap();
    handle.item().label("till").spawn(async move {
        time::sleep(Duration::from_millis(1500)).await;
        let blocked = witness.block(1);
        assert_eq!(blocked.loop_label.as_deref(), Some("shop"));
        assert!(blocked.held >= LIMIT, "{blocked:?}");
        let text = blocked.to_string();
        let id = blocked.id.unwrap();
        let whole = format!(
            "shop: item {id} `till` made at {} has blocked the loop for {:?}, and still does",
            blocked.place.unwrap(),
            blocked.held,
        );
        assert_eq!(text, whole);
        assert_eq!(handle_of(&blocked), file!());
        hold_the_loop(Duration::from_secs(5));
    });
    let mut late = Vec::new();
    event_loop.run(&mut late).unwrap();
    // The default policy: each tick that was missed comes at once, then the old rhythm.
    assert_eq!(late, [0, 4, 3, 2, 1, 0, 0, 0, 0]);
    assert_eq!(handle.stats().blocked, 1);
    closes_clean(event_loop);
}

fn handle_of(blocked: &Blocked) -> &'static str {
    blocked.place.unwrap().file()
}

// fault 64
#[test]
fn a_callback_and_a_first_poll_and_a_later_one_are_named() {
    let (mut event_loop, witness) = watched::<Vec<Named>>();
    let handle = event_loop.handle();
    let own = witness.clone();
    let first = line!() + 1;
    let task = handle.item().label("task").spawn(async move {
        let mut named = vec![own.named()];
        loopline::yield_now().await;
        named.push(own.named());
        named
    });
    let second = line!() + 1;
    let item_of_callback = handle.item().label("callback");
    let timer = Timer::after(Duration::ZERO);
    item_of_callback
        .insert(timer, move |_, _, names| {
            names.push(witness.named());
            Next::Stop
        })
        .unwrap();
    let mut names = Vec::new();
    event_loop.run(&mut names).unwrap();
    assert_eq!(names, [item("callback", second)]);
    let names = event_loop.run_until(&mut names, task).unwrap().unwrap();
    assert_eq!(names, [item("task", first), item("task", first)]);
    assert_eq!(handle.stats().blocked, 3);
    closes_clean(event_loop);
}

#[test]
fn items_are_named_and_timed_also_where_slow_ones_are_reported_or_there_are_lanes() {
    for way in ["slow items first", "slow items last", "lanes"] {
        let (watchdog, witness) = watchdog();
        let mut event_loop = built::<()>(|builder| match way {
            "slow items first" => builder.report_slow_items(LIMIT / 2).watchdog(watchdog),
            "slow items last" => builder.watchdog(watchdog).report_slow_items(LIMIT / 2),
            _ => builder.watchdog(watchdog),
        });
        let handle = event_loop.handle();
        let first = line!() + 1;
        let mut maker = handle.item().label("task");
        if way == "lanes" {
            maker = maker.lane(handle.add_lane(2).unwrap());
        }
        let task = maker.spawn(async move { witness.named() });
        assert_eq!(event_loop.run_until(&mut (), task).unwrap().unwrap(), item("task", first));
        // More than one if the machine is slow enough for others.
        assert_eq!(handle.stats().slow_items > 0, way != "lanes", "{way}");
        closes_clean(event_loop);
    }
}

#[test]
fn each_blocking_is_reported_once_and_again_as_its_time_doubles() {
    let (mut event_loop, witness) = watched::<()>();
    let handle = event_loop.handle();
    let held = event_loop.block_on(async { [1, 2, 3].map(|times| witness.block(times).held) });
    let held = held.unwrap();
    for (n, held) in held.iter().enumerate() {
        assert!(*held >= LIMIT * (1 << n), "report {n}: {held:?}");
    }
    assert_eq!(handle.stats().blocked, 1);
    // A new one is counted anew.
    event_loop.block_on(async { witness.block(1) }).unwrap();
    assert_eq!(handle.stats().blocked, 2);
    closes_clean(event_loop);
}

// fault 64
#[test]
fn the_future_that_the_loop_runs_for_is_named_by_where_that_is_and_so_is_its_destructor() {
    let (mut event_loop, witness) = watched::<()>();
    let (names, named) = channel();
    let slow = Slow(witness.clone(), names);
    let line = line!() + 1;
    let ended = event_loop.block_on(async move {
        let _slow = slow;
        let named = witness.named();
        // Right behind an item, in the same batch.
        loopline::spawn(async {});
        loopline::yield_now().await;
        assert_eq!(witness.named(), named);
        loopline::spawn(async {});
        loopline::yield_now().await;
        named
    });
    assert_eq!(ended.unwrap(), root(line));
    assert_eq!(named.try_recv(), Ok(root(line)));
    closes_clean(event_loop);
}

// fault 64
#[test]
fn the_destructor_of_a_future_that_the_loop_ran_for_in_vain_is_named() {
    let (mut event_loop, witness) = watched::<()>();
    let (names, named) = channel();
    let slow = Slow(witness, names);
    event_loop.handle().stop();
    let line = line!() + 1;
    let stopped = event_loop.block_on(async move {
        let _slow = slow;
        // Polled last.
        loopline::spawn(async {});
        pending::<()>().await
    });
    assert!(stopped.is_err());
    assert_eq!(named.try_recv(), Ok(root(line)));
    closes_clean(event_loop);
}

// fault 64
#[test]
fn destructors_are_named_after_whom_they_destroy() {
    let (mut event_loop, witness) = watched::<()>();
    let handle = event_loop.handle();
    let (names, named) = channel();
    let slow = || Slow(witness.clone(), names.clone());
    let waits_with = |slow: Slow, label: &'static str| {
        handle.item().label(label).spawn(async move {
            let _slow = slow;
            pending::<()>().await
        })
    };
    let made = line!() - 5;

    // Of an item that is cancelled by another one, which is named no more than it should be.
    let cancelled = waits_with(slow(), "cancelled");
    let own = witness.clone();
    let canceller = line!() + 1;
    let task = handle.item().label("canceller").spawn(async move {
        loopline::yield_now().await;
        drop(cancelled.cancel());
        own.named()
    });
    assert_eq!(event_loop.block_on(task).unwrap().unwrap(), item("canceller", canceller));
    assert_eq!(named.try_recv(), Ok(destructor("cancelled", made)));

    // Of one that ends by itself: the future is dropped in the item's last poll.
    let slow_one = slow();
    let ends = line!() + 1;
    let task = handle.item().label("ends").spawn(async move {
        let _slow = slow_one;
    });
    event_loop.block_on(task).unwrap().unwrap();
    assert_eq!(named.try_recv(), Ok(item("ends", ends)));

    // Of the source of a callback that stops: the output of its item, which has ended.
    let source = SlowSource(Timer::after(Duration::ZERO), slow());
    let stops = line!() + 1;
    let builder = handle.item().label("stops");
    drop(builder.insert(source, |_, _, ()| Next::Stop).unwrap());
    event_loop.run(&mut ()).unwrap();
    assert_eq!(named.try_recv(), Ok(destructor("stops", stops)));

    // Of what is left when the loop is dropped.
    drop(waits_with(slow(), "left"));
    event_loop.turn(&mut (), Duration::ZERO).unwrap();
    ends_with_items(event_loop, 1);
    assert_eq!(named.try_recv(), Ok(destructor("left", made)));
}

// fault 64
#[test]
fn the_output_of_a_detached_task_is_named_also_if_its_destructor_makes_an_item() {
    struct Output(Handle<()>, #[allow(dead_code)] Slow);
    impl Drop for Output {
        fn drop(&mut self) {
            // It gets the slot of the task that has ended.
            drop(self.0.item().label("successor").spawn(async {}));
        }
    }
    let (mut event_loop, witness) = watched::<()>();
    let handle = event_loop.handle();
    let (names, named) = channel();
    let output = Output(handle, Slow(witness, names));
    let line = line!() + 1;
    let detached = handle.item().label("detached");
    drop(detached.spawn(async move { output }));
    event_loop.run(&mut ()).unwrap();
    assert_eq!(named.try_recv(), Ok(destructor("detached", line)));
    closes_clean(event_loop);
}

// fault 64
#[test]
fn a_child_of_a_scope_is_named_and_so_is_its_parent_after_it() {
    let (mut event_loop, witness) = watched::<()>();
    let (names, named) = channel();
    let child = Rc::new(Cell::new(None));
    let polled = child.clone();
    let child_line = Rc::new(Cell::new(0));
    let slow = Slow(witness.clone(), names);
    let line = child_line.clone();
    let parent = line!() + 1;
    let task = event_loop.handle().item().label("parent").spawn(async move {
        scope(async |s| {
            line.set(line!() + 1);
            let child = s.item().label("child").spawn(async {
                polled.set(Some(witness.named()));
                let _slow = slow;
                pending::<()>().await
            });
            loopline::yield_now().await;
            loopline::yield_now().await;
            child.cancel();
            witness.named()
        })
        .await
    });
    let task = event_loop.block_on(task).unwrap().unwrap();
    assert_eq!(task, item("parent", parent));
    assert_eq!(child.take(), Some(item("child", child_line.get())));
    assert_eq!(named.try_recv(), Ok(destructor("child", child_line.get())));
    assert_eq!(event_loop.handle().stats().blocked, 3);
    closes_clean(event_loop);
}

#[test]
fn a_waker_of_another_library_is_told_from_items() {
    /// Blocks when it is woken.
    struct SlowWaker(Mutex<Option<Receiver<Blocked>>>, Mutex<Sender<Blocked>>);
    impl Wake for SlowWaker {
        fn wake(self: Arc<Self>) {
            let Some(reports) = self.0.lock().unwrap().take() else { return };
            let blocked = reports.recv_timeout(Duration::from_secs(60)).expect("a report");
            self.1.lock().unwrap().send(blocked).unwrap();
        }
    }
    let (mut event_loop, witness) = watched::<()>();
    let (names, named) = channel();
    let reports = Rc::into_inner(witness.0).unwrap();
    let waker = Waker::from(Arc::new(SlowWaker(Mutex::new(Some(reports)), Mutex::new(names))));
    // Polled right before the waker is called.
    let item = event_loop.handle().item().background();
    let before = item.insert(callback::after_park(), |(), _, ()| Next::Keep).unwrap();
    let ended: JoinHandle<()> = event_loop.handle().spawn(async move {
        let mut sleep = Box::pin(time::sleep(Duration::from_millis(1)));
        let polled = sleep.as_mut().poll(&mut Context::from_waker(&waker));
        assert!(polled.is_pending());
        time::sleep(Duration::from_millis(2)).await;
    });
    event_loop.block_on(ended).unwrap().unwrap();
    let blocked = named.try_recv().unwrap();
    assert_eq!((blocked.id, blocked.place), (None, None));
    assert!(blocked.to_string().contains("a waker of another library has blocked"), "{blocked}");
    drop(before.cancel());
    closes_clean(event_loop);
}

// fault 64
#[test]
fn an_item_that_cancels_others_as_long_as_it_blocks_is_named() {
    let (mut event_loop, witness) = watched::<()>();
    let handle = event_loop.handle();
    let others: Vec<_> = (0..5000).map(|_| handle.spawn(pending::<()>()).control()).collect();
    let left = others.clone();
    let line = line!() + 1;
    let task = handle.item().label("canceller").spawn(async move {
        for other in others {
            other.cancel();
            // A fraction of the limit, so that no two looks find the same one.
            match witness.0.recv_timeout(LIMIT / 20) {
                Ok(blocked) => return (blocked.label, blocked.place.unwrap().line()),
                Err(error) => assert_eq!(error, RecvTimeoutError::Timeout),
            }
        }
        panic!("no report");
    });
    let named = event_loop.block_on(task).unwrap().unwrap();
    assert_eq!(named, (Some("canceller".into()), line));
    for other in left {
        other.cancel();
    }
    closes_clean(event_loop);
}

// fault 64
#[test]
fn a_message_that_blocks_as_it_is_dropped_with_the_loop_is_told_from_items() {
    /// Blocks when it is dropped.
    struct SlowMessage(Receiver<Blocked>, Sender<Blocked>);
    impl Drop for SlowMessage {
        fn drop(&mut self) {
            let blocked = self.0.recv_timeout(Duration::from_secs(60)).expect("a report");
            self.1.send(blocked).unwrap();
        }
    }
    let (event_loop, witness) = watched::<()>();
    let (names, named) = channel();
    let message = SlowMessage(Rc::into_inner(witness.0).unwrap(), names);
    let remote = event_loop.handle().remote();
    drop(remote.spawn(move |_| async move { drop(message) }).unwrap());
    closes_clean(event_loop);
    let blocked = named.try_recv().unwrap().to_string();
    assert!(blocked.contains("a message from another thread has blocked"), "{blocked}");
}

#[test]
fn virtual_time_and_waiting_are_no_blocking() {
    let reports = Arc::new(Mutex::new(Vec::new()));
    let seen = reports.clone();
    // No machine is so slow that a poll takes this long.
    let watchdog = Watchdog::after(Duration::from_secs(100))
        .report(move |blocked| seen.lock().unwrap().push(blocked.to_string()));
    let mut event_loop: TestLoop<()> = built(|b| b.clock(Clock::Paused).watchdog(watchdog));
    let ended = event_loop.block_on(async {
        time::sleep(Duration::from_secs(1_000_000)).await;
        hold_the_loop(Duration::from_secs(1_000_000));
    });
    ended.unwrap();
    assert_eq!(event_loop.handle().stats().blocked, 0);
    closes_clean(event_loop);
    assert_eq!(*reports.lock().unwrap(), <[String; 0]>::default());
}

#[test]
fn a_report_that_panics_is_the_last_of_nothing() {
    let (reports, witness) = channel();
    let watchdog = Watchdog::after(LIMIT).report(move |blocked| {
        drop(reports.send(blocked.clone()));
        // Past the hook that would print it.
        std::panic::resume_unwind(Box::new("the report's own"));
    });
    let mut event_loop: TestLoop<()> = built(|builder| builder.watchdog(watchdog));
    let witness = Witness(Rc::new(witness));
    event_loop.block_on(async { (witness.block(1), witness.block(2)) }).unwrap();
    closes_clean(event_loop);
}
