//! `task_local!`: a value is in place during its future's polls and drop, and nowhere else.

mod support;

use std::cell::{Cell, RefCell};
use std::future::pending;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use loopline::task::TaskLocalFuture;
use loopline::{spawn, task_local, yield_now};
use support::block_on;

task_local! {
    static NUMBER: u32;
    /// Not `Send`, and need not be.
    pub(crate) static LOCAL: Rc<Cell<u32>>;
}
task_local!(static ALONE: &'static str);
task_local! {}

#[test]
fn each_task_sees_its_own_value_between_its_awaits() {
    block_on(async {
        let tasks: Vec<_> = (0..10)
            .map(|n| {
                spawn(NUMBER.scope(n, async move {
                    for _ in 0..5 {
                        assert_eq!(NUMBER.get(), n);
                        yield_now().await;
                    }
                    NUMBER.with(|seen| *seen)
                }))
            })
            .collect();
        for (n, task) in tasks.into_iter().enumerate() {
            assert_eq!(task.await.unwrap(), n as u32);
            assert!(NUMBER.try_get().is_err());
        }
    });
}

#[test]
fn a_task_spawned_in_a_scope_has_no_value() {
    block_on(async {
        let inner = NUMBER.scope(1, async { spawn(async { NUMBER.try_get() }).await.unwrap() });
        assert!(inner.await.is_err());
    });
}

#[test]
fn scopes_nest_and_the_outer_value_comes_back() {
    block_on(NUMBER.scope(1, async {
        assert_eq!(NUMBER.get(), 1);
        NUMBER
            .scope(2, async {
                yield_now().await;
                assert_eq!(NUMBER.get(), 2);
                NUMBER.sync_scope(3, || assert_eq!(NUMBER.get(), 3));
                assert_eq!(NUMBER.get(), 2);
                // Another key is another matter.
                ALONE.scope("alone", async { assert_eq!(ALONE.get(), "alone") }).await;
            })
            .await;
        assert_eq!(NUMBER.get(), 1);
    }));
    assert!(NUMBER.try_get().is_err());
}

#[test]
fn a_value_that_is_not_send_is_borrowed_and_changed() {
    let local = Rc::new(Cell::new(0));
    block_on(LOCAL.scope(local.clone(), async {
        for _ in 0..3 {
            LOCAL.with(|count| count.set(count.get() + 1));
            yield_now().await;
        }
    }));
    assert_eq!((local.get(), Rc::strong_count(&local)), (3, 1));
}

// contract 39
#[test]
fn a_panic_in_a_scope_takes_its_value_out() {
    block_on(NUMBER.scope(1, async {
        let panics = spawn(NUMBER.scope(2, async {
            yield_now().await;
            NUMBER.with(|_| panic!("on purpose"));
        }));
        assert!(panics.await.unwrap_err().is_panic());
        assert_eq!(NUMBER.get(), 1);
        let caught = catch_unwind(|| NUMBER.sync_scope(3, || panic!("on purpose")));
        assert!(caught.is_err());
        assert_eq!(NUMBER.get(), 1);
        let mut poll = pin!(NUMBER.scope(4, async { panic!("on purpose") }));
        let mut context = Context::from_waker(Waker::noop());
        let caught = catch_unwind(AssertUnwindSafe(|| poll.as_mut().poll(&mut context)));
        assert!(caught.is_err());
        assert_eq!(NUMBER.get(), 1);
        assert_eq!(poll.take_value(), Some(4));
    }));
    assert!(NUMBER.try_get().is_err());
}

#[test]
fn with_may_be_inside_with_and_a_scope_may_not() {
    let text = |f: &dyn Fn()| {
        let payload = catch_unwind(AssertUnwindSafe(f)).unwrap_err();
        match payload.downcast::<String>() {
            Ok(text) => *text,
            Err(payload) => (*payload.downcast::<&str>().unwrap()).to_owned(),
        }
    };
    NUMBER.sync_scope(1, || {
        assert_eq!(NUMBER.with(|a| NUMBER.with(|b| a + b)), 2);
        NUMBER.with(|_| {
            let refused = text(&|| NUMBER.sync_scope(2, || ()));
            assert_eq!(refused, "a task-local scope began inside `with` of the same key");
            let refused = text(&|| {
                let scope = pin!(NUMBER.scope(2, async {}));
                let _ = scope.poll(&mut Context::from_waker(Waker::noop()));
            });
            assert_eq!(refused, "a task-local scope began inside `with` of the same key");
            assert_eq!(NUMBER.get(), 1);
        });
        assert_eq!(NUMBER.get(), 1);
    });
    let missing = text(&|| NUMBER.with(|_| ()));
    assert_eq!(missing, NUMBER.try_get().unwrap_err().to_string());
    assert_eq!(missing, std::io::Error::from(NUMBER.try_get().unwrap_err()).to_string());
}

/// Notes on drop what value it sees.
struct Sees(Rc<RefCell<Vec<Option<u32>>>>);

impl Drop for Sees {
    fn drop(&mut self) {
        self.0.borrow_mut().push(NUMBER.try_get().ok());
    }
}

#[test]
fn a_future_is_dropped_with_its_value_in_place() {
    let seen = Rc::default();
    block_on(NUMBER.scope(1, async {
        let sees = Sees(Rc::clone(&seen));
        let cancelled = spawn(NUMBER.scope(2, async move {
            let _sees = sees;
            pending::<()>().await;
        }));
        yield_now().await;
        drop(cancelled.cancel());
        let sees = Sees(Rc::clone(&seen));
        drop(NUMBER.scope(3, async move { drop(sees) }));
        let sees = Sees(Rc::clone(&seen));
        NUMBER.scope(4, async move { drop(sees) }).await;
        assert_eq!(NUMBER.get(), 1);
    }));
    assert_eq!(*seen.borrow(), [Some(2), Some(3), Some(4)]);
}

#[test]
fn a_value_can_be_taken_back() {
    let mut context = Context::from_waker(Waker::noop());
    let mut future = pin!(NUMBER.scope(5, async {
        yield_now().await;
        NUMBER.try_get().ok()
    }));
    assert!(future.as_mut().poll(&mut context).is_pending());
    assert_eq!(future.as_mut().take_value(), Some(5));
    assert_eq!(future.as_mut().take_value(), None);
    assert_eq!(future.as_mut().poll(&mut context), Poll::Ready(None));
    let again = catch_unwind(AssertUnwindSafe(|| future.poll(&mut context)));
    assert!(again.is_err());
}

#[test]
fn a_future_between_its_polls_is_out_of_its_scope() {
    block_on(async {
        let mut one: Pin<Box<TaskLocalFuture<u32, _>>> = Box::pin(NUMBER.scope(1, async {
            yield_now().await;
            NUMBER.get()
        }));
        let mut two = Box::pin(NUMBER.scope(2, async {
            yield_now().await;
            NUMBER.get()
        }));
        let mut context = Context::from_waker(Waker::noop());
        assert!(one.as_mut().poll(&mut context).is_pending());
        assert!(two.as_mut().poll(&mut context).is_pending());
        assert!(NUMBER.try_get().is_err());
        assert_eq!((two.await, one.await), (2, 1));
    });
}
