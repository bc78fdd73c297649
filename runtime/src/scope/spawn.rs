//! Adding a child to a scope.

use std::borrow::Cow;
use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::rc::Rc;

use super::Scope;
use super::calls::Proxy;
use super::child::{Child, ChildFuture, Output};
use super::children::{ChildBox, Entry};
use crate::current::with_current;
use crate::item::{Meta, TaskId};
use crate::items::Start;
use crate::join::{Control, JoinHandle};
use crate::labels::Label;
use crate::run_queue::NONE;
use crate::task::joinable;
use crate::wake::Word;

/// What to say of a child before it is spawned: see [`Scope::item`].
#[must_use = "a child starts with `spawn`"]
pub struct ChildBuilder<'scope, 'env: 'scope, E: 'env> {
    scope: &'scope Scope<'scope, 'env, E>,
    label: Option<Box<Label>>,
    place: &'static Location<'static>,
}

impl<'scope, 'env, E: 'env> ChildBuilder<'scope, 'env, E> {
    pub(super) fn new(
        scope: &'scope Scope<'scope, 'env, E>,
        place: &'static Location<'static>,
    ) -> Self {
        Self { scope, label: None, place }
    }

    /// Names the child in messages.
    pub fn label(mut self, label: impl Into<Cow<'static, str>>) -> Self {
        self.label = Some(Box::new(Label::new(label)));
        self
    }

    /// Spawns the child; as [`Scope::spawn`].
    ///
    /// # Panics
    ///
    /// If no event loop runs on this thread.
    #[track_caller]
    pub fn spawn<F>(self, future: F) -> Child<'scope, 'env, F::Output, E>
    where
        F: Future + 'scope,
    {
        self.start(future, Ok)
    }

    /// Spawns a child whose error ends the scope; as [`Scope::try_spawn`].
    ///
    /// # Panics
    ///
    /// If no event loop runs on this thread.
    #[track_caller]
    pub fn try_spawn<F, T>(self, future: F) -> Child<'scope, 'env, T, E>
    where
        F: Future<Output = Result<T, E>> + 'scope,
        T: 'scope,
    {
        self.start(future, |result| result)
    }

    #[track_caller]
    fn start<F, T, M>(self, future: F, map: M) -> Child<'scope, 'env, T, E>
    where
        F: Future + 'scope,
        T: 'scope,
        M: FnMut(F::Output) -> Result<T, E> + 'scope,
    {
        let Self { scope, label, place } = self;
        let output = Rc::new(Output::new());
        let future: ChildBox<'scope, E> = Box::pin(ChildFuture::new(future, output.clone(), map));
        let key = scope.children.borrow().entries.vacant_key();
        let Some((proxy, control, word)) = scope.insert_proxy(key, label, place) else {
            // Tells `output` that it is cancelled.
            drop(future);
            let (id, control) = (TaskId(0), Control::new(0, NONE, TaskId(0)));
            return Child { scope, key: usize::MAX, id, control, output };
        };
        let id = control.id();
        let entry = Entry { future: Some(future), cancelled: false, id, proxy, word };
        let inserted = scope.children.borrow_mut().entries.insert(entry);
        debug_assert_eq!(inserted, key);
        // Polled in the next round, without its item.
        scope.calls.call(key);
        Child { scope, key, id, control, output }
    }
}

impl<'env, E: 'env> Scope<'_, 'env, E> {
    /// Makes the item that stands for a child: `None` if the scope or the loop takes none.
    #[track_caller]
    fn insert_proxy(
        &self,
        key: usize,
        label: Option<Box<Label>>,
        place: &'static Location<'static>,
    ) -> Option<(JoinHandle<()>, Control, Word)> {
        with_current(|shared| {
            let Some(shared) = shared else {
                panic!("no event loop runs on this thread: spawn inside one")
            };
            if self.ended.get() {
                return None;
            }
            let queue = &shared.home.queue;
            let meta = Meta {
                label,
                background: true,
                child: true,
                // Its parent's.
                lane: queue.lane_number(shared.running_slot.get()),
                ..Meta::new(place)
            };
            let proxy = Proxy { calls: self.calls.clone(), key };
            let proxy = match shared.insert(proxy, meta, Start::Asleep) {
                Ok(proxy) => proxy,
                Err(refused) => {
                    self.calls.quietly(key, || drop(refused));
                    return None;
                }
            };
            shared.children.set(shared.children.get() + 1);
            let slot = proxy.header().slot();
            let word = queue.word(slot, queue.generation(slot));
            let proxy = JoinHandle::new(joinable(proxy));
            let control = proxy.control();
            Some((proxy, control, word))
        })
    }
}

impl<E> fmt::Debug for ChildBuilder<'_, '_, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChildBuilder").field("label", &self.label).finish_non_exhaustive()
    }
}
