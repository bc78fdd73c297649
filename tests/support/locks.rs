//! What the tests of locks share: waits polled by hand, wakers that act, and a model of a line.
#![allow(dead_code, unreachable_pub)] // each test file is a crate and uses a part

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::mem::ManuallyDrop;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, RawWaker, RawWakerVTable, Waker};

use loopline::task::budget;

pub use self::random::Random;

#[path = "random.rs"]
mod random;

/// What a waker of our own making was asked, and what it does then, once.
#[derive(Default)]
pub struct Acts {
    pub clones: Cell<usize>,
    pub wakes: Cell<usize>,
    pub on_clone: RefCell<Option<Box<dyn FnOnce()>>>,
    pub on_wake: RefCell<Option<Box<dyn FnOnce()>>>,
    pub on_drop: RefCell<Option<Box<dyn FnOnce()>>>,
}

fn act(slot: &RefCell<Option<Box<dyn FnOnce()>>>) {
    let act = slot.borrow_mut().take();
    act.into_iter().for_each(|act| act());
}

static TABLE: RawWakerVTable = RawWakerVTable::new(clone, wake, wake_by_ref, release);

fn acts(data: *const ()) -> ManuallyDrop<Rc<Acts>> {
    // SAFETY: every waker of this table is made of an `Rc<Acts>`, and stays on its test's thread.
    ManuallyDrop::new(unsafe { Rc::from_raw(data.cast()) })
}

unsafe fn clone(data: *const ()) -> RawWaker {
    let acts = acts(data);
    acts.clones.set(acts.clones.get() + 1);
    act(&acts.on_clone);
    RawWaker::new(Rc::into_raw(Rc::clone(&acts)).cast(), &TABLE)
}

unsafe fn wake(data: *const ()) {
    let acts = ManuallyDrop::into_inner(acts(data));
    acts.wakes.set(acts.wakes.get() + 1);
    act(&acts.on_wake);
}

unsafe fn wake_by_ref(data: *const ()) {
    let acts = acts(data);
    acts.wakes.set(acts.wakes.get() + 1);
    act(&acts.on_wake);
}

unsafe fn release(data: *const ()) {
    let acts = ManuallyDrop::into_inner(acts(data));
    act(&acts.on_drop);
}

impl Acts {
    pub fn waker(self: &Rc<Self>) -> Waker {
        // SAFETY: the functions of TABLE count references as `Rc` does, on this thread.
        unsafe { Waker::new(Rc::into_raw(self.clone()).cast(), &TABLE) }
    }
}

/// A future that is polled by hand, with a waker of its own.
pub struct Waiting<'a, T> {
    future: Pin<Box<dyn Future<Output = T> + 'a>>,
    pub acts: Rc<Acts>,
}

impl<'a, T> Waiting<'a, T> {
    pub fn new(future: impl Future<Output = T> + 'a) -> Self {
        Self { future: Box::pin(future), acts: Rc::default() }
    }

    pub fn poll(&mut self) -> Poll<T> {
        self.acts.wakes.set(0);
        let waker = self.acts.waker();
        self.future.as_mut().poll(&mut Context::from_waker(&waker))
    }

    pub fn is_woken(&self) -> bool {
        self.acts.wakes.get() > 0
    }

    #[track_caller]
    pub fn is_pending(&mut self) -> bool {
        self.poll().is_pending()
    }

    #[track_caller]
    pub fn ready(&mut self) -> T {
        match self.poll() {
            Poll::Ready(value) => value,
            Poll::Pending => panic!("not ready"),
        }
    }
}

/// Makes a wait that has been polled, and is not ready.
#[track_caller]
pub fn waiting<'a, T>(future: impl Future<Output = T> + 'a) -> Waiting<'a, T> {
    let mut waiting = Waiting::new(future);
    assert!(waiting.is_pending());
    waiting
}

/// A guard or permit of any kind.
pub trait Held {}
impl<T> Held for T {}

pub type Begun<'a> = Pin<Box<dyn Future<Output = Box<dyn Held + 'a>> + 'a>>;

type Lock<'a> = Waiting<'a, Box<dyn Held + 'a>>;

/// What a line should do: the first gets what there is until it has all it wants.
struct Model {
    permits: usize,
    /// Number of the wait, all it wants, what is missing.
    line: VecDeque<(u64, usize, usize)>,
    granted: Vec<(u64, usize)>,
}

impl Model {
    fn give(&mut self, permits: usize) {
        self.permits += permits;
        while let Some((number, all, missing)) = self.line.front_mut() {
            let given = self.permits.min(*missing);
            self.permits -= given;
            *missing -= given;
            if *missing > 0 {
                return;
            }
            self.granted.push((*number, *all));
            self.line.pop_front();
        }
    }

    fn cancel(&mut self, number: u64) {
        let mut back = 0;
        self.line.retain(|(n, all, missing)| {
            *n != number || {
                back += all - missing;
                false
            }
        });
        self.granted.retain(|(n, all)| {
            *n != number || {
                back += all;
                false
            }
        });
        self.give(back);
    }

    fn take_granted(&mut self, number: u64) -> bool {
        let before = self.granted.len();
        self.granted.retain(|(n, _)| *n != number);
        self.granted.len() < before
    }
}

/// Does random things with a line of `permits`, wants of `sizes`, and compares with the model: who is
/// served, who is woken, what is free. Waits are dropped in every state that they can be in.
pub async fn compare<'a>(
    permits: usize,
    sizes: &[usize],
    begin: impl Fn(usize, bool) -> Begun<'a>,
    try_now: impl Fn(usize, bool) -> Option<Box<dyn Held + 'a>>,
    free: impl Fn() -> Option<usize>,
) {
    let mut random = Random::new();
    let mut model = Model { permits, line: VecDeque::new(), granted: Vec::new() };
    let mut waits: Vec<(u64, usize, Lock<'a>)> = Vec::new();
    let mut held: Vec<(usize, Box<dyn Held + 'a>)> = Vec::new();
    for number in 0..super::support::scaled(40_000) as u64 {
        if number % 16 == 0 {
            loopline::yield_now().await; // a new budget
        }
        let (n, owned) = (sizes[random.below(sizes.len())], random.below(2) == 0);
        match random.below(8) {
            0..=2 if waits.len() < 12 => {
                let mut wait = Waiting::new(begin(n, owned));
                if model.permits >= n {
                    model.permits -= n;
                    held.push((n, wait.ready()));
                } else {
                    assert!(wait.is_pending());
                    model.line.push_back((number, n, n));
                    model.give(0);
                    waits.push((number, n, wait));
                }
            }
            3 if !waits.is_empty() => {
                let at = random.below(waits.len());
                let granted = model.take_granted(waits[at].0);
                match waits[at].2.poll() {
                    Poll::Ready(guard) if granted => held.push((waits.remove(at).1, guard)),
                    Poll::Pending if !granted => {}
                    polled => panic!("ready is {}, not {granted}", polled.is_ready()),
                }
            }
            4 if !waits.is_empty() => {
                let (number, _, wait) = waits.remove(random.below(waits.len()));
                drop(wait);
                model.cancel(number);
            }
            5 | 6 if !held.is_empty() => {
                let (n, guard) = held.swap_remove(random.below(held.len()));
                drop(guard);
                model.give(n);
            }
            _ => {
                let taken = try_now(n, owned);
                assert_eq!(taken.is_some(), model.permits >= n);
                if let Some(guard) = taken {
                    model.permits -= n;
                    held.push((n, guard));
                }
            }
        }
        for (number, _, wait) in &waits {
            let granted = model.granted.iter().any(|(n, _)| n == number);
            assert_eq!(wait.is_woken(), granted, "woken when served, and only then");
        }
        assert!(free().is_none_or(|free| free == model.permits));
    }
    drop((waits, held));
    assert!(free().is_none_or(|free| free == permits));
    assert!(sizes.iter().all(|n| try_now(*n, true).is_some()), "nothing was lost");
}

/// Leaves the poll that runs no budget.
pub async fn use_up_the_budget() {
    poll_fn(|_| {
        // Asked without a wake: the task goes on.
        let mut asked = Context::from_waker(Waker::noop());
        while let Poll::Ready(permit) = budget::poll_proceed(&mut asked) {
            permit.spend();
        }
        Poll::Ready(())
    })
    .await;
}
