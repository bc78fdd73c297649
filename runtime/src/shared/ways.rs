//! What a loop does in one of several ways, as functions that somebody above chose.
//!
//! They are called by pointers, which only those set who want that way: the builder, a handle that adds a
//! lane, a guest. A program in which nobody does has none of its code.

use std::fmt;
use std::task::{Context, Poll};

use super::Shared;
use crate::clock::Nanos;
use crate::item::ItemCell;
use crate::run_queue::Entry;

/// The root future of `run_until`, polled in the same queue as the items; Ready once.
pub(crate) type Root<'a> = dyn FnMut(&mut Context<'_>) -> Poll<()> + 'a;

/// How items are run: see `turn`.
pub(crate) struct Ways {
    /// Runs rounds until nothing is queued or the turn, which began then, has had its share.
    pub(crate) rounds: fn(&Shared, &mut Root<'_>, began: Nanos),
    /// Polls one item or the root future outside of that. Returns whether the root future is done.
    pub(crate) alone: fn(&Shared, &mut Root<'_>, &Entry<'_, ItemCell>) -> bool,
    /// A poll has used up its budget, and goes on in the next round: the turn may have had its share by that.
    pub(crate) used_up: fn(&Shared),
}

/// What is done for a host, which does the waiting: see `hosting`.
pub(crate) struct Hosting {
    /// Has its wait end when there is something to do, as the loop leaves a turn.
    pub(crate) settle: fn(&Shared),
    /// Tells it between two turns of a deadline that was set.
    pub(crate) tell_deadline: fn(&Shared, at: Nanos),
}

impl fmt::Debug for Ways {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ways").finish_non_exhaustive()
    }
}

impl fmt::Debug for Hosting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hosting").finish_non_exhaustive()
    }
}
