//! What a loop knows of its host, where somebody else does the waiting: plain cells, no logic.

use std::cell::{Cell, RefCell};
use std::io;

use crate::clock::{NEVER, Nanos};

/// Who waits in the place of one loop.
#[derive(Debug)]
pub(crate) struct Host {
    /// Whether it asks what to wait for before each of its waits.
    pub(crate) asks: Cell<bool>,
    /// The deadline it was told last.
    pub(crate) told: Cell<Nanos>,
    /// Whether the last turn, or what came after, left something for the next.
    pub(crate) left: Cell<bool>,
    /// Whether items ran since the streams that wait for before park did.
    pub(crate) before_park: Cell<bool>,
    /// Why no alarm could be set: told by the next turn.
    pub(crate) error: RefCell<Option<io::Error>>,
}

impl Default for Host {
    fn default() -> Self {
        Self {
            asks: Cell::new(false),
            told: Cell::new(NEVER),
            left: Cell::new(false),
            before_park: Cell::new(false),
            error: RefCell::new(None),
        }
    }
}
