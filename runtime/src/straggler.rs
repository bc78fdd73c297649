//! Who was still there when the time to end was over.

use std::fmt;
use std::panic::Location;

use crate::item::{Header, TaskId};

/// An item, or a scope's child, that did not end in the time it was given, and was cancelled.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Straggler {
    /// Its number.
    pub id: TaskId,
    /// Its label.
    pub label: Option<String>,
    /// Where it was made.
    pub place: &'static Location<'static>,
}

impl Straggler {
    pub(crate) fn of(header: &Header) -> Self {
        Self { id: header.id, label: header.label().map(String::from), place: header.place }
    }
}

impl fmt::Display for Straggler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "item {}", self.id)?;
        if let Some(label) = &self.label {
            write!(f, " `{label}`")?;
        }
        write!(f, " made at {}", self.place)
    }
}
