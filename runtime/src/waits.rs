//! What an item waits for, asked only when nothing can wake the loop any more.
//!
//! A leaf that returns Pending notes what it waits for. Nobody listens, and the note costs one look at a
//! thread-local, until the loop is about to report a deadlock: then it polls each item once more, which
//! every future must bear, and collects the notes.

use std::cell::{Cell, RefCell};

thread_local! {
    static ASKED: Cell<bool> = const { Cell::new(false) };
    static NOTES: RefCell<Vec<&'static str>> = const { RefCell::new(Vec::new()) };
    /// What children of scopes wait for, by their ids.
    static CHILDREN: RefCell<Vec<(u64, Vec<&'static str>)>> = const { RefCell::new(Vec::new()) };
}

/// Notes that the leaf being polled waits for `what`: "a message (mpsc::Receiver::recv)".
#[inline]
pub(crate) fn note(what: &'static str) {
    if is_asked() {
        keep(what);
    }
}

/// Whether a poll is made to learn what is waited for: one that polls others only when they were woken
/// polls them all.
#[inline]
pub(crate) fn is_asked() -> bool {
    ASKED.get()
}

#[cold]
fn keep(what: &'static str) {
    NOTES.with_borrow_mut(|notes| {
        if !notes.contains(&what) {
            notes.push(what);
        }
    });
}

/// Calls `f`, which polls a child inside the poll that is asked: its notes are its own.
pub(crate) fn ask_child(id: u64, f: impl FnOnce()) {
    let outer = NOTES.take();
    f();
    let own = NOTES.replace(outer);
    CHILDREN.with_borrow_mut(|children| children.push((id, own)));
}

/// Returns what children noted since the last call.
pub(crate) fn take_children() -> Vec<(u64, Vec<&'static str>)> {
    CHILDREN.take()
}

/// Calls `f`, which polls, and returns what was noted meanwhile.
pub(crate) fn ask(f: impl FnOnce()) -> Vec<&'static str> {
    struct Quiet;
    impl Drop for Quiet {
        fn drop(&mut self) {
            ASKED.set(false);
        }
    }
    NOTES.take();
    ASKED.set(true);
    {
        let _quiet = Quiet;
        f();
    }
    NOTES.take()
}
