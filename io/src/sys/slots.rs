//! What the handler of signals and the loops say to each other: how often each signal came, and who is to
//! be told of which. Atomics alone, so that the handler may use all of it (`calls`).

use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::sync::atomic::{AtomicI32, AtomicU32, AtomicU64, Ordering};

use libc::c_int;

/// One more than the highest signal.
pub(crate) const SIGNALS: usize = 65;
/// How many subscriptions there can be at one time in this process.
pub(crate) const SLOTS: usize = 256;

/// Signals so far. Relaxed suffices: a byte written after the increment tells the loop to look.
static COUNTS: [AtomicU32; SIGNALS] = [const { AtomicU32::new(0) }; SIGNALS];
/// The descriptors that the handler writes to; -1 from the first slot on that has none.
static WRITERS: [AtomicI32; SLOTS] = [const { AtomicI32::new(-1) }; SLOTS];
/// The signals that each slot wants.
static WANTED: [AtomicU64; SLOTS] = [const { AtomicU64::new(0) }; SLOTS];

/// Returns how often a signal has come. Only changes mean something, and only while somebody
/// subscribes; the system coalesces signals, so a change means one or more.
pub(crate) fn count(signal: c_int) -> u32 {
    COUNTS[index(signal)].load(Ordering::Relaxed)
}

/// Has the handler write to a descriptor from now on.
pub(crate) fn write_to(slot: usize, writer: BorrowedFd<'static>) {
    // Release: pairs with the Acquire in `writers`. Published, as the borrow is for ever.
    WRITERS[slot].store(writer.as_raw_fd(), Ordering::Release);
}

/// Forgets a slot: in a forked child, from the first to the last.
pub(crate) fn write_no_more(slot: usize) {
    WRITERS[slot].store(-1, Ordering::Release);
    want(slot, 0);
}

/// Sets the signals that a slot wants, one bit each.
pub(crate) fn want(slot: usize, wanted: u64) {
    WANTED[slot].store(wanted, Ordering::Release);
}

/// Counts a signal. For the handler.
pub(super) fn add(signal: c_int) {
    COUNTS[index(signal)].fetch_add(1, Ordering::Relaxed);
}

/// The descriptors of who wants a signal. For the handler.
pub(super) fn writers(signal: c_int) -> impl Iterator<Item = RawFd> {
    // Acquire: pairs with the Release in `write_to`.
    let all = WRITERS.iter().map(|writer| writer.load(Ordering::Acquire));
    let wants = move |wanted: &AtomicU64| wanted.load(Ordering::Acquire) & bit(signal) != 0;
    all.zip(&WANTED)
        .take_while(|(fd, _)| *fd != -1)
        .filter_map(move |(fd, wanted)| wants(wanted).then_some(fd))
}

pub(crate) fn index(signal: c_int) -> usize {
    usize::try_from(signal).expect("checked when subscribed to")
}

pub(crate) fn bit(signal: c_int) -> u64 {
    1 << (index(signal) - 1)
}
