//! Jobs of a set: what would stall the loop, on the threads of its pool.

use std::panic::Location;

use super::JoinSet;
use crate::blocking;
use crate::current::{with_current, with_loop};
use crate::handle::Handle;
use crate::item::Meta;
use crate::join::Control;

impl<T: Send + 'static> JoinSet<T> {
    /// Runs a closure that blocks on another thread, as [`spawn_blocking`](crate::spawn_blocking); its output is
    /// got by joining.
    ///
    /// The control returned cancels it, and so does dropping the set: one that has not begun never does.
    ///
    /// # Panics
    ///
    /// If no event loop runs on this thread; [`JoinSet::spawn_blocking_on`] works outside a turn too.
    ///
    /// # Examples
    ///
    /// ```
    /// # loopline_runtime::block_on(async {
    /// let mut set = loopline_runtime::JoinSet::new();
    /// for n in 1..=3_u64 {
    ///     set.spawn_blocking(move || (1..=n).product::<u64>());
    /// }
    /// let mut products = set.join_all().await;
    /// products.sort();
    /// assert_eq!(products, [1, 2, 6]);
    /// # });
    /// ```
    #[track_caller]
    pub fn spawn_blocking<F>(&mut self, f: F) -> Control
    where
        F: FnOnce() -> T + Send + 'static,
    {
        // As in `spawn`.
        let id = with_current(|shared| shared.map(|shared| shared.id));
        let id = id.expect("no event loop runs on this thread; use JoinSet::spawn_blocking_on");
        self.insert_blocking(f, id)
    }

    /// As [`JoinSet::spawn_blocking`], on the threads of a handle's loop. A loop that is gone, shutting down or
    /// full cancels it at once, which joining tells.
    #[track_caller]
    pub fn spawn_blocking_on<F, S: 'static>(&mut self, f: F, handle: Handle<S>) -> Control
    where
        F: FnOnce() -> T + Send + 'static,
    {
        self.insert_blocking(f, handle.id())
    }

    #[track_caller]
    fn insert_blocking<F>(&mut self, f: F, loop_id: u64) -> Control
    where
        F: FnOnce() -> T + Send + 'static,
    {
        let meta = Meta::new(Location::caller());
        let inserted = with_loop(loop_id, |shared| {
            blocking::insert_as(shared, f, meta, |waiting| self.member(waiting))
        });
        self.add(inserted.unwrap_or_else(blocking::refused))
    }
}
