//! Wakers of other libraries whose functions come back to what is waited for, as the last owner of something
//! may: nothing is locked or borrowed as they are called, and nothing is lost.

#[path = "support/locks.rs"]
mod locks;
mod support;

use std::cell::{Cell, RefCell};
use std::future::{Future, pending, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures::StreamExt;
use locks::{Acts, Waiting, waiting};
use loopline::callback;
use loopline::time::Timer;
use loopline::{Control, Handle, RemoteJoin, closing, scope, spawn, yield_now};
use support::{block_on, closes_clean, event_loop};

const FAR: Duration = Duration::from_secs(1_000);

type Hook = RefCell<Option<Box<dyn FnOnce()>>>;

fn does(hook: &Hook, act: impl FnOnce() + 'static) {
    *hook.borrow_mut() = Some(Box::new(act));
}

/// Has the waker of a wait act as another one takes its place, and as the wait is dropped. Returns how often it
/// did.
fn acts_as_it_goes<F: Future>(mut make: impl FnMut() -> F, act: impl Fn() + Clone + 'static) {
    let acted = Rc::new(Cell::new(0));
    let counted = || {
        let (act, acted) = (act.clone(), acted.clone());
        move || {
            acted.set(acted.get() + 1);
            act();
        }
    };
    let mut wait = waiting(make());
    let old = std::mem::take(&mut wait.acts);
    does(&old.on_drop, counted());
    assert!(wait.poll().is_pending());
    assert_eq!(acted.get(), 1, "it was replaced");
    does(&wait.acts.on_drop, counted());
    drop(wait);
    assert_eq!(acted.get(), 2, "its wait was dropped");
}

// contract 16, 37
#[test]
fn at_a_ping() {
    block_on(async {
        let (ping, pings) = callback::ping();
        let ping = Rc::new(ping);
        let pings = Rc::new(RefCell::new(pings));
        let mut wait = waiting(next_of(&pings));
        let old = std::mem::take(&mut wait.acts);
        let (fires, wakes) = (ping.clone(), wait.acts.clone());
        does(&old.on_drop, move || fires.ping());
        assert!(wait.poll().is_pending());
        assert_eq!(wakes.wakes.get(), 1);
        assert_eq!(wait.ready(), Some(()));
    });
}

/// The next event of a source, which is borrowed for each poll alone.
fn next_of<Src>(source: &Rc<RefCell<Src>>) -> impl Future<Output = Option<Src::Item>> + 'static
where
    Src: futures::Stream + Unpin + 'static,
{
    let source = source.clone();
    poll_fn(move |cx| source.borrow_mut().poll_next_unpin(cx))
}

// contract 16, 37
#[test]
fn at_a_source_with_a_control() {
    block_on(async {
        let (source, control) = callback::controlled(Timer::after(FAR));
        let source = Rc::new(RefCell::new(source));
        let mut wait = waiting(next_of(&source));
        let old = std::mem::take(&mut wait.acts);
        let sets = control.clone();
        does(&old.on_drop, move || {
            assert!(sets.with(|timer| timer.set_after(FAR)).is_some());
        });
        assert!(wait.poll().is_pending() && wait.is_woken());
        assert!(wait.poll().is_pending());
        // As it is called: to the end of the source.
        let takes = control.clone();
        does(&wait.acts.on_wake, move || assert!(takes.take().is_some()));
        control.with(|timer| timer.set_after(FAR));
        assert!(wait.ready().is_none());
    });
}

// contract 16, 37
#[test]
fn at_a_wait_to_be_asked_to_end() {
    block_on(async {
        acts_as_it_goes(closing, || drop(waiting(closing())));
    });
}

// contract 4
#[test]
fn a_wait_to_be_asked_to_end_wakes_who_polled_it_last() {
    let mut event_loop = event_loop::<()>();
    let handle = event_loop.handle();
    event_loop
        .block_on(async move {
            let mut wait = waiting(closing());
            let old = std::mem::take(&mut wait.acts);
            assert!(wait.poll().is_pending());
            assert!(handle.shutdown(Duration::ZERO).await.is_empty());
            assert!(wait.is_woken() && old.wakes.get() == 0);
            wait.ready();
        })
        .unwrap();
    closes_clean(event_loop);
}

/// Begins a graceful end of the loop, and leaves it.
fn begins_to_end(handle: Handle<()>) {
    let mut ends = pin!(handle.shutdown(FAR));
    let _ended = ends.as_mut().poll(&mut Context::from_waker(Waker::noop()));
}

// contract 23
#[test]
fn who_is_asked_to_end_as_it_begins_to_wait_does_not_wait() {
    let mut event_loop = event_loop::<()>();
    let handle = event_loop.handle();
    event_loop
        .block_on(async move {
            let mut wait = Waiting::new(closing());
            does(&wait.acts.on_clone, move || begins_to_end(handle));
            wait.ready();
        })
        .unwrap();
    closes_clean(event_loop);
}

// contract 41; fault 90
#[test]
fn a_wait_to_be_asked_to_end_goes_on_in_another_loop() {
    let (mut first, mut second) = (event_loop::<()>(), event_loop::<()>());
    let handle = second.handle();
    // Others that wait there, so that the places differ.
    let others = (0..3).map(|_| second.handle().spawn(closing())).collect::<Vec<_>>();
    let mut wait = Box::pin(closing());
    let began = first.block_on(async { futures::poll!(&mut wait).is_pending() });
    assert!(began.unwrap());
    let ended = second.block_on(async {
        assert!(futures::poll!(&mut wait).is_pending());
        spawn(async move { drop(handle.shutdown(FAR).await) });
        wait.await;
    });
    ended.unwrap();
    assert!(others.iter().all(|other| other.is_finished()));
    let handle = first.handle();
    // Nobody waits there any more.
    first.block_on(async move { drop(handle.shutdown(FAR).await) }).unwrap();
    closes_clean(first);
    second.run(&mut ()).unwrap();
    closes_clean(second);
}

// contract 16, 37
#[test]
fn at_a_graceful_end() {
    let mut event_loop = event_loop::<()>();
    let handle = event_loop.handle();
    let [task, last] = [(); 2].map(|()| handle.spawn(pending::<()>()));
    event_loop
        .block_on(async move {
            let mut ends = waiting(handle.shutdown(FAR));
            // Another one that waits, as the first is called.
            let acts = ends.acts.clone();
            let more = Rc::new(RefCell::new(None));
            let begun = more.clone();
            does(&acts.on_wake, move || {
                begun.replace(Some(Box::pin(handle.shutdown(FAR))));
                let mut begun = begun.borrow_mut();
                let begun: Pin<&mut _> = begun.as_mut().unwrap().as_mut();
                let _ended = begun.poll(&mut Context::from_waker(Waker::noop()));
            });
            drop(task.cancel());
            yield_now().await;
            assert!(ends.is_woken() && more.borrow().is_some());
            assert!(ends.poll().is_pending());
            drop(last.cancel());
            yield_now().await;
            assert!(ends.is_woken());
            assert!(ends.ready().is_empty());
            drop(more);
        })
        .unwrap();
    closes_clean(event_loop);
}

/// Runs an item by a remote, and returns the join of it and its control.
async fn joined(handle: Handle<()>) -> (RemoteJoin<u32>, Control) {
    let join = handle.remote().spawn(|handle| async move {
        KEPT.set(handle.current());
        pending::<u32>().await
    });
    loop {
        yield_now().await;
        if let Some(control) = KEPT.take() {
            return (join.unwrap(), control);
        }
    }
}

thread_local! {
    static KEPT: Cell<Option<Control>> = const { Cell::new(None) };
}

// contract 16, 37
#[test]
fn at_the_end_of_a_remote_item() {
    let mut event_loop = event_loop::<()>();
    let handle = event_loop.handle();
    event_loop
        .block_on(async move {
            // As its waker is replaced, the item ends.
            let (mut join, control) = joined(handle).await;
            let mut wait = waiting(&mut join);
            let old = std::mem::take(&mut wait.acts);
            does(&old.on_drop, move || assert!(control.cancel()));
            assert!(wait.poll().is_pending());
            assert!(wait.is_woken());
            assert!(wait.ready().unwrap_err().is_cancelled());
            drop(wait);
            // As it is dropped.
            let (mut join, control) = joined(handle).await;
            let acts = waiting(&mut join).acts.clone();
            does(&acts.on_drop, move || assert!(control.cancel()));
            drop(join);
            assert_eq!(Rc::strong_count(&acts), 1);
            // As its waker is cloned, the item ends: no wait begins.
            let (mut join, control) = joined(handle).await;
            let mut wait = Waiting::new(&mut join);
            does(&wait.acts.on_clone, move || assert!(control.cancel()));
            assert!(wait.ready().unwrap_err().is_cancelled());
            drop(wait);
            // As it is called, who waits looks, and drops the join.
            let (join, control) = joined(handle).await;
            let join = Rc::new(RefCell::new(Some(join)));
            let looked = join.clone();
            let acts = Rc::<Acts>::default();
            let waker = acts.waker();
            let mut cx = Context::from_waker(&waker);
            assert!(Pin::new(join.borrow_mut().as_mut().unwrap()).poll(&mut cx).is_pending());
            does(&acts.on_wake, move || {
                let join = looked.borrow_mut().take().expect("it waits");
                assert!(join.is_finished());
            });
            assert!(control.cancel());
            assert_eq!((acts.wakes.get(), join.borrow().is_none()), (1, true));
        })
        .unwrap();
    closes_clean(event_loop);
}

// contract 4
#[test]
fn the_end_of_a_remote_item_wakes_who_polled_last() {
    let mut event_loop = event_loop::<()>();
    let handle = event_loop.handle();
    event_loop
        .block_on(async move {
            let (mut join, control) = joined(handle).await;
            let mut wait = waiting(&mut join);
            let old = std::mem::take(&mut wait.acts);
            assert!(wait.poll().is_pending());
            assert!(control.cancel());
            assert!(wait.is_woken() && old.wakes.get() == 0);
            assert!(matches!(wait.poll(), Poll::Ready(Err(_))));
        })
        .unwrap();
    closes_clean(event_loop);
}

// contract 16, 37
#[test]
fn at_the_calls_of_a_scope() {
    block_on(async {
        let mut wait = waiting(scope(async |s| {
            let child = s.spawn(pending::<()>());
            let control = child.control();
            KEPT.set(Some(control));
            child.await
        }));
        let control = KEPT.take().expect("it ran");
        let old = std::mem::take(&mut wait.acts);
        // The scope is called for the child, which a dropped waker has ended.
        does(&old.on_drop, move || assert!(control.cancel()));
        assert!(wait.poll().is_pending());
        assert!(wait.is_woken());
        let mut ended = wait.poll();
        while ended.is_pending() {
            ended = wait.poll();
        }
        assert!(matches!(ended, Poll::Ready(Err(error)) if error.is_cancelled()));
    });
}
