//! The workloads for loops of callbacks: timers and descriptors.

use std::cell::{Cell, RefCell};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::measure::{Plan, Random, thread_cpu};
use crate::program::Asked;
use crate::work::timer::report_fire;

/// Timers that call back.
pub trait Timers: Sized {
    type Key;

    fn new() -> Self;
    fn insert(&mut self, deadline: Instant, fired: impl FnOnce() + 'static) -> Self::Key;
    fn cancel(&mut self, key: Self::Key);
    /// Calls what is due; waits for it if asked to.
    fn turn(&mut self, wait: bool);
}

/// `callback_timer_random`, `callback_timer_fifo:LIVE`, `callback_timer_live:LIVE`, `callback_timer_fire`: as
/// the `timer_` of `work`.
pub fn run_timers<T: Timers>(asked: &Asked) -> bool {
    let plan = asked.plan;
    match asked.case.as_str() {
        "callback_timer_random" => random::<T>(plan),
        "callback_timer_fifo" => fifo::<T>(plan, asked.parameter),
        "callback_timer_live" => live::<T>(plan, asked.parameter),
        "callback_timer_fire" => fire::<T>(plan),
        _ => return false,
    }
    true
}

fn random<T: Timers>(plan: Plan) {
    let mut timers = T::new();
    for counted in plan.rounds() {
        let mut random = Random::default();
        let mut keys = Vec::with_capacity(plan.operations);
        let mut order: Vec<u32> = (0..plan.operations as u32).collect();
        random.shuffle(&mut order);
        let began = thread_cpu();
        for n in 0..plan.operations {
            let wait = Duration::from_micros(60_000_000 + random.below(60_000_000));
            keys.push(Some(timers.insert(Instant::now() + wait, || ())));
            if n % 1_024 == 1_023 {
                timers.turn(false);
            }
        }
        let made = thread_cpu();
        for (n, &place) in order.iter().enumerate() {
            timers.cancel(keys[place as usize].take().expect("cancelled once"));
            if n % 1_024 == 1_023 {
                timers.turn(false);
            }
        }
        let ended = thread_cpu();
        plan.report_all(counted, &[ended - began, made - began, ended - made]);
    }
}

/// With that many others, which are due later: one is made and cancelled at once, if there are none; else
/// the oldest is cancelled for each new one.
fn fifo<T: Timers>(plan: Plan, live: usize) {
    let mut timers = T::new();
    let wait = Duration::from_secs(30);
    let mut keys: Vec<_> =
        (0..live.max(1)).map(|_| Some(timers.insert(Instant::now() + wait, || ()))).collect();
    timers.turn(false);
    let mut oldest = 0;
    for counted in plan.rounds() {
        let began = thread_cpu();
        for n in 0..plan.operations {
            timers.cancel(keys[oldest].take().expect("cancelled once"));
            keys[oldest] = Some(timers.insert(Instant::now() + wait, || ()));
            oldest = if oldest + 1 == keys.len() { 0 } else { oldest + 1 };
            if n % 1_024 == 1_023 {
                timers.turn(false);
            }
        }
        plan.report(counted, thread_cpu() - began);
    }
}

/// With that many others, which are due earlier: makes one and cancels it at once.
fn live<T: Timers>(plan: Plan, live: usize) {
    let mut timers = T::new();
    let wait = Duration::from_secs(30);
    for _ in 0..live {
        timers.insert(Instant::now() + wait, || ());
    }
    timers.turn(false);
    for counted in plan.rounds() {
        let began = thread_cpu();
        for n in 0..plan.operations {
            let key = timers.insert(Instant::now() + wait, || ());
            timers.cancel(key);
            if n % 1_024 == 1_023 {
                timers.turn(false);
            }
        }
        plan.report(counted, thread_cpu() - began);
    }
}

fn fire<T: Timers>(plan: Plan) {
    let mut timers = T::new();
    for counted in plan.rounds() {
        let late = Rc::new(RefCell::new(Vec::with_capacity(plan.operations)));
        let mut random = Random::default();
        let began = thread_cpu();
        for _ in 0..plan.operations {
            let deadline =
                Instant::now() + Duration::from_micros(200_000 + random.below(1_000_000));
            let late = late.clone();
            timers.insert(deadline, move || late.borrow_mut().push(deadline.elapsed()));
        }
        while late.borrow().len() < plan.operations {
            timers.turn(true);
        }
        report_fire(plan, counted, thread_cpu() - began, late.take());
    }
}

/// Descriptors that call back.
pub trait Descriptors: Sized {
    fn new() -> Self;
    /// Reads it each time it is readable, and counts.
    fn add(&mut self, fd: OwnedFd, events: Rc<Cell<usize>>);
    /// Handles what is ready, without waiting.
    fn turn(&mut self);
}

/// `descriptors:N`: N eventfds, each written once a round (outside the time taken), then all handled: the
/// poller's share, a read, and the way from one to the other. `descriptors_few:READY`: of 1,000 so many are
/// written (within the time taken) and handled, then other ones, as in a loop that has little to do at once.
pub fn run_descriptors<D: Descriptors>(asked: &Asked) -> bool {
    match asked.case.as_str() {
        "descriptors" => Watched::<D>::new(asked.parameter).all(asked.plan),
        "descriptors_few" => Watched::<D>::new(1_000).few(asked.plan, asked.parameter),
        _ => return false,
    }
    true
}

/// Eventfds, and the loop that handles them.
struct Watched<D> {
    loop_: D,
    fds: Vec<OwnedFd>,
    events: Rc<Cell<usize>>,
    expected: usize,
}

impl<D: Descriptors> Watched<D> {
    fn new(sources: usize) -> Self {
        let mut loop_ = D::new();
        let events = Rc::new(Cell::new(0));
        let fds: Vec<OwnedFd> = (0..sources).map(|_| eventfd()).collect();
        for fd in &fds {
            loop_.add(fd.try_clone().expect("descriptors are left"), events.clone());
        }
        for _ in 0..3 {
            loop_.turn();
        }
        let expected = events.get();
        Self { loop_, fds, events, expected }
    }

    fn write(&mut self, nth: usize) {
        // SAFETY: the descriptor is open and the eight bytes are a static's.
        let wrote = unsafe { libc::write(self.fds[nth].as_raw_fd(), (&raw const ONE).cast(), 8) };
        assert_eq!(wrote, 8);
        self.expected += 1;
    }

    fn handle(&mut self) {
        while self.events.get() < self.expected {
            self.loop_.turn();
        }
    }

    fn all(mut self, plan: Plan) {
        let sources = self.fds.len();
        for counted in plan.rounds() {
            let mut round = Duration::ZERO;
            for _ in 0..plan.operations / sources {
                (0..sources).for_each(|nth| self.write(nth));
                let began = thread_cpu();
                self.handle();
                round += thread_cpu() - began;
            }
            plan.report(counted, round);
        }
    }

    fn few(mut self, plan: Plan, ready: usize) {
        let mut next = 0;
        for counted in plan.rounds() {
            let began = thread_cpu();
            for _ in 0..plan.operations / ready {
                for _ in 0..ready {
                    self.write(next);
                    next = (next + 7) % self.fds.len();
                }
                self.handle();
            }
            plan.report(counted, thread_cpu() - began);
        }
    }
}

/// Sources that are pinged and call back.
pub trait Pings: Sized {
    type Ping;

    fn new() -> Self;
    /// Counts each time the source is called.
    fn add(&mut self, events: Rc<Cell<usize>>) -> Self::Ping;
    fn ping(ping: &Self::Ping);
    /// Handles what is ready, without waiting.
    fn turn(&mut self);
}

/// `pings:N`: N sources, each pinged once a round from the loop's own thread, then all handled.
pub fn run_pings<P: Pings>(asked: &Asked) -> bool {
    if asked.case != "pings" {
        return false;
    }
    let (plan, sources) = (asked.plan, asked.parameter);
    let mut loop_ = P::new();
    let events = Rc::new(Cell::new(0));
    let pings: Vec<P::Ping> = (0..sources).map(|_| loop_.add(events.clone())).collect();
    loop_.turn();
    for counted in plan.rounds() {
        let began = thread_cpu();
        for _ in 0..plan.operations / sources {
            let expected = events.get() + sources;
            pings.iter().for_each(P::ping);
            while events.get() < expected {
                loop_.turn();
            }
        }
        plan.report(counted, thread_cpu() - began);
    }
    true
}

static ONE: u64 = 1;

fn eventfd() -> OwnedFd {
    // SAFETY: the call has no pointers.
    let fd = unsafe { libc::eventfd(0, libc::EFD_NONBLOCK | libc::EFD_CLOEXEC) };
    assert!(fd >= 0, "descriptors are left");
    // SAFETY: the descriptor is new and nobody else's.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

/// Reads an eventfd; returns whether there was something.
pub fn drain(fd: &impl AsRawFd) -> std::io::Result<()> {
    let mut count = 0_u64;
    // SAFETY: the descriptor is open and the eight bytes are a local's.
    let read = unsafe { libc::read(fd.as_raw_fd(), (&raw mut count).cast(), 8) };
    if read == 8 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
}
