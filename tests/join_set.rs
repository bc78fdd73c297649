//! `JoinSet`: outputs in the order in which tasks ended, each once; nothing runs on that was cancelled.

#[path = "support/locks.rs"]
mod locks;
mod support;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::future::{Future, pending, poll_fn, ready};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use locks::Acts;
use loopline::callback::{Next, Stream};
use loopline::time::sleep;
use loopline::{Control, JoinSet, RunError, TaskId, spawn, spawn_blocking, yield_now};
use support::{block_on, block_on_paused, built, closes_clean, event_loop, scaled};

type Log<T> = Rc<RefCell<Vec<T>>>;

/// Says its name when it is dropped.
struct Tell<T: Copy>(T, Log<T>);

impl<T: Copy> Drop for Tell<T> {
    fn drop(&mut self) {
        self.1.borrow_mut().push(self.0);
    }
}

fn noop() -> Context<'static> {
    Context::from_waker(Waker::noop())
}

/// Waits as many turns of the queue.
async fn rounds(n: u32) {
    for _ in 0..n {
        yield_now().await;
    }
}

#[test]
fn outputs_come_in_the_order_in_which_the_tasks_ended() {
    block_on_paused(async {
        let mut set = JoinSet::new();
        for n in [5_u64, 1, 4, 2, 3] {
            set.spawn(async move {
                sleep(Duration::from_secs(n)).await;
                n
            });
        }
        assert_eq!(set.len(), 5);
        assert!(set.try_join_next().is_none());
        for n in 1..=5 {
            assert_eq!(set.join_next().await.unwrap().unwrap(), n);
        }
        assert!(set.is_empty());
        assert!(set.join_next().await.is_none());
        // It may be used again.
        set.spawn(ready(6));
        sleep(Duration::from_secs(1)).await;
        set.spawn(ready(7));
        assert_eq!(set.join_all().await, [6, 7]);
    });
}

#[test]
fn ids_are_those_of_the_controls() {
    block_on(async {
        let mut set = JoinSet::new();
        let mut tasks: BTreeMap<TaskId, u32> =
            (0..4).map(|n| (set.spawn(ready(n)).id(), n)).collect();
        let cancelled = set.spawn(pending());
        cancelled.cancel();
        let (id, n) = set.join_next_with_id().await.unwrap().unwrap_or((cancelled.id(), 9));
        assert_eq!((id, n), (cancelled.id(), 9), "it ended first");
        let (id, n) = set.join_next_with_id().await.unwrap().unwrap();
        assert_eq!(tasks.remove(&id), Some(n));
        yield_now().await;
        let (id, n) = set.try_join_next_with_id().unwrap().unwrap();
        assert_eq!(tasks.remove(&id), Some(n));
        let next = poll_fn(|cx| set.poll_join_next_with_id(cx)).await;
        let (id, n) = next.unwrap().unwrap();
        assert_eq!(tasks.remove(&id), Some(n));
        assert_eq!((set.len(), tasks.len()), (1, 1));
    });
}

// contract 39; fault 84
#[test]
fn a_panic_and_a_cancel_are_told_by_joining_and_others_go_on() {
    block_on(async {
        let mut set = JoinSet::new();
        set.spawn(async { 1 });
        let panicking = set.spawn(async { panic!("on purpose") });
        let cancelled = set.spawn(pending());
        set.spawn(async { 2 });
        assert!(cancelled.cancel());
        assert!(!cancelled.cancel());
        let error = set.join_next().await.unwrap().unwrap_err();
        assert!(error.is_cancelled() && error.id() == cancelled.id());
        assert_eq!(set.join_next().await.unwrap().unwrap(), 1);
        let error = set.join_next().await.unwrap().unwrap_err();
        assert_eq!(error.id(), panicking.id());
        assert_eq!(*error.into_panic().downcast::<&str>().unwrap(), "on purpose");
        assert_eq!(set.join_all().await, [2]);
    });
}

#[test]
fn join_all_hands_a_panic_on_and_cancels_the_rest() {
    block_on(async {
        let log = Log::default();
        let mut set = JoinSet::new();
        let tell = Tell((), log.clone());
        set.spawn(async move {
            let _tell = tell;
            pending().await
        });
        set.spawn(async { panic!("on purpose") });
        let error = spawn(set.join_all()).await.map(|_: Vec<()>| ()).unwrap_err();
        assert_eq!(*error.into_panic().downcast::<&str>().unwrap(), "on purpose");
        assert_eq!(log.borrow().len(), 1);

        let mut set = JoinSet::<()>::new();
        set.spawn(pending()).cancel();
        let error = spawn(set.join_all()).await.map(|_| ()).unwrap_err();
        let text = *error.into_panic().downcast::<String>().unwrap();
        assert!(text.contains("was cancelled"), "{text}");
    });
}

/// A waker of another library that polls the set right where it is woken.
struct PollAtOnce;

thread_local! {
    static SET: RefCell<Option<JoinSet<u32>>> = const { RefCell::new(None) };
    static JOINED: RefCell<Vec<Option<u32>>> = const { RefCell::new(Vec::new()) };
    static WAKES: Cell<usize> = const { Cell::new(0) };
}

impl Wake for PollAtOnce {
    fn wake(self: Arc<Self>) {
        WAKES.set(WAKES.get() + 1);
        let mut set = SET.take().expect("not woken by its own poll");
        let waker = Waker::from(self);
        let mut cx = Context::from_waker(&waker);
        while let Poll::Ready(next) = set.poll_join_next(&mut cx) {
            JOINED.with_borrow_mut(|joined| joined.push(next.map(Result::unwrap)));
            if set.is_empty() {
                break;
            }
        }
        SET.set(Some(set));
    }
}

#[test]
fn a_waker_that_polls_at_once_is_woken_again_when_the_output_is_there() {
    block_on(async {
        let mut set = JoinSet::new();
        set.spawn(async { 5 });
        set.spawn(async {
            yield_now().await;
            6
        });
        let waker = Waker::from(Arc::new(PollAtOnce));
        assert!(set.poll_join_next(&mut Context::from_waker(&waker)).is_pending());
        SET.set(Some(set));
        rounds(3).await;
        assert_eq!(JOINED.take(), [Some(5), Some(6)]);
        assert_eq!(WAKES.get(), 4, "as each future was dropped, and as its output was there");
        SET.take();
    });
}

#[test]
fn a_waker_that_cancels_a_task_as_it_is_copied_loses_nothing() {
    thread_local! {
        static VICTIM: Cell<Option<Control>> = const { Cell::new(None) };
    }
    use std::task::{RawWaker, RawWakerVTable};
    fn clone(_: *const ()) -> RawWaker {
        VICTIM.take().map(Control::cancel);
        RawWaker::new(std::ptr::null(), &VTABLE)
    }
    static VTABLE: RawWakerVTable = RawWakerVTable::new(clone, |_| {}, |_| {}, |_| {});
    block_on(async {
        let mut set = JoinSet::<()>::new();
        VICTIM.set(Some(set.spawn(pending())));
        // SAFETY: its functions accept any pointer.
        let waker = unsafe { Waker::from_raw(RawWaker::new(std::ptr::null(), &VTABLE)) };
        let polled = set.poll_join_next(&mut Context::from_waker(&waker));
        let Poll::Ready(Some(Err(error))) = polled else { panic!("{polled:?}") };
        assert!(error.is_cancelled());
    });
}

#[test]
fn a_set_may_hold_tasks_of_two_loops() {
    let (mut one, mut other) = (event_loop::<()>(), event_loop::<()>());
    let mut set = JoinSet::new();
    set.spawn_on(async { 1 }, one.handle());
    set.spawn_with(other.handle().item().label("two"), async { 2 });
    let joining = one.handle().spawn(async move { set.join_all().await });
    one.turn(&mut (), Duration::ZERO).unwrap();
    assert!(!joining.is_finished());
    other.run(&mut ()).unwrap();
    assert_eq!(one.block_on(joining).unwrap().unwrap(), [1, 2]);
    closes_clean(one);
    closes_clean(other);
}

#[test]
fn a_set_is_a_stream_and_a_source() {
    let mut event_loop = event_loop::<Vec<u32>>();
    let mut set = JoinSet::new();
    for n in 0..3 {
        set.spawn_on(async move { n }, event_loop.handle());
    }
    assert_eq!(Stream::size_hint(&set), (3, Some(3)));
    let handle = event_loop.handle();
    let inserted = handle.insert(set, move |result, set, seen| {
        seen.push(result.unwrap());
        if seen.len() == 3 {
            set.spawn(async { 7 });
        }
        Next::Keep
    });
    let mut seen = Vec::new();
    event_loop.run(&mut seen).unwrap();
    assert_eq!(seen, [0, 1, 2, 7]);
    drop(inserted);
    closes_clean(event_loop);
}

#[test]
fn futures_are_collected_and_added() {
    block_on(async {
        let mut set: JoinSet<u32> = (0..3).map(ready).collect();
        set.extend((3..6).map(ready));
        assert_eq!(format!("{set:?}"), "JoinSet { len: 6 }");
        assert_eq!(set.join_all().await, [0, 1, 2, 3, 4, 5]);
    });
}

#[test]
fn a_set_that_waits_for_ever_is_named_in_the_report() {
    let mut event_loop = event_loop::<()>().never_a_guest();
    let ended = event_loop.block_on(async {
        let mut set = JoinSet::new();
        set.spawn(pending::<()>());
        set.join_next().await.is_some()
    });
    let Err(RunError::Deadlock(deadlock)) = ended else { panic!("no deadlock but {ended:?}") };
    assert_eq!(deadlock.waits()[0].waits_for, ["the end of a task (JoinSet)"]);
    closes_clean(event_loop);
}

/// The next number below `n` of a small generator.
fn below(state: &mut u64, n: usize) -> usize {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    (*state >> 16) as usize % n
}

/// Tasks that end when told to, against a plain list of which ended, in order.
#[test]
fn it_behaves_like_a_plain_list_of_ends_whatever_is_done_with_it() {
    let seed = std::env::var("LOOPLINE_SEED").ok().and_then(|text| text.parse().ok());
    let mut random = seed.unwrap_or(0x9e37_79b9_u64) | 1;
    println!("seed {random}");
    block_on(async {
        let mut set = JoinSet::new();
        let mut running: Vec<(usize, Control, Rc<Cell<bool>>, Waker)> = Vec::new();
        let mut ended: VecDeque<(usize, bool)> = VecDeque::new();
        for step in 0..scaled(100_000) {
            match below(&mut random, 7) {
                0 | 1 if running.len() < 50 => {
                    let end = Rc::new(Cell::new(false));
                    let (told, waker) = (end.clone(), Rc::new(RefCell::new(None)));
                    let own = waker.clone();
                    let control = set.spawn(poll_fn(move |cx| {
                        *own.borrow_mut() = Some(cx.waker().clone());
                        if told.get() { Poll::Ready(step) } else { Poll::Pending }
                    }));
                    yield_now().await;
                    let waker = waker.take().expect("polled");
                    running.push((step, control, end, waker));
                }
                2 if !running.is_empty() => {
                    let task = running.remove(below(&mut random, running.len()));
                    task.2.set(true);
                    task.3.wake();
                    yield_now().await;
                    ended.push_back((task.0, true));
                }
                3 if !running.is_empty() => {
                    let task = running.remove(below(&mut random, running.len()));
                    assert!(task.1.cancel());
                    ended.push_back((task.0, false));
                }
                4 => {
                    // A wait that is dropped, pending or not polled at all, takes nothing.
                    let mut next = pin!(set.join_next());
                    if ended.is_empty() && below(&mut random, 2) == 0 {
                        let pending = !running.is_empty();
                        assert_eq!(next.as_mut().poll(&mut noop()).is_pending(), pending);
                    }
                }
                5 => match (set.try_join_next(), ended.pop_front()) {
                    (Some(result), Some((id, true))) => assert_eq!(result.unwrap(), id),
                    (Some(result), Some((_, false))) => {
                        assert!(result.unwrap_err().is_cancelled());
                    }
                    (None, None) => {}
                    other => panic!("{other:?}"),
                },
                6 if !ended.is_empty() => {
                    let result = set.join_next().await.unwrap();
                    let (id, well) = ended.pop_front().unwrap();
                    assert_eq!(result.ok(), well.then_some(id));
                }
                _ => {}
            }
            assert_eq!(set.len(), running.len() + ended.len());
        }
    });
}

#[test]
fn jobs_of_a_set_are_joined_with_its_tasks_and_a_panic_is_told() {
    block_on(async {
        let mut set = JoinSet::new();
        set.spawn(async { 1 });
        set.spawn_blocking(|| 2);
        set.spawn_blocking(|| panic!("in the job"));
        let (mut sum, mut panics) = (0, 0);
        while let Some(result) = set.join_next().await {
            match result {
                Ok(n) => sum += n,
                Err(error) => {
                    assert_eq!(error.into_panic().downcast_ref(), Some(&"in the job"));
                    panics += 1;
                }
            }
        }
        assert_eq!((sum, panics), (3, 1));
    });
}

#[test]
fn a_job_of_a_set_that_has_not_begun_never_does_once_the_set_is_dropped() {
    let mut event_loop = built::<()>(|builder| builder.blocking_threads(1));
    let (end, gate) = std::sync::mpsc::channel::<()>();
    let (begin, begun) = std::sync::mpsc::channel();
    let tell = begin.clone();
    event_loop
        .block_on(async {
            let mut set = JoinSet::new();
            set.spawn_blocking(move || {
                begin.send("first").unwrap();
                gate.recv().unwrap_err();
            });
            set.spawn_blocking(move || tell.send("second").unwrap());
            assert_eq!(begun.recv(), Ok("first"));
            drop(set);
            drop(end);
            spawn_blocking(|| ()).await.unwrap(); // behind both
            begun.recv().unwrap_err();
        })
        .unwrap();
    closes_clean(event_loop);
}

#[test]
fn a_job_of_a_set_on_a_loop_that_is_gone_is_cancelled() {
    let handle = {
        let gone = event_loop::<()>();
        let handle = gone.handle();
        closes_clean(gone);
        handle
    };
    block_on(async {
        let mut set = JoinSet::new();
        assert!(set.spawn_blocking_on(|| (), handle).is_finished());
        assert!(set.join_next().await.unwrap().unwrap_err().is_cancelled());
        assert!(set.join_next().await.is_none());
    });
}

// contract 37
#[test]
fn tasks_that_end_as_their_set_is_looked_at_are_joined_in_the_order_in_which_they_ended() {
    block_on(async {
        let set = Rc::new(RefCell::new(JoinSet::new()));
        let first = set.borrow_mut().spawn(pending::<()>());
        let second = set.borrow_mut().spawn(pending::<()>());
        yield_now().await;
        let looked = set.clone();
        let acts = Rc::<Acts>::default();
        let waker = acts.waker();
        let join = move |cx: &mut Context<'_>| looked.borrow_mut().poll_join_next(cx);
        assert!(join(&mut Context::from_waker(&waker)).is_pending());
        // As it is called for the first, whose output is not in its place yet.
        let looks = join.clone();
        *acts.on_wake.borrow_mut() = Some(Box::new(move || {
            assert!(second.cancel());
            assert!(looks(&mut Context::from_waker(Waker::noop())).is_pending());
        }));
        assert!(first.cancel());
        for ended in [first, second] {
            let Some(Err(error)) = set.borrow_mut().try_join_next() else { panic!("it has ended") };
            assert_eq!(error.id(), ended.id());
        }
    });
}
