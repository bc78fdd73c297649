//! Who wants which signals: subscriptions, and the pool of the socket pairs that tell them.

use std::cell::Cell;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::{Mutex, MutexGuard, PoisonError};

use libc::c_int;

use crate::sys::calls::handler;
use crate::sys::slots::{self, SIGNALS, SLOTS, bit, index};

/// Those that cannot be caught, and those of faults, whose handlers must not return.
const REFUSED: &[c_int] =
    &[libc::SIGKILL, libc::SIGSTOP, libc::SIGSEGV, libc::SIGFPE, libc::SIGILL, libc::SIGBUS];

static TABLE: Mutex<Table> =
    Mutex::new(Table { free: Vec::new(), made: 0, users: [0; SIGNALS], buried: 0, process: 0 });

/// A socket pair of the pool.
#[derive(Debug)]
struct Pair {
    reader: UnixStream,
    /// Written by the handler, through its number: held open for it.
    writer: UnixStream,
    slot: usize,
    /// Who made it. A forked child has pairs of its own: bytes in one of its parent's would be for both.
    process: u32,
}

/// Who subscribes. Changed under its lock, which the handler does without.
struct Table {
    /// Pairs not in use.
    free: Vec<&'static Pair>,
    /// How many slots have a pair.
    made: usize,
    /// Subscriptions by signal.
    users: [u32; SIGNALS],
    /// Signals whose handler was not ours any more when it was to be given back.
    buried: u64,
    /// The process that the pairs belong to.
    process: u32,
}

fn table() -> MutexGuard<'static, Table> {
    TABLE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One subscriber: its descriptor becomes readable when one of the signals comes.
#[derive(Debug)]
pub(crate) struct Subscription {
    pair: &'static Pair,
    signals: Vec<c_int>,
    given_back: Cell<bool>,
}

impl Subscription {
    /// Subscribes to signals, each listed once.
    pub(crate) fn new(signals: Vec<c_int>) -> io::Result<Self> {
        check(&signals)?;
        let pair = table().take_pair()?;
        // Bytes of its last use.
        pair.drain();
        let mut this = Self { pair, signals: Vec::new(), given_back: Cell::new(false) };
        this.add(&signals)?;
        Ok(this)
    }

    /// Subscribes to more, each listed once and not subscribed to yet: to all of them, or to none.
    pub(crate) fn add(&mut self, signals: &[c_int]) -> io::Result<()> {
        check(signals)?;
        let mut table = table();
        table.leave_the_parents();
        if table.process != self.pair.process {
            return Err(io::Error::other(
                "this was made before the process was forked: make a new one in the child",
            ));
        }
        let before = self.signals.len();
        self.signals.extend_from_slice(signals);
        // Before the handlers are in place: the first signal finds it.
        self.want();
        for (done, signal) in signals.iter().enumerate() {
            if let Err(error) = table.subscribe(*signal) {
                signals[..done].iter().for_each(|signal| table.unsubscribe(*signal));
                self.signals.truncate(before);
                self.want();
                return Err(error);
            }
        }
        Ok(())
    }

    /// Ends the subscription to some.
    pub(crate) fn remove(&mut self, signals: &[c_int]) {
        if self.given_back.get() || signals.is_empty() {
            return;
        }
        self.signals.retain(|signal| !signals.contains(signal));
        let mut table = table();
        if table.process == self.pair.process {
            self.want();
        }
        signals.iter().for_each(|signal| table.unsubscribe(*signal));
    }

    /// Has the handler tell of what is subscribed to.
    fn want(&self) {
        let wanted = self.signals.iter().fold(0, |wanted, signal| wanted | bit(*signal));
        slots::want(self.pair.slot, wanted);
    }

    /// Takes the bytes that the handler wrote.
    pub(crate) fn drain(&self) {
        self.pair.drain();
    }

    /// Writes a byte as the handler does.
    #[cfg(feature = "process")]
    pub(crate) fn poke(&self) {
        // Full: it is readable, as it should be.
        let _ = io::Write::write(&mut &self.pair.writer, &[1]);
    }

    /// Ends the subscription: signals that nobody else subscribes to do what they did before.
    pub(crate) fn give_back(&self) {
        if self.given_back.replace(true) {
            return;
        }
        let mut table = table();
        if table.process == self.pair.process {
            slots::want(self.pair.slot, 0);
        }
        self.signals.iter().for_each(|signal| table.unsubscribe(*signal));
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.give_back();
        table().put_back(self.pair);
    }
}

impl AsFd for Subscription {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pair.reader.as_fd()
    }
}

impl Pair {
    fn drain(&self) {
        let mut buf = [0; 64];
        // Until it would block; both ends are ours and stay open.
        while matches!((&self.reader).read(&mut buf), Ok(1..)) {}
    }
}

impl Table {
    fn take_pair(&mut self) -> io::Result<&'static Pair> {
        self.leave_the_parents();
        if let Some(pair) = self.free.pop() {
            return Ok(pair);
        }
        let slot = self.made;
        if slot == SLOTS {
            return Err(io::Error::other(
                "256 futures or sources of this process wait for signals: share one instead",
            ));
        }
        let (reader, writer) = UnixStream::pair()?;
        reader.set_nonblocking(true)?;
        writer.set_nonblocking(true)?;
        let pair: &'static Pair =
            Box::leak(Box::new(Pair { reader, writer, slot, process: self.process }));
        slots::write_to(slot, pair.writer.as_fd());
        self.made += 1;
        Ok(pair)
    }

    /// Takes a pair that wants no signals any more.
    fn put_back(&mut self, pair: &'static Pair) {
        if self.process == pair.process {
            self.free.push(pair);
        }
    }

    /// In a forked child: begins with no pairs.
    fn leave_the_parents(&mut self) {
        let process = std::process::id();
        if self.process == process {
            return;
        }
        self.process = process;
        self.free.clear();
        for slot in 0..std::mem::take(&mut self.made) {
            slots::write_no_more(slot);
        }
    }

    fn subscribe(&mut self, signal: c_int) -> io::Result<()> {
        if self.users[index(signal)] == 0 {
            handler::install(signal, self.buried & bit(signal) != 0)?;
        }
        self.users[index(signal)] += 1;
        Ok(())
    }

    fn unsubscribe(&mut self, signal: c_int) {
        self.users[index(signal)] -= 1;
        if self.users[index(signal)] == 0 {
            match handler::restore(signal) {
                true => self.buried &= !bit(signal),
                false => self.buried |= bit(signal),
            }
        }
    }
}

/// Refuses signals that have no handler, or none that may return.
pub(crate) fn check(signals: &[c_int]) -> io::Result<()> {
    signals.iter().try_for_each(|signal| check_one(*signal))
}

fn check_one(signal: c_int) -> io::Result<()> {
    let exists = usize::try_from(signal).is_ok_and(|signal| (1..SIGNALS).contains(&signal));
    if exists && !REFUSED.contains(&signal) {
        return Ok(());
    }
    let why = match exists {
        true => "cannot be caught, or tells of a fault of the program: it cannot be awaited",
        false => "does not exist, or is above 64",
    };
    Err(io::Error::new(io::ErrorKind::InvalidInput, format!("signal {signal} {why}")))
}
