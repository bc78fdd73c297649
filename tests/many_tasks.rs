//! A million tasks come and go, and the memory they took is given back. A file of its own, because it
//! counts every allocation of its thread.

#[path = "support/counting.rs"]
mod counting;
mod support;

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};

use counting::bytes_held;
use loopline::{EventLoop, yield_now};
use support::{closes_clean, event_loop, scaled};

/// Spawns so many tasks that sleep, wakes them all, and lets them end. Returns the bytes held meanwhile.
fn come_and_go(event_loop: &mut EventLoop<()>, many: usize) -> isize {
    let handle = event_loop.handle();
    let wakers = Rc::new(RefCell::new(Vec::<Waker>::new()));
    let ended = Rc::new(Cell::new(0));
    for _ in 0..many {
        let (wakers, ended) = (wakers.clone(), ended.clone());
        handle.spawn(async move {
            let mut polled = false;
            poll_fn(|cx| {
                if polled {
                    return Poll::Ready(());
                }
                polled = true;
                wakers.borrow_mut().push(cx.waker().clone());
                Poll::Pending
            })
            .await;
            ended.set(ended.get() + 1);
        });
    }
    while wakers.borrow().len() < many {
        event_loop.block_on(yield_now()).unwrap();
    }
    let held = bytes_held();
    wakers.take().into_iter().for_each(Waker::wake);
    event_loop.run(&mut ()).unwrap();
    assert_eq!(ended.get(), many, "each was woken and ended");
    held
}

/// A loop on which many tasks come and go twice; the bytes its memory took of those before.
fn loop_of_many(many: usize) -> isize {
    let before = bytes_held();
    let mut event_loop = event_loop::<()>();
    let most = come_and_go(&mut event_loop, many) - before;
    let base = bytes_held() - before;
    // What stays is the table of slots, which is used again.
    assert!(base < most / 2, "{base} bytes stay of {most}");
    come_and_go(&mut event_loop, many);
    let again = bytes_held() - before;
    assert!((again - base).abs() * 20 <= base, "{again} bytes held after {base}");
    closes_clean(event_loop);
    bytes_held() - before
}

// contract 36; fault 69
#[test]
fn a_million_tasks_spawned_woken_and_ended_leave_memory_as_it_was() {
    let many = scaled(1_000_000);
    // The bitmap for wakes from other threads: a waker may outlive its loop. The next one uses it.
    let first = loop_of_many(many);
    assert!(first < many as isize + 1_000_000, "{first} bytes outlive the first loop");
    assert_eq!(loop_of_many(many), 0, "bytes outlive the second loop");
}
