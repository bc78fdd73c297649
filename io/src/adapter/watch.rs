//! The adapter, used for its readiness alone and in several directions at once: what `FdSource` and
//! `Async` share.

use std::io;
use std::os::fd::AsFd;
#[cfg(feature = "fd")]
use std::task::Context;

use loopline_runtime::registration::{Direction, Directions, WaitKey};

use super::Adapter;
use crate::interest::Interest;

/// The keys of one who may wait for any direction.
#[derive(Debug)]
pub(crate) struct Keys([WaitKey; 4]);

impl Keys {
    pub(crate) fn new() -> Self {
        Self([const { WaitKey::new() }; 4])
    }

    /// Of the `poll_` forms: the last one to poll is woken.
    #[cfg(feature = "fd")]
    pub(crate) fn last_poller() -> Self {
        Self([const { WaitKey::last_poller() }; 4])
    }

    pub(crate) fn of(&mut self, direction: Direction) -> &mut WaitKey {
        &mut self.0[match direction {
            Direction::Read => 0,
            Direction::Write => 1,
            Direction::Priority => 2,
            _ => 3,
        }]
    }
}

impl<T: AsFd> Adapter<T> {
    /// Registers for exactly this; or, registered already, has the poller say again what is ready now.
    /// What was known of the stale directions is forgotten, the ends apart.
    pub(crate) fn ask(&self, interest: Interest, stale: Directions) -> io::Result<()> {
        self.registration.clear_open(stale);
        self.rearm(interest.to_mio())?;
        self.registration.watch(interest.set())
    }

    /// Waits for all of these directions, which must be watched; the first that is ready wakes.
    #[cfg(feature = "fd")]
    pub(crate) fn wait_any(
        &self,
        interest: Interest,
        keys: &mut Keys,
        cx: &Context<'_>,
    ) -> io::Result<()> {
        self.registration.check_loop(cx)?;
        // Again, because the loop may have gone since: then nothing would ever wake this.
        self.registration.watch(interest.set())?;
        for direction in interest.directions() {
            self.registration.wait(direction, keys.of(direction), cx);
        }
        Ok(())
    }

    /// Ends what `wait_any` began.
    pub(crate) fn unwait_any(&self, interest: Interest, keys: &mut Keys) {
        for direction in interest.directions() {
            self.registration.unwait(direction, keys.of(direction));
        }
    }
}
