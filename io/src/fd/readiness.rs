//! What a descriptor's source tells.

use loopline_runtime::registration::{Direction, Directions};

/// An event of a [`FdSource`](super::FdSource): what its descriptor is ready for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(align(8))] // moved as one word
#[non_exhaustive]
pub struct Readiness {
    /// A read is worth trying, if only to see the end.
    pub readable: bool,
    /// A write is worth trying, if only to see that nobody reads it.
    pub writable: bool,
    /// The other end sends no more, or the descriptor failed. Told once; what it has sent may be left to read.
    pub read_closed: bool,
    /// Nothing can be written any more. Told once.
    pub write_closed: bool,
    /// Priority data is there.
    pub priority: bool,
    /// An error is there to be asked for.
    pub error: bool,
}

/// By [`Directions::number`].
static OF: [Readiness; 16] = {
    let mut all = [Readiness::new(Directions::NONE); 16];
    let mut number = 0;
    while number < all.len() {
        all[number] = Readiness::new(Directions::from_number(number as u8));
        number += 1;
    }
    all
};

impl Readiness {
    /// Of these directions, none of which has ended.
    #[inline]
    pub(super) fn of(open: Directions) -> Self {
        // Looked up, as it is once an event: to make it bit by bit is 24 of an event's 340 instructions.
        OF[usize::from(open.number())]
    }

    const fn new(open: Directions) -> Self {
        Self {
            readable: open.has(Direction::Read),
            writable: open.has(Direction::Write),
            read_closed: false,
            write_closed: false,
            priority: open.has(Direction::Priority),
            error: open.has(Direction::Error),
        }
    }

    pub(super) fn any(self) -> bool {
        !self.directions().is_empty()
    }

    /// Those that it is of.
    pub(super) fn directions(self) -> Directions {
        let of = |is: bool, way: Direction| if is { way.into() } else { Directions::NONE };
        of(self.readable || self.read_closed, Direction::Read)
            | of(self.writable || self.write_closed, Direction::Write)
            | of(self.priority, Direction::Priority)
            | of(self.error, Direction::Error)
    }
}
