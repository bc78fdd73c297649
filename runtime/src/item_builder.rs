//! `ItemBuilder`: what to say of an item before it is made.

use std::borrow::Cow;
use std::future::Future;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;

use futures_core::Stream;

use crate::blocking;
use crate::callback::{ForEach, Next};
use crate::current::into_loop;
use crate::insert_error::{InsertError, InsertErrorKind};
use crate::item::Meta;
use crate::items::Start;
use crate::join::JoinHandle;
use crate::labels::Label;
use crate::spawn::{insert, insert_into, refused};

/// What to say of an item before it is made: see [`Handle::item`](crate::Handle::item).
///
/// # Examples
///
/// ```
/// use loopline_runtime::{EventLoop, callback::Next, time::Timer};
/// use std::time::Duration;
///
/// let mut event_loop = EventLoop::<()>::new()?;
/// let handle = event_loop.handle();
/// // Named in messages; `run` does not wait for it to end.
/// let beat = Timer::every(Duration::from_secs(1));
/// handle.item().label("heart beat").background().insert(beat, |_, _, ()| Next::Keep)?;
/// handle.item().label("work").spawn(async {});
/// event_loop.run(&mut ())?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
#[must_use = "an item starts with `spawn` or `insert`"]
pub struct ItemBuilder<S> {
    pub(crate) loop_id: u64,
    pub(crate) meta: Meta,
    /// As a handle's.
    _state: PhantomData<*mut S>,
}

impl<S: 'static> ItemBuilder<S> {
    pub(crate) fn new(loop_id: u64, meta: Meta) -> Self {
        Self { loop_id, meta, _state: PhantomData }
    }

    /// Names the item in messages.
    pub fn label(mut self, label: impl Into<Cow<'static, str>>) -> Self {
        self.meta.label = Some(Box::new(Label::new(label)));
        self
    }

    /// Lets `run` end while the item is alive.
    pub fn background(mut self) -> Self {
        self.meta.background = true;
        self
    }

    /// Spawns the task; as [`Handle::spawn`](crate::Handle::spawn).
    pub fn spawn<F>(self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + 'static,
    {
        self.start(future, Start::Queue)
    }

    /// Spawns the task, or gives the future back.
    ///
    /// # Errors
    ///
    /// If the loop is gone, shutting down or full.
    pub fn try_spawn<F>(self, future: F) -> Result<JoinHandle<F::Output>, InsertError<F>>
    where
        F: Future + 'static,
    {
        into_loop(self.loop_id, |shared| insert(shared, future, self.meta, Start::Queue))
            .map_err(|(future, kind, _)| InsertError::new(future, kind))
    }

    /// Runs a closure that blocks on another thread; as [`Handle::spawn_blocking`](crate::Handle::spawn_blocking).
    pub fn spawn_blocking<F, T>(self, f: F) -> JoinHandle<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        let inserted = into_loop(self.loop_id, |shared| blocking::insert(shared, f, self.meta));
        inserted.unwrap_or_else(blocking::refused)
    }

    /// Inserts the source; as [`Handle::insert`](crate::Handle::insert).
    ///
    /// # Errors
    ///
    /// Gives the source back if the loop is gone, shutting down or full.
    pub fn insert<Src, F>(
        self,
        source: Src,
        callback: F,
    ) -> Result<JoinHandle<Src>, InsertError<Src>>
    where
        Src: Stream + Unpin + 'static,
        F: FnMut(Src::Item, &mut Src, &mut S) -> Next + 'static,
    {
        // Nothing to be dropped until it is known where they go: so they are moved there from where they are, in
        // their parts.
        let parts = ManuallyDrop::new((source, callback));
        let inserted = into_loop(self.loop_id, |shared| {
            let Some(shared) = shared else { return Err((parts, InsertErrorKind::LoopGone)) };
            match shared.take_slot(self.meta.lane) {
                Ok(place) => {
                    let (source, callback) = ManuallyDrop::into_inner(parts);
                    let for_each = ForEach::new(source, callback, shared.config.operations);
                    Ok(insert_into(shared, place, for_each, self.meta, Start::NextTurn))
                }
                Err(kind) => Err((parts, kind)),
            }
        });
        inserted.map_err(|(parts, kind)| {
            let (source, callback) = ManuallyDrop::into_inner(parts);
            // The callback goes first: a source that is on its way out would leak if that panics.
            drop(callback);
            InsertError::new(source, kind)
        })
    }

    pub(crate) fn start<F: Future + 'static>(
        self,
        future: F,
        start: Start,
    ) -> JoinHandle<F::Output> {
        let inserted = into_loop(self.loop_id, |shared| insert(shared, future, self.meta, start));
        // Dropped here, with no loop borrowed: the future's destructor may do anything.
        inserted.unwrap_or_else(refused)
    }
}
