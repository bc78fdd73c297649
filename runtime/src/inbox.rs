//! The inbox: numbers from other threads.
//!
//! One bit per slot; whoever sets a bit that was clear also sets the bit's mark in the summary, and
//! notifies if the loop is parked. The loop drains marks, then bits. A bitmap needs no allocation in
//! a wake and drops duplicates by itself; the price is that foreign wakes carry neither order nor
//! generation, so a stale one is a spurious poll.
//!
//! Inboxes stand in a registry by loop number and are reused, never freed: a waker that outlives its
//! loop finds a closed inbox, or that of a later loop, and does no harm in either.
//!
//! Invariant (No Lost Wake): a wake writes the summary, then reads the state; the loop writes PARKED,
//! then reads the summary; all four are SeqCst, so one of the two sees the other.

use std::ops::Range;
use std::sync::{Arc, Mutex as PlainMutex, MutexGuard, OnceLock, PoisonError};

#[cfg(loom)]
use ::loom::sync::{
    Mutex,
    atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
};
#[cfg(not(loom))]
use std::sync::{
    Mutex,
    atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
};

use crate::run_queue::SLOT_BITS;
use crate::segments::{SEGMENTS, locate, segment_len};

/// Inside a turn: the loop looks into the inbox before it parks, nobody needs to notify.
const RUNNING: u32 = 0;
/// Parked or outside a turn: the first wake notifies.
const PARKED: u32 = 1;
/// Parked, and notified already.
const NOTIFIED: u32 = 2;
/// The loop is gone.
const CLOSED: u32 = 3;

/// Words of the bitmap that share one mark of the summary: 1,024 slots.
const WORDS_PER_MARK: u32 = 16;

/// What interrupts a parked loop.
pub(crate) type Notify = Box<dyn Fn() + Send + Sync>;

/// What tells a guest's host to call for a turn; its code is the host's.
pub(crate) type TellHost = Arc<dyn Fn() + Send + Sync>;

/// Called for a loop that is parked.
struct Notifiers {
    own: Notify,
    host: Option<TellHost>,
}

/// Numbers from other threads to one loop.
pub(crate) struct Inbox {
    /// One of the four states above.
    state: AtomicU32,
    /// Mark `m` is set when a word of the pages m, m + 64, m + 128, .. may hold bits.
    summary: AtomicU64,
    /// The mark the next drain begins with, so that a drain which hits its limit delays the others, not
    /// always the last. Only the loop uses it: Relaxed.
    first: AtomicU32,
    /// Set once a waker of this loop was cloned where the loop could not see of which item it was.
    /// Relaxed: it is looked at only when nothing else can be under way.
    escaped: AtomicBool,
    /// The bitmap, word `slot / 64`; segments grow with the loop's slots and stay.
    bits: [OnceLock<Box<[AtomicU64]>>; SEGMENTS],
    /// Called at most once per park, with no other lock held.
    notify: Mutex<Option<Notifiers>>,
}

impl Inbox {
    fn new() -> Self {
        Self {
            state: AtomicU32::new(CLOSED),
            summary: AtomicU64::new(0),
            first: AtomicU32::new(0),
            escaped: AtomicBool::new(false),
            bits: [const { OnceLock::new() }; SEGMENTS],
            notify: Mutex::new(None),
        }
    }

    /// Forgets what was woken in the time of an earlier loop. Closed still: see `open`.
    fn reset(&self) {
        self.drain(usize::MAX, |_| {});
        self.first.store(0, Ordering::Relaxed);
        self.escaped.store(false, Ordering::Relaxed);
    }

    /// Takes the inbox into use by a new loop, which counts as parked and is interrupted by `notify`.
    ///
    /// Parked only once the notifier is there: a stale wake that is under way must not use up the
    /// one notification of this park while there is nobody to call.
    pub(crate) fn open(&self, notify: Notify) {
        let old = lock(&self.notify).replace(Notifiers { own: notify, host: None });
        drop(old);
        self.state.store(PARKED, Ordering::SeqCst);
    }

    /// Makes room for the bit of `slot`; called by the loop before any waker for it exists.
    pub(crate) fn grow(&self, slot: u32) {
        let (segment, _) = locate(slot / 64);
        self.bits[segment].get_or_init(|| {
            std::iter::repeat_with(|| AtomicU64::new(0)).take(segment_len(segment)).collect()
        });
    }

    fn word(&self, word: u32) -> Option<&AtomicU64> {
        let (segment, offset) = locate(word);
        self.bits.get(segment)?.get()?.get(offset)
    }

    /// Wakes the item in `slot`, from any thread.
    pub(crate) fn wake(&self, slot: u32) {
        let Some(word) = self.word(slot / 64) else { return };
        let bit = 1 << (slot % 64);
        // AcqRel even when the bit is set already: what the waker's thread did before must be seen by
        // the poll. Acquire in `drain` is the partner.
        if word.fetch_or(bit, Ordering::AcqRel) & bit != 0 {
            return;
        }
        let mark = (slot / 64 / WORDS_PER_MARK) % 64;
        // SeqCst: No Lost Wake.
        self.summary.fetch_or(1 << mark, Ordering::SeqCst);
        self.notify_parked();
    }

    /// Interrupts the loop if it is parked and nobody has done so.
    pub(crate) fn notify_parked(&self) {
        // SeqCst: No Lost Wake. The load spares a busy loop's cache line the exchange.
        if self.state.load(Ordering::SeqCst) == PARKED
            && self
                .state
                .compare_exchange(PARKED, NOTIFIED, Ordering::SeqCst, Ordering::SeqCst)
                .is_ok()
        {
            let host = lock(&self.notify).as_ref().and_then(|notify| {
                (notify.own)();
                notify.host.clone()
            });
            // Not under the lock: the host's code may wake the loop in its turn.
            if let Some(tell) = host {
                tell();
            }
        }
    }

    /// Sets what is called besides the notifier, or nothing. The old one may be under way still.
    pub(crate) fn set_host(&self, host: Option<TellHost>) {
        let old = lock(&self.notify).as_mut().and_then(|notify| {
            let old = notify.host.take();
            notify.host = host;
            old
        });
        drop(old);
    }

    /// Calls what `set_host` set.
    pub(crate) fn tell_host(&self) {
        let host = lock(&self.notify).as_ref().and_then(|notify| notify.host.clone());
        if let Some(tell) = host {
            tell();
        }
    }

    /// Notes that somebody else's code may wake the loop from anywhere, from now on.
    pub(crate) fn note_escape(&self) {
        self.escaped.store(true, Ordering::Relaxed);
    }

    pub(crate) fn any_escaped(&self) -> bool {
        self.escaped.load(Ordering::Relaxed)
    }

    /// Announces that the loop sleeps or leaves its turn. Returns whether the inbox is empty still.
    pub(crate) fn park(&self) -> bool {
        // SeqCst: No Lost Wake.
        self.state.store(PARKED, Ordering::SeqCst);
        !self.pending()
    }

    /// Whether the loop is parked and was notified: it is not again before it is awake.
    pub(crate) fn is_notified(&self) -> bool {
        // Acquire: with what was woken for.
        self.state.load(Ordering::Acquire) == NOTIFIED
    }

    /// Announces that the loop is awake and will look into the inbox.
    pub(crate) fn unpark(&self) {
        self.state.store(RUNNING, Ordering::SeqCst);
    }

    /// Whether the loop is inside a turn, and awake; for its watchdog.
    pub(crate) fn is_running(&self) -> bool {
        // SeqCst: No Lost Sleeper of the watchdog.
        self.state.load(Ordering::SeqCst) == RUNNING
    }

    /// Whether there may be numbers to drain.
    #[inline]
    pub(crate) fn pending(&self) -> bool {
        // SeqCst for the re-check after `park`: No Lost Wake. On x86 and ARMv8 it costs a plain load.
        self.summary.load(Ordering::SeqCst) != 0
    }

    /// Hands out slots that were woken, about `limit` at most; the rest stays marked.
    pub(crate) fn drain(&self, limit: usize, mut wake: impl FnMut(u32)) {
        let first = self.first.load(Ordering::Relaxed);
        let mut marks = self.summary.swap(0, Ordering::SeqCst).rotate_right(first);
        let mut found = 0;
        while marks != 0 {
            let mark = (marks.trailing_zeros() + first) % 64;
            if found >= limit {
                self.summary.fetch_or(marks.rotate_left(first), Ordering::SeqCst);
                self.first.store(mark, Ordering::Relaxed);
                return;
            }
            marks &= marks - 1;
            found += self.drain_mark(mark, &mut wake);
        }
    }

    /// Drains the pages of one mark. Returns how many slots it handed out.
    fn drain_mark(&self, mark: u32, wake: &mut impl FnMut(u32)) -> usize {
        let mut found = 0;
        let mut page = mark;
        while page < (1 << SLOT_BITS) / 64 / WORDS_PER_MARK {
            for index in page * WORDS_PER_MARK..(page + 1) * WORDS_PER_MARK {
                let Some(word) = self.word(index) else { return found };
                if word.load(Ordering::Relaxed) == 0 {
                    continue;
                }
                // Acquire: pairs with the AcqRel in `wake`.
                let mut bits = word.swap(0, Ordering::AcqRel);
                while bits != 0 {
                    wake(index * 64 + bits.trailing_zeros());
                    bits &= bits - 1;
                    found += 1;
                }
            }
            page += 64;
        }
        found
    }

    /// Ends this loop's use: wakes are ignored from now on.
    fn close(&self) {
        self.state.store(CLOSED, Ordering::SeqCst);
        let notify = lock(&self.notify).take();
        drop(notify);
    }
}

impl std::fmt::Debug for Inbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inbox").field("state", &self.state.load(Ordering::Relaxed)).finish()
    }
}

/// Locks; nothing that can panic runs under these locks but a `Notify`, which writes to an eventfd.
fn lock<T>(mutex: &Mutex<T>) -> impl std::ops::DerefMut<Target = T> + '_ {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// Bits of a loop number in a waker's word.
#[cfg(target_pointer_width = "64")]
pub(crate) const LOOP_BITS: u32 = 16;
#[cfg(not(target_pointer_width = "64"))]
pub(crate) const LOOP_BITS: u32 = 6;

/// All inboxes by loop number, in segments that are never freed.
struct Registry {
    inboxes: [OnceLock<Box<[OnceLock<Inbox>]>>; SEGMENTS],
    numbers: PlainMutex<Numbers>,
}

/// Which loop numbers are free.
struct Numbers {
    free: Vec<u32>,
    /// How many were ever used.
    used: u32,
    /// The next id of a loop or an item, which is never used again.
    next_id: u64,
}

static REGISTRY: Registry = Registry {
    inboxes: [const { OnceLock::new() }; SEGMENTS],
    numbers: PlainMutex::new(Numbers { free: Vec::new(), used: 0, next_id: 1 }),
};

/// Returns the inbox of a loop number that was ever in use.
pub(crate) fn inbox_of(number: u32) -> Option<&'static Inbox> {
    let (segment, offset) = locate(number);
    REGISTRY.inboxes.get(segment)?.get()?.get(offset)?.get()
}

/// A loop number in use; dropping it closes the inbox and frees the number.
#[derive(Debug)]
pub(crate) struct LoopNumber {
    number: u32,
    id: u64,
    inbox: &'static Inbox,
}

impl LoopNumber {
    /// Takes a number, or `None` if as many loops exist as there are numbers.
    pub(crate) fn take() -> Option<Self> {
        let (number, id) = {
            let mut numbers = lock_numbers();
            let number = match numbers.free.pop() {
                Some(number) => number,
                None if numbers.used < 1 << LOOP_BITS => {
                    numbers.used += 1;
                    numbers.used - 1
                }
                None => return None,
            };
            numbers.next_id += 1;
            (number, numbers.next_id - 1)
        };
        let (segment, offset) = locate(number);
        let inbox = REGISTRY.inboxes[segment].get_or_init(|| {
            std::iter::repeat_with(OnceLock::new).take(segment_len(segment)).collect()
        })[offset]
            .get_or_init(Inbox::new);
        inbox.reset();
        Some(Self { number, id, inbox })
    }

    #[inline]
    pub(crate) fn get(&self) -> u32 {
        self.number
    }

    /// Unlike the number, never used again.
    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    /// Returns the generation that this loop's wakers begin with, to be cut to their width: far from that
    /// of the loop which had the number before. A waker of that one must not seem to be one of this: who
    /// holds it would not ask for another, and nobody would know that wakers are with others.
    pub(crate) fn generation(&self) -> u32 {
        // Ids are close to each other. Their products with the golden ratio are not.
        (self.id.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as u32
    }

    #[inline]
    pub(crate) fn inbox(&self) -> &'static Inbox {
        self.inbox
    }
}

impl Drop for LoopNumber {
    fn drop(&mut self) {
        self.inbox.close();
        lock_numbers().free.push(self.number);
    }
}

/// Takes a block of ids for items: above all that were taken before, in the whole process.
pub(crate) fn take_ids() -> Range<u64> {
    let mut numbers = lock_numbers();
    let start = numbers.next_id;
    // So many that the lock costs nothing, so few that numbers stay short.
    numbers.next_id += 1024;
    start..numbers.next_id
}

fn lock_numbers() -> MutexGuard<'static, Numbers> {
    // Nothing under this lock panics.
    REGISTRY.numbers.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(all(test, loom))]
mod loom;
