//! A graceful end: no new work, everybody asked, some time to come to an end, and then the rest cancelled.

use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use crate::current::with_loop;
use crate::handle::Handle;
use crate::item::Item;
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
    /// error. [Background](crate::ItemBuilder::background) items are cancelled too, but not waited for and not
    /// named. The future or task that awaits this goes on and is not counted.
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
        let own = with_loop(id, |shared| shared.map_or(0, Shared::begin_shutdown));
        let mut limit: Sleep = sleep(grace);
        poll_fn(|cx| {
            let ended = with_loop(id, |shared| {
                let Some(shared) = shared.filter(|shared| !shared.is_drained(own)) else {
                    return true;
                };
                drop(shared.drained.replace(Some(copy(cx.waker()))));
                waits::note("the items to end (Handle::shutdown)");
                false
            });
            match ended {
                true => Poll::Ready(()),
                false => Future::poll(Pin::new(&mut limit), cx),
            }
        })
        .await;
        with_loop(id, |shared| shared.map_or(Vec::new(), Shared::end_stragglers))
    }
}

impl Shared {
    /// Stops the intake and asks everybody to end. Returns how many items ask for it and are not waited
    /// for: one, or none if that is the root future or a background item.
    fn begin_shutdown(&self) -> usize {
        self.stop_intake();
        self.closing.ask(|waiter| self.wake_waiter(waiter));
        // The one that is being polled is not at rest.
        let at_rest = self.kept().filter(|item| !item.header().is_child()).count();
        self.foreground.get() - at_rest
    }

    /// Whether nothing is left that a graceful end waits for.
    fn is_drained(&self, own: usize) -> bool {
        // Children are looked for only when they are all there is.
        self.foreground.get() <= own && self.kept().next().is_none()
    }

    /// Returns the items at rest that a graceful end waits for.
    fn kept(&self) -> impl Iterator<Item = Rc<dyn Item>> {
        let items = self.items().into_iter().filter_map(|(_, slot)| self.item_in(slot));
        items.filter(|item| !item.header().is_background() || item.header().is_child())
    }

    /// Cancels all items at rest, newest first. Returns those that a graceful end waited for.
    fn end_stragglers(&self) -> Vec<Straggler> {
        let left = self.kept().map(|item| Straggler::of(item.header())).collect();
        for (id, slot) in self.items().into_iter().rev() {
            self.cancel(slot, id);
        }
        left
    }
}
