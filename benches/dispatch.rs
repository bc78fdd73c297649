//! What does an event cost from the moment it is known to the first line of user code?
//!
//! Three ways to handle the same event: a callback of the loop, a task that awaits the source, and,
//! as the honest minimum, what one writes by hand on mio: a boxed closure by token, called from a list
//! of events. At 16, 1,000 and 10,000 sources, each signalled once a round.
//!
//! Measured: wake, queue, poll, the source's `poll_next` (twice: the event, then Pending), the closure
//! with the state lent. Left out: the poller and its system call; what signalling itself costs, which
//! is measured alone (`signal`: one flag set through a pointer, and the yield of the driving task) and
//! has to be subtracted. One turn in 1,024 events looks at the poller for nothing; that stays in.
//!
//! Run: `cargo bench --bench dispatch`

mod support;

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::hint::black_box;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures::Stream;
use loopline::callback::Next;
use slab::Slab;

use support::{Suite, thread_cpu, yield_once};

/// The end of a source that makes events.
#[derive(Default)]
struct Signal {
    ready: Cell<u64>,
    waiter: RefCell<Option<Waker>>,
}

impl Signal {
    /// Makes an event known, without a wake.
    fn set(&self) -> bool {
        self.ready.set(1);
        self.waiter.borrow().is_some()
    }

    /// Makes an event known and wakes who waits.
    fn raise(&self) {
        self.ready.set(1);
        if let Some(waiter) = &*self.waiter.borrow() {
            waiter.wake_by_ref();
        }
    }
}

/// The other end: a source without a descriptor.
struct Source(Rc<Signal>);

impl Source {
    async fn next(&mut self) -> Option<u64> {
        poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }
}

impl Stream for Source {
    type Item = u64;

    #[inline]
    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<u64>> {
        let ready = self.0.ready.replace(0);
        if ready != 0 {
            return Poll::Ready(Some(ready));
        }
        let mut waiter = self.0.waiter.borrow_mut();
        if !waiter.as_ref().is_some_and(|waiter| waiter.will_wake(cx.waker())) {
            *waiter = Some(cx.waker().clone());
        }
        Poll::Pending
    }
}

#[derive(Default)]
struct State {
    events: u64,
}

/// How the event is handled.
#[derive(Clone, Copy, PartialEq)]
enum Style {
    Callback,
    /// Counts in the state, borrowed between two awaits.
    Task,
    /// Counts in its own memory.
    OwnTask,
    /// Nobody is woken: the cost of signalling.
    Signal,
}

fn by_loop(suite: &Suite, style: Style, sources: usize, operations: usize) -> Duration {
    let mut event_loop = suite.event_loop::<State>();
    let handle = event_loop.handle();
    let signals: Vec<Rc<Signal>> = (0..sources).map(|_| Rc::default()).collect();
    for signal in &signals {
        let mut source = Source(signal.clone());
        match style {
            Style::Callback | Style::Signal => {
                let inserted = handle.insert(source, |event, _, state| {
                    state.events += event;
                    Next::Keep
                });
                drop(inserted.expect("the loop is there"));
            }
            Style::Task => drop(handle.spawn(async move {
                while let Some(event) = source.next().await {
                    handle.with(|state| state.events += event);
                }
            })),
            Style::OwnTask => drop(handle.spawn(async move {
                let events = Cell::new(0);
                while let Some(event) = source.next().await {
                    events.set(black_box(events.get() + event));
                }
            })),
        }
    }
    let rounds = operations / sources;
    let driver = async {
        // Until each waits.
        while signals.iter().any(|signal| signal.waiter.borrow().is_none()) {
            yield_once().await;
        }
        for _ in 0..3 {
            signals.iter().for_each(|signal| signal.raise());
            yield_once().await;
        }
        let began = thread_cpu();
        for _ in 0..rounds {
            if style == Style::Signal {
                signals.iter().for_each(|signal| assert!(signal.set()));
            } else {
                signals.iter().for_each(|signal| signal.raise());
            }
            yield_once().await;
        }
        thread_cpu() - began
    };
    let mut state = State::default();
    let took = event_loop.run_until(&mut state, driver).expect("nothing stops the loop");
    match style {
        Style::Callback | Style::Task => assert_eq!(state.events as usize, (rounds + 3) * sources),
        Style::Signal => assert_eq!(state.events as usize, 3 * sources),
        Style::OwnTask => {}
    }
    took
}

/// By hand: closures by token, out of their place while they run, so that they may change the table.
fn by_hand(sources: usize, operations: usize) -> Duration {
    type Handler = Box<dyn FnMut(&mut State, u64)>;
    let mut handlers: Slab<Option<Handler>> = Slab::new();
    let mut events = Vec::new();
    for _ in 0..sources {
        let handler: Handler = Box::new(|state, event| state.events += event);
        events.push((handlers.insert(Some(handler)), 1));
    }
    let mut state = State::default();
    let rounds = operations / sources;
    let began = thread_cpu();
    for _ in 0..rounds {
        for &(token, event) in black_box(&events) {
            let Some(mut handler) = handlers.get_mut(token).and_then(Option::take) else {
                continue;
            };
            handler(&mut state, event);
            if let Some(place) = handlers.get_mut(token) {
                *place = Some(handler);
            }
        }
    }
    let took = thread_cpu() - began;
    assert_eq!(state.events as usize, rounds * sources);
    took
}

fn main() {
    let suite = Suite::new("ns CPU per event");
    for sources in [16, 1_000, 10_000] {
        let operations = 1_000_000 / sources * sources;
        let run = |style| {
            let suite = &suite;
            move |operations| by_loop(suite, style, sources, operations)
        };
        let signal = suite.case(&format!("signal/{sources}"), operations, run(Style::Signal));
        let hand = suite.case(&format!("hand/{sources}"), operations, |n| by_hand(sources, n));
        let callback = suite.case(&format!("callback/{sources}"), operations, run(Style::Callback));
        let task = suite.case(&format!("task/{sources}"), operations, run(Style::Task));
        let own = suite.case(&format!("own-task/{sources}"), operations, run(Style::OwnTask));
        if let (Some(signal), Some(hand), Some(callback), Some(task), Some(own)) =
            (signal, hand, callback, task, own)
        {
            println!(
                "-> {sources} sources, less signalling and by hand: callback +{:.1}, task +{:.1}, \
                 own task +{:.1}",
                callback - signal - hand,
                task - signal - hand,
                own - signal - hand,
            );
        }
    }
}
