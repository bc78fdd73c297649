//! What a loop is doing, as numbers that its watchdog's thread may read at any time.
//!
//! The loop writes three words a poll: the id of the item and which of the batch it is, which it writes without
//! a watchdog too, and where it was made. What is not a poll is written where it costs less often, in `mark`.
//!
//! Invariant (Said Before): which of the batch a poll is, is written before its place, by a Release store; and
//! `batch` before the mark, and `named` after the mark before. So a reader that loads a place by Acquire, and
//! then finds everything else as it was before it, has the place of what it saw. Ids are never used again.
//!
//! Invariant (No Lost Sleeper): the thread writes `asleep`, then reads whether the loop runs; the loop
//! says that it runs, then reads `asleep`; all four are SeqCst, so one of the two sees the other.

use std::panic::Location;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use crate::inbox::Inbox;
use crate::labels::Mirror;
use crate::running::Running;
use crate::state::Published;

/// Marks: what the loop does if it is not the poll of who is `running`.
pub(super) const POLL: u64 = 0;
pub(super) const NOTHING: u64 = u64::MAX;
/// A message from another thread is taken.
pub(super) const MAIL: u64 = u64::MAX - 1;
/// A waker of another library is called.
pub(super) const WAKER: u64 = u64::MAX - 2;
/// With an id: its destructor runs, and `named` is its place.
pub(super) const DESTRUCTOR: u64 = 1 << 62;
/// With an id: this child of a scope is polled, inside the poll of who is `running`.
pub(super) const CHILD: u64 = 1 << 61;

/// Two that are equal are the same poll, whatever went on inside it; or the same destructor, and so on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) mark: u64,
    pub(super) running: u64,
    pub(super) left: usize,
    /// Of a poll its batch, of anything else a number of its own.
    pub(super) batch: usize,
    /// The batch of polls in one of which this is; zero: in none.
    pub(super) polls: usize,
}

impl Seen {
    /// The poll that it is, or is inside.
    pub(super) fn around(self) -> Option<Self> {
        (self.polls != 0).then_some(Self { mark: POLL, batch: self.polls, ..self })
    }

    pub(super) fn is_destructor(self) -> bool {
        match self.mark {
            POLL => self.running & DESTRUCTOR != 0,
            NOTHING | MAIL | WAKER => false,
            mark => mark & DESTRUCTOR != 0,
        }
    }
}

/// Numbers that one loop writes and its watchdog's thread reads.
pub(crate) struct Pulse {
    /// Who is polled; zero is the root future. With `DESTRUCTOR`: its output is dropped after its last poll.
    pub(super) running: Running,
    /// Grows with each batch, and with each other thing that begins. Relaxed: it is only compared.
    batch: AtomicUsize,
    /// The batch of polls that goes on, also while something else does inside one of them; or zero. Relaxed
    /// as `batch`.
    polls: AtomicUsize,
    /// One of the above.
    mark: AtomicU64,
    /// Where who is polled was made, if it is not the root future.
    place: Published<Location<'static>>,
    /// Where the loop was run.
    pub(super) root: Published<Location<'static>>,
    /// Where that was made which `mark` is about.
    pub(super) named: Published<Location<'static>>,
    labels: Mirror,
    /// Says whether the loop runs.
    inbox: &'static Inbox,
    /// Set by the thread when it is about to sleep until the loop runs: see No Lost Sleeper.
    pub(super) asleep: AtomicBool,
    /// Set by the loop when it ends, before it interrupts the thread, which is what orders it.
    pub(super) closed: AtomicBool,
    /// How many times something was seen to block. Relaxed: a counter.
    pub(super) blocked: AtomicU64,
}

/// What the loop says.
impl Pulse {
    pub(super) fn new(inbox: &'static Inbox, labels: Mirror) -> Self {
        Self {
            running: Running::new(),
            batch: AtomicUsize::new(0),
            polls: AtomicUsize::new(0),
            mark: AtomicU64::new(NOTHING),
            place: Published::new(),
            root: Published::new(),
            named: Published::new(),
            labels,
            inbox,
            asleep: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            blocked: AtomicU64::new(0),
        }
    }

    pub(super) fn mark(&self) -> u64 {
        self.mark.load(Ordering::Relaxed)
    }

    /// A batch begins, or something else that is inside no poll.
    pub(super) fn begin(&self, mark: u64) {
        let batch = self.count();
        self.polls.store(if mark == POLL { batch } else { 0 }, Ordering::Relaxed);
        self.mark.store(mark, Ordering::Release);
    }

    fn count(&self) -> usize {
        // One writer: no need for an exchange.
        let batch = self.batch.load(Ordering::Relaxed).wrapping_add(1);
        self.batch.store(batch, Ordering::Relaxed);
        batch
    }

    /// Something else than a poll begins, perhaps inside one, or what was before is gone on with; made there.
    pub(super) fn begin_named(&self, mark: u64, place: Option<&'static Location<'static>>) {
        self.count();
        // So that nobody takes the place for that of what was before: Said Before.
        self.mark.store(NOTHING, Ordering::Release);
        self.named.set(place);
        self.mark.store(mark, Ordering::Release);
    }

    /// This item is polled, the next of the batch.
    #[inline(always)]
    pub(super) fn run(&self, id: u64, place: &'static Location<'static>) {
        self.place.set(Some(place));
        self.running.set(id);
    }

    /// The output of the item that was polled last is dropped.
    pub(super) fn drop_output(&self, id: u64) {
        self.running.set(DESTRUCTOR | id);
    }
}

/// What the thread sees.
impl Pulse {
    /// Whether the loop is inside a turn, and not waiting.
    pub(super) fn is_running(&self) -> bool {
        self.inbox.is_running()
    }

    /// What the loop does now.
    pub(super) fn look(&self) -> Seen {
        let seen = Seen {
            // Acquire: Said Before.
            mark: self.mark.load(Ordering::Acquire),
            running: self.running.get(),
            left: self.running.left(),
            batch: self.batch.load(Ordering::Relaxed),
            polls: self.polls.load(Ordering::Relaxed),
        };
        if seen.mark == POLL { Seen { batch: seen.polls, ..seen } } else { seen }
    }

    /// The id, label and place of what was seen, unless the loop goes on meanwhile.
    pub(super) fn describe(&self, seen: Seen) -> Option<Described> {
        let id = match seen.mark {
            POLL => seen.running & !DESTRUCTOR,
            NOTHING | MAIL | WAKER => NOTHING,
            mark => mark & !(DESTRUCTOR | CHILD),
        };
        let place = match seen.mark {
            NOTHING | MAIL | WAKER => None,
            POLL if id == 0 => self.root.get(),
            POLL => self.place.get(),
            _ => self.named.get(),
        };
        let now = self.look();
        let now = if seen.mark == POLL { now.around() } else { Some(now) };
        if now != Some(seen) {
            return None;
        }
        Some((id, self.labels.get(id).map(String::from), place))
    }
}

/// An id, `NOTHING` for what has none, zero for the root future; a label; a place.
pub(super) type Described = (u64, Option<String>, Option<&'static Location<'static>>);
