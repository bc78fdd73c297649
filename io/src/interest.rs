//! What a source is watched for, and what it is ready for: two small sets.

use std::fmt;
use std::ops::{BitAnd, BitOr, BitOrAssign, Sub};

use loopline_runtime::registration::{Direction, Directions, Each, Registration};

/// What to watch a source for. Sets are joined by `|`.
///
/// # Examples
///
/// ```
/// use loopline_io::fd::Interest;
///
/// let both = Interest::READABLE | Interest::WRITABLE;
/// assert!(both.is_readable() && both.is_writable());
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Interest(Directions);

impl Interest {
    /// Something to read, or the end.
    pub const READABLE: Self = Self(Directions::of(Direction::Read));
    /// Room to write, or nobody left to read it.
    pub const WRITABLE: Self = Self(Directions::of(Direction::Write));
    /// Priority data, such as TCP's urgent byte.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    pub const PRIORITY: Self = Self(Directions::of(Direction::Priority));
    /// An error to be asked for, such as a message in a socket's error queue.
    pub const ERROR: Self = Self(Directions::of(Direction::Error));

    /// Returns what either holds.
    #[must_use]
    pub const fn add(self, other: Self) -> Self {
        Self(self.0.union(other.0))
    }

    /// Returns what this holds and the other does not; `None` if that is nothing.
    #[must_use]
    pub fn remove(self, other: Self) -> Option<Self> {
        let rest = self.0.without(other.0);
        (!rest.is_empty()).then_some(Self(rest))
    }

    /// Whether it holds [`Interest::READABLE`].
    #[must_use]
    pub const fn is_readable(self) -> bool {
        self.0.has(Direction::Read)
    }

    /// Whether it holds [`Interest::WRITABLE`].
    #[must_use]
    pub const fn is_writable(self) -> bool {
        self.0.has(Direction::Write)
    }

    /// Whether it holds [`Interest::PRIORITY`].
    #[cfg(any(target_os = "linux", target_os = "android"))]
    #[must_use]
    pub const fn is_priority(self) -> bool {
        self.0.has(Direction::Priority)
    }

    /// Whether it holds [`Interest::ERROR`].
    #[must_use]
    pub const fn is_error(self) -> bool {
        self.0.has(Direction::Error)
    }

    pub(crate) fn has(self, direction: Direction) -> bool {
        self.0.has(direction)
    }

    /// Whether all of the other is in this.
    pub(crate) fn holds(self, other: Self) -> bool {
        self.0.holds(other.0)
    }

    #[inline]
    pub(crate) fn set(self) -> Directions {
        self.0
    }

    #[inline]
    pub(crate) fn directions(self) -> Each {
        self.0.into_iter()
    }

    /// What to ask the poller for. Errors are told always, but it wants to be asked for something.
    pub(crate) fn to_mio(self) -> mio::Interest {
        let wanted = [
            (Self::READABLE, mio::Interest::READABLE),
            (Self::WRITABLE, mio::Interest::WRITABLE),
            #[cfg(any(target_os = "linux", target_os = "android"))]
            (Self::PRIORITY, mio::Interest::PRIORITY),
        ];
        let wanted = wanted.into_iter().filter(|(own, _)| self.holds(*own)).map(|(_, its)| its);
        wanted.reduce(|all, one| all | one).unwrap_or(mio::Interest::READABLE)
    }
}

impl BitOr for Interest {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        self.add(other)
    }
}

impl BitOrAssign for Interest {
    fn bitor_assign(&mut self, other: Self) {
        *self = *self | other;
    }
}

impl fmt::Debug for Interest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        names(
            f,
            self.directions().map(|direction| match direction {
                Direction::Read => "READABLE",
                Direction::Write => "WRITABLE",
                Direction::Priority => "PRIORITY",
                _ => "ERROR",
            }),
        )
    }
}

/// What a source is ready for.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Ready(u8);

impl Ready {
    /// Nothing.
    pub const EMPTY: Self = Self(0);
    /// A read is worth trying.
    pub const READABLE: Self = Self(1);
    /// A write is worth trying.
    pub const WRITABLE: Self = Self(1 << 1);
    /// The other end sends no more.
    pub const READ_CLOSED: Self = Self(1 << 2);
    /// Nothing can be written any more.
    pub const WRITE_CLOSED: Self = Self(1 << 3);
    /// Priority data is there.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    pub const PRIORITY: Self = Self(PRIORITY);
    /// An error is there to be asked for.
    pub const ERROR: Self = Self(1 << 5);
    /// All of them.
    pub const ALL: Self = Self(0b11_1111);

    /// Whether it is nothing.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether a read is worth trying, the end included.
    #[must_use]
    pub const fn is_readable(self) -> bool {
        self.0 & (Self::READABLE.0 | Self::READ_CLOSED.0) != 0
    }

    /// Whether a write is worth trying, the end included.
    #[must_use]
    pub const fn is_writable(self) -> bool {
        self.0 & (Self::WRITABLE.0 | Self::WRITE_CLOSED.0) != 0
    }

    /// Whether the other end sends no more.
    #[must_use]
    pub const fn is_read_closed(self) -> bool {
        self.0 & Self::READ_CLOSED.0 != 0
    }

    /// Whether nothing can be written any more.
    #[must_use]
    pub const fn is_write_closed(self) -> bool {
        self.0 & Self::WRITE_CLOSED.0 != 0
    }

    /// Whether priority data is there.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    #[must_use]
    pub const fn is_priority(self) -> bool {
        self.0 & PRIORITY != 0
    }

    /// Whether an error is there to be asked for.
    #[must_use]
    pub const fn is_error(self) -> bool {
        self.0 & Self::ERROR.0 != 0
    }

    /// Reads from a ledger what it knows of an interest.
    pub(crate) fn of(registration: &Registration, interest: Interest) -> Self {
        let mut ready = 0;
        for direction in registration.open() & interest.set() {
            ready |= open(direction);
        }
        for direction in registration.closed() & interest.set() {
            ready |= match direction {
                Direction::Write => Self::WRITE_CLOSED.0,
                _ => Self::READ_CLOSED.0,
            };
        }
        Self(ready)
    }

    /// The directions of it that are ready or at their end.
    #[cfg(feature = "fd")]
    pub(crate) fn directions(self) -> impl Iterator<Item = Direction> {
        let ended = |direction| match direction {
            Direction::Read | Direction::Priority => Self::READ_CLOSED.0,
            Direction::Write => Self::WRITE_CLOSED.0,
            _ => 0,
        };
        let is_in = move |way: &Direction| self.0 & (open(*way) | ended(*way)) != 0;
        Directions::ALL.into_iter().filter(is_in)
    }

    /// The directions of it that are ready, their ends apart.
    #[cfg(feature = "fd")]
    pub(crate) fn open(self) -> impl Iterator<Item = Direction> {
        Directions::ALL.into_iter().filter(move |way| self.0 & open(*way) != 0)
    }
}

/// On every platform the same bit; only where there is such a thing it has a public name.
const PRIORITY: u8 = 1 << 4;

const fn open(direction: Direction) -> u8 {
    match direction {
        Direction::Read => Ready::READABLE.0,
        Direction::Write => Ready::WRITABLE.0,
        Direction::Priority => PRIORITY,
        Direction::Error => Ready::ERROR.0,
        _ => 0,
    }
}

impl BitOr for Ready {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitOrAssign for Ready {
    fn bitor_assign(&mut self, other: Self) {
        *self = *self | other;
    }
}

impl BitAnd for Ready {
    type Output = Self;

    fn bitand(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

impl Sub for Ready {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
}

impl fmt::Debug for Ready {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const NAMES: [&str; 6] =
            ["READABLE", "WRITABLE", "READ_CLOSED", "WRITE_CLOSED", "PRIORITY", "ERROR"];
        let held = NAMES.iter().enumerate().filter(|(index, _)| self.0 & (1 << index) != 0);
        names(f, held.map(|(_, name)| *name))
    }
}

fn names(f: &mut fmt::Formatter<'_>, held: impl Iterator<Item = &'static str>) -> fmt::Result {
    let mut between = "";
    for name in held {
        write!(f, "{between}{name}")?;
        between = " | ";
    }
    f.write_str(if between.is_empty() { "EMPTY" } else { "" })
}
