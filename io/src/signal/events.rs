//! What has come, of the kinds that one waiter awaits.

use std::fmt;
use std::io;
use std::task::{Context, Poll, ready};

use libc::c_int;
use loopline_runtime::budget;
use loopline_runtime::registration::{Direction, WaitKey};

use super::SignalKind;
use super::subscription::{self, Subscription};
use crate::adapter::Adapter;
use crate::sys::slots;

/// What a [`Signals`](super::Signals) and its like are made of.
pub(super) struct Events {
    adapter: Adapter<Subscription>,
    awaited: Vec<Awaited>,
    /// Whose turn it is to be looked at first.
    turn: usize,
    given_back: bool,
}

/// One kind of signal, and what was told of it.
#[derive(Clone, Copy, Debug)]
struct Awaited {
    kind: SignalKind,
    /// The count that was told.
    told: u32,
    /// The last count to tell, once it was given back.
    last: Option<u32>,
}

impl Awaited {
    /// Whether there is news, which is told by this.
    fn tell(&mut self) -> bool {
        let now = self.last.unwrap_or_else(|| slots::count(self.kind.as_raw_value()));
        std::mem::replace(&mut self.told, now) != now
    }
}

impl Events {
    pub(super) fn new(kinds: Vec<SignalKind>) -> io::Result<Self> {
        let awaited = from_now_on(kinds)?;
        let adapter = Adapter::new(Subscription::new(numbers(&awaited))?);
        // Its pair stays open when it drops, so that does not end the registration.
        adapter.lend();
        Ok(Self { adapter, awaited, turn: 0, given_back: false })
    }

    /// Awaits these too, all or none.
    pub(super) fn add(&mut self, mut kinds: Vec<SignalKind>) -> io::Result<()> {
        if self.given_back {
            return Err(io::Error::other("these signals were given back: make new ones instead"));
        }
        kinds.retain(|kind| self.awaited.iter().all(|awaited| awaited.kind != *kind));
        let awaited = from_now_on(kinds)?;
        self.adapter.source_mut().add(&numbers(&awaited))?;
        self.awaited.extend(awaited);
        Ok(())
    }

    /// Awaits the others no more.
    pub(super) fn retain(&mut self, wanted: impl Fn(SignalKind) -> bool) {
        let (kept, gone) = self.awaited.drain(..).partition(|awaited| wanted(awaited.kind));
        self.awaited = kept;
        self.adapter.source_mut().remove(&numbers(&gone));
    }

    pub(super) fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<SignalKind>>> {
        let Self { adapter, awaited, turn, .. } = self;
        if self.given_back {
            let permit = ready!(budget::poll_proceed(cx));
            permit.spend();
            return Poll::Ready(tell(awaited, turn).map(Ok));
        }
        let key = &mut WaitKey::last_poller();
        let event = ready!(adapter.poll_io(Direction::Read, key, cx, |subscription| {
            if let Some(kind) = tell(awaited, turn) {
                return Ok(kind);
            }
            // In this order: a signal after the second look leaves a byte.
            subscription.drain();
            tell(awaited, turn).ok_or_else(|| io::ErrorKind::WouldBlock.into())
        }));
        Poll::Ready(Some(event))
    }

    pub(super) fn give_back(&mut self) {
        self.adapter.cell().as_ref().give_back();
        if !std::mem::replace(&mut self.given_back, true) {
            for awaited in &mut self.awaited {
                awaited.last = Some(slots::count(awaited.kind.as_raw_value()));
            }
        }
    }
}

/// Those that come from now on are news; each kind is listed once.
fn from_now_on(mut kinds: Vec<SignalKind>) -> io::Result<Vec<Awaited>> {
    kinds.sort_unstable_by_key(SignalKind::as_raw_value);
    kinds.dedup();
    let counted = |kind: SignalKind| {
        let number = kind.as_raw_value();
        subscription::check(&[number])?;
        // The count from before the handler is there.
        Ok(Awaited { kind, told: slots::count(number), last: None })
    };
    kinds.into_iter().map(counted).collect()
}

fn numbers(awaited: &[Awaited]) -> Vec<c_int> {
    awaited.iter().map(|awaited| awaited.kind.as_raw_value()).collect()
}

/// Tells the next news, if there is any.
fn tell(awaited: &mut [Awaited], turn: &mut usize) -> Option<SignalKind> {
    let kinds = awaited.len();
    let next = (0..kinds).map(|n| (*turn + n) % kinds).find(|n| awaited[*n].tell())?;
    *turn = (next + 1) % kinds;
    Some(awaited[next].kind)
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Events")
            .field("awaited", &self.awaited)
            .field("given_back", &self.given_back)
            .finish_non_exhaustive()
    }
}
