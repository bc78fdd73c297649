//! `CancellationToken`: asks tasks to stop, in groups inside groups.

mod support;

use std::cell::{Cell, RefCell};
use std::future::{Future, pending, ready};
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, RawWaker, RawWakerVTable, Wake, Waker};

use loopline::task::{CancellationToken, yield_now};
use loopline::{RunError, spawn};
use support::{block_on, closes_clean, event_loop, scaled};

fn poll_once<F: Future>(future: F) -> Poll<F::Output> {
    pin!(future).poll(&mut Context::from_waker(Waker::noop()))
}

#[test]
fn cancelling_wakes_who_waits_first_in_first_out() {
    block_on(async {
        let token = CancellationToken::new();
        let order = Rc::new(RefCell::new(Vec::new()));
        let mut tasks = Vec::new();
        for n in 0..6 {
            let (token, order) = (token.clone(), order.clone());
            tasks.push(spawn(async move {
                match n % 2 {
                    0 => token.cancelled().await,
                    _ => token.cancelled_owned().await,
                }
                order.borrow_mut().push(n);
            }));
            yield_now().await;
        }
        drop(tasks.remove(1).cancel());
        assert!(!token.is_cancelled());
        token.cancel();
        assert!(token.is_cancelled());
        yield_now().await;
        for task in tasks {
            assert!(task.is_finished(), "woken, not found in the end");
            task.await.unwrap();
        }
        assert_eq!(order.take(), [0, 2, 3, 4, 5]);
    });
}

#[test]
fn cancelling_twice_is_cancelling_once() {
    block_on(async {
        let token = CancellationToken::default();
        token.cancel();
        token.cancelled().await;
        token.cancel();
        token.clone().cancelled_owned().await;
        assert_eq!(format!("{token:?}"), "CancellationToken { is_cancelled: true }");
    });
}

#[test]
fn a_parent_cancels_its_children_and_not_the_other_way_round() {
    let parent = CancellationToken::new();
    let [first, second] = [parent.child_token(), parent.child_token()];
    let below = first.child_token();
    first.cancel();
    let states = |tokens: &[&CancellationToken]| {
        tokens.iter().map(|token| token.is_cancelled()).collect::<Vec<_>>()
    };
    assert_eq!(states(&[&parent, &first, &below, &second]), [false, true, true, false]);
    parent.cancel();
    assert_eq!(states(&[&parent, &first, &below, &second]), [true; 4]);
}

#[test]
fn a_child_of_a_cancelled_token_is_cancelled() {
    let token = CancellationToken::new();
    token.cancel();
    let child = token.child_token();
    assert!(child.is_cancelled() && child.child_token().is_cancelled());
    assert!(poll_once(child.cancelled()).is_ready());
}

#[test]
fn children_of_a_token_that_was_dropped_belong_to_its_parent() {
    let root = CancellationToken::new();
    let middle = root.child_token();
    let below = [middle.child_token(), middle.child_token()];
    drop(middle);
    let orphan = {
        let gone = CancellationToken::new();
        gone.child_token()
    };
    drop(root.child_token());
    root.cancel();
    assert!(below.iter().all(CancellationToken::is_cancelled));
    assert!(!orphan.is_cancelled());
    orphan.cancel();
    assert!(orphan.is_cancelled());
}

#[test]
fn parents_are_woken_before_children_and_all_are_cancelled_by_then() {
    block_on(async {
        let root = CancellationToken::new();
        let middle = root.child_token();
        let [elder, younger] = [middle.child_token(), root.child_token()];
        let low = elder.child_token();
        let all = [low, younger, middle, elder, root.clone()];
        let order = Rc::new(RefCell::new(Vec::new()));
        let tasks = [0, 1, 2, 3, 4].map(|n| {
            let (all, order) = (all.clone(), order.clone());
            spawn(async move {
                all[n].cancelled().await;
                assert!(all.iter().all(CancellationToken::is_cancelled));
                order.borrow_mut().push(n);
            })
        });
        yield_now().await;
        root.cancel();
        yield_now().await;
        for task in tasks {
            assert!(task.is_finished(), "woken, not found in the end");
            task.await.unwrap();
        }
        assert_eq!(order.take(), [4, 2, 3, 0, 1]);
    });
}

#[test]
fn a_wait_dropped_at_any_poll_leaves_nothing() {
    for polls in 0..4 {
        let token = CancellationToken::new();
        let wakes = Arc::new(Counts::default());
        {
            let mut wait = pin!(token.cancelled());
            let waker = Waker::from(wakes.clone());
            for _ in 0..polls {
                assert!(wait.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
            }
        }
        assert_eq!(Arc::strong_count(&wakes), 1, "no waker is left");
        token.cancel();
        assert_eq!(wakes.0.load(std::sync::atomic::Ordering::Relaxed), 0);
    }
}

#[test]
fn a_wait_wakes_the_task_that_polled_it_last() {
    let (token, wakes) = (CancellationToken::new(), [0, 1].map(|_| Arc::new(Counts::default())));
    let mut wait = pin!(token.cancelled());
    for n in [0, 1, 0, 1, 1] {
        let waker = Waker::from(wakes[n].clone());
        assert!(wait.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    }
    assert_eq!(Arc::strong_count(&wakes[0]), 1, "its waker was dropped");
    token.cancel();
    let woken = wakes.map(|wakes| wakes.0.load(std::sync::atomic::Ordering::Relaxed));
    assert_eq!(woken, [0, 1]);
}

#[derive(Default)]
struct Counts(std::sync::atomic::AtomicUsize);

impl Wake for Counts {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    }
}

thread_local! {
    /// What the wakers below use.
    static TOKEN: RefCell<Option<CancellationToken>> = const { RefCell::new(None) };
    static WOKEN: Cell<usize> = const { Cell::new(0) };
}

fn token() -> CancellationToken {
    TOKEN.with_borrow(|token| token.clone().expect("set"))
}

struct UsesToken;

impl Wake for UsesToken {
    fn wake(self: Arc<Self>) {
        WOKEN.set(WOKEN.get() + 1);
        assert!(token().is_cancelled() && token().child_token().is_cancelled());
        token().cancel();
        // The last token of the one that is just being cancelled, perhaps.
        TOKEN.take();
    }
}

// contract 16
#[test]
fn who_is_woken_may_use_the_tree() {
    let root = CancellationToken::new();
    TOKEN.set(Some(root.clone()));
    let child = root.child_token();
    let waker = Waker::from(Arc::new(UsesToken));
    let mut wait = Box::pin(child.cancelled_owned());
    assert!(wait.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    root.cancel();
    assert_eq!(WOKEN.get(), 1);
    assert!(wait.as_mut().poll(&mut Context::from_waker(&waker)).is_ready());
}

/// A waker whose clone cancels the token, and which is never the same twice.
fn cancels_when_cloned() -> Waker {
    static TABLE: RawWakerVTable = RawWakerVTable::new(
        |data| {
            token().cancel();
            RawWaker::new(data.wrapping_byte_add(1), &TABLE)
        },
        |_| (),
        |_| (),
        |_| (),
    );
    // SAFETY: the table looks at no data.
    unsafe { Waker::new(std::ptr::null(), &TABLE) }
}

#[test]
fn a_cancellation_while_the_waker_is_copied_is_seen() {
    TOKEN.set(Some(CancellationToken::new()));
    let waker = cancels_when_cloned();
    let token = token();
    let mut wait = pin!(token.cancelled());
    assert!(wait.as_mut().poll(&mut Context::from_waker(&waker)).is_ready());
    TOKEN.set(Some(CancellationToken::new()));
    let other = CancellationToken::new();
    let mut wait = pin!(other.cancelled());
    for _ in 0..3 {
        assert!(wait.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    }
}

#[test]
fn run_until_cancelled_ends_with_what_comes_first() {
    block_on(async {
        let token = CancellationToken::new();
        assert_eq!(token.run_until_cancelled(ready(1)).await, Some(1));
        assert_eq!(token.clone().run_until_cancelled_owned(ready(1)).await, Some(1));
        let child = token.child_token();
        let tasks = [
            spawn({
                let token = token.clone();
                async move { token.run_until_cancelled(pending::<()>()).await }
            }),
            spawn(child.run_until_cancelled_owned(pending::<()>())),
        ];
        yield_now().await;
        token.cancel();
        yield_now().await;
        for task in tasks {
            assert!(task.is_finished(), "woken, not found in the end");
            assert_eq!(task.await.unwrap(), None);
        }
        let polled = async { unreachable!("not polled once the token is cancelled") };
        assert_eq!(token.run_until_cancelled(polled).await, None::<()>);
    });
}

#[test]
fn a_guard_cancels_unless_it_is_disarmed() {
    let token = CancellationToken::new();
    {
        let guard = token.drop_guard_ref();
        assert!(guard.token() == &token);
        assert!(guard.disarm() == &token);
    }
    let guard = token.clone().drop_guard();
    assert!(guard.token() == &token && guard.disarm() == token);
    assert!(!token.is_cancelled());
    let child = token.child_token();
    drop(child.drop_guard_ref());
    assert!(child.is_cancelled() && !token.is_cancelled());
    drop(token.clone().drop_guard());
    assert!(token.is_cancelled());
}

#[test]
fn clones_are_one_token() {
    let token = CancellationToken::new();
    let clone = token.clone();
    assert!(token == clone && token != token.child_token() && token != CancellationToken::new());
    let hash =
        |token: &CancellationToken| BuildHasherDefault::<DefaultHasher>::default().hash_one(token);
    assert_eq!(hash(&token), hash(&clone));
    assert_ne!(hash(&token), hash(&token.child_token()));
}

// contract 37
#[test]
fn a_deep_chain_is_cancelled_and_dropped_without_recursion() {
    let deep = || {
        let mut chain = vec![CancellationToken::new()];
        for _ in 0..scaled(1_000_000) {
            chain.push(chain.last().unwrap().child_token());
        }
        chain
    };
    let chain = deep();
    chain[0].cancel();
    assert!(chain.iter().all(CancellationToken::is_cancelled));
    drop(chain);
    drop(deep());
    let mut chain = deep();
    while chain.pop().is_some() {}
    let mut chain = deep();
    let (root, last) = (chain.swap_remove(0), chain.pop().unwrap());
    drop(chain);
    root.cancel();
    assert!(last.is_cancelled());
}

#[test]
fn a_chain_that_is_held_by_its_end_only_stays_under_its_root() {
    let root = CancellationToken::new();
    let mut end = root.child_token();
    for _ in 0..scaled(1_000_000) {
        end = end.child_token();
    }
    root.cancel();
    assert!(end.is_cancelled());
}

#[test]
fn a_wide_tree_that_loses_its_middle_stays_under_its_root() {
    let root = CancellationToken::new();
    let mut middle: Vec<_> = (0..100).map(|_| root.child_token()).collect();
    middle.push(middle[50].child_token());
    let leaves: Vec<_> = (0..scaled(1_000_000)).map(|_| middle[100].child_token()).collect();
    // Each would pass all leaves on to the one above, were they counted.
    while middle.pop().is_some() {}
    assert!(leaves.iter().all(|leaf| !leaf.is_cancelled()));
    root.cancel();
    assert!(leaves.iter().all(CancellationToken::is_cancelled));
}

#[test]
fn a_wait_that_nothing_can_end_says_what_it_waits_for() {
    let mut event_loop = event_loop::<()>().never_a_guest();
    let token = CancellationToken::new();
    let ended = event_loop.block_on(token.cancelled());
    let Err(RunError::Deadlock(deadlock)) = ended else { panic!("{ended:?}") };
    assert_eq!(deadlock.waits()[0].waits_for, ["a cancellation (CancellationToken)"]);
    closes_clean(event_loop);
}
