//! Small sets: directions, and what a source is known to be ready for.

use std::ops::{BitAnd, BitOr};

/// What a wait is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Direction {
    /// Readable, or the peer will send no more.
    Read,
    /// Writable, or nothing can be sent any more.
    Write,
    /// Priority data is there, such as TCP's urgent byte.
    Priority,
    /// An error is there to be asked for, such as a message in a socket's error queue.
    Error,
}

impl Direction {
    /// By the number of its bit.
    const ALL: [Self; 4] = [Self::Read, Self::Write, Self::Priority, Self::Error];

    /// Where its waiters stand. The two rare ones share: a wake for the other is spurious, no harm.
    pub(super) const fn place(self) -> usize {
        match self {
            Self::Read => 0,
            Self::Write => 1,
            Self::Priority | Self::Error => 2,
        }
    }
}

/// A set of directions. Sets are joined by `|`; `&` is what both hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Directions(u8);

impl Directions {
    /// All of them.
    pub const ALL: Self = Self(0b1111);
    /// None of them.
    pub const NONE: Self = Self(0);

    /// Returns the set of this one.
    #[inline]
    #[must_use]
    pub const fn of(direction: Direction) -> Self {
        Self(1 << direction as u8)
    }

    /// Returns what either holds.
    #[inline]
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Returns what this holds and the other does not.
    #[inline]
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether it holds this one.
    #[inline]
    #[must_use]
    pub const fn has(self, direction: Direction) -> bool {
        self.0 & Self::of(direction).0 != 0
    }

    /// Whether it holds all of the other.
    #[inline]
    #[must_use]
    pub const fn holds(self, other: Self) -> bool {
        other.without(self).is_empty()
    }

    /// Whether it holds none.
    #[inline]
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Returns the set as a number below 16, for who keeps it beside flags of its own.
    #[inline]
    #[must_use]
    pub const fn number(self) -> u8 {
        self.0
    }

    /// Returns the set of a number that [`Directions::number`] gave. Bits above are left out.
    #[inline]
    #[must_use]
    pub const fn from_number(number: u8) -> Self {
        Self(number & Self::ALL.0)
    }

    /// As bits of `Ready`, their ends apart.
    #[inline]
    pub(super) const fn bits(self) -> u32 {
        self.0 as u32
    }
}

impl From<Direction> for Directions {
    #[inline]
    fn from(direction: Direction) -> Self {
        Self::of(direction)
    }
}

impl BitOr for Directions {
    type Output = Self;

    #[inline]
    fn bitor(self, other: Self) -> Self {
        self.union(other)
    }
}

impl BitAnd for Directions {
    type Output = Self;

    #[inline]
    fn bitand(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

impl IntoIterator for Directions {
    type Item = Direction;
    type IntoIter = Each;

    #[inline]
    fn into_iter(self) -> Each {
        Each(self)
    }
}

/// Each direction of a set: [`Directions::into_iter`].
#[derive(Clone, Debug)]
pub struct Each(Directions);

impl Iterator for Each {
    type Item = Direction;

    #[inline]
    fn next(&mut self) -> Option<Direction> {
        let left = self.0.0;
        self.0 = Directions(left & left.wrapping_sub(1));
        Direction::ALL.get(left.trailing_zeros() as usize).copied()
    }
}

/// A set of readiness bits: four that are the directions, and the ends of the first three.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ready(pub(crate) u8);

impl Ready {
    pub(crate) const READABLE: u8 = Self::clearable(Direction::Read);
    pub(crate) const WRITABLE: u8 = Self::clearable(Direction::Write);
    pub(crate) const PRIORITY: u8 = Self::clearable(Direction::Priority);
    /// The source failed, or has something in its error queue.
    pub(crate) const ERROR: u8 = Self::clearable(Direction::Error);
    /// The peer sends no more, or the source failed.
    pub(crate) const READ_CLOSED: u8 = Self::READABLE << Self::ENDS;
    /// Nothing can be sent any more, or the source failed.
    pub(crate) const WRITE_CLOSED: u8 = Self::WRITABLE << Self::ENDS;
    /// Comes with `READ_CLOSED`, for those who wait for priority data. A bit of its own: that one of
    /// them saw WouldBlock must not take the end-of-file from a reader.
    pub(crate) const PRIORITY_CLOSED: u8 = Self::PRIORITY << Self::ENDS;

    /// The three ends.
    pub(crate) const CLOSED: u8 = Self::READ_CLOSED | Self::WRITE_CLOSED | Self::PRIORITY_CLOSED;

    /// Where the ends stand. That of `Error` is never set.
    const ENDS: u32 = 4;

    pub(super) const fn mask(direction: Direction) -> u8 {
        Self::clearable(direction) | Self::clearable(direction) << Self::ENDS
    }

    pub(super) const fn clearable(direction: Direction) -> u8 {
        Directions::of(direction).0
    }

    /// The directions that are ready, their ends apart.
    #[inline]
    pub(super) const fn open(self) -> Directions {
        Directions(self.0 & Directions::ALL.0)
    }

    /// The directions that have ended.
    #[inline]
    pub(super) const fn closed(self) -> Directions {
        Directions(self.0 >> Self::ENDS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_hands_out_each_of_its_directions_once() {
        for bits in 0..16 {
            let set = Directions(bits);
            let each: Vec<_> = set.into_iter().collect();
            assert!(Direction::ALL.iter().all(|one| each.contains(one) == set.has(*one)));
            assert_eq!(each.len(), bits.count_ones() as usize);
        }
    }
}
