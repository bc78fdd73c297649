//! How the thread finds its loops: the one whose turn runs, and any other by its id.

use std::cell::RefCell;
use std::fmt;
use std::rc::{Rc, Weak};

use crate::budget::Kept;
use crate::item::TaskId;
use crate::shared::Shared;
use crate::state::Scoped;
use crate::wake::{self, Word};

thread_local! {
    /// The loop whose turn runs on this thread, innermost.
    static CURRENT: Scoped<Shared> = const { Scoped::new() };
    /// The loops of this thread, for handles used outside a turn.
    static LOOPS: RefCell<Vec<Known>> = const { RefCell::new(Vec::new()) };
}

/// A loop of this thread, and what it is found by.
struct Known {
    id: u64,
    number: u16,
    shared: Weak<Shared>,
}

/// Calls `f` with the loop whose turn runs on this thread.
#[inline]
pub(crate) fn with_current<R>(f: impl FnOnce(Option<&Shared>) -> R) -> R {
    CURRENT.with(|cell| cell.with(f))
}

/// Whether a loop is in a turn on this thread; one whose turn was left behind in the parent process does
/// not count.
pub(crate) fn loop_runs_here() -> bool {
    with_current(|current| current.is_some_and(|current| !current.reactor.stamp().is_foreign()))
}

/// Calls `f` with the loop of that id if it lives on this thread.
#[inline]
pub(crate) fn with_loop<R>(id: u64, f: impl FnOnce(Option<&Shared>) -> R) -> R {
    with_current(|current| match current {
        Some(shared) if shared.id == id => f(Some(shared)),
        _ => f(find_loop(id).as_deref()),
    })
}

/// As `with_loop`, for what is inserted: with one call of `f`, so that it becomes part of its caller, and what is
/// inserted is written to where it stays, not moved there.
#[inline]
pub(crate) fn into_loop<R>(id: u64, f: impl FnOnce(Option<&Shared>) -> R) -> R {
    with_current(|current| {
        let found;
        let shared = match current {
            Some(shared) if shared.id == id => Some(shared),
            _ => {
                found = find_loop(id);
                found.as_deref()
            }
        };
        f(shared)
    })
}

/// Calls `f` with the loop of that id if its turn is the one that runs on this thread.
#[inline]
pub(crate) fn in_turn_of<R>(id: u64, f: impl FnOnce(&Shared) -> R) -> Option<R> {
    with_current(|current| current.filter(|shared| shared.id == id).map(f))
}

/// Calls `f` with the loop of that number that made the item, if it lives.
///
/// An item knows its loop's number only; but ids grow, and those of an earlier loop of that number are
/// all below the id of this one.
#[inline]
pub(crate) fn with_owner<R>(number: u16, item: TaskId, f: impl FnOnce(Option<&Shared>) -> R) -> R {
    let owns = |its_number, id| its_number == number && item.0 > id;
    with_current(|current| match current {
        Some(shared) if owns(shared.number(), shared.id) => f(Some(shared)),
        _ => f(find(|known| owns(known.number, known.id)).as_deref()),
    })
}

/// Looks a loop up that is not in its turn, or not the innermost.
fn find_loop(id: u64) -> Option<Rc<Shared>> {
    find(|known| known.id == id)
}

fn find(is_it: impl Fn(&Known) -> bool) -> Option<Rc<Shared>> {
    // Of loops of one number at most one lives.
    let found = LOOPS.try_with(|loops| {
        let loops = loops.borrow();
        loops.iter().filter(|known| is_it(known)).find_map(|known| known.shared.upgrade())
    });
    // An error: this thread's locals are being destroyed. What is not in its turn then, is gone.
    found.ok().flatten()
}

/// Queues the item of this word if its loop is of this thread, and interrupts who waits for that loop. Returns
/// whether it is.
fn wake_here(word: Word) -> bool {
    let number = wake::loop_of(word);
    let Some(shared) = find(|known| u32::from(known.number) == number) else { return false };
    let woken = shared.home.queue.wake(word).is_ok();
    shared.notify_outside_turn();
    woken
}

/// Makes a loop known to this thread.
pub(crate) fn enlist(shared: &Rc<Shared>) {
    wake::find_by(wake_here);
    // Not reachable from a destructor of a thread-local that outlives LOOPS: then handles of the new
    // loop work inside its turns only.
    let known = Known { id: shared.id, number: shared.number(), shared: Rc::downgrade(shared) };
    let _ = LOOPS.try_with(|loops| loops.borrow_mut().push(known));
}

/// Forgets a loop.
pub(crate) fn delist(id: u64) {
    // As in `enlist`.
    let _ = LOOPS.try_with(|loops| loops.borrow_mut().retain(|known| known.id != id));
}

impl Shared {
    /// Calls `f` as the current loop of this thread, awake; the loop counts as parked afterwards.
    pub(crate) fn enter<R>(&self, f: impl FnOnce() -> R) -> R {
        struct Leave<'a>(&'a Shared);
        impl Drop for Leave<'_> {
            fn drop(&mut self) {
                self.0.in_turn.set(false);
                self.0.home.queue.end_turn();
                // What the last items cancelled: who knows when the next turn is.
                self.0.timers.borrow_mut().settle();
                self.0.rest();
                self.0.home.number.inbox().park();
                if let Some(hosting) = self.0.hosting.get() {
                    (hosting.settle)(self.0);
                }
            }
        }
        self.in_turn.set(true);
        self.awake();
        // Time spent outside is not lag.
        self.last_check.set(self.clock.refresh());
        let _leave = (Leave(self), Kept::keep(used_up));
        wake::at_home(&self.home, || CURRENT.with(|cell| cell.scope(self, f)))
    }
}

/// A poll of the loop that runs has used up its budget.
fn used_up() {
    with_current(|shared| {
        if let Some(shared) = shared {
            (shared.ways.get().used_up)(shared);
        }
    });
}

/// Why [`Handle::try_current`](crate::Handle::try_current) found no handle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CurrentError {
    /// No event loop is in a turn on this thread.
    NoLoop,
    /// The running event loop has another type of state.
    OtherState,
}

impl fmt::Display for CurrentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoLoop => "no event loop runs on this thread: call this inside block_on, run or a #[main] function",
            Self::OtherState => "the event loop that runs on this thread has another type of state",
        })
    }
}

impl std::error::Error for CurrentError {}

impl From<CurrentError> for std::io::Error {
    fn from(error: CurrentError) -> Self {
        Self::other(error)
    }
}
