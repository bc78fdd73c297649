//! Waits that another thread may end.
//!
//! A loop that nothing on its own thread can wake any more is not stuck while one of these lives.

use std::fmt;
use std::sync::Arc;

use crate::current::with_current;

/// Kept by the end of a channel that waits on a loop for other threads, from its first wait there until
/// the other side is gone or it is dropped itself. `Send`, as such ends are.
#[derive(Default)]
pub(crate) struct Outside(Option<(u64, Arc<()>)>);

impl Outside {
    pub(crate) const fn new() -> Self {
        Self(None)
    }

    /// Says to the loop that runs here that another thread may wake what waits now.
    #[inline]
    pub(crate) fn join(&mut self) {
        with_current(|shared| {
            let Some(shared) = shared else { return };
            if self.0.as_ref().is_none_or(|(id, _)| *id != shared.id) {
                self.0 = Some((shared.id, shared.outside.clone()));
            }
        });
    }

    /// Says that it no longer may.
    pub(crate) fn leave(&mut self) {
        self.0 = None;
    }
}

impl fmt::Debug for Outside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outside").field("joined", &self.0.is_some()).finish()
    }
}
