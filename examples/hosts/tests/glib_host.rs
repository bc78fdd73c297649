//! GLib as the host of a loop: by the guest's descriptor, and by a source that GLib asks before it waits.

#[path = "../../../tests/support/mod.rs"]
mod support;
#[path = "../../../tests/support/work.rs"]
mod work;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use glib::{ControlFlow, MainContext, MainLoop, SourceId};
use hosts::glib_host::{attach, attach_source};
use loopline::{Guest, Turn};
use support::{closes_clean, event_loop, is_gone, scaled};
use work::workload;

type Each = Box<dyn FnMut(&Guest<usize>, &mut usize, Turn) -> ControlFlow>;
type Attach = fn(Guest<usize>, usize, Each) -> SourceId;

/// Calls `f` with GLib's default context, which one thread at a time may use.
fn in_a_context(f: impl FnOnce(&MainContext)) {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let context = MainContext::default();
    let _acquired = context.acquire().unwrap();
    f(&context);
}

fn drives(attach: Attach) {
    in_a_context(|context| {
        let event_loop = event_loop::<usize>();
        let (expected, outside) = workload(event_loop.handle(), scaled(20_000));
        let (guest, main_loop) = (event_loop.lend(), MainLoop::new(Some(context), false));
        let handle = guest.handle();
        let (quits, seen) = (main_loop.clone(), Rc::new(Cell::new(0)));
        let count = seen.clone();
        let each: Each = Box::new(move |guest, state, _| {
            count.set(*state);
            if guest.is_finished() {
                assert_eq!(guest.handle().stats().items, 0);
                quits.quit();
                return ControlFlow::Break;
            }
            ControlFlow::Continue
        });
        attach(guest, 0, each);
        let outside = thread::spawn(outside);
        main_loop.run();
        outside.join().unwrap();
        assert_eq!(seen.get(), expected);
        is_gone(handle);
    });
    closes_clean(event_loop::<()>());
}

// contract 23, 57
#[test]
fn glib_drives_a_guest_by_its_descriptor() {
    drives(|guest, state, each| attach(guest, state, each));
}

// contract 23, 57
#[test]
fn glib_drives_a_guest_that_it_asks_before_each_wait() {
    drives(|guest, state, each| attach_source(guest, state, each));
}

fn is_quiet(attach: Attach) {
    in_a_context(|context| {
        let guest = event_loop::<usize>().lend();
        let (handle, turns) = (guest.handle(), Rc::new(Cell::new(0)));
        let count = turns.clone();
        let each: Each = Box::new(move |_, _, _| {
            count.set(count.get() + 1);
            ControlFlow::Continue
        });
        let source = attach(guest, 0, each);
        let main_loop = MainLoop::new(Some(context), false);
        let quits = main_loop.clone();
        glib::timeout_add_local_once(Duration::from_millis(100), move || quits.quit());
        main_loop.run();
        assert_eq!(turns.get(), 0);
        source.remove();
        is_gone(handle);
    });
    closes_clean(event_loop::<()>());
}

#[test]
fn an_idle_guest_does_not_wake_glib() {
    is_quiet(|guest, state, each| attach(guest, state, each));
    is_quiet(|guest, state, each| attach_source(guest, state, each));
}

/// A dialog: a main loop inside a callback of the guest, which is not called meanwhile and keeps nobody busy.
fn survives_a_modal_loop(attach: Attach) {
    in_a_context(|context| {
        let guest = event_loop::<usize>().lend();
        let handle = guest.handle();
        let (sender, messages) = loopline::callback::channel::<()>();
        drop(handle.insert(messages, |(), _, count: &mut usize| {
            *count += 1;
            loopline::callback::Next::Stop
        }));
        let (outer, inner) = (MainLoop::new(Some(context), false), context.clone());
        let iterations = Rc::new(RefCell::new(None));
        let seen = iterations.clone();
        handle.defer(move |count| {
            thread::spawn(move || sender.send(()).unwrap()).join().unwrap();
            let (ended, end) = (Rc::new(Cell::new(false)), Cell::new(0));
            let over = ended.clone();
            glib::timeout_add_local_once(Duration::from_millis(50), move || over.set(true));
            while !ended.get() {
                inner.iteration(true);
                end.set(end.get() + 1);
            }
            assert_eq!(*count, 0);
            seen.replace(Some(end.get()));
        });
        let quits = outer.clone();
        let each: Each = Box::new(move |guest, count, _| {
            if guest.is_finished() {
                assert_eq!(*count, 1);
                quits.quit();
                return ControlFlow::Break;
            }
            ControlFlow::Continue
        });
        attach(guest, 0, each);
        outer.run();
        let iterations = iterations.take().unwrap();
        assert!(iterations <= 5, "{iterations} iterations for one timer");
        is_gone(handle);
    });
    closes_clean(event_loop::<()>());
}

// contract 28
#[test]
fn a_dialog_inside_a_callback_does_not_spin() {
    survives_a_modal_loop(|guest, state, each| attach(guest, state, each));
    survives_a_modal_loop(|guest, state, each| attach_source(guest, state, each));
}
