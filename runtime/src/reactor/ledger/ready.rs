//! What a source can be ready for, and what the poller says of it.

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
    pub(super) const ALL: [Self; 4] = [Self::Read, Self::Write, Self::Priority, Self::Error];

    /// Where its waiters stand. The two rare ones share: a wake for the other is spurious, no harm.
    pub(super) const fn place(self) -> usize {
        match self {
            Self::Read => 0,
            Self::Write => 1,
            Self::Priority | Self::Error => 2,
        }
    }
}

/// A set of readiness bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ready(pub(crate) u8);

impl Ready {
    pub(crate) const READABLE: u8 = 1;
    pub(crate) const WRITABLE: u8 = 1 << 1;
    pub(crate) const PRIORITY: u8 = 1 << 2;
    /// The peer sends no more, or the source failed.
    pub(crate) const READ_CLOSED: u8 = 1 << 3;
    /// Nothing can be sent any more, or the source failed.
    pub(crate) const WRITE_CLOSED: u8 = 1 << 4;
    /// Comes with `READ_CLOSED`, for those who wait for priority data. A bit of its own: that one of
    /// them saw WouldBlock must not take the end-of-file from a reader.
    pub(crate) const PRIORITY_CLOSED: u8 = 1 << 5;
    /// The source failed, or has something in its error queue.
    pub(crate) const ERROR: u8 = 1 << 6;

    pub(super) const fn mask(direction: Direction) -> u8 {
        match direction {
            Direction::Read => Self::READABLE | Self::READ_CLOSED,
            Direction::Write => Self::WRITABLE | Self::WRITE_CLOSED,
            Direction::Priority => Self::PRIORITY | Self::PRIORITY_CLOSED,
            Direction::Error => Self::ERROR,
        }
    }

    pub(super) const fn clearable(direction: Direction) -> u8 {
        match direction {
            Direction::Read => Self::READABLE,
            Direction::Write => Self::WRITABLE,
            Direction::Priority => Self::PRIORITY,
            Direction::Error => Self::ERROR,
        }
    }
}
