//! When a descriptor that is ready is told again.

/// When a descriptor that is ready is told again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Trigger {
    /// As long as it is ready. That is remembered until an operation saw `WouldBlock`, so nothing is asked
    /// of the system as long as operations go through the source.
    #[default]
    Level,
    /// When the system says so, once each time: who is told must go on until `WouldBlock`.
    Edge,
    /// Once, and then not before it is asked for again. What comes meanwhile is not lost. It costs a system
    /// call per event.
    OneShot,
    /// As long as it is ready, for a descriptor that others empty: a library that reads it itself (inotify,
    /// Wayland, ZeroMQ). Nothing is remembered; after each time that it was told the system is asked anew,
    /// by one call. Emptied just after the system looked, it may be told once too often.
    Foreign,
}
