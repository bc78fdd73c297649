//! What a loop is doing, as numbers that its watchdog's thread may read at any time.
//!
//! The loop writes two numbers a poll: the id of the item, which it writes without a watchdog too, and
//! which of the batch it is. All else is written where it costs less often: who an id is, when the item
//! is made; what is not a poll, in `mark`.
//!
//! Invariant (Said Before): a name's place is written before its id, and that of `named` before the mark
//! that means it, each by a Release store; the reader loads them the other way round by Acquire, and
//! looks at the end whether everything is as it was. Ids are never used again.
//!
//! Invariant (No Lost Sleeper): the thread writes `asleep`, then reads whether the loop runs; the loop
//! says that it runs, then reads `asleep`; all four are SeqCst, so one of the two sees the other.

use std::collections::BTreeMap;
use std::panic::Location;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use crate::inbox::Inbox;
use crate::labels::Mirror;
use crate::running::Running;
use crate::segments::{SEGMENTS, locate, segment_len};

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

/// Who is in a slot: the item's id, and the address of its place.
#[derive(Default)]
struct Name {
    place: AtomicUsize,
    id: AtomicU64,
}

/// Two that are equal are the same poll, or destructor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) mark: u64,
    pub(super) running: u64,
    pub(super) left: usize,
    pub(super) batch: usize,
}

/// Numbers that one loop writes and its watchdog's thread reads.
pub(crate) struct Pulse {
    /// Who is polled; zero is the root future.
    pub(super) running: Running,
    /// Counts down the polls of a batch. Relaxed, as `batch`: they are only compared.
    left: AtomicUsize,
    /// Grows with each batch, and with each other thing that begins.
    batch: AtomicUsize,
    /// One of the above.
    mark: AtomicU64,
    /// Where the item was made whose destructor runs.
    named: AtomicUsize,
    /// Names by slot, the first segment apart from the others.
    names: Box<[Name; segment_len(0)]>,
    more_names: [OnceLock<Box<[Name]>>; SEGMENTS],
    /// Places by their addresses: as many as there are lines in the program that make items.
    places: Mutex<BTreeMap<usize, &'static Location<'static>>>,
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
        let names: Box<[Name]> =
            std::iter::repeat_with(Name::default).take(segment_len(0)).collect();
        let Ok(names) = names.try_into() else { unreachable!("it has the length asked for") };
        Self {
            running: Running::new(),
            left: AtomicUsize::new(0),
            batch: AtomicUsize::new(0),
            mark: AtomicU64::new(NOTHING),
            named: AtomicUsize::new(0),
            names,
            more_names: [const { OnceLock::new() }; SEGMENTS],
            places: Mutex::default(),
            labels,
            inbox,
            asleep: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            blocked: AtomicU64::new(0),
        }
    }

    /// One more of the batch is polled.
    #[inline(always)]
    pub(super) fn count(&self, left: usize) {
        self.left.store(left, Ordering::Relaxed);
    }

    pub(super) fn mark(&self) -> u64 {
        self.mark.load(Ordering::Relaxed)
    }

    pub(super) fn named(&self) -> usize {
        self.named.load(Ordering::Relaxed)
    }

    /// A batch begins, or something else.
    pub(super) fn begin(&self, mark: u64) {
        // One writer: no need for an exchange.
        self.batch.store(self.batch.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
        self.mark.store(mark, Ordering::Release);
    }

    /// The destructor of an item begins, or is gone on with.
    pub(super) fn begin_destructor(&self, mark: u64, place: usize) {
        // So that nobody takes the place for that of the destructor before: Said Before.
        self.begin(NOTHING);
        self.named.store(place, Ordering::Release);
        self.begin(mark);
    }

    /// Names a new item, before its first poll, in a few instructions; false if it takes more: then say
    /// `name` instead.
    #[inline]
    pub(super) fn name_again(&self, slot: u32, id: u64, place: usize) -> bool {
        let Some(name) = self.names.get(slot as usize) else { return false };
        if name.place.load(Ordering::Relaxed) != place {
            return false;
        }
        if name.id.load(Ordering::Relaxed) == self.running.get() {
            return false;
        }
        name.id.store(id, Ordering::Release);
        true
    }

    /// Names a new item, before its first poll.
    pub(super) fn name(&self, slot: u32, id: u64, place: &'static Location<'static>) {
        let address = std::ptr::from_ref(place).addr();
        self.places().insert(address, place);
        let name = self.make_room(slot);
        let (before, old) = (name.id.load(Ordering::Relaxed), name.place.load(Ordering::Relaxed));
        if before == self.running.get() && self.mark() == POLL {
            // That item has ended, and this one is made by the destructor of its output.
            self.begin_destructor(DESTRUCTOR | before, old);
        }
        name.id.store(NOTHING, Ordering::Release);
        name.place.store(address, Ordering::Release);
        name.id.store(id, Ordering::Release);
    }

    fn make_room(&self, slot: u32) -> &Name {
        if let Some(name) = self.names.get(slot as usize) {
            return name;
        }
        let (segment, offset) = locate(slot);
        let names = self.more_names[segment].get_or_init(|| {
            std::iter::repeat_with(Name::default).take(segment_len(segment)).collect()
        });
        &names[offset]
    }

    fn places(&self) -> MutexGuard<'_, BTreeMap<usize, &'static Location<'static>>> {
        // Nothing under this lock panics.
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
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
        Seen {
            // Acquire: Said Before.
            mark: self.mark.load(Ordering::Acquire),
            running: self.running.get(),
            left: self.left.load(Ordering::Relaxed),
            batch: self.batch.load(Ordering::Relaxed),
        }
    }

    /// The id, label and place of what was seen, unless the loop goes on meanwhile.
    pub(super) fn describe(&self, seen: Seen) -> Option<Described> {
        let id = match seen.mark {
            POLL => seen.running,
            NOTHING | MAIL | WAKER => NOTHING,
            mark => mark & !(DESTRUCTOR | CHILD),
        };
        let address = match seen.mark {
            NOTHING | MAIL | WAKER => 0,
            // Acquire, here and below: Said Before.
            mark if mark & DESTRUCTOR != 0 => self.named.load(Ordering::Acquire),
            _ => self.names().find(|(it, _)| *it == id).map_or(0, |(_, place)| place),
        };
        if self.look() != seen {
            return None;
        }
        let place = self.places().get(&address).copied();
        Some((id, self.labels.get(id).map(String::from), place))
    }

    /// The ids and places of all slots. There may be many; but this is not the loop's thread.
    fn names(&self) -> impl Iterator<Item = (u64, usize)> + '_ {
        let more = self.more_names.iter().filter_map(OnceLock::get).flat_map(|names| names.iter());
        self.names.iter().chain(more).map(|name| {
            let id = name.id.load(Ordering::Acquire);
            (id, name.place.load(Ordering::Acquire))
        })
    }
}

/// An id, `NOTHING` for what has none, zero for the root future; a label; a place.
pub(super) type Described = (u64, Option<String>, Option<&'static Location<'static>>);
