//! What is left in a task whose output was taken goes with its block.

use std::cell::Cell;
use std::future::{Future, pending};
use std::mem::ManuallyDrop;
use std::pin::Pin;
use std::ptr;
use std::task::{Context, Poll, RawWaker, RawWakerVTable, Waker};

use crate::join::Control;
use crate::{EventLoop, labels};

#[test]
fn a_label_is_forgotten_also_if_the_output_was_taken() {
    let mut event_loop = EventLoop::<()>::new().unwrap();
    let task = event_loop.handle().item().label("named").spawn(async { 7 });
    let id = task.id();
    assert!(labels::get(id.0).is_some());
    assert_eq!(event_loop.block_on(task).unwrap().unwrap(), 7);
    assert_eq!(labels::get(id.0), None);
}

thread_local! {
    static CANCELLED: Cell<Option<Control>> = const { Cell::new(None) };
    /// Wakers that were cloned and not dropped yet.
    static CLONES: Cell<u32> = const { Cell::new(0) };
}

/// A waker whose clone cancels an item.
fn cancels_when_cloned() -> ManuallyDrop<Waker> {
    static TABLE: RawWakerVTable = RawWakerVTable::new(
        |data| {
            CANCELLED.take().map(Control::cancel);
            CLONES.set(CLONES.get() + 1);
            RawWaker::new(data, &TABLE)
        },
        |_| CLONES.set(CLONES.get() - 1),
        |_| (),
        |_| CLONES.set(CLONES.get() - 1),
    );
    // SAFETY: the table looks at no data.
    ManuallyDrop::new(unsafe { Waker::new(ptr::null(), &TABLE) })
}

struct PanicsInDrop;

impl Drop for PanicsInDrop {
    fn drop(&mut self) {
        panic!("as it should");
    }
}

#[test]
fn a_waker_stored_when_the_item_had_ended_is_dropped_with_it() {
    let event_loop = EventLoop::<()>::new().unwrap();
    let guard = PanicsInDrop;
    let mut task = event_loop.handle().spawn(async move {
        let _guard = guard;
        pending::<()>().await;
    });
    CANCELLED.set(Some(task.control()));
    let waker = cancels_when_cloned();
    let polled = Pin::new(&mut task).poll(&mut Context::from_waker(&waker));
    // It ended by a panic while the waker was cloned, so that is its output.
    assert!(matches!(polled, Poll::Ready(Err(error)) if error.is_panic()));
    assert_eq!(CLONES.get(), 1);
    drop(task);
    assert_eq!(CLONES.get(), 0);
}
