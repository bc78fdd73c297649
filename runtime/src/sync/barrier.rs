//! `Barrier`: a number of tasks go on together.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::marker::PhantomData;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use crate::budget;
use crate::waiters::{Key, WaitList, wake};
use crate::waits;
use crate::wake::copy;

/// Lets tasks wait until so many of them have come; then all go on, and it begins anew.
///
/// # Examples
///
/// ```
/// # loopline_runtime::block_on(async {
/// use loopline_runtime::sync::Barrier;
/// use std::rc::Rc;
///
/// let barrier = Rc::new(Barrier::new(3));
/// let tasks: Vec<_> = (0..3)
///     .map(|_| {
///         let barrier = barrier.clone();
///         loopline_runtime::spawn(async move { barrier.wait().await.is_leader() })
///     })
///     .collect();
/// let mut leaders = 0;
/// for task in tasks {
///     leaders += usize::from(task.await.unwrap());
/// }
/// assert_eq!(leaders, 1);
/// # });
/// ```
///
/// It stays on its thread:
///
/// ```compile_fail,E0277
/// let barrier = loopline_runtime::sync::Barrier::new(1);
/// std::thread::spawn(move || drop(barrier));
/// ```
///
/// ```
/// # loopline_runtime::block_on(async {
/// let barrier = loopline_runtime::sync::Barrier::new(1);
/// loopline_runtime::spawn(async move { drop(barrier) });
/// # });
/// ```
pub struct Barrier {
    n: usize,
    /// Those of this generation who wait.
    arrived: Cell<usize>,
    /// Grows as all have come; wraps.
    generation: Cell<usize>,
    /// Each with its generation. An earlier one than the barrier's may go on, reached or not.
    waiters: RefCell<WaitList<usize>>,
    /// !Send: it is of the tasks of one thread.
    _thread: PhantomData<*const ()>,
}

// Nothing in it can be seen half changed.
impl UnwindSafe for Barrier {}
impl RefUnwindSafe for Barrier {}

impl Barrier {
    /// Makes a barrier that lets `n` tasks go on together. None and one are the same: nobody waits.
    #[must_use]
    pub const fn new(n: usize) -> Self {
        Self {
            n,
            arrived: Cell::new(0),
            generation: Cell::new(0),
            waiters: RefCell::new(WaitList::new()),
            _thread: PhantomData,
        }
    }

    /// Waits until as many wait as the barrier is for; the one that came last is told that it leads.
    ///
    /// Who has polled this has come.
    ///
    /// # Cancel safety
    ///
    /// Strict: a wait that is dropped has not come; it must be begun anew.
    pub async fn wait(&self) -> BarrierWaitResult {
        Wait { barrier: self, key: None }.await
    }

    /// Wakes who waits of earlier generations. Bound: those are no more than `n` each.
    fn let_through(&self) {
        loop {
            let mut waiters = self.waiters.borrow_mut();
            if waiters.first().is_none_or(|generation| *generation == self.generation.get()) {
                return;
            }
            let reached = waiters.reach().map(|(_, waker)| waker);
            drop(waiters);
            reached.into_iter().for_each(wake);
        }
    }

    /// Ends the generation if one more makes it whole.
    fn is_whole(&self) -> bool {
        if self.arrived.get() + 1 < self.n {
            return false;
        }
        self.arrived.set(0);
        self.generation.set(self.generation.get().wrapping_add(1));
        self.let_through();
        true
    }
}

/// One wait at a barrier.
struct Wait<'a> {
    barrier: &'a Barrier,
    key: Option<Key>,
}

impl Wait<'_> {
    /// Comes: leads, or gets in line.
    fn come(&mut self, cx: &Context<'_>) -> bool {
        if self.barrier.is_whole() {
            return true;
        }
        let waker = copy(cx.waker());
        // Once more: a foreign waker's clone may have polled another wait.
        if self.barrier.is_whole() {
            return true;
        }
        self.barrier.arrived.set(self.barrier.arrived.get() + 1);
        let generation = self.barrier.generation.get();
        self.key = Some(self.barrier.waiters.borrow_mut().push(generation, waker));
        false
    }

    fn is_waiting(&self, key: &Key, cx: &Context<'_>) -> bool {
        let of_now =
            |waiters: &mut WaitList<usize>| *waiters.value(key) == self.barrier.generation.get();
        let mut waiters = self.barrier.waiters.borrow_mut();
        if !of_now(&mut waiters) || waiters.wakes(key, cx.waker()) {
            return of_now(&mut waiters);
        }
        drop(waiters);
        let waker = copy(cx.waker());
        let mut waiters = self.barrier.waiters.borrow_mut();
        let old = waiters.set_waker(key, waker);
        let waiting = of_now(&mut waiters);
        drop(waiters);
        drop(old);
        waiting
    }

    /// Takes its node out, and counts it out if it did not go through.
    fn leave(&mut self) {
        let Some(key) = self.key.take() else { return };
        let (generation, waker) = self.barrier.waiters.borrow_mut().take(key);
        if generation == self.barrier.generation.get() {
            self.barrier.arrived.set(self.barrier.arrived.get() - 1);
        }
        drop(waker);
    }
}

impl Future for Wait<'_> {
    type Output = BarrierWaitResult;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let permit = ready!(budget::poll_proceed(cx));
        let result = match &self.key {
            None => self.come(cx).then_some(BarrierWaitResult(true)),
            Some(key) if self.is_waiting(key, cx) => None,
            Some(_) => {
                self.leave();
                Some(BarrierWaitResult(false))
            }
        };
        let Some(result) = result else {
            waits::note("the others (Barrier)");
            return Poll::Pending;
        };
        permit.spend();
        Poll::Ready(result)
    }
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        self.leave();
    }
}

/// Whether the one that waited at a [`Barrier`] leads.
#[derive(Clone)]
pub struct BarrierWaitResult(bool);

impl BarrierWaitResult {
    /// Whether this was the last to come. One of those that go on together is.
    #[must_use]
    pub fn is_leader(&self) -> bool {
        self.0
    }
}

impl fmt::Debug for BarrierWaitResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BarrierWaitResult").field("is_leader", &self.0).finish()
    }
}

impl fmt::Debug for Barrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Barrier")
            .field("n", &self.n)
            .field("waiting", &self.arrived.get())
            .finish_non_exhaustive()
    }
}
