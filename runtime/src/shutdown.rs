//! A graceful end: no new work, everybody asked, some time to come to an end, and then the rest cancelled.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Poll, Waker};
use std::time::Duration;

use crate::current::with_loop;
use crate::handle::Handle;
use crate::item::TaskId;
use crate::shared::Shared;
use crate::sleep::{Sleep, sleep};
use crate::straggler::Straggler;
use crate::waits;
use crate::wake::copy;

impl<S: 'static> Handle<S> {
    /// Brings the work of the loop to an end: takes no more items, asks all who wait for
    /// [`closing`](crate::closing) or [`Scope::closing`](crate::Scope::closing), waits until the items have
    /// ended but for `grace` at most, then cancels what is left, newest first, while timers and sources
    /// still work. Returns whom it had to cancel, oldest first.
    ///
    /// From then on the loop refuses items: [`Handle::spawn`] gives a cancelled handle, [`Handle::insert`] an
    /// error, a scope a cancelled child. [Background](crate::ItemBuilder::background) items are cancelled too,
    /// but not waited for and not named. The future, task or scope's child that awaits this goes on and is not
    /// counted, nor are those it is inside of. Other children of scopes are waited for and named as items are;
    /// they are dropped with the item that their scope is in, or as that is polled next.
    ///
    /// # Cancel safety
    ///
    /// Partial: once polled, the loop takes no more items and everybody was asked.
    ///
    /// # Examples
    ///
    /// ```
    /// use loopline_runtime::{EventLoop, closing, spawn};
    /// use std::time::Duration;
    ///
    /// let mut event_loop = EventLoop::<()>::new()?;
    /// let handle = event_loop.handle();
    /// let left = event_loop.block_on(async move {
    ///     spawn(async { closing().await });
    ///     handle.item().label("stubborn").spawn(std::future::pending::<()>());
    ///     handle.shutdown(Duration::from_millis(5)).await
    /// })?;
    /// assert_eq!(left.len(), 1);
    /// assert_eq!(left[0].label.as_deref(), Some("stubborn"));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub async fn shutdown(self, grace: Duration) -> Vec<Straggler> {
        let id = self.id();
        let asker = Asker::begin(id);
        let mut limit: Sleep = sleep(grace);
        poll_fn(|cx| {
            let ended = with_loop(id, |shared| {
                let Some(shared) = shared.filter(|shared| !shared.is_drained()) else {
                    return true;
                };
                shared.wait_drained(cx.waker());
                waits::note("the items to end (Handle::shutdown)");
                false
            });
            match ended {
                true => Poll::Ready(()),
                false => Future::poll(Pin::new(&mut limit), cx),
            }
        })
        .await;
        let stragglers = with_loop(id, |shared| shared.map_or(Vec::new(), Shared::end_stragglers));
        drop(asker);
        stragglers
    }
}

/// Who asked for a graceful end: the item being polled, and the children of scopes inside each other down
/// to the one that asks. They cannot end before it is done, so it does not wait for them.
struct Asker {
    loop_id: u64,
    ids: Vec<TaskId>,
}

impl Asker {
    /// Stops the intake and asks everybody to end.
    fn begin(loop_id: u64) -> Self {
        let ids = with_loop(loop_id, |shared| shared.map_or(Vec::new(), Shared::begin_shutdown));
        Self { loop_id, ids }
    }
}

impl Drop for Asker {
    fn drop(&mut self) {
        with_loop(self.loop_id, |shared| {
            let Some(shared) = shared else { return };
            let mut askers = shared.askers.borrow_mut();
            for id in &self.ids {
                // Once each: it may ask twice.
                if let Some(at) = askers.iter().position(|asker| asker == id) {
                    askers.swap_remove(at);
                }
            }
        });
    }
}

impl Shared {
    fn begin_shutdown(&self) -> Vec<TaskId> {
        let children = self.polled_children.borrow();
        let ids: Vec<_> =
            children.iter().copied().chain(self.running()).map(|(_, id)| id).collect();
        drop(children);
        self.askers.borrow_mut().extend_from_slice(&ids);
        self.stop_intake();
        self.closing.ask(|waiter| self.wake_waiter(waiter));
        ids
    }

    /// Whether nothing is left that a graceful end waits for.
    fn is_drained(&self) -> bool {
        self.regroup();
        let most = self.askers.borrow().len();
        // Items are looked at only when they may be all there are.
        self.foreground() <= most && self.children.get() <= most && self.kept().is_empty()
    }

    /// Has who waits for the end of all items woken at the next end of one.
    fn wait_drained(&self, waker: &Waker) {
        let known = self.drained.borrow().iter().any(|waiter| waiter.will_wake(waker));
        if !known {
            let waker = copy(waker);
            self.drained.borrow_mut().push(waker);
        }
    }

    /// Returns the items at rest that a graceful end waits for, oldest first. The one that is being polled
    /// is not at rest.
    fn kept(&self) -> Vec<Straggler> {
        let items = self.items().into_iter().filter_map(|(_, slot)| self.item_in(slot));
        let kept = items.filter(|item| {
            let header = item.header();
            (!header.is_background() || header.is_child()) && !self.asks_to_end(header.id)
        });
        kept.map(|item| Straggler::of(item.header())).collect()
    }

    fn asks_to_end(&self, id: TaskId) -> bool {
        self.askers.borrow().contains(&id)
    }

    /// Cancels all items at rest but those that ask for it, newest first. Returns those that a graceful end
    /// waited for.
    fn end_stragglers(&self) -> Vec<Straggler> {
        let left = self.kept();
        for (id, slot) in self.items().into_iter().rev() {
            if !self.asks_to_end(id) {
                self.cancel(slot, id);
            }
        }
        left
    }
}
